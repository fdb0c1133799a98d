"""What every format becomes: a book as a list of blocks, and a list of what was left out.

Knows nothing of files, voices or Parquet.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

BlockKind = Literal["heading", "paragraph", "verse", "item", "scene"]

_MAX_EXAMPLES = 3
MARK_OPEN, MARK_CLOSE = "\ue000", "\ue001"
"""Around the name of a `<voice:NAME>` mark, so that no format's own syntax takes it for something else."""


@dataclass(frozen=True)
class Block:
    """A stretch of text between two pauses.

    Attributes:
        kind: what it is; `verse` keeps its lines, `scene` is a break and has no text.
        text: on one line, but for the lines of `verse`.
        level: of a heading, 1 is the highest; 0 for everything else.
    """

    kind: BlockKind
    text: str = ""
    level: int = 0


@dataclass
class LeftOut:
    """What is not read aloud, by reason, with the first few examples."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, text: str, count: int = 1) -> None:
        """Note that a text is not read."""
        self.counts[reason] += count
        shown = self.examples.setdefault(reason, [])
        if len(shown) < _MAX_EXAMPLES and text.strip():
            shown.append(" ".join(text.split())[:80])

    def update(self, other: LeftOut) -> None:
        """Add what another part of the book leaves out."""
        self.counts.update(other.counts)
        for reason, examples in other.examples.items():
            self.examples[reason] = [*self.examples.get(reason, []), *examples][:_MAX_EXAMPLES]


@dataclass
class Document:
    """A book as its format gives it, before chapters are found."""

    title: str
    author: str
    language: str
    """As written in the file: a code or a name; empty where it says nothing."""
    blocks: list[Block]
    left_out: LeftOut
    cover: bytes | None = None
    """JPEG or PNG."""
