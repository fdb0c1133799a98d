"""What is left to do of each unit: rows that are rejected before they start, rows whose take is kept, and the rest."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.cluster.work_items import UnitState
from pipeline.config.manifest import OWN_COLUMNS
from pipeline.config.quality import QualityConfig
from pipeline.errors import RejectionCode
from pipeline.manifest.rows import Manifest
from pipeline.manifest.units import WorkUnit, parse_unit_id
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog, map_ahead
from pipeline.output.lease import Lease
from pipeline.output.records import build_record, removed_record
from pipeline.output.row_counts import UnitReceipt
from pipeline.output.shard_table import ShardTable
from pipeline.output.tombstones import Tombstones
from pipeline.synthesis.quality import is_judged_otherwise
from pipeline.synthesis.take_pool import KeptRecords, TakePool, hash_rows
from pipeline.synthesis.takes import Rejection

_DUPLICATE = Rejection(
    RejectionCode.DUPLICATE_ID,
    "another row before this one has the same utterance_id; ids must be unique in the run",
)


@dataclass(frozen=True)
class UnitPlanner:
    """Says of a unit what is left to do."""

    manifest: Manifest
    duplicates: Mapping[str, Sequence[int]]
    """Rows whose id an earlier row has, ascending, by shard."""
    speakers: Mapping[str, int]
    """Who may speak, see `SpeakerRegistry.generations`."""
    pool: TakePool | None = None
    """Takes to keep; reading a unit's rows to look for them is spared where there are none."""
    tombstones: Tombstones = field(default_factory=Tombstones)
    """What was withdrawn from the output."""
    places: Mapping[str, Sequence[int]] | None = None
    """The only rows that may have a take to keep, ascending, by shard; None where any may."""

    def plan(self, unit: WorkUnit) -> UnitState:
        """Return what is left to do of a unit that has no commit."""
        rejections = dict.fromkeys(_rows_within(unit, self.duplicates), _DUPLICATE)
        if not self.pool or (self.places is not None and not _rows_within(unit, self.places)):
            return UnitState(unit, rejections)
        rows = self.manifest.read_rows(unit, OWN_COLUMNS).to_pylist()
        found = {row: self.pool.find(hashed) for row, hashed in hash_rows(unit, rows, self.speakers).items()}
        reasons = {row: self.tombstones.reason_for(fields) for row, fields in enumerate(rows, unit.first_row)}
        removed = {row: reason for row, reason in reasons.items() if reason is not None}
        rejections = {row: rejection for row, rejection in rejections.items() if row not in removed}
        kept = {
            row: take
            for row, take in found.items()
            if take is not None and row not in rejections and row not in removed
        }
        return UnitState(unit, rejections, kept=kept, removed=removed)


def _rows_within(unit: WorkUnit, by_shard: Mapping[str, Sequence[int]]) -> Sequence[int]:
    rows = by_shard.get(unit.shard, ())
    return rows[bisect_left(rows, unit.first_row) : bisect_right(rows, unit.last_row)]


def commit_kept_units(
    planner: UnitPlanner,
    log: CommitLog,
    lease: Lease,
    units: Iterator[WorkUnit],
    *,
    weights_sha256: str,
    is_packed: bool,
) -> Iterator[tuple[UnitState, UnitReceipt | None]]:
    """Commit the units of which nothing is left to synthesize; no network is needed for that.

    Args:
        planner: with takes to keep.
        log: of the output.
        lease: this driver's right to write.
        units: without commit.
        weights_sha256: of the run.
        is_packed: whether commits hold their clips.

    Yields:
        what is left to do of each unit; with a receipt where that was to commit it.
    """
    records = KeptRecords(log)

    def keep(unit: WorkUnit) -> tuple[UnitState, UnitReceipt | None]:
        state = planner.plan(unit)
        if len(state.skipped) < unit.num_rows:
            return state, None
        table = planner.manifest.read_rows(unit)
        fields = table.select([name for name in OWN_COLUMNS if name in table.column_names]).to_pylist()
        hashes = hash_rows(unit, fields, planner.speakers)
        made = records.read(unit, state.kept, hashes)
        rejected = [
            build_record(
                unit,
                row,
                fields[row - unit.first_row],
                weights_sha256=weights_sha256,
                facts=None,
                outcome=(rejection.code, rejection.message),
                input_hash=hashes[row],
            )
            for row, rejection in state.rejections.items()
        ]
        removed = [
            removed_record({**fields[row - unit.first_row], "shard": unit.shard, "row": row}, reason)
            for row, reason in state.removed.items()
        ]
        made |= {record["row"]: record for record in (*rejected, *removed)}
        lease.check()
        commit = build_commit_table([made[row] for row in sorted(made)], table, is_packed=is_packed)
        committed = log.commit(unit, commit)
        receipt = UnitReceipt.of(unit.unit_id, [*rejected, *removed], committed=committed, num_kept=len(state.kept))
        return state, receipt

    for outcome in map_ahead(keep, units):
        lease.renew_if_due()
        yield outcome


def find_other_verdicts(
    log: CommitLog, table: ShardTable, before: Mapping[str, float], quality: QualityConfig
) -> Iterator[UnitState]:
    """Yield the committed units with rows on which other limits may change the verdict; those are to be made again.

    Args:
        log: of the output.
        table: of its shards.
        before: the limits that rows were judged by, see `QualityConfig.limits`.
        quality: the limits of today.
    """
    for unit_id, commit in log.iter_commits(("row", "status", "error_code", "segments"), table.holds):
        rows = [row["row"] for row in commit.to_pylist() if is_judged_otherwise(row, before, quality)]
        unit = parse_unit_id(unit_id)
        if rows and unit is not None:
            yield UnitState(unit, {}, {row: {} for row in rows})
