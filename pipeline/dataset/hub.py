"""Push a snapshot to a hub of data sets (`hf://owner/name`) through huggingface_hub; each night is its own revision.

The repository holds the newest snapshot, whole: `data/<night>/...`, so that no folder has more than 10,000 files. Data
files go first, in commits that nothing refers to yet; the card that names them goes last, with what is to be deleted,
and then the tag. A push that was cut short sends what is missing.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from pipeline.config.extras import need_extra
from pipeline.config.printable import to_json
from pipeline.config.secrets import redact
from pipeline.dataset.data_files import DataFile
from pipeline.dataset.listing import CARD_NAME, FILES_NAME, REMOVED_NAME, STATS_NAME, Snapshot, read_snapshot
from pipeline.dataset.snapshot import make_card_of
from pipeline.dataset.tar_files import make_tar
from pipeline.errors import ConfigError, StorageError
from pipeline.storage import Storage

_FILES_OF_COMMIT = 50
_NUMBERS_OF_FOLDER = 1_500
"""Of a night's files: each of three splits has as many, a tar file has a manifest, and a folder may have 10,000."""
_LATER_REVISION = re.compile(r"(.+)-r([0-9]+)")


def push_to_hub(storage: Storage, snapshot: Snapshot, to: str, form: str) -> tuple[int, int]:
    """Push a snapshot.

    The hub's address and the right to write come from huggingface_hub's own variables (HF_ENDPOINT, HF_TOKEN). A
    repository that is not there is made, for its owner alone.

    Args:
        storage: the corpus.
        snapshot: to push.
        to: `hf://owner/name`.
        form: parquet or webdataset.

    Returns:
        files that were put, and that were deleted.

    Raises:
        ConfigError: huggingface_hub is not installed, or the hub refuses.
        StorageError: the hub does not answer; the same call goes on.
    """
    with _explained(to):
        return _Push(storage, snapshot, to.removeprefix("hf://"), form).run()


def place_of(file: DataFile, form: str = "parquet") -> str:
    """Return where a data file is in the repository."""
    name = posixpath.basename(file.path)
    part = int(name.rsplit("-", 2)[1]) // _NUMBERS_OF_FOLDER
    folder = f"data/{file.night}" + (f"/{part}" if part else "")
    return f"{folder}/{name}" if form == "parquet" else f"{folder}/{name.removesuffix('.parquet')}.tar"


class _Push:
    def __init__(self, storage: Storage, snapshot: Snapshot, repository: str, form: str) -> None:
        from huggingface_hub import HfApi

        self._storage, self._snapshot, self._form = storage, snapshot, form
        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="spark-tts-batch")
        self._repository: dict[str, Any] = {"repo_id": repository, "repo_type": "dataset"}
        self._tag = _tag_of(snapshot.night, snapshot.revision)

    def run(self) -> tuple[int, int]:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        self._api.create_repo(**self._repository, private=True, exist_ok=True)
        there = {
            entry.path: entry.size
            for entry in self._api.list_repo_tree(**self._repository, recursive=True)
            if hasattr(entry, "size")
        }
        missing = [file for file in self._snapshot.files if self._last_of(file) not in there]
        for start in range(0, len(missing), _FILES_OF_COMMIT):
            additions = []
            for file in missing[start : start + _FILES_OF_COMMIT]:
                for place, content in self._make(file):
                    addition = CommitOperationAdd(place, content)
                    # At once, which frees its memory.
                    self._api.preupload_lfs_files(**self._repository, additions=[addition])
                    additions.append(addition)
            self._commit(additions, f"Data files of {self._snapshot.night}")
        wanted = {place for file in self._snapshot.files for place in self._places(file)}
        stale = [path for path in there if path.startswith("data/") and path not in wanted]
        described = [CommitOperationAdd(name, content) for name, content in self._describe().items()]
        deletions = [CommitOperationDelete(path) for path in stale]
        self._commit([*described, *deletions], f"Snapshot of {self._tag}")
        self._set_tags()
        return sum(len(self._places(file)) for file in missing), len(stale)

    def _places(self, file: DataFile) -> list[str]:
        place = place_of(file, self._form)
        return [place] if self._form == "parquet" else [place, f"{place.removesuffix('.tar')}.jsonl"]

    def _last_of(self, file: DataFile) -> str:
        return self._places(file)[-1]

    def _make(self, file: DataFile) -> Iterator[tuple[str, str | bytes]]:
        if self._form == "webdataset":
            yield from zip(self._places(file), make_tar(self._storage, file.path), strict=True)
            return
        address = self._storage.uri_of(file.path)
        # A file is sent as it is read.
        yield self._places(file)[0], self._storage.get(file.path) if "://" in address else address

    def _describe(self) -> Mapping[str, bytes]:
        snapshot = self._snapshot
        stats = self._storage.get(f"{snapshot.folder}/{STATS_NAME}")
        places = {file.path: place_of(file, self._form) for file in snapshot.files}
        listing = {
            "night": snapshot.night,
            "revision": snapshot.revision,
            "about": snapshot.about,
            # Sizes and hashes are those of the Parquet files, of which tar files are made.
            "files": [{**asdict(file), "path": places[file.path]} for file in snapshot.files],
            "withdrawn": list(snapshot.withdrawn),
        }
        return {
            REMOVED_NAME: self._storage.get(f"{snapshot.folder}/{REMOVED_NAME}"),
            STATS_NAME: stats,
            FILES_NAME: to_json(listing, indent=1).encode(),
            CARD_NAME: make_card_of(snapshot, json.loads(stats), places).encode(),
        }

    def _commit(self, operations: list[Any], message: str) -> None:
        self._api.create_commit(**self._repository, operations=operations, commit_message=message)

    def _set_tags(self) -> None:
        """Name this revision after its night; forget revisions that hold rows which were withdrawn since."""
        tags = {tag.name for tag in self._api.list_repo_refs(**self._repository).tags}
        old = [tag for tag in sorted(tags) if self._is_withdrawn(tag)]
        for tag in old:
            self._api.delete_tag(**self._repository, tag=tag)
        if old:
            self._api.super_squash_history(**self._repository)
        if self._tag in tags:
            self._api.delete_tag(**self._repository, tag=self._tag)
        self._api.create_tag(**self._repository, tag=self._tag)

    def _is_withdrawn(self, tag: str) -> bool:
        match = _LATER_REVISION.fullmatch(tag)
        night, revision = (match[1], int(match[2])) if match else (tag, 0)
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}[a-z0-9.]*", night):
            return False  # Somebody else's.
        found = read_snapshot(self._storage, night)
        return found is not None and found.revision > revision


def _tag_of(night: str, revision: int) -> str:
    return f"{night}-r{revision}" if revision else night


@contextmanager
def _explained(to: str) -> Iterator[None]:
    try:
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise ConfigError(need_extra(f"{to}: a hub", "huggingface_hub", "hub")) from error
    try:
        yield
    except (HFValidationError, ValueError) as error:
        raise ConfigError(f"dataset.publish.to: {to}: {' '.join(str(error).split()):.200}") from error
    except HfHubHTTPError as error:
        detail = redact(" ".join(str(error).split()))[:300]
        if error.response is not None and error.response.status_code in (401, 403, 404):
            raise ConfigError(f"{to}: the hub refuses ({detail}); give HF_TOKEN the right to write there") from error
        raise StorageError(f"{to}: {detail}; run the same command again") from error
    except (OSError, RuntimeError) as error:
        detail = redact(" ".join(str(error).split()))[:300]
        raise StorageError(f"{to}: {detail}; check the network, then run the same command again") from error
