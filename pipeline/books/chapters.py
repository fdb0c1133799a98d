"""Find the chapters of a book, and say of every part of it what is read and what is not.

The book's own table of contents decides; without a usable one its headings do. Nothing leaves the list of blocks: what
is not read is marked with the reason, so that the words of all parts add up to those of the book.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import takewhile

from pipeline.books.chapter_titles import (
    cuts_of_contents,
    leave_contents_out,
    merge_titles,
    titles_of_contents,
    titles_of_headings,
    words_by_block,
)
from pipeline.books.cleaning import drop_voice_marks, leave_advertisements_out
from pipeline.books.document import Block, Document, readable, words_in, words_of
from pipeline.books.headings import fold_title, is_part_label
from pipeline.books.outline import find_cuts
from pipeline.books.sections import Section, judge_sections, make_sections, put_title
from pipeline.books.unmarked_headings import mark_titles
from pipeline.config.books import ChapterChoice

_MAX_KEY_CHARS = 48
_MAX_BEFORE_HEADING = 3


@dataclass
class Chapter:
    """What is read under one heading.

    Attributes:
        number: from 1, among those that the book has.
        key: a name of its own in the book, from the title; an edit elsewhere does not change it.
        title: as the table of contents has it, else the heading; empty where the book has none.
        blocks: the heading first.
        parts: the titles of what it is in, the highest first.
    """

    number: int
    key: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A chapter or something between chapters, for the account of a book.

    Attributes:
        title: of it; empty where it has none.
        chapter: its number, None where nothing of it is read.
        num_words: that are read.
        left_out: words that are not, by reason.
    """

    title: str
    chapter: int | None
    num_words: int
    left_out: dict[str, int]


@dataclass(frozen=True)
class Split:
    """A book in chapters.

    Attributes:
        chapters: those that are read.
        parts: everything, in order.
        blocks: of all parts.
        missing: chapters of the book's own table of contents that were not found in its text.
        unknown: numbers and titles that were chosen and that no part has.
    """

    chapters: list[Chapter]
    parts: list[Part]
    blocks: list[Block]
    missing: list[str]
    unknown: list[str]


def split_into_chapters(document: Document, choice: ChapterChoice | None = None) -> Split:
    """Cut a book into chapters.

    The book's own table of contents says where they begin, if it names at least two places with text; else its headings
    do, parts above chapters. Front and back matter is left out: what the book marks as such, and at its begin and end
    what has the title of such.

    Args:
        document: its blocks are all that the book has; `num_words` grows by the titles that only its contents have.
        choice: what to read of it instead of everything that looks like a chapter.
    """
    blocks = document.blocks
    titles = titles_of_contents(document)
    cuts = cuts_of_contents(titles, blocks)
    if cuts and all(block.kind != "heading" for block in blocks):
        # An entry for all of the book says nothing of chapters that are ordinary paragraphs.
        marked = mark_titles(blocks)
        cuts = cuts_of_contents(titles, marked)
        blocks = blocks if cuts else marked
    is_by_contents = bool(cuts)
    if not is_by_contents:
        blocks = merge_titles(leave_contents_out(leave_advertisements_out(mark_titles(blocks))))
        cuts = find_cuts(titles_of_headings(blocks, document.title), words_by_block(blocks))
    sections = make_sections(blocks, cuts)
    if is_by_contents:
        sections = [replace(section, blocks=merge_titles(leave_contents_out(section.blocks))) for section in sections]
        for section in sections:
            put_title(section, document)
    sections = judge_sections(sections, is_by_contents, document.title)
    chosen, unknown = _choose(sections, choice)
    return _describe(chosen, document.missing, unknown)


def _choose(sections: list[Section], choice: ChapterChoice | None) -> tuple[list[Section], list[str]]:
    """Follow what the config says; numbers are those of the chapters that are read without it."""
    if choice is None:
        return sections, []
    number, known = 0, set[int | str]()
    for section in sections:
        names: set[int | str] = {fold_title(section.title), fold_title(_title_of(section))}
        if not section.reason:
            number += 1
            names.add(number)
        known |= names
        if not names.isdisjoint(_names(choice.exclude)):
            section.reason = section.reason or "not chosen"
        elif isinstance(choice.include, tuple):
            if names.isdisjoint(_names(choice.include)):
                section.reason = section.reason or "not chosen"
            elif section.reason:
                own = section.reason
                section.blocks = [replace(block, reason="") if block.reason == own or _is_matter(block) else block
                                  for block in section.blocks]  # fmt: skip
                section.reason = ""
    wanted = [*(choice.include if isinstance(choice.include, tuple) else ()), *choice.exclude]
    return sections, [str(name) for name in wanted if not {name, fold_title(str(name))} & known]


def _names(names: tuple[int | str, ...]) -> set[int | str]:
    return {name if isinstance(name, int) else fold_title(name) for name in names}


def _is_matter(block: Block) -> bool:
    return block.reason in ("front or back matter", "about the edition", "footnote", "table of contents")


def _title_of(section: Section) -> str:
    titles = _leading_headings(readable(section.blocks))
    parts = [title for title in titles if is_part_label(title)]
    rest = [title for title in titles if title not in parts]
    return drop_voice_marks(section.label or (rest or titles or [""])[0])


def _describe(sections: list[Section], missing: list[str], unknown: list[str]) -> Split:
    chapters: list[Chapter] = []
    parts: list[Part] = []
    everything: list[Block] = []
    seen: Counter[str] = Counter()
    number = 0
    for section in sections:
        blocks = [block.left_out(section.reason) if section.reason else block for block in section.blocks]
        everything += blocks
        title = _title_of(section)
        left_out: Counter[str] = Counter()
        for block in blocks:
            if block.reason:
                left_out[block.reason] += words_in(block.text)
        if not section.reason or section.reason == "not chosen":
            number += 1
        is_read = not section.reason
        if is_read:
            read = _drop_scenes(readable(blocks))
            key = _slug(" ".join(_leading_headings(read))) or "text"
            seen[key] += 1
            key = key if seen[key] == 1 else f"{key}-{seen[key]}"
            chapters.append(Chapter(number, key, title, read, section.above))
        counts = {reason: count for reason, count in left_out.items() if count}
        parts.append(Part(title, number if is_read else None, words_of(readable(blocks)), counts))
    return Split(chapters, parts, everything, missing, unknown)


def _leading_headings(blocks: list[Block]) -> list[str]:
    first = next((number for number, block in enumerate(blocks) if block.kind == "heading"), len(blocks))
    headings = takewhile(lambda block: block.kind == "heading", blocks[first:] if first < _MAX_BEFORE_HEADING else ())
    return [block.text for block in headings]


def _drop_scenes(blocks: list[Block]) -> list[Block]:
    """Return the blocks without breaks that follow a break or stand at an end."""
    kept: list[Block] = []
    for block in blocks:
        if block.kind != "scene" or (kept and kept[-1].kind != "scene"):
            kept.append(block)
    while kept and kept[-1].kind == "scene":
        kept.pop()
    return kept


def _slug(text: str) -> str:
    folded = unicodedata.normalize("NFKD", drop_voice_marks(text)).lower().replace("'", "").replace("’", "")
    return re.sub(r"[^\w]+", "-", re.sub(r"[\u0300-\u036f]", "", folded)).strip("-_")[:_MAX_KEY_CHARS].strip("-")
