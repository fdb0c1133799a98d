"""Committed clips, wherever an output keeps them: objects of their own, or packed in their commits."""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from pipeline.manifest.units import parse_unit_id
from pipeline.output.commit_file import CommitFile
from pipeline.output.commit_log import CommitLog
from pipeline.storage import Storage


class ClipReader:
    """Reads clips by their records.

    Of a packed commit one row group is kept, as the neighbors of a clip are often read next.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage, self._log = storage, CommitLog(storage)
        self._kept_unit = ""
        self._kept: dict[int, bytes | None] = {}
        """Clips by row."""

    def read(self, unit_id: str, record: Mapping[str, Any]) -> bytes:
        """Return a clip's bytes; that they are the committed ones is for the caller to see.

        Args:
            unit_id: of the row's unit.
            record: of the row, with `row` and `audio_path`.

        Raises:
            FileNotFoundError: it is not there.
            DamagedCommit: its commit is not readable.
        """
        if record["audio_path"] is not None:
            return self._storage.get(record["audio_path"])
        row = record["row"]
        if unit_id != self._kept_unit or row not in self._kept:
            self._kept = self._log.read(unit_id, lambda file: _read_group_of(file, unit_id, row))
            self._kept_unit = unit_id
        clip = self._kept.get(row)
        if clip is None:
            raise FileNotFoundError(errno.ENOENT, "no clip of this row", self.address(unit_id, record))
        return clip

    def address(self, unit_id: str, record: Mapping[str, Any]) -> str:
        """Return where a clip is, for messages."""
        if record["audio_path"] is not None:
            return self._storage.uri_of(record["audio_path"])
        return f"{self._storage.uri_of(self._log.path_of(unit_id))}, row {record['row']}"


def _read_group_of(file: CommitFile, unit_id: str, row: int) -> dict[int, bytes | None]:
    unit = parse_unit_id(unit_id)
    if unit is None or not file.is_packed or not unit.first_row <= row <= unit.last_row:
        return {}
    starts = [0, *accumulate(file.group_sizes)]
    group = bisect_right(starts, row - unit.first_row) - 1
    if group >= len(file.group_sizes):
        return {}
    first = unit.first_row + starts[group]
    return {at: None if clip is None else clip["bytes"] for at, clip in enumerate(file.read_clips(group), start=first)}
