"""Titles of chapters that a book sets as ordinary paragraphs: known by their numbers, and only as a sequence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.books.document import Block
from pipeline.books.headings import (
    CHAPTER_RANK,
    division_of,
    is_bare_label,
    is_bare_number,
    is_finis,
    is_heading_line,
    is_named,
    is_numbered_title,
    is_unread_at_the_edges,
    number_of,
    rank_of,
)
from pipeline.books.markup import join_title
from pipeline.books.numerals import value_of

_MAX_TITLE_CHARS = 120
_MAX_LINES = 4
_MAX_WORD_CHARS = 14
_DECORATION = r"[-–—=*~#•·«»‹›<>\[\]()_|{}【】〔〕「」『』（）◆◇★☆※✦❦\s]"
_STRIPPED = re.compile(rf"^{_DECORATION}+|{_DECORATION}+$")
_NUMERAL = "[〇零一二三四五六七八九十百]{1,5}"
_CHINESE = re.compile(
    rf"^(?:[（(【]\s*(?P<inside>{_NUMERAL})\s*[）)】]|(?P<number>{_NUMERAL}(?=$|[、．.\s])|\d{{1,3}}(?=[、．])))[、．.\s]*(?P<name>.{{0,30}})$"
)
_ENDS_SENTENCE = re.compile(r"[.!?…:。！？：][\"'”’」』)）\]]*$")
_NAME_END = re.compile(r"[.,;:!?。，！？；：”]$")
_LISTED = re.compile(r"\d{1,3}\.\d")
_MIN_BARE = 3
_MAX_NEAR = 8


@dataclass(frozen=True)
class _Line:
    """A block that could be the title of a chapter or a part."""

    place: int
    number: int
    text: str
    is_marked: bool
    """The book marks it as a heading."""
    division: str
    """`chapter`, or the sign of a Chinese heading; empty for a number without one."""
    rank: int
    is_plain: bool
    """A number and nothing else, with nothing around it."""


def mark_titles(blocks: list[Block]) -> list[Block]:
    """Make headings of paragraphs that are titles by their numbers: one after the other, each with text behind it.

    A line that is in no such sequence stays what it is. Beside a sequence, `Prologue` and the like are titles, too.

    Args:
        blocks: of a book without a table of contents of its own.
    """
    lines = [line for line in _find_lines(blocks) if line.is_marked or _has_text_behind(blocks, line.place)]
    parts = _longest_run([line for line in lines if line.rank < CHAPTER_RANK])
    parts = parts if len(parts) > 1 else []
    chapters = _find_chapters(blocks, [line for line in lines if line.rank == CHAPTER_RANK], parts)
    if len(chapters) < 2:
        return blocks
    level = _level_of(blocks, chapters)
    result = list(blocks)
    for line in chapters:
        if not line.is_marked:
            result[line.place] = replace(blocks[line.place], kind="heading", text=line.text, level=level)
        else:
            own = level if line.division else blocks[line.place].level
            result[line.place] = replace(blocks[line.place], text=line.text, level=own)
    for line in parts:
        if not line.is_marked:
            part = min(line.rank, max(1, level - 1))
            result[line.place] = replace(blocks[line.place], kind="heading", text=line.text, level=part)
    seen = set[str]()
    for place, block in enumerate(blocks):
        is_again = block.text in seen
        seen.add(block.text)
        name = _STRIPPED.sub("", block.text)
        is_title = is_named(name) or (place > chapters[-1].place and is_unread_at_the_edges(name))
        if block.kind in ("paragraph", "verse") and not block.reason and is_title and not _NAME_END.search(name):
            if _has_text_behind(blocks, place) and not is_again:
                result[place] = replace(block, kind="heading", text=name, level=level)
    return result


def _find_lines(blocks: Sequence[Block]) -> Iterator[_Line]:
    for place, block in enumerate(blocks):
        if block.reason or block.kind == "scene" or len(block.text) > _MAX_TITLE_CHARS:
            continue
        first, *others = [_STRIPPED.sub("", line) for line in block.text.split("\n")]
        if not first or len(others) >= _MAX_LINES or (others and not is_bare_label(first)):
            continue
        text = " ".join([join_title(first), *others]) if others else first
        is_marked = block.kind == "heading"
        rank = rank_of(first)
        chinese = _CHINESE.match(block.text.split("\n")[0].strip())
        if rank is not None and is_heading_line(first):
            number = number_of(first)
        elif is_bare_number(first) or (first[0].isupper() and len(first) < _MAX_WORD_CHARS):
            number = number_of(first) or value_of(first)
        elif chinese and not _NAME_END.search(chinese["name"]):
            number, text = value_of(chinese["inside"] or chinese["number"]), block.text.strip()
        elif is_numbered_title(first) and (is_marked or not _NAME_END.search(first)):
            number = value_of(re.split(r"\W", first)[0])
        else:
            continue
        if number is not None and (block.kind != "item" or rank is not None):
            is_plain = rank is None and first == block.text and (is_numbered_title(first) or first.strip(".").isalnum())
            yield _Line(place, number, text, is_marked, division_of(first), rank or CHAPTER_RANK, is_plain)


def _has_text_behind(blocks: Sequence[Block], place: int) -> bool:
    """Return whether text follows a line, perhaps after the name of its chapter: in a table of contents none does."""
    division = division_of(_STRIPPED.sub("", blocks[place].text))
    following = [block for block in blocks[place + 1 : place + _MAX_NEAR] if not block.reason and block.kind != "scene"]
    for number, block in enumerate(following):
        line = _STRIPPED.sub("", block.text)
        is_label = is_bare_label(line) or (rank_of(line) is not None and is_heading_line(line))
        is_label = is_label or (is_numbered_title(line) and not _NAME_END.search(line))
        if _LISTED.match(line):
            if number == 0:  # A section begins with its chapter.
                continue
            is_label = True
        if block.kind not in ("heading", "item") and not is_label:
            return True
        if is_label and division_of(line) == division:
            return False
    return False


def _find_chapters(blocks: Sequence[Block], lines: list[_Line], parts: list[_Line]) -> list[_Line]:
    """Return the lines that are the titles of chapters: those with a word such as `Chapter`, else bare numbers."""
    labeled = [line for line in lines if line.division]
    marked = Counter(line.division for line in labeled if line.is_marked)
    division = marked.most_common(1)[0][0] if marked else next((line.division for line in labeled), "")
    labeled = [line for line in labeled if line.division == division]
    bare = [line for line in lines if not line.division]
    for candidates in (labeled, [line for line in lines if line.division in (division, "")], bare):
        run = _longest_run(candidates)
        if len(run) < 2 or (candidates is not labeled and not _covers(run, labeled)):
            continue
        if candidates is labeled and _fills_gaps(run, bare):
            continue
        if candidates is not labeled and not _stand_alone(blocks, run, parts):
            continue
        return run
    return []


def _covers(run: Sequence[_Line], labeled: Sequence[_Line]) -> bool:
    places = {line.place for line in run}
    return all(line.place in places for line in labeled)


def _fills_gaps(run: Sequence[_Line], bare: Sequence[_Line]) -> bool:
    """Return whether numbers without a word are missing among those with one: `IV` and `V` before `Chapter VI`."""
    numbers = {line.number for line in run}
    missing = set(range(1, max(numbers))) - numbers
    return bool(missing) and missing <= {line.number for line in bare}


def _stand_alone(blocks: Sequence[Block], run: Sequence[_Line], parts: Sequence[_Line]) -> bool:
    """Return whether bare numbers are titles: no headings of other words among them, and no sentence cut by one."""
    unmarked = [line for line in run if not line.is_marked]
    if not unmarked:
        return True
    places = {line.place for line in (*run, *parts)}
    for place in range(run[0].place, len(blocks)):
        block = blocks[place]
        is_title = place in places or place - 1 in places or block.reason or block.kind != "heading"
        if not is_title and not (is_named(block.text) or is_finis(block.text) or is_unread_at_the_edges(block.text)):
            if (rank_of(block.text) or CHAPTER_RANK) >= CHAPTER_RANK:
                return False
    if len(run) < _MIN_BARE and all(line.is_plain and not _has_sections(blocks, line) for line in run):
        return False
    return not any(_cuts_sentence(blocks, line.place) for line in unmarked)


def _has_sections(blocks: Sequence[Block], line: _Line) -> bool:
    """Return whether `2.1 ...` follows `2. ...`."""
    return any(block.text.startswith(f"{line.number}.1 ") for block in blocks[line.place + 1 : line.place + 2])


def _cuts_sentence(blocks: Sequence[Block], place: int) -> bool:
    places = (range(place - 1, max(-1, place - _MAX_NEAR), -1), range(place + 1, min(len(blocks), place + _MAX_NEAR)))
    near = [(blocks[number].text for number in found if not blocks[number].reason) for found in places]
    before, after = (next(filter(None, texts), "") for texts in near)
    return not _ENDS_SENTENCE.search(before) and after[:1].islower()


def _longest_run(lines: Sequence[_Line]) -> list[_Line]:
    """Return the lines whose numbers follow each other, which may begin again; one alone is an accident."""
    runs: list[list[_Line]] = []
    last = {line.number: index for index, line in enumerate(lines)}
    for index, line in enumerate(lines):
        step = line.number - runs[-1][-1].number if runs else 0
        is_gap = step == 2 and line.division and last.get(line.number - 1, -1) < index
        if step == 1 or is_gap:
            runs[-1].append(line)
        elif len(runs) > 1 and len(runs[-1]) == 1 and line.number == runs[-2][-1].number + 1:
            runs.pop()
            runs[-1].append(line)
        elif not runs or line.number <= 1 or line.is_marked:
            runs.append([line])
    return [line for run in runs if len(run) > 1 or run[0].is_marked for line in run]


def _level_of(blocks: Sequence[Block], chapters: Sequence[_Line]) -> int:
    """Return the level of the titles that the book marks; without any, one between those before and among them."""
    marked = Counter(blocks[line.place].level for line in chapters if line.is_marked)
    if marked:
        return marked.most_common(1)[0][0]
    first, places = chapters[0].place, {line.place for line in chapters}
    titles = {place: block.level for place, block in enumerate(blocks[: chapters[-1].place])
              if block.kind == "heading" and not block.reason
              and (rank_of(block.text) or CHAPTER_RANK) >= CHAPTER_RANK}  # fmt: skip
    above = [level for place, level in titles.items() if place < first or place + 1 in places]
    among = [level for place, level in titles.items() if place > first and level not in above]
    level = max(above) + 1 if above else CHAPTER_RANK
    return max(1, min(level, min(among) - 1)) if among else level
