"""A manifest takes the place of the one before it: which shards are planned anew, and what is deleted at the end.

The order holds for a kill at any time: the mark `_SUCCESS` goes first; then shards.parquet says what is current and
what is former; new commits are made beside the old ones, and take from them what did not change; once every current
unit is committed the former shards are marked as leaving, then their audio and commits go, then they themselves.
Knows nothing of audio or networks.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import DamagedCommit, ManifestError, RejectionCode
from pipeline.manifest.columns import check_columns, choose_columns
from pipeline.manifest.rows import Manifest
from pipeline.manifest.shards import Shard
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_log import CommitLog, map_ahead
from pipeline.output.lease import Lease
from pipeline.output.replaced_takes import ReplacedTakes
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardTable
from pipeline.output.verify import hash_paths
from pipeline.storage import Storage

logger = logging.getLogger(__name__)
_IDS_PER_PASS = 1_000_000


def plan_adoption(
    manifest: Manifest,
    log: CommitLog,
    table: ShardTable,
    *,
    speakers: Mapping[str, int],
    enrolled: Mapping[str, int],
    withdrawn: Collection[str],
    columns: Sequence[str] | None = None,
    all_shards: Sequence[Shard] | None = None,
) -> ShardTable:
    """Return the table of shards once a manifest has taken the place of the one before; writes nothing.

    Reads the ids of the whole manifest where it has changed, and its speakers where those have; rows of changed
    shards are not read here.

    Args:
        manifest: what the output is to hold.
        log: of the output.
        table: of the output as it is; returned as it is where nothing changed.
        speakers: who may speak, see `SpeakerRegistry.generations`.
        enrolled: the same of all who are enrolled: who spoke what an older version planned.
        withdrawn: speakers who were removed: their rows say so already.
        columns: of the manifest to pass through, as the config has them.
        all_shards: whose columns a first start pins; None takes the manifest's, which may be a sample of them.

    Raises:
        ManifestError: a shard does not fit into the table that the output has begun, or no row of the manifest is
            among those of the output: one of the two belongs to another run.
    """
    names = {shard.name for shard in manifest.shards}
    is_same = names == {*table.shards} and all(map(table.is_current, manifest.shards))
    pinned = _pin_columns(manifest, table, columns, all_shards or manifest.shards)
    if is_same and table.speakers == speakers and table.columns == pinned:
        return table
    _refuse_another_run(manifest, log, table)
    duplicates = find_duplicates(manifest, table) if is_same else manifest.find_duplicates(table.order(manifest.shards))
    stale = {*_find_other_duplicates(log, table, duplicates)}
    before = enrolled if table.speakers is None else table.speakers
    changed = {name for name in {*before, *speakers} if before.get(name) != speakers.get(name)}
    stale |= {*_find_speakers(manifest, table, changed - {*withdrawn})}
    return table.adopt(manifest.shards, duplicates, speakers, stale, pinned)


def _refuse_another_run(manifest: Manifest, log: CommitLog, table: ShardTable) -> None:
    """Stop before a wrong path takes all that an output holds for rows that were deleted from its manifest."""
    if any(map(table.is_current, manifest.shards)):
        return
    num_committed, ids = 0, set[str]()
    units = (unit for name, shard in table.shards.items() for unit in log.list_shard(name, shard.revision))
    for unit in units:
        try:
            found = log.read_commit(unit, ("utterance_id",)).column("utterance_id").drop_null().to_pylist()
        except DamagedCommit:
            continue
        num_committed += len(found)
        ids.update(found)
        if len(ids) >= _IDS_PER_PASS:
            if manifest.has_any_id(ids):
                return
            ids.clear()
    if num_committed and not (ids and manifest.has_any_id(ids)):
        raise ManifestError(
            f"none of the manifest's {manifest.num_rows:,} rows is among the {num_committed:,} that the output holds, "
            "by utterance_id; an output follows its manifest, so all of them would be deleted. Is `manifest` or "
            "`output` that of another run? Correct the one that is, or name a new output"
        )


def _pin_columns(
    manifest: Manifest, table: ShardTable, wanted: Sequence[str] | None, all_shards: Sequence[Shard]
) -> pa.Schema:
    known = [shard for shard in manifest.shards if table.is_current(shard)]
    pinned = table.columns
    if pinned is None:
        # Outputs of older versions have the columns of the shards that they were made from.
        pinned = choose_columns(known or all_shards, wanted)
    changed = [shard for shard in manifest.shards if not table.is_current(shard)]
    check_columns(changed, pinned, wanted, manifest.read_column)
    return pinned


def find_duplicates(manifest: Manifest, table: ShardTable) -> dict[str, list[int]]:
    """Return the rows of the output's own manifest whose id an earlier row has; read only where no table lists them."""
    known = {name: shard.duplicates for name, shard in table.shards.items()}
    if None in known.values():
        return manifest.find_duplicates(list(known))
    return {name: list(rows) for name, rows in known.items() if rows}


def _find_other_duplicates(log: CommitLog, table: ShardTable, duplicates: Mapping[str, list[int]]) -> Iterator[str]:
    """Yield the shards that stayed the same and have other duplicates now, as a row elsewhere came or went."""
    for name, shard in table.shards.items():
        found = duplicates.get(name, [])
        if shard.duplicates is None:
            # An older version kept no list, but its commits say what it took for a duplicate.
            units = [*log.list_shard(name, shard.revision)]
            known = [row for unit in units for row in _read_duplicates(log, unit)]
            found = [row for unit in units for row in found if unit.first_row <= row <= unit.last_row]
        else:
            known = [*shard.duplicates]
        if sorted(known) != sorted(found):
            yield name


def _read_duplicates(log: CommitLog, unit: WorkUnit) -> list[int]:
    commit = log.read_commit(unit, ("row", "error_code"))
    rows: list[int] = commit.filter(pc.equal(commit["error_code"], str(RejectionCode.DUPLICATE_ID)))["row"].to_pylist()
    return rows


def _find_speakers(manifest: Manifest, table: ShardTable, speakers: Collection[str]) -> Iterator[str]:
    """Yield the shards that stayed the same and have rows of speakers who came, went, or have another voice now."""
    for shard in manifest.shards:
        if speakers and table.is_current(shard) and manifest.has_speaker(shard, speakers):
            yield shard.name


def describe_adoption(table: ShardTable, adopted: ShardTable) -> str:
    """Return in one line what a manifest changed."""
    planned = [name for name, shard in adopted.shards.items() if not _has_revision(table, name, shard.revision)]
    new = [name for name in planned if name not in table.shards]
    gone = [name for name in table.shards if name not in adopted.shards]
    return (
        f"planned: {len(new):,} shard(s) new, {len(planned) - len(new):,} planned anew, "
        f"{len(gone):,} gone, {len(adopted.shards) - len(planned):,} as before"
    )


def is_change(table: ShardTable, adopted: ShardTable) -> bool:
    """Tell whether a manifest makes work for an output, be it only that commits are deleted."""
    return bool(adopted.former) or {*table.shards} != {*adopted.shards}


def _has_revision(table: ShardTable, name: str, revision: int) -> bool:
    return name in table.shards and table.shards[name].revision == revision


def list_former_units(log: CommitLog, table: ShardTable) -> Iterator[WorkUnit]:
    """Yield the committed units of former shards from which takes may be kept, those that went last at the end."""
    for former in sorted(table.former, key=lambda former: former.until):
        if not former.is_leaving:
            yield from log.list_shard(former.name, former.record.revision)


def drop_former_shards(storage: Storage, record: RunRecord, log: CommitLog, lease: Lease) -> int:
    """Delete the commits of former shards, and what audio no current commit names; all current units are committed.

    Memory: eight bytes for each row of the shards that came with or after the change that the former ones went by.

    Returns:
        how many former shards there were.
    """
    table = record.read_table()
    if not table.former:
        return 0
    lease.check()
    if not all(former.is_leaving for former in table.former):
        # From now on nothing is kept from them, since their audio goes bit by bit.
        table = table.leave()
        record.write_table(table)
    named = _hash_named_audio(log, table)

    def drop(unit: WorkUnit) -> None:
        lease.check()
        try:
            paths = log.read_commit(unit, ("audio_path",)).column("audio_path").drop_null().to_pylist()
        except FileNotFoundError:
            return
        except DamagedCommit as error:
            logger.warning("%s; it is deleted, and a sweep finds its audio", error)
            paths = []
        for path, hashed in zip(paths, hash_paths(paths), strict=True):
            if not _is_in(named, hashed):
                storage.delete(path)
        storage.delete(log.metadata_path(unit))

    for former in table.former:
        for _ in map_ahead(drop, log.list_shard(former.name, former.record.revision)):
            lease.renew_if_due()
    folders = {former.folder for former in table.former}
    ReplacedTakes(storage).delete(lambda unit_id: unit_id.rpartition("/")[0] in folders)
    lease.check()
    record.write_table(replace(table, former=()))
    return len(table.former)


def _hash_named_audio(log: CommitLog, table: ShardTable) -> NDArray[np.uint64]:
    """Hash the paths that current commits name of former shards' audio: those that came when the first of them went."""
    first = min(former.until for former in table.former)
    pieces = [np.empty(0, np.uint64)]
    for name, shard in table.shards.items():
        if shard.since >= first:
            units = log.list_shard(name, shard.revision)
            commits = map_ahead(lambda unit: log.read_commit(unit, ("audio_path",)), units)
            pieces += [hash_paths(commit.column("audio_path").drop_null().to_pylist()) for commit in commits]
    return np.sort(np.concatenate(pieces))


def _is_in(ordered: NDArray[np.uint64], value: np.uint64) -> bool:
    at = int(np.searchsorted(ordered, value))
    return at < len(ordered) and bool(ordered[at] == value)
