"""Where chapters begin: by the book's own table of contents, or by its headings."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

from pipeline.books.document import Block, Document, readable, words_in
from pipeline.books.headings import (
    is_bare_label,
    is_contents_title,
    is_numbered_title,
    is_part_label,
    is_unread_at_the_edges,
    label_of,
    starts_chapter,
)
from pipeline.books.markup import join_title
from pipeline.books.outline import Cut, Title, find_cuts

_MAX_ENTRY_CHARS = 90
_MAX_ENTRY_WORDS = 60
_FILE_NAME = re.compile(r"\.x?html?(?:#.*)?$|^(?:split|part|index|text)[_-]?\d+$", re.I)
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
    """Return the cuts of a table of contents; none where it names fewer than two places with text."""
    cuts = find_cuts(titles, words_by_block(blocks))
    if not cuts:
        return []
    ends = [*(cut.start for cut in cuts[1:]), len(blocks)]
    num_filled = sum(
        any(block.kind not in ("heading", "scene") for block in readable(blocks[cut.start : end]))
        for cut, end in zip(cuts, ends, strict=True)
    )
    has_headings = any(block.kind == "heading" for block in readable(blocks))
    return cuts if num_filled > 1 or (num_filled and not has_headings) else []


def titles_of_headings(blocks: list[Block]) -> list[Title]:
    """Return the headings that are read, but for those of front and back matter."""
    return [
        Title(block.text, block.level, number)
        for number, block in enumerate(blocks)
        if block.kind == "heading" and not block.reason and not is_unread_at_the_edges(block.text)
    ]


def leave_contents_out(blocks: list[Block]) -> list[Block]:
    """Leave out a table of contents: what follows its title, up to the first heading that text follows."""
    places = [number for number, block in enumerate(blocks) if not block.reason]
    read = [blocks[number] for number in places]
    result = list(blocks)
    end = 0
    for index, block in enumerate(read):
        if index >= end and block.kind == "heading" and is_contents_title(block.text):
            end = _find_contents_end(read, index + 1)
        if index < end:
            result[places[index]] = block.left_out("table of contents")
    return result


def _find_contents_end(blocks: list[Block], start: int) -> int:
    start = _skip_entries(blocks, start)
    for index in range(start, len(blocks)):
        block = blocks[index]
        if block.kind != "heading" or is_contents_title(block.text):
            continue
        following = next((later for later in blocks[index + 1 : index + 3] if later.kind != "scene"), None)
        is_entry = following is not None and following.kind == "heading" and _is_chapter_title(following.text)
        if not is_entry or is_part_label(block.text):
            return index
    # Without a heading after it, what is short is the table, and the rest is the book.
    lengths = (index for index, block in enumerate(blocks[start:], start) if len(block.text) > _MAX_ENTRY_CHARS)
    return next(lengths, len(blocks))


def _skip_entries(blocks: list[Block], start: int) -> int:
    """Return where the first heading stands that is not an entry: next to no text of its own, and named again later."""
    headings = [index for index in range(start, len(blocks)) if blocks[index].kind == "heading"]
    labels = [label_of(blocks[index].text) for index in headings]
    later = Counter(labels)
    for number, (index, end) in enumerate(pairwise(headings)):
        label = labels[number]
        later[label] -= 1
        num_words = sum(words_in(block.text) for block in blocks[index + 1 : end])
        is_named_again = bool(label) and later[label] > 0 and num_words <= _MAX_ENTRY_WORDS
        is_line = bool(label and labels[number + 1]) and not num_words and not is_part_label(blocks[index].text)
        if not is_named_again and not is_line:
            return index if number else start
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
            merged[-1] = replace(last, text=text, entries=last.entries + block.entries)
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
    return _is_name(block)


def _is_name(block: Block) -> bool:
    if block.kind == "heading":
        return not starts_chapter(block.text) and not is_bare_label(block.text)
    words = re.findall(r"[^\W\d_]{4,}", block.text)
    is_titled = bool(words) and all(word[0].isupper() for word in words)
    return block.kind == "paragraph" and len(block.text) <= 60 and is_titled and block.text[-1] not in ".,;:'\"’”"
