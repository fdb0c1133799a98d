"""Which titles of a book begin a chapter, which stand above chapters, and which divide one.

Titles come from the book's own table of contents, or else from its headings; both are a tree. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.books.headings import CHAPTER_RANK, rank_of

_SECTION = re.compile(r"(?:\d{1,3}|[A-Z])\.\d{1,3}(?!\d)")
_OWN_SHARE = 0.05
"""A part may have so much text of its own, say a motto; more, and it is a chapter with sections."""
_WHOLE_SHARE = 0.9
_MOST = 0.5
_LABELED_SHARE = 0.8


@dataclass
class Title:
    """A line of a table of contents, or a heading.

    Attributes:
        label: its words.
        depth: smaller is higher.
        start: the block with which it begins.
        place: the file that holds it, where that is known.
        num_words: from there to the next title.
        below: the titles that stand under it.
    """

    label: str
    depth: int
    start: int
    place: str = ""
    num_words: int = 0
    below: list[Title] = field(default_factory=list)

    @property
    def num_words_below(self) -> int:
        """Words under it, its own included."""
        return self.num_words + sum(title.num_words_below for title in self.below)


@dataclass(frozen=True)
class Cut:
    """Where a chapter begins, or where a part does.

    Attributes:
        start: the block with which it begins.
        label: the title's words.
        kind: after the title of a `part`, what follows up to the next cut leads into the chapter after it; after that
            of the `book` it is front matter.
        depth: of the title; smaller is higher.
    """

    start: int
    label: str
    kind: Literal["chapter", "part", "book"] = "chapter"
    depth: int = 0


def find_cuts(titles: Sequence[Title], words: Sequence[int]) -> list[Cut]:
    """Return where chapters and parts begin, in the order of the book.

    A title without others under it begins a chapter. One with others is a part, if it says so or has next to no text of
    its own, and a chapter with sections otherwise; titles that stand beside each other are judged together. A file that
    the contents name and that holds everything under its title is a chapter, unless it holds most of the book or what
    stands under it is called chapters itself.

    Args:
        titles: in the order of the book or of its table of contents.
        words: of each block that is text and read, and 0 of others.
    """
    if not titles:
        return []
    _count_words(titles, words)
    roots: list[Title] = []
    above: list[Title] = []
    for title in titles:
        while above and above[-1].depth >= title.depth:
            above.pop()
        (above[-1].below if above else roots).append(title)
        above.append(title)
    return sorted(_cut(roots, max(1, sum(words))), key=lambda cut: cut.start)


def _count_words(titles: Sequence[Title], words: Sequence[int]) -> None:
    before = [0]
    for count in words:
        before.append(before[-1] + count)
    ordered = sorted(titles, key=lambda title: title.start)
    ends = [*(title.start for title in ordered[1:]), len(words)]
    for title, end in zip(ordered, ends, strict=True):
        title.num_words = before[end] - before[title.start]


def _cut(group: Sequence[Title], book_words: int) -> list[Cut]:
    book = _find_book_title(group)
    parts = set[int]() if book else _find_parts(group, book_words)
    cuts: list[Cut] = []
    for title in group:
        kind: Literal["chapter", "part", "book"] = "part" if id(title) in parts else "chapter"
        if title is book:
            kind = "book" if rank_of(title.label) is None else "part"
        cuts.append(Cut(title.start, title.label, kind, title.depth))
        if kind != "chapter":
            cuts += _cut(title.below, book_words)
    return cuts


def _find_book_title(group: Sequence[Title]) -> Title | None:
    """Return the title that has next to everything under it."""
    group_words = sum(title.num_words_below for title in group)
    inner = [title for title in group if title.below]
    return inner[0] if len(inner) == 1 and inner[0].num_words_below > _WHOLE_SHARE * group_words else None


def _find_parts(group: Sequence[Title], book_words: int) -> set[int]:
    """Return the identities of the titles in a group that stand above chapters."""
    group_words = max(1, sum(title.num_words_below for title in group))
    inner = [title for title in group if title.below]
    parts, doubtful = set[int](), list[Title]()
    for title in inner:
        rank = rank_of(title.label)
        if rank is not None and rank < CHAPTER_RANK:
            parts.add(id(title))
        elif _has_sections(title):
            continue
        elif rank is None and (not _is_one_file(title, book_words) or _has_chapters(title)):
            doubtful.append(title)
    own, below = (sum(getattr(title, name) for title in doubtful) for name in ("num_words", "num_words_below"))
    if doubtful and own < _OWN_SHARE * below:
        is_most = below > _MOST * group_words
        parts |= {id(title) for title in doubtful if is_most or _spans_files(title) or _has_chapters(title)}
    return parts


def _is_one_file(title: Title, book_words: int) -> bool:
    return bool(title.place) and not _spans_files(title) and title.num_words_below < _MOST * book_words


def _has_sections(title: Title) -> bool:
    """Return whether what stands under a title is numbered as its sections: `2.1` and `2.2`."""
    return sum(bool(_SECTION.match(below.label)) for below in title.below) > _MOST * len(title.below)


def _has_chapters(title: Title) -> bool:
    """Return whether what stands under a title is called chapters, or cantos, with few exceptions."""
    num_labeled = sum(rank_of(below.label) == CHAPTER_RANK for below in title.below)
    return num_labeled > 1 and num_labeled > _LABELED_SHARE * len(title.below)


def _spans_files(title: Title) -> bool:
    return any(below.place != title.place or _spans_files(below) for below in title.below)
