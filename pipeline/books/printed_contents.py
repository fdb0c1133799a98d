"""Find the table of contents that a text file prints, and which of its lines are the titles of chapters.

A title in ordinary letters with room around it looks like any short line; that the table names it tells the two apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile, pairwise, takewhile

from pipeline.books.headings import is_bare_label, is_contents_title, is_date, looks_like_title, without_label

_PAGE = re.compile(r"(?:(?:[\s.·…_]*[.·…_]|\s)\s{2,}|(?:\.\s?){3,})[\divxlc]{1,7}\W*$|\s\d{1,4}$", re.I)
_MAX_TITLE_CHARS = 120
_MAX_TABLE_LINES = 600
_MIN_FOUND, _MIN_SHARE = 3, 0.4
_MIN_TEXT_LINE = 50
_MIN_GAP = 4
_MIN_STANZA = 3
_MAX_STANDING_CHARS = 60


@dataclass(frozen=True)
class PrintedContents:
    """A table of contents among the lines of a text.

    Attributes:
        start: the line of its title.
        end: the line behind its last entry.
        titles: those of its entries that stand again, with room around them, in the text; folded.
    """

    start: int = 0
    end: int = 0
    titles: frozenset[str] = frozenset()


def fold_line(line: str) -> str:
    """Return the letters and digits of a title, without `CHAPTER I.` before it and the page behind it."""
    return re.sub(r"[\W_]+", "", without_label(_PAGE.sub("", line.strip(" _=*\t")))).casefold()


def find_printed_contents(lines: Sequence[str]) -> PrintedContents:
    """Return the first table of contents whose entries are found again, in their order; an empty one without any."""
    starts = [number for number, line in enumerate(lines) if is_contents_title(line.strip(" _=*"))]
    standing = _standing_lines(lines) if starts else []
    for start in starts[:3]:
        found = _read_table(lines, start, standing)
        if found is not None:
            return found
    return PrintedContents()


def find_standing_titles(lines: Sequence[str]) -> frozenset[str]:
    """Return the short lines with more room before them than paragraphs have, written as titles, with text behind.

    They are titles of chapters where a book has no other headings and several of them; folded.
    """
    found = [lines[start].strip() for start, _ in _standing_lines(lines)
             if _has_text(lines, start) or _has_sentences(lines, start)]  # fmt: skip
    titles = [line for line in found if len(line) <= _MAX_STANDING_CHARS and (looks_like_title(line) or is_date(line))]
    return frozenset(map(fold_line, titles)) if len(titles) >= _MIN_FOUND else frozenset()


def _standing_lines(lines: Sequence[str]) -> list[tuple[int, str]]:
    """Return dates and the short lines with two blank ones or `CHAPTER I.` before them, a blank one behind, folded."""
    found, num_blank = list[tuple[int, str]](), 2
    start: int | None = None
    is_label = False
    for number, line in enumerate([*lines, ""]):
        if line.strip():
            start = number if start is None else start
            continue
        if start is not None:
            text = " ".join(part.strip() for part in lines[start:number])
            is_title = (
                (num_blank >= 2 or is_label or is_date(text)) and number - start <= 2 and len(text) <= _MAX_TITLE_CHARS
            )
            key = fold_line(text) if is_title else ""
            found += [(start, key)] if key else []
            start, num_blank, is_label = None, 0, is_bare_label(text)
        num_blank += 1
    return found


def _read_table(lines: Sequence[str], start: int, standing: Sequence[tuple[int, str]]) -> PrintedContents | None:
    last = min(len(lines), start + _MAX_TABLE_LINES)
    entries = [(number, key) for number in range(start + 1, last) if (key := fold_line(lines[number]))]
    body = _find_body(lines, entries[:8], standing)
    if body is None:
        return None
    entries = _until_gap(lines, [entry for entry in entries if entry[0] < body])
    later = [place for place in standing if place[0] >= body]
    found: list[tuple[int, str]] = []
    position = 0
    for number, key in entries:
        wrapped = fold_line(f"{lines[number].strip()} {lines[number + 1].strip()}")
        places = (index for index in range(position, len(later)) if later[index][1] in (key, wrapped))
        place = next(places, None)
        if place is not None:
            found.append((number, later[place][1]))
            position = place + 1
    num_entries = sum(number <= found[-1][0] for number, _ in entries) if found else 0
    if len(found) < _MIN_FOUND or len(found) < _MIN_SHARE * num_entries:
        return None
    end = next((number for number in range(found[-1][0], body) if not lines[number].strip()), body)
    return PrintedContents(start, end, frozenset(key for _, key in found))


def _until_gap(lines: Sequence[str], entries: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the entries before so many blank lines that a table is over; it may have room around its parts."""
    for index in range(_MIN_FOUND, len(entries)):
        between = lines[entries[index - 1][0] + 1 : entries[index][0]]
        if len(between) >= _MIN_GAP and not any(line.strip() for line in between):
            return entries[:index]
    return entries


def _find_body(
    lines: Sequence[str], entries: Sequence[tuple[int, str]], standing: Sequence[tuple[int, str]]
) -> int | None:
    """Return the first line behind a table that is one of its first entries again, with text soon after it."""
    found = list[int]()
    for number, key in entries:
        places = (place for place, other in standing if place > number and other == key and _has_text(lines, place))
        found += [place for place in [next(places, None)] if place is not None]
    return min(found, default=None)


def _has_text(lines: Sequence[str], place: int) -> bool:
    near = [len(line.strip()) for line in lines[place + 1 : place + 30]]
    is_long = any(length >= 2 * _MIN_TEXT_LINE for length in near)
    return is_long or any(min(pair) >= _MIN_TEXT_LINE for pair in pairwise(near))


def _has_sentences(lines: Sequence[str], place: int) -> bool:
    """Return whether a line of text or a stanza is behind a title, and no other title."""
    behind = list(dropwhile(lambda line: not line.strip(), lines[place + 1 : place + 30]))
    group = [line.strip() for line in takewhile(str.strip, behind)]
    is_long = len(group) >= _MIN_STANZA or any(len(line) >= _MIN_TEXT_LINE for line in group)
    return is_long and sum(map(looks_like_title, group)) < len(group) / 2
