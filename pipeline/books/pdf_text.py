"""Make paragraphs, verse and headings of the lines of a PDF's pages, by indents, distances and sizes of letters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

from pipeline.books.cleaning import clean_text
from pipeline.books.document import Block
from pipeline.books.headings import is_heading_line, is_title_line, is_unread_at_the_edges, level_of, looks_like_title
from pipeline.books.pdf_edges import LARGE
from pipeline.books.pdf_pages import DROP_CAP_SIZE, Line
from pipeline.books.plain_text import is_scene, join_lines

_ENDS_SENTENCE = re.compile(r"[.!?…:;。！？](?:[\"'”’»」』)\]]|\[.\]|[¹²³⁰-⁹])*$|[—\"”’»」』]$")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad]$")
_CUT_WORD = re.compile(r"[^\W\d_]+$")
_FIRST_WORD = re.compile(r"^[^\W\d_]+")
_TENS = frozenset("twenty thirty forty fifty sixty seventy eighty ninety".split())
_JOINED = frozenset("under over some any every with fore there where here out after through else".split())
_GOES_ON = re.compile(r"[-][^\W\d_]")
_SPOKEN = re.compile(r"\w")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_VERSE_NUMBER = re.compile(r"(?<!\S)[¹²³⁰-⁹]+(?=[^\W\d_]|[“‘\"'])")
_DROP_CAP = re.compile(r"^[\"'“‘«„]?[^\W\d_]$")
_CONTENTS_LINE = re.compile(r"(?:[.·…_]\s?){4,}\s*[\divxlc]+$")
_SECTION_NUMBER = re.compile(r"^[\dA-Z]{1,3}(?:\.\d{1,3})*\.?\s+(?=\S)")
_GAP, _INDENT, _SHORT, _VERSE = 1.35, 0.5, 0.15, 0.2
_CENTERED, _MIN_CENTERED, _TITLE_ROOM = 0.1, 3, 0.3
_COLUMN_SHARE, _COLUMN_DISTANCE, _MAX_INDENT, _MIN_COLUMN = 0.12, 0.3, 2.5, 4
_MAX_HEADING_CHARS, _MAX_HEADING_LINES = 200, 5
_NEAR_PAGES = (-4, -2, 0, 2, 4)  # Left and right pages have margins of their own.


@dataclass
class Paragraph:
    """Lines that belong together.

    Attributes:
        lines: of it.
        block: what they become.
        num_joined: how often two parts of a word became one.
        unread: what is not read of them, such as marks of footnotes.
    """

    lines: list[Line]
    block: Block
    num_joined: int = 0
    unread: list[Block] = field(default_factory=list)


def body_size_of(pages: Sequence[Sequence[Line]]) -> float:
    """Return the size of most letters, in points; 0 where there are none."""
    sizes = Counter[float]()
    for lines in pages:
        for line in lines:
            sizes[line.size] += len(line.text)
    return max(sizes, key=lambda size: (sizes[size], size), default=0.0)


def make_paragraphs(pages: Sequence[Sequence[Line]], body_size: float) -> list[Paragraph]:
    """Put the lines of a book together.

    Args:
        pages: the lines of each page without heads and notes.
        body_size: of most letters, in points.
    """
    layout = _Layout(pages, body_size)
    groups: list[list[Line]] = []
    for lines in pages:
        for line in layout.in_order(lines):
            if groups and not layout.starts_paragraph(groups[-1], line):
                groups[-1].append(line)
            else:
                groups.append([line])
    words = _count_words(pages)
    levels = _Levels(groups, body_size, layout)
    paragraphs: list[Paragraph] = []
    held: list[Line] = []
    for group in groups:
        if group[0].size >= DROP_CAP_SIZE * body_size and len(group) == 1 and _DROP_CAP.match(group[0].text):
            held = group
            continue
        made = _make(group, held, layout, levels, words)
        held = []
        # An ornament between the label of a chapter and its name parts no scenes.
        if made.block.kind == "heading" and len(paragraphs) > 1 and paragraphs[-1].block.kind == "scene":
            if paragraphs[-2].block.kind == "heading":
                paragraphs.pop()
        paragraphs.append(made)
    return paragraphs


def _make(group: list[Line], cap: list[Line], layout: _Layout, levels: _Levels, words: Counter[str]) -> Paragraph:
    """Make one paragraph, with the large letter that began it if there was one."""
    texts = [line.text for line in group]
    made = Paragraph(group, Block("scene"))
    if cap:
        first = _FIRST_WORD.match(texts[0])
        stands = first is not None and len(first[0]) > 1 and words[first[0].lower()] and cap[0].text in "AIO"
        is_word = first is not None and not stands
        texts[0] = cap[0].text + ("" if is_word else " ") + texts[0]
        made.num_joined += is_word
    if not any(_SPOKEN.search(text) for text in texts):
        return made
    level = levels.of(group)
    if all(_CONTENTS_LINE.search(text) for text in texts):
        made.block = Block("paragraph", " ".join(texts), reason="table of contents")
    elif level == 0 and layout.is_verse(group):
        made.block = Block("verse", clean_text("\n".join(texts), made.unread))
    else:
        whole, num_cut = _join_cut_words(texts, words)
        made.num_joined += num_cut
        text = join_lines(whole)
        made.unread += [Block("paragraph", number, reason="verse number") for number in _VERSE_NUMBER.findall(text)]
        text = clean_text(_VERSE_NUMBER.sub("", text), made.unread)
        made.block = Block("heading" if level else "paragraph", text, level)
    return made


def _count_words(pages: Sequence[Sequence[Line]]) -> Counter[str]:
    """Count the words of a book, the parts of those with hyphens and their pairs, but for what a line's end may cut."""
    words = Counter[str]()
    for lines in pages:
        for line in lines:
            whole = re.sub(r"^\S+\s|\s\S+$|^\S+$", " ", line.text)
            for word in _WORD.findall(whole):
                parts = word.split("-")
                words.update([*parts, *map("-".join, pairwise(parts))])
    # As it is written, and a capital also counts as a small letter where the book writes the word small, too: German
    # nouns are no second halves.
    for word in [word for word in words if word[0].isupper() and words[word.lower()]]:
        words[word.lower()] += words[word]
    return words


def _join_cut_words(texts: Sequence[str], words: Counter[str]) -> tuple[list[str], int]:
    """Put words together that a line's end cut, and say how many.

    A hyphen stays where the book writes one elsewhere, or both parts, of some letters, and never the whole.
    """
    whole, num_joined = [texts[0]], 0
    for text in texts[1:]:
        begin, end = _CUT_WORD.search(_HYPHEN.sub("", whole[-1])), _FIRST_WORD.match(text)
        if _HYPHEN.search(whole[-1]) and begin and end and (end[0][0].islower() or (begin[0] + end[0]).isupper()):
            first, second = begin[0].lower(), end[0].lower()
            num_hyphens = words[f"{first}-{second}"]
            are_words = len(first) > 3 and len(second) > 3 and words[first] and words[second] and first not in _JOINED
            is_compound = num_hyphens or _GOES_ON.match(text, end.end()) or are_words or first in _TENS
            if words[first + second] > num_hyphens or not is_compound:
                whole[-1] = _HYPHEN.sub("", whole[-1]) + text
                num_joined += 1
                continue
        whole.append(text)
    return whole, num_joined


class _Layout:
    """Where the columns of a book's pages are, and how far its lines are apart."""

    def __init__(self, pages: Sequence[Sequence[Line]], body_size: float) -> None:
        self._body_size = body_size
        self._lefts = [Counter(round(line.left) for line in lines if self._is_text(line)) for lines in pages]
        self._columns = [self._find_columns(page) for page in range(len(pages))]
        self._rights: dict[tuple[int, int], float] = {}
        distances = []
        for lines in pages:
            for line in lines:
                if self._is_text(line):
                    key = self._column(line)
                    self._rights[key] = max(self._rights.get(key, 0.0), line.right)
            for before, line in pairwise(lines):
                if self._is_text(before) and self._is_text(line) and 0 < before.bottom - line.bottom < 3 * body_size:
                    distances.append(before.bottom - line.bottom)
        self._leading = median(distances) / body_size if distances else 1.2

    def _is_text(self, line: Line) -> bool:
        return abs(line.size - self._body_size) < 0.1 * self._body_size

    def _find_columns(self, page: int) -> list[int]:
        """Return the left edges of a page's columns; what is near to the left of another one is an indent of it."""
        near = Counter[int]()
        for step in _NEAR_PAGES:
            if 0 <= page + step < len(self._lefts):
                near.update(self._lefts[page + step])
        enough = max(2, _COLUMN_SHARE * near.total())
        columns: list[int] = []
        for left in sorted(near):
            with_indents = sum(near[other] for other in range(left, left + round(_MAX_INDENT * self._body_size)))
            if with_indents < (enough if not columns else max(_MIN_COLUMN, enough)) or near[left] * 5 < with_indents:
                continue
            if not columns or left - columns[-1] > _COLUMN_DISTANCE * (max(near) - min(near) + 20 * self._body_size):
                columns.append(left)
        return columns or [min(near, default=0)]

    def _column(self, line: Line) -> tuple[int, int]:
        columns = self._columns[line.page]
        return line.page % 2, next((left for left in reversed(columns) if left <= line.left + 2), columns[0])

    def in_order(self, lines: Sequence[Line]) -> list[Line]:
        """Return the lines of a page in the order of reading: columns one after the other between lines across them."""
        band = 0
        places: list[tuple[int, int, float, float, Line]] = []
        for line in sorted(lines, key=lambda line: -line.top):
            columns = self._columns[line.page]
            _, left = self._column(line)
            following = next((column for column in columns if column > left), None)
            is_beyond = line.left > self._rights.get(self._column(line), line.right)
            is_across = following is not None and (line.right > following or is_beyond)
            is_across = is_across or (len(columns) > 1 and self._has_room(line, lines))
            band += is_across
            places.append((band, left, -round(line.top / (0.5 * self._body_size)), line.left, line))
            band += is_across
        return [place[-1] for place in sorted(places, key=lambda place: place[:-1])]

    def _has_room(self, line: Line, lines: Sequence[Line]) -> bool:
        """Return whether a title stands above all columns: it has nothing beside it, and others go on below it."""
        if line.size <= LARGE * self._body_size:
            return False
        is_alone = all(other is line for other in lines if other.bottom < line.top and other.top > line.bottom)
        return is_alone and any(
            other.top <= line.bottom and self._column(other) != self._column(line) for other in lines
        )

    def indent(self, line: Line) -> float:
        """Return how far right of its column's edge a line begins, in points."""
        return line.left - self._column(line)[1]

    def room(self, line: Line) -> float:
        """Return how much of its column's width is free behind a line, from 0 to 1."""
        _, left = key = self._column(line)
        right = self._rights.get(key, line.right)
        return (right - line.right) / max(1.0, right - left)

    def distance(self, before: Line, line: Line) -> float | None:
        """Return how far a line is below another of its column, in usual distances of lines; None elsewhere."""
        if before.page != line.page or before.bottom <= line.bottom or self._column(before) != self._column(line):
            return None
        return (before.bottom - line.bottom) / (self._leading * max(before.size, line.size))

    def starts_paragraph(self, group: Sequence[Line], line: Line) -> bool:
        """Return whether a line begins a paragraph behind the lines of another."""
        before = group[-1]
        if abs(before.size - line.size) > 0.1 * self._body_size or before.is_bold != line.is_bold:
            return True
        if _HYPHEN.search(before.text) and line.text[0].islower():
            return False
        if is_scene(line.text) != is_scene(before.text) or bool(_CONTENTS_LINE.search(before.text)):
            return True
        distance = self.distance(before, line)
        if distance is not None and distance > _GAP:
            return True
        if line.size > LARGE * self._body_size:
            return distance is None  # Else the second line of a heading.
        if is_heading_line(line.text) and (_ENDS_SENTENCE.search(before.text) or is_heading_line(before.text)):
            return True
        is_short, ends = self.room(before) > _SHORT, bool(_ENDS_SENTENCE.search(before.text))
        is_title = is_title_line(line.text) or looks_like_title(line.text)
        if distance is None and ends and is_title and self.room(line) > _TITLE_ROOM:
            return True  # At the head of a page.
        indent, last = self.indent(line), self.indent(before)
        if indent > last + _INDENT * line.size and (ends or not is_short):
            return True
        if len(group) > 1 and indent < last - _INDENT * line.size and ends:
            return True
        return is_short and (ends or is_heading_line(before.text))

    def is_centered(self, line: Line) -> bool:
        """Return whether a line has as much room before it as behind."""
        _, left = key = self._column(line)
        right = self._rights.get(key, line.right)
        before, behind, width = line.left - left, right - line.right, max(1.0, right - left)
        return before > _CENTERED * width and abs(before - behind) < _CENTERED * width

    def is_verse(self, group: Sequence[Line]) -> bool:
        """Return whether lines end where their writer ended them."""
        return len(group) > 1 and all(self.room(line) > _VERSE and not line.text[0].islower() for line in group)


class _Levels:
    """How high headings stand: by the size of their letters, then bold ones, then those that only say what they are."""

    def __init__(self, groups: Sequence[Sequence[Line]], body_size: float, layout: _Layout) -> None:
        self._body_size, self._layout = body_size, layout
        large = [group for group in groups if self._is_large(group)]
        self._sizes = sorted({round(group[0].size) for group in large}, reverse=True)
        self._has_large = sum(round(group[0].size) == self._sizes[-1] for group in large) > 1 if large else False
        self._apart = {id(groups[0][0])} if groups else set[int]()
        for before, group in pairwise(groups):
            distance = layout.distance(before[-1], group[0])
            if distance is None or distance > _GAP:
                self._apart.add(id(group[0]))
        centered = [group for group in groups if len(group) == 1 and layout.is_centered(group[0])]
        titles = [group[0] for group in centered if id(group[0]) in self._apart and looks_like_title(group[0].text)]
        self._centered = {id(line) for line in titles} if len(titles) >= _MIN_CENTERED else set[int]()

    def _is_large(self, group: Sequence[Line]) -> bool:
        text = " ".join(line.text for line in group)
        is_short = len(text) <= _MAX_HEADING_CHARS and len(group) <= _MAX_HEADING_LINES
        is_title = bool(_WORD.search(text) or text.strip(" .").isdecimal()) and not _DROP_CAP.match(text)
        return is_short and is_title and group[0].size >= LARGE * self._body_size

    def of(self, group: Sequence[Line]) -> int:
        """Return the level of a heading, 1 is the highest; 0 for other text."""
        if self._is_large(group):
            return 1 + self._sizes.index(round(group[0].size))
        text = join_lines([line.text for line in group])
        if len(group) > 2 or len(text) > _MAX_HEADING_CHARS:
            return 0
        below = len(self._sizes)
        if is_heading_line(text):
            return below + level_of(text)
        is_apart = id(group[0]) in self._apart
        if group[0].is_bold and is_apart and not _ENDS_SENTENCE.search(text):
            return below + 1 + (level_of(text) if below == 0 else 0)
        is_title = is_title_line(text) or id(group[0]) in self._centered
        if not self._has_large and is_apart and is_title:
            return below + level_of(text)
        return 0


def put_heading(page: Sequence[Paragraph], number: int, title: str, level: int) -> tuple[str, bool]:
    """Mark where an entry of the book's own contents begins: at its title on its page, else at the page's first text.

    Args:
        page: the paragraphs that begin on it; changed in place.
        number: of the entry.
        title: of it.
        level: of its heading, 1 is the highest.

    Returns:
        The title as the page has it, or the heading with which the page begins, and whether it is the entry's.
    """
    here = [paragraph for paragraph in page if not paragraph.block.reason]
    wanted = _fold(title)
    for at, paragraph in enumerate(here):
        text = paragraph.block.text
        found = _fold(text)
        following = _fold(here[at + 1].block.text) if at + 1 < len(here) else ""
        is_part = (wanted.endswith(found) and len(found) > 3) or found + following == wanted
        is_title = bool(found) and len(text) <= _MAX_HEADING_CHARS and (found == wanted or is_part)
        if is_title or (found.startswith(wanted) and paragraph.block.kind == "heading" and len(wanted) > 3):
            entries = (*paragraph.block.entries, number)
            paragraph.block = replace(paragraph.block, kind="heading", level=level, entries=entries)
            return text if found == wanted or _letters(text) == _letters(title) else title, True
    first = next((paragraph for paragraph in here if paragraph.block.text), None)
    if first is None:
        return title, False
    first.block = replace(first.block, entries=(*first.block.entries, number))
    is_better = first.block.kind == "heading" and not is_unread_at_the_edges(title)
    return first.block.text if is_better else title, False


def _fold(text: str) -> str:
    return _letters(_SECTION_NUMBER.sub("", text))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()
