"""Read EPUB 2 and 3: a zip of XHTML, whose package file says what is read in which order."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from typing import Any
from urllib.parse import unquote

from pipeline.books.document import Block, Document, LeftOut
from pipeline.books.markup import read_html
from pipeline.errors import ManifestError

MAX_FILE_BYTES = 64 << 20
MAX_TOTAL_BYTES = 512 << 20
MAX_RATIO = 200
MAX_FILES = 20_000
_CONTAINER = "META-INF/container.xml"
_COVER_TYPES = ("image/jpeg", "image/png")


def read_epub(data: bytes, place: str) -> Document:
    """Read a book.

    Args:
        data: the file's content.
        place: what messages call it.

    Raises:
        ManifestError: not an EPUB, protected, or built to do harm (paths that leave it, entities, a zip bomb).
    """
    archive = _Archive(data, place)
    container = archive.read_xml(_CONTAINER)
    rootfile = next((str(found.get("full-path", "")) for found in _all(container, "rootfile")), "")
    package = archive.read_xml(archive.resolve("", rootfile))
    folder = posixpath.dirname(rootfile)
    items = {str(item.get("id")): item for item in _all(package, "item")}
    labels = _read_labels(archive, items.values(), folder)
    blocks: list[Block] = []
    left_out = LeftOut()
    for reference in _all(package, "itemref"):
        item = items.get(str(reference.get("idref")))
        if item is None:
            raise ManifestError(f"{place}: its spine names {reference.get('idref')!r}, which it does not hold")
        path = archive.resolve(folder, str(item.get("href", "")))
        if "nav" in str(item.get("properties", "")).split():
            left_out.add("table of contents", path)
            continue
        if "html" not in str(item.get("media-type", "")):
            continue
        part = read_html(archive.read_text(path), f"{place}!{path}")
        if path in labels and part.blocks and not any(block.kind == "heading" for block in part.blocks[:3]):
            part.blocks.insert(0, Block("heading", labels[path], 2))
        blocks += part.blocks
        left_out.counts.update(part.left_out.counts)
        for reason, examples in part.left_out.examples.items():
            left_out.examples[reason] = [*left_out.examples.get(reason, []), *examples][:3]
    cover = _find_cover(package, items)
    return Document(
        title=_text(package, "title"),
        author=", ".join(" ".join(found.text.split()) for found in _all(package, "creator") if found.text),
        language=_text(package, "language"),
        blocks=blocks,
        left_out=left_out,
        cover=archive.read(archive.resolve(folder, cover)) if cover else None,
    )


class _Archive:
    """A zip whose every member is checked before it is read; nothing is ever written to disk."""

    def __init__(self, data: bytes, place: str) -> None:
        self.place = place
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise ManifestError(f"{place}: not an EPUB ({error}); expected a zip file") from None
        members = self._zip.infolist()
        if len(members) > MAX_FILES:
            raise ManifestError(f"{place}: {len(members):,} files inside, expected at most {MAX_FILES:,}")
        for member in members:
            name = member.filename
            if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"^[A-Za-z]:", name):
                raise ManifestError(f"{place}!{name}: a path that leaves the book; this file was made to do harm")
        total = sum(member.file_size for member in members)
        if total > MAX_TOTAL_BYTES:
            raise ManifestError(f"{place}: unpacks to {total:,} bytes, expected at most {MAX_TOTAL_BYTES:,}")
        self._members = {member.filename: member for member in members}
        if "META-INF/encryption.xml" in self._members and "META-INF/rights.xml" in self._members:
            raise ManifestError(f"{place}: protected against copying; use a copy without such protection")

    def resolve(self, folder: str, href: str) -> str:
        """Return the path inside the book that an address means."""
        path = posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0])))
        if path.startswith(("/", "..")) or "://" in href:
            raise ManifestError(f"{self.place}: refers to {href!r}, which is outside of the book")
        return path

    def read(self, path: str) -> bytes:
        member = self._members.get(path)
        if member is None:
            raise ManifestError(f"{self.place}!{path}: missing from the book; is the file whole?")
        too_big = member.file_size > MAX_FILE_BYTES
        if too_big or member.file_size > MAX_RATIO * max(member.compress_size, 1_024):
            raise ManifestError(
                f"{self.place}!{path}: {member.compress_size:,} bytes that unpack to {member.file_size:,}; "
                f"expected at most {MAX_FILE_BYTES:,} and a ratio of {MAX_RATIO}"
            )
        try:
            with self._zip.open(member) as file:
                data = file.read(member.file_size + 1)
        except (zipfile.BadZipFile, RuntimeError, OSError, EOFError, NotImplementedError) as error:
            raise ManifestError(f"{self.place}!{path}: cannot be unpacked ({error}); is the file whole?") from None
        if len(data) > member.file_size:
            raise ManifestError(f"{self.place}!{path}: larger than the zip says; this file was made to do harm")
        return data

    def read_text(self, path: str) -> str:
        data = self.read(path)
        is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        return data.decode("utf-16" if is_wide else "utf-8-sig", "replace")

    def read_xml(self, path: str) -> Any:
        from lxml import etree

        text = self.read_text(path)
        if re.search(r"<!(?:ENTITY|DOCTYPE[^>]*\[)", text, re.I):
            raise ManifestError(f"{self.place}!{path}: declares entities of its own; remove <!ENTITY ...>")
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            return etree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text).encode(), parser)
        except (etree.LxmlError, ValueError) as error:
            raise ManifestError(f"{self.place}!{path}: not XML ({error}); is the file whole?") from None


def _all(root: Any, name: str) -> list[Any]:
    return list(root.iter(f"{{*}}{name}", name))


def _text(root: Any, name: str) -> str:
    return next((" ".join(found.text.split()) for found in _all(root, name) if found.text), "")


def _read_labels(archive: _Archive, items: Any, folder: str) -> dict[str, str]:
    """Return the names that the table of contents gives to whole files."""
    labels: dict[str, str] = {}
    for item in items:
        path = archive.resolve(folder, str(item.get("href", "")))
        if str(item.get("media-type")) == "application/x-dtbncx+xml":
            points = [
                (found.get("src"), _text(point, "text"))
                for point in _all(archive.read_xml(path), "navPoint")
                for found in _all(point, "content")[:1]
            ]
        elif "nav" in str(item.get("properties", "")).split():
            links = _all(archive.read_xml(path), "a")
            points = [(link.get("href"), " ".join("".join(link.itertext()).split())) for link in links]
        else:
            continue
        for href, label in points:
            if href and label and "#" not in href:
                labels.setdefault(archive.resolve(posixpath.dirname(path), href), label)
    return labels


def _find_cover(package: Any, items: dict[str, Any]) -> str | None:
    named = {str(meta.get("content")) for meta in _all(package, "meta") if meta.get("name") == "cover"}
    for key, item in items.items():
        is_cover = key in named or "cover-image" in str(item.get("properties", "")).split()
        if is_cover and item.get("media-type") in _COVER_TYPES:
            return str(item.get("href"))
    return None
