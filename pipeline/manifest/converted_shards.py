"""Spooled rows written as shards: the types of all files settled, rows in groups, shards in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.figures import apart
from pipeline.config.manifest import OWN_COLUMNS, REQUIRED_COLUMNS
from pipeline.manifest.intake import to_json
from pipeline.manifest.shards import Shard, ShardCopy
from pipeline.manifest.spool import Spool, SpooledTable
from pipeline.manifest.tables import ROWS_AT_ONCE

_ROWS_PER_SHARD = 100_000
_BYTES_PER_SHARD = 128_000_000
"""In memory; a shard ends with the rows that bring it over either, so that what is added to a file's end changes its
last shard only."""


def settle_types(tables: Sequence[SpooledTable]) -> dict[str, pa.DataType]:
    """Return the type of each column that is passed through, which holds the values of every file."""
    kinds: dict[str, pa.DataType] = {}
    for name in dict.fromkeys(name for table in tables for name in table.kinds):
        found = set[pa.DataType]()
        for table in tables:
            written = {"empty": {pa.null()}, "whole": {pa.int64()}}.get(table.written.get(name, ""))
            found |= table.kinds.get(name, set()) if written is None else written
        kinds[name] = _join_types(found)
    return kinds


def _join_types(found: Collection[pa.DataType]) -> pa.DataType:
    kinds = [kind for kind in found if not pa.types.is_null(kind)]
    if not kinds:
        return pa.string()
    try:
        schemas = [pa.schema([("column", kind)]) for kind in kinds]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return pa.string()


def _cast(values: pa.Array, kind: pa.DataType, name: str, table: SpooledTable) -> pa.Array:
    if values.type == kind:
        return values
    if pa.types.is_string(kind) and (pa.types.is_nested(values.type) or pa.types.is_boolean(values.type)):
        return to_json(values.to_pylist())
    if pa.types.is_integer(kind) and pa.types.is_string(values.type):
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    try:
        return values.cast(kind)
    except pa.ArrowException as error:
        detail = " ".join(str(error).split())[:150]
        raise table.source.error(
            f"column {name!r} holds numbers that no one type holds ({detail}); write it as text, or leave it out with "
            "columns.keep"
        ) from None


def write_shards(
    table: SpooledTable,
    kinds: Mapping[str, pa.DataType],
    numbers: Mapping[int, int],
    first: int,
    spool: Spool,
    copies: Spool,
    mark: str,
) -> Iterator[Shard]:
    """Write a file's rows as shards, in groups of equally many rows; `first` is its first row's place in `numbers`."""
    names = [name for name in OWN_COLUMNS if name in (*REQUIRED_COLUMNS, *table.own)]
    schema = pa.schema(
        [(name, pa.int64() if name == "seed" else pa.string()) for name in names]
        + [(name, kinds[name]) for name in table.kinds]
    )
    writer = _ShardWriter(table, schema, copies, mark)
    waiting: list[pa.Table] = []
    for start, size in table.batches:
        batch = pa.ipc.open_stream(pa.py_buffer(spool.read(start, size))).read_next_batch()
        columns = {}
        for entry in schema:
            found = batch.column(entry.name) if entry.name in batch.schema.names else None
            columns[entry.name] = (
                pa.nulls(batch.num_rows, entry.type) if found is None else _cast(found, entry.type, entry.name, table)
            )
        if numbers:
            columns["utterance_id"] = _add_numbers(columns["utterance_id"], numbers, first)
        first += batch.num_rows
        waiting.append(pa.table(columns, schema))
        num_waiting = sum(part.num_rows for part in waiting)
        if num_waiting >= ROWS_AT_ONCE:
            whole = pa.concat_tables(waiting)
            for at in range(0, num_waiting - ROWS_AT_ONCE + 1, ROWS_AT_ONCE):
                yield from writer.add(whole.slice(at, ROWS_AT_ONCE))
            waiting = [whole.slice(num_waiting - num_waiting % ROWS_AT_ONCE)]
    rest = pa.concat_tables(waiting) if waiting else schema.empty_table()
    if rest.num_rows:
        yield from writer.add(rest)
    yield from writer.finish()


def _add_numbers(ids: pa.Array, numbers: Mapping[int, int], first: int) -> pa.Array:
    return pa.array(
        [f"{text}-{numbers[row]}" if row in numbers else text for row, text in enumerate(ids.to_pylist(), first)],
        pa.string(),
    )


class _ShardWriter:
    """Writes groups of rows into one Parquet file after the other."""

    def __init__(self, table: SpooledTable, schema: pa.Schema, copies: Spool, mark: str) -> None:
        self._table, self._schema, self._copies, self._mark = table, schema, copies, mark
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd", compression_level=1)
        self._digest = hashlib.sha256(self._schema.to_string().encode())
        self._num_rows = self._num_bytes = 0

    def add(self, group: pa.Table) -> Iterator[Shard]:
        """Write a group; yields a shard where it is the last one of it."""
        limit_mb = self._table.source.limits.max_row_group_mb
        if group.nbytes > limit_mb * 1e6:
            found, most = apart(group.nbytes / 1e6, limit_mb)
            raise self._table.source.error(
                f"{group.num_rows:,} rows take {found} MB of memory, more than storage.limits.max_row_group_mb "
                f"({most}); cut the texts into rows, or raise it"
            )
        group = group.combine_chunks()
        self._writer.write_table(group, row_group_size=ROWS_AT_ONCE)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, group.schema) as stream:
            stream.write_table(group)
        self._digest.update(sink.getvalue())
        self._num_rows += group.num_rows
        self._num_bytes += group.nbytes
        if self._num_rows >= _ROWS_PER_SHARD or self._num_bytes >= _BYTES_PER_SHARD:
            yield self._end()

    def finish(self) -> Iterator[Shard]:
        """Yield the last shard, if it has rows or is the only one."""
        if self._num_rows or not self._number:
            yield self._end()

    def _end(self) -> Shard:
        self._writer.close()
        start, size = self._copies.append(self._sink.getvalue())
        copies = self._copies
        open_copy: Callable[[], pa.NativeFile] = lambda: copies.open(start, size)  # noqa: E731
        shard = Shard(
            f"{self._table.name}-{self._number:05d}",
            self._table.source.uri,
            self._num_rows,
            self._digest.hexdigest(),
            self._table.info,
            self._schema,
            copy=ShardCopy(open_copy, self._mark),
        )
        self._number += 1
        self._begin()
        return shard
