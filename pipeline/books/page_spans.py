"""Find sentences in the pages of a book by their letters, and put them into spans."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.books.raised import NOTE_MARK

_UNREAD = frozenset(("script", "style", "rt", "rp", "head", "title", "math", "svg"))
_LONG = 25
"""Letters by which a chapter is found wherever it begins."""
_SHORT, _NEAR, _FAR = 10, 300, 4_000
"""A sentence of few letters is looked for at once after the last one, others over what may be left out between."""
_FLAT = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
"""A power is in a page as the mark of a note would be, which is passed over; an index is a number."""
_XHTML = "http://www.w3.org/1999/xhtml"


@dataclass(frozen=True)
class Piece:
    """A stretch of a sentence without markup inside.

    Attributes:
        anchor: the id of its span.
        num_letters: in it.
    """

    anchor: str
    num_letters: int


@dataclass(frozen=True)
class Passage:
    """Where a sentence stands."""

    page: Page
    pieces: list[Piece]


@dataclass(frozen=True)
class _Slot:
    """A text of a page: that of an element before its first child, or that after an element."""

    element: Any
    is_tail: bool
    text: str


@dataclass
class Page:
    """A page of the book.

    Attributes:
        path: in the book.
        root: of its XHTML.
    """

    path: str
    root: Any
    slots: list[_Slot] = field(default_factory=list)
    letters: str = ""
    _places: list[tuple[int, int]] = field(default_factory=list)
    _spans: dict[int, list[tuple[int, int, str]]] = field(default_factory=lambda: defaultdict(list))
    _num_spans: int = 0

    def __post_init__(self) -> None:
        body = next(self.root.iter("{*}body"), None)
        if body is not None:
            self._collect(body)
        letters = []
        for number, slot in enumerate(self.slots):
            for offset, sign in enumerate(slot.text):
                if sign.isalnum():
                    letters.append(sign.lower()[:1])
                    self._places.append((number, offset))
        self.letters = "".join(letters)

    def _collect(self, body: Any) -> None:
        """Note the texts that are read, in order."""
        pending: list[tuple[Any, bool]] = [(body, False)]
        while pending:
            element, is_tail = pending.pop()
            text = element.tail if is_tail else element.text
            tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else "script"
            if is_tail:
                if text:
                    self.slots.append(_Slot(element, True, text))
                continue
            is_mark = tag == "sup" and NOTE_MARK.match("".join(element.itertext()).strip())
            if tag in _UNREAD or is_mark or element.get("hidden") is not None:
                continue
            if text:
                self.slots.append(_Slot(element, False, text))
            for child in reversed(element):
                pending += [(child, True), (child, False)]

    def take(self, start: int, end: int) -> Passage:
        """Mark the letters from `start` to before `end` as a sentence."""
        by_slot: dict[int, list[int]] = defaultdict(list)
        for number, offset in self._places[start:end]:
            by_slot[number].append(offset)
        pieces = []
        for number, offsets in by_slot.items():
            first, last = offsets[0], offsets[-1] + 1
            text = self.slots[number].text
            while last < len(text) and not text[last].isspace() and not text[last].isalnum():
                last += 1
            while first and not text[first - 1].isspace() and not text[first - 1].isalnum():
                first -= 1
            self._num_spans += 1
            anchor = f"sentence-{self._num_spans}"
            self._spans[number].append((first, last, anchor))
            pieces.append(Piece(anchor, len(offsets)))
        return Passage(self, pieces)

    def wrap(self) -> None:
        """Put what was taken into spans."""
        from lxml import etree

        for number, spans in self._spans.items():
            slot = self.slots[number]
            parent = slot.element.getparent() if slot.is_tail else slot.element
            place = parent.index(slot.element) + 1 if slot.is_tail else 0
            before, position, last = "", 0, None
            for first, end, anchor in sorted(spans):
                first = max(first, position)
                between = slot.text[position:first]
                if last is None:
                    before = between
                else:
                    last.tail = between
                last = etree.Element(f"{{{_XHTML}}}span", {"id": anchor})
                last.text = slot.text[first:end]
                parent.insert(place, last)
                place, position = place + 1, max(end, position)
            if last is not None:
                last.tail = slot.text[position:]
            if slot.is_tail:
                slot.element.tail = before
            else:
                slot.element.text = before

    def add_style(self, style: str) -> None:
        """Add a style sheet."""
        from lxml import etree

        head = next(self.root.iter("{*}head"), None)
        if head is not None:
            etree.SubElement(head, f"{{{_XHTML}}}style").text = style

    def write(self) -> str:
        """Return the page."""
        from lxml import etree

        return '<?xml version="1.0" encoding="utf-8"?>\n' + str(etree.tostring(self.root, encoding="unicode"))


def find_passages(pages: Sequence[Page], chapters: Sequence[Sequence[str]]) -> list[list[Passage | None]]:
    """Find sentences in pages.

    Args:
        pages: in reading order.
        chapters: the sentences of each, in order.

    Returns:
        where each stands; None for one that is not there, such as a title that only the contents have.
    """
    starts, everything = [], ""
    for page in pages:
        starts.append(len(everything))
        everything += page.letters + "\n"
    position = 0
    found: list[list[Passage | None]] = []
    for sentences in chapters:
        folded = ["".join(sign.lower()[:1] for sign in text.translate(_FLAT) if sign.isalnum()) for text in sentences]
        position = _find_begin(everything, folded, position)
        passages: list[Passage | None] = []
        for letters in folded:
            window = _NEAR if len(letters) < _SHORT else _FAR
            place = everything.find(letters, position, position + window + len(letters)) if letters else -1
            if place < 0 and len(letters) > _SHORT:  # The first letter may be a picture.
                letters = letters[1:]
                place = everything.find(letters, position, position + window + len(letters))
            if place < 0:
                passages.append(None)
                continue
            number = bisect.bisect_right(starts, place) - 1
            passages.append(pages[number].take(place - starts[number], place - starts[number] + len(letters)))
            position = place + len(letters)
        found.append(passages)
    return found


def _find_begin(everything: str, sentences: Sequence[str], position: int) -> int:
    """Return from where on a chapter is looked for: before its first long sentence, wherever that is."""
    length = 0
    for letters in sentences:
        if len(letters) >= _LONG and (place := everything.find(letters, position)) >= 0:
            return max(position, place - length - _NEAR // 2)
        length += len(letters)
    return position
