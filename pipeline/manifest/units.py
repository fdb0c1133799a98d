"""Units of work: consecutive rows of a shard that are scheduled, committed and resumed together.

Where a unit begins and ends follows from its shard's number of rows and the unit size alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

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
    rows: pa.Table | None = field(default=None, compare=False, repr=False)
    """The rows themselves, in place of a shard that others could not read."""
    revision: int = 0
    """Which content of the shard: it grows whenever the shard is planned anew."""

    @property
    def unit_id(self) -> str:
        """`<shard>[@<revision>]/<first row>-<last row>`; the same in every process and every start."""
        return f"{shard_folder(self.shard, self.revision)}/{self.first_row:09d}-{self.last_row:09d}"

    @property
    def num_rows(self) -> int:
        """How many rows it holds."""
        return self.last_row - self.first_row + 1

    def is_planned(self, num_rows: int, unit_size: int) -> bool:
        """Tell whether a shard of this many rows, in units of this size, has this unit."""
        planned = unit_of_row(self.shard, num_rows, self.first_row, unit_size, self.revision)
        return 0 <= self.first_row < num_rows and self == planned


def shard_folder(shard: str, revision: int) -> str:
    """Return the folder of a shard's commits below `metadata/`: its name, for later revisions with their number."""
    return f"{shard}@{revision}" if revision else shard


def plan_units(shard: str, num_rows: int, unit_size: int, revision: int = 0) -> Iterator[WorkUnit]:
    """Yield the units of a shard in order.

    Args:
        shard: its name.
        num_rows: of the shard.
        unit_size: rows of a unit, at least 1; the last one may have fewer.
        revision: of the shard.
    """
    for first_row in range(0, num_rows, unit_size):
        yield unit_of_row(shard, num_rows, first_row, unit_size, revision)


def unit_of_row(shard: str, num_rows: int, row: int, unit_size: int, revision: int = 0) -> WorkUnit:
    """Return the unit that a row of a shard belongs to; see `plan_units`."""
    first_row = row - row % unit_size
    return WorkUnit(shard, first_row, min(first_row + unit_size, num_rows) - 1, revision=revision)


def count_units(shard_rows: Iterable[int], unit_size: int) -> int:
    """Return how many units shards with these numbers of rows have together."""
    return sum(-(-num_rows // unit_size) for num_rows in shard_rows)


def parse_unit_id(unit_id: str) -> WorkUnit | None:
    """Return the unit that an id names, or None where it names none."""
    folder, _, rows = unit_id.rpartition("/")
    first, dash, last = rows.partition("-")
    if not (folder and dash and first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        return None
    numbered = re.fullmatch(r"(.*)@([1-9][0-9]{0,8})", folder)
    shard, revision = (numbered[1], int(numbered[2])) if numbered else (folder, 0)
    unit = WorkUnit(shard, int(first), int(last), revision=revision)
    return unit if unit.unit_id == unit_id else None
