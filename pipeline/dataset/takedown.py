"""Take rows and speakers out of a whole corpus: output, manifests, and every snapshot that has them.

Tombstones come first (`pipeline.output.removal`); whatever follows may be repeated. Data files without the rows are
written before the snapshots list them, and the old files are deleted when none does. A night or the same command ends
what was cut short.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset.corpus import MANIFEST, open_run_output
from pipeline.dataset.data_files import DataFile, DataWriter, read_rows
from pipeline.dataset.listing import (
    SNAPSHOTS,
    NightFiles,
    Snapshot,
    find_latest,
    list_snapshots,
    move_latest,
    read_snapshot,
)
from pipeline.dataset.publications import read_publications
from pipeline.dataset.rows import ContentHash, SplitRows
from pipeline.dataset.snapshot import SEEN_PATH, describe_and_put, put_counts, read_removed
from pipeline.dataset.statistics import NightCounts
from pipeline.dataset.tar_files import tar_paths, write_tar
from pipeline.errors import ManifestError
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.output.lease import Lease
from pipeline.output.pages import delete_page
from pipeline.output.records import AUDIO_COLUMN
from pipeline.output.removal import Removal, plan_removal, remove_rows
from pipeline.output.tombstones import Tombstones
from pipeline.storage import Storage

_DONE_PATH = "takedown.json"
"""Which tombstones were carried out here."""
_KEPT_OF_MANIFEST = ("utterance_id", "speaker_id", "night", "split", "license", "source", "text_id", "version")


@dataclass
class Takedown:
    """What a takedown took away, or would."""

    removal: Removal
    """Of the output."""
    snapshots: list[str] = field(default_factory=list)
    """Nights whose snapshots had such rows: their earlier revisions cannot be made again."""
    num_rows: int = 0
    """Rows of data files, each counted once."""
    num_files: int = 0
    """Data files that had such rows."""
    publications: list[str] = field(default_factory=list)
    """Where such snapshots were published: until the next publication, they are still there."""


@dataclass(frozen=True)
class _Choice:
    ids: frozenset[str]
    speakers: frozenset[str]

    def find(self, table: pa.Table, id_column: str, speaker_column: str) -> pa.ChunkedArray:
        """Return which rows are chosen."""
        by_id = pc.is_in(table.column(id_column), pa.array(sorted(self.ids), pa.string()))
        return pc.or_(by_id, pc.is_in(table.column(speaker_column), pa.array(sorted(self.speakers), pa.string())))


def plan_takedown(storage: Storage, ids: Collection[str], speakers: Collection[str]) -> Takedown:
    """Count what a takedown would take away; changes nothing.

    Args:
        storage: the corpus.
        ids: utterance_ids.
        speakers: speaker_ids.

    Raises:
        ConfigError: an id is neither in the output nor in a manifest or a snapshot; lists all of them.
        DamagedCommit, ManifestError: a commit, data file or shard cannot be read.
    """
    choice = _Choice(frozenset(ids), frozenset(speakers))
    snapshots = _read_snapshots(storage)
    known, num_files = set[str](), 0
    # A night may have files of its own in several snapshots, with equal rows.
    keys_of = defaultdict[str, set[tuple[str, str]]](set)
    for shot in snapshots:
        for key, group in _groups([shot]).items():
            for file in group.files:
                keys_of[file.path].add(key)
    rows = defaultdict[tuple[str, str], set[str]](set)
    for path, keys in keys_of.items():
        ids_found = set[str]()
        for table in read_rows(storage, path, ["id", "speaker"]):
            found = table.filter(choice.find(table, "id", "speaker"))
            ids_found.update(found.column("id").to_pylist())
            known |= {*ids_found, *found.column("speaker").to_pylist()}
        if ids_found:
            num_files += 1
            for key in keys:
                rows[key] |= ids_found
    for _, table in _read_manifests(storage):
        found = table.filter(choice.find(table, "utterance_id", "speaker_id"))
        known |= {*found.column("utterance_id").to_pylist(), *found.column("speaker_id").to_pylist()}
    takedown = Takedown(plan_removal(open_run_output(storage), ids, speakers, known=known))
    takedown.num_rows, takedown.num_files = sum(map(len, rows.values())), num_files
    takedown.snapshots = [shot.night for shot in snapshots if rows.keys() & _groups([shot]).keys()]
    takedown.publications = [place for place in read_publications(storage) if takedown.snapshots]
    return takedown


def take_down(storage: Storage, ids: Collection[str], speakers: Collection[str], reason: str) -> Takedown:
    """Take rows and speakers out of a corpus for good; the same call again goes on where it was killed.

    Args:
        storage: the corpus.
        ids: utterance_ids of rows to remove.
        speakers: speaker_ids, whose rows are all removed, and who never speak again.
        reason: kept with each row and each tombstone.

    Returns:
        what was taken away by this call.

    Raises:
        ConfigError: as `plan_takedown`, and nothing was changed; or somebody is at work on the corpus.
        StorageError: the store failed; the same call goes on.
    """
    with Lease.acquire(storage, timeout_s=storage.settings.lease_timeout_s) as lease:
        takedown = plan_takedown(storage, ids, speakers)
        known = {*ids, *speakers}  # All of them are, or the plan would have refused.
        takedown.removal = remove_rows(open_run_output(storage), ids, speakers, reason, known=known)
        finish_takedown(storage, lease)
    return takedown


def finish_takedown(storage: Storage, lease: Lease) -> None:
    """Carry out what tombstones of the output name and the corpus still has; costs one read where that is nothing.

    Args:
        storage: the corpus.
        lease: of the corpus, held by the caller.

    Raises:
        DamagedCommit, ManifestError: a data file or a shard cannot be read.
        StorageError: the store failed; the same call goes on.
    """
    tombstones, mark = _read_unfinished(storage)
    if mark is None:
        return
    choice = _Choice(tombstones.ids("utterance"), tombstones.ids("speaker"))
    for path, table in _read_manifests(storage):
        blanked = _blank(table, choice)
        if blanked is not None:
            lease.check()
            sink = io.BytesIO()
            pq.write_table(blanked, sink, compression="zstd")
            storage.put(path, sink.getvalue())
    _Rewriter(storage, lease, tombstones, choice).rewrite()
    delete_page(storage)
    storage.delete_temporary()
    storage.put(_DONE_PATH, json.dumps({"tombstones": mark}).encode())


def is_finished(storage: Storage) -> bool:
    """Tell whether all that tombstones of the output name was carried out in the corpus."""
    return _read_unfinished(storage)[1] is None


def _read_unfinished(storage: Storage) -> tuple[Tombstones, str | None]:
    """Return the tombstones of the output and what marks them as carried out; None where they are."""
    tombstones = Tombstones.read(open_run_output(storage))
    stones = sorted((stone.kind, stone.id) for stone in tombstones.stones.values())
    mark = hashlib.sha256(repr(stones).encode("utf-8", "surrogatepass")).hexdigest()
    return tombstones, None if not stones or _read_mark(storage) == mark else mark


def _read_mark(storage: Storage) -> str | None:
    try:
        return str(json.loads(storage.get(_DONE_PATH))["tombstones"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _read_snapshots(storage: Storage) -> list[Snapshot]:
    return [shot for night in list_snapshots(storage) if (shot := read_snapshot(storage, night)) is not None]


def _groups(snapshots: list[Snapshot]) -> dict[tuple[str, str], NightFiles]:
    """Return the files of nights, each once, however many snapshots have them."""
    return {(group.night, group.content): group for shot in snapshots for group in shot.nights.values()}


def _read_manifests(storage: Storage) -> Iterator[tuple[str, pa.Table]]:
    for info in storage.list(MANIFEST):
        if info.path.endswith(".parquet"):
            try:
                yield info.path, pq.read_table(pa.BufferReader(storage.get(info.path)))
            except DAMAGED_PARQUET as error:
                detail = " ".join(str(error).split())[:200]
                raise ManifestError(
                    f"{storage.uri_of(info.path)}: damaged ({detail}); put back a copy of it"
                ) from error


def _blank(table: pa.Table, choice: _Choice) -> pa.Table | None:
    """Return a manifest without what removed rows said; None where it holds nothing of it. All rows stay in place."""
    is_chosen = choice.find(table, "utterance_id", "speaker_id")
    if not pc.any(is_chosen).as_py():
        return None
    changed = table
    for index, name in enumerate(table.column_names):
        if name not in _KEPT_OF_MANIFEST:
            old = table.schema.field(index)
            empty = pa.scalar("" if name == "text" else None, old.type)
            column = pc.if_else(is_chosen, empty, table.column(name))
            changed = changed.set_column(index, old.with_nullable(True), column)
    return None if changed.equals(table) else changed


class _Rewriter:
    """Gives every snapshot data files without removed rows."""

    def __init__(self, storage: Storage, lease: Lease, tombstones: Tombstones, choice: _Choice) -> None:
        self._storage, self._lease, self._tombstones, self._choice = storage, lease, tombstones, choice

    def rewrite(self) -> None:
        snapshots = _read_snapshots(self._storage)
        self._sweep(snapshots)  # What an interrupted snapshot left is listed nowhere, and would be overlooked.
        new: dict[tuple[str, str], NightFiles] = {}
        removed: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for key, group in _groups(snapshots).items():
            rows = self._find_rows(group)
            if rows:
                removed[key], new[key] = rows, self._rewrite_night(group)
        latest = find_latest(self._storage)
        for shot in snapshots:
            keys = [(group.night, group.content) for group in shot.nights.values()]
            if any(key in new for key in keys):
                rows = [row for key in keys for row in removed.get(key, ())]
                changed = self._rewrite_snapshot(shot, new, rows)
                if shot.night == latest:
                    move_latest(self._storage, changed)
        self._storage.delete(SEEN_PATH)
        self._sweep(_read_snapshots(self._storage))

    def _find_rows(self, group: NightFiles) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for file in group.files:
            for table in read_rows(self._storage, file.path, ["id", "speaker", "night"]):
                found += table.filter(self._choice.find(table, "id", "speaker")).to_pylist()
        return found

    def _rewrite_night(self, group: NightFiles) -> NightFiles:
        folder = group.counts_path.rpartition("/counts/")[0]
        counts, content, files = NightCounts(), ContentHash(), list[DataFile]()
        for file in group.files:
            # A file of its own each, so that those without such rows stay as they are.
            writer = DataWriter(
                self._storage,
                posixpath.dirname(posixpath.dirname(file.path)),
                file.night,
                float("inf"),
                {file.split: 0.0},
            )
            writer.number(file.split, int(posixpath.basename(file.path).rsplit("-", 2)[1]))
            for table in read_rows(self._storage, file.path):
                kept = table.filter(pc.invert(self._choice.find(table, "id", "speaker")))
                rows = kept.drop_columns([AUDIO_COLUMN]).replace_schema_metadata(None)
                content.add(file.split, rows)
                counts.add_rows(file.split, rows)
                clips = [clip["bytes"] for clip in kept.column(AUDIO_COLUMN).to_pylist()]
                writer.add(file.split, SplitRows(rows, clips))
            self._lease.check()
            files += writer.finish()
        known = pq.read_table(pa.BufferReader(self._storage.get(group.counts_path)))
        counts.keep_rejected(known, self._choice.speakers)
        path = put_counts(self._storage, folder, group.night, counts.to_table())
        self._keep_tars(group, files)
        num_rows = sum(file.num_rows for file in files)
        return NightFiles(group.night, content.hexdigest(), num_rows, path, tuple(files))

    def _keep_tars(self, group: NightFiles, files: list[DataFile]) -> None:
        """Where the corpus has tar files, too, write those of the new data files."""
        if any(self._storage.exists(tar_paths(file.path)[0]) for file in group.files):
            for file in files:
                write_tar(self._storage, self._storage, file.path)

    def _rewrite_snapshot(
        self, shot: Snapshot, new: dict[tuple[str, str], NightFiles], rows: list[dict[str, Any]]
    ) -> Snapshot:
        nights = {name: new.get((group.night, group.content), group) for name, group in shot.nights.items()}
        kept = {file.path for group in nights.values() for file in group.files}
        gone = tuple(
            {"revision": shot.revision, "path": shot.from_folder(file.path), "sha256": file.sha256}
            for file in shot.files
            if file.path not in kept
        )
        changed = replace(shot, nights=nights, revision=shot.revision + 1, withdrawn=(*shot.withdrawn, *gone))
        entries = read_removed(self._storage, shot)
        for row in rows:
            fields = {"utterance_id": row["id"], "speaker_id": row["speaker"]}
            reason = str(self._tombstones.reason_for(fields))
            entry = {"id": row["id"], "night": row["night"], "left_in": shot.night, "reason": reason}
            if entry not in entries:  # It is there where this was cut short before.
                entries.append(entry)
        self._lease.check()
        return describe_and_put(self._storage, changed, entries)

    def _sweep(self, snapshots: list[Snapshot]) -> None:
        """Delete what no snapshot lists: old files, and those of snapshots that were cut short."""
        wanted = {SEEN_PATH} | {path for shot in snapshots for path in shot.paths()}
        wanted |= {path for shot in snapshots for file in shot.files for path in tar_paths(file.path)}
        for info in list(self._storage.list(SNAPSHOTS)):
            if info.path not in wanted:
                self._lease.check()
                self._storage.delete(info.path)
