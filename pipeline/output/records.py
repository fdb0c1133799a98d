"""The metadata: its columns by format version, how a row's record is built, and how older commits are read.

The version stands in each commit's Parquet key-value metadata. A commit of an older version is read with nulls in the
columns that it does not have; one of a newer version is refused by name, never taken for damage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.audio.clips import Audio, ClipFormat, suffix_of
from pipeline.audio.samples import measure
from pipeline.errors import ConfigError, RejectionCode
from pipeline.manifest.rows import safe_file_name
from pipeline.manifest.shards import OWN_COLUMNS
from pipeline.manifest.units import WorkUnit

FORMAT_KEY = b"spark_tts_batch.format"
AUDIO_FOLDER = "audio/"
AUDIO_COLUMN = "audio"
"""Where a packed commit has its clips; the last column, so that a row group's others lie together."""
AUDIO_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_ROW_GROUP_BYTES = 4 << 20
"""Of clips in a row group of a packed commit: what is read for one clip, and never more than Arrow's 2 GiB."""
_DATASETS_KEY, _DATASETS_FEATURES = b"huggingface", {"info": {"features": {AUDIO_COLUMN: {"_type": "Audio"}}}}
"""By which the package `datasets` knows that a column is sound."""


SEGMENT_TYPE = pa.struct(
    [
        ("take", pa.int32()),
        ("estimated_s", pa.float64()),
        ("num_semantic_tokens", pa.int32()),
        ("silence_ratio", pa.float64()),
        ("clipped_ratio", pa.float64()),
        ("longest_pause_s", pa.float64()),
        ("end_db", pa.float64()),
        ("num_words", pa.int32()),
        ("num_word_errors", pa.int32()),
        ("num_letters", pa.int32()),
        ("num_letter_errors", pa.int32()),
        ("num_letters_heard", pa.int32()),
        ("repeated", pa.string()),
        ("similarity", pa.float64()),
    ]
)
"""What a gate judged of one segment's last take; null from the pause on where nobody listened."""


class _Column(NamedTuple):
    name: str
    type: pa.DataType
    since: int = 1
    """The format version that brought the column."""
    nullable: bool = True


_COLUMNS = (
    _Column("utterance_id", pa.string()),
    _Column("speaker_id", pa.string()),
    _Column("text", pa.string()),
    _Column("spoken_text", pa.string(), 2),
    _Column("language", pa.string(), 2),
    _Column("status", pa.string(), nullable=False),
    _Column("audio_path", pa.string(), 2),
    _Column("audio_format", pa.string(), 2),
    _Column("audio_sha256", pa.string()),
    _Column("sample_rate", pa.int32()),
    _Column("num_samples", pa.int64()),
    _Column("duration_s", pa.float64()),
    _Column("seed", pa.int64()),
    _Column("take", pa.int32()),
    _Column("num_segments", pa.int32()),
    _Column("num_semantic_tokens", pa.int32()),
    _Column("peak_dbfs", pa.float32()),
    _Column("rms_dbfs", pa.float32()),
    _Column("silence_ratio", pa.float32()),
    _Column("chars_per_s", pa.float32()),
    _Column("wer", pa.float32()),
    _Column("cer", pa.float32()),
    _Column("speaker_similarity", pa.float32()),
    _Column("recognized_text", pa.string()),
    _Column("quality_note", pa.string()),
    _Column("error_code", pa.string()),
    _Column("error_message", pa.string()),
    _Column("removed_reason", pa.string(), 3),
    _Column("shard", pa.string(), nullable=False),
    _Column("row", pa.int64(), nullable=False),
    _Column("weights_sha256", pa.string()),
    _Column("created_at", pa.timestamp("us", tz="UTC")),
    _Column("input_hash", pa.string(), 3),
    _Column("segments", pa.list_(SEGMENT_TYPE), 3),
)
FORMAT_VERSION = max(column.since for column in _COLUMNS)
"""Of what this version writes. A new column is one more entry above, with the next number."""


def _schema_of(version: int) -> pa.Schema:
    fields = [pa.field(c.name, c.type, nullable=c.nullable) for c in _COLUMNS if c.since <= version]
    if version == 1:  # The address of the audio, absolute, so that it was wrong once an output had been moved.
        fields.insert(4, pa.field("audio_uri", pa.string()))
    return pa.schema(fields)


COMMIT_SCHEMA = _schema_of(FORMAT_VERSION)
"""Columns of every commit, in this order; the manifest's other columns follow, then those of packed clips."""


@dataclass(frozen=True)
class TakeFacts:
    """What synthesis knows of an utterance, whether it was accepted or not."""

    seed: int | None = None
    num_segments: int = 0
    take: int = 0
    """The highest one of its segments."""
    language: str | None = None
    spoken_text: str | None = None
    """What was sent to the model, segments joined."""
    wer: float | None = None
    cer: float | None = None
    speaker_similarity: float | None = None
    recognized_text: str | None = None
    quality_note: str | None = None
    segments: list[dict[str, Any]] | None = None
    """What gates judged of the last take of each segment that was decoded, in reading order, see `SEGMENT_TYPE`."""


@dataclass(frozen=True)
class StoredClip:
    """An utterance's audio, once it is in the output, or on its way there with its commit."""

    path: str | None
    """Relative to the output; None where the commit holds it."""
    format: ClipFormat
    sha256: str
    audio: Audio
    num_semantic_tokens: int
    packed: Mapping[str, Any] | None = None
    """Its value of the column `audio`, where the commit holds it."""


def clip_name(utterance_id: str, sha256: str, audio_format: ClipFormat) -> str:
    """Return a clip's file name; its content is part of the name, so other bytes never replace it."""
    return f"{safe_file_name(utterance_id)}.{sha256[:12]}{suffix_of(audio_format)}"


def audio_path(shard: str, utterance_id: str, sha256: str, audio_format: ClipFormat) -> str:
    """Return where a clip that is an object of its own is."""
    return f"{AUDIO_FOLDER}{shard}/{clip_name(utterance_id, sha256, audio_format)}"


def pack_clip(utterance_id: str, data: bytes, audio_format: ClipFormat) -> tuple[dict[str, Any], str]:
    """Return a clip's value of the column `audio`, and the sha256 of its bytes in hexadecimal."""
    sha256 = hashlib.sha256(data).hexdigest()
    return {"bytes": data, "path": clip_name(utterance_id, sha256, audio_format)}, sha256


_PLACE_COLUMNS = ("utterance_id", "speaker_id", "shard", "row")
# Beside its place and status: a book's order and titles, without which no chapter could say that a sentence is gone.
_KEPT_OF_REMOVED = ("book_id", "book_title", "author", "chapter", "chapter_title", "position", "boundary")


def removed_record(place: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Return the metadata of a row that was withdrawn: where it was and why it is gone, nothing of what it said.

    Args:
        place: `utterance_id`, `speaker_id`, `shard` and `row`.
        reason: of its removal.
    """
    kept = {name: place[name] for name in _PLACE_COLUMNS}
    return {**kept, "status": "removed", "removed_reason": reason, "created_at": datetime.now(UTC)}


def hash_input(fields: Mapping[str, Any], speaker: int | None) -> str:
    """Return 32 hexadecimal digits that are equal for manifest rows of the same id, text, voice, seed and language.

    A take follows from these, the weights and the pinned settings; a row that moved or whose shard was rewritten keeps
    its take by them.

    Args:
        fields: the manifest's own columns of the row.
        speaker: generation of its voice, see `SpeakerRegistry.generations`; None where nobody speaks it.
    """
    language = fields.get("language") or None
    parts = (*(fields.get(name) for name in ("utterance_id", "text", "speaker_id", "seed")), language, speaker)
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def build_record(
    unit: WorkUnit,
    row: int,
    fields: Mapping[str, Any],
    *,
    weights_sha256: str,
    facts: TakeFacts | None,
    outcome: StoredClip | tuple[RejectionCode, str],
    input_hash: str | None = None,
) -> dict[str, Any]:
    """Return the metadata of one row.

    Args:
        unit: the row's.
        row: its number in the shard.
        fields: the manifest's own columns of the row.
        weights_sha256: of the run.
        facts: what synthesis knows of it; none where it never began.
        outcome: its audio, or why there is none.
        input_hash: see `hash_input`.
    """
    record: dict[str, Any] = {
        "utterance_id": fields["utterance_id"],
        "speaker_id": fields["speaker_id"],
        "text": fields["text"],
        "shard": unit.shard,
        "row": row,
        "weights_sha256": weights_sha256,
        "created_at": datetime.now(UTC),
        "input_hash": input_hash,
        **(asdict(facts) if facts is not None else {"language": fields.get("language")}),
    }
    if not isinstance(outcome, StoredClip):
        code, message = outcome
        return record | {"status": "rejected", "error_code": str(code), "error_message": message}
    audio = outcome.audio
    stats = measure(audio.samples, audio.sample_rate)
    if outcome.packed is not None:
        record[AUDIO_COLUMN] = outcome.packed
    return record | {
        "status": "ok",
        "audio_path": outcome.path,
        "audio_format": outcome.format,
        "audio_sha256": outcome.sha256,
        "sample_rate": audio.sample_rate,
        "num_samples": len(audio.samples),
        "duration_s": audio.duration_s,
        "num_semantic_tokens": outcome.num_semantic_tokens,
        "peak_dbfs": stats.peak_dbfs,
        "rms_dbfs": stats.rms_dbfs,
        "silence_ratio": stats.silence_ratio,
        "chars_per_s": len(fields["text"]) / audio.duration_s,
    }


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
    # A chunk a row: one array holds 2 GiB at most.
    return pa.chunked_array([pa.array([record.get(AUDIO_COLUMN)], AUDIO_TYPE) for record in records], AUDIO_TYPE)


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
    """Return a unit's metadata as Parquet, with the format version.

    Packed clips are in small row groups, so that one of them is read without the others, and neither compressed nor
    counted in statistics: a byte that is damaged later harms one clip.
    """
    metadata = {**(table.schema.metadata or {}), FORMAT_KEY: str(FORMAT_VERSION).encode()}
    options: dict[str, Any] = {"compression": "zstd"}
    if AUDIO_COLUMN in table.column_names:
        metadata[_DATASETS_KEY] = json.dumps(_DATASETS_FEATURES).encode()
        clips = f"{AUDIO_COLUMN}.bytes"
        others = [path for path in _leaf_paths(table.schema) if path != clips]
        options = {
            "compression": {**dict.fromkeys(others, "zstd"), clips: "none"},
            "use_dictionary": others,
            "write_statistics": others,
        }
    table = table.replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        for part in _cut_into_groups(table):
            writer.write_table(part, row_group_size=max(1, part.num_rows))
    return bytes(sink.getvalue().to_pybytes())


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
        # Requests for columns that lie together are made as one.
        self._file = pq.ParquetFile(source, pre_buffer=True)
        found = self._file.schema_arrow
        self._version = _version_of(found, place)
        self._ours = _schema_of(self._version)
        if not pa.schema(list(found)[: len(self._ours)]).equals(self._ours) or len({*found.names}) < len(found):
            raise pa.ArrowInvalid("its columns are not those of a commit")
        self.is_packed = self._version >= 3 and AUDIO_COLUMN in found.names
        """Whether it holds its clips."""
        if self.is_packed and found.field(AUDIO_COLUMN).type != AUDIO_TYPE:
            raise pa.ArrowInvalid(f"its column {AUDIO_COLUMN} is {found.field(AUDIO_COLUMN).type}")

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read all rows.

        Args:
            columns: only these, where the commit has them; none reads all but packed clips.
        """
        found = self._file.schema_arrow.names
        without_clips = [name for name in found if not self._holds_clips(name)]
        if self._version == FORMAT_VERSION:
            wanted = without_clips if columns is None else [name for name in columns if name in found]
            table = self._read_groups(wanted)
        else:
            table = _upgrade(self._read_groups(without_clips), self._ours)
            if columns is not None:
                if self.is_packed and AUDIO_COLUMN in columns:
                    table = table.append_column(AUDIO_COLUMN, self._read_groups([AUDIO_COLUMN]).column(0))
                table = table.select([name for name in columns if name in table.column_names])
        table.validate(full=True)  # Parquet does not check that text is UTF-8.
        return table

    def _holds_clips(self, name: str) -> bool:
        return self.is_packed and name == AUDIO_COLUMN

    def _read_groups(self, names: Sequence[str]) -> pa.Table:
        if not any(map(self._holds_clips, names)):
            return self._file.read(names, use_threads=False)
        # One by one: Arrow reads no more than 2 GiB of nested bytes at once.
        groups = range(self._file.num_row_groups)
        return pa.concat_tables(self._file.read_row_group(group, names, use_threads=False) for group in groups)

    @property
    def group_sizes(self) -> list[int]:
        """Rows of each row group."""
        return [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]

    def read_clips(self, group: int) -> list[dict[str, Any] | None]:
        """Read the packed clips of one row group, `bytes` and `path`, in the order of its rows."""
        clips = self._file.read_row_group(group, [AUDIO_COLUMN], use_threads=False).column(AUDIO_COLUMN)
        clips.validate(full=True)
        packed: list[dict[str, Any] | None] = clips.to_pylist()
        return packed


def parse_commit(data: bytes, place: str, columns: Sequence[str] | None) -> pa.Table:
    """Return a commit that is in memory; see `CommitFile`."""
    return CommitFile(pa.BufferReader(data), place).read(columns)


def _version_of(schema: pa.Schema, place: str) -> int:
    text = (schema.metadata or {}).get(FORMAT_KEY, b"1").decode("ascii", "replace")
    if not text.isdecimal() or int(text) < 1:
        raise pa.ArrowInvalid(f"its format version is {text[:40]!r}")
    if int(text) > FORMAT_VERSION:
        raise ConfigError(newer_format(place, int(text)))
    return int(text)


def newer_format(place: str, version: int) -> str:
    """Return what is said of something that a newer version of this program wrote."""
    return (
        f"{place}: written in format {version}, but this version of spark-tts-batch knows formats up to "
        f"{FORMAT_VERSION}; upgrade spark-tts-batch, or choose another output"
    )


def _upgrade(old: pa.Table, ours: pa.Schema) -> pa.Table:
    """Give a table of an older version the columns of this one, null where that version had none."""
    values: dict[str, pa.ChunkedArray] = {name: old.column(name) for name in ours.names}
    extra = old.drop_columns(ours.names)
    if "audio_uri" in values:
        extra = _fill_from_format_1(values, old, extra)
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
