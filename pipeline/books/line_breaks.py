"""What the lines of a page are: prose that was cut where a line was full, paragraphs, or lines that somebody made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from pipeline.books.headings import looks_like_title

_WIDE = re.compile("[\u3000-\u9fff\uff00-\uffef]")
_INDENT = re.compile("\u3000|[\u00a0 ]*\u00a0[\u00a0 ]*\u00a0")
_SENTENCE_END = re.compile(r"[.!?…。！？”’」』\"'][)）]?$")
_MIN_WIDTH, _MIN_PARAGRAPH_WIDTH = 45, 80
_SLACK = 8
_PLAIN_WORD = re.compile(r"^[(\[\"'“‘«„_*—-]*[^\W\d_]+(?:['’—-]+[^\W\d_]+)*[)\].,;:!?…\"'”’»_*—-]*$")
_MIN_WORDS, _WORD_SHARE = 4, 0.8
_FULL_SHARE, _SMALL_SHARE = 0.7, 0.3
"""Of the lines: that had no room for the next word; that begin with a small letter. German has many capitals."""

_MIN_PAIRS, _PARAGRAPH_SHARE, _BASE_SHARE = 5, 0.85, 0.1


def is_prose(lines: Sequence[str]) -> bool:
    """Return whether lines are cut where a page was full, and not as verse is: most go on with a small letter."""
    starts = [match[0] for line in lines[1:] if (match := re.search(r"[^\W\d_]", line))]
    return sum(letter.islower() for letter in starts) > len(starts) / 2


def is_wrapped(lines: Sequence[str]) -> bool:
    """Return whether lines with their own breaks are prose: where one ends, the next word would have had no room."""
    widths = sorted(_width(line.rstrip()) for line in lines if line.strip())
    width = widths[len(widths) * 9 // 10] if widths else 0
    if not _MIN_WIDTH <= width:
        return False
    pairs = [(line.rstrip(), following.split()[0]) for line, following in pairwise(lines)
             if following.strip() and _width(line.strip()) > width / 2]  # fmt: skip
    if not _WIDE.search("".join(lines)) and not _are_words(lines):
        return False
    cased = [word[0] for _, word in pairs if word[0].lower() != word[0].upper()]
    num_full = sum(_width(line) + 1 + _width(word[:1] if _WIDE.match(word) else word) > width * (1 - 1 / _SLACK)
                   for line, word in pairs)  # fmt: skip
    is_full = bool(pairs) and num_full >= _FULL_SHARE * len(pairs)
    return is_full and sum(map(str.islower, cased)) >= _SMALL_SHARE * len(cased)


def _are_words(lines: Sequence[str]) -> bool:
    """Return whether lines are made of words, as those of a program or of a list of files are not."""
    if any(line.rstrip().endswith("\\") for line in lines):
        return False
    parts = [part for line in lines for part in line.split()]
    num_words = sum(bool(_PLAIN_WORD.match(part)) for part in parts)
    return num_words >= _MIN_WORDS * sum(bool(line.strip()) for line in lines[:-1]) and num_words >= _WORD_SHARE * len(
        parts
    )


def are_paragraphs(lines: Sequence[str]) -> bool:
    """Return whether each line is a paragraph: it has a paragraph's indent, or is longer than verse and ends as one."""
    texts = [line for line in lines if line.strip()]
    if len(texts) < 2:
        return False
    if all(line.lstrip(" ").startswith("\u3000") for line in texts[1:]):
        return True
    is_long = median(map(_width, texts)) > _MIN_PARAGRAPH_WIDTH
    num_indented = sum(bool(_INDENT.match(line.lstrip(" \t"))) for line in texts)
    num_ended = sum(bool(_SENTENCE_END.search(line.rstrip())) for line in texts)
    most = len(texts) * 2 / 3
    return ((is_long or num_indented > most) and num_ended > most) or (is_long and num_indented > most)


def part_paragraphs(lines: Sequence[str]) -> list[str]:
    """Put a blank line before each paragraph of a text that parts them by indents, or has one a line, and by no room.

    Its own blank lines become two: they are more room than its paragraphs have, as titles need it.
    Lines that end where a page was full seldom end a sentence, and lines that each are a paragraph nearly always do.
    """
    pairs = [
        (before, line)
        for above, before, line in zip(["", *lines], lines, lines[1:], strict=False)
        if before.strip() and line.strip() and not (not above.strip() and _is_title(before, line))
    ]
    if len(pairs) < _MIN_PAIRS:
        return list(lines)
    ended = [line for before, line in pairs if _SENTENCE_END.search(before.rstrip())]
    indent: int | None = None
    if len(ended) < _PARAGRAPH_SHARE * len(pairs):
        indent = _paragraph_indent([line for _, line in pairs], ended)
        if indent is None:
            return list(lines)
    parted = list(lines[:1])
    for above, before, line in zip(["", *lines], lines, lines[1:], strict=False):
        is_ended = _SENTENCE_END.search(before.rstrip()) or (not above.strip() and looks_like_title(before.strip()))
        is_start = indent is None or (_indent_of(line) == indent and bool(is_ended))
        if line.strip() and (is_start or not before.strip()):
            parted.append("")
        parted.append(line)
    return parted


def _is_title(line: str, following: str) -> bool:
    return looks_like_title(line.strip()) and bool(_SENTENCE_END.search(following.rstrip()))


def _paragraph_indent(lines: Sequence[str], ended: Sequence[str]) -> int | None:
    """Return the indent of a paragraph's first line: more than that of the others, and nearly always behind an end."""
    found, behind = Counter(map(_indent_of, lines)), Counter(map(_indent_of, ended))
    base = min(indent for indent, count in found.items() if count >= _BASE_SHARE * len(lines))
    deeper = [indent for indent in behind if indent > base and behind[indent] >= _PARAGRAPH_SHARE * found[indent]]
    best = max(deeper, key=lambda indent: behind[indent], default=None)
    return best if best is not None and behind[best] >= _MIN_PAIRS else None


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def _width(text: str) -> int:
    return len(text) + len(_WIDE.findall(text))
