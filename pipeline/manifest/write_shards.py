"""A manifest of any form written into a folder as Parquet shards, new or after those that are there."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import ManifestError, StorageError
from pipeline.manifest.rows import Manifest
from pipeline.manifest.shards import unify_extra_columns
from pipeline.manifest.units import WorkUnit
from pipeline.storage import Storage

_ROW_GROUP_ROWS = 8_192


@dataclass(frozen=True)
class WrittenShards:
    """What came of a manifest."""

    num_rows: int
    num_shards: int
    num_known: int
    """Rows that were there already, and were left out."""


def write_shards(manifest: Manifest, target: Storage, rows_per_shard: int, known: Manifest | None) -> WrittenShards:
    """Write the rows of a manifest as shards; after a kill the same call with what is there goes on where it was.

    Args:
        manifest: what to write.
        target: the folder.
        rows_per_shard: at least 1; at most so many.
        known: what is in the folder. A row that is in it stays as it is.

    Raises:
        ManifestError: a row has the id of one that is there, with another text or speaker; nothing was written. Or a
            column has another type than there.
    """
    new: dict[WorkUnit, pa.Array | None] = dict.fromkeys(manifest.plan(rows_per_shard))
    if known is not None:
        unify_extra_columns([*known.shards, *manifest.shards])
        new = {unit: _find_new(manifest, unit, known) for unit in new}
    number, num_rows, num_shards = _next_number(target), 0, 0
    if not new and known is None:
        new = {WorkUnit(manifest.shards[0].name, 0, -1): None}  # A shard without rows, for its columns.
    for unit, is_new in new.items():
        rows = manifest.read_rows(unit) if unit.num_rows else manifest.shards[0].schema.empty_table()
        rows = rows if is_new is None else rows.filter(is_new)
        if not rows.num_rows and known is not None:
            continue
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, row_group_size=_ROW_GROUP_ROWS)
        try:
            target.put(f"part-{number + num_shards:05d}.parquet", sink.getvalue().to_pybytes(), if_absent=True)
        except StorageError:
            for written in range(number, number + num_shards + 1):  # A part of the rows would be taken for all of them.
                target.delete(f"part-{written:05d}.parquet")
            raise
        num_rows, num_shards = num_rows + rows.num_rows, num_shards + 1
    return WrittenShards(num_rows, num_shards, manifest.num_rows - num_rows)


def _find_new(manifest: Manifest, unit: WorkUnit, known: Manifest) -> pa.Array:
    """Return of each row whether it is not there yet."""
    columns = ("utterance_id", "text", "speaker_id")
    rows = manifest.read_rows(unit, columns)
    places = known.find_ids([text for text in rows.column("utterance_id").to_pylist() if text is not None])
    for row in rows.to_pylist() if places else ():
        if (place := places.get(row["utterance_id"])) is None:
            continue
        shard, at = place
        (there,) = known.read_rows(WorkUnit(shard.name, at, at), columns).to_pylist()
        if there != row:
            raise ManifestError(
                f"{shard.uri}: has a row {row['utterance_id']!r:.80} with another text or speaker; to change a row, "
                "write it where it is, or give the new one an id of its own"
            )
    return pc.invert(pc.is_in(rows.column("utterance_id"), pa.array(list(places), pa.string())))


def _next_number(target: Storage) -> int:
    found = [re.fullmatch(r"part-(\d{1,9})\.parquet", info.path) for info in target.list("part-")]
    return 1 + max((int(match[1]) for match in found if match), default=-1)
