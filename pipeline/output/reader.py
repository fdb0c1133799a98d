"""The rows of an output for whoever uses it: wherever it was moved or copied to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipeline.config.run import StorageConfig
from pipeline.errors import DamagedCommit
from pipeline.output.commit_log import CommitLog
from pipeline.output.records import AUDIO_COLUMN
from pipeline.output.run_record import RunRecord
from pipeline.storage import open_storage


def read_output(
    output: str, columns: Sequence[str] | None = None, *, settings: StorageConfig | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows that an output has committed; streams, unit by unit in no particular order.

    Args:
        output: a folder or an object-store prefix.
        columns: only these, where a commit has them; none gives all, with the manifest's own, but not packed clips:
            ask for them by naming `audio`. Then the clips of one unit are held at a time.
        settings: how to reach the store.

    Yields:
        one mapping a row; `audio_path` is the clip's absolute path or URI, None where the row has no audio, or its
        commit holds it: then `audio` has `bytes` and `path`, a file name.

    Raises:
        ConfigError: there is no run here, or a newer version wrote it.
        DamagedCommit: a commit cannot be read, or a packed clip is not the committed one.
        StorageError: the store does not answer.
    """
    storage = open_storage(output, settings)
    shards = RunRecord(storage).read_table()
    log = CommitLog(storage)
    tables: Iterator[pa.Table]
    if columns is not None and AUDIO_COLUMN in columns:
        tables = (_read_with_clips(log, unit_id, columns) for unit_id in filter(shards.holds, log.list_units()))
    else:
        tables = log.iter_metadata(columns, shards.holds)
    for table in tables:
        for row in table.to_pylist():
            if row.get("audio_path") is not None:
                row["audio_path"] = storage.uri_of(row["audio_path"])
            yield row


def _read_with_clips(log: CommitLog, unit_id: str, columns: Sequence[str]) -> pa.Table:
    table = log.read(unit_id, lambda file: file.read([*dict.fromkeys([*columns, "audio_sha256"])]))
    if AUDIO_COLUMN in table.column_names:
        for row, (clip, sha256) in enumerate(zip(table[AUDIO_COLUMN], table["audio_sha256"].to_pylist(), strict=True)):
            if clip.is_valid and hashlib.sha256(clip["bytes"].as_buffer() or b"").hexdigest() != sha256:
                raise DamagedCommit(
                    f"{unit_id}: the clip of its row {row} is not the committed one; run jobs.verify --repair"
                )
    return table.select([name for name in columns if name in table.column_names])
