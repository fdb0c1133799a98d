"""How much memory a Parquet file takes once it is read, and what takes more than it may.

A few kilobytes can stand for gigabytes: a value that compresses well, one that a dictionary repeats, millions of nulls.
The footer says how large a row group is when unpacked; what a dictionary repeats is left in it until its size is known.
Footers that lie are not seen through.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.run import LimitsConfig

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4}
"""Bytes of a value in memory, or of its offset, by physical type."""
_LONGEST_IN_STATISTICS = 4_096
"""Bytes of a value; writers leave out the least and the greatest value of a column where these are longer."""


class OverLimit(Exception):
    """A file would take more memory than it may; the text says by what, and what to do."""


def check_footer(metadata: pq.FileMetaData, limits: LimitsConfig) -> None:
    """Refuse a file that would take too much memory, by its footer alone.

    Raises:
        OverLimit: it has too many columns, or a row group that is too large.
    """
    if metadata.num_columns > limits.max_columns:
        raise OverLimit(
            f"{metadata.num_columns:,} columns, more than storage.limits.max_columns ({limits.max_columns:,}); keep "
            "those that are needed, or raise it"
        )
    for index in range(metadata.num_row_groups):
        num_bytes = _count_bytes(metadata.row_group(index))
        if num_bytes > limits.max_row_group_mb * 1e6:
            raise _too_large(f"row group {index}", num_bytes, limits, "write smaller row groups, or")


def _too_large(what: str, num_bytes: float, limits: LimitsConfig, remedy: str) -> OverLimit:
    return OverLimit(
        f"{what} takes {num_bytes / 1e6:,.0f} MB of memory, more than storage.limits.max_row_group_mb "
        f"({limits.max_row_group_mb:,g}); {remedy} raise it"
    )


def _count_bytes(row_group: pq.RowGroupMetaData) -> int:
    """Count what a row group takes at least: values that are equal or null take next to nothing in a file only."""
    count = 0
    for index in range(row_group.num_columns):
        chunk = row_group.column(index)
        count += max(chunk.total_uncompressed_size, chunk.num_values * _WIDTHS.get(chunk.physical_type, 1))
    return count


def find_expanding(metadata: pq.FileMetaData, limits: LimitsConfig, rows_at_once: int | None = None) -> list[str]:
    """Return the columns whose dictionaries may stand for more than a row group may take.

    Read as dictionaries they are ten times as slow, and as small as in the file.

    Args:
        metadata: of the file.
        limits: that hold for it.
        rows_at_once: rows that are read together; none means a row group.
    """
    return [
        metadata.schema.column(index).path
        for index in range(metadata.num_columns)
        if any(_may_expand(chunk, limits, rows_at_once) for chunk in _chunks(metadata, index))
    ]


def _chunks(metadata: pq.FileMetaData, column: int) -> Iterator[pq.ColumnChunkMetaData]:
    for index in range(metadata.num_row_groups):
        yield metadata.row_group(index).column(column)


def _may_expand(chunk: pq.ColumnChunkMetaData, limits: LimitsConfig, rows_at_once: int | None) -> bool:
    # Only top-level texts can be read as dictionaries; what is nested in lists has no bound but the footer's.
    if chunk.physical_type != "BYTE_ARRAY" or "." in chunk.path_in_schema or not chunk.has_dictionary_page:
        return False
    num_values = min(chunk.num_values, rows_at_once or chunk.num_values)
    are_short = chunk.statistics is not None and chunk.statistics.has_min_max
    longest = _LONGEST_IN_STATISTICS if are_short else chunk.total_uncompressed_size
    return bool(num_values * longest > limits.max_row_group_mb * 1e6)


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
    expanding = find_expanding(metadata, limits)
    with pq.ParquetFile(io.BytesIO(data), read_dictionary=expanding, page_checksum_verification=True) as file:
        return expand(file.read(use_threads=False), pq.read_schema(io.BytesIO(data)), limits)
