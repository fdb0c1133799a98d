"""What a web page has around a text and no book has: the name of the site, its links, whose the rights are."""

from __future__ import annotations

import re
from typing import Any

from pipeline.books.document import words_in
from pipeline.books.linked_notes import HEADINGS

ROLE = "page-furniture"
"""Of an element that is none of the text."""
_MAY_BE = ("footer", "aside", "header")
_TEXTS = ("main", "article")
_PARTS = ("section", "blockquote", "figure", *_TEXTS)
_RIGHTS = re.compile(r"©|\bcopyright\b|\ball rights reserved|\bprivacy\b|\bcookies?\b|\bterms of (?:use|service)", re.I)
_MAX_WORDS, _LINKED_SHARE = 80, 0.6


def mark_furniture(root: Any) -> None:
    """Give a role to what of a page is none of its text.

    It stands beside the `main` or `article` that has the text, says whose the rights are, or is made of links. An aside
    or a footer within a text, as of a letter, is read.
    """
    candidates = list(root.iter(*_MAY_BE))
    if not candidates:
        return  # Most pages of books: their words are not counted for it.
    num_words = _count(root)
    has_text = any(2 * _count(element) > num_words for element in root.iter(*_TEXTS))
    for element in candidates:
        if any(True for _ in element.iter(*HEADINGS)) or _count(element) > _MAX_WORDS:
            continue
        is_within = any(parent.tag in _PARTS for parent in element.iterancestors())
        if _is_linked(element) or (not is_within and (has_text or _says_rights(element))):
            element.set("role", ROLE)


def _count(element: Any) -> int:
    return words_in(" ".join(element.itertext()))


def _is_linked(element: Any) -> bool:
    links = list(element.iter("a"))
    return len(links) > 1 and sum(map(_count, links)) >= _LINKED_SHARE * _count(element)


def _says_rights(element: Any) -> bool:
    return element.tag == "footer" and bool(_RIGHTS.search(" ".join(element.itertext())))
