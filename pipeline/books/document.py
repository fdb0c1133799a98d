"""What every format becomes: a book as a list of blocks, those that are not read aloud included, and its contents.

Knows nothing of files, voices or Parquet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import regex

BlockKind = Literal["heading", "paragraph", "verse", "item", "scene"]

MARK_OPEN, MARK_CLOSE = "\ue000", "\ue001"
"""Around the name of a `<voice:NAME>` mark, so that no format's own syntax takes it for something else."""
_INVISIBLE = re.compile(f"{MARK_OPEN}[^{MARK_CLOSE}]*{MARK_CLOSE}|[\u00ad\u200b\u2060\ufeff\x00-\x08\x0e-\x1b\x7f]")
_SIGN = r"[\p{Han}\p{Hiragana}\p{Katakana}]"
_LETTERS = rf"(?:[[\p{{L}}\p{{Nd}}\p{{Nl}}]--{_SIGN}]\p{{M}}*+)+"
_WORD = regex.compile(rf"(?V1){_SIGN}|{_LETTERS}(?:['’]{_LETTERS})*")

_OTHER_LETTER = re.compile("[\u02b0-\u1dff\u1f00-\u1fff\u2070-\udfff\uf900-\U0010ffff]")
_WESTERN = "[A-Za-z0-9\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u1e00-\u1eff]+"
_WESTERN_WORD = re.compile(f"{_WESTERN}(?:['’]{_WESTERN})*")


def words_in(text: str) -> int:
    """Return how many words a text has: runs of letters and digits; each character of Chinese and Japanese is one.

    A hyphen separates, so that the sum does not depend on where lines or elements end.
    """
    # Counting is most of the work of reading a book, and most books are in Western letters.
    pattern = _WORD if _OTHER_LETTER.search(text) else _WESTERN_WORD
    return len(pattern.findall(_INVISIBLE.sub("", text)))


@dataclass(frozen=True)
class Block:
    """A stretch of text between two pauses, or something that is not read.

    Attributes:
        kind: what it is; `verse` keeps its lines, `scene` is a break and has no text.
        text: on one line, but for the lines of `verse`.
        level: of a heading, 1 is the highest; 0 for everything else.
        reason: why it is not read; empty where it is.
        entries: which entries of the book's contents begin here.
    """

    kind: BlockKind
    text: str = ""
    level: int = 0
    reason: str = ""
    entries: tuple[int, ...] = ()

    def left_out(self, reason: str) -> Block:
        """Return the block as one that is not read; the reason that it has already stays."""
        return self if self.reason else replace(self, reason=reason)


@dataclass(frozen=True)
class Entry:
    """A line of a book's own table of contents.

    Attributes:
        label: as it is written there.
        depth: 0 is the highest.
        place: the file that it names, empty for a title without one. Blocks say where it begins.
    """

    label: str
    depth: int
    place: str = ""


@dataclass(frozen=True)
class Edition:
    """What a book says of itself beside its title, for the tags of its chapters; empty where it says nothing."""

    date: str = ""
    publisher: str = ""
    description: str = ""
    series: str = ""
    series_number: str = ""


@dataclass
class Document:
    """A book as its format gives it, before chapters are found."""

    title: str
    author: str
    language: str
    """As written in the file: a code or a name; empty where it says nothing."""
    blocks: list[Block]
    num_words: int
    """Counted where the text comes in, whatever is read of it."""
    contents: list[Entry] = field(default_factory=list)
    """The book's own table of contents; empty where it has none."""
    missing: list[str] = field(default_factory=list)
    """Entries of it that name a place which the text does not have."""
    notes: list[str] = field(default_factory=list)
    """What somebody should know of how it was read."""
    cover: bytes | None = None
    """JPEG or PNG."""
    edition: Edition = Edition()


def readable(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks that are read aloud."""
    return [block for block in blocks if not block.reason]


def words_of(blocks: Iterable[Block]) -> int:
    """Return how many words are in blocks."""
    return sum(words_in(block.text) for block in blocks)
