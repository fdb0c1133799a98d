"""Reads the structs of Parquet files (Thrift's compact protocol), as far as numbers, bytes, lists and structs go.

For files made to harm: no list is believed before its items are there, and no nesting is followed without end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa

_DEEPEST = 16
"""Structs within structs; Parquet's own go half as deep."""


class Group(NamedTuple):
    """A struct's values by the number of their field, and where its bytes end."""

    fields: dict[int, Any]
    end: int


def read_struct(data: bytes, start: int = 0) -> Group:
    """Read the struct that begins at `start`.

    Raises:
        ArrowInvalid: it is damaged, or cut short.
    """
    try:
        return Group(*_read_struct(data, start, 0))
    except IndexError:
        raise pa.ArrowInvalid("a struct of the Parquet format is cut short") from None


def _read_struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    if depth > _DEEPEST:
        raise pa.ArrowInvalid(f"structs of the Parquet format are nested more than {_DEEPEST} deep")
    fields: dict[int, Any] = {}
    number = 0
    while True:
        header = data[at]
        at += 1
        if header == 0:
            return fields, at
        if header >> 4:
            number += header >> 4
        else:
            number, at = _read_integer(data, at)
        kind = header & 15
        if kind <= 2:  # The two truth values are in the header itself.
            fields[number] = kind == 1
        else:
            fields[number], at = _read_value(data, at, kind, depth)


def _read_value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (4, 5, 6):
        return _read_integer(data, at)
    if kind == 8:
        size, at = _read_unsigned(data, at)
        if at + size > len(data):
            raise IndexError
        return data[at : at + size], at + size
    if kind in (9, 10):
        return _read_list(data, at, depth)
    if kind == 12:
        return _read_struct(data, at, depth + 1)
    if kind in (1, 2, 3):  # A truth value in a list, or a byte.
        return data[at], at + 1
    if kind == 7:
        return None, at + 8  # A float: Parquet's own structs have none.
    raise pa.ArrowInvalid(f"a struct of the Parquet format holds a value of kind {kind}, which it has not")


def _read_list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    header = data[at]
    at += 1
    size = header >> 4
    if size == 15:
        size, at = _read_unsigned(data, at)
    if size > len(data) - at:  # Each takes a byte at least.
        raise IndexError
    items = []
    for _ in range(size):
        item, at = _read_value(data, at, header & 15, depth)
        items.append(item)
    return items, at


def _read_integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _read_unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at


def _read_unsigned(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    at += 1
    if value < 128:
        return value, at
    value &= 127
    shift = 7
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise pa.ArrowInvalid("a number of the Parquet format has more than ten bytes")
