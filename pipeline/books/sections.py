"""A book between its cuts: sections, why one of them is not read, and the parts that they are in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pipeline.books.chapter_titles import merge_titles
from pipeline.books.document import Block, Document, readable, words_in, words_of
from pipeline.books.headings import (
    division_of,
    fold_title,
    is_bare_label,
    is_named,
    is_notes_title,
    is_part_label,
    is_unread_at_the_edges,
    is_unread_title,
    number_of,
    rank_of,
    starts_chapter,
)
from pipeline.books.outline import Cut

_MIN_PROSE_WORDS, _MIN_PARAGRAPH_WORDS = 200, 40
"""Before the first chapter so many words, in paragraphs of so many, are a text and no title page."""
_MAX_LEAD_WORDS = 100
"""Under the title of a part: more is a chapter of its own."""
_MAX_TITLE_PAGE_WORDS, _MAX_RIGHTS_WORDS = 60, 300
_RIGHTS = re.compile(
    r"©|\(c\)\s*\d{4}|\bcopyright\b|\ball rights reserved|\bISBN\b|\balle rechte vorbehalten|"
    r"\btous droits réservés|\bderechos reservados|\bdiritti riservati|\bdireitos reservados|版权所有",
    re.I,
)
_ENDS_SENTENCE = re.compile(r"[^\W\d_]{2}[.!?…][\"'”’]?$")
_NOTE = re.compile(r"^[\[({]?(?:\d{1,3}|[a-z]|[*†‡§]{1,3}|[¹²³⁰-⁹]{1,3})[\])}.:]?\s", re.I)


@dataclass
class Section:
    """What is between two cuts."""

    blocks: list[Block]
    label: str = ""
    """As the table of contents has it."""
    is_part: bool = False
    is_tentative: bool = False
    """It begins where the title of front or back matter stands, and no chapter would."""
    depth: int = 0
    reason: str = ""
    """Why nothing of it is read."""
    above: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """As the table of contents has it, else the first heading."""
        headings = [block for block in self.blocks if block.kind == "heading"]
        named_by = readable(headings) if self.has_text else headings
        return self.label or next((block.text for block in named_by), "")

    @property
    def has_text(self) -> bool:
        """Whether anything but headings and breaks is read."""
        return any(block.kind not in ("heading", "scene") for block in readable(self.blocks))


def make_sections(blocks: list[Block], cuts: list[Cut]) -> list[Section]:
    """Cut the blocks, also where the title of front or back matter stands; the first section is what is before."""
    begins: dict[int, tuple[Cut | None, bool]] = {}
    for cut in cuts:
        start = cut.start
        # An anchor may stand below the heading that it is for.
        while (
            start
            and blocks[start - 1].kind == "heading"
            and not (blocks[start - 1].entries or blocks[start - 1].reason or blocks[start].kind == "heading")
        ):
            start -= 1
        begins[start] = (cut, False)  # Of several at one place the lowest has the text.
    for number, block in enumerate(blocks):
        if block.kind == "heading" and not block.reason and number not in begins and is_unread_at_the_edges(block.text):
            begins[number] = (None, True)
    places = sorted({0, *begins})
    sections = []
    for start, end in zip(places, [*places[1:], len(blocks)], strict=True):
        found, is_tentative = begins.get(start, (None, False))
        section = Section(blocks[start:end], is_tentative=is_tentative)
        if found is not None:
            section.label, section.is_part, section.depth = found.label, found.kind == "part", found.depth
        if not is_tentative and (found is None or found.kind == "book"):
            section.reason = "before the first chapter"
        sections.append(section)
    return sections


def put_title(section: Section, document: Document) -> None:
    """Begin a section of the table of contents with its title, which the text may have as a paragraph or not at all."""
    texts = [number for number, block in enumerate(section.blocks) if not block.reason and block.kind != "scene"]
    if not section.label or not section.has_text or any(section.blocks[n].kind == "heading" for n in texts[:3]):
        return
    for count in (1, 2, 3):
        heads = [section.blocks[number] for number in texts[:count]]
        text = " ".join(block.text for block in heads)
        if fold_title(text) == fold_title(section.label) or (count == 1 and _is_same_number(text, section.label)):
            for number in texts[:count]:
                section.blocks[number] = replace(section.blocks[number], kind="heading", level=2)
            section.blocks = merge_titles(section.blocks)
            return
    section.blocks.insert(texts[0], Block("heading", section.label, 2))
    document.num_words += words_in(section.label)


def _is_same_number(text: str, label: str) -> bool:
    """Return whether a line is the number of a title, as `CHAPTER I` is of `Chapter 1`."""
    number = number_of(text) if is_bare_label(text) else None
    return number is not None and number == number_of(label) and division_of(text) == division_of(label)


def judge_sections(sections: list[Section], is_by_contents: bool, book: str = "") -> list[Section]:
    """Say of each section why it is not read, if it is not; `book` is the title of all."""
    for section in sections:
        title = section.title
        if section.reason and (_is_prose(section) or len(sections) == 1):
            section.reason = ""
        elif not section.reason and section.has_text and is_unread_title(title):
            section.reason = "front or back matter"
        _leave_notes_out(section)
    for ordered in (sections, sections[::-1]):
        for section in ordered:
            if section.has_text and not section.reason and not section.is_part:
                if not is_unread_at_the_edges(section.title):
                    break
                section.reason = "front or back matter"
    kept: list[Section] = []
    for section in sections:
        if kept and section.is_tentative and not section.reason:
            kept[-1].blocks += section.blocks
        else:
            kept.append(section)
    if not is_by_contents:
        _leave_title_pages_out(kept, book)
    return _join_parts(kept)


def _is_prose(section: Section) -> bool:
    counts = [words_in(block.text) for block in readable(section.blocks) if block.kind == "paragraph"]
    return sum(count for count in counts if count >= _MIN_PARAGRAPH_WORDS) >= _MIN_PROSE_WORDS


def _leave_notes_out(section: Section) -> None:
    """Leave out notes under a heading of their own inside a chapter, if their lines begin as notes do.

    A heading or line above notes that are left out already goes with them.
    """
    blocks = section.blocks
    first = next((number for number, block in enumerate(blocks) if block.kind == "heading"), 0)
    for number, block in enumerate(blocks):
        if block.reason or not (is_notes_title(block.text) or _is_note_title(block.text)):
            continue
        if block.kind != "heading":
            following = next((found for found in blocks[number + 1 :] if found.kind != "scene"), block)
            blocks[number] = block.left_out("footnote") if following.reason == "footnote" else block
            continue
        if number == first and not section.is_tentative and not section.label and starts_chapter(block.text):
            continue
        end = next(
            (
                later
                for later in range(number + 1, len(blocks))
                if blocks[later].kind == "heading" and blocks[later].level <= block.level
            ),
            len(blocks),
        )
        texts = [found.text for found in readable(blocks[number + 1 : end]) if found.kind not in ("heading", "scene")]
        is_told = not texts and any(found.reason == "footnote" for found in blocks[number + 1 : end])
        num_notes = sum(bool(_NOTE.match(text)) for text in texts) if is_notes_title(block.text) else 0
        if is_told or num_notes > len(texts) / 2:
            blocks[number:end] = [found.left_out("footnote") for found in blocks[number:end]]


def _is_note_title(text: str) -> bool:
    return text.strip(" .:").casefold() in ("note", "footnote", "endnote")


def _leave_title_pages_out(sections: list[Section], book: str) -> None:
    """Leave out what is before the first chapter of a book whose chapters are numbered, unless it is a text.

    Without numbers it is what stands under the book's title, or says whose the rights are, and is short.
    """
    texts = [section for section in sections if section.has_text and not section.reason]
    numbered = [section for section in texts if rank_of(section.title) or is_bare_label(section.title.split(" ")[0])]
    if len(numbered) < max(2, len(texts) / 2):
        for section in texts[:-1]:
            if not _is_title_page(section, book):
                return
            section.reason = "before the first chapter"
        return
    for section in texts:
        if section is numbered[0] or is_named(section.title) or section.is_part:
            return
        if not _is_prose(section):
            section.reason = "before the first chapter"


def _is_title_page(section: Section, book: str) -> bool:
    texts = [block.text for block in readable(section.blocks) if block.kind not in ("heading", "scene")]
    num_words = sum(map(words_in, texts))
    if any(map(_RIGHTS.search, texts)):
        return num_words <= _MAX_RIGHTS_WORDS and not _is_prose(section)
    is_book = bool(book) and fold_title(section.title) == fold_title(book)
    return is_book and num_words <= _MAX_TITLE_PAGE_WORDS and not any(map(_ENDS_SENTENCE.search, texts))


def _join_parts(sections: list[Section]) -> list[Section]:
    """Put the title of a part, and what little stands under it, where its first chapter begins."""
    joined: list[Section] = []
    pending: list[Block] = []
    above: list[tuple[int, str]] = []
    for section in sections:
        num_words = words_of(block for block in readable(section.blocks) if block.kind not in ("heading", "scene"))
        is_lead = not section.reason and (num_words <= _MAX_LEAD_WORDS if section.is_part else not section.has_text)
        # The title of a part that stands beside chapters, and not above them, goes on to the next such title.
        depth = section.depth if section.is_part else -1
        if is_lead and (section.is_part or is_part_label(section.title)):
            pending += section.blocks
            above = [*(part for part in above if -1 < part[0] < depth), (depth, section.title)]
            continue
        if not section.has_text:
            section.reason = section.reason or "heading without text"
        elif not section.reason:
            section.blocks, pending = [*pending, *section.blocks], []
            above = [part for part in above if part[0] < section.depth]
        section.above = tuple(title for _, title in above)
        joined.append(section)
    if pending:
        joined.append(Section(pending, reason="heading without text"))
    return joined
