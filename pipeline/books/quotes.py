"""Cut a paragraph into sentences, and find what in it is spoken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.text.english_abbreviations import is_abbreviation

_PAIRS = {"“": "”", "‘": "’", "«": "»", "„": "“", "「": "」", "『": "』", '"': '"', "'": "'"}
_OPENERS_BEFORE = " \n([{—–-\ue001"
# A closing mark stays with its sentence: “ and « close in German, and open in other languages, after a space.
_END = re.compile(
    r"(?<![.!?…])[.!?…]+[\"'”’“)\]」』»«›‹》）】]*(?=\s|$|—(?=[\"'“‘]))|(?<![。！？])[。！？]+[\"'”’)\]」』»›》）】]*"
)
_NEVER_CLOSES = re.compile(r"(?:tis|twas|twere|twill|em|til|cause|neath|gainst|bout|im|er)\b", re.I)


@dataclass(frozen=True)
class Quote:
    """Spoken words, quotation marks included: `text[start:end]` of its paragraph.

    Attributes:
        is_closed: its closing mark is in the same paragraph.
    """

    start: int
    end: int
    is_closed: bool


def find_quotes(text: str) -> list[Quote]:
    """Return the outermost quotes of a paragraph, in order; an apostrophe is none."""
    quotes: list[Quote] = []
    position = 0
    while position < len(text):
        mark = text[position]
        if mark in _PAIRS and _can_open(text, position):
            end = _find_close(text, position + 1, _PAIRS[mark])
            quotes.append(Quote(position, len(text) if end is None else end + 1, end is not None))
            position = quotes[-1].end
        else:
            position += 1
    return quotes


def _can_open(text: str, position: int) -> bool:
    before, after = text[position - 1 : position], text[position + 1 : position + 2]
    if not after or after.isspace():
        return False
    if text[position] not in "\"'‘":
        return True
    if before and before not in _OPENERS_BEFORE and before not in _PAIRS:
        return False
    # 'Tis and 'em have an apostrophe, unless the quote's own mark stands before it.
    return text[position] != "'" or not _NEVER_CLOSES.match(text, position + 1) or text.find("'", position + 2) >= 0


def _find_close(text: str, start: int, close: str) -> int | None:
    """Return where a quote ends; a mark after a letter ends it only if no better one follows."""
    weak: int | None = None
    for position in range(start, len(text)):
        if text[position] != close:
            continue
        before, after = text[position - 1], text[position + 1 : position + 2]
        if close in "'’" and (before.isspace() or before in "([—" or (after and (after.isalnum()))):
            if after.isalnum() and (before.isspace() or before == "(") and weak is not None:
                return weak  # Another quote opens.
            if before == "—" and not after.isalnum():
                return position
            continue
        if close in "'’" and before.isalnum():
            # Of a plural (`the others' faces`) or the end of a quoted word: the end if no mark after a stop follows.
            weak = position if weak is None else weak
            if before.lower() != "s" or not after or not after.isspace():
                return position
            continue
        return position
    return weak


def split_sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each sentence, white space between them left out."""
    start = 0
    for match in _END.finditer(text):
        end = match.end()
        if end < len(text) and not _ends_sentence(text, match):
            continue
        yield from _strip(text, start, end)
        start = end
    yield from _strip(text, start, len(text))


def _strip(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if end > start and re.search(r"\w", text[start:end]):
        yield start, end


def _next_letter(text: str, position: int) -> str:
    while position < len(text) and text[position] in " \n\"'“‘([—–\ue000":
        position += 1
    return text[position : position + 1]


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    mark = match.start()
    following = _next_letter(text, match.end())
    if text[mark] in "。！？":
        return True
    if following.islower():
        return False
    if text[mark] != "." or match[0][1:2] == ".":
        return True
    word = text[text.rfind(" ", 0, mark) + 1 : mark].lstrip("\"'“‘([")
    if len(word) == 1 and word.isupper() and word != "I":
        return False
    return not is_abbreviation(word, following)
