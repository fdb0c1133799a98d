"""Find the chapters of a book among its headings, and leave out what is before, between and after them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field

from pipeline.books.cleaning import drop_voice_marks
from pipeline.books.document import Block, LeftOut
from pipeline.books.headings import (
    has_chapter_label,
    is_bare_label,
    is_contents_title,
    is_numbered_title,
    is_part_label,
    is_unread_title,
    starts_chapter,
)

_MAX_KEY_CHARS = 48
_MAX_ENTRY_CHARS = 90
_LABELLED, _NUMBERED = 0, -1


@dataclass
class Chapter:
    """What is read under one heading.

    Attributes:
        key: a name of its own in the book, from the title; an edit elsewhere does not change it.
        title: the heading, empty where the book has none.
        blocks: the heading first.
    """

    key: str
    title: str
    blocks: list[Block] = field(default_factory=list)


def split_into_chapters(blocks: list[Block], left_out: LeftOut) -> list[Chapter]:
    """Cut a book at the headings of its chapters.

    Headings such as `Chapter I` count; without any, those with a number and a name; without these, those of the highest
    level that occurs twice; without headings the whole book is one chapter. What stands before the first
    heading is front matter.

    Args:
        blocks: of the whole book.
        left_out: collects what is not read.
    """
    blocks = _merge_titles(_drop_contents(_drop_repeated_scenes(blocks), left_out))
    levels = _chapter_levels(blocks)
    sections: list[list[Block]] = [[]]
    for block in blocks:
        if block.kind == "heading" and _begins(block, levels):
            sections.append([])
        sections[-1].append(block)
    if len(sections) == 1 and _has_text(sections[0]):
        return _name_chapters([sections[0]])
    for block in sections[0]:
        if block.text:
            left_out.add("front matter", block.text)
    return _name_chapters(_drop_unread(sections[1:], left_out))


def _drop_repeated_scenes(blocks: list[Block]) -> list[Block]:
    kept: list[Block] = []
    for block in blocks:
        if block.kind != "scene" or (kept and kept[-1].kind != "scene"):
            kept.append(block)
    return kept


def _drop_contents(blocks: list[Block], left_out: LeftOut) -> list[Block]:
    """Leave out a table of contents: what follows its title, up to the first heading that text follows."""
    kept: list[Block] = []
    end = 0
    for index, block in enumerate(blocks):
        if index >= end and block.kind == "heading" and is_contents_title(block.text):
            end = _find_contents_end(blocks, index + 1)
        if index < end:
            left_out.add("table of contents", block.text)
        else:
            kept.append(block)
    return kept


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
    for block in blocks:
        if merged and merged[-1].kind == "heading" and is_bare_label(merged[-1].text) and _is_name(block):
            label = merged[-1].text.rstrip(" .:")
            merged[-1] = Block("heading", f"{label}. {block.text}", merged[-1].level)
        else:
            merged.append(block)
    return merged


def _is_name(block: Block) -> bool:
    if block.kind == "heading":
        return not starts_chapter(block.text) and not is_bare_label(block.text)
    words = re.findall(r"[^\W\d_]{4,}", block.text)
    is_titled = bool(words) and all(word[0].isupper() for word in words)
    return block.kind == "paragraph" and len(block.text) <= 60 and is_titled and block.text[-1] not in ".,;:'\"’”"


def _chapter_levels(blocks: list[Block]) -> set[int]:
    """Return the levels whose headings begin a chapter; `_LABELLED` and `_NUMBERED` stand for those of any level."""
    headings = [block for block in blocks if block.kind == "heading" and not is_unread_title(block.text)]
    if any(has_chapter_label(block.text) for block in headings):
        return {_LABELLED}
    if sum(is_numbered_title(block.text) for block in headings) > 1:
        return {_NUMBERED}
    counts = Counter(block.level for block in headings)
    repeated = [level for level, count in sorted(counts.items()) if count > 1]
    if repeated:
        return set(range(1, repeated[0] + 1))
    return {max(counts)} if counts else set()


def _begins(block: Block, levels: set[int]) -> bool:
    if is_unread_title(block.text) or starts_chapter(block.text):
        return True
    return is_numbered_title(block.text) if _NUMBERED in levels else block.level in levels


def _has_text(blocks: list[Block]) -> bool:
    return any(block.kind not in ("heading", "scene") for block in blocks)


def _drop_unread(sections: list[list[Block]], left_out: LeftOut) -> list[list[Block]]:
    kept: list[list[Block]] = []
    pending: list[Block] = []  # The heading of a part, read where its first chapter begins.
    for section in sections:
        title = section[0].text
        if is_unread_title(title):
            left_out.add("front or back matter", title, len(section))
        elif _has_text(section):
            kept.append([*pending, *section])
            pending = []
        elif is_part_label(title):
            pending = [*pending, *section]
        else:
            left_out.add("heading without text", title)
    return kept


def _name_chapters(sections: list[list[Block]]) -> list[Chapter]:
    chapters: list[Chapter] = []
    seen: Counter[str] = Counter()
    for section in sections:
        while section and section[-1].kind == "scene":
            section.pop()
        titles = [block.text for block in section[:3] if block.kind == "heading"]
        title = drop_voice_marks(titles[-1] if len(titles) > 1 and is_part_label(titles[0]) else (titles or [""])[0])
        key = _slug(" ".join(titles)) or "text"
        seen[key] += 1
        chapters.append(Chapter(key if seen[key] == 1 else f"{key}-{seen[key]}", title, section))
    return chapters


def _slug(text: str) -> str:
    folded = unicodedata.normalize("NFKD", drop_voice_marks(text)).lower().replace("'", "").replace("’", "")
    return re.sub(r"[^\w]+", "-", re.sub(r"[\u0300-\u036f]", "", folded)).strip("-_")[:_MAX_KEY_CHARS].strip("-")
