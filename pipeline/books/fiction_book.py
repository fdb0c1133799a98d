"""Read FictionBook 2: XML whose sections hold titles, paragraphs, verse and notes."""

from __future__ import annotations

import base64
import binascii
from html import escape
from typing import Any

from pipeline.books.document import Document, Edition
from pipeline.books.epub_archive import parse_xml
from pipeline.books.limits import check_limit
from pipeline.books.markup import read_html

_LEVELS = 6
_BLOCKS = {"p": "p", "v": "p", "subtitle": "h6", "text-author": "p", "date": "p", "td": "td", "th": "th", "tr": "tr",
           "table": "table", "cite": "blockquote", "annotation": "blockquote"}  # fmt: skip
_INLINE = {"strong": "b", "emphasis": "em", "sup": "sup", "sub": "sub", "style": "span", "code": "span"}


def read_fiction_book(text: str, place: str) -> Document:
    """Read a book.

    Args:
        text: the file's content.
        place: what messages call it.

    Raises:
        ManifestError: it is no XML, over a limit, or declares entities that could do harm.
    """
    root = parse_xml(text, place)
    info = root.find(".//{*}title-info")
    document = read_html(
        f"<html><body>{''.join(_write(body, 0, place, 0) for body in root.iter('{*}body'))}</body></html>", place
    )
    if info is not None:
        document.title = _text(info, "book-title")
        names = [" ".join(_text(author, part) for part in ("first-name", "middle-name", "last-name")).split()
                 for author in info.findall("{*}author")]  # fmt: skip
        document.author = ", ".join(" ".join(name) for name in names if name)
        document.language = _text(info, "lang")
        series = info.find("{*}sequence")
        document.edition = Edition(
            date=_text(root.find(".//{*}publish-info"), "year") or _text(info, "date"),
            publisher=_text(root.find(".//{*}publish-info"), "publisher"),
            description=_text(info, "annotation"),
            series=str(series.get("name") or "") if series is not None else "",
            series_number=str(series.get("number") or "") if series is not None else "",
        )
        document.cover = _read_cover(root, info)
    return document


def _text(element: Any, name: str) -> str:
    found = element.find(f"{{*}}{name}") if element is not None else None
    return "" if found is None else " ".join(" ".join(found.itertext()).split())


def _read_cover(root: Any, info: Any) -> bytes | None:
    image = info.find(".//{*}coverpage/{*}image")
    if image is None:
        return None
    name = next((value.lstrip("#") for key, value in image.attrib.items() if key.endswith("href")), "")
    binary = next((found for found in root.iter("{*}binary") if found.get("id") == name), None)
    if binary is None or binary.get("content-type") not in ("image/jpeg", "image/png"):
        return None
    try:
        return base64.b64decode(binary.text or "")
    except (binascii.Error, ValueError):
        return None


def _write(element: Any, level: int, place: str, depth: int) -> str:
    """Return an element as HTML; sections become headings of their depth."""
    check_limit("max_depth", depth, place, "elements within each other", "save it in a simpler form")
    tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
    below = level + 1 if tag in ("body", "section") else level
    inside = escape(element.text or "") + "".join(
        _write(child, below, place, depth + 1) + escape(child.tail or "") for child in element
    )
    if tag == "title":
        lines = [" ".join(" ".join(line.itertext()).split()) for line in element.findall("{*}p")]
        number = min(max(level, 1), _LEVELS)
        return f"<h{number}>{escape('. '.join(line.rstrip('.') for line in lines if line))}</h{number}>"
    if tag == "body" and element.get("name") in ("notes", "comments"):
        return f'<section class="footnotes">{inside}</section>'
    if tag == "a":
        is_note = element.get("type") == "note"
        return f'<a class="noteref">{inside}</a>' if is_note else inside
    if tag == "poem":
        return f'<div class="poem">{inside}</div>'
    if tag == "empty-line":
        return "<hr/>"
    if tag in ("image", "binary"):
        return ""
    name = _BLOCKS.get(tag) or _INLINE.get(tag)
    return f"<{name}>{inside}</{name}>" if name else f"<div>{inside}</div>" if tag else ""
