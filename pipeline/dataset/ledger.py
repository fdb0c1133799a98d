"""The texts that a corpus has seen, night by night, as hashes: what is new, what was corrected, what was said before.

A ledger holds no text. A night reads the hashes of all ledgers, some 64 bytes a text, and of the rest only what
belongs to texts that were corrected.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.config.dataset import Split
from pipeline.dataset.corpus import LEDGER, Corpus
from pipeline.dataset.normal_form import HASH_BYTES
from pipeline.errors import ConfigError
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.output.tombstones import Tombstones

PLANNED = "planned"
DUPLICATE, REPEATED = DUPLICATES = ("duplicate_of_earlier_night", "duplicate_in_night")
HASH = pa.binary(HASH_BYTES)
_HASHES = ("key", "content", "spoken", "written")
LEDGER_SCHEMA = pa.schema(
    [
        # Which text: its source and id; and what it says, as it was written.
        pa.field("key", HASH, nullable=False),
        pa.field("content", HASH, nullable=False),
        # Its words as they are spoken, and as they are written; null where nobody may say them.
        pa.field("spoken", HASH),
        pa.field("written", HASH),
        # `planned`, or why not.
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("voices", pa.list_(pa.string())),
        # The rows of earlier nights that it takes the place of.
        pa.field("supersedes", pa.list_(pa.string())),
    ]
)
_COUNTS_KEY = b"spark_tts_batch.plan"
_THREADS = 8


class HashIndex:
    """Finds hashes among many: 24 bytes each.

    Args:
        hashes: (n,) of `HASH_BYTES` each, as bytes one after another; of equal ones the last counts.
    """

    def __init__(self, hashes: bytes | NDArray[np.uint8]) -> None:
        pairs = np.frombuffer(hashes, ">u8").reshape(-1, 2)
        high = pairs[:, 0].astype(np.uint64)
        self._rows = np.argsort(high, kind="stable").astype(np.int64)
        self._high, self._low = high[self._rows], pairs[:, 1].astype(np.uint64)[self._rows]

    def __len__(self) -> int:
        return len(self._high)

    def is_last(self) -> NDArray[np.bool_]:
        """Tell which rows are found: (n,), false for those whose hash a later row has."""
        is_last = np.ones(len(self), np.bool_)
        same = (self._high[1:] == self._high[:-1]) & (self._low[1:] == self._low[:-1])
        is_last[self._rows[:-1][same]] = False
        return is_last

    def find(self, hashes: bytes) -> NDArray[np.int64]:
        """Return the row of each hash, -1 where there is none.

        Args:
            hashes: as bytes one after another.
        """
        pairs = np.frombuffer(hashes, ">u8").reshape(-1, 2)
        high, low = pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)
        found = np.full(len(high), -1, np.int64)
        if len(self._high) == 0:
            return found
        at = np.searchsorted(self._high, high, side="right") - 1
        left = np.arange(len(high))
        while len(left):  # Once more for each hash whose first half is that of another.
            left = left[(at[left] >= 0) & (self._high[np.maximum(at[left], 0)] == high[left])]
            same = self._low[at[left]] == low[left]
            found[left[same]] = self._rows[at[left[same]]]
            left = left[~same]
            at[left] -= 1
        return found


@dataclass(frozen=True)
class Earlier:
    """A text of an earlier night."""

    night: str
    outcome: str
    version: int
    split: Split | None
    voices: tuple[str, ...]


class _Said:
    """Finds texts by the hashes of their words.

    Args:
        rows: (n,) of the texts, in a ledger.
        spoken: (m, HASH_BYTES) of all rows of the ledger.
        written: the same.
    """

    def __init__(self, rows: NDArray[np.int64], spoken: NDArray[np.uint8], written: NDArray[np.uint8]) -> None:
        self.rows = rows
        self._index = HashIndex(np.concatenate([spoken[rows], written[rows]]))

    def find(self, hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return (k,) the row of each text that has one of the (k, HASH_BYTES) hashes, or -1."""
        found = self._index.find(hashes.tobytes())
        found[found >= 0] = self.rows[found[found >= 0] % max(len(self.rows), 1)]
        return found

    def find_any(self, hashes: Iterable[bytes]) -> int | None:
        """Return the row of the first hash that a text has, or None."""
        found = self.find(np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, HASH_BYTES))
        return next((int(row) for row in found if row >= 0), None)


class Ledger:
    """All ledgers of a corpus but that of one night.

    Args:
        corpus: whose.
        nights: those that count, in order.
        tombstones: of its output: texts that only withdrawn speakers read are read by nobody.
    """

    def __init__(self, corpus: Corpus, nights: Sequence[str], tombstones: Tombstones | None = None) -> None:
        self._corpus, self._nights = corpus, tuple(nights)
        self.tombstones = tombstones or Tombstones()
        with ThreadPoolExecutor(_THREADS) as pool:
            tables = list(pool.map(lambda night: _read(corpus, night, (*_HASHES, "outcome")), self._nights))
        self._starts = np.cumsum([0, *(table.num_rows for table in tables)])
        self.keys = HashIndex(b"".join(join_hashes(table, "key") for table in tables))
        """Of texts, by row; those of a text that was corrected are found by its last version."""
        self.content = b"".join(join_hashes(table, "content") for table in tables)
        is_planned, is_duplicate, is_orphan = (
            np.concatenate([np.empty(0, np.bool_), *found])
            for found in (
                [pc.equal(table["outcome"], PLANNED).to_numpy() for table in tables],
                [pc.is_in(table["outcome"], pa.array(DUPLICATES)).to_numpy() for table in tables],
                [self._find_orphans(*pair) for pair in zip(self._nights, tables, strict=True)],
            )
        )
        spoken, written = (
            np.frombuffer(b"".join(join_hashes(table, name) for table in tables), np.uint8).reshape(-1, HASH_BYTES)
            for name in ("spoken", "written")
        )
        self._planned = _Said(np.flatnonzero(is_planned), spoken, written)
        """Texts that were planned at any time: they stay in their split for ever."""
        is_last = self.keys.is_last()
        self._read = _Said(np.flatnonzero(is_planned & is_last), spoken, written)
        """Those that were not corrected since: these say something else now."""
        duplicates = np.flatnonzero(is_duplicate & is_last)
        is_free = (self._read.find(spoken[duplicates]) < 0) & (self._read.find(written[duplicates]) < 0)
        self.is_orphan = is_orphan
        """(n,) Texts that nobody reads any more, so that they may be planned anew: a speaker's withdrawal concerns the
        voice, and a duplicate is none once the other text was corrected."""
        self.is_orphan[duplicates[is_free]] = True
        self._read_content: HashIndex | None = None
        self._kept: dict[str, pa.Table] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _find_orphans(self, night: str, table: pa.Table) -> NDArray[np.bool_]:
        """Tell which texts of a night only withdrawn speakers read; who read is looked up where one of them did."""
        withdrawn = self.tombstones.ids("speaker")
        counts = json.loads((table.schema.metadata or {}).get(_COUNTS_KEY, b"{}")) if withdrawn else {}
        if not withdrawn.intersection(counts.get("speakers", ())):
            return np.zeros(table.num_rows, np.bool_)
        voices = _read(self._corpus, night, ["voices"])["voices"].combine_chunks()
        left = pc.invert(pc.is_in(pc.list_flatten(voices), pa.array(sorted(withdrawn), pa.string()))).to_numpy(False)
        num_left = np.bincount(pc.list_parent_indices(voices).to_numpy()[left], minlength=table.num_rows)
        return np.asarray((num_left == 0) & pc.equal(table["outcome"], PLANNED).to_numpy(), np.bool_)

    def is_content(self, rows: NDArray[np.int64], content: bytes) -> NDArray[np.bool_]:
        """Tell which rows say what is given; -1 says nothing.

        Args:
            rows: (n,) of this ledger.
            content: hashes as bytes one after another.
        """
        known = np.frombuffer(self.content, np.uint8).reshape(-1, HASH_BYTES)
        given = np.frombuffer(content, np.uint8).reshape(-1, HASH_BYTES)
        same = np.zeros(len(rows), np.bool_)
        at = np.flatnonzero(rows >= 0)
        same[at] = (known[rows[at]] == given[at]).all(axis=1)
        return same

    def find_read(self, hashes: Iterable[bytes]) -> int | None:
        """Return the row of a text that was planned, says so still, and has one of these hashes of words, or None."""
        return self._read.find_any(hashes)

    def find_planned(self, hashes: Iterable[bytes]) -> int | None:
        """Return the row of a text that was planned at any time and has one of these hashes of words, or None."""
        return self._planned.find_any(hashes)

    def find_content(self, content: bytes) -> int | None:
        """Return the row of a text that was planned and is written just so, or None."""
        if self._read_content is None:
            known = np.frombuffer(self.content, np.uint8).reshape(-1, HASH_BYTES)
            self._read_content = HashIndex(known[self._read.rows])
        found = int(self._read_content.find(content)[0])
        return None if found < 0 else int(self._read.rows[found])

    def key_of(self, row: int) -> bytes:
        """Return which text a row is of."""
        night, at = self._place(row)
        return bytes(self._rest(night)["key"][at].as_py())

    def read(self, row: int) -> Earlier:
        """Return all that is known of a row; reads the ledger of its night."""
        night, at = self._place(row)
        fields = self._rest(night).slice(at, 1).to_pylist()[0]
        return Earlier(night, fields["outcome"], fields["version"], fields["split"], tuple(fields["voices"] or ()))

    def _place(self, row: int) -> tuple[str, int]:
        index = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._nights[index], int(row - self._starts[index])

    def _rest(self, night: str) -> pa.Table:
        if night not in self._kept:
            if len(self._kept) >= _THREADS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[night] = _read(self._corpus, night, ("key", "outcome", "version", "split", "voices"))
        return self._kept[night]


def join_hashes(table: pa.Table, name: str) -> bytes:
    """Return a column of hashes as bytes one after another; zeros where there is none."""
    column = table[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # Of no rows.
        return b""
    if column.null_count:
        column = column.fill_null(bytes(HASH_BYTES))
    return bytes(column.buffers()[1])[column.offset * HASH_BYTES :][: len(column) * HASH_BYTES]


def _read(corpus: Corpus, night: str, columns: Sequence[str] | None) -> pa.Table:
    path = f"{LEDGER}{night}.parquet"
    info = corpus.storage.find(path)
    if info is None:
        raise ConfigError(
            f"{corpus.storage.uri_of(path)}: missing, though the night's manifest is there; put back a copy of it, "
            "without which texts would be said again"
        )
    try:
        with pq.ParquetFile(corpus.storage.open_input(info), pre_buffer=True) as file:
            if not file.schema_arrow.remove_metadata().equals(LEDGER_SCHEMA):
                raise pa.ArrowInvalid("its columns are not those of a ledger")
            table = file.read(list(columns) if columns is not None else None, use_threads=False)
        table.validate(full=True)
        return table
    except DAMAGED_PARQUET as error:
        raise ConfigError(
            f"{corpus.storage.uri_of(path)}: damaged ({' '.join(str(error).split())[:200]}); put back a copy of it"
        ) from error


def write_ledger(corpus: Corpus, night: str, table: pa.Table, counts: Mapping[str, Any]) -> None:
    """Write what a night has seen, before its manifest, without which it does not count.

    Args:
        corpus: whose.
        night: which.
        table: of `LEDGER_SCHEMA`.
        counts: what the plan says of itself.
    """
    table = table.replace_schema_metadata({_COUNTS_KEY: json.dumps(counts, default=str).encode()})
    sink = pa.BufferOutputStream()
    plain = [name for name in LEDGER_SCHEMA.names if name not in _HASHES]
    compression = {**dict.fromkeys(_HASHES, "none"), **dict.fromkeys(_leaves(plain), "zstd")}
    pq.write_table(table, sink, compression=compression, use_dictionary=_leaves(plain), write_statistics=False)
    corpus.storage.put(f"{LEDGER}{night}.parquet", bytes(sink.getvalue().to_pybytes()))


def _leaves(names: Sequence[str]) -> list[str]:
    return [f"{name}.list.element" if pa.types.is_list(LEDGER_SCHEMA.field(name).type) else name for name in names]


def read_counts(corpus: Corpus, night: str) -> dict[str, Any]:
    """Return what the plan of a night says of itself.

    Raises:
        ConfigError: the ledger is missing or damaged.
    """
    path = f"{LEDGER}{night}.parquet"
    try:
        schema = pq.read_schema(pa.BufferReader(corpus.storage.get(path)))
        counts = json.loads((schema.metadata or {})[_COUNTS_KEY])
        return dict(counts)
    except (FileNotFoundError, KeyError, ValueError, TypeError, *DAMAGED_PARQUET) as error:
        raise ConfigError(f"{corpus.storage.uri_of(path)}: missing or damaged; put back a copy of it") from error


def read_superseded(corpus: Corpus, until: str) -> dict[str, str]:
    """Return the rows that later texts took the place of: the night on which that was, by utterance_id.

    Args:
        corpus: whose.
        until: the last night that counts.

    Raises:
        ConfigError: a ledger is missing or damaged.
    """
    nights = [night for night in corpus.list_nights() if night <= until]
    superseded: dict[str, str] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for night, table in zip(
            nights, pool.map(lambda name: _read(corpus, name, ["supersedes"]), nights), strict=True
        ):
            ids = table["supersedes"].drop_null().to_pylist()
            superseded |= {utterance_id: night for group in ids for utterance_id in group}
    return superseded
