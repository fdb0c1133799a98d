"""A commit as a Parquet file: made from records, amended, written, and read as this version's columns.

The version stands in its key-value metadata. A commit of an older version is read with nulls in the columns that it
does not have; one of a newer version is refused by name, never taken for damage.

Since format 5 a commit holds the hash of its footer, which Parquet itself does not check and Arrow does not survive
in every damaged form, and that of all before it but packed clips, whose hashes are in their records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.manifest import OWN_COLUMNS
from pipeline.errors import ConfigError
from pipeline.output.records import (
    AUDIO_COLUMN,
    AUDIO_TYPE,
    COMMIT_SCHEMA,
    FORMAT_KEY,
    FORMAT_VERSION,
    HASHED_SINCE,
    audio_path,
    newer_format,
    schema_of,
)

_FOOTER_KEY, _PAGES_KEY = b"spark_tts_batch.footer_sha256", b"spark_tts_batch.pages_sha256"
"""In the file's key-value metadata alone, and not in the schema's: they say nothing of a table."""
_NO_HASH = b"0" * 64
_MAGIC = b"PAR1"
_FOOTER_READ = 64 << 10
"""Bytes of a file's end that are asked for at once."""
_CLIPS_PATH = f"{AUDIO_COLUMN}.bytes"
"""Of the leaf column that packed clips are in."""
_ROW_GROUP_BYTES = 4 << 20
"""Of clips in a row group of a packed commit: what is read for one clip, and never more than Arrow's 2 GiB."""
DATASETS_METADATA = {
    b"huggingface": json.dumps({"info": {"features": {AUDIO_COLUMN: {"_type": "Audio"}}}}).encode(),
}
"""Of a schema, by which the package `datasets` knows that a column is sound."""
# Beside its place and status: a book's order and titles, without which no chapter could say that a sentence is gone.
_KEPT_OF_REMOVED = ("book_id", "book_title", "author", "chapter", "chapter_title", "position", "boundary")


def build_commit_table(
    records: Sequence[Mapping[str, Any]], manifest_rows: pa.Table, *, is_packed: bool = False
) -> pa.Table:
    """Make a unit's metadata.

    Args:
        records: one mapping a row with columns of `COMMIT_SCHEMA`; what is left out is null.
        manifest_rows: the same rows as in the manifest. Its own columns are passed through; a name that is taken gets
            the prefix `manifest_`. Of removed rows only those are that say where in a book a row is.
        is_packed: give it the column `audio`, from what records have under this name.
    """
    if len(records) != manifest_rows.num_rows:
        raise ValueError(f"{len(records)} records for {manifest_rows.num_rows} manifest rows")
    table = pa.Table.from_pylist([dict(record) for record in records], COMMIT_SCHEMA)
    # Our columns say the same, and what was used where the manifest left it open.
    passed = manifest_rows.drop_columns([name for name in OWN_COLUMNS if name in manifest_rows.column_names])
    table = _blank_removed(_append(table, passed))
    return table.append_column(AUDIO_COLUMN, _pack(records)) if is_packed else table


def _blank_removed(table: pa.Table) -> pa.Table:
    """Empty the passed-through columns of removed rows, which may hold what was said."""
    is_removed = table.column("status").to_pylist()
    if "removed" not in is_removed:
        return table
    rows = pa.array([None if status == "removed" else row for row, status in enumerate(is_removed)], pa.int64())
    for index in range(len(COMMIT_SCHEMA.names), table.num_columns):
        old = table.schema.field(index)
        if old.name not in _KEPT_OF_REMOVED and old.name != AUDIO_COLUMN:
            table = table.set_column(index, old.with_nullable(True), table.column(index).take(rows))
    return table


def _pack(records: Sequence[Mapping[str, Any]]) -> pa.ChunkedArray:
    return pack_clips(record.get(AUDIO_COLUMN) for record in records)


def pack_clips(clips: Iterable[Mapping[str, Any] | None]) -> pa.ChunkedArray:
    """Return the column `audio` of rows with these clips, `bytes` and `path` each."""
    # A chunk a row: one array holds 2 GiB at most.
    return pa.chunked_array([pa.array([clip], AUDIO_TYPE) for clip in clips], AUDIO_TYPE)


def replace_records(old: pa.Table, records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return a unit's metadata with other records in the place of those of the same rows.

    Args:
        old: all columns, that of packed clips included.
        records: as for `build_commit_table`, of the rows to replace.
    """
    by_row = {record["row"]: record for record in records}
    merged = [by_row.get(row["row"], row) for row in old.select(COMMIT_SCHEMA.names).to_pylist()]
    table = pa.Table.from_pylist([dict(row) for row in merged], COMMIT_SCHEMA)
    for name in old.column_names[len(COMMIT_SCHEMA.names) :]:
        column = old.column(name)
        if name == AUDIO_COLUMN:
            chunks = [
                _pack([by_row[row["row"]]]).chunk(0) if row["row"] in by_row else column[at : at + 1].chunk(0)
                for at, row in enumerate(merged)
            ]
            column = pa.chunked_array(chunks, AUDIO_TYPE)
        table = table.append_column(old.field(name), column)
    return _blank_removed(table)


def _append(table: pa.Table, passed: pa.Table) -> pa.Table:
    """Append columns, renamed where a name is taken."""
    reserved = {*COMMIT_SCHEMA.names, AUDIO_COLUMN}
    taken = {*table.column_names, *passed.column_names}
    for name in passed.column_names:
        new_name = name
        if name in reserved:
            new_name = f"manifest_{name}"
            while new_name in taken:
                new_name = f"manifest_{new_name}"
            taken.add(new_name)
        table = table.append_column(passed.field(name).with_name(new_name), passed.column(name))
    return table


def write_commit(table: pa.Table) -> bytes:
    """Return a unit's metadata as Parquet, with the format version and its hashes.

    Packed clips are in small row groups, so that one of them is read without the others, and neither compressed nor
    counted in statistics: a byte that is damaged later harms one clip.
    """
    metadata = {**(table.schema.metadata or {}), FORMAT_KEY: str(FORMAT_VERSION).encode()}
    if AUDIO_COLUMN in table.column_names:
        metadata |= DATASETS_METADATA
    options = packed_parquet_options(table.schema)
    table = table.replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, write_page_checksum=True, **options) as writer:
        for part in _cut_into_groups(table):
            writer.write_table(part, row_group_size=max(1, part.num_rows))
        writer.add_key_value_metadata({_PAGES_KEY: _NO_HASH, _FOOTER_KEY: _NO_HASH})
    return _add_hashes(sink.getvalue())


def _add_hashes(written: pa.Buffer) -> bytes:
    footer = bytearray(_read_footer(pa.BufferReader(written)))
    with pq.ParquetFile(written) as file:
        pages = _hash_pages(pa.BufferReader(written), written.size - len(footer), file.metadata)
    for key, digits in ((_PAGES_KEY, pages), (_FOOTER_KEY, None)):
        at = _find_digits(footer, key)
        assert at is not None
        footer[at : at + len(_NO_HASH)] = digits or hashlib.sha256(footer).hexdigest().encode()
    return b"".join((memoryview(written)[: -len(footer)], footer))


def _read_footer(source: pa.NativeFile) -> bytes:
    """Return a Parquet file's footer, with the length and the name of the form that it ends with.

    Raises:
        ArrowInvalid: it has none.
    """
    size = source.size()
    tail = source.read_at(min(size, _FOOTER_READ), size - min(size, _FOOTER_READ))
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != _MAGIC or length + len(_MAGIC) > size:
        raise pa.ArrowInvalid("it is no Parquet file, or not all of one")
    return bytes(tail[-length:] if length <= len(tail) else source.read_at(length, size - length))


def _parse_footer(footer: bytes) -> pq.FileMetaData:
    """Read a footer, once it is known to be what was written.

    Raises:
        ArrowInvalid: it is not.
    """
    at = _find_digits(footer, _FOOTER_KEY)
    if at is not None:
        digits = footer[at : at + len(_NO_HASH)]
        blank = b"".join((footer[:at], _NO_HASH, footer[at + len(_NO_HASH) :]))
        if digits != hashlib.sha256(blank).hexdigest().encode():
            raise pa.ArrowInvalid("its footer is not what was committed")
    return pq.read_metadata(pa.BufferReader(_MAGIC + footer))


def _find_digits(footer: bytes | bytearray, key: bytes) -> int | None:
    """Return where the value of a key of hashes begins."""
    # After the key, Parquet has the type of the value and its length, one byte each.
    at = footer.rfind(key) + len(key) + 2
    return at if at >= len(key) + 2 and at + len(_NO_HASH) <= len(footer) else None


def _hash_pages(source: pa.NativeFile, size: int, metadata: pq.FileMetaData) -> bytes:
    """Hash a commit's first `size` bytes, but packed clips; 64 hexadecimal digits."""
    hashed, at = hashlib.sha256(), 0
    for start, stop in [*_find_clips(metadata), (size, size)]:
        hashed.update(source.read_at(start - at, at))
        at = stop
    return hashed.hexdigest().encode()


def _find_clips(metadata: pq.FileMetaData) -> list[tuple[int, int]]:
    """Return from where to where the bytes of packed clips lie, in order."""
    return [
        (column.data_page_offset, column.data_page_offset + column.total_compressed_size)
        for group in map(metadata.row_group, range(metadata.num_row_groups))
        for column in map(group.column, range(group.num_columns))
        if column.path_in_schema == _CLIPS_PATH
    ]


def packed_parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """Return how tables of this schema are written: clips as they are, all else compressed."""
    if AUDIO_COLUMN not in schema.names:
        return {"compression": "zstd"}
    others = [path for path in _leaf_paths(schema) if path != _CLIPS_PATH]
    return {
        "compression": {**dict.fromkeys(others, "zstd"), _CLIPS_PATH: "none"},
        "use_dictionary": others,
        "write_statistics": others,
    }


def _leaf_paths(schema: pa.Schema) -> list[str]:
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    with pq.ParquetFile(pa.BufferReader(sink.getvalue())) as file:
        return [file.schema.column(index).path for index in range(len(file.schema))]


def _cut_into_groups(table: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows of one row group after the other."""
    if AUDIO_COLUMN not in table.column_names:
        yield table
        return
    start = size = 0
    for row, num_bytes in enumerate(_clip_sizes(table.column(AUDIO_COLUMN))):
        if row > start and size + num_bytes > _ROW_GROUP_BYTES:
            yield table.slice(start, row - start)
            start, size = row, 0
        size += num_bytes
    yield table.slice(start)


def _clip_sizes(clips: pa.ChunkedArray) -> list[int]:
    return [
        size or 0 for chunk in clips.chunks for size in pc.binary_length(pc.struct_field(chunk, "bytes")).to_pylist()
    ]


class CommitFile:
    """A commit that is read as this version's columns, whichever version wrote it; as much of it as is asked for.

    Args:
        source: of its bytes.
        place: where it is, for messages.

    Raises:
        pa.ArrowException, OSError, UnicodeDecodeError: it is not a commit; so do the methods.
        ConfigError: a newer version wrote it.
    """

    def __init__(self, source: pa.NativeFile, place: str) -> None:
        footer = _read_footer(source)
        metadata = _parse_footer(footer)
        # Requests for columns that lie together are made as one.
        self._file = pq.ParquetFile(source, metadata=metadata, pre_buffer=True, page_checksum_verification=True)
        # Clips have their own hashes, so that damage in one does not take its neighbors along.
        self._clips = pq.ParquetFile(source, metadata=metadata, pre_buffer=True)
        self._source, self._num_page_bytes = source, source.size() - len(footer)
        found = self._file.schema_arrow
        self._version = _version_of(found, place)
        self._ours = schema_of(self._version)
        if not pa.schema(list(found)[: len(self._ours)]).equals(self._ours) or len({*found.names}) < len(found):
            raise pa.ArrowInvalid("its columns are not those of a commit")
        self.is_packed = self._version >= 3 and AUDIO_COLUMN in found.names
        """Whether it holds its clips."""
        if self.is_packed and found.field(AUDIO_COLUMN).type != AUDIO_TYPE:
            raise pa.ArrowInvalid(f"its column {AUDIO_COLUMN} is {found.field(AUDIO_COLUMN).type}")
        self._hashes = metadata.metadata or {}
        if self._version >= HASHED_SINCE and not {_FOOTER_KEY, _PAGES_KEY} <= self._hashes.keys():
            raise pa.ArrowInvalid("another program has written it anew")

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read all rows.

        Args:
            columns: only these, where the commit has them; none reads all but packed clips.
        """
        found = self._file.schema_arrow.names
        without_clips = [name for name in found if not self._holds_clips(name)]
        if self._version == FORMAT_VERSION:
            wanted = without_clips if columns is None else [name for name in columns if name in without_clips]
            table = self._file.read(wanted, use_threads=False)
        else:
            table = _upgrade(self._file.read(without_clips, use_threads=False), self._ours)
        if columns is not None:
            if self.is_packed and AUDIO_COLUMN in columns:
                table = table.append_column(AUDIO_COLUMN, self._read_all_clips())
            table = table.select([name for name in columns if name in table.column_names])
        table.validate(full=True)  # Parquet does not check that text is UTF-8.
        return table

    def _holds_clips(self, name: str) -> bool:
        return self.is_packed and name == AUDIO_COLUMN

    def _read_all_clips(self) -> pa.ChunkedArray:
        # One by one: Arrow reads no more than 2 GiB of nested bytes at once.
        groups = range(self._file.num_row_groups)
        chunks = [chunk for group in groups for chunk in self._read_clips(group).chunks]
        return pa.chunked_array(chunks, AUDIO_TYPE)

    def _read_clips(self, group: int) -> pa.ChunkedArray:
        clips = self._clips.read_row_group(group, [AUDIO_COLUMN], use_threads=False).column(AUDIO_COLUMN)
        if len(clips) != self.group_sizes[group]:  # Arrow takes a page with a damaged header for the end.
            raise pa.ArrowInvalid(f"row group {group} has {len(clips)} clips, but {self.group_sizes[group]} rows")
        return clips

    def check_pages(self) -> None:
        """Read all of it but packed clips, and compare its hash; older versions wrote none.

        Raises:
            ArrowInvalid: it is not what was written.
        """
        wanted = self._hashes.get(_PAGES_KEY)
        if wanted is not None and wanted != _hash_pages(self._source, self._num_page_bytes, self._file.metadata):
            raise pa.ArrowInvalid("its bytes are not those that were committed")

    @property
    def group_sizes(self) -> list[int]:
        """Rows of each row group."""
        return [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]

    def read_clips(self, group: int) -> list[dict[str, Any] | None]:
        """Read the packed clips of one row group, `bytes` and `path`, in the order of its rows."""
        clips = self._read_clips(group)
        clips.validate(full=True)
        packed: list[dict[str, Any] | None] = clips.to_pylist()
        return packed


def open_commit(data: bytes, place: str) -> CommitFile:
    """Open a commit that is in memory, and see that it is what was written; raises as `CommitFile`."""
    file = CommitFile(pa.BufferReader(data), place)
    file.check_pages()
    return file


def _version_of(schema: pa.Schema, place: str) -> int:
    text = (schema.metadata or {}).get(FORMAT_KEY, b"1").decode("ascii", "replace")
    if not text.isdecimal() or int(text) < 1:
        raise pa.ArrowInvalid(f"its format version is {text[:40]!r}")
    if int(text) > FORMAT_VERSION:
        raise ConfigError(newer_format(place, int(text)))
    return int(text)


def _upgrade(old: pa.Table, ours: pa.Schema) -> pa.Table:
    """Give a table of an older version the columns of this one, null where that version had none."""
    values: dict[str, pa.ChunkedArray] = {name: old.column(name) for name in ours.names}
    extra = old.drop_columns(ours.names)
    if "audio_uri" in values:
        extra = _fill_from_format_1(values, old, extra)
    segments_type = COMMIT_SCHEMA.field("segments").type
    if "segments" in values and values["segments"].type != segments_type:
        values["segments"] = pa.chunked_array([pa.array(values["segments"].to_pylist(), segments_type)])
    empty = {field.name: pa.nulls(old.num_rows, field.type) for field in COMMIT_SCHEMA if field.name not in values}
    table = pa.table([{**values, **empty}[name] for name in COMMIT_SCHEMA.names], schema=COMMIT_SCHEMA)
    return _append(table, extra)


def _fill_from_format_1(values: dict[str, pa.ChunkedArray], old: pa.Table, extra: pa.Table) -> pa.Table:
    """Add what format 1 had elsewhere: clips at a place that follows from the row, the language passed through."""
    clips = old.select(["shard", "utterance_id", "audio_sha256", "status"]).to_pylist()
    is_ok = [clip["status"] == "ok" for clip in clips]
    values["audio_format"] = pa.chunked_array([pa.array(["wav" if ok else None for ok in is_ok], pa.string())])
    paths = [_old_path(clip) if ok else None for clip, ok in zip(clips, is_ok, strict=True)]
    values["audio_path"] = pa.chunked_array([pa.array(paths, pa.string())])
    if "language" in extra.column_names and pa.types.is_string(extra.schema.field("language").type):
        values["language"] = extra.column("language")
        extra = extra.drop_columns(["language"])
    return extra


def _old_path(clip: Mapping[str, Any]) -> str | None:
    if clip["utterance_id"] is None or clip["audio_sha256"] is None:
        return None  # Damage, which the reader of the rows finds.
    return audio_path(clip["shard"], clip["utterance_id"], clip["audio_sha256"], "wav")
