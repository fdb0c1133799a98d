"""Pages of a text file, as `pdftotext` and OCR write them: form feeds, page numbers and running heads between lines."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from statistics import median

from pipeline.books.document import Block
from pipeline.books.headings import is_bare_label, is_heading_line, is_title_line, looks_like_title, rank_of
from pipeline.books.numerals import value_of

_BREAK = "\f"
_NUMBER = re.compile(
    r"^(?P<mark>[^\w\"'“”‘’«»*#]*)(?P<page>(?:page|pg\.?|seite|página|pagina)\s+)?(?P<number>\d{1,4}|(?-i:[ivxl]{1,7}))"
    r"(?:\s*(?:/|of|von|de|sur|di)\s*\d{1,4})?\W*$",
    re.I,
)
_BESIDE_HEAD = re.compile(r"^(?P<first>\d{1,4})\s+(?P<head>[^\d\s].*)$|^(?P<same>.*[^\d\s])\s+(?P<last>\d{1,4})$")
_ENDS_SENTENCE = re.compile(r"[.!?…:。！？][\"'”’»」』)）\]]*$")
_NO_HEAD = re.compile(r"[,;:!?\"”’»]$")
_MAX_STEP, _MIN_RUN = 3, 3
_MIN_LINES = 6
"""Between two page numbers of a text without form feeds."""
_MAX_HEAD_CHARS, _MAX_WORD_CHARS, _MAX_TITLE_LINES = 60, 12, 4
_MIN_AGAIN = 3
_MAX_SKIPPED = 5
_BOOK_SHARE, _SPACED_SHARE, _CUT_SHARE = 1 / 3, 0.05, 0.1


@dataclass(frozen=True)
class _Line:
    """A line that could be a page number, perhaps beside a running head."""

    place: int
    number: int
    head: str = ""
    is_first: bool = False
    """The number stands before the head."""
    is_marked: bool = False
    """`Page 7`; between dashes only in a book whose chapters have other titles."""


def leave_pages_out(lines: Sequence[str]) -> tuple[list[str], list[Block]]:
    """Return the lines of a text without its pages, and the page numbers and running heads that were taken out.

    A paragraph goes on behind a page whose last sentence does; a heading at the top of a page gets room before it.
    """
    parts = [part for line in lines for part in re.split(f"({_BREAK})", line) if part or line != _BREAK]
    pages = _Pages(parts)
    numbers = {line.place: line for run in pages.find_runs() for line in run}
    heads = pages.find_heads(numbers)
    if not numbers and not heads and _BREAK not in parts:
        return list(lines), []
    reasons = {place: "running head" if line.head else "page number" for place, line in numbers.items()}
    reasons |= dict.fromkeys(heads, "running head")
    unread = [
        Block("paragraph", " ".join(parts[place].split()), reason=reason) for place, reason in sorted(reasons.items())
    ]
    return list(pages.join(reasons)), unread


class _Pages:
    """The lines of a text, form feeds apart."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._breaks = [place for place, line in enumerate(lines) if line == _BREAK]
        self._texts = [place for place, line in enumerate(lines) if line.strip()]

    def find_runs(self) -> Iterator[list[_Line]]:
        """Find the numbers that go up with the pages."""
        runs: list[list[_Line]] = []
        last: dict[int, list[_Line]] = {}
        for line in self._find_lines():
            steps = (last.pop(line.number - step, None) for step in range(1, _MAX_STEP + 1))
            run = next((found for found in steps if found), [])
            if not run:
                runs.append(run)
            run.append(line)
            last[line.number] = run
        return (run for run in runs if len(run) >= (2 if self._breaks else _MIN_RUN) and self._are_pages(run))

    def _find_lines(self) -> list[_Line]:
        lines: list[_Line] = []
        labels = list(islice(filter(_is_label, map(str.strip, self._lines)), 2))
        for place, text in enumerate(self._lines):
            line = text.strip()
            if place and _is_bare_word(self._lines[place - 1].strip()):
                continue  # The number of a chapter.
            if match := _NUMBER.match(line):
                number = value_of(match["number"]) or 0
                lines.append(_Line(place, number, is_marked=bool(match["page"] or (match["mark"] and len(labels) > 1))))
            elif len(line) <= _MAX_HEAD_CHARS and (match := _BESIDE_HEAD.match(line)) and rank_of(line) is None:
                head = _fold(match["head"] or match["same"])
                number = int(match["first"] or match["last"])
                if head and not _NO_HEAD.search(line):
                    lines.append(_Line(place, number, head, is_first=bool(match["first"])))
        times = Counter(line.head for line in lines)
        return [line for line in lines if not line.head or times[line.head] > 1 or self._is_alone(line.place)]

    def _are_pages(self, run: Sequence[_Line]) -> bool:
        """Return whether numbers are those of pages: they cut sentences, end pages, or stand left and right in turn.

        Dates and chapters go up as well, and do none of this.
        """
        if not self._breaks and median(after.place - before.place for before, after in pairwise(run)) < _MIN_LINES:
            return False
        heads = Counter(line.head for line in run if line.head)
        if heads and sum(count for count in heads.values() if count > 1) < heads.total() / 2:
            return False
        if sum(self._is_cut(line.place) for line in run) >= max(1, _CUT_SHARE * len(run)):
            return True
        if heads:
            sides = {(line.number % 2, line.is_first) for line in run if line.head}
            return len(run) >= _MIN_RUN and sides in ({(0, True), (1, False)}, {(1, True), (0, False)})
        if all(line.is_marked for line in run):
            return True
        num_ends = sum(self._is_at_break(line.place, 1) for line in run)
        num_tops = sum(self._is_at_break(line.place, -1) for line in run)
        return num_ends > len(run) / 2 or (num_tops > len(run) / 2 and run[0].number > 2)

    def find_heads(self, numbers: Collection[int]) -> set[int]:
        """Return the lines beside page numbers and form feeds that return there."""
        near, at_breaks = set[int](), set[int]()
        for places, found in ((numbers, near), (self._breaks, at_breaks)):
            for place in places:
                found |= {self._next_text(place, step, numbers) for step in (-1, 1)}
        edges = near | at_breaks
        inside = Counter(
            _fold(line)
            for place, line in enumerate(self._lines)
            if place not in edges and len(line) <= _MAX_HEAD_CHARS and self._is_alone(place)
        )
        groups: dict[str, list[int]] = {}
        for place in sorted(edges):
            if self._may_be_head(place):
                groups.setdefault(_fold(self._lines[place]), []).append(place)
        heads = set[int]()
        num_pages = max(len(numbers), len(self._breaks))
        for head, places in groups.items():
            line = self._lines[places[0]].strip()
            if _is_heading(line):
                continue
            is_near = any(place in near for place in places)
            is_written_as_title = line.isupper() or looks_like_title(line)
            if is_near and len(places) + inside[head] < (2 if is_written_as_title else _MIN_AGAIN):
                continue
            if not is_near and (len(places) < _MIN_AGAIN or not any(map(self._is_cut, places))):
                continue
            is_title = not inside[head] and len(places) < _BOOK_SHARE * num_pages and not self._is_cut(places[0])
            heads.update(places[1:] if is_title else places)
        return heads | set(self._heads_of_chapters(edges))

    def _heads_of_chapters(self, edges: Collection[int]) -> Iterator[int]:
        """Return where the title of a chapter stands again within it; another volume has chapters of the same name."""
        title = ""
        for place in self._texts:
            line = self._lines[place].strip()
            if len(line) <= _MAX_HEAD_CHARS and _is_heading(line) and not _is_bare_word(line):
                if place in edges and self._may_be_head(place) and (title == _fold(line) or self._is_cut(place)):
                    yield place
                title = _fold(line)

    def _may_be_head(self, place: int) -> bool:
        line = self._lines[place].strip() if place >= 0 else ""
        is_ended = _NO_HEAD.search(line) or (line.endswith(".") and not line.isupper())
        return (
            bool(_fold(line))
            and len(line) <= _MAX_HEAD_CHARS
            and not is_ended
            and (line[0].isupper() or line.isupper())
        )

    def join(self, unread: Collection[int]) -> Iterator[str]:
        """Return the lines without those that are not read, pages joined."""
        texts = [place for place in self._texts if place not in unread]
        is_text = set(texts)
        num_spaced = sum(after - before == 2 for before, after in pairwise(texts))
        is_spaced = num_spaced > _SPACED_SHARE * len(texts)
        last = -1
        for place in [*texts, len(self._lines)]:
            between = range(last + 1, place)
            if any(number in unread or self._lines[number] == _BREAK for number in between):
                yield from [""] * self._room(last, place, is_text, is_spaced=is_spaced)
            else:
                yield from (self._lines[number] for number in between)
            if place < len(self._lines):
                yield self._lines[place]
            last = place

    def _room(self, before: int, after: int, texts: Collection[int], *, is_spaced: bool) -> int:
        """Return how many blank lines are between two pages."""
        if before < 0 or after >= len(self._lines):
            return 2
        line, following = self._lines[before].strip(), self._lines[after].strip()
        start = before
        while start - 1 in texts and before - start < _MAX_TITLE_LINES:
            start -= 1
        is_below_title = _is_title(self._lines[start].strip()) or (start == before and looks_like_title(line))
        is_ended = bool(_ENDS_SENTENCE.search(line))
        is_title_cut = is_below_title and line.isupper() and following.isupper() and not is_ended
        if _is_bare_word(line) or (is_title_cut and not is_bare_label(line) and not _is_heading(following)):
            return 0
        is_apart = after + 1 not in texts
        if _is_heading(following) or (is_apart and _stands_as_title(following)):
            return 2
        return 1 if is_below_title else int(is_spaced and is_ended)

    def _is_cut(self, place: int) -> bool:
        """Return whether a sentence goes on behind a line, or behind the running head that follows it."""
        before = self._next_text(place, -1)
        after = self._next_text(place, 1)
        if before < 0 or after < 0 or _ENDS_SENTENCE.search(self._lines[before].rstrip()):
            return False
        if self._lines[after].isupper() or looks_like_title(self._lines[after].strip()):
            after = self._next_text(after, 1)
        return after >= 0 and self._lines[after].strip()[0].islower()

    def _next_text(self, place: int, step: int, skipped: Collection[int] = ()) -> int:
        """Return the next line of text before or behind a line, -1 without one near by."""
        at = bisect_left(self._texts, place) - 1 if step < 0 else bisect_right(self._texts, place)
        for number in range(at, at + step * _MAX_SKIPPED, step):
            if not 0 <= number < len(self._texts):
                break
            if self._texts[number] not in skipped:
                return self._texts[number]
        return -1

    def _is_at_break(self, place: int, step: int) -> bool:
        """Return whether nothing but room is between a line and the end of its page."""
        text = self._next_text(place, step)
        between = (place, text) if step > 0 else (text, place)
        at = bisect_right(self._breaks, between[0])
        return text < 0 or (at < len(self._breaks) and self._breaks[at] < between[1])

    def _is_alone(self, place: int) -> bool:
        around = [self._lines[near] for near in (place - 1, place + 1) if 0 <= near < len(self._lines)]
        return not any(line.strip() for line in around)


def _is_label(line: str) -> bool:
    return len(line) <= _MAX_HEAD_CHARS and rank_of(line) is not None and is_heading_line(line)


def _is_bare_word(line: str) -> bool:
    """Return whether a line is the word `CHAPTER`, with its number in the next line."""
    return (
        len(line) <= _MAX_WORD_CHARS and line.isalpha() and rank_of(line) is None and rank_of(f"{line} 1") is not None
    )


def _is_heading(line: str) -> bool:
    return is_heading_line(line) or _is_bare_word(line)


def _is_title(line: str) -> bool:
    return _is_heading(line) or is_title_line(line)


def _stands_as_title(line: str) -> bool:
    # A telegram in capitals ends as a sentence does.
    return looks_like_title(line) or (is_title_line(line) and not _ENDS_SENTENCE.search(line))


def _fold(line: str) -> str:
    return re.sub(r"[\W_]+", "", line).casefold()
