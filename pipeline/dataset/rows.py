"""The rows of a snapshot: their columns, how they come from the commits of a run, and when two groups are equal.

Knows nothing of files or stores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.audio.flac_comments import with_comments
from pipeline.config.printable import without_controls
from pipeline.errors import ConfigError, DamagedCommit
from pipeline.output.commit_file import DATASETS_METADATA, pack_clips
from pipeline.output.records import AUDIO_COLUMN, COMMIT_SCHEMA, clip_name

SPLIT_COLUMN = "split"
"""Of the commits; a snapshot's files are of one split each."""
DEFAULT_SPLIT = "train"
_MEASURES = (
    "peak_dbfs",
    "rms_dbfs",
    "silence_ratio",
    "chars_per_s",
    "wer",
    "cer",
    "speaker_similarity",
    "take",
    "num_segments",
    "num_semantic_tokens",
)
MEASURES_TYPE = pa.struct([(name, COMMIT_SCHEMA.field(name).type) for name in _MEASURES])
_FROM_COMMIT = {
    "id": "utterance_id",
    "text": "text",
    "spoken_text": "spoken_text",
    "speaker": "speaker_id",
    "language": "language",
    "duration": "duration_s",
}
ROW_SCHEMA = pa.schema(
    [
        *(pa.field(name, COMMIT_SCHEMA.field(old).type) for name, old in _FROM_COMMIT.items()),
        pa.field("measures", MEASURES_TYPE),
        pa.field("seed", pa.int64()),
        pa.field("weights", pa.string()),
        pa.field("license", pa.string()),
        pa.field("night", pa.string()),
        # Of the clip as it is in the run's output, without the comments that it has here.
        pa.field("clip_sha256", pa.string()),
    ]
)
"""Columns of every snapshot; those that a manifest passed through follow, then `audio`."""
_NOT_PASSED = ("night", "license", SPLIT_COLUMN)
_SYNTHETIC = "Synthetic speech: made by a text-to-speech model, not spoken by a person."


@dataclass
class SplitRows:
    """Rows of one split, in the order of their manifest; `table` has no column of clips."""

    table: pa.Table
    clips: list[bytes]
    """Empty where they were not asked for."""


def take_rows(commit: pa.Table, night: str, license_: str, without: Collection[str] = ()) -> dict[str, SplitRows]:
    """Return the accepted rows of a commit by split, as a snapshot has them.

    Args:
        commit: of a unit, with its clips or without.
        night: of its rows.
        license_: of rows that have none of their own.
        without: ids of rows to leave out.

    Raises:
        DamagedCommit: a clip is not the committed one.
        ConfigError: an accepted row has no clip in its commit, or one that is no FLAC.
    """
    is_wanted = pc.equal(commit.column("status"), "ok")
    if without:
        is_left = pc.is_in(commit.column("utterance_id"), pa.array(sorted(without), pa.string()))
        is_wanted = pc.and_(is_wanted, pc.invert(is_left))
    commit = commit.filter(is_wanted)
    rows = _convert(commit, night, license_)
    splits = _splits_of(commit)
    with_clips = AUDIO_COLUMN in commit.column_names
    clips = list(_finish_clips(commit, rows)) if with_clips else []
    found = {}
    for split in sorted(set(splits)):
        chosen = [at for at, name in enumerate(splits) if name == split]
        found[split] = SplitRows(rows.take(pa.array(chosen, pa.int64())), [clips[at] for at in chosen] if clips else [])
    return found


def _convert(commit: pa.Table, night: str, license_: str) -> pa.Table:
    count = commit.num_rows
    columns: dict[str, Any] = {name: commit.column(old) for name, old in _FROM_COMMIT.items()}
    pieces = [commit.column(name).combine_chunks() for name in _MEASURES]
    columns["measures"] = pa.StructArray.from_arrays(pieces, fields=list(MEASURES_TYPE))
    columns["seed"], columns["weights"] = commit.column("seed"), commit.column("weights_sha256")
    given = commit.column("license") if "license" in commit.column_names else pa.nulls(count, pa.string())
    columns["license"] = pc.coalesce(pc.cast(given, pa.string()), pa.scalar(license_))
    columns["night"] = pa.array([night] * count, pa.string())
    columns["clip_sha256"] = commit.column("audio_sha256")
    table = pa.table([columns[name] for name in ROW_SCHEMA.names], schema=ROW_SCHEMA)
    skipped = {*COMMIT_SCHEMA.names, *_NOT_PASSED, AUDIO_COLUMN}
    for name in commit.column_names:
        if name not in skipped:
            taken = {*table.column_names, AUDIO_COLUMN}
            new_name = name
            while new_name in taken:
                new_name = f"manifest_{new_name}"
            table = table.append_column(commit.field(name).with_name(new_name).remove_metadata(), commit.column(name))
    return table


def _splits_of(commit: pa.Table) -> list[str]:
    if SPLIT_COLUMN not in commit.column_names:
        return [DEFAULT_SPLIT] * commit.num_rows
    splits = [DEFAULT_SPLIT if name is None else str(name) for name in commit.column(SPLIT_COLUMN).to_pylist()]
    for name in set(splits):
        if not name.isidentifier():
            raise ConfigError(f"split {name!r:.60}: expected letters, digits and _, such as train or test")
    return splits


def _finish_clips(commit: pa.Table, rows: pa.Table) -> Iterator[bytes]:
    """Yield the clips, with comments that say what they are."""
    facts = zip(rows.column("weights").to_pylist(), rows.column("license").to_pylist(), strict=True)
    ids, hashes = commit.column("utterance_id").to_pylist(), commit.column("audio_sha256").to_pylist()
    clips = commit.column(AUDIO_COLUMN)
    for at, (weights, license_) in enumerate(facts):
        clip = clips[at].as_py()
        if clip is None:
            raise ConfigError(f"row {ids[at]!r:.80} has no clip in its commit; a data set needs audio.layout: packed")
        data = clip["bytes"]
        if hashlib.sha256(data).hexdigest() != hashes[at]:
            raise DamagedCommit(
                f"row {ids[at]!r:.80}: its clip is not the committed one; run jobs.verify --repair on the output"
            )
        try:
            yield with_comments(data, clip_comments(weights, license_))
        except ValueError as error:
            raise ConfigError(f"row {ids[at]!r:.80}: {error}; a data set needs audio.format: flac") from None


def clip_comments(weights: str | None, license_: str) -> dict[str, str]:
    """Return what a clip says of itself.

    Args:
        weights: sha256 of what made it.
        license_: under which it is given.
    """
    comments = {
        "COMMENT": _SYNTHETIC,
        "SYNTHETIC": "true",
        "SOFTWARE": "spark-tts-batch",
        "LICENSE": without_controls(license_),
    }
    return comments | ({"WEIGHTS": f"sha256:{weights}"} if weights else {})


def add_clips(rows: SplitRows) -> pa.Table:
    """Return rows with their column of clips, as `datasets` reads it."""
    ids, hashes = rows.table.column("id").to_pylist(), rows.table.column("clip_sha256").to_pylist()
    packed = [
        {"bytes": clip, "path": clip_name(str(name), str(sha256), "flac")}
        for name, sha256, clip in zip(ids, hashes, rows.clips, strict=True)
    ]
    table = rows.table.append_column(AUDIO_COLUMN, pack_clips(packed))
    return table.replace_schema_metadata(DATASETS_METADATA)


@dataclass
class ContentHash:
    """Equal for equal rows: those of each split, in order, without the bytes of their clips, whose hashes they have."""

    splits: dict[str, Any] = field(default_factory=dict)

    def add(self, split: str, table: pa.Table) -> None:
        """Take in the next rows of a split."""
        if not table.num_rows:
            return
        digest = self.splits.setdefault(split, hashlib.blake2b(digest_size=16))
        names = [name for name in table.column_names if name != AUDIO_COLUMN]
        for row in table.select(names).to_pylist():
            digest.update(_canonical(row))

    def hexdigest(self) -> str:
        """Return 32 hexadecimal digits."""
        parts = [(split, digest.hexdigest()) for split, digest in sorted(self.splits.items())]
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _canonical(row: Mapping[str, Any]) -> bytes:
    return repr(sorted(row.items())).encode("utf-8", "surrogatepass")
