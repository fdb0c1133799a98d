"""Units of work: consecutive rows of a shard that are scheduled, committed and resumed together.

Where a unit begins and ends follows from its shard's number of rows and the unit size alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.manifest.shards import Shard


@dataclass(frozen=True)
class WorkUnit:
    """Consecutive rows of one shard, `last_row` included."""

    shard: str
    first_row: int
    last_row: int
    source: Shard | None = field(default=None, compare=False, repr=False)
    """The shard itself, for whoever reads rows and has no manifest."""

    @property
    def unit_id(self) -> str:
        """`<shard>/<first row>-<last row>`; the same in every process and every start."""
        return f"{self.shard}/{self.first_row:09d}-{self.last_row:09d}"

    @property
    def num_rows(self) -> int:
        """How many rows it holds."""
        return self.last_row - self.first_row + 1

    def is_planned(self, num_rows: int, unit_size: int) -> bool:
        """Tell whether a shard of this many rows, in units of this size, has this unit."""
        return 0 <= self.first_row < num_rows and self == unit_of_row(self.shard, num_rows, self.first_row, unit_size)


def plan_units(shard: str, num_rows: int, unit_size: int) -> Iterator[WorkUnit]:
    """Yield the units of a shard in order.

    Args:
        shard: its name.
        num_rows: of the shard.
        unit_size: rows of a unit, at least 1; the last one may have fewer.
    """
    for first_row in range(0, num_rows, unit_size):
        yield unit_of_row(shard, num_rows, first_row, unit_size)


def unit_of_row(shard: str, num_rows: int, row: int, unit_size: int) -> WorkUnit:
    """Return the unit that a row of a shard belongs to; see `plan_units`."""
    first_row = row - row % unit_size
    return WorkUnit(shard, first_row, min(first_row + unit_size, num_rows) - 1)


def count_units(shard_rows: Iterable[int], unit_size: int) -> int:
    """Return how many units shards with these numbers of rows have together."""
    return sum(-(-num_rows // unit_size) for num_rows in shard_rows)


def parse_unit_id(unit_id: str) -> WorkUnit | None:
    """Return the unit that an id names, or None where it names none."""
    shard, _, rows = unit_id.rpartition("/")
    first, dash, last = rows.partition("-")
    if not (shard and dash and first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        return None
    unit = WorkUnit(shard, int(first), int(last))
    return unit if unit.unit_id == unit_id else None
