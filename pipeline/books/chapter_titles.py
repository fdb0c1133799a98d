"""Where chapters begin: by the book's own table of contents, or by its headings."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import replace

from pipeline.books.document import Block, Document, readable, words_in
from pipeline.books.headings import (
    CHAPTER_RANK,
    fold_title,
    is_bare_label,
    is_contents_title,
    is_finis,
    is_numbered_title,
    is_of_a_play,
    is_part_label,
    is_unread_at_the_edges,
    label_of,
    looks_like_title,
    number_of,
    rank_of,
    starts_chapter,
)
from pipeline.books.markup import join_title
from pipeline.books.outline import Cut, Title, find_cuts

_MAX_ENTRY_CHARS = 90
_MAX_NAME_CHARS = 60
_MAX_ENTRY_WORDS = 60
_MIN_CHAPTER_WORDS = 100
"""Behind the title of the book at its end."""
_FILE_NAME = re.compile(r"\.(?:x?html?(?:#.*)?|indd|docx?|tex|qxd|rtf)$|^(?:split|part|index|text)[_-]?\d+$", re.I)
_LEADING_ZEROS = re.compile(r"(?<=\s)0+(?=\d+\b)")


def words_by_block(blocks: list[Block]) -> list[int]:
    """Return how many words of each block are read, headings aside."""
    return [0 if block.reason or block.kind == "heading" else words_in(block.text) for block in blocks]


def titles_of_contents(document: Document) -> list[Title]:
    """Return the entries of the book's own contents that begin somewhere in its text."""
    starts: dict[int, int] = {}
    for number, block in enumerate(document.blocks):
        for entry in block.entries:
            starts.setdefault(entry, number)
    return [
        Title("" if _FILE_NAME.search(entry.label) else entry.label, entry.depth, starts[number], entry.place)
        for number, entry in enumerate(document.contents)
        if number in starts
    ]  # fmt: skip


def cuts_of_contents(titles: list[Title], blocks: list[Block]) -> list[Cut]:
    """Return the cuts of a table of contents; none where it names under two places with text, front matter aside."""
    cuts = find_cuts(titles, words_by_block(blocks))
    if not cuts:
        return []
    ends = [*(cut.start for cut in cuts[1:]), len(blocks)]
    num_filled = sum(
        any(block.kind not in ("heading", "scene") for block in readable(blocks[cut.start : end]))
        for cut, end in zip(cuts, ends, strict=True)
        if not is_unread_at_the_edges(cut.label)
    )
    has_headings = any(block.kind == "heading" for block in readable(blocks))
    return cuts if num_filled > 1 or (num_filled and not has_headings) else []


def titles_of_headings(blocks: list[Block], book: str = "") -> list[Title]:
    """Return the headings that are read, but for those of front and back matter and of a play within a chapter.

    Args:
        blocks: of the book.
        book: its title; with little behind it at the end it is no chapter, and `The End` is none.
    """
    titles = [
        Title(block.text, block.level, number)
        for number, block in enumerate(blocks)
        if block.kind == "heading" and not block.reason and not is_unread_at_the_edges(block.text)
    ]
    titles = [title for title in titles if not is_finis(title.label)]
    return _without_plays(_without_running_titles(titles, blocks, book))


def _without_running_titles(titles: list[Title], blocks: list[Block], book: str) -> list[Title]:
    """Leave out the book's own title where it comes again and again, or at the end with little text behind it."""
    if len(titles) < 3:
        return titles
    first = fold_title(titles[0].label)
    is_above_all = all(title.depth > titles[0].depth for title in titles[1:] if fold_title(title.label) != first)
    names = {fold_title(book), *([first] if is_above_all else [])}
    again = [title for title in titles[1:] if fold_title(title.label) in names and number_of(title.label) is None]
    is_last = again == titles[-1:] and 0 < sum(words_by_block(blocks[titles[-1].start :])) < _MIN_CHAPTER_WORDS
    left_out = {title.start for title in again if is_last or len(again) > 1}
    return [title for title in titles if title.start not in left_out]


def _without_plays(titles: list[Title]) -> list[Title]:
    """Leave out acts and scenes behind which the chapters before them go on: somebody in the book acts a play."""
    chapters, acts, left_out = set[str](), set[int](), set[int]()
    for title in titles:
        if is_of_a_play(title.label):
            acts |= {title.start} if chapters else set()
        elif rank_of(title.label) == CHAPTER_RANK:
            label = label_of(title.label)
            left_out |= acts if label not in chapters else set()
            chapters.add(label)
            acts.clear()
        elif is_part_label(title.label):
            acts.clear()
    return [title for title in titles if title.start not in left_out]


def leave_contents_out(blocks: list[Block]) -> list[Block]:
    """Leave out a table of contents: what follows its title, up to the first heading that text follows."""
    places = [number for number, block in enumerate(blocks) if not block.reason]
    read = [blocks[number] for number in places]
    result = list(blocks)
    tables: _Tables | None = None
    end = 0
    for index, block in enumerate(read):
        if index >= end and block.kind == "heading" and is_contents_title(block.text):
            tables = tables or _Tables(read)
            end = tables.find_end(index + 1)
        if index < end:
            result[places[index]] = block.left_out("table of contents")
    return result


class _Tables:
    """Where tables of contents end; reads each block once, however many titles of tables there are."""

    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._headings = [index for index, block in enumerate(blocks) if block.kind == "heading"]
        self._labels = [label_of(blocks[index].text) for index in self._headings]
        self._last = {label: number for number, label in enumerate(self._labels)}
        self._ends = [index for index in self._headings if self._is_end(index)]
        self._long = [index for index, block in enumerate(blocks) if len(block.text) > _MAX_ENTRY_CHARS]

    def find_end(self, start: int) -> int:
        """Return the first block behind the table whose first entry is at `start`."""
        start = self._skip_entries(start)
        # Without a heading after it, what is short is the table, and the rest is the book.
        for ends in (self._ends, self._long):
            if (number := bisect_left(ends, start)) < len(ends):
                return ends[number]
        return len(self._blocks)

    def _is_end(self, index: int) -> bool:
        """Return whether a heading is none of a table's: text follows it, or it stands above chapters."""
        block = self._blocks[index]
        if is_contents_title(block.text):
            return False
        following = next((later for later in self._blocks[index + 1 : index + 3] if later.kind != "scene"), None)
        is_entry = following is not None and following.kind == "heading" and _is_chapter_title(following.text)
        return not is_entry or is_part_label(block.text)

    def _skip_entries(self, start: int) -> int:
        """Return where the first heading is no entry: one has next to no text of its own, and is named again later.

        The title of the next table is none, so that nothing is read twice.
        """
        first = bisect_left(self._headings, start)
        for number in range(first, len(self._headings) - 1):
            index, end = self._headings[number : number + 2]
            label = self._labels[number]
            num_words = sum(words_in(block.text) for block in self._blocks[index + 1 : end])
            is_named_again = bool(label) and self._last[label] > number and num_words <= _MAX_ENTRY_WORDS
            is_line = bool(label and self._labels[number + 1]) and not num_words
            if not is_named_again and not (is_line and not is_part_label(self._blocks[index].text)):
                return index if number > first else start
        return start


def _is_chapter_title(text: str) -> bool:
    return starts_chapter(text) or is_numbered_title(text)


def merge_titles(blocks: list[Block]) -> list[Block]:
    """Join `Chapter I` with the name of the chapter in the next heading or short line."""
    merged: list[Block] = []
    for number, block in enumerate(blocks):
        if block.kind == "heading" and not block.reason and starts_chapter(block.text):
            block = replace(block, text=_LEADING_ZEROS.sub("", block.text))
        last = merged[-1] if merged else None
        if last is not None and _is_name_of(last, block, blocks[number + 1 : number + 2]):
            text = f"{join_title(last.text)} {block.text}"
            level = min(last.level, block.level) if block.kind == "heading" else last.level
            merged[-1] = replace(last, text=text, level=level, entries=last.entries + block.entries)
        else:
            merged.append(block)
    return merged


def _is_name_of(label: Block, block: Block, following: list[Block]) -> bool:
    if label.kind != "heading" or label.reason or block.reason or not is_bare_label(label.text):
        return False
    if label.entries and block.entries:
        return False
    if is_part_label(label.text) and not (following and following[0].kind == "heading"):
        return False  # What text follows is the title of the part's first chapter.
    if block.kind == "heading":
        return not starts_chapter(block.text) and not is_bare_label(block.text)
    if block.kind != "paragraph" or len(block.text) > _MAX_NAME_CHARS or not following:
        return False
    # French and German titles have few capitals; a paragraph, unlike them, ends with a mark.
    is_line = block.text[0].isupper() and block.text[-1].isalpha()
    is_above_text = any(
        len(later.text) > _MAX_NAME_CHARS or not later.text[-1:].isalpha()
        for later in following
        if later.kind not in ("heading", "scene") and not later.reason
    )
    return looks_like_title(block.text) or (is_line and is_above_text)
