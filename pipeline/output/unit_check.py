"""Judge what one unit's commit holds: its rows, its packed clips, and what it says of itself. Knows no other unit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.audio.clips import CLIP_FORMATS, ClipHeader, read_header
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import CommitFile
from pipeline.output.contradictions import CONTRADICTION_COLUMNS, find_contradictions
from pipeline.output.records import AUDIO_FOLDER, clip_name
from pipeline.output.tombstones import REMOVED_PATH, Tombstones

Kind = Literal[
    "missing",
    "changed",
    "orphaned",
    "damaged_commit",
    "uncommitted",
    "stray_commit",
    "changed_shard",
    "other_row",
    "not_removed",
    "no_tombstone",
    "other_voice",
    "edited_row",
]
_COLUMNS = (
    *("utterance_id", "audio_path", "audio_format", "audio_sha256", "error_code", "removed_reason", "shard", "row"),
    *("speaker_id", "seed", *CONTRADICTION_COLUMNS),
)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    | kind | what |
    |---|---|
    | missing | a clip that a commit names is gone |
    | changed | a clip's bytes or header are not those of its commit |
    | orphaned | a file of audio that no commit names, left by work that was cut short; harmless |
    | damaged_commit | a commit that cannot be read, or does not hold its unit's rows |
    | uncommitted | a unit without commit although the output is marked as finished |
    | stray_commit | a commit that belongs to no unit of the run |
    | changed_shard | the manifest, where it is at hand, has another shard in this one's place, or none |
    | not_removed | a row that was withdrawn, by a removal that was cut short |
    | no_tombstone | a removed row that removed.parquet does not name, so that a repair might bring it back |
    | other_row | a commit whose id, text, speaker or seed is not that of its manifest row |
    | edited_row | a record whose length, tokens, takes or measures do not follow from each other |
    | other_voice | speakers.parquet has another voice of a speaker than the one that rows were spoken with, or none |
    """

    kind: Kind
    path: str
    """Relative to the output."""
    unit: WorkUnit | None = None
    row: int | None = None
    detail: str = ""
    """What was found and expected, where that is not plain from the kind."""


@dataclass(frozen=True)
class UnitContent:
    """What was read of a commit, and what is wrong with the clips in it."""

    rows: list[dict[str, Any]]
    findings: list[Finding]


def read_content(unit: WorkUnit, path: str, file: CommitFile, *, check_hashes: bool) -> UnitContent | None:
    """Read a commit.

    Args:
        unit: whose commit it is.
        path: of it, for findings.
        file: that is read.
        check_hashes: check every byte, clips included.

    Returns:
        None where it does not hold the unit's rows.

    Raises:
        DamagedCommit: it cannot be read.
    """
    if check_hashes:
        file.check_pages()  # And so every byte of it but its clips.
    rows = file.read(_COLUMNS).to_pylist()
    if not _is_whole(unit, rows, is_packed=file.is_packed):
        return None
    return UnitContent(rows, _check_packed(unit, path, rows, file) if file.is_packed and check_hashes else [])


def _check_packed(unit: WorkUnit, path: str, rows: Sequence[Mapping[str, Any]], file: CommitFile) -> list[Finding]:
    """Compare the clips in a commit with its records, a row group at a time."""
    findings, records = [], iter(rows)
    for group in range(len(file.group_sizes)):
        for clip, row in zip(file.read_clips(group), records, strict=False):
            if row["status"] != "ok":
                continue
            kind: Kind | None = "missing"
            if clip is not None and clip["bytes"] is not None:
                name = clip_name(row["utterance_id"], row["audio_sha256"], row["audio_format"])
                kind = check_clip(clip["bytes"], row) if clip["path"] == name else "changed"
            if kind is not None:
                detail = f"the clip of row {row['row']}, {row['utterance_id']!r:.80}"
                findings.append(Finding(kind, path, unit, row["row"], detail))
    return findings


def check_removed(
    unit: WorkUnit, path: str, committed: Sequence[Mapping[str, Any]], tombstones: Tombstones
) -> Iterator[Finding]:
    """Yield the rows of a commit that are withdrawn and not removed, or removed and not known as withdrawn."""
    for row in committed:
        name, has_stone = f"{row['utterance_id']!r:.80}", tombstones.reason_for(row) is not None
        if has_stone and row["status"] != "removed":
            detail = f"row {row['row']}: {name} was withdrawn; run its jobs.remove again"
            yield Finding("not_removed", path, unit, row["row"], detail)
        if not has_stone and row["status"] == "removed":
            detail = f"row {row['row']}: nothing but its commit says that {name} was withdrawn; put {REMOVED_PATH} back"
            yield Finding("no_tombstone", path, unit, row["row"], detail)


def check_records(unit: WorkUnit, path: str, committed: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield the records of a commit that contradict themselves."""
    for record in committed:
        for detail in find_contradictions(record):
            yield Finding("edited_row", path, unit, record["row"], f"row {record['row']}: {detail}")


def check_clip(data: bytes, row: Mapping[str, Any]) -> Kind | None:
    """Compare a clip with its record: its bytes, and what it says of itself."""
    if hashlib.sha256(data).hexdigest() != row["audio_sha256"]:
        return "changed"
    rate, num_samples = row.get("sample_rate"), row.get("num_samples")
    if rate is None or num_samples is None or read_header(data) == ClipHeader(rate, num_samples):
        return None
    return "changed"


def _is_whole(unit: WorkUnit, rows: Sequence[Mapping[str, Any]], *, is_packed: bool) -> bool:
    """Tell whether a commit that can be read has the unit's rows, and names where their audio is."""
    places = [(row["shard"], row["row"]) for row in rows]
    return places == [(unit.shard, row) for row in range(unit.first_row, unit.last_row + 1)] and all(
        (row["status"] == "rejected" and row["error_code"])
        or (row["status"] == "removed" and row["removed_reason"] is not None and row["audio_sha256"] is None)
        or (row["status"] == "ok" and _names_its_clip(row, is_packed=is_packed))
        for row in rows
    )


def _names_its_clip(row: Mapping[str, Any], *, is_packed: bool) -> bool:
    if not row["utterance_id"] or not re.fullmatch("[0-9a-f]{64}", str(row["audio_sha256"])):
        return False
    if row["audio_format"] not in CLIP_FORMATS:
        return False
    if is_packed:
        return row["audio_path"] is None
    # The folder is that of the shard whose unit made it: a take that is kept stays there.
    folder, _, name = str(row["audio_path"]).rpartition("/")
    return f"{folder}/".startswith(AUDIO_FOLDER) and name == clip_name(
        row["utterance_id"], row["audio_sha256"], row["audio_format"]
    )
