"""How much memory a Parquet file takes once it is read, and what takes more than it may.

A few kilobytes can stand for gigabytes: a value that compresses well, one that a dictionary repeats, millions of nulls.
The footer says how large a row group is when unpacked; what a dictionary repeats stays in it until its size is known.
Footers that lie are not seen through. What they say of single columns is not asked for: pyarrow ends the whole process
where that is damaged.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.run import LimitsConfig

_BYTES_OF_NOTHING = 4
"""That a null takes in memory, and next to nothing of in a file."""
_FEW_ROWS = 131_072
"""Of a row group that is read as dictionaries in any case, in less than 0.1 s for each column of texts."""
_FEW_BYTES = 64
"""Of a row, all its columns together; more rows of so few may all have one long value."""


class OverLimit(Exception):
    """A file would take more memory than it may; the text says by what, and what to do."""


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
    return OverLimit(
        f"{what} takes {num_bytes / 1e6:,.0f} MB of memory, more than storage.limits.max_row_group_mb "
        f"({limits.max_row_group_mb:,g}); {remedy} raise it"
    )


def _count_bytes(row_group: pq.RowGroupMetaData) -> int:
    """Count what a row group takes at least."""
    num_bytes: int = row_group.total_byte_size
    num_nulls: int = row_group.num_rows * row_group.num_columns
    return max(num_bytes, num_nulls * _BYTES_OF_NOTHING)


def find_expanding(metadata: pq.FileMetaData, schema: pa.Schema, *, few_rows: int = _FEW_ROWS) -> list[str]:
    """Return the columns to read as dictionaries: ten times as slow, and as small as in the file.

    Args:
        metadata: of the file.
        schema: its columns.
        few_rows: of a row group, for which the time does not matter.
    """
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    if all(few_rows < group.num_rows <= group.total_byte_size // _FEW_BYTES for group in groups):
        return []
    return [field.name for field in schema if _is_sized(field.type) and "." not in field.name]


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
    metadata = pq.read_metadata(io.BytesIO(data))
    check_footer(metadata, limits)
    num_bytes = sum(_count_bytes(metadata.row_group(index)) for index in range(metadata.num_row_groups))
    if num_bytes > limits.max_row_group_mb * 1e6:
        raise _too_large("the whole file", num_bytes, limits, "make it smaller, or")
    schema = pq.read_schema(io.BytesIO(data))
    texts = find_expanding(metadata, schema)
    with pq.ParquetFile(io.BytesIO(data), read_dictionary=texts, page_checksum_verification=True) as file:
        return expand(file.read(use_threads=False), schema, limits)
