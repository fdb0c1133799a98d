"""Bring a corpus's snapshots to where others fetch them: another folder or store, or a hub of data sets.

What is there already is not sent again, so that a publication that was cut short goes on; what left the corpus is
deleted there, too. A place other than a hub gets the corpus's own layout: files of earlier nights are referred to.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from pipeline.config.dataset import NightConfig
from pipeline.dataset.hub import push_to_hub
from pipeline.dataset.listing import (
    CARD_NAME,
    FILES_NAME,
    SNAPSHOTS,
    STATS_NAME,
    Snapshot,
    format_snapshot,
    list_snapshots,
    move_latest,
    read_snapshot,
)
from pipeline.dataset.publications import note_publication
from pipeline.dataset.snapshot import make_card_of
from pipeline.dataset.tar_files import tar_paths, write_tar
from pipeline.errors import ConfigError
from pipeline.storage import Storage, check_apart, open_storage


@dataclass(frozen=True)
class Publication:
    """What a publication came to."""

    to: str
    """Address of what is published; the corpus where it goes nowhere else."""
    night: str
    revision: int
    num_put: int
    """Objects that were sent."""
    num_deleted: int


def publish(corpus: str, night: str, config: NightConfig) -> Publication:
    """Publish the snapshot of a night in the form and at the place that the config names.

    The caller holds the corpus's lease.

    Args:
        corpus: a folder or an object-store prefix.
        night: of the snapshot.
        config: of the data set.

    Raises:
        ConfigError: there is no such snapshot; the place lies in the corpus, or its client is not installed.
        StorageError: the place does not take it; the same call goes on.
    """
    settings, wanted = config.run.storage, config.dataset.publish
    storage = open_storage(corpus, settings)
    snapshot = read_snapshot(storage, night)
    if snapshot is None:
        raise ConfigError(f"{corpus}: no snapshot of {night} to publish; run the night first")
    if wanted.to is not None and wanted.to.startswith("hf://"):
        num_put, num_deleted = push_to_hub(storage, snapshot, wanted.to, wanted.format)
    elif wanted.to is not None:
        check_apart("dataset.publish.to", wanted.to, "corpus", corpus, "which has all of it", settings)
        num_put, num_deleted = _mirror(storage, open_storage(wanted.to, settings), snapshot, wanted.format)
    elif wanted.format == "webdataset":
        num_put, num_deleted = sum(write_tar(storage, storage, file.path) for file in snapshot.files), 0
    else:
        num_put = num_deleted = 0
    if wanted.to is not None:
        note_publication(storage, wanted.to, night, snapshot.revision)
    return Publication(wanted.to or corpus, night, snapshot.revision, num_put, num_deleted)


def _mirror(source: Storage, target: Storage, snapshot: Snapshot, form: str) -> tuple[int, int]:
    """Copy a snapshot with all that it lists, bring those that are there up to date, delete what none lists."""
    there = {info.path: info.size for info in target.list(SNAPSHOTS)}
    published = {path.split("/")[1] for path in there if path.endswith(f"/{FILES_NAME}")}
    nights = [name for name in list_snapshots(source) if name == snapshot.night or name in published]
    wanted, num_put = set[str](), 0
    for name in nights:
        found = snapshot if name == snapshot.night else read_snapshot(source, name)
        if found is not None:
            num_put += _copy(source, target, found, form, there)
            wanted |= _published_paths(found, form)
    stale = [path for path in there if path not in wanted]
    for path in stale:
        target.delete(path)
    latest = read_snapshot(target, snapshot.night)
    if latest is not None:
        move_latest(target, latest)
    return num_put, len(stale)


def _published_paths(snapshot: Snapshot, form: str) -> set[str]:
    if form == "parquet":
        return snapshot.paths()
    data = {file.path for file in snapshot.files}
    return (snapshot.paths() - data) | {path for file in snapshot.files for path in tar_paths(file.path)}


def _copy(source: Storage, target: Storage, snapshot: Snapshot, form: str, there: dict[str, int]) -> int:
    """Copy one snapshot; its list of files last. Returns how many objects were put."""
    num_put = 0
    own = {f"{snapshot.folder}/{name}" for name in (*snapshot.described, FILES_NAME)}
    sizes = {file.path: file.size for file in snapshot.files}
    for path in sorted(snapshot.paths() - own):  # Their names hold their hashes.
        if path in sizes and form == "webdataset":
            num_put += 0 if tar_paths(path)[1] in there else write_tar(source, target, path)
        elif path not in there or (path in sizes and there[path] != sizes[path]):
            target.put(path, source.get(path))
            num_put += 1
        if path in sizes:
            there.setdefault(path if form == "parquet" else tar_paths(path)[1], sizes[path])
    described = {name: source.get(f"{snapshot.folder}/{name}") for name in snapshot.described}
    if form == "webdataset":
        described[CARD_NAME] = _card_of_tars(snapshot, json.loads(described[STATS_NAME])).encode()
        snapshot = replace(snapshot, described={name: _describe(data) for name, data in sorted(described.items())})
    wanted = format_snapshot(snapshot)
    if _get(target, f"{snapshot.folder}/{FILES_NAME}") == wanted:
        return num_put
    for name, data in described.items():
        target.put(f"{snapshot.folder}/{name}", data)
    target.put(f"{snapshot.folder}/{FILES_NAME}", wanted)
    return num_put + len(described) + 1


def _card_of_tars(snapshot: Snapshot, stats: dict[str, object]) -> str:
    places = {file.path: snapshot.from_folder(tar_paths(file.path)[0]) for file in snapshot.files}
    return make_card_of(snapshot, stats, places)


def _describe(data: bytes) -> dict[str, object]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _get(storage: Storage, path: str) -> bytes | None:
    try:
        return storage.get(path)
    except FileNotFoundError:
        return None
