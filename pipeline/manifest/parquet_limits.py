"""How much memory a Parquet file takes once it is read, and what takes more than it may.

A few kilobytes can stand for gigabytes: a value that compresses well, one that a dictionary repeats, millions of nulls.
The footer says how large a row group is when unpacked, and its pages show whether that is so; what a dictionary repeats
stays in it until its size is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.figures import apart
from pipeline.config.run import LimitsConfig
from pipeline.manifest.parquet_pages import KeptRanges, OverLimit, Pages

__all__ = ["LimitedParquet", "OverLimit", "check_footer", "expand", "read_small_table"]

_BYTES_OF_NOTHING = 4
"""That a null takes in memory, and next to nothing of in a file."""
_NUM_STEPS = 16
"""In which a row group of the largest size is read at least, where its size only shows as it is read."""


def check_footer(metadata: pq.FileMetaData, limits: LimitsConfig) -> None:
    """Refuse a file that would take too much memory, by its footer alone.

    Raises:
        OverLimit: it has too many columns, or a row group that is too large.
        ArrowInvalid: the footer contradicts itself.
    """
    if metadata.num_columns > limits.max_columns:
        raise OverLimit(
            f"{metadata.num_columns:,} columns, more than storage.limits.max_columns ({limits.max_columns:,}); keep "
            "those that are needed, or raise it"
        )
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    sizes = [group.num_rows for group in groups]
    if sum(sizes) != metadata.num_rows or any(size < 0 for size in sizes):
        raise pa.ArrowInvalid(f"the footer tells of {metadata.num_rows:,} rows, and of {sum(sizes):,} in row groups")
    for index, group in enumerate(groups):
        num_bytes = _count_bytes(group)
        if num_bytes > limits.max_row_group_mb * 1e6:
            raise _too_large(f"row group {index}", num_bytes, limits, "write smaller row groups, or")


def _too_large(what: str, num_bytes: float, limits: LimitsConfig, remedy: str) -> OverLimit:
    found, most = apart(num_bytes / 1e6, limits.max_row_group_mb)
    return OverLimit(
        f"{what} takes {found} MB of memory, more than storage.limits.max_row_group_mb ({most}); {remedy} raise it"
    )


def _count_bytes(row_group: pq.RowGroupMetaData) -> int:
    """Count what a row group takes at least."""
    num_bytes: int = row_group.total_byte_size
    num_nulls: int = row_group.num_rows * row_group.num_columns
    return max(num_bytes, num_nulls * _BYTES_OF_NOTHING)


class LimitedParquet:
    """A Parquet file of which no more is unpacked than may be.

    Args:
        source: the file.
        limits: what it may come to.

    Raises:
        OverLimit: it has too many columns, or a row group that is too large.
        ArrowException, OSError: it is damaged.
    """

    def __init__(self, source: pa.NativeFile, limits: LimitsConfig) -> None:
        self._kept, self._limits = KeptRanges(source), limits
        self._file = self._open()
        check_footer(self._file.metadata, limits)
        self._pages = Pages(self._kept, limits)
        self.schema: pa.Schema = self._file.schema_arrow
        self.group_sizes = [self._file.metadata.row_group(index).num_rows for index in range(self._file.num_row_groups)]

    def _open(self, **options: Any) -> pq.ParquetFile:
        # Few writers put checksums into their pages, but where they are, damage is seen before it is read out.
        return pq.ParquetFile(self._kept.open(), page_checksum_verification=True, **options)

    def read_row_group(self, group: int) -> pa.Table:
        """Read a row group; columns that could repeat too much are dictionaries, see `expand`."""
        batches, schema = self._read(group, None, max(1, self.group_sizes[group]))
        return pa.Table.from_batches(self._count(group, batches), schema)

    def iter_column(self, column: str, max_rows: int) -> Iterator[pa.Array]:
        """Yield a column in pieces of so many rows at most."""
        for group in range(len(self.group_sizes)):
            num_bytes = 0
            batches, schema = self._read(group, [column], max_rows)
            for batch in batches:
                table = expand(pa.Table.from_batches([batch], schema), self.schema, self._limits)
                num_bytes += table.nbytes
                self._refuse_over(group, num_bytes)  # There would be memory for it, but no time.
                yield table.column(0).combine_chunks()

    def iter_tables(self, max_rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield all rows in tables of so many at most, of some columns or all."""
        for group in range(len(self.group_sizes)):
            batches, schema = self._read(group, columns, max_rows)
            for batch in batches:
                yield expand(pa.Table.from_batches([batch], schema), self.schema, self._limits)

    def _read(
        self, group: int, columns: Sequence[str] | None, max_rows: int
    ) -> tuple[Iterable[pa.RecordBatch], pa.Schema]:
        plan = self._pages.load(group, columns, max_rows)
        file = self._file
        if plan.from_dictionary:
            file = self._open(metadata=file.metadata, read_dictionary=list(plan.from_dictionary))
        # In small steps, so that what is too much is seen while it is little.
        max_rows = max(1, min(max_rows, int(self._limits.max_row_group_mb * 1e6 / _NUM_STEPS) // plan.longest_row))
        schema = (
            file.schema_arrow if columns is None else pa.schema([file.schema_arrow.field(name) for name in columns])
        )
        return file.iter_batches(max_rows, row_groups=[group], columns=columns, use_threads=False), schema

    def _count(self, group: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass batches on while there is room: there is more than one where their size only shows as they are read."""
        num_bytes = 0
        for batch in batches:
            num_bytes += batch.nbytes
            self._refuse_over(group, num_bytes)
            yield batch

    def _refuse_over(self, group: int, num_bytes: int) -> None:
        if num_bytes > self._limits.max_row_group_mb * 1e6:
            raise _too_large(f"row group {group}", num_bytes, self._limits, "write smaller row groups, or")

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def expand(table: pa.Table, schema: pa.Schema, limits: LimitsConfig) -> pa.Table:
    """Give columns that were read as dictionaries the types of the schema, if there is room for them.

    Raises:
        OverLimit: there is not.
    """
    num_bytes = sum(_count_expanded(chunk) for column in table.columns for chunk in column.chunks)
    if num_bytes > limits.max_row_group_mb * 1e6:
        raise _too_large(f"{table.num_rows:,} rows", num_bytes, limits, "give smaller values, or")
    for index, field in enumerate(table.schema):
        if not pa.types.is_dictionary(field.type):
            continue
        kind = schema.field(field.name).type
        if field.type != kind:
            plain = table.column(index).cast(field.type.value_type).cast(kind)
            table = table.set_column(index, pa.field(field.name, kind), plain)
    return table


def _count_expanded(chunk: pa.Array) -> int:
    if not pa.types.is_dictionary(chunk.type) or not _is_sized(chunk.type.value_type):
        return 0
    lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
    return int(pc.sum(lengths.take(chunk.indices)).as_py() or 0)


def _is_sized(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )


def read_small_table(data: bytes, limits: LimitsConfig) -> pa.Table:
    """Read a whole Parquet file that is in memory.

    Raises:
        OverLimit: it would take too much memory.
        ArrowException, OSError: it is damaged.
    """
    file, tables, num_bytes = LimitedParquet(pa.BufferReader(data), limits), [], 0
    for group in range(len(file.group_sizes)):
        tables.append(expand(file.read_row_group(group), file.schema, limits))
        num_bytes += tables[-1].nbytes
        if num_bytes > limits.max_row_group_mb * 1e6:
            raise _too_large("the whole file", num_bytes, limits, "make it smaller, or")
    return pa.concat_tables([file.schema.empty_table(), *tables])
