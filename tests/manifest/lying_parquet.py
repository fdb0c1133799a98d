"""Parquet files whose footer or page headers say what is not so: taken apart into structs, changed, put together."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Struct = dict[int, list[Any]]
"""Kind and value by number of field; a value that is a list is its items' kind and the items."""
SCHEMA, NUM_ROWS, ROW_GROUPS = 2, 3, 4  # Of the footer.
COLUMNS, NUM_BYTES, GROUP_ROWS = 1, 2, 3  # Of a row group.
METADATA, NUM_VALUES, UNPACKED, PACKED, DATA_PAGE, DICTIONARY_PAGE = 3, 5, 6, 7, 9, 11  # Of a column.


def make(table: pa.Table, **options: Any) -> bytes:
    """Write a table as one row group."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"row_group_size": max(1, table.num_rows), "compression": "zstd", **options})
    return sink.getvalue()


def change(data: bytes, edit: Callable[[Struct], object]) -> bytes:
    """Change a file's footer."""
    size = int.from_bytes(data[-8:-4], "little")
    footer, _ = read_struct(data, len(data) - 8 - size)
    edit(footer)
    written = write_struct(footer)
    return data[: -8 - size] + written + len(written).to_bytes(4, "little") + b"PAR1"


def change_page(data: bytes, column: int, place: int, edit: Callable[[Struct], object]) -> bytes:
    """Change the header of a column's first page, `place` being the field of the footer that leads to it.

    The header keeps its size: numbers are written in as many bytes as they had.
    """
    footer, _ = read_struct(data, len(data) - 8 - int.from_bytes(data[-8:-4], "little"))
    start = columns_of(footer)[column][place][1]
    header, stop = read_struct(data, start)
    edit(header)
    written = write_struct(header)
    grown = len(written) - (stop - start)

    def move(footer: Struct) -> None:
        for found in columns_of(footer):
            for field in (DATA_PAGE, DICTIONARY_PAGE):
                if field in found and found[field][1] > start:
                    found[field][1] += grown
        columns_of(footer)[column][PACKED][1] += grown

    return change(data[:start] + written + data[stop:], move)


def columns_of(footer: Struct, group: int = 0) -> list[Struct]:
    """Return what a footer says of each column of a row group."""
    return [column[METADATA][1] for column in groups_of(footer)[group][COLUMNS][1][1]]


def groups_of(footer: Struct) -> list[Struct]:
    """Return what a footer says of each row group."""
    groups: list[Struct] = footer[ROW_GROUPS][1][1]
    return groups


def look_small(footer: Struct) -> None:
    """Say that next to nothing is in the file."""
    for index, group in enumerate(groups_of(footer)):
        group[NUM_BYTES][1] = 1_000
        for column in columns_of(footer, index):
            column[UNPACKED][1] = 100


def read_struct(data: bytes, at: int) -> tuple[Struct, int]:
    found: Struct = {}
    number = 0
    while data[at]:
        kind, step = data[at] & 15, data[at] >> 4
        at += 1
        if step == 0:
            number, at = _read(data, at, 4)
        number += step
        value, at = _read(data, at, kind)
        found[number] = [kind, value]
    return found, at + 1


def _read(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return None, at
    if kind == 12:
        return read_struct(data, at)
    if kind == 9:
        size, item, at = data[at] >> 4, data[at] & 15, at + 1
        if size == 15:
            size, at = _read_unsigned(data, at)
        items = []
        for _ in range(size):
            value, at = _read(data, at, item)
            items.append(value)
        return (item, items), at
    number, at = _read_unsigned(data, at)
    if kind == 8:
        return data[at : at + number], at + number
    return (number >> 1) ^ -(number & 1), at


def _read_unsigned(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return number, at


def write_struct(fields: Struct) -> bytes:
    written, before = b"", 0
    for number in sorted(fields):
        kind, value = fields[number]
        written += bytes([(number - before) << 4 | kind]) + _write(kind, value)
        before = number
    return written + b"\0"


def _write(kind: int, value: Any) -> bytes:
    if kind in (1, 2):
        return b""
    if kind == 12:
        return write_struct(value)
    if kind == 9:
        item, items = value
        size = len(items)
        head = bytes([size << 4 | item]) if size < 15 else bytes([0xF0 | item]) + _write_unsigned(size)
        return head + b"".join(_write(item, entry) for entry in items)
    if kind == 8:
        return _write_unsigned(len(value)) + bytes(value)
    return _write_unsigned(value << 1 if value >= 0 else (-value << 1) - 1)


def _write_unsigned(number: int) -> bytes:
    written = bytearray()
    while number >= 128:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])
