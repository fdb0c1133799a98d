"""The zip that an EPUB is: every member is checked before it is read, and nothing is ever written to disk."""

from __future__ import annotations

import io
import lzma
import posixpath
import re
import stat
import zipfile
import zlib
from typing import Any
from urllib.parse import unquote

from pipeline.books.decoding import decode_text
from pipeline.books.entities import expand_entities
from pipeline.books.limits import check_limit, refuse_crowded_tags
from pipeline.errors import ManifestError

_MEMBER_MARK = b"PK\x01\x02"
_ENCRYPTION = "META-INF/encryption.xml"
_FONT_OBFUSCATION = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_SCHEMES = {"META-INF/license.lcpl": "LCP", "META-INF/sinf.xml": "Apple", "META-INF/rights.xml": "Adobe"}
_UNPACKING_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, OSError, EOFError, NotImplementedError, ValueError
)  # fmt: skip
_MIN_PACKED_BYTES = 1_024
"""Of small files any ratio is harmless."""


_STARTS = (
    (b"%PDF", "it is a PDF, whose name ends in .pdf"),
    (b"\xd0\xcf\x11\xe0", "it is a document of Word 97 to 2003, .doc; save it as .docx"),
    (b"{\\rtf", "it is rich text, .rtf; save it as .docx"),
    (b"<", "it is a page of HTML or XML, perhaps an error that was saved in place of the book"),
    (b"PK", "it is cut off or damaged"),
)


def _describe_start(data: bytes) -> str:
    """Say what a file is that is no zip, as far as its first bytes tell."""
    if not data.strip():
        return "it is empty"
    return next((said for start, said in _STARTS if data.lstrip().startswith(start)), "it is damaged or something else")


class EpubArchive:
    """The files of a book.

    Args:
        data: the file's content.
        place: what messages call it.
        kind: what it should be, for messages.

    Raises:
        ManifestError: not a zip, or built to do harm: paths that leave it, more than the limits.
    """

    def __init__(self, data: bytes, place: str, kind: str = "an EPUB") -> None:
        self.place = place
        # Before Python makes an object of each.
        check_limit("max_items", data.count(_MEMBER_MARK), place, "files inside")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ManifestError(
                f"{place}: not {kind} ({error}): {_describe_start(data)}; get the file again, or save or convert it "
                "anew with the program that made it"
            ) from None
        members = self._zip.infolist()
        for member in members:
            name = member.filename
            if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"^[A-Za-z]:", name):
                raise ManifestError(f"{place}!{name}: a path that leaves the book; this file was made to do harm")
        total = sum(member.file_size for member in members)
        check_limit("max_unpacked_bytes", total, place, "bytes once unpacked")
        self._members = {member.filename: member for member in members}
        self._encrypted = frozenset[str]()
        if _ENCRYPTION in self._members:
            self._encrypted = self._read_encrypted()

    def names(self) -> list[str]:
        """Return the paths of all files."""
        return list(self._members)

    def resolve(self, folder: str, href: str) -> str:
        """Return the path inside the book that an address means."""
        path = posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0])))
        if path.startswith(("/", "..")) or "://" in href:
            raise ManifestError(f"{self.place}: refers to {href!r:.200}, which is outside of the book")
        return path

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            ManifestError: it is missing, encrypted, damaged, or not what the zip says.
        """
        member = self._members.get(path)
        if member is None:
            raise ManifestError(f"{self.place}!{path}: missing from the book; is the file whole?")
        if path in self._encrypted:
            scheme = next((f" ({name})" for mark, name in _SCHEMES.items() if mark in self._members), "")
            raise ManifestError(
                f"{self.place}!{path}: protected against copying{scheme}; use a copy without such protection"
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ManifestError(f"{self.place}!{path}: a link, expected a file; this file was made to do harm")
        place, ratio = f"{self.place}!{path}", member.file_size // max(member.compress_size, _MIN_PACKED_BYTES)
        check_limit("max_ratio", ratio, place, "times larger once unpacked", "this file was made to do harm")
        check_limit("max_text_bytes", member.file_size, place, "bytes once unpacked")
        try:
            with self._zip.open(member) as file:
                data = file.read(member.file_size + 1)
        except _UNPACKING_ERRORS as error:
            raise ManifestError(f"{self.place}!{path}: cannot be unpacked ({error}); is the file whole?") from None
        if len(data) > member.file_size:
            raise ManifestError(f"{self.place}!{path}: larger than the zip says; this file was made to do harm")
        return data

    def read_text(self, path: str) -> str:
        """Return a document's text; raises as `read` does, and where it is no text."""
        return decode_text(self.read(path), f"{self.place}!{path}", is_markup=True).text

    def read_xml(self, path: str, *, is_lenient: bool = False) -> Any:
        """Return the root of an XML file.

        Args:
            path: of the file.
            is_lenient: what is not well formed is read as far as it makes sense.

        Raises:
            ManifestError: as `read` does, and where it is no XML or declares entities that could do harm.
        """
        return parse_xml(self.read_text(path), f"{self.place}!{path}", is_lenient=is_lenient)

    def _read_encrypted(self) -> frozenset[str]:
        """Return the paths of what is encrypted; fonts that are only obfuscated harm nobody who reads text."""
        paths = set()
        for item in self.read_xml(_ENCRYPTION).iter("{*}EncryptedData"):
            method = next((str(found.get("Algorithm")) for found in item.iter("{*}EncryptionMethod")), "")
            if method not in _FONT_OBFUSCATION:
                paths |= {self.resolve("", str(found.get("URI", ""))) for found in item.iter("{*}CipherReference")}
        return frozenset(paths)


def parse_xml(text: str, place: str, *, is_lenient: bool = False) -> Any:
    """Return the root of a document.

    Args:
        text: XML.
        place: what messages call it.
        is_lenient: what is not well formed is read as far as it makes sense.

    Raises:
        ManifestError: it is no XML, declares entities that could do harm, or has a tag of many attributes.
    """
    from lxml import etree

    text = expand_entities(text, place)
    refuse_crowded_tags(text, place, is_xml=True)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=is_lenient
    )
    try:
        root = etree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text).encode("utf-8", "replace"), parser)
        if root is None:
            raise ValueError("empty")
        return root
    except (etree.LxmlError, ValueError) as error:
        raise ManifestError(f"{place}: not XML ({error}); is the file whole?") from None
