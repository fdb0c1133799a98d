"""Takes that were replaced when rows were synthesized again (replaced/<unit>.parquet), for who compares them.

The last one of each row, with its clip; nothing but a run's page reads it. Gone with a removal, a sweep, or its shard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import open_commit, pack_clips, write_commit
from pipeline.output.commit_log import CommitLog
from pipeline.output.records import AUDIO_COLUMN, COMMIT_SCHEMA, clip_name
from pipeline.storage import Storage

_FOLDER, _SUFFIX = "replaced/", ".parquet"


class ReplacedTakes:
    """Those of one output."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @staticmethod
    def path_of(unit_id: str) -> str:
        """Return where those of a unit are."""
        return f"{_FOLDER}{unit_id}{_SUFFIX}"

    def list_units(self) -> Iterator[str]:
        """Yield the ids of the units that have any."""
        for info in self._storage.list(_FOLDER):
            yield info.path.removeprefix(_FOLDER).removesuffix(_SUFFIX)

    def keep(self, unit: WorkUnit, records: Sequence[Mapping[str, Any]]) -> None:
        """Keep the takes that records are about to replace in a unit's commit.

        A clip that is gone or damaged is not kept, nor one that comes out as it was, nor that of a row withdrawn.

        Args:
            unit: the commit's.
            records: as `CommitLog.amend` takes them.
        """
        new = {record["row"]: record for record in records if record["status"] != "removed"}
        former = {}
        for row in self._read_commit(unit):
            made = new.get(row["row"])
            if made is None or row["status"] != "ok" or made.get("audio_sha256") == row["audio_sha256"]:
                continue
            if (data := self._read_clip(row)) is not None:
                name = clip_name(row["utterance_id"], row["audio_sha256"], row["audio_format"])
                former[row["row"]] = {**row, AUDIO_COLUMN: {"bytes": data, "path": name}}
        if former:
            kept = {**self.read(unit.unit_id), **former}
            rows = [kept[row] for row in sorted(kept)]
            table = pa.Table.from_pylist([dict(row) for row in rows], COMMIT_SCHEMA)
            table = table.append_column(AUDIO_COLUMN, pack_clips(row[AUDIO_COLUMN] for row in rows))
            self._storage.put(self.path_of(unit.unit_id), write_commit(table))

    def _read_commit(self, unit: WorkUnit) -> list[dict[str, Any]]:
        table = CommitLog(self._storage).read_whole(unit)
        names = [name for name in (*COMMIT_SCHEMA.names, AUDIO_COLUMN) if name in table.column_names]
        rows: list[dict[str, Any]] = table.select(names).to_pylist()
        return rows

    def _read_clip(self, row: Mapping[str, Any]) -> bytes | None:
        if row["audio_path"] is None:
            data: bytes | None = (row.get(AUDIO_COLUMN) or {}).get("bytes")
        else:
            try:
                data = self._storage.get(row["audio_path"])
            except FileNotFoundError:
                return None
        return data if data is not None and hashlib.sha256(data).hexdigest() == row["audio_sha256"] else None

    def read(self, unit_id: str) -> dict[int, dict[str, Any]]:
        """Return those of a unit by row: the record with its clip in `audio`; none where they cannot be read."""
        path = self.path_of(unit_id)
        try:
            file = open_commit(self._storage.get(path), self._storage.uri_of(path))
            clips = [clip for group in range(len(file.group_sizes)) for clip in file.read_clips(group)]
            rows = file.read().to_pylist()
        except (FileNotFoundError, ConfigError, *DAMAGED_PARQUET):
            return {}
        return {row["row"]: {**row, AUDIO_COLUMN: clip} for row, clip in zip(rows, clips, strict=True)}

    def forget(self, ids: Collection[str], speakers: Collection[str]) -> None:
        """Delete what holds a row with one of these ids or speakers, or cannot be read."""

        def is_chosen(unit_id: str) -> bool:
            rows = self.read(unit_id).values()
            return not rows or any(row["utterance_id"] in ids or row["speaker_id"] in speakers for row in rows)

        self.delete(is_chosen)

    def delete(self, is_chosen: Callable[[str], bool] = lambda unit_id: True) -> int:
        """Delete those of chosen units, or all; return of how many there were."""
        units = [unit_id for unit_id in self.list_units() if is_chosen(unit_id)]
        for unit_id in units:
            self._storage.delete(self.path_of(unit_id))
        return len(units)
