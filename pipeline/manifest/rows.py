"""Read, check and plan a manifest of Parquet shards: what there is to synthesize, in which units.

Knows nothing of audio, replicas or what is already done. Planning reads footers and one column of ids; the rows
themselves are read by row group, never a shard whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.config.manifest import OWN_COLUMNS, REQUIRED_COLUMNS, Reading
from pipeline.config.run import StorageConfig
from pipeline.errors import ManifestError, RejectionCode, UtteranceError
from pipeline.manifest.conversion import convert_tables
from pipeline.manifest.forms import PARQUET, suffix_of_form
from pipeline.manifest.shards import (
    Shard,
    ShardReader,
    find_name_clashes,
    find_shards,
    open_shard,
    to_strings,
    unify_extra_columns,
)
from pipeline.manifest.units import WorkUnit, count_units, plan_units
from pipeline.storage import ObjectInfo, Storage

MAX_ID_BYTES = 4_096
MAX_NAME_BYTES = 200
_MAX_PROBLEMS = 20
_HASHES_PER_PASS = 48_000_000
"""8 bytes each: a pass over the ids stays under 400 MB however large the manifest is."""
_SUSPECTS_PER_PASS = 1_000_000


@dataclass(frozen=True)
class Utterance:
    """One manifest row: a text to be spoken by one voice into one WAV."""

    utterance_id: str
    text: str
    speaker_id: str
    seed: int | None = None
    """In [0, 2**63); none derives it from the run's seed and the id."""
    language: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Columns that are passed through."""

    @classmethod
    def from_mapping(cls, row: Mapping[str, Any]) -> Utterance:
        """Check one row; raises `UtteranceError` with the code of what is wrong."""
        return read_utterance(row)


def utterance_seed(utterance: Utterance, run_seed: int) -> int:
    """Return the manifest's own seed, else one that follows from the run's seed and the id; in [0, 2**63)."""
    return utterance.seed if utterance.seed is not None else hash_seed(run_seed, utterance.utterance_id)


def hash_seed(*parts: int | str) -> int:
    """Mix integers and strings into a seed in [0, 2**63), the same on every machine and Python."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = str(part).encode("utf-8", "surrogatepass")
        # The length in front keeps ("ab", "c") and ("a", "bc") apart.
        digest.update(f"{type(part).__name__}{len(encoded)}:".encode())
        digest.update(encoded)
    return int.from_bytes(digest.digest(), "big") >> 1


class RowReader:
    """Reads the rows of units that carry their shard; small, however large the manifest. Pickles without open files."""

    def __init__(self, storage: Storage, extra: Sequence[pa.Field]) -> None:
        self._storage = storage
        self._extra = tuple(extra)
        self._shards = ShardReader(storage)

    def __reduce__(self) -> tuple[type[RowReader], tuple[Storage, tuple[pa.Field, ...]]]:
        return (RowReader, (self._storage, self._extra))

    def read_rows(self, unit: WorkUnit, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a unit's rows, and no row group that holds none of them.

        Args:
            unit: one that carries its shard, as `Manifest.locate` gives it.
            columns: only these, where the shard has them; none reads all.

        Returns:
            one row for each manifest row. The required columns are `string`; bytes in them that are not UTF-8 are
            replaced by U+FFFD. Other columns are those of the manifest, in the same order in every unit.

        Raises:
            ObjectChanged: the shard has other bytes than when it was opened, or is gone.
            ManifestError: the shard is damaged.
        """
        if unit.rows is not None:
            table = unit.rows
        else:
            assert unit.source is not None, unit.unit_id
            table = self._shards.read(unit.source, unit.first_row, unit.last_row)
        if columns is not None:
            table = table.select([name for name in table.column_names if name in columns])
        else:
            table = self._complete(table)
        for name in OWN_COLUMNS:
            if name in table.column_names and name != "seed":
                index = table.column_names.index(name)
                table = table.set_column(index, pa.field(name, pa.string()), to_strings(table.column(name)))
        return table

    def _complete(self, table: pa.Table) -> pa.Table:
        """Give the extra columns the order and type that they have in all shards, so that all commits read as one."""
        found = table.column_names
        completed = table.select([name for name in OWN_COLUMNS if name in found])
        for extra in self._extra:
            if extra.name not in found:
                completed = completed.append_column(extra, pa.nulls(table.num_rows, extra.type))
            else:
                completed = completed.append_column(extra, table.column(extra.name).cast(extra.type))
        return completed


class Manifest:
    """The shards of a run, sorted by name. Thread-safe; pickles without its open files."""

    def __init__(self, storage: Storage, shards: Sequence[Shard], columns: pa.Schema | None = None) -> None:
        self.shards = tuple(sorted(shards, key=lambda shard: shard.name))
        self._columns = columns
        self._storage = storage
        self._by_name = {shard.name: shard for shard in self.shards}
        self._reader = ShardReader(storage)
        self._some_columns = RowReader(storage, ())

    def __reduce__(self) -> tuple[type[Manifest], tuple[Storage, tuple[Shard, ...], pa.Schema | None]]:
        return (Manifest, (self._storage, self.shards, self._columns))

    @cached_property
    def rows(self) -> RowReader:
        """What replicas read rows with.

        Raises:
            ManifestError: two shards disagree on a column, and nobody has chosen any.
        """
        columns = unify_extra_columns(self.shards) if self._columns is None else self._columns
        return RowReader(self._storage, columns)

    @classmethod
    def open(
        cls,
        uri: str,
        settings: StorageConfig | None = None,
        reading: Reading | None = None,
        required: Collection[str] = REQUIRED_COLUMNS,
    ) -> Manifest:
        """Find the shards and check their schemas; read files of other forms than shards once, whole.

        Args:
            uri: a file, a folder or a glob (`*`, `?`, `[...]`, `**`), local or in a store. In a folder every
                `*.parquet` at any depth counts, or every other table where there is none, except below names that begin
                with `_` or `.`.
            settings: how to reach the store.
            reading: which column is which, and how text is cut.
            required: columns without which a file is refused; another own column has nulls where a file lacks it.

        Raises:
            ManifestError: nothing found, or shards that cannot be used; lists every problem.
        """
        storage, found = find_shards(uri, settings or StorageConfig())
        reading = reading or Reading()
        with ThreadPoolExecutor(8) as pool:
            opened = list(pool.map(lambda info: _open(storage, info, reading, required), found))
        shards = [result for result in opened if isinstance(result, Shard)]
        problems = [result for result in opened if isinstance(result, str)]
        foreign = [result for result in opened if isinstance(result, ObjectInfo)]
        if foreign:
            converted, wrong = convert_tables(storage, foreign, reading, required)
            shards, problems = shards + converted, problems + wrong
        problems += find_name_clashes(shards)
        if problems:
            shown = "\n".join(f"  {text}" for text in problems[:_MAX_PROBLEMS])
            rest = f"\n  and {len(problems) - _MAX_PROBLEMS:,} more" if len(problems) > _MAX_PROBLEMS else ""
            raise ManifestError(f"{uri}: {len(problems):,} problem(s) in {len(found):,} file(s):\n{shown}{rest}")
        return cls(storage, shards)

    @property
    def num_rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.num_rows for shard in self.shards)

    def count_units(self, unit_size: int) -> int:
        """Return how many units of this size there are."""
        return count_units((shard.num_rows for shard in self.shards), unit_size)

    def plan(self, unit_size: int) -> Iterator[WorkUnit]:
        """Yield the units in order; follows from the shards' names and row counts alone.

        Args:
            unit_size: rows of a unit, at least 1; the last one of a shard may have fewer.
        """
        for shard in self.shards:
            yield from plan_units(shard.name, shard.num_rows, unit_size, shard.revision)

    def of_output(self, revisions: Mapping[str, int], columns: pa.Schema | None) -> Manifest:
        """Return this manifest as an output has it.

        Args:
            revisions: of each shard.
            columns: that are passed through; none takes all.
        """
        shards = [replace(shard, revision=revisions[shard.name]) for shard in self.shards]
        return Manifest(self._storage, shards, columns)

    def with_shards(self, shards: Sequence[Shard]) -> Manifest:
        """Return a manifest of other shards at the same place."""
        return Manifest(self._storage, shards, self._columns)

    def read_shard(self, shard: Shard, first_row: int, last_row: int) -> pa.Table:
        """Read rows of a shard as they are, `last_row` included."""
        return self._reader.read(shard, first_row, last_row)

    def read_column(self, shard: Shard, column: str) -> Iterator[pa.Array]:
        """Yield one column of a shard in batches, and read no other."""
        return self._reader.read_column(shard, column)

    def locate(self, unit: WorkUnit) -> WorkUnit:
        """Return a unit of this manifest with its shard, or with its rows where only this process can read them."""
        shard = self._by_name[unit.shard]
        if shard.copy is None:
            return replace(unit, source=shard)
        return replace(unit, rows=self._reader.read(shard, unit.first_row, unit.last_row))

    def read_rows(self, unit: WorkUnit, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the rows of a unit of this manifest's plan; see `RowReader.read_rows`."""
        # Whoever names columns of his own needs no table of all.
        reader = self.rows if columns is None else self._some_columns
        return reader.read_rows(self.locate(unit), columns)

    def check_unchanged(self) -> None:
        """Compare the shards with what they were when they were opened.

        Raises:
            ObjectChanged: one has other bytes by now, or is gone.
        """
        self._reader.check_unchanged(self.shards)

    def has_speaker(self, shard: Shard, speaker_ids: Collection[str]) -> bool:
        """Tell whether a shard has a row of one of these speakers; reads that column alone."""
        wanted = pa.array(list(speaker_ids), pa.string())
        columns = self._reader.read_column(shard, "speaker_id")
        return any(pc.any(pc.is_in(to_strings(column), wanted)).as_py() for column in columns)

    def find_duplicates(self, shard_order: Sequence[str] = ()) -> dict[str, list[int]]:
        """Find the rows whose id an earlier row has (by shard, then row); null ids are left out.

        Args:
            shard_order: names of shards that come before all others, in this order; those that a run had before its
                manifest grew, as their rows may be committed.

        Reads the id column alone, twice where ids are suspected. Memory is bounded: 8 bytes an id and at most
        48 million ids a pass; equal hashes are compared by a 128-bit digest of the id.

        Returns:
            shard name to rows, ascending; shards without any are left out.
        """
        num_passes = max(1, -(-self.num_rows // _HASHES_PER_PASS))
        suspects = np.concatenate([self._find_suspects(part, num_passes) for part in range(num_passes)])
        ranks = {name: rank for rank, name in enumerate(shard_order)}
        shards = sorted(self.shards, key=lambda shard: ranks.get(shard.name, len(ranks)))
        duplicates: dict[str, list[int]] = {}
        for start in range(0, len(suspects), _SUSPECTS_PER_PASS):
            self._confirm(np.sort(suspects[start : start + _SUSPECTS_PER_PASS]), shards, duplicates)
        return {name: sorted(rows) for name, rows in duplicates.items()}

    def has_any_id(self, ids: Collection[str]) -> bool:
        """Tell whether a row has one of these ids; reads the id column alone, until one is found."""
        wanted = frozenset(ids)
        return any(not wanted.isdisjoint(batch) for _, _, batch in self._read_ids())

    def find_ids(self, ids: Collection[str]) -> dict[str, tuple[Shard, int]]:
        """Find the first row of each id; reads the id column alone, until all are found.

        Returns:
            shard and row by id; ids that no row has are left out.
        """
        left = set(ids)
        found: dict[str, tuple[Shard, int]] = {}
        for shard, rows, batch in self._read_ids():
            for row, utterance_id in zip(rows, batch, strict=True):
                if utterance_id in left:
                    left.remove(utterance_id)
                    found[utterance_id] = (shard, int(row))
            if not left:
                break
        return found

    def _find_suspects(self, part: int, num_parts: int) -> NDArray[np.uint64]:
        """Return the hashes that occur more than once among those of one part."""
        kept = np.empty(self.num_rows, np.uint64)  # Pages that are never written take no memory.
        count = 0
        for _, _, ids in self._read_ids():
            hashes = _hash_ids(ids)
            if num_parts > 1:
                hashes = hashes[hashes % np.uint64(num_parts) == part]
            kept[count : count + len(hashes)] = hashes
            count += len(hashes)
        kept = kept[:count]
        kept.sort()
        pieces = []
        for start in range(0, count, 1 << 20):
            piece = kept[start : start + (1 << 20) + 1]
            pieces.append(piece[1:][piece[1:] == piece[:-1]])
        return np.unique(np.concatenate(pieces)) if pieces else kept

    def _confirm(self, suspects: NDArray[np.uint64], shards: Sequence[Shard], duplicates: dict[str, list[int]]) -> None:
        seen: set[bytes] = set()
        for shard, rows, ids in self._read_ids(shards):
            hashes = _hash_ids(ids)
            at = np.minimum(np.searchsorted(suspects, hashes), len(suspects) - 1)
            for index in np.nonzero(suspects[at] == hashes)[0]:
                digest = hashlib.blake2b(ids[index].encode("utf-8", "surrogatepass"), digest_size=16).digest()
                if digest in seen:
                    duplicates.setdefault(shard.name, []).append(int(rows[index]))
                seen.add(digest)

    def _read_ids(self, shards: Sequence[Shard] | None = None) -> Iterator[tuple[Shard, NDArray[np.int64], list[str]]]:
        """Yield row numbers and ids of one batch after the other, without null ids."""
        for shard in self.shards if shards is None else shards:
            first = 0
            for batch in self._reader.read_column(shard, "utterance_id"):
                ids = to_strings(batch).to_pylist()
                rows = np.arange(first, first + len(ids), dtype=np.int64)
                first += len(ids)
                if batch.null_count:
                    valid = [index for index, text in enumerate(ids) if text is not None]
                    rows, ids = rows[valid], [ids[index] for index in valid]
                yield shard, rows, ids


def _open(storage: Storage, info: ObjectInfo, reading: Reading, required: Collection[str]) -> Shard | ObjectInfo | str:
    """Return the shard that a file is; the file itself if it must be converted; or what is wrong with it."""
    if suffix_of_form(info.path) not in (PARQUET, None):
        return info
    try:
        shard, differences = open_shard(storage, info)
    except ManifestError as error:
        return str(error)
    renamed = any(name != source for name, source in reading.columns.sources.items())
    return info if differences or renamed or reading.default_speaker is not None else shard


def read_utterance(row: Mapping[str, Any]) -> Utterance:
    """Check one row of a manifest.

    Args:
        row: the columns by name.

    Raises:
        UtteranceError: `invalid_id`, `empty_text`, `unknown_speaker`, `invalid_seed` or `unsupported_language`.
    """
    utterance_id, text, speaker_id = (row.get(name) for name in REQUIRED_COLUMNS)
    if not isinstance(utterance_id, str) or not utterance_id.strip():
        raise UtteranceError(RejectionCode.INVALID_ID, f"utterance_id is {utterance_id!r}; expected a name of your own")
    if len(utterance_id.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise UtteranceError(
            RejectionCode.INVALID_ID, f"utterance_id {utterance_id[:40]!r}... is longer than {MAX_ID_BYTES:,} bytes"
        )
    if not isinstance(text, str) or not text.strip():
        raise UtteranceError(RejectionCode.EMPTY_TEXT, f"text is {text!r:.40}; expected words to speak")
    if not isinstance(speaker_id, str) or not speaker_id.strip():
        raise UtteranceError(RejectionCode.UNKNOWN_SPEAKER, f"speaker_id is {speaker_id!r}; expected an enrolled one")
    seed = row.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63):
        raise UtteranceError(RejectionCode.INVALID_SEED, f"seed is {seed!r}; expected an integer from 0 to 2**63 - 1")
    language = row.get("language")
    if language is not None and not isinstance(language, str):
        raise UtteranceError(RejectionCode.UNSUPPORTED_LANGUAGE, f"language is {language!r}; expected en, zh, ...")
    extra = {name: value for name, value in row.items() if name not in OWN_COLUMNS}
    return Utterance(utterance_id, text, speaker_id, seed, language or None, extra)


def safe_file_name(utterance_id: str) -> str:
    """Return a file name that is safe everywhere and tells apart what the ids tell apart.

    Lower-case letters, digits, `.`, `_` and `-` stay; the rest is percent-encoded. An id with upper-case letters, which
    might differ from another in case only, gets `~` and a hash; so does one whose name would be over 200 bytes.
    """
    encoded = utterance_id.encode("utf-8", "surrogatepass")
    name = quote(encoded, safe="").replace("~", "%7E")
    # A leading dot or underscore hides a file from listings and data sets; Windows knows some names and a last dot.
    if name[:1] in (".", "_", "-") or re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)($|\.)", name):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if name.endswith("."):
        name = f"{name[:-1]}%2E"
    digest = hashlib.sha256(encoded).hexdigest()
    if not name or len(name) > MAX_NAME_BYTES:
        return f"{name[:100].rstrip('%')}~{digest[:32]}"
    if any("A" <= letter <= "Z" for letter in re.sub("%..", "", name)):
        return f"{name}~{digest[:16]}"
    return name


def _hash_ids(ids: list[str]) -> NDArray[np.uint64]:
    # Python's own 64-bit hash: keyed anew in every process, which is fine, as it never leaves this one.
    return np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64)
