"""Titles of chapters that a page shows by nothing but their look: bold or centered lines without numbers."""

from __future__ import annotations

import re
from typing import Any

from pipeline.books.headings import is_title_line, looks_like_title, starts_chapter
from pipeline.books.linked_notes import BLOCKS

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BOLD = ("b", "strong")
_CENTERED = re.compile(r"text-align:\s*center", re.I)
_MAX_TITLE_CHARS = 60
_MIN_TITLES = 3
_MIN_LETTERS_BEHIND = 200


def mark_styled_titles(root: Any) -> None:
    """Make headings of the lines of a page that look like titles, where it has no headings of its own.

    They are bold or centered as a whole, are written as titles without a mark at their end, have text behind them, and
    are at least three. Lines with numbers are told from others by these.

    Args:
        root: of the page; a line that is a title gets the role of a heading.
    """
    lines = [element for element in root.iter("p", "div", "center", *_HEADINGS) if _is_line(element)]
    if sum(element.tag in _HEADINGS for element in lines) > 1:
        return
    places = [place for place, element in enumerate(lines) if _looks_like_title(element)]
    if len(places) < _MIN_TITLES or any(
        starts_chapter(_text_of(lines[place])) or is_title_line(_text_of(lines[place])) for place in places
    ):
        return
    titles = []
    for place, following in zip(places, [*places[1:], len(lines)], strict=True):
        if sum(len(_text_of(element)) for element in lines[place + 1 : following]) >= _MIN_LETTERS_BEHIND:
            titles.append(lines[place])
    if len(titles) >= _MIN_TITLES:
        for element in titles:
            element.set("role", "heading")
            element.set("aria-level", "2")


def _is_line(element: Any) -> bool:
    return not any(child.tag in BLOCKS for child in element.iter() if child is not element)


def _text_of(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def _looks_like_title(element: Any) -> bool:
    text = _text_of(element)
    if element.tag in _HEADINGS or len(text) > _MAX_TITLE_CHARS or not looks_like_title(text):
        return False
    bold = " ".join("".join(part for found in element.iter(*_BOLD) for part in found.itertext()).split())
    around = [element, *(parent for parent in element.iterancestors() if parent.tag in ("center", "div"))][:2]
    is_centered = any(
        found.tag == "center" or found.get("align") == "center" or _CENTERED.search(found.get("style") or "")
        for found in around
    )
    return bold == text or is_centered
