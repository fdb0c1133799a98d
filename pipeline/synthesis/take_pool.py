"""Takes to keep: rows of commits whose shard changed or went, found again by what a take follows from.

Memory: 24 bytes for each row of such commits, however many rows the output has. Knows nothing of Ray or networks.
"""

from __future__ import annotations

import logging
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.config.run import Config
from pipeline.errors import DamagedCommit, RejectionCode, UtteranceError
from pipeline.manifest.rows import hash_seed
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_log import CommitLog, map_ahead
from pipeline.output.records import hash_input
from pipeline.text import normalize_text

logger = logging.getLogger(__name__)
_COLUMNS = ("utterance_id", "text", "speaker_id", "seed", "language", "status", "error_code", "input_hash")
_KEPT_BYTES = 64 << 20
"""Of commits that were read last: rows that moved apart come from several of them."""


def hash_rows(unit: WorkUnit, rows: Sequence[Mapping[str, Any]], speakers: Mapping[str, int]) -> dict[int, str]:
    """Return what each row of a unit is found again by, see `hash_input`.

    Args:
        unit: whose rows they are.
        rows: the manifest's own columns of each.
        speakers: who may speak, see `SpeakerRegistry.generations`.
    """
    return {number: hash_input(row, speakers.get(row["speaker_id"])) for number, row in enumerate(rows, unit.first_row)}


class KeptTake(NamedTuple):
    """Where the record of a take is."""

    unit: WorkUnit
    position: int
    """Of its row within the commit."""


class TakePool:
    """The takes of commits whose shard changed or went, by `hash_input`."""

    def __init__(self, units: Sequence[WorkUnit], hashes: bytes, places: array[int]) -> None:
        self._units = units
        pairs = np.frombuffer(hashes, ">u8").reshape(-1, 2).astype(np.uint64)
        rows = np.frombuffer(places, np.int64)
        # Stable, so that of equal rows the one that went last stays the last.
        order = np.argsort(pairs[:, 0], kind="stable")
        self._heads: NDArray[np.uint64] = pairs[order, 0]
        self._tails: NDArray[np.uint64] = pairs[order, 1]
        self._places: NDArray[np.int64] = rows[order]

    def __len__(self) -> int:
        return len(self._heads)

    @classmethod
    def read(cls, log: CommitLog, units: Iterable[WorkUnit], config: Config) -> TakePool:
        """Read what may be kept.

        Args:
            log: of the output.
            units: committed ones, those to prefer at the end.
            config: of the run; only for commits of older formats.
        """
        listed: list[WorkUnit] = []
        hashes, places = bytearray(), array("q")

        def read(unit: WorkUnit) -> tuple[WorkUnit, list[tuple[int, str]]]:
            try:
                return unit, list(_hash_rows(log.read_commit(unit, _COLUMNS), config))
            except DamagedCommit as error:
                logger.warning("%s; no take of it is kept", error)
            except FileNotFoundError:
                pass  # Taken away since it was listed.
            return unit, []

        for unit, rows in map_ahead(read, units):
            for index, hashed in rows:
                hashes += bytes.fromhex(hashed)
                places.append(len(listed) << 32 | index)
            listed.append(unit)
        return cls(listed, bytes(hashes), places)

    def find(self, hashed: str) -> KeptTake | None:
        """Return where the take of a row with this hash is."""
        head, tail = int(hashed[:16], 16), int(hashed[16:], 16)
        at = int(np.searchsorted(self._heads, np.uint64(head), side="right")) - 1
        while at >= 0 and self._heads[at] == head:
            if self._tails[at] == tail:
                place = int(self._places[at])
                return KeptTake(self._units[place >> 32], place & 0xFFFFFFFF)
            at -= 1
        return None


def _hash_rows(commit: pa.Table, config: Config) -> Iterator[tuple[int, str]]:
    for index, row in enumerate(commit.to_pylist()):
        # A duplicate was not judged for itself; what was removed stays so by its tombstone.
        if row["status"] == "removed" or row["error_code"] == RejectionCode.DUPLICATE_ID:
            continue
        if row["input_hash"] is not None:
            yield index, row["input_hash"]
        else:
            yield from ((index, hashed) for hashed in _hash_old_row(row, config))


def _hash_old_row(row: Mapping[str, Any], config: Config) -> Iterator[str]:
    """Yield the hashes of all manifest rows that a record of an older format may come from.

    It says which seed and language were used, not whether the manifest named them or left them open.
    """
    if row["error_code"] == RejectionCode.UNKNOWN_SPEAKER or not isinstance(row["text"], str):
        return
    seeds = [row["seed"]]
    if row["seed"] is not None and row["seed"] == hash_seed(config.seed, row["utterance_id"]):
        seeds.append(None)
    languages = [row["language"]]
    if row["language"] is not None and _resolve(row["text"], config) == row["language"]:
        languages.append(None)
    for seed in seeds:
        for language in languages:
            # Voices that were replaced since are of a later generation.
            yield hash_input({**row, "seed": seed, "language": language}, 0)


def _resolve(text: str, config: Config) -> str | None:
    try:
        return normalize_text(text, language=config.text.language, normalize=False).language
    except UtteranceError:
        return None


class KeptRecords:
    """Reads the records of kept takes; holds the commits that were read last. Thread-safe."""

    def __init__(self, log: CommitLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._commits: OrderedDict[WorkUnit, pa.Table] = OrderedDict()

    def read(
        self, unit: WorkUnit, kept: Mapping[int, KeptTake], hashes: Mapping[int, str]
    ) -> dict[int, dict[str, Any]]:
        """Return the records of kept takes for the rows that have them now.

        Args:
            unit: whose rows they are now.
            kept: by row.
            hashes: of each row, see `hash_input`.
        """
        records = {}
        for row, take in sorted(kept.items(), key=lambda item: (item[1].unit.unit_id, item[1].position)):
            (record,) = self._read_commit(take.unit).slice(take.position, 1).to_pylist()
            records[row] = record | {"shard": unit.shard, "row": row, "input_hash": hashes[row]}
        return records

    def _read_commit(self, unit: WorkUnit) -> pa.Table:
        with self._lock:
            if unit in self._commits:
                self._commits.move_to_end(unit)
                return self._commits[unit]
        commit = self._log.read_whole(unit)
        with self._lock:
            self._commits[unit] = commit
            while len(self._commits) > 1 and sum(table.nbytes for table in self._commits.values()) > _KEPT_BYTES:
                self._commits.popitem(last=False)
        return commit
