"""What a snapshot consists of (files.json): its data files by night, wherever in the corpus they lie, and their hashes.

A night's files are written once. Later snapshots list them where they are, by a path from their own folder, so that a
corpus may be moved or copied as a whole, and a store needs no links.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline.config.printable import to_json
from pipeline.dataset.data_files import DataFile
from pipeline.errors import ConfigError
from pipeline.storage import ObjectExists, PreconditionFailed, Storage, check_path

FORMAT = 1
SNAPSHOTS, LATEST_PATH, FILES_NAME = "snapshots/", "latest.json", "files.json"
CARD_NAME, STATS_NAME, REMOVED_NAME = "README.md", "stats.json", "removed.parquet"
_NIGHT = r"[\w.-]+"


@dataclass(frozen=True)
class NightFiles:
    """The accepted rows of one night, as one snapshot or many have them."""

    night: str
    content: str
    """Equal for equal rows, see `ContentHash`."""
    num_rows: int
    counts_path: str
    """Of its table of counts, below the corpus."""
    files: tuple[DataFile, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """What files.json says."""

    night: str
    about: Mapping[str, Any]
    """`name` and `license` of the data set, `weights` of its rows."""
    nights: Mapping[str, NightFiles]
    revision: int = 0
    """How often rows were taken out of it."""
    previous: str | None = None
    """The snapshot that it was compared with."""
    described: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`size` and `sha256` of card, statistics and list of removed rows, by name."""
    withdrawn: tuple[Mapping[str, Any], ...] = ()
    """Files that earlier revisions had and nobody can make again, as their rows were withdrawn."""

    @property
    def folder(self) -> str:
        """Where it lies, below the corpus."""
        return folder_of(self.night)

    @property
    def files(self) -> list[DataFile]:
        """All data files, those of the first night first."""
        return [file for name in sorted(self.nights) for file in self.nights[name].files]

    @property
    def num_rows(self) -> int:
        """Rows of all nights."""
        return sum(group.num_rows for group in self.nights.values())

    def paths(self) -> set[str]:
        """Return the paths of all its objects, below the corpus."""
        own = {f"{self.folder}/{name}" for name in (*self.described, FILES_NAME)}
        counts = {group.counts_path for group in self.nights.values()}
        return own | counts | {file.path for file in self.files}

    def from_folder(self, path: str) -> str:
        """Return how files.json and card name an object."""
        return posixpath.relpath(path, self.folder)


def folder_of(night: str) -> str:
    """Return where the snapshot of a night lies, below the corpus."""
    if not re.fullmatch(_NIGHT, night) or night.startswith("."):
        raise ConfigError(f"night {night!r:.80}: expected a date such as 2026-11-29")
    return f"{SNAPSHOTS}{night}"


def format_snapshot(snapshot: Snapshot) -> bytes:
    """Return files.json; equal snapshots give equal bytes."""
    nights = {
        name: {
            "content": group.content,
            "num_rows": group.num_rows,
            "counts": snapshot.from_folder(group.counts_path),
        }
        for name, group in sorted(snapshot.nights.items())
    }
    files = [{**asdict(file), "path": snapshot.from_folder(file.path)} for file in snapshot.files]
    data = {
        "format": FORMAT,
        "night": snapshot.night,
        "revision": snapshot.revision,
        "previous": snapshot.previous,
        "about": snapshot.about,
        "described": snapshot.described,
        "nights": nights,
        "files": files,
        "withdrawn": list(snapshot.withdrawn),
    }
    return to_json(data, indent=1).encode()


def parse_snapshot(data: bytes, place: str) -> Snapshot:
    """Read what `format_snapshot` wrote.

    Args:
        data: of files.json.
        place: where it is, for messages.

    Raises:
        ConfigError: it is something else, or a newer version wrote it.
    """
    try:
        found = json.loads(data)
        if found["format"] > FORMAT:
            raise ConfigError(f"{place}: written by a newer version of spark-tts-batch; upgrade it")
        folder = folder_of(str(found["night"]))
        files: dict[str, list[DataFile]] = {}
        for entry in found["files"]:
            file = DataFile(**{**entry, "path": _below_corpus(folder, entry["path"])})
            files.setdefault(file.night, []).append(file)
        nights = {
            str(name): NightFiles(
                str(name),
                str(group["content"]),
                int(group["num_rows"]),
                _below_corpus(folder, group["counts"]),
                tuple(files.get(name, ())),
            )
            for name, group in found["nights"].items()
        }
        return Snapshot(
            str(found["night"]),
            dict(found["about"]),
            nights,
            int(found["revision"]),
            found["previous"],
            dict(found["described"]),
            tuple(found["withdrawn"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        detail = " ".join(str(error).split())[:120]
        raise ConfigError(f"{place}: not the list of a snapshot's files ({detail}); put back a copy of it") from None


def _below_corpus(folder: str, path: str) -> str:
    joined = posixpath.normpath(f"{folder}/{path}")
    if not joined.startswith(SNAPSHOTS):
        raise ValueError(f"{path!r:.80} leads out of {SNAPSHOTS}")
    return check_path(joined)


def read_snapshot(storage: Storage, night: str) -> Snapshot | None:
    """Return the snapshot of a night, or None where it is not complete.

    Args:
        storage: the corpus.
        night: as its folder is called.

    Raises:
        ConfigError: its list of files is damaged.
    """
    path = f"{folder_of(night)}/{FILES_NAME}"
    try:
        data = storage.get(path)
    except FileNotFoundError:
        return None
    return parse_snapshot(data, storage.uri_of(path))


def list_snapshots(storage: Storage) -> list[str]:
    """Return the nights that have a complete snapshot, the first one first."""
    found = (re.fullmatch(rf"{SNAPSHOTS}({_NIGHT})/{re.escape(FILES_NAME)}", i.path) for i in storage.list(SNAPSHOTS))
    return sorted(match[1] for match in found if match)


def put_snapshot(storage: Storage, snapshot: Snapshot, objects: Mapping[str, bytes]) -> Snapshot:
    """Write card, statistics and removed rows of a snapshot, then its list of files, by which it is complete.

    Args:
        storage: the corpus.
        snapshot: whose data files are there.
        objects: content by name.

    Returns:
        the snapshot with the hashes of what was written.
    """
    described = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in sorted(objects.items())
    }
    for name, data in objects.items():
        storage.put(f"{snapshot.folder}/{name}", data)
    snapshot = replace(snapshot, described=described)
    storage.put(f"{snapshot.folder}/{FILES_NAME}", format_snapshot(snapshot))
    return snapshot


def move_latest(storage: Storage, snapshot: Snapshot) -> None:
    """Let latest.json name a snapshot, by compare-and-swap; one that names a later night stays."""
    wanted = {
        "night": snapshot.night,
        "revision": snapshot.revision,
        "snapshot": snapshot.folder,
        "files_sha256": hashlib.sha256(format_snapshot(snapshot)).hexdigest(),
    }
    while True:
        condition: dict[str, Any] = {"if_absent": True}
        try:
            data, etag = storage.get_with_etag(LATEST_PATH)
            known = json.loads(data)
            if str(known["night"]) > snapshot.night or known == wanted:
                return
            condition = {"if_match": etag}
        except FileNotFoundError:
            pass
        except (ValueError, TypeError, KeyError):
            raise ConfigError(
                f"{storage.uri_of(LATEST_PATH)}: does not name a snapshot; delete it and run the same command again"
            ) from None
        try:
            storage.put(LATEST_PATH, json.dumps(wanted, indent=1).encode(), **condition)
            return
        except (ObjectExists, PreconditionFailed):
            continue


def find_latest(storage: Storage) -> str | None:
    """Return the night of the snapshot that latest.json names, or None where there is none yet."""
    try:
        return str(json.loads(storage.get(LATEST_PATH))["night"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f"{storage.uri_of(LATEST_PATH)}: does not name a snapshot; put back a copy of it") from None


def iter_data_files(storage: Storage, night: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield split and absolute address of each data file of a snapshot, for readers that take lists of files.

    Args:
        storage: the corpus.
        night: of the snapshot; none takes the latest.

    Raises:
        ConfigError: there is no such snapshot.
    """
    name = night or find_latest(storage)
    snapshot = read_snapshot(storage, name) if name else None
    if snapshot is None:
        raise ConfigError(
            f"{storage.uri}: no snapshot {night or ''}; there are: {', '.join(list_snapshots(storage)[-5:])}"
        )
    yield from ((file.split, storage.uri_of(file.path)) for file in snapshot.files)
