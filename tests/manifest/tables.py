"""Tables of a manifest, and shards of them in a store."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage import Storage


def make_table(num_rows: int, first: int = 0, **columns: Any) -> pa.Table:
    rows = range(first, first + num_rows)
    return pa.table(
        {
            "utterance_id": [f"u{row}" for row in rows],
            "text": [f"This is row {row}." for row in rows],
            "speaker_id": ["bea"] * num_rows,
            **columns,
        }
    )


def put_shard(storage: Storage, path: str, table: pa.Table, row_group_size: int = 1_000) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=row_group_size)
    storage.put(path, sink.getvalue().to_pybytes())
