"""Synthesize chosen rows of an output again: what an audit found damaged, or what a person asks for.

The only way a commit is ever replaced, by compare-and-swap; rows that were not chosen keep their record and audio.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.cluster.unit_states import UnitPlanner
from pipeline.cluster.work_items import UnitState
from pipeline.config.printable import one_line
from pipeline.config.run import Config, parse_config
from pipeline.errors import ConfigError, RejectionCode
from pipeline.manifest.units import WorkUnit, parse_unit_id
from pipeline.output.adoption import find_duplicates
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import Lease
from pipeline.output.row_counts import RowCounts
from pipeline.output.run_record import RunRecord
from pipeline.output.verify import Audit, sweep_orphans
from pipeline.run.plan import RunPlan
from pipeline.run.synthesize import synthesize_again
from pipeline.storage import Storage, open_storage
from pipeline.synthesis.takes import recorded_takes

_ROW_KINDS = ("missing", "changed", "edited_row")
_UNIT_KINDS = ("damaged_commit", "uncommitted", "other_row")
_COLUMNS = ("utterance_id", "status", "error_code", "take", "num_segments", "segments", "row")


@dataclass(frozen=True)
class Selection:
    """Which committed rows to synthesize again; a row that meets any of these is chosen."""

    ids: Collection[str] = ()
    codes: Collection[str] = ()
    """Rejected with one of these codes."""
    rejected: bool = False
    """Rejected for whatever reason."""

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row of a commit is chosen."""
        if row["error_code"] == RejectionCode.DUPLICATE_ID:
            return False  # Its twin has the audio; only another manifest can fix that.
        if row["status"] == "removed":
            return False
        is_rejected = row["status"] != "ok"
        return row["utterance_id"] in self.ids or (is_rejected and (self.rejected or row["error_code"] in self.codes))


def choose_config(output: str, storage: Storage, given: Config | None = None) -> Config:
    """Return the config to make rows of an output again by: one that was given, or that of the output's last start.

    Args:
        output: where the output is now; it may have been moved.
        storage: the output.
        given: in place of the recorded one.

    Raises:
        ConfigError: there is no run here, or its record does not hold a usable config.
    """
    if given is not None:
        return given.model_copy(update={"output": output})
    starts = RunRecord(storage).read().starts or [{}]
    recorded = starts[-1].get("config")
    if not isinstance(recorded, dict):
        raise ConfigError(f"{storage.uri}/run.json: holds no config; pass the run's own with --config FILE")
    return parse_config({**recorded, "output": output, "limit": None}, source=f"{storage.uri}/run.json")


def redo_rows(config: Config, selection: Selection, *, next_take: bool = False, on_ray: bool = False) -> RowCounts:
    """Synthesize chosen rows again and replace their records.

    Args:
        config: the run's.
        selection: which rows.
        next_take: with the take after the one that is there, hence another seed; otherwise from take 0 on, which
            gives the same audio where nothing changed.
        on_ray: also for a few rows, which this process makes by itself; the bytes are the same.

    Returns:
        the rows that were chosen, by what came of them.

    Raises:
        SynthesisError: as `synthesize_manifest`.
    """
    storage = open_storage(config.output, config.storage)
    _check_ids(storage, selection.ids)
    num_first_takes = config.quality.num_first_takes if next_take else None
    return synthesize_again(config, lambda plan: _choose(storage, selection, num_first_takes), on_ray=on_ray)


def repair_output(config: Config) -> RowCounts:
    """Synthesize again exactly the rows whose clip is gone or changed, or whose record contradicts itself.

    So are the units whose commit is gone or damaged, or has other rows than the manifest.

    A clip that comes out as its commit says is put back, and the commit stays. On other hardware the bytes may differ:
    then the commit is replaced.

    Returns:
        the rows that were synthesized again, by what came of them.

    Raises:
        SynthesisError: as `synthesize_manifest`.
    """
    storage = open_storage(config.output, config.storage)
    return synthesize_again(config, lambda plan: _find_damage(storage, plan))


def _find_damage(storage: Storage, plan: RunPlan) -> Iterator[UnitState]:
    """Yield units with the rows to synthesize again, then the units to make anew; deletes senseless commits."""
    lost: dict[WorkUnit, None] = {}
    unit: WorkUnit | None = None
    rows: set[int] = set()
    for finding in Audit(storage, manifest=plan.manifest).findings():
        if finding.unit is None or finding.unit in lost:
            continue
        if finding.kind in _UNIT_KINDS:
            storage.delete(finding.path)
            lost[finding.unit] = None
        if finding.kind in _ROW_KINDS and finding.row is not None:
            if unit is not None and finding.unit != unit:
                yield _state_of(storage, unit, rows)
                rows = set()
            unit = finding.unit
            rows.add(finding.row)
    if unit is not None:
        yield _state_of(storage, unit, rows)
    if lost:
        duplicates = find_duplicates(plan.manifest, RunRecord(storage).read_table())
        yield from map(UnitPlanner(plan.manifest, duplicates, {}).plan, lost)


def sweep_output(storage: Storage) -> int:
    """Delete orphans and leftovers while holding the lease, so that no driver is at work.

    Returns:
        how many objects were deleted.

    Raises:
        ConfigError: a driver is at work, or there is no run here.
    """
    RunRecord(storage).read()
    with Lease.acquire(storage, timeout_s=storage.settings.lease_timeout_s):
        return sweep_orphans(storage)


def _state_of(storage: Storage, unit: WorkUnit, rows: Collection[int]) -> UnitState:
    table = CommitLog(storage).read_commit(unit, _COLUMNS)
    wanted = {row["row"]: recorded_takes(row) for row in table.to_pylist() if row["row"] in rows}
    return UnitState(unit, {}, wanted)


def _check_ids(storage: Storage, ids: Collection[str]) -> None:
    if not ids:
        return
    log, holds = CommitLog(storage), RunRecord(storage).read_table().holds
    unknown = {*ids}
    for table in log.iter_metadata(("utterance_id",), holds):
        unknown.difference_update(table.column("utterance_id").to_pylist())
    if unknown:
        listed = ", ".join(f"{one_line(utterance_id):.80}" for utterance_id in sorted(unknown)[:20])
        raise ConfigError(
            f"--ids: no row of {storage.uri} has the utterance_id(s) {listed}; nothing was changed. "
            "Ids are separated by spaces; the metadata has all of them"
        )


def _choose(storage: Storage, selection: Selection, num_first_takes: int | None) -> Iterator[UnitState]:
    """Yield units with the rows to synthesize again: all takes of them, or the next one after those made before."""
    log, shards = CommitLog(storage), RunRecord(storage).read_table()
    for unit_id in filter(shards.holds, log.list_units()):
        unit = parse_unit_id(unit_id)
        if unit is None:
            continue
        rows = [row for row in log.read_commit(unit, _COLUMNS).to_pylist() if selection.holds(row)]
        if rows:
            yield UnitState(unit, {}, {row["row"]: _after_last_take(row, num_first_takes) for row in rows})


def _after_last_take(row: Mapping[str, Any], num_first_takes: int | None) -> Mapping[int, int]:
    if num_first_takes is None:
        return {}
    # The best of the first takes was chosen already.
    following = max((row["take"] or 0) + 1, num_first_takes)
    return dict.fromkeys(range(row["num_segments"] or 0), following)
