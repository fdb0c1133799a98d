"""What a Parquet file really holds: its footer and the headers of its pages, compared before pyarrow unpacks them.

A footer may lie: a row group that calls itself small may hold pages of gigabytes, and one of a thousand rows a list of
a billion values. Each page says how large it is when unpacked, and pyarrow refuses one that is not so. What pyarrow
itself says of columns is not asked for, as it ends the whole process where that is damaged. Reading a footer here takes
about 0.05 ms for each column of each row group.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa

from pipeline.config.figures import apart
from pipeline.config.run import LimitsConfig
from pipeline.manifest.thrift import read_struct
from pipeline.storage.base import RangeFile

_MAX_PAGES = 100_000
"""Of a column in one row group; usually a page has 20,000 values or a megabyte."""
_REPEATED = 2
_BYTE_ARRAY, _FIXED_BYTES = 6, 7
_WIDTHS = {0: 1, 1: 4, 2: 8, 3: 8, 4: 4, 5: 8, _BYTE_ARRAY: 4}
"""Bytes that a value takes in memory at least, by physical type; of a text, where it begins."""
_DICTIONARY_PAGE = 2
_DELTA_BYTE_ARRAY = 7
"""An encoding in which a text may have most of the one before it."""
_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_LENGTH = struct.Struct("<I")
_GAP = 1 << 16


class OverLimit(Exception):
    """A file would take more memory than it may; the text says by what, and what to do."""


class KeptRanges:
    """A file that keeps the stretches it is told to: they are looked at here, then read again by pyarrow."""

    def __init__(self, source: pa.NativeFile) -> None:
        self._source, self.size = source, source.size()
        self._kept: list[tuple[int, bytes]] = []

    def keep(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Read these stretches, those that are close together at once; forget what was kept before."""
        joined: list[tuple[int, int]] = []
        for start, stop in sorted(ranges):
            if joined and start - joined[-1][1] < _GAP:
                joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
            else:
                joined.append((start, stop))
        self._kept = []
        self._kept = [(start, self.read_range(start, stop)) for start, stop in joined]

    def read_range(self, start: int, stop: int) -> bytes:
        """Return a stretch of the file."""
        for first, data in self._kept:
            if first <= start and stop <= first + len(data):
                return data[start - first : stop - first]
        self._source.seek(start)
        return bytes(self._source.read(stop - start))

    def open(self) -> pa.NativeFile:
        """Return the file as Parquet's reader wants it."""
        return pa.PythonFile(RangeFile(self.size, self.read_range, 0), mode="r")


@dataclass(frozen=True)
class _Leaf:
    """A column without parts, as the schema has it."""

    name: str
    width: int
    is_text: bool
    is_nested: bool
    """Or a list: then a row group has not as many values as rows."""


@dataclass(frozen=True)
class _Chunk:
    """A column's pages in one row group."""

    leaf: _Leaf
    codec: int
    num_values: int
    start: int
    stop: int


@dataclass
class _Found:
    """What the headers of a chunk's pages add up to."""

    num_values: int = 0
    num_bytes: int = 0
    longest: int = 0
    """Of the texts in the dictionary."""
    has_deltas: bool = False


@dataclass(frozen=True)
class ReadingPlan:
    """How columns of a row group are to be read, so that they take no more memory than they may."""

    from_dictionary: tuple[str, ...]
    """Columns whose dictionary could repeat too much: to be read as dictionaries, which do not."""
    longest_row: int
    """Bytes that a row may take at most in columns whose texts may each take up the one before: how much all of them
    come to only shows as they are read."""


class Pages:
    """The pages of one file.

    Args:
        file: the file.
        limits: what it may come to.

    Raises:
        ArrowInvalid: the footer is damaged or contradicts itself.
    """

    def __init__(self, file: KeptRanges, limits: LimitsConfig) -> None:
        self._file, self._max_bytes = file, int(limits.max_row_group_mb * 1e6)
        end = _find_footer(file)
        footer = read_struct(file.read_range(end, file.size - 8)).fields
        leaves = _list_leaves(footer.get(2))
        self._groups = [_read_group(group, leaves, end) for group in _list_structs(footer.get(4))]
        _refuse_overlap([chunk for group in self._groups for chunk in group])

    def load(self, group: int, columns: Sequence[str] | None = None, max_rows: int = 1 << 62) -> ReadingPlan:
        """Read the pages of a row group into memory, packed as they are, once it is sure that they have room unpacked.

        Args:
            group: its number.
            columns: only these; none reads all.
            max_rows: that are unpacked at a time.

        Raises:
            OverLimit: they have no room.
            ArrowInvalid: they are not what the footer says.
        """
        chunks = [chunk for chunk in self._groups[group] if columns is None or chunk.leaf.name in columns]
        self._refuse_over(sum(chunk.stop - chunk.start for chunk in chunks), group)
        self._file.keep([(chunk.start, chunk.stop) for chunk in chunks])
        num_bytes, longest_row = 0, 1
        from_dictionary = []
        for chunk in chunks:
            found = self._walk(chunk)
            num_bytes += found.num_bytes + found.num_values * chunk.leaf.width
            is_single = not chunk.leaf.is_nested
            repeated = found.longest * min(found.num_values, max_rows if is_single else found.num_values)
            if found.has_deltas and not is_single:
                num_bytes += found.num_values * found.num_bytes  # How many of them a row has is not known.
            elif found.has_deltas:
                longest_row += found.num_bytes
            elif not is_single or "." in chunk.leaf.name:  # Which pyarrow reads as no dictionary.
                num_bytes += repeated
            elif repeated > self._max_bytes // 4:
                from_dictionary.append(chunk.leaf.name)
            self._refuse_over(num_bytes, group)
        return ReadingPlan(tuple(from_dictionary), longest_row)

    def _refuse_over(self, num_bytes: int, group: int) -> None:
        if num_bytes > self._max_bytes:
            found, most = apart(num_bytes / 1e6, self._max_bytes / 1e6)
            raise OverLimit(
                f"row group {group} takes up to {found} MB of memory, more than storage.limits.max_row_group_mb "
                f"({most}); write smaller row groups, or raise it"
            )

    def _walk(self, chunk: _Chunk) -> _Found:
        """Add up the headers of a column's pages."""
        found, num_pages, at = _Found(), 0, 0
        data = self._file.read_range(chunk.start, chunk.stop)
        name = chunk.leaf.name
        while at < len(data):
            header, at = read_struct(data, at)
            size, packed = header.get(2), header.get(3)
            num_pages += 1
            if not (_is_count(size) and _is_count(packed)) or at + packed > len(data) or num_pages > _MAX_PAGES:
                raise pa.ArrowInvalid(f"page {num_pages} of column {name!r} is not as large as it says")
            found.num_bytes += size
            if header.get(1) != _DICTIONARY_PAGE:
                page = header.get(5, header.get(8))
                if not isinstance(page, dict) or not _is_count(page.get(1)):
                    raise pa.ArrowInvalid(f"page {num_pages} of column {name!r} does not say how many values it has")
                found.num_values += page[1]
                found.has_deltas |= page.get(2 if 5 in header else 4) == _DELTA_BYTE_ARRAY
            elif chunk.leaf.is_text and size <= self._max_bytes:
                found.longest = _find_longest(data[at : at + packed], chunk.codec, size)
            at += packed
        if found.num_values != chunk.num_values:
            raise pa.ArrowInvalid(
                f"column {name!r} has {found.num_values:,} values in its pages and {chunk.num_values:,} in the footer"
            )
        return found


def _find_footer(file: KeptRanges) -> int:
    """Return where the footer begins."""
    size: int = file.size
    tail = file.read_range(max(0, size - 8), size)
    if tail.endswith(b"PARE"):
        raise pa.ArrowInvalid("it is encrypted; write it without encryption")
    if not tail.endswith(b"PAR1"):
        raise pa.ArrowInvalid("it does not end with PAR1: cut short, or of another format")
    start = size - 8 - int.from_bytes(tail[:4], "little")
    if start < 4:
        raise pa.ArrowInvalid("its footer would be larger than the file: cut short, or damaged")
    return start


def _list_structs(found: Any) -> list[dict[int, Any]]:
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise pa.ArrowInvalid("the footer lacks its schema or its row groups")
    return found


def _list_leaves(schema: Any) -> list[_Leaf]:
    """Return the columns without parts in the order of the file."""
    leaves = []
    open_groups: list[tuple[int, str]] = []
    """Of the groups that the next element is in: how many parts are still to come, and the name of the whole column."""
    for element in _list_structs(schema)[1:]:
        while open_groups and open_groups[-1][0] == 0:
            open_groups.pop()
        name, is_nested = _name_of(element), element.get(3) == _REPEATED or bool(open_groups)
        if open_groups:
            num_left, name = open_groups[-1]
            open_groups[-1] = (num_left - 1, name)
        if element.get(5):
            open_groups.append((element[5], name))
            continue
        kind = element.get(1)
        width = element.get(2) if kind == _FIXED_BYTES else _WIDTHS.get(kind if isinstance(kind, int) else -1)
        if not _is_count(width):
            raise pa.ArrowInvalid(f"column {name!r} has no type that the Parquet format knows")
        leaves.append(_Leaf(name, width, kind == _BYTE_ARRAY, is_nested))
    return leaves


def _name_of(element: dict[int, Any]) -> str:
    name = element.get(4)
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else ""


def _read_group(group: dict[int, Any], leaves: Sequence[_Leaf], end: int) -> list[_Chunk]:
    columns = _list_structs(group.get(1))
    if len(columns) != len(leaves):
        raise pa.ArrowInvalid(f"a row group has {len(columns):,} columns, expected the schema's {len(leaves):,}")
    return [_read_chunk(column, leaf, group.get(3), end) for column, leaf in zip(columns, leaves, strict=True)]


def _read_chunk(column: dict[int, Any], leaf: _Leaf, num_rows: Any, end: int) -> _Chunk:
    found = column.get(3)
    if 8 in column or 9 in column:
        raise pa.ArrowInvalid(f"column {leaf.name!r} is encrypted; write it without encryption")
    if 1 in column or not isinstance(found, dict):
        raise pa.ArrowInvalid(f"column {leaf.name!r} is not in this file")
    num_values, size, start = found.get(5), found.get(7), found.get(9)
    if not leaf.is_nested and num_values != num_rows:
        raise pa.ArrowInvalid(f"column {leaf.name!r} has {num_values!r} values in a row group of {num_rows!r} rows")
    if not (_is_count(num_values) and _is_count(size) and _is_count(start)):
        raise pa.ArrowInvalid(f"the footer gives column {leaf.name!r} no size or no place")
    if num_values == size == 0:
        return _Chunk(leaf, 0, 0, 4, 4)  # Writers say anything of where nothing is.
    dictionary = found.get(11)
    if _is_count(dictionary) and 0 < dictionary and (dictionary < start or num_values == 0):
        start = dictionary
    if start < 4 or start + size > end:
        raise pa.ArrowInvalid(f"column {leaf.name!r} would lie outside of the file's data: cut short, or damaged")
    return _Chunk(leaf, found.get(4, 0), num_values, start, start + size)


def _refuse_overlap(chunks: Sequence[_Chunk]) -> None:
    """The same bytes for many row groups would be a file of any number of rows."""
    stop = 0
    for chunk in sorted(chunks, key=lambda chunk: (chunk.start, chunk.stop)):
        if chunk.start < stop and chunk.start < chunk.stop:
            raise pa.ArrowInvalid(f"column {chunk.leaf.name!r} shares its bytes with another column or row group")
        stop = max(stop, chunk.stop)


def _find_longest(packed: bytes, codec: int, size: int) -> int:
    """Return the length of the longest text in a dictionary page."""
    name = _CODECS.get(codec)
    data = pa.decompress(packed, size, name, asbytes=True) if name else packed
    if len(data) < 4:
        return 0
    first: int = _LENGTH.unpack_from(data)[0]
    if len(data) % (4 + first) == 0:
        rows = np.frombuffer(data, np.uint8).reshape(-1, 4 + first)
        if (rows[:, :4] == rows[0, :4]).all():
            return first  # Ids of one length, which is a hundred times as fast.
    at = longest = 0
    length: int
    while at + 4 <= len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        longest = max(longest, length)
        at += 4 + length
    return longest


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
