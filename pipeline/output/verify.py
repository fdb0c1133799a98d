"""Hold an output against its own record: every commit read, every clip hashed, every stray object named.

Knows nothing of Ray or networks. Memory stays bounded: one unit's rows and one row group of packed clips at a time in
each thread, and eight bytes for each clip that is a file, by which the listing is told apart from what no commit names.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.manifest import OWN_COLUMNS, REQUIRED_COLUMNS
from pipeline.errors import ConfigError, DamagedCommit
from pipeline.manifest.rows import Manifest, hash_seed
from pipeline.manifest.units import WorkUnit, parse_unit_id, plan_units
from pipeline.output.commit_file import CommitFile
from pipeline.output.commit_log import CommitLog, map_ahead
from pipeline.output.replaced_takes import ReplacedTakes
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import FormerShard, ShardRecord, ShardTable
from pipeline.output.tombstones import Tombstones
from pipeline.output.unit_check import (
    Finding,
    Kind,
    UnitContent,
    check_clip,
    check_records,
    check_removed,
    read_content,
)
from pipeline.output.voices import SPEAKERS_PATH, hash_voices, list_enrolled
from pipeline.storage import Storage

_LISTED_AT_ONCE = 16_384


@dataclass
class VerifyReport:
    """What an audit of an output found. Paths are relative to the output."""

    num_checked: int = 0
    """Clips that commits name."""
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    damaged_commits: list[str] = field(default_factory=list)
    uncommitted: list[str] = field(default_factory=list)
    stray_commits: list[str] = field(default_factory=list)
    changed_shards: list[str] = field(default_factory=list)
    other_rows: list[str] = field(default_factory=list)
    """Commits with a row that is not the manifest's; once for each such row."""
    not_removed: list[str] = field(default_factory=list)
    """Commits with a row that was withdrawn; once for each such row."""
    no_tombstones: list[str] = field(default_factory=list)
    """Commits with a removed row that `removed.parquet` does not know; once for each such row."""
    edited_rows: list[str] = field(default_factory=list)
    """Commits with a record that contradicts itself; once for each."""
    other_voices: list[str] = field(default_factory=list)
    """`speakers.parquet`, once for each speaker whose voice is not the one that rows were spoken with."""

    @property
    def is_intact(self) -> bool:
        """Orphans take room and harm nothing."""
        wrong = (self.missing, self.changed, self.damaged_commits, self.uncommitted, self.stray_commits)
        edited = (self.edited_rows, self.other_voices)
        return not any((*wrong, *edited, self.changed_shards, self.other_rows, self.not_removed, self.no_tombstones))


class Audit:
    """One pass over an output; `num_checked` counts the clips compared with their commits so far.

    Args:
        storage: the output.
        check_hashes: read every clip; otherwise only ask whether it is there.
        check_clips: look at clips at all; otherwise only find the files that no commit names.
        manifest: of the run, to compare each commit's text, speaker and seed with; none compares nothing.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        check_hashes: bool = True,
        check_clips: bool = True,
        manifest: Manifest | None = None,
    ) -> None:
        self._storage = storage
        self._log, self._record = CommitLog(storage), RunRecord(storage)
        self._check_hashes, self._check_clips = check_hashes and check_clips, check_clips
        self._tombstones = Tombstones()
        self._manifest = manifest
        self._run_seed: int | None = None
        self._changed_shards: set[str] = set()
        self._named = array("Q")
        self.num_checked = 0

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong as it is found.

        Raises:
            ConfigError: there is no run here.
            StorageError: the store does not answer.
        """
        self._named = array("Q")
        self._tombstones = Tombstones.read(self._storage)
        run, table = self._record.read(), self._record.read_table()
        unit_size, shards = run.unit_size, table.shards
        self._run_seed = run.pinned.get("seed")
        if self._tombstones.ids("speaker").intersection(list_enrolled(self._storage)):
            yield Finding("not_removed", SPEAKERS_PATH, detail="a speaker was withdrawn; run its jobs.remove again")
        yield from self._check_voices(table.voices or {})
        yield from self._check_replaced()
        yield from self._check_shards(shards)
        self._name_audio_of(table.former)
        yield from self._check_stray_commits(table, unit_size)
        if self._log.was_finished():
            yield from self._check_uncommitted(shards, unit_size)
        for unit, content in map_ahead(self._read, self._list_units(shards, unit_size)):
            if content is None:
                yield Finding("damaged_commit", self._log.metadata_path(unit), unit)
            else:
                path = self._log.metadata_path(unit)
                yield from check_removed(unit, path, content.rows, self._tombstones)
                yield from self._check_rows(unit, content.rows)
                yield from check_records(unit, path, content.rows)
                yield from self._check_unit(unit, content.rows)
                yield from content.findings
        yield from self._check_listing()

    def _check_voices(self, spoken: Mapping[str, str]) -> Iterator[Finding]:
        """Compare the enrolled voices with those that are on record; who was withdrawn has none."""
        found = hash_voices(self._storage) if spoken else {}
        for name, voice in spoken.items():
            if found.get(name) != voice and name not in self._tombstones.ids("speaker"):
                what = "no voice" if name not in found else "another voice than the one that rows were spoken with"
                detail = f"{what} of speaker {name!r:.80}; put the file back, or run jobs.enroll --replace"
                yield Finding("other_voice", SPEAKERS_PATH, detail=detail)

    def _check_replaced(self) -> Iterator[Finding]:
        """Find takes of withdrawn rows, as a driver that was frozen may have put after a removal."""
        replaced = ReplacedTakes(self._storage)
        for unit_id in replaced.list_units() if self._tombstones.stones else ():
            for row, record in replaced.read(unit_id).items():
                if self._tombstones.reason_for(record) is not None:
                    detail = f"row {row}: {record['utterance_id']!r:.80} was withdrawn; run its jobs.remove again"
                    yield Finding("not_removed", replaced.path_of(unit_id), row=row, detail=detail)

    def _check_shards(self, shards: Mapping[str, ShardRecord]) -> Iterator[Finding]:
        self._changed_shards = set()
        if self._manifest is None:
            return
        found = {shard.name: shard for shard in self._manifest.shards}
        for name, known in shards.items():
            shard = found.get(name)
            if shard is None or (shard.num_rows, shard.fingerprint) != (known.num_rows, known.fingerprint):
                self._changed_shards.add(name)
                detail = "not in the manifest" if shard is None else "other content than when the run recorded it"
                if shard is not None and self._tombstones.stones:
                    detail += "; in a data set jobs.remove empties rows of manifests, and the next new night adopts it"
                yield Finding("changed_shard", name, detail=detail)

    def _check_rows(self, unit: WorkUnit, committed: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
        if self._manifest is None or unit.shard in self._changed_shards:
            return
        rows = self._manifest.read_rows(unit, OWN_COLUMNS).to_pylist()
        for record, row in zip(committed, rows, strict=True):
            if record["status"] == "removed":
                continue  # Its text is gone.
            wanted = {name: row[name] for name in REQUIRED_COLUMNS}
            seed = row.get("seed")
            if seed is None and self._run_seed is not None and row["utterance_id"] is not None:
                seed = hash_seed(self._run_seed, row["utterance_id"])
            if seed is not None and record["seed"] is not None:
                wanted["seed"] = seed
            for name, value in wanted.items():
                if record[name] != value:
                    detail = f"row {record['row']}: {name} {record[name]!r:.60}, but {value!r:.60} in the manifest"
                    yield Finding("other_row", self._log.metadata_path(unit), unit, record["row"], detail)

    def _list_units(self, shards: Mapping[str, ShardRecord], unit_size: int) -> Iterator[WorkUnit]:
        for unit_id in self._log.list_units():
            unit = _parse_planned(unit_id, shards, unit_size)
            if unit is not None:
                yield unit

    def _name_audio_of(self, former: Sequence[FormerShard]) -> None:
        """Take the audio of shards that are still to go for named: a start that goes on may keep it."""
        for shard in former:
            for unit in self._log.list_shard(shard.name, shard.record.revision):
                with suppress(DamagedCommit, FileNotFoundError):
                    paths = self._log.read_commit(unit, ("audio_path",)).column("audio_path")
                    self._named.extend(hash_paths(paths.drop_null().to_pylist()))

    def _check_stray_commits(self, table: ShardTable, unit_size: int) -> Iterator[Finding]:
        folders = {former.folder for former in table.former}
        for unit_id in self._log.list_units():
            unit = _parse_planned(unit_id, table.shards, unit_size)
            if unit is None and unit_id.rpartition("/")[0] not in folders:
                yield Finding("stray_commit", f"metadata/{unit_id}.parquet", unit)

    def _check_uncommitted(self, shards: Mapping[str, ShardRecord], unit_size: int) -> Iterator[Finding]:
        for shard, known in shards.items():
            # A shard's units are few beside its clips.
            done = {unit.unit_id for unit in self._log.list_shard(shard, known.revision)}
            for unit in plan_units(shard, known.num_rows, unit_size, known.revision):
                if unit.unit_id not in done:
                    yield Finding("uncommitted", self._log.metadata_path(unit), unit)

    def _read(self, unit: WorkUnit) -> tuple[WorkUnit, UnitContent | None]:
        try:
            return unit, self._log.read(unit.unit_id, lambda file: self._read_content(unit, file))
        except (DamagedCommit, FileNotFoundError):  # Or taken away since it was listed.
            return unit, None

    def _read_content(self, unit: WorkUnit, file: CommitFile) -> UnitContent | None:
        return read_content(unit, self._log.metadata_path(unit), file, check_hashes=self._check_hashes)

    def _check_unit(self, unit: WorkUnit, committed: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
        rows = [row for row in committed if row["status"] == "ok"]
        self.num_checked += len(rows)
        files = [row for row in rows if row["audio_path"] is not None]
        paths = [row["audio_path"] for row in files]
        self._named.extend(hash_paths(paths))
        if not self._check_clips:
            return
        for path, row, kind in zip(paths, files, map_ahead(self._check_file, files), strict=True):
            if kind is not None:
                yield Finding(kind, path, unit, row["row"])

    def _check_file(self, row: Mapping[str, Any]) -> Kind | None:
        if not self._check_hashes:
            return None if self._storage.exists(row["audio_path"]) else "missing"
        try:
            return check_clip(self._storage.get(row["audio_path"]), row)
        except FileNotFoundError:
            return "missing"

    def _check_listing(self) -> Iterator[Finding]:
        """Stream the listing of audio; a hash that no commit's path has is an orphan's."""
        named: NDArray[np.uint64] = np.frombuffer(self._named, np.uint64).copy()
        named.sort()
        listing = (info.path for info in self._storage.list("audio/"))
        while paths := list(islice(listing, _LISTED_AT_ONCE)):
            if not len(named):
                yield from (Finding("orphaned", path) for path in paths)
                continue
            found = hash_paths(paths)
            at = np.minimum(np.searchsorted(named, found), len(named) - 1)
            yield from (Finding("orphaned", paths[index]) for index in np.nonzero(named[at] != found)[0])


def verify_output(storage: Storage, *, check_hashes: bool = True, manifest: Manifest | None = None) -> VerifyReport:
    """Hold every commit and clip of an output against each other.

    Args:
        storage: the output.
        check_hashes: read every clip; otherwise only ask whether it is there.
        manifest: of the run, to compare each commit's text, speaker and seed with.

    Raises:
        ConfigError: there is no run here.
        StorageError: the store does not answer.
    """
    audit = Audit(storage, check_hashes=check_hashes, manifest=manifest)
    found: dict[Kind, list[str]] = {}
    for finding in audit.findings():
        found.setdefault(finding.kind, []).append(finding.path)
    return VerifyReport(
        num_checked=audit.num_checked,
        missing=sorted(found.get("missing", ())),
        changed=sorted(found.get("changed", ())),
        orphaned=sorted(found.get("orphaned", ())),
        damaged_commits=sorted(found.get("damaged_commit", ())),
        uncommitted=sorted(found.get("uncommitted", ())),
        stray_commits=sorted(found.get("stray_commit", ())),
        changed_shards=sorted(found.get("changed_shard", ())),
        other_rows=sorted(found.get("other_row", ())),
        not_removed=sorted(found.get("not_removed", ())),
        no_tombstones=sorted(found.get("no_tombstone", ())),
        edited_rows=sorted(found.get("edited_row", ())),
        other_voices=sorted(found.get("other_voice", ())),
    )


def sweep_orphans(storage: Storage) -> int:
    """Delete files of audio that no commit names, takes that were replaced, and what interrupted writes left.

    The caller holds the lease: to anyone else, the files of a unit at work look like orphans.

    Returns:
        how many objects were deleted.

    Raises:
        ConfigError: a commit is damaged or lost, so that what looks like an orphan may be its audio.
    """
    orphans = []
    for finding in Audit(storage, check_clips=False).findings():
        if finding.kind in ("damaged_commit", "uncommitted", "stray_commit"):
            raise ConfigError(
                f"{storage.uri_of(finding.path)}: {finding.kind}, so that orphaned audio may be its own; run "
                "jobs.verify --repair first, and delete commits that it calls stray"
            )
        if finding.kind == "orphaned":
            orphans.append(finding.path)
    for path in orphans:
        storage.delete(path)
    return len(orphans) + ReplacedTakes(storage).delete() + storage.delete_temporary()


def _parse_planned(unit_id: str, shards: Mapping[str, ShardRecord], unit_size: int) -> WorkUnit | None:
    """Return the unit of the run that an id names, or None where it names none."""
    unit = parse_unit_id(unit_id)
    known = None if unit is None else shards.get(unit.shard)
    if unit is None or known is None or unit.revision != known.revision:
        return None
    return unit if unit.is_planned(known.num_rows, unit_size) else None


def hash_paths(paths: Sequence[str]) -> NDArray[np.uint64]:
    """Hash paths to 64 bits; that two of 100 million collide and hide one orphan has a chance of under 1 in 1,000."""
    digests = b"".join(hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest() for path in paths)
    return np.frombuffer(digests, np.uint64)
