"""Cut spoken text into segments, each short enough for one LLM request.

Cuts fall at paragraphs, else at sentence ends, else at clause marks, else at spaces, and only where a text has none of
these, between two grapheme clusters. Nothing but white space is lost between two segments.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import regex

from pipeline.text.english_abbreviations import is_abbreviation
from pipeline.text.normalize import WORD_CHARACTER
from pipeline.text.pace import HAN, estimate_seconds

Boundary = Literal["clause", "sentence", "paragraph"]

_CLOSERS = "\"'”’」』）》】)\\]"
_SENTENCE_END = re.compile(
    rf"[。！？!?…‥．｡]+[.!?…。！？]*[{_CLOSERS}]*(?:[。！？]+[{_CLOSERS}]*)*|(?<!\.)\.[{_CLOSERS}]*(?=\s|$|[{HAN}])"
    rf"|\.{{2,}}[!?]*[{_CLOSERS}]*"
    r"|[؟۔।॥]+"
)
_CLAUSE_END = re.compile(rf"[，；：、､]+[{_CLOSERS}]*|[,;:][{_CLOSERS}]*(?=\s|[{HAN}])|\s[-–]+(?=\s)|—+|[،؛]")
_SPACE = re.compile(r"(?=\s)")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_HAN_NUMBER = "[零〇一二两三四五六七八九十百千万亿幺]"
_TITLE = "《[^《》\n]{1,80}》|〈[^〈〉\n]{1,80}〉"
# A mark stays with what it closes.
_UNIT = regex.compile(
    rf"(?:{_TITLE}|{_HAN_NUMBER}+(?:点{_HAN_NUMBER}+)?|[A-Za-z0-9]+(?:[.,:'-][A-Za-z0-9]+)*\p{{M}}*|\X)"
    r"[，。！？；：、”’」』）》]*"
)
_NUMBER_WORD = (
    "(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
    "|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million"
    "|billion|trillion|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|[a-z]+teenth|[a-z]+tieth"
    "|hundredth|thousandth)"
)
# What is said in one breath: a number in words, with its point, its minus, and the groups of a telephone number.
_SPOKEN_NUMBER = re.compile(
    rf"(?:\b(?:minus|plus|point) )?\b{_NUMBER_WORD}(?:(?:-| and | point |,? ){_NUMBER_WORD})+\b"
    rf"|{_HAN_NUMBER}{{2,}}(?:[点，]{_HAN_NUMBER}+)*",
    re.IGNORECASE,
)
_TITLES = re.compile(_TITLE)
_LAST_WORD = re.compile(r"[^\s\"'“‘(\[]*$")


@dataclass(frozen=True)
class Segment:
    """The text of one LLM request.

    Attributes:
        text: what is said; starts and ends without white space.
        boundary: what it ends: a clause, a sentence or a paragraph (the text's end counts as one).
        estimated_s: expected speaking time in seconds.
    """

    text: str
    boundary: Boundary
    estimated_s: float


@dataclass(frozen=True)
class _Limits:
    language: str
    max_chars: int
    max_s: float

    def holds(self, text: str) -> bool:
        return len(text) <= self.max_chars and estimate_seconds(text, self.language) <= self.max_s


def split_into_segments(text: str, language: str, *, max_chars: int = 200, max_s: float = 18.0) -> list[Segment]:
    """Cut a text into segments within both limits; short sentences of a paragraph share one.

    The segments' texts follow each other in `text` with nothing before, between and after them but white space and
    pieces without a letter or digit (a line of asterisks, a sign before an overlong word), which nobody can say.

    Args:
        text: normalized; paragraphs are parted by an empty line.
        language: for the estimate of speaking time.
        max_chars: most characters of a segment; one grapheme cluster may be longer, as it is never cut.
        max_s: most estimated seconds of a segment; one grapheme cluster may be longer.

    Returns:
        In order; none for a text without a letter or digit.
    """
    if max_chars < 1 or max_s <= 0:
        raise ValueError(f"max_chars and max_s must be positive, got {max_chars} and {max_s}")
    limits = _Limits(language, max_chars, max_s)
    segments: list[Segment] = []
    for paragraph in _PARAGRAPH.split(text):
        pieces = [piece for piece in _pack(_sentences(paragraph.strip()), limits) if WORD_CHARACTER.search(piece[0])]
        for index, (piece, boundary) in enumerate(pieces):
            last: Boundary = "paragraph" if index == len(pieces) - 1 else boundary
            segments.append(Segment(piece, last, estimate_seconds(piece, language)))
    return segments


_Piece = tuple[str, Boundary]


def _pack(sentences: Iterator[str], limits: _Limits) -> Iterator[_Piece]:
    """Join neighboring sentences while they fit; cut those that do not fit alone."""
    for piece, fits in _join(sentences, limits, limits):
        if fits:
            yield piece.strip(), "sentence"
            continue
        parts = [part for part in _cut(piece.strip(), limits, (_clauses, _words, _all_words)) if part]
        for index, part in enumerate(parts):
            yield part, "sentence" if index == len(parts) - 1 else "clause"


def _join(pieces: Iterator[str], enough: _Limits, limits: _Limits) -> Iterator[tuple[str, bool]]:
    """Join pieces (which keep their white space) until it is enough; tell of each whether the limits hold it."""
    held, held_s = "", 0.0
    for piece in pieces:
        joined = (held + piece).strip()
        if (
            held
            and len(held.strip()) <= enough.max_chars
            and held_s <= enough.max_s
            and len(joined) <= limits.max_chars
        ):
            joined_s = estimate_seconds(joined, limits.language)
            if joined_s <= limits.max_s:
                held, held_s = held + piece, joined_s
                continue
        if held.strip():
            yield held, limits.holds(held.strip())
        held, held_s = piece, estimate_seconds(piece.strip(), limits.language)
    if held.strip():
        yield held, limits.holds(held.strip())


def _cut(text: str, limits: _Limits, levels: tuple[Callable[[str], Iterator[str]], ...]) -> Iterator[str]:
    if not levels:
        yield from _unspaced(text, limits)
        return
    for piece, fits in _join(levels[0](text), _mean(text, limits), limits):
        if fits:
            yield piece.strip()
        else:
            yield from _cut(piece.strip(), limits, levels[1:])


def _mean(text: str, limits: _Limits) -> _Limits:
    """Return the mean length of the fewest parts: joined up to it, they are even, and none is left with one word."""
    seconds = estimate_seconds(text, limits.language)
    parts = math.ceil(max(len(text) / limits.max_chars, seconds / limits.max_s))
    return _Limits(limits.language, math.ceil(len(text) / parts), seconds / parts)


def _sentences(paragraph: str) -> Iterator[str]:
    start, titles = 0, _find_titles(paragraph)
    for match in _SENTENCE_END.finditer(paragraph):
        if _ends_sentence(paragraph, match.start(), match.end()) and not titles.hold(match.end()):
            yield paragraph[start : match.end()]
            start = match.end()
    yield paragraph[start:]


class _Whole:
    """Stretches of a text that a cut leaves whole; asked about ascending places only."""

    def __init__(self, stretches: Iterator[re.Match[str]]) -> None:
        self._stretches = stretches
        self._start = self._end = -1

    def hold(self, position: int) -> bool:
        """Tell whether a place lies inside a stretch."""
        while position >= self._end:
            stretch = next(self._stretches, None)
            if stretch is None:
                self._start = self._end = sys.maxsize
                break
            self._start, self._end = stretch.span()
        return self._start < position


def _find_titles(text: str) -> _Whole:
    return _Whole(_TITLES.finditer(text) if "》" in text or "〉" in text else iter(()))


def _find_numbers(text: str) -> _Whole:
    return _Whole(_SPOKEN_NUMBER.finditer(text))


def _ends_sentence(text: str, mark: int, end: int) -> bool:
    following = text[end : end + 3].lstrip(" \n\t\"'“‘(")[:1]
    if text[mark] in "。！？｡؟۔।॥":
        return True
    if following.islower():
        return False
    if text[mark] in "!?…‥":
        return end == len(text) or text[end].isspace() or not following.isascii()
    if end - mark > 1 and text[mark + 1] == "." and end < len(text) and not text[end].isspace():
        return False
    word_match = _LAST_WORD.search(text, max(0, mark - 24), mark)
    word = word_match[0] if word_match else ""
    is_last = end == len(text)
    if not is_last and (is_abbreviation(word, following) or (word.isdecimal() and mark - len(word) == 0)):
        return False
    return not (word[-1:].isdecimal() and following and not text[end : end + 1].isspace())


def _clauses(sentence: str) -> Iterator[str]:
    start, titles, numbers = 0, _find_titles(sentence), _find_numbers(sentence)
    for match in _CLAUSE_END.finditer(sentence):
        if not (titles.hold(match.end()) or numbers.hold(match.end())):
            yield sentence[start : match.end()]
            start = match.end()
    yield sentence[start:]


def _words(clause: str) -> Iterator[str]:
    start, titles, numbers = 0, _find_titles(clause), _find_numbers(clause)
    for match in _SPACE.finditer(clause, 1):
        if not (titles.hold(match.start()) or numbers.hold(match.start())):
            yield clause[start : match.start()]
            start = match.start()
    yield clause[start:]


def _all_words(clause: str) -> Iterator[str]:
    """Cut at every space: what would stay whole alone is longer than the limits."""
    start = 0
    for match in _SPACE.finditer(clause, 1):
        yield clause[start : match.start()]
        start = match.start()
    yield clause[start:]


def _unspaced(text: str, limits: _Limits) -> Iterator[str]:
    """Cut a text without spaces, as long as the limits allow; numbers and Latin words in it stay whole if they fit."""
    units: list[str] = []
    for match in _UNIT.finditer(text):
        units.extend([match[0]] if limits.holds(match[0]) else regex.findall(r"\X", match[0]))
    start = 0
    while start < len(units):
        end, length = start + 1, len(units[start])
        while end < len(units) and length + len(units[end]) <= limits.max_chars:
            length += len(units[end])
            end += 1
        while end - start > 1 and not limits.holds("".join(units[start:end])):
            share = limits.max_s / estimate_seconds("".join(units[start:end]), limits.language)
            end = start + max(1, min(end - start - 1, int((end - start) * share)))
        yield "".join(units[start:end])
        start = end
