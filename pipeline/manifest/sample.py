"""Some rows of a manifest, spread over its shards and speakers: what a start with `limit` takes the manifest for.

Which rows they are follows from the manifest alone, and a larger sample holds every smaller one. At most `_WINDOW`
shards are looked at together, one column of them, so that a small sample of a large manifest costs little.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.manifest.rows import Manifest
from pipeline.manifest.shards import Shard, ShardCopy, to_strings
from pipeline.manifest.spool import Spool

_WINDOW = 256
_BLOCK = 4_096
"""Rows of a shard that are read together where several of them are chosen."""
_ROWS_PER_GROUP = 1_024


def take_sample(manifest: Manifest, num_rows: int) -> Manifest:
    """Return a manifest of so many rows of another one; its shards have the same names, and some of their rows."""
    chosen, copies = choose_rows(manifest, num_rows), Spool()
    by_name = {shard.name: shard for shard in manifest.shards}
    return manifest.with_shards([_copy(manifest, by_name[name], rows, copies) for name, rows in chosen.items()])


def choose_rows(manifest: Manifest, num_rows: int) -> dict[str, list[int]]:
    """Return the rows of a sample of this size, ascending, by shard."""
    chosen: dict[str, list[int]] = {}
    for name, row in islice(_draw(manifest), num_rows):
        chosen.setdefault(name, []).append(row)
    return {name: sorted(rows) for name, rows in chosen.items()}


def source_of(fingerprint: str) -> str | None:
    """Return the fingerprint of the shard whose rows a sample's shard has; None of a shard that is whole."""
    found = re.fullmatch(r"(.*)-rows-[0-9a-f]{16}", fingerprint, re.DOTALL)
    return found[1] if found else None


def fingerprint_rows(source: str, rows: Sequence[int]) -> str:
    """Return the fingerprint of a shard's chosen rows."""
    return f"{source}-rows-{hashlib.sha256(np.asarray(rows, '<i8').tobytes()).hexdigest()[:16]}"


def _copy(manifest: Manifest, shard: Shard, rows: Sequence[int], copies: Spool) -> Shard:
    blocks: dict[int, list[int]] = {}
    for row in rows:
        blocks.setdefault(row // _BLOCK, []).append(row)
    parts = []
    for block in blocks.values():
        first = block[0]
        parts.append(manifest.read_shard(shard, first, block[-1]).take(pa.array([row - first for row in block])))
    table = pa.concat_tables(parts)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=_ROWS_PER_GROUP, compression="zstd", compression_level=1)
    start, size = copies.append(sink.getvalue())
    open_copy: Callable[[], pa.NativeFile] = lambda: copies.open(start, size)  # noqa: E731
    of_file = shard.fingerprint if shard.copy is None else shard.copy.fingerprint
    return replace(
        shard,
        num_rows=len(rows),
        fingerprint=fingerprint_rows(shard.fingerprint, rows),
        schema=table.schema,
        copy=ShardCopy(open_copy, of_file),
    )


def _draw(manifest: Manifest) -> Iterator[tuple[str, int]]:
    """Yield the rows of a manifest as (shard, row), so that the first few, however many, lie far apart.

    One of each shard in turn; of its speakers the one who was drawn least, of whose rows those in the widest steps.
    """
    shards = [shard for shard in manifest.shards if shard.num_rows]
    order = [shards[index] for index in spread(len(shards))]
    drawn: Counter[str | None] = Counter()
    with ThreadPoolExecutor(8) as pool:
        for start in range(0, len(order), _WINDOW):
            decks = list(pool.map(lambda shard: _Deck(manifest, shard), order[start : start + _WINDOW]))
            while decks:
                for deck in decks:
                    yield deck.name, deck.draw(drawn)
                decks = [deck for deck in decks if deck]


class _Deck:
    """The rows of a shard that are still to be drawn, by speaker."""

    def __init__(self, manifest: Manifest, shard: Shard) -> None:
        self.name = shard.name
        columns = [to_strings(column) for column in manifest.read_column(shard, "speaker_id")]
        encoded = pa.chunked_array(columns, pa.string()).combine_chunks().dictionary_encode(null_encoding="encode")
        numbers = encoded.indices.to_numpy(zero_copy_only=False)
        rows = np.argsort(numbers, kind="stable").astype(np.int64)
        ends = np.cumsum(np.bincount(numbers, minlength=len(encoded.dictionary)))
        # By how often each was drawn when it was looked at last, then by who comes first in the shard.
        self._waiting = [(0, rank) for rank in range(len(encoded.dictionary))]
        self._speakers: list[str | None] = encoded.dictionary.to_pylist()
        self._rows = [_spread_rows(part) for part in np.split(rows, ends[:-1])]
        self._next = [next(part) for part in self._rows]

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def draw(self, drawn: Counter[str | None]) -> int:
        """Take a row of the speaker who was drawn least, and count it."""
        while self._waiting[0][0] < (count := drawn[self._speakers[self._waiting[0][1]]]):
            heapq.heapreplace(self._waiting, (count, self._waiting[0][1]))
        _, rank = self._waiting[0]
        row, following = self._next[rank], next(self._rows[rank], None)
        drawn[self._speakers[rank]] += 1
        if following is None:
            heapq.heappop(self._waiting)
        else:
            self._next[rank] = following
        return row


def _spread_rows(rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[int]:
    return (int(rows[index]) for index in spread(len(rows)))


def spread(count: int) -> Iterator[int]:
    """Yield the numbers below a count so that the first few, however many, lie far apart: by their bits in reverse."""
    num_bits = max(count - 1, 0).bit_length()
    for number in range(1 << num_bits):
        index = int(f"{number:0{num_bits}b}"[::-1], 2) if num_bits else 0
        if index < count:
            yield index


def find_places(manifest: Manifest, former: Mapping[str, tuple[int, str]]) -> dict[str, list[int]] | None:
    """Return where in a manifest the rows of a sample of it are; None where it is no sample of this very manifest.

    Args:
        manifest: all of it.
        former: number of rows and fingerprint of each shard of what may be a sample.
    """
    whole = {shard.name: shard.fingerprint for shard in manifest.shards}
    if any(name not in whole or source_of(mark) != whole[name] for name, (_, mark) in former.items()):
        return None
    chosen = choose_rows(manifest, sum(num_rows for num_rows, _ in former.values()))
    is_same = {name: fingerprint_rows(whole[name], rows) for name, rows in chosen.items()} == {
        name: mark for name, (_, mark) in former.items()
    }
    return chosen if is_same else None
