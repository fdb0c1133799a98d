"""Titles of chapters that a page shows by nothing but their look: bold or centered lines without numbers."""

from __future__ import annotations

import re
from typing import Any

from pipeline.books.headings import is_bare_number, is_numbered_title, looks_like_title, may_be_title, rank_of
from pipeline.books.linked_notes import BLOCKS, HEADINGS

_LINES = ("p", "div", "center", *HEADINGS)
_BOLD = ("b", "strong")
_LARGE = re.compile(
    r"font-size:\s*(?:x+-large|larger|large|(?:1[6-9]|[2-9]\d)(?:\.\d+)?pt|(?:2\d|[3-9]\d)(?:\.\d+)?px|"
    r"(?:1\.[2-9]\d*|[2-9](?:\.\d+)?)r?em|(?:1[2-9]\d|[2-9]\d\d)%)",
    re.I,
)
_CENTERED = re.compile(r"text-align:\s*center", re.I)
_MAX_TITLE_CHARS = 60
_MIN_TITLES = 3
_MIN_LETTERS_BEHIND = 200


def mark_styled_titles(*roots: Any) -> None:
    """Make headings of the lines of a book that look like titles, where it has no headings of its own.

    They are bold, large or centered as a whole, are written as titles without a mark at their end, have text behind
    them, and are at least three. Lines with numbers are told from others by these.

    Args:
        roots: of its pages; a line that is a title gets the role of a heading.
    """
    lines: list[tuple[Any, int]] = []
    length = 0
    for root in roots:
        found, length = _find_lines(root, length)
        lines += found
    if sum(element.tag in HEADINGS for element, _ in lines) > 1:
        return
    titles = [(element, start) for element, start in lines if _looks_like_title(element)]
    if len(titles) < _MIN_TITLES or any(rank_of(text) is not None or is_bare_number(text) or is_numbered_title(text)
           for text in (_text_of(element) for element, _ in titles)):  # fmt: skip
        return
    ends = [*(start for _, start in titles[1:]), length]
    titles = [
        (element, start)
        for (element, start), end in zip(titles, ends, strict=True)
        if end - start - len(_text_of(element)) >= _MIN_LETTERS_BEHIND
    ]
    if len(titles) >= _MIN_TITLES:
        for element, _ in titles:
            element.set("role", "heading")
            element.set("aria-level", "2")


def _find_lines(root: Any, length: int) -> tuple[list[tuple[Any, int]], int]:
    """Return the elements that have no others of their kind in them, each with how much text is before it, and all."""
    from lxml import etree

    lines: list[tuple[Any, int]] = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if not isinstance(element.tag, str):
            continue
        if event == "start":
            if element.tag in _LINES and _is_line(element):
                lines.append((element, length))
            length += len((element.text or "").strip()) if element.tag not in ("script", "style", "head") else 0
        elif element is not root:
            length += len((element.tail or "").strip())
    return lines, length


def _is_line(element: Any) -> bool:
    return not any(child.tag in BLOCKS for child in element.iter() if child is not element)


def _text_of(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def _looks_like_title(element: Any) -> bool:
    text = _text_of(element)
    if element.tag in HEADINGS or not text or len(text) > _MAX_TITLE_CHARS:
        return False
    is_named = looks_like_title(text)
    if not is_named and not may_be_title(text):
        return False
    around = [element, *(parent for parent in element.iterancestors() if parent.tag in ("center", "div"))][:2]
    is_centered = any(
        found.tag == "center" or found.get("align") == "center" or _CENTERED.search(found.get("style") or "")
        for found in around
    )
    classes = str(element.get("class") or "").split()
    within = [found for found in element.iter() if found is element or _text_of(found) == text]
    # Lines of verse are centered, too, and have no marks either.
    is_styled = "large" in classes or _is_all(element, _BOLD, text) or any(map(_is_large, within))
    return is_styled or (is_named and (is_centered or "centered" in classes))


def _is_all(element: Any, tags: tuple[str, ...], text: str) -> bool:
    """Return whether all that an element says is in such elements."""
    return " ".join("".join(part for found in element.iter(*tags) for part in found.itertext()).split()) == text


def _is_large(element: Any) -> bool:
    is_font = element.tag == "font" and re.fullmatch(r"[4-7]|\+[1-4]", str(element.get("size") or "").strip())
    return element.tag == "big" or bool(is_font or _LARGE.search(element.get("style") or ""))
