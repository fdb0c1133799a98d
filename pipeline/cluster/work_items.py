"""What the coordinator moves: units in flight, their rounds of takes, and calls of replicas.

Results are references to Ray's object store; nothing here looks into them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pipeline.manifest.units import WorkUnit
from pipeline.synthesis.take_pool import KeptTake
from pipeline.synthesis.takes import Rejection, Wanted

if TYPE_CHECKING:
    from pipeline.cluster.pools import Replica


class Stage(StrEnum):
    """The stages by name, which is also that of their `replicas` settings; `stage_order.py` has their order."""

    LLM = "llm"
    CODEC = "codec"
    LISTENER = "listener"
    WRITER = "writer"


@dataclass
class Round:
    """What the stages made of takes that were asked for together."""

    wanted: Wanted | None
    """The takes; none means all segments of all rows, from take 0 on."""
    results: list[Any] = field(default_factory=list)
    """References to what the stages made, in their order: takes, audio, and what was heard if somebody listens."""
    failed: dict[int, dict[int, int]] = field(default_factory=dict)
    """Takes to make instead of those that a stage found wanting."""

    def add(self, results: Sequence[Any], failed: Wanted) -> None:
        """Take in what a stage made."""
        self.results += results
        for row, takes in failed.items():
            self.failed.setdefault(row, {}).update(takes)


@dataclass
class UnitState:
    """A unit in flight."""

    unit: WorkUnit
    rejections: dict[int, Rejection]
    """Rows that are not to be synthesized."""
    wanted: Wanted | None = None
    """Rows to synthesize again where the unit is committed already; none makes all of them, and the commit."""
    kept: Mapping[int, KeptTake] = field(default_factory=dict)
    """Rows whose take an earlier commit has; they are not synthesized, either."""
    removed: Mapping[int, str] = field(default_factory=dict)
    """Rows that were withdrawn, and why; known ahead only where the unit's rows were looked at."""
    rounds: list[Round] = field(default_factory=list)
    """Complete ones, in the order in which they were made; later takes replace earlier ones."""
    node_id: str | None = None
    """Where its last result lies; whoever takes the next call there spares the network the audio."""
    num_crashes: int = 0
    quarantine: deque[int] | None = None
    """Rows still to be run in isolation, once the unit has crashed too often; the first one is running."""
    crashes_isolated: Counter[int] = field(default_factory=Counter)
    """By row."""

    @property
    def num_rows(self) -> int:
        """Rows whose records this will write."""
        return self.unit.num_rows if self.wanted is None else len(self.wanted)

    @property
    def skipped(self) -> frozenset[int]:
        """Rows that no network sees."""
        return frozenset(self.rejections) | frozenset(self.kept) | frozenset(self.removed)

    def restart(self) -> None:
        """Forget what was made: it is lost, or may be."""
        self.rounds.clear()
        if self.quarantine is not None:
            self.isolate()

    def isolate(self) -> None:
        """Put every row that is to be synthesized in quarantine."""
        rows = sorted(self.wanted) if self.wanted else range(self.unit.first_row, self.unit.last_row + 1)
        skipped = self.skipped
        self.quarantine = deque(row for row in rows if row not in skipped)


@dataclass(eq=False)
class Call:
    """Something asked of a replica, or waiting to be."""

    stage: Stage
    state: UnitState
    round: Round | None = None
    """The round that it works on; none where it commits the unit."""
    replica: Replica | None = None
    results: Sequence[Any] = ()
    """References to what it makes."""
    num_overtaken: int = 0
    """Times that a call behind it was taken first, as its input was on the replica's node."""

    @property
    def is_isolated(self) -> bool:
        """Whether it may share its replica with nothing."""
        return self.state.quarantine is not None and self.round is not None
