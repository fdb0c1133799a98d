"""The metadata: its columns by format version, and how a row's record is built."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.audio.clips import Audio, ClipFormat, suffix_of
from pipeline.audio.samples import measure
from pipeline.errors import RejectionCode
from pipeline.manifest.rows import safe_file_name
from pipeline.manifest.units import WorkUnit

FORMAT_KEY = b"spark_tts_batch.format"
AUDIO_FOLDER = "audio/"
AUDIO_COLUMN = "audio"
"""Where a packed commit has its clips; the last column, so that a row group's others lie together."""
AUDIO_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
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
        ("naturalness", pa.float64()),
        ("background_db", pa.float64()),
        ("num_missing_words", pa.int32()),
        ("num_extra_words", pa.int32()),
    ]
)
"""What a gate judged of the take of one segment that counts; null from the pause on where nobody listened."""
_NEW_OF_SEGMENT = ("naturalness", "background_db", "num_missing_words", "num_extra_words")
_OLDER_SEGMENT_TYPE = pa.struct([field for field in SEGMENT_TYPE if field.name not in _NEW_OF_SEGMENT])
"""Of format 3."""


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
    _Column("num_takes", pa.int32(), 4),
    _Column("num_segments", pa.int32()),
    _Column("num_semantic_tokens", pa.int32()),
    _Column("peak_dbfs", pa.float32()),
    _Column("rms_dbfs", pa.float32()),
    _Column("silence_ratio", pa.float32()),
    _Column("chars_per_s", pa.float32()),
    _Column("wer", pa.float32()),
    _Column("cer", pa.float32()),
    _Column("speaker_similarity", pa.float32()),
    _Column("naturalness", pa.float32(), 4),
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
HASHED_SINCE = 5
"""The format version since which a commit has hashes of its bytes, see `commit_file`."""
FORMAT_VERSION = max(HASHED_SINCE, *(column.since for column in _COLUMNS))
"""Of what this version writes. A new column is one more entry above, with the next number."""


def schema_of(version: int) -> pa.Schema:
    """Return our columns of a format version, in order."""
    fields = [pa.field(c.name, c.type, nullable=c.nullable) for c in _COLUMNS if c.since <= version]
    if version == 3:
        at = next(index for index, field in enumerate(fields) if field.name == "segments")
        fields[at] = pa.field("segments", pa.list_(_OLDER_SEGMENT_TYPE))
    if version == 1:  # The address of the audio, absolute, so that it was wrong once an output had been moved.
        fields.insert(4, pa.field("audio_uri", pa.string()))
    return pa.schema(fields)


COMMIT_SCHEMA = schema_of(FORMAT_VERSION)
"""Columns of every commit, in this order; the manifest's other columns follow, then those of packed clips."""


@dataclass(frozen=True)
class TakeFacts:
    """What synthesis knows of an utterance, whether it was accepted or not."""

    seed: int | None = None
    num_segments: int = 0
    take: int = 0
    """The highest one of its segments."""
    num_takes: int | None = None
    """That were made of all its segments, good or not; None where nobody counted."""
    language: str | None = None
    spoken_text: str | None = None
    """What was sent to the model, segments joined."""
    wer: float | None = None
    cer: float | None = None
    speaker_similarity: float | None = None
    naturalness: float | None = None
    recognized_text: str | None = None
    quality_note: str | None = None
    segments: list[dict[str, Any]] | None = None
    """What gates judged of the take of each segment that counts, in reading order, see `SEGMENT_TYPE`."""


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


def newer_format(place: str, version: int) -> str:
    """Return what is said of something that a newer version of this program wrote."""
    return (
        f"{place}: written in format {version}, but this version of spark-tts-batch knows formats up to "
        f"{FORMAT_VERSION}; upgrade spark-tts-batch, or choose another output"
    )
