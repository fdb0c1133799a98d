"""A note of what the commits of each folder came to (row_counts.json), by which those of old shards stay closed.

The note is no truth: it tells its commits by what a listing says of them, and counts nothing where one of them is
another, is there or is gone. It holds numbers and codes alone, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pipeline.output.row_counts import RowCounts
from pipeline.storage import ObjectInfo, Storage

COUNTS_PATH = "row_counts.json"
_VERSION = 1
"""Another one wherever rows are counted in another way."""


class CountsNote:
    """The counts of an output by folder: those of an earlier note, as far as its commits are the same, and new ones.

    Args:
        infos: the commits, as they are listed now.
        earlier: the note that there is, by folder: what its commits were, and what they came to.
    """

    def __init__(self, infos: Iterable[ObjectInfo], earlier: dict[str, tuple[str, RowCounts]]) -> None:
        folders: dict[str, list[ObjectInfo]] = {}
        for info in infos:
            folders.setdefault(_folder_of(info), []).append(info)
        self._entries: dict[str, tuple[str, RowCounts]] = {}
        self.unknown: list[ObjectInfo] = []
        """The commits that must be read."""
        for folder, listed in folders.items():
            signature, entry = _sign(listed), earlier.get(folder)
            if entry is None or entry[0] != signature:
                entry = (signature, RowCounts())
                self.unknown += listed
            self._entries[folder] = entry
        self._is_same = not self.unknown and len(folders) == len(earlier)

    @classmethod
    def read(cls, storage: Storage, infos: Iterable[ObjectInfo]) -> CountsNote:
        """Compare the note of an output with its commits; one that is missing or damaged says nothing."""
        try:
            found = json.loads(storage.get(COUNTS_PATH))
            entries = {folder: (str(signature), _parse(counts)) for folder, (signature, counts) in found.items()}
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            entries = {}
        return cls(infos, entries)

    def counts_of(self, info: ObjectInfo) -> RowCounts:
        """Return the counts to which those of an unknown commit are to be added."""
        return self._entries[_folder_of(info)][1]

    def keep(self, storage: Storage) -> RowCounts:
        """Write the note, once all unknown commits are counted; return the counts of all."""
        if not self._is_same:
            entries = {folder: [signature, vars(counts)] for folder, (signature, counts) in self._entries.items()}
            storage.put(COUNTS_PATH, json.dumps(entries, indent=1).encode())
        total = RowCounts()
        for _, counts in self._entries.values():
            total.merge(counts)
        return total


def _parse(found: dict[str, Any]) -> RowCounts:
    counts = RowCounts(**{**found, "rejected": Counter(found["rejected"])})
    counts.merge(RowCounts())  # Where it holds no numbers, this raises.
    counts.rejected.total()
    return counts


def _folder_of(info: ObjectInfo) -> str:
    return info.path.rpartition("/")[0]


def _sign(infos: Iterable[ObjectInfo]) -> str:
    facts = [(info.path, info.size, info.etag) for info in infos]
    return hashlib.blake2b(repr((_VERSION, facts)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
