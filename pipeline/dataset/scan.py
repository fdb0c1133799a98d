"""What is new in the files of texts: rows are compared with the ledger, not files, and only what differs is looked at.

A row costs two hashes, or none where its file is as it was. Of what differs forty bytes are kept, until its turn comes
to be read.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.dataset.ledger import Ledger
from pipeline.dataset.normal_form import HASH_BYTES
from pipeline.dataset.text_hashes import TEXTS, TextHashes
from pipeline.dataset.texts import TextFile, Texts, read_texts
from pipeline.errors import ConfigError, ManifestError

_ROWS_AT_ONCE = 1_024
_FEW_CORRECTIONS = 20
"""That are never too many."""
_MAX_CONTRADICTIONS = 5
"""That are told of."""


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text, as it was written."""

    key: bytes
    """Which text."""
    content: bytes
    """What it says."""
    source: str
    text_id: str
    text: str | None
    language: str | None
    license: str | None
    extra: Mapping[str, str | None]
    earlier: int
    """Its row in the ledger, -1 where it is new."""
    is_returning: bool = False
    """Whether it says what the ledger has, and whoever read it was withdrawn."""

    @property
    def is_correction(self) -> bool:
        """Whether the ledger has another text under its id."""
        return self.earlier >= 0 and not self.is_returning


@dataclass(frozen=True)
class Contradiction:
    """Two rows of one id that say different things, by file and row."""

    counted: tuple[int, int]
    left_out: tuple[int, int]


@dataclass
class Scan:
    """What differs from the ledger, in the order in which it is to be planned."""

    files: Sequence[TextFile]
    hashes: TextHashes
    num_rows: int = 0
    """Of all files."""
    num_unchanged: int = 0
    """Rows that the ledger has as they are."""
    num_repeated: int = 0
    """Rows that say what another row of the same id says."""
    num_contradicted: int = 0
    """Rows that say another thing than another row of the same id."""
    contradictions: Sequence[Contradiction] = ()
    """Some of them."""
    keys: bytes = b""
    contents: bytes = b""
    file_numbers: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    row_numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    earlier: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    is_returning: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    order: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Rows of the above: corrections first, then what is new, as the night shuffles it."""

    @property
    def num_corrected(self) -> int:
        """How many begin the order because an earlier night said something else."""
        return int(((self.earlier >= 0) & ~self.is_returning)[self.order].sum())

    def check_corrections(self, most: float) -> None:
        """Refuse corrections of a large part of what earlier nights have: most often nobody meant them.

        Args:
            most: share of the known texts that may be corrected.

        Raises:
            ConfigError: there are more, and more than a few.
        """
        corrected = self.order[: self.num_corrected]
        num_known = self.num_unchanged + len(corrected)
        if len(corrected) <= max(_FEW_CORRECTIONS, most * num_known):
            return
        files = Counter(self.files[number].source.name for number in self.file_numbers[corrected])
        listed = ", ".join(f"{name} {count:,}" for name, count in files.most_common(5))
        raise ConfigError(
            f"{len(corrected):,} of {num_known:,} texts of earlier nights would be corrected, and spoken anew "
            f"({listed}), more than dataset.max_corrected ({most:.0%}): see whether ids moved to other texts, as line "
            "numbers do, or `language`, `text_column` or `id_column` of the source changed; if it is meant, raise the "
            "limit for this night"
        )

    def describe_contradictions(self) -> list[str]:
        """Return which id, which row counts and which is left out, of some contradictions; reads their files again.

        What they say is not told: it would stay in the night's record when the text is withdrawn.
        """
        wanted: dict[int, set[int]] = {}
        for found in self.contradictions:
            wanted.setdefault(found.left_out[0], set()).add(found.left_out[1])
        ids = {(number, row): name for number, rows in wanted.items() for row, name in self._read_ids(number, rows)}
        return [
            f"{self.files[found.left_out[0]].source.name}: {ids.get(found.left_out) or 'a text':.80}: "
            f"{self._describe_place(found.left_out)} says another thing, or in another language, than "
            f"{self._describe_place(found.counted)}, which counts"
            for found in self.contradictions
        ]

    def _read_ids(self, number: int, wanted: set[int]) -> Iterator[tuple[int, str | None]]:
        start, last = 0, max(wanted)
        for texts in read_texts(self.files[number]):
            yield from ((row, texts.ids[row - start]) for row in wanted if start <= row < start + len(texts.texts))
            start += len(texts.texts)
            if start > last:
                return

    def _describe_place(self, place: tuple[int, int]) -> str:
        return f"row {place[1] + 1:,} of {self.files[place[0]].uri}"

    def read(self, first: int, count: int, extra: Sequence[str]) -> Iterator[TextRow]:
        """Read texts whose turn it is; they are held as bytes, some hundred for each, until they are asked for.

        Args:
            first: where in the order they begin.
            count: how many.
            extra: columns to keep.

        Raises:
            ManifestError: a file cannot be read, or its hashes are not those of its texts.
        """
        chosen = self.order[first : first + count]
        by_place = np.lexsort((self.row_numbers[chosen], self.file_numbers[chosen]))
        numbers = self.file_numbers[chosen[by_place]]
        pieces = list[pa.Table]()
        for number in np.unique(numbers):
            rows = self.row_numbers[chosen[by_place[numbers == number]]]
            pieces += _read_some(self.files[number], rows, extra)
        if not pieces:
            return
        table = pa.concat_tables(pieces).combine_chunks()
        places = np.argsort(by_place)
        for start in range(0, len(chosen), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            columns = [_unpack(column) for column in table.take(places[some]).columns]
            for at, values in zip(chosen[some], zip(*columns, strict=True), strict=True):
                yield self._make_row(int(at), values, extra)

    def _make_row(self, at: int, values: Sequence[str | None], extra: Sequence[str]) -> TextRow:
        """Return a row that was read, which must be the one that was hashed, perhaps by an earlier version."""
        file, hashed = self.files[self.file_numbers[at]], slice(at * HASH_BYTES, (at + 1) * HASH_BYTES)
        text_id, text, language, license_, *others = values
        key, content = self.keys[hashed], self.contents[hashed]
        if self.hashes.hash_rows(file, Texts([text_id], [text], [language], [license_])) != (key, content):
            raise ManifestError(
                f"{file.uri}: row {self.row_numbers[at] + 1:,} is not the text that was hashed, though the file is the "
                f"same; delete the folder {TEXTS} of the corpus, then run the same command again"
            )
        return TextRow(
            key=key,
            content=content,
            source=file.source.name,
            text_id=text_id or key.hex()[:16],
            text=text,
            language=language,
            license=license_,
            extra=dict(zip(extra, others, strict=True)),
            earlier=int(self.earlier[at]),
            is_returning=bool(self.is_returning[at]),
        )


def _read_some(file: TextFile, rows: NDArray[np.int64], extra: Sequence[str]) -> Iterator[pa.Table]:
    """Yield id, text, language, license and other columns of some rows of a file, ascending, as bytes."""
    start = 0
    for texts in read_texts(file, extra):
        stop = start + len(texts.texts)
        first, last = np.searchsorted(rows, [start, stop])
        columns = (texts.ids, texts.texts, texts.languages, texts.licenses, *(texts.extra[name] for name in extra))
        yield pa.table(
            [_pack(column, rows[first:last] - start) for column in columns], [*map(str, range(len(columns)))]
        )
        start = stop
        if start > rows[-1]:
            return
    raise ManifestError(
        f"{file.uri}: has no row {rows[-1] + 1:,}, though one was hashed; delete the folder {TEXTS} of the corpus, "
        "then run the same command again"
    )


def _pack(values: Sequence[str | None], rows: NDArray[np.int64]) -> pa.Array:
    """Return some texts as bytes, which may hold half a character, as strings of Arrow may not."""
    some = (values[at] for at in rows)
    return pa.array(
        [None if value is None else value.encode("utf-8", "surrogatepass") for value in some], pa.large_binary()
    )


def _unpack(column: pa.ChunkedArray) -> list[str | None]:
    return [None if value is None else value.decode("utf-8", "surrogatepass") for value in column.to_pylist()]


def scan_texts(files: Sequence[TextFile], ledger: Ledger, hashes: TextHashes, night: str) -> Scan:
    """Hash all texts, and find those that the ledger has not.

    Args:
        files: in order.
        ledger: of all other nights.
        hashes: of rows.
        night: shuffles what is new.

    Raises:
        ManifestError: a file cannot be read.
    """
    scan = Scan(files, hashes)
    keys, contents = bytearray(), bytearray()
    file_numbers, row_numbers, earlier = array("i"), array("q"), array("q")
    current = _Current.of(len(ledger))
    for number, file in enumerate(files):
        start = 0
        for batch_keys, batch_contents in hashes.read(file):
            rows = ledger.keys.find(batch_keys)
            same = ledger.is_content(rows, batch_contents)
            same[same] = ~ledger.is_orphan[rows[same]]
            num_new = current.note(rows, same, number, start)
            scan.num_unchanged += num_new
            scan.num_repeated += int(same.sum()) - num_new
            for at in np.flatnonzero(~same):
                keys += batch_keys[at * HASH_BYTES : (at + 1) * HASH_BYTES]
                contents += batch_contents[at * HASH_BYTES : (at + 1) * HASH_BYTES]
                file_numbers.append(number)
                row_numbers.append(start + int(at))
                earlier.append(int(rows[at]))
            start += len(same)
        scan.num_rows += start
    hashes.drop_others(files)
    scan.keys, scan.contents = bytes(keys), bytes(contents)
    scan.file_numbers, scan.row_numbers = np.array(file_numbers, np.int32), np.array(row_numbers, np.int64)
    scan.earlier = np.array(earlier, np.int64)
    scan.is_returning = ledger.is_content(scan.earlier, scan.contents)
    _put_in_order(scan, current, night)
    return scan


@dataclass(frozen=True)
class _Current:
    """Where the texts of the ledger stand in the files; -1 where they do not."""

    files: NDArray[np.int32]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, count: int) -> _Current:
        return cls(np.full(count, -1, np.int32), np.zeros(count, np.int64))

    def note(self, rows: NDArray[np.int64], same: NDArray[np.bool_], number: int, start: int) -> int:
        """Note the rows of a file that say what the ledger says; return how many were not seen before."""
        places = np.flatnonzero(same)
        known, first = np.unique(rows[places], return_index=True)
        is_new = self.files[known] < 0
        self.files[known[is_new]] = number
        self.rows[known[is_new]] = start + places[first[is_new]]
        return int(is_new.sum())


def _put_in_order(scan: Scan, current: _Current, night: str) -> None:
    """Choose one row for each text, and shuffle them.

    Of rows that contradict each other the one that the ledger has counts, else the first: a night must not correct
    what the night before it corrected.
    """
    keys = np.frombuffer(scan.keys, ">u8").reshape(-1, 2)
    contents = np.frombuffer(scan.contents, np.uint8).reshape(-1, HASH_BYTES)
    grouped = np.lexsort((np.arange(len(keys)), ~scan.is_returning, keys[:, 1], keys[:, 0]))
    ordered = keys[grouped]
    is_first = np.ones(len(keys), np.bool_)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    firsts = grouped[is_first]
    leader = firsts[np.cumsum(is_first) - 1] if len(keys) else firsts
    others = grouped[~is_first]
    repeats = (contents[others] == contents[leader[~is_first]]).all(axis=1)
    known = (
        (scan.earlier[firsts] >= 0) & (current.files[scan.earlier[firsts]] >= 0) if len(current.files) else firsts < 0
    )
    scan.num_repeated += int(repeats.sum())
    scan.num_contradicted = int((~repeats).sum()) + int(known.sum())
    left_out = np.concatenate([firsts[known], others[~repeats]])
    counted = np.concatenate([firsts[known], leader[~is_first][~repeats]])
    some = np.argsort(left_out, kind="stable")[:_MAX_CONTRADICTIONS]
    scan.contradictions = [_pair(scan, current, *pair) for pair in zip(counted[some], left_out[some], strict=True)]
    chosen = firsts[~known]
    seed = int.from_bytes(hashlib.blake2b(night.encode(), digest_size=8).digest(), "big")
    ranks = _shuffle(keys[chosen, 0].astype(np.uint64), seed)
    is_new = (scan.earlier[chosen] < 0) | scan.is_returning[chosen]
    scan.order = chosen[np.lexsort((ranks, is_new))].astype(np.int64)


def _pair(scan: Scan, current: _Current, counted: int, left_out: int) -> Contradiction:
    """Return the places of two rows; that of the ledger's own where it has the text."""
    earlier = int(scan.earlier[counted])
    place = (int(scan.file_numbers[counted]), int(scan.row_numbers[counted]))
    if earlier >= 0 and current.files[earlier] >= 0:
        place = (int(current.files[earlier]), int(current.rows[earlier]))
    return Contradiction(place, (int(scan.file_numbers[left_out]), int(scan.row_numbers[left_out])))


def _shuffle(values: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """Return other numbers for hashes, another for each seed (the last steps of splitmix64)."""
    mixed = values ^ np.uint64(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
