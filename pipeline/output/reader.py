"""The rows of an output for whoever uses it: wherever it was moved or copied to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.config.run import StorageConfig
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
        DamagedCommit: a commit cannot be read.
        StorageError: the store does not answer.
    """
    storage = open_storage(output, settings)
    shards = RunRecord(storage).read_table()
    log = CommitLog(storage)
    has_clips = columns is not None and AUDIO_COLUMN in columns
    tables = (
        (log.read(unit_id, lambda file: file.read(columns)) for unit_id in filter(shards.holds, log.list_units()))
        if has_clips
        else log.iter_metadata(columns, shards.holds)
    )
    for table in tables:
        for row in table.to_pylist():
            if row.get("audio_path") is not None:
                row["audio_path"] = storage.uri_of(row["audio_path"])
            yield row
