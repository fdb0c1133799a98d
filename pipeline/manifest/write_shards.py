"""A table becomes the shards of a new manifest."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.run import StorageConfig
from pipeline.errors import ManifestError, StorageError
from pipeline.storage import check_writable, open_storage


def write_shards(table: pa.Table, place: str, name: str, rows_per_shard: int) -> int:
    """Write a table as shards, all of them or none; return how many there are.

    Args:
        table: all rows.
        place: address of a folder that is new or empty.
        name: of the setting or option that gives it, for messages.
        rows_per_shard: the last one may have less.

    Raises:
        ConfigError, ManifestError: the place is no folder that can be written to, or it is not empty.
        StorageError: the disk is full, or the store does not answer.
    """
    check_writable(name, place, StorageConfig())
    output = open_storage(place)
    if next(output.list(), None) is not None:
        raise ManifestError(f"{place}: the folder is not empty; name a new one")
    written: list[str] = []
    try:
        for start in range(0, max(table.num_rows, 1), rows_per_shard):
            sink = pa.BufferOutputStream()
            pq.write_table(table.slice(start, rows_per_shard), sink, row_group_size=8_192)
            written.append(f"part-{len(written):05d}.parquet")
            output.put(written[-1], sink.getvalue().to_pybytes())
    except StorageError:
        for path in written:  # A part of the rows would be taken for all of them.
            output.delete(path)
        raise
    return len(written)
