"""Read EPUB 2 and 3: XHTML files, whose package file says what is read in which order."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Any

from pipeline.books.document import Block, Document, LeftOut
from pipeline.books.epub_archive import EpubArchive
from pipeline.books.limits import LIMITS, check_limit
from pipeline.books.markup import beginning_of, read_html
from pipeline.errors import ManifestError

_CONTAINER = "META-INF/container.xml"
_NCX = "application/x-dtbncx+xml"
_COVER_TYPES = ("image/jpeg", "image/png")


def read_epub(data: bytes, place: str) -> Document:
    """Read a book.

    Args:
        data: the file's content.
        place: what messages call it.

    Raises:
        ManifestError: not an EPUB, protected, over a limit, or built to do harm (paths that leave it, entities, a zip
            bomb).
    """
    archive = EpubArchive(data, place)
    container = archive.read_xml(_CONTAINER)
    rootfile = next((str(found.get("full-path", "")) for found in _all(container, "rootfile")), "")
    package = archive.read_xml(archive.resolve("", rootfile))
    folder = posixpath.dirname(rootfile)
    items = {str(item.get("id")): item for item in _all(package, "item")}
    check_limit("max_items", len(items), place, "entries of its manifest")
    document = Document(
        title=_text(package, "title"),
        author=", ".join(" ".join(found.text.split()) for found in _all(package, "creator") if found.text),
        language=_text(package, "language"),
        blocks=[],
        left_out=LeftOut(),
        cover=None,
    )
    _read_spine(archive, package, items, folder, document)
    cover = _find_cover(package, items)
    document.cover = archive.read(archive.resolve(folder, cover)) if cover else None
    return document


def _read_spine(archive: EpubArchive, package: Any, items: dict[str, Any], folder: str, document: Document) -> None:
    """Add the documents in reading order, each once, however often the spine names it."""
    references = _all(package, "itemref")
    check_limit("max_items", len(references), archive.place, "entries of its reading order")
    labels = _read_labels(archive, items.values(), folder)
    seen, num_bytes = set[str](), 0
    for reference in references:
        item = items.get(str(reference.get("idref")))
        if item is None:
            raise ManifestError(
                f"{archive.place}: its spine names {reference.get('idref')!r:.200}, which it does not hold"
            )
        path = archive.resolve(folder, str(item.get("href", "")))
        if "nav" in str(item.get("properties", "")).split():
            document.left_out.add("table of contents", path)
            continue
        if "html" not in str(item.get("media-type", "")):
            continue
        if path in seen:
            document.left_out.add("file named again in the reading order", path)
            continue
        seen.add(path)
        text = archive.read_text(path)
        num_bytes += len(text)
        check_limit("max_text_bytes", num_bytes, archive.place, "characters in its documents")
        part = read_html(text, f"{archive.place}!{path}")
        if path in labels and part.blocks and not any(block.kind == "heading" for block in part.blocks[:3]):
            part.blocks.insert(0, Block("heading", labels[path], 2))
        document.blocks += part.blocks
        document.left_out.update(part.left_out)
        check_limit("max_blocks", len(document.blocks), archive.place, "headings and paragraphs")


def _all(root: Any, name: str) -> list[Any]:
    return list(root.iter(f"{{*}}{name}", name))


def _text(root: Any, name: str) -> str:
    return next((" ".join(found.text.split()) for found in _all(root, name) if found.text), "")


def _read_labels(archive: EpubArchive, items: Iterable[Any], folder: str) -> dict[str, str]:
    """Return the names that the tables of contents give to whole files; each table is read once."""
    labels: dict[str, str] = {}
    seen: set[str] = set()
    for item in items:
        is_ncx = str(item.get("media-type")) == _NCX
        if not is_ncx and "nav" not in str(item.get("properties", "")).split():
            continue
        path = archive.resolve(folder, str(item.get("href", "")))
        if path in seen:
            continue
        seen.add(path)
        points = _read_ncx(archive.read_xml(path)) if is_ncx else _read_nav(archive.read_xml(path))
        check_limit("max_items", len(points), f"{archive.place}!{path}", "entries of its table of contents")
        for href, label in points:
            if href and label and "#" not in href:
                labels.setdefault(archive.resolve(posixpath.dirname(path), href), label)
    return labels


def _read_ncx(root: Any) -> list[tuple[str | None, str]]:
    """Return address and name of each entry; what is in an entry below belongs to that alone."""
    points = []
    for point in _all(root, "navPoint"):
        content, label = point.find("{*}content"), point.find("{*}navLabel")
        if content is not None and label is not None:
            points.append((content.get("src"), _text(label, "text")))
    return points


def _read_nav(root: Any) -> list[tuple[str | None, str]]:
    return [(link.get("href"), beginning_of(link, LIMITS.max_title_chars)) for link in _all(root, "a")]


def _find_cover(package: Any, items: dict[str, Any]) -> str | None:
    named = {str(meta.get("content")) for meta in _all(package, "meta") if meta.get("name") == "cover"}
    for key, item in items.items():
        is_cover = key in named or "cover-image" in str(item.get("properties", "")).split()
        if is_cover and item.get("media-type") in _COVER_TYPES:
            return str(item.get("href"))
    return None
