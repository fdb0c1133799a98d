"""The lines of a PDF's pages, with their places and sizes, and its bookmarks, as the library pdfminer finds them."""

from __future__ import annotations

import io
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pipeline.books.limits import check_limit
from pipeline.config.extras import need_extra
from pipeline.errors import ManifestError

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARKS = "*†‡§¶"
DROP_CAP_SIZE = 1.8
"""How much larger than the letters behind it a letter is with which a chapter begins."""
_RAISED_SIZE, _RAISED_BY = 0.8, 0.15
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_ACCENTS = {"¨": "\u0308", "´": "\u0301", "ˆ": "\u0302", "˜": "\u0303", "˚": "\u030a", "ˇ": "\u030c"}
_ACCENT = re.compile(rf"([{''.join(_ACCENTS)}])\s?([^\W\d_])")  # Old fonts put an accent before its letter.
_NO_TITLE = re.compile(
    r"\W*(?:untitled|anonymous|unknown|unspecified|title|author|.*\.(?:indd|docx?|tex|qxd|rtf|txt|pdf))\W*", re.I
)
_STREAM = re.compile(rb"stream\r?\n")
_MAX_DESCRIPTION, _PIECE = 2_000, 1 << 16
_SLANT = 0.1
_AS_WIDE, _MUCH_WIDER, _MOSTLY, _MIN_SPACED = 0.95, 1.7, 0.6, 3
_CELL, _MIN_CELL = 0.03, 0.2
_UNKNOWN = re.compile(r"\(cid:\d+\)")
_MAX_UNKNOWN = 0.02


@dataclass(frozen=True)
class Line:
    """A line of text.

    Attributes:
        page: from 0.
        text: without spaces at its ends. Raised digits are superscripts, raised asterisks and daggers in brackets.
        left, right, bottom, top: in points; bottom and top grow upwards.
        size: of most of its letters, in points.
        is_bold: by the name of their font.
    """

    page: int
    text: str
    left: float
    right: float
    bottom: float
    top: float
    size: float
    is_bold: bool = False


@dataclass(frozen=True)
class Bookmark:
    """An entry of the table of contents that a file carries: its title, its level from 0, and its page, if known."""

    title: str
    level: int
    page: int | None


@dataclass
class Pages:
    """What a file holds.

    Attributes:
        lines: of each page, in no order.
        bookmarks: in their order; empty where it has none.
        title, author: as the file says; empty where it does not.
        aslant: of each page, the letters of a watermark or the like, which is not read.
        num_unknown: letters whose fonts do not say what they are; \ufffd stands for each.
    """

    lines: list[list[Line]] = field(default_factory=list)
    bookmarks: list[Bookmark] = field(default_factory=list)
    title: str = ""
    author: str = ""
    aslant: list[str] = field(default_factory=list)
    num_unknown: int = 0


def read_pages(data: bytes, place: str) -> Pages:
    """Read the text layer of a PDF.

    Args:
        data: the file's content.
        place: what messages call it.

    Raises:
        ManifestError: the library is not installed, or it is no PDF, protected, or over a limit.
    """
    try:
        import pdfminer.high_level  # noqa: F401
    except ImportError:
        raise ManifestError(need_extra(f"{place}: a PDF", "pdfminer.six", "pdf")) from None
    try:
        return _read(data, place)
    except ManifestError:
        raise
    except Exception as error:  # Whatever the library makes of a file that is none.
        raise ManifestError(f"{place}: cannot be read as PDF ({type(error).__name__}: {error})") from None


def _read(data: bytes, place: str) -> Pages:
    from pdfminer.converter import PDFPageAggregator
    from pdfminer.layout import LAParams
    from pdfminer.pdfdocument import PDFDocument, PDFPasswordIncorrect
    from pdfminer.pdfinterp import PDFPageInterpreter, PDFResourceManager
    from pdfminer.pdfpage import PDFPage
    from pdfminer.pdfparser import PDFParser

    _check_streams(data, place)
    try:
        file = PDFDocument(PDFParser(io.BytesIO(data)))
    except PDFPasswordIncorrect:
        file = None
    if file is None or file.encryption is not None:
        raise ManifestError(f"{place}: protected against copying; use a copy without such protection")
    found = list(PDFPage.create_pages(file))
    check_limit("max_items", len(found), place, "pages")
    resources = PDFResourceManager()
    device = PDFPageAggregator(resources)
    interpreter = PDFPageInterpreter(resources, device)
    pages = Pages()
    num_chars = 0
    for number, page in enumerate(found):
        interpreter.process_page(page)
        drawn = device.get_result()
        # Putting letters together takes the square of their number where they lie above each other.
        check_limit("max_page_chars", len(drawn), f"{place}: page {number + 1}", "letters, lines and pictures")
        if angle := _angle_of(drawn):
            page.rotate = (page.rotate + angle) % 360
            interpreter.process_page(page)
            drawn = device.get_result()
        pages.aslant.append(_clean(drawn))
        drawn.analyze(LAParams(boxes_flow=None))
        pages.lines.append(list(_lines_of(drawn, number)))
        num_chars += sum(len(line.text) for line in pages.lines[-1])
        check_limit("max_text_bytes", num_chars, place, "characters of text")
    pages.num_unknown = sum(line.text.count("\ufffd") for lines in pages.lines for line in lines)
    if pages.num_unknown > _MAX_UNKNOWN * num_chars:
        raise ManifestError(
            f"{place}: {pages.num_unknown:,} of its {num_chars:,} characters are in fonts that do not say which "
            "letters they are; make a new text layer first, for example with ocrmypdf --force-ocr"
        )
    pages.bookmarks = list(_read_bookmarks(file, {page.pageid: number for number, page in enumerate(found)}))
    check_limit("max_items", len(pages.bookmarks), place, "bookmarks")
    for info in file.info:
        pages.title = pages.title or _decode(info.get("Title"))
        pages.author = pages.author or _decode(info.get("Author"))
    return pages


def _angle_of(page: Any) -> int:
    """Return by how much most letters of a page are turned against the clock, in degrees."""
    from pdfminer.layout import LTChar

    angles = Counter(_turn_of(part) for part in page if isinstance(part, LTChar))
    return max(angles, key=lambda angle: (angles[angle], -angle), default=0)


def _turn_of(letter: Any) -> int:
    across, up = letter.matrix[:2]
    if abs(up) <= _SLANT * abs(across):
        return 0 if across >= 0 else 180
    if abs(across) <= _SLANT * abs(up):
        return 90 if up > 0 else 270
    return 45


def _clean(page: Any) -> str:
    """Take letters that are printed twice, and those that lie aslant, off a page; return the latter."""
    from pdfminer.layout import LTChar

    kept, aslant, seen = [], [], set[tuple[str, int, int]]()
    for part in page:
        if isinstance(part, LTChar):
            if _turn_of(part) != 0:
                aslant.append(part.get_text())
                continue
            cell = max(_MIN_CELL, _CELL * part.size)
            across, up = round(part.x0 / cell), round(part.y0 / cell)
            text = part.get_text()
            if text.strip() and any((text, across + x, up + y) in seen for x in (-1, 0, 1) for y in (-1, 0, 1)):
                continue
            seen.add((text, across, up))
        kept.append(part)
    page._objs = kept
    return "".join(aslant)


def _check_streams(data: bytes, place: str) -> None:
    """Refuse a file that unpacks to more than the limit: the library unpacks whole what it reads; pictures it skips."""
    unpacked = 0
    for match in _STREAM.finditer(data):
        description = data[max(0, match.start() - _MAX_DESCRIPTION) : match.start()].rpartition(b" obj")[2]
        if b"/FlateDecode" not in description or b"/Image" in description:
            continue
        unpacker, packed, at = zlib.decompressobj(), b"", match.end()
        try:
            while not unpacker.eof and (packed or at < len(data)):
                if not packed:
                    packed, at = data[at : at + _PIECE], at + _PIECE
                unpacked += len(unpacker.decompress(packed, _PIECE))
                packed = unpacker.unconsumed_tail
                check_limit("max_unpacked_bytes", unpacked, place, "bytes unpacked")
        except zlib.error:
            continue


def _decode(value: Any) -> str:
    from pdfminer.pdftypes import resolve1
    from pdfminer.utils import decode_text

    value = resolve1(value)
    text = " ".join(decode_text(value).split()) if isinstance(value, bytes) else ""
    return "" if _NO_TITLE.fullmatch(text) else text


def _lines_of(page: Any, number: int) -> Iterator[Line]:
    """Yield the lines of a page; a large letter before one is a line of its own."""
    from pdfminer.layout import LTChar, LTTextBox, LTTextLine

    for box in page:
        for line in box if isinstance(box, LTTextBox) else ():
            if isinstance(line, LTTextLine) and line.get_text().strip():
                parts = list(line)
                letters = [part for part in parts if isinstance(part, LTChar) and part.get_text().strip()]
                if len(letters) > 1 and letters[0].size >= DROP_CAP_SIZE * letters[1].size:
                    at = parts.index(letters[0]) + 1
                    yield _read_line(parts[:at], number)
                    parts = parts[at:]
                yield _read_line(parts, number)


def _read_line(parts: list[Any], number: int) -> Line:
    from pdfminer.layout import LTChar

    parts = _without_letterspace(parts)
    letters = [letter for letter in parts if isinstance(letter, LTChar) and letter.get_text().strip()]
    sizes = Counter(round(letter.size, 1) for letter in letters)
    size = max(sizes, key=lambda size: (sizes[size], size))
    whole = [letter for letter in letters if round(letter.size, 1) == size]
    bottom, top = min(letter.y0 for letter in whole), max(letter.y1 for letter in whole)
    text = "".join(
        _raise(part.get_text())
        if isinstance(part, LTChar) and part.size <= _RAISED_SIZE * size and part.y0 >= bottom + _RAISED_BY * size
        else _UNKNOWN.sub("\ufffd", part.get_text())
        for part in parts
    )
    num_bold = sum(bool(re.search("bold|black|heavy", letter.fontname, re.I)) for letter in whole)
    left, right = min(letter.x0 for letter in letters), max(letter.x1 for letter in letters)
    text = " ".join(text.translate(_LIGATURES).replace("\u2010", "-").split())
    text = _ACCENT.sub(lambda match: match[2] + _ACCENTS[match[1]], text)
    text = unicodedata.normalize("NFC", text)
    return Line(number, text, left, right, bottom, top, size, num_bold * 2 > len(whole))


def _without_letterspace(parts: list[Any]) -> list[Any]:
    """Leave out the spaces that the library puts between letters set apart, as in titles: no word ends there.

    Where a line has spaces of its own, others are none unless they are as wide; without these, those much wider than
    the usual one are, if most of the line is single letters.
    """
    from pdfminer.layout import LTChar

    gaps = [(at, _gap_at(parts, at)) for at in range(1, len(parts) - 1) if parts[at].get_text() == " "]
    real = [gap for at, gap in gaps if isinstance(parts[at], LTChar)]
    if real:
        narrowest = _AS_WIDE * min(real)
    elif len(gaps) >= _MIN_SPACED and len(gaps) > _MOSTLY * sum(isinstance(part, LTChar) for part in parts):
        narrowest = _MUCH_WIDER * median(gap for _, gap in gaps)
    else:
        return parts
    gone = {
        at
        for at, gap in gaps
        if not isinstance(parts[at], LTChar) and gap < narrowest and _are_no_numbers(parts[at - 1], parts[at + 1])
    }
    return [part for at, part in enumerate(parts) if at not in gone]


def _are_no_numbers(before: Any, after: Any) -> bool:
    return not (before.get_text()[-1:].isdigit() or after.get_text()[:1].isdigit())


def _gap_at(parts: list[Any], at: int) -> float:
    """Return how far the letters around a space are apart, in points."""
    before, after = parts[at - 1], parts[at + 1]
    return float(after.x0 - before.x1) if hasattr(before, "x1") and hasattr(after, "x0") else float("inf")


def to_superscript(text: str) -> str:
    """Return a text with its digits as superscripts."""
    return text.translate(_SUPERSCRIPTS)


def _raise(text: str) -> str:
    return f"[{text}]" if text in _MARKS else to_superscript(text)


def _read_bookmarks(file: Any, numbers: dict[Any, int]) -> Iterator[Bookmark]:
    """Yield the bookmarks; one that leads out of the file, or nowhere, has no page."""
    from pdfminer.pdfdocument import PDFDestinationNotFound, PDFNoOutlines
    from pdfminer.pdftypes import resolve1

    try:
        outlines = list(file.get_outlines())
    except PDFNoOutlines:
        return
    for level, title, target, action, _ in outlines:
        target = resolve1(target if target is not None else (resolve1(action) or {}).get("D"))
        try:
            if isinstance(target, bytes):
                target = resolve1(file.get_dest(target))
            elif hasattr(target, "name"):
                target = resolve1(file.get_dest(target.name))
        except PDFDestinationNotFound:
            target = None
        if isinstance(target, dict):
            target = resolve1(target.get("D"))
        page = target[0] if isinstance(target, list) and target else None
        yield Bookmark(" ".join(str(title).split()), level - 1, numbers.get(getattr(page, "objid", None)))
