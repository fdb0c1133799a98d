"""A snapshot of a corpus: all that was accepted up to a night, in files that others read, complete and never changed.

Only nights that are new or changed are read and written; the files of all others are listed where they are. A snapshot
is there once its list of files is (files.json, written last); until then the same call goes on, and comes to the same
hashes, as nothing of time or chance is in a file.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.dataset import NightConfig
from pipeline.config.printable import to_json
from pipeline.dataset.card import CardFile, make_card
from pipeline.dataset.corpus import open_run_output
from pipeline.dataset.data_files import DataWriter, name_by_content, put_by_content, read_rows
from pipeline.dataset.listing import (
    CARD_NAME,
    FILES_NAME,
    FORMAT,
    REMOVED_NAME,
    SNAPSHOTS,
    STATS_NAME,
    NightFiles,
    Snapshot,
    folder_of,
    list_snapshots,
    move_latest,
    put_snapshot,
    read_snapshot,
)
from pipeline.dataset.rows import DEFAULT_SPLIT, SPLIT_COLUMN, ContentHash, take_rows
from pipeline.dataset.statistics import NightCounts, summarize
from pipeline.errors import ConfigError, DamagedCommit
from pipeline.manifest.units import shard_folder
from pipeline.output.commit_file import CommitFile
from pipeline.output.commit_log import CommitLog, map_ahead
from pipeline.output.records import AUDIO_COLUMN, COMMIT_SCHEMA
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardRecord
from pipeline.output.tombstones import Tombstones
from pipeline.output.voices import read_terms
from pipeline.storage import ObjectInfo, Storage, open_storage

logger = logging.getLogger(__name__)
SEEN_PATH = "snapshots/seen.json"
"""What the commits of each night looked like when they were read last: a note that saves reading, and may be lost."""
_NOWHERE = "rows to leave out that no snapshot has"
"""In the note, beside the nights."""
_NOT_READ = ("segments", "recognized_text", "error_message", "created_at", "input_hash", "quality_note")
REMOVED_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        # On which the row came, and the first snapshot without it.
        pa.field("night", pa.string(), nullable=False),
        pa.field("left_in", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class SnapshotSummary:
    """What a snapshot holds."""

    address: str
    night: str
    revision: int
    num_rows: int
    hours: float
    splits: Mapping[str, int]
    """Rows of each."""
    num_files: int
    num_new_files: int
    """Written for it; the others are those of earlier snapshots."""
    num_left: int
    """Rows of the snapshot before that this one has not."""


def write_snapshot(
    corpus: str,
    night: str,
    config: NightConfig,
    *,
    excluded: Collection[str] = (),
    reasons: Mapping[str, str] | None = None,
) -> SnapshotSummary:
    """Write the snapshot of a night, or go on with it; one that is complete stays as it is.

    The caller holds the corpus's lease.

    Args:
        corpus: a folder or an object-store prefix; its run is in `output/`.
        night: all accepted rows up to this one are in the snapshot.
        config: of the data set.
        excluded: nights whose rows stay out.
        reasons: rows to leave out although the run has them, as others took their place: why, by id.

    Raises:
        ConfigError: a night is not synthesized to its end, or its clips are not packed FLACs.
        DamagedCommit: a commit or a clip in it is damaged, or a file of an earlier snapshot is missing or cut.
        StorageError: the store failed; the same call goes on.
    """
    storage = open_storage(corpus, config.run.storage)
    snapshot = read_snapshot(storage, night)
    if snapshot is None:
        snapshot = _SnapshotWriter(storage, open_run_output(storage), night, config).write(excluded, reasons or {})
    move_latest(storage, snapshot)
    return _summarize(storage, snapshot)


def _summarize(storage: Storage, snapshot: Snapshot) -> SnapshotSummary:
    splits: dict[str, int] = {}
    for file in snapshot.files:
        splits[file.split] = splits.get(file.split, 0) + file.num_rows
    removed = read_removed(storage, snapshot)
    return SnapshotSummary(
        address=storage.uri_of(snapshot.folder),
        night=snapshot.night,
        revision=snapshot.revision,
        num_rows=snapshot.num_rows,
        hours=sum(file.duration_s for file in snapshot.files) / 3600,
        splits=splits,
        num_files=len(snapshot.files),
        num_new_files=sum(file.path.startswith(f"{snapshot.folder}/") for file in snapshot.files),
        num_left=sum(row["left_in"] == snapshot.night for row in removed),
    )


@dataclass
class _Commits:
    """The commits of one night."""

    record: ShardRecord
    units: list[ObjectInfo] = field(default_factory=list)
    """In the order of their rows."""


class _SnapshotWriter:
    def __init__(self, storage: Storage, output: Storage, night: str, config: NightConfig) -> None:
        self._storage, self._output, self._night, self._config = storage, output, night, config
        self._log = CommitLog(output)
        self._folder = folder_of(night)
        self._columns: list[str] = []
        self._left_out: dict[str, list[str]] = {}
        """Ids of rows that the run has and the snapshot has not, by night."""
        self._rejected: dict[str, str] = {}
        """Why the run rejects rows of the nights that were read: other limits judge those of old nights anew."""

    def write(self, excluded: Collection[str], reasons: Mapping[str, str]) -> Snapshot:
        nights = self._list_commits(excluded)
        earlier = [name for name in list_snapshots(self._storage) if name < self._night]
        previous = read_snapshot(self._storage, earlier[-1]) if earlier else None
        known = previous.nights if previous is not None else {}
        if previous is not None:
            self._check_files(previous)
        seen = _read_seen(self._storage)
        self._left_out = self._place(reasons, previous, seen)
        groups = {}
        for name, commits in sorted(nights.items()):
            signature = self._signature(name, commits)
            group = known.get(name)
            if group is None or seen.get(name) != [signature, group.content]:
                group = self._write_night(name, commits, group, reasons)
                seen[name] = [signature, group.content]
            groups[name] = group
        removed = self._list_removed(previous, groups, reasons)
        about = {"name": self._config.dataset.name, "license": self._config.dataset.license}
        snapshot = Snapshot(self._night, about, groups, previous=None if previous is None else previous.night)
        self._sweep(snapshot)
        snapshot = describe_and_put(self._storage, snapshot, removed)
        self._storage.put(SEEN_PATH, json.dumps(seen, indent=1).encode())
        return snapshot

    def _check_files(self, previous: Snapshot) -> None:
        """Refuse to list again what the snapshot before lists and is lost or cut; costs a listing."""
        sizes = {info.path: info.size for info in self._storage.list(SNAPSHOTS)}
        wanted = [(group.counts_path, None) for group in previous.nights.values()]
        for path, size in [*wanted, *((file.path, file.size) for file in previous.files)]:
            found = sizes.get(path)
            if found is None or size not in (None, found):
                problem = "missing" if found is None else f"{found:,} bytes"
                listed = "" if size is None else f" with {size:,} bytes"
                raise DamagedCommit(
                    f"{self._storage.uri_of(path)}: {problem}, though {previous.folder}/{FILES_NAME} lists it{listed}; "
                    "put back a copy of it"
                )

    def _list_commits(self, excluded: Collection[str]) -> dict[str, _Commits]:
        table = RunRecord(self._output).read_table()
        passed = [] if table.columns is None else table.columns.names
        self._columns = [name for name in COMMIT_SCHEMA.names if name not in _NOT_READ]
        self._columns += [name for old in passed for name in (old, f"manifest_{old}") if name not in self._columns]
        nights = {
            name: _Commits(record)
            for name, record in table.shards.items()
            if name <= self._night and name not in excluded
        }
        folders = {shard_folder(name, commits.record.revision): commits for name, commits in nights.items()}
        for info in self._output.list("metadata/"):
            commits = folders.get(info.path.removeprefix("metadata/").rpartition("/")[0])
            if commits is not None and info.path.endswith(".parquet"):
                commits.units.append(info)
        for commits in nights.values():
            commits.units.sort(key=lambda info: info.path)
        return nights

    def _place(
        self, reasons: Mapping[str, str], previous: Snapshot | None, seen: dict[str, list[str]]
    ) -> dict[str, list[str]]:
        """Return the ids of rows to leave out by the night that the snapshot before has them in, or had."""
        if previous is None:
            return {}
        placed: dict[str, list[str]] = {}
        left = set(reasons)
        for row in read_removed(self._storage, previous):
            if row["id"] in left:
                left.remove(row["id"])
                placed.setdefault(row["night"], []).append(row["id"])
        if left and sorted(left) != seen.get(_NOWHERE):
            wanted = pa.array(sorted(left), pa.string())
            for file in previous.files:
                for table in read_rows(self._storage, file.path, ["id"]):
                    for name in table.filter(pc.is_in(table.column("id"), wanted)).column("id").to_pylist():
                        left.discard(name)
                        placed.setdefault(file.night, []).append(name)
        seen[_NOWHERE] = sorted(left)
        return placed

    def _signature(self, night: str, commits: _Commits) -> str:
        """Return what changes whenever a night's commits do, without reading them."""
        facts = [(info.path, info.size, info.etag) for info in commits.units]
        left_out = sorted(self._left_out.get(night, ()))
        whole = repr((FORMAT, self._config.dataset.license, commits.record.num_rows, left_out, facts))
        return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()

    def _read(self, info: ObjectInfo, *, clips: bool) -> pa.Table:
        unit_id = info.path.removeprefix("metadata/").removesuffix(".parquet")
        columns = [*self._columns, AUDIO_COLUMN] if clips else self._columns

        def read(file: CommitFile) -> pa.Table:
            return file.read(columns)

        return self._log.read(unit_id, read, info)

    def _write_night(
        self, night: str, commits: _Commits, known: NightFiles | None, without: Collection[str]
    ) -> NightFiles:
        """Return the files of a night: those that are known where its rows are the same, or new ones."""
        content, counts, seconds, num_rows = ContentHash(), NightCounts(), dict[str, float](), 0
        license_ = self._config.dataset.license
        num_committed = 0
        for table in map_ahead(partial(self._read, clips=False), commits.units):
            num_committed += table.num_rows
            for split, rows in take_rows(table, night, license_, without).items():
                content.add(split, rows.table)
                counts.add_rows(split, rows.table)
                seconds[split] = seconds.get(split, 0.0) + sum(rows.table.column("duration").to_pylist())
                num_rows += rows.table.num_rows
            for row in table.filter(pc.equal(table.column("status"), "rejected")).to_pylist():
                split = row.get(SPLIT_COLUMN) or DEFAULT_SPLIT
                groups = {"split": split, "speaker": row["speaker_id"], "language": row["language"]}
                counts.add_rejected(str(row["error_code"]), groups)
                self._rejected[str(row["utterance_id"])] = str(row["error_code"])
        if num_committed != commits.record.num_rows:
            raise ConfigError(
                f"{self._output.uri}: {num_committed:,} of the {commits.record.num_rows:,} rows of {night} are "
                "synthesized; run the night to its end first"
            )
        path = put_counts(self._storage, self._folder, night, counts.to_table(), known)
        if known is not None and known.content == content.hexdigest():
            return NightFiles(night, known.content, num_rows, path, known.files)
        size = self._config.dataset.publish.shard_mb * 1e6
        writer = DataWriter(self._storage, self._folder, night, size, seconds)
        for info in commits.units:
            for split, rows in take_rows(self._read(info, clips=True), night, license_, without).items():
                writer.add(split, rows)
        files = tuple(writer.finish())
        logger.info("%s: %s row(s) in %d file(s)", night, f"{num_rows:,}", len(files))
        return NightFiles(night, content.hexdigest(), num_rows, path, files)

    def _list_removed(
        self, previous: Snapshot | None, groups: Mapping[str, NightFiles], reasons: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Return the removed rows of the snapshot before, and those that leave with this one."""
        if previous is None:
            return []
        left: list[dict[str, Any]] = []
        for name, old in sorted(previous.nights.items()):
            new = groups.get(name)
            if new is not None and new.content == old.content:
                continue
            current = set() if new is None else {(row["id"], row["clip_sha256"]) for row in self._rows_of(new)}
            left += [row for row in self._rows_of(old) if (row["id"], row["clip_sha256"]) not in current]
        entries = read_removed(self._storage, previous)
        if not left:
            return entries
        told = self._find_reasons(previous, groups, left, reasons)
        entries += [
            {"id": row["id"], "night": row["night"], "left_in": self._night, "reason": told[at]}
            for at, row in enumerate(left)
        ]
        return entries

    def _rows_of(self, group: NightFiles) -> Iterator[dict[str, Any]]:
        columns = ["id", "speaker", "text", "night", "clip_sha256", "text_id"]
        for file in group.files:
            for table in read_rows(self._storage, file.path, columns):
                yield from table.to_pylist()

    def _find_reasons(
        self,
        previous: Snapshot,
        groups: Mapping[str, NightFiles],
        left: list[dict[str, Any]],
        reasons: Mapping[str, str],
    ) -> list[str]:
        tombstones = Tombstones.read(self._output)
        texts = {row["id"]: row["text"] for row in left}
        text_ids = {row.get("text_id") for row in left} - {None}
        again, corrected = set[str](), set[str]()
        for name, group in groups.items():
            old = previous.nights.get(name)
            if old is not None and old.content == group.content:
                continue
            for row in self._rows_of(group):
                if row["id"] in texts:
                    (again if row["text"] == texts[row["id"]] else corrected).add(row["id"])
                if row.get("text_id") in text_ids:
                    corrected.add(row["text_id"])
        found = []
        for row in left:
            reason = tombstones.reason_for({"utterance_id": row["id"], "speaker_id": row["speaker"]})
            if reason is None:
                reason = reasons.get(row["id"])
            if reason is None and row["id"] in again:
                reason = "synthesized again"
            if reason is None and (row["id"] in corrected or row.get("text_id") in corrected):
                reason = "corrected"
            if reason is None and row["id"] in self._rejected:
                reason = f"rejected: {self._rejected[row['id']]}"
            found.append(reason or "not in the corpus any more")
        return found

    def _sweep(self, snapshot: Snapshot) -> None:
        """Delete what an earlier, interrupted call wrote and this one did not."""
        wanted = snapshot.paths() | {f"{self._folder}/{name}" for name in (CARD_NAME, REMOVED_NAME, STATS_NAME)}
        for info in list(self._storage.list(f"{self._folder}/")):
            if info.path not in wanted:
                self._storage.delete(info.path)


def put_counts(storage: Storage, folder: str, night: str, counts: pa.Table, known: NightFiles | None = None) -> str:
    """Put the counts of a night, unless an earlier snapshot has the same; return their path."""
    sink = io.BytesIO()
    pq.write_table(counts, sink, compression="zstd")
    name = name_by_content(night, ".parquet", sink.getvalue())
    if known is not None and known.counts_path.endswith(f"/{name}"):
        return known.counts_path
    return put_by_content(storage, f"{folder}/counts", night, ".parquet", sink.getvalue())[0]


def read_counts(storage: Storage, snapshot: Snapshot) -> dict[str, pa.Table]:
    """Return the counts of each night of a snapshot."""
    groups = [snapshot.nights[name] for name in sorted(snapshot.nights)]
    tables = map_ahead(lambda group: pq.read_table(pa.BufferReader(storage.get(group.counts_path))), groups)
    return {group.night: table for group, table in zip(groups, tables, strict=True)}


def describe_and_put(storage: Storage, snapshot: Snapshot, removed: list[dict[str, Any]]) -> Snapshot:
    """Write what describes a snapshot whose data files are there, then its list of files."""
    stats = summarize(read_counts(storage, snapshot))
    terms = read_terms(open_run_output(storage))
    for name, speaker in stats["speakers"].items():
        # Of the consent only whether there is one: its words may name a person.
        own = terms.get(name, {})
        speaker |= {"kind": own.get("kind"), "license": own.get("license"), "has_consent": bool(own.get("consent"))}
    about = {**snapshot.about, "weights": sorted(stats.pop("weights"))}
    snapshot = Snapshot(
        snapshot.night, about, snapshot.nights, snapshot.revision, snapshot.previous, withdrawn=snapshot.withdrawn
    )
    card = make_card_of(snapshot, stats, {file.path: snapshot.from_folder(file.path) for file in snapshot.files})
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(removed, REMOVED_SCHEMA), sink, compression="zstd")
    head = {"night": snapshot.night, "revision": snapshot.revision, "name": about["name"], "license": about["license"]}
    objects = {
        REMOVED_NAME: sink.getvalue(),
        STATS_NAME: to_json({**head, **stats}, indent=1).encode(),
        CARD_NAME: card.encode(),
    }
    return put_snapshot(storage, snapshot, objects)


def make_card_of(snapshot: Snapshot, stats: Mapping[str, Any], places: Mapping[str, str]) -> str:
    """Return a snapshot's card.

    Args:
        snapshot: of which.
        stats: as stats.json has them.
        places: how the card names each data file, by its path.
    """
    about = {**snapshot.about, "night": snapshot.night, "revision": snapshot.revision}
    files = [CardFile(places[file.path], file.split, file.num_rows, file.size) for file in snapshot.files]
    return make_card(about, files, stats)


def read_removed(storage: Storage, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the rows that earlier snapshots had and this one has not."""
    data = storage.get(f"{snapshot.folder}/{REMOVED_NAME}")
    rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(data)).to_pylist()
    return rows


def _read_seen(storage: Storage) -> dict[str, list[str]]:
    try:
        found = json.loads(storage.get(SEEN_PATH))
        return {str(name): [str(part) for part in parts] for name, parts in found.items()}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {}
