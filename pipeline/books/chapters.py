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

from pipeline.books.cleaning import drop_voice_marks
from pipeline.books.document import Block, Document, readable, words_in, words_of
from pipeline.books.headings import (
    is_bare_label,
    is_contents_title,
    is_named,
    is_notes_title,
    is_numbered_title,
    is_part_label,
    is_unread_at_the_edges,
    is_unread_title,
    rank_of,
    starts_chapter,
)
from pipeline.books.markup import join_title
from pipeline.books.outline import Cut, Title, find_cuts
from pipeline.config.books import ChapterChoice

_MAX_KEY_CHARS = 48
_MAX_ENTRY_CHARS = 90
_MIN_PROSE_WORDS, _MIN_PARAGRAPH_WORDS = 200, 40
"""Before the first chapter so many words, in paragraphs of so many, are a text and no title page."""
_MAX_BEFORE_HEADING = 3
_MAX_LEAD_WORDS = 100
"""Under the title of a part: more is a chapter of its own."""
_NOTE = re.compile(r"^[\[(]?(?:\d{1,3}|[a-z]|[*†‡§]{1,3})[\]).:]?\s", re.I)
_FILE_NAME = re.compile(r"\.x?html?(?:#.*)?$|^(?:split|part|index|text)[_-]?\d+$", re.I)
_LEADING_ZEROS = re.compile(r"(?<=\s)0+(?=\d+\b)")


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


@dataclass
class _Section:
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
        headings = [block for block in self.blocks if block.kind == "heading"]
        named_by = readable(headings) if self.has_text else headings
        return self.label or next((block.text for block in named_by), "")

    @property
    def has_text(self) -> bool:
        return any(block.kind not in ("heading", "scene") for block in readable(self.blocks))


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
    titles = _titles_of_contents(document)
    cuts = _cuts_of_contents(titles, blocks)
    is_by_contents = bool(cuts)
    if not is_by_contents:
        blocks = _merge_titles(_leave_contents_out(blocks))
        cuts = find_cuts(_titles_of_headings(blocks), _words_by_block(blocks))
    sections = _make_sections(blocks, cuts)
    if is_by_contents:
        sections = [replace(section, blocks=_merge_titles(_leave_contents_out(section.blocks))) for section in sections]
        for section in sections:
            _put_title(section, document)
    sections = _judge(sections, is_by_contents)
    chosen, unknown = _choose(sections, choice)
    return _describe(chosen, document.missing, unknown)


def _words_by_block(blocks: list[Block]) -> list[int]:
    return [0 if block.reason or block.kind == "heading" else words_in(block.text) for block in blocks]


def _titles_of_contents(document: Document) -> list[Title]:
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


def _cuts_of_contents(titles: list[Title], blocks: list[Block]) -> list[Cut]:
    """Return the cuts of a table of contents; none where it names fewer than two places with text."""
    cuts = find_cuts(titles, _words_by_block(blocks))
    if not cuts:
        return []
    ends = [*(cut.start for cut in cuts[1:]), len(blocks)]
    num_filled = sum(
        any(block.kind not in ("heading", "scene") for block in readable(blocks[cut.start : end]))
        for cut, end in zip(cuts, ends, strict=True)
    )
    has_headings = any(block.kind == "heading" for block in readable(blocks))
    return cuts if num_filled > 1 or (num_filled and not has_headings) else []


def _titles_of_headings(blocks: list[Block]) -> list[Title]:
    return [
        Title(block.text, block.level, number)
        for number, block in enumerate(blocks)
        if block.kind == "heading" and not block.reason and not is_unread_at_the_edges(block.text)
    ]


def _leave_contents_out(blocks: list[Block]) -> list[Block]:
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


def _is_chapter_title(text: str) -> bool:
    return starts_chapter(text) or is_numbered_title(text)


def _merge_titles(blocks: list[Block]) -> list[Block]:
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


def _make_sections(blocks: list[Block], cuts: list[Cut]) -> list[_Section]:
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
        section = _Section(blocks[start:end], is_tentative=is_tentative)
        if found is not None:
            section.label, section.is_part, section.depth = found.label, found.kind == "part", found.depth
        if not is_tentative and (found is None or found.kind == "book"):
            section.reason = "before the first chapter"
        sections.append(section)
    return sections


def _put_title(section: _Section, document: Document) -> None:
    """Begin a section of the table of contents with its title, which the text may have as a paragraph or not at all."""
    texts = [number for number, block in enumerate(section.blocks) if not block.reason and block.kind != "scene"]
    if not section.label or not section.has_text or any(section.blocks[n].kind == "heading" for n in texts[:3]):
        return
    for count in (1, 2, 3):
        heads = [section.blocks[number] for number in texts[:count]]
        if _fold(" ".join(block.text for block in heads)) == _fold(section.label):
            for number in texts[:count]:
                section.blocks[number] = replace(section.blocks[number], kind="heading", level=2)
            section.blocks = _merge_titles(section.blocks)
            return
    section.blocks.insert(texts[0], Block("heading", section.label, 2))
    document.num_words += words_in(section.label)


def _fold(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


def _judge(sections: list[_Section], is_by_contents: bool) -> list[_Section]:
    """Say of each section why it is not read, if it is not."""
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
    kept: list[_Section] = []
    for section in sections:
        if kept and section.is_tentative and not section.reason:
            kept[-1].blocks += section.blocks
        else:
            kept.append(section)
    if not is_by_contents:
        _leave_title_pages_out(kept)
    return _join_parts(kept)


def _is_prose(section: _Section) -> bool:
    counts = [words_in(block.text) for block in readable(section.blocks) if block.kind == "paragraph"]
    return sum(count for count in counts if count >= _MIN_PARAGRAPH_WORDS) >= _MIN_PROSE_WORDS


def _leave_notes_out(section: _Section) -> None:
    """Leave out notes under a heading of their own inside a chapter, if their lines begin as notes do."""
    blocks = section.blocks
    first = next((number for number, block in enumerate(blocks) if block.kind == "heading"), 0)
    for number, block in enumerate(blocks):
        if block.kind != "heading" or block.reason or not is_notes_title(block.text):
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
        if texts and sum(bool(_NOTE.match(text)) for text in texts) > len(texts) / 2:
            blocks[number:end] = [found.left_out("footnote") for found in blocks[number:end]]


def _leave_title_pages_out(sections: list[_Section]) -> None:
    """Leave out what is before the first chapter of a book whose chapters are numbered, unless it is a text."""
    texts = [section for section in sections if section.has_text and not section.reason]
    numbered = [section for section in texts if rank_of(section.title) or is_bare_label(section.title.split(" ")[0])]
    if len(numbered) < max(2, len(texts) / 2):
        return
    for section in texts:
        if section is numbered[0] or is_named(section.title) or section.is_part:
            return
        if not _is_prose(section):
            section.reason = "before the first chapter"


def _join_parts(sections: list[_Section]) -> list[_Section]:
    """Put the title of a part, and what little stands under it, where its first chapter begins."""
    joined: list[_Section] = []
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
        joined.append(_Section(pending, reason="heading without text"))
    return joined


def _choose(sections: list[_Section], choice: ChapterChoice | None) -> tuple[list[_Section], list[str]]:
    """Follow what the config says; numbers are those of the chapters that are read without it."""
    if choice is None:
        return sections, []
    number, known = 0, set[int | str]()
    for section in sections:
        names: set[int | str] = {_fold(section.title), _fold(_title_of(section))}
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
    return sections, [str(name) for name in wanted if not {name, _fold(str(name))} & known]


def _names(names: tuple[int | str, ...]) -> set[int | str]:
    return {name if isinstance(name, int) else _fold(name) for name in names}


def _is_matter(block: Block) -> bool:
    return block.reason in ("front or back matter", "about the edition", "footnote", "table of contents")


def _title_of(section: _Section) -> str:
    titles = _leading_headings(readable(section.blocks))
    parts = [title for title in titles if is_part_label(title)]
    rest = [title for title in titles if title not in parts]
    return drop_voice_marks(section.label or (rest or titles or [""])[0])


def _describe(sections: list[_Section], missing: list[str], unknown: list[str]) -> Split:
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
