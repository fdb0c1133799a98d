"""What stands at the edges of a PDF's pages and is not part of the text: running heads, page numbers, footnotes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

from pipeline.books.headings import is_heading_line
from pipeline.books.pdf_pages import Line, to_superscript
from pipeline.books.printed_contents import fold_line
from pipeline.text.english_numbers import roman_value

LARGE, SMALL = 1.15, 0.92
"""Letters so much larger than those of the text are a heading's, and so much smaller ones a note's."""
_NUMBER = re.compile(r"(?<!\w)(?:\d{1,4}|[ivxlc]+)(?!\w)")
_NUMBER_AT_END = re.compile(r"^\d{1,4}\s+|\s+\d{1,4}$")
_PAGE_NUMBER = re.compile(r"\W*(?:page\s+|p\.\s*|seite\s+)?#(?:\s*(?:of|/|von)\s*#)?\W*", re.I)
_RAISED = re.compile(r"\[[*†‡§¶]+\]|[¹²³⁰-⁹]+|[*†‡§¶]")
_SIGN = re.compile(r"^\[?[*†‡§¶]+\]?")
_NOTE = re.compile(r"^\W?(?:[\d¹²³⁰-⁹]{1,3}|\[?[*†‡§¶])")
_NEAR, _MIN_PAGES, _MAX_DEPTH = 6, 3, 2
_SAME_HEIGHT = 3.0
_APART = 1.5
_ENDS_SENTENCE = re.compile(r"[.,;:!?…][\"'”’)]*$")


@dataclass(frozen=True)
class _Row:
    """The lines of a page at one height, and the distance to the next row towards the middle of the page."""

    lines: tuple[Line, ...]
    text: str
    pattern: str
    height: float
    distance: float

    @property
    def size(self) -> float:
        return max(line.size for line in self.lines)


@dataclass
class Edges:
    """What was taken off the pages.

    Attributes:
        kept: the lines that are left of each page; numbers of its footnotes behind words are superscripts.
        gone: of each page, why a line is not read, and the line.
    """

    kept: list[list[Line]] = field(default_factory=list)
    gone: list[list[tuple[str, Line]]] = field(default_factory=list)


def cut_edges(
    pages: Sequence[Sequence[Line]], body_size: float, titles: Collection[str], begins: Mapping[int, Collection[str]]
) -> Edges:
    """Take heads, page numbers and footnotes off the pages.

    A head returns, but for its number, on pages nearby at the same height, or is the title of the book or of a chapter
    that stands elsewhere; page numbers go up with the pages. A numbered heading that stands once, what has larger
    letters than the text, and a line that ends as a sentence or that stands within pages, too, is none.

    Args:
        pages: the lines of each page.
        body_size: of most letters of the book, in points.
        titles: of the book and, where the file says them, of its chapters.
        begins: by page, the titles of chapters that begin on it.
    """
    judge = _Judge(pages, body_size, titles, begins)
    found = Edges()
    for page, lines in enumerate(pages):
        heads, numbers = judge.running(page)
        gone = {id(line) for line in (*heads, *numbers)}
        left = [line for line in lines if id(line) not in gone]
        notes, marks = _footnotes(left, body_size)
        below = {id(line) for line in notes}
        found.kept.append([_raise_marks(line, marks) for line in left if id(line) not in below])
        beside = _beside(found.kept[-1], body_size)
        found.kept[-1] = [line for line in found.kept[-1] if id(line) not in beside]
        reasons = (("running head", heads), ("page number", numbers), ("footnote", notes))
        found.gone.append([(reason, line) for reason, taken in reasons for line in taken] + list(beside.values()))
    return found


def _marks_of(notes: Sequence[Line]) -> re.Pattern[str] | None:
    """Return what finds the numbers of notes behind words, which not every file says to be raised."""
    numbers = "|".join(match[1] for line in notes if (match := re.match(r"(\d{1,3})(?!\d)", line.text)))
    behind = r"(?:(?<=[^\W\d_]{3})|(?<=[^\w\s$€£¥#@+=<>/-]))"
    return re.compile(rf"{behind}(?:{numbers})(?!\w|[.,:]\d)") if numbers else None


def _raise_marks(line: Line, marks: re.Pattern[str] | None) -> Line:
    return replace(line, text=marks.sub(lambda match: to_superscript(match[0]), line.text)) if marks else line


class _Judge:
    def __init__(
        self,
        pages: Sequence[Sequence[Line]],
        body_size: float,
        titles: Collection[str],
        begins: Mapping[int, Collection[str]],
    ) -> None:
        self._body_size = body_size
        rows = [_rows_of(lines) for lines in pages]
        self._edges = [(_edge(page_rows, 1), _edge(page_rows, -1)) for page_rows in rows]
        distances = [upper[0].bottom - lower[0].bottom for page_rows in rows for upper, lower in pairwise(page_rows)]
        self._usual = median(distances) if distances else 0.0
        self._offsets = [_offsets(page, edges) for page, edges in enumerate(self._edges)]
        self._within = Counter(_text_of(row) for page_rows in rows for row in page_rows[_MAX_DEPTH:-_MAX_DEPTH])
        large = (_text_of(row) for page_rows in rows for row in page_rows if row[0].size > LARGE * body_size)
        self._titles = {fold_line(title) for title in (*titles, *large)} - {""}
        self._begins = {page: set(map(fold_line, names)) for page, names in begins.items()}
        self._lines = [Counter(fold_line(_text_of(row)) for row in page_rows) for page_rows in rows]

    def running(self, page: int) -> tuple[list[Line], list[Line]]:
        """Return the running heads and the page numbers of a page."""
        heads, numbers = list[Line](), list[Line]()
        for edge, rows in enumerate(self._edges[page]):
            for depth, row in enumerate(rows):
                if _PAGE_NUMBER.fullmatch(row.pattern) and self._is_page_number(page, row):
                    numbers += row.lines
                elif self._is_head(page, edge, row, depth):
                    heads += row.lines
                else:
                    break
        return heads, numbers

    def _near(self, page: int) -> range:
        return range(max(0, page - _NEAR), min(len(self._edges), page + _NEAR + 1))

    def _is_page_number(self, page: int, row: _Row) -> bool:
        if row.size > LARGE * self._body_size and row in self._edges[page][0]:
            return False  # A chapter's number; below a page nobody writes these.
        return not self._shared(page).isdisjoint(_offsets_of(page, row))

    def _is_head(self, page: int, edge: int, row: _Row, depth: int) -> bool:
        near = [other for number in self._near(page) for other in self._edges[number][edge]]
        level = [other for other in near if abs(other.height - row.height) <= _SAME_HEIGHT]
        title = _title_of(row.text)
        num_same = sum(_title_of(other.text) == title for other in level)
        is_note = edge == 1 and row.size <= SMALL * self._body_size and bool(_NOTE.match(row.text))
        is_note = is_note and num_same < _MIN_PAGES and not self._is_page_number(page, row)
        if row.size > LARGE * self._body_size or is_note:
            return False
        folded = fold_line(title)
        begins_here = folded in self._begins.get(page, ()) and self._lines[page][folded] == 1
        if begins_here or (is_heading_line(title) and num_same == 1):
            return False
        has_number = self._is_page_number(page, row)
        is_title = folded in self._titles
        if (_ENDS_SENTENCE.search(title) and not has_number and not is_title) or self._within[row.text] * 2 >= max(
            2, num_same
        ):
            return False
        is_apart = row.distance > _APART * self._usual
        if sum(other.pattern == row.pattern for other in level) >= _MIN_PAGES:
            return is_apart or depth == 0
        is_named = depth == 0 and (is_title or has_number)
        return is_apart and (is_named or sum(o.text == row.text for o in level) > 1)

    def _shared(self, page: int) -> set[int]:
        """Return the differences between numbers and pages that most pages nearby have."""
        offsets = Counter(offset for near in self._near(page) for offset in self._offsets[near])
        return {offset for offset, count in offsets.items() if count >= min(_MIN_PAGES, len(self._edges))}


def _rows_of(lines: Sequence[Line]) -> list[list[Line]]:
    """Return the lines of a page by height, from the top."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (-line.top, line.left)):
        if rows and line.top - rows[-1][0].bottom > 0.5 * min(line.size, rows[-1][0].size):
            rows[-1].append(line)
        else:
            rows.append([line])
    return rows


def _text_of(row: Sequence[Line]) -> str:
    return " ".join(line.text for line in sorted(row, key=lambda line: line.left))


def _edge(rows: list[list[Line]], step: int) -> list[_Row]:
    """Return the outermost rows of a page, the outer one first; none where nothing would be left."""
    ordered = rows[::step][: _MAX_DEPTH + 1]
    pairs = pairwise(ordered if len(rows) > 1 else ordered * 2)  # One row may be a number alone on its page.
    return [
        _Row(
            tuple(row),
            (text := _text_of(row)),
            _NUMBER.sub("#", text),
            row[0].bottom,
            abs(row[0].bottom - after[0].bottom),
        )
        for row, after in pairs
    ]


def _title_of(text: str) -> str:
    """Return a heading without the page number before or behind it; that of `Chapter 1` is its own."""
    title = _NUMBER_AT_END.sub("", text)
    return title if is_heading_line(title) else text


def _offsets(page: int, edges: Sequence[Sequence[_Row]]) -> set[int]:
    return {offset for rows in edges for row in rows for offset in _offsets_of(page, row)}


def _offsets_of(page: int, row: _Row) -> list[int]:
    numbers = _NUMBER.findall(row.text)
    values = (int(number) if number.isdecimal() else roman_value(number.upper()) for number in numbers)
    return [value - page for value in values if value is not None]


def _footnotes(lines: Sequence[Line], body_size: float) -> tuple[list[Line], re.Pattern[str] | None]:
    """Return the lines in small letters below the text of a column that begin as a note does, and what finds its mark.

    A mark of theirs stands in the text above: numbered lines in small letters may be a recipe.
    """
    text = [line for line in lines if line.size > SMALL * body_size]
    below = [line for line in lines if text and line.size <= SMALL * body_size
             and not any(other.top < line.top and _overlaps(other, line) for other in text)]  # fmt: skip
    columns: list[list[Line]] = []
    for line in sorted(below, key=lambda line: (-line.top, line.left)):
        column = next((column for column in columns if any(_overlaps(other, line) for other in column)), None)
        if column is None:
            columns.append([line])
        else:
            column.append(line)
    notes = [line for column in columns if _NOTE.match(column[0].text) for line in column]
    marks = _marks_of(notes)
    raised = "".join(found for line in text for found in _RAISED.findall(line.text))
    signs = [found[0] for line in notes if (found := _RAISED.match(line.text) or _SIGN.match(line.text))]
    is_marked = any(sign.strip("[]") in raised for sign in signs)
    numbers = [found[0] for line in notes if (found := re.match(r"\d{1,3}", line.text))]
    is_marked |= any(to_superscript(number) in raised for number in numbers)
    is_marked |= marks is not None and any(marks.search(line.text) for line in text)
    return (notes, marks) if is_marked else ([], None)


def _beside(lines: Sequence[Line], body_size: float) -> dict[int, tuple[str, Line]]:
    """Return what stands beside the text of a page: notes in small letters, and the numbers of lines."""
    text = [line for line in lines if line.size > SMALL * body_size and not line.text.isdecimal()]
    if not text:
        return {}
    left, right = median(line.left for line in text), max(line.right for line in text)
    outside = [line for line in lines if line.left >= right or line.right <= left]
    notes = [line for line in outside if line.size <= SMALL * body_size and not line.text.isdecimal()]
    numbers = sorted((line for line in outside if line.text.isdecimal()), key=lambda line: -line.top)
    go_up = all(int(line.text) < int(below.text) for line, below in pairwise(numbers))
    taken = [("marginal note", line) for line in notes]
    taken += [("line number", line) for line in numbers] if len(numbers) > 1 and go_up else []
    return {id(line): (reason, line) for reason, line in taken}


def _overlaps(line: Line, other: Line) -> bool:
    return line.left < other.right and other.left < line.right
