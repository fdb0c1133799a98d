"""The data files of a snapshot: Parquet of a size that others like to fetch, in row groups that a viewer can page.

Equal rows give equal bytes: nothing in a file tells when it was written, and a file's name holds its hash.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.rows import SplitRows, add_clips
from pipeline.errors import DamagedCommit
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.output.commit_file import packed_parquet_options
from pipeline.storage import Storage

_GROUP_ROWS, _GROUP_BYTES = 100, 16 << 20
"""Of a row group at most: what a viewer fetches to show a page."""
_CUT_AT, _REST = 0.75, 0.5
"""A file is cut at this share of its size, unless less than this share would be left for the next: so that files have
half of the size to five quarters of it."""


@dataclass(frozen=True)
class DataFile:
    """One data file of a snapshot."""

    path: str
    """Below the corpus."""
    split: str
    night: str
    num_rows: int
    duration_s: float
    size: int
    sha256: str


def name_by_content(stem: str, suffix: str, data: bytes) -> str:
    """Return the name of an object, which holds its hash."""
    return f"{stem}-{hashlib.sha256(data).hexdigest()[:12]}{suffix}"


def put_by_content(storage: Storage, folder: str, stem: str, suffix: str, data: bytes) -> tuple[str, str]:
    """Put an object whose name holds its hash; one that is there already is left as it is.

    Returns:
        its path and the sha256 of its bytes.
    """
    path = f"{folder}/{name_by_content(stem, suffix, data)}"
    found = storage.find(path)
    if found is None or found.size != len(data):
        storage.put(path, data)
    return path, hashlib.sha256(data).hexdigest()


@dataclass
class _OpenFile:
    """Rows of a split that are not in a file yet."""

    seconds_left: float
    """Of the split, those that wait here included."""
    number: int = 0
    sink: io.BytesIO | None = None
    writer: pq.ParquetWriter | None = None
    num_rows: int = 0
    duration_s: float = 0.0
    waiting: list[pa.Table] = field(default_factory=list)
    num_waiting: int = 0
    bytes_waiting: int = 0


class DataWriter:
    """Writes the rows of one night, which come in their order, split by split; holds one file of each split in memory.

    Args:
        storage: the corpus.
        folder: below it, for the files.
        night: of the rows.
        size: bytes of a file, about.
        seconds: of audio that each split will get, which says how large the last files will be.
    """

    def __init__(self, storage: Storage, folder: str, night: str, size: float, seconds: Mapping[str, float]) -> None:
        self._storage, self._folder, self._night, self._size = storage, folder, night, size
        self._open = {split: _OpenFile(left) for split, left in seconds.items()}
        self.files: list[DataFile] = []

    def add(self, split: str, rows: SplitRows) -> None:
        """Take in the next rows of a split."""
        table, file = add_clips(rows), self._open[split]
        durations = rows.table.column("duration").to_pylist()
        for at, clip in enumerate(rows.clips):
            if file.num_waiting == _GROUP_ROWS or (file.waiting and file.bytes_waiting + len(clip) > _GROUP_BYTES):
                self._write_group(split, file)
            file.waiting.append(table.slice(at, 1))
            file.num_waiting += 1
            file.bytes_waiting += len(clip)
            file.duration_s += durations[at] or 0.0
            file.seconds_left -= durations[at] or 0.0

    def number(self, split: str, number: int) -> None:
        """Let the next file of a split have this number."""
        self._open[split].number = number

    def finish(self) -> list[DataFile]:
        """Write what is left; return all files."""
        for split, file in self._open.items():
            if file.waiting:
                self._write_group(split, file)
            self._close(split, file)
        return sorted(self.files, key=lambda found: found.path)

    def _write_group(self, split: str, file: _OpenFile) -> None:
        group = pa.concat_tables(file.waiting)
        if file.writer is None:
            file.sink = io.BytesIO()
            file.writer = pq.ParquetWriter(
                file.sink, group.schema, write_page_index=True, **packed_parquet_options(group.schema)
            )
        file.writer.write_table(group, row_group_size=group.num_rows)
        file.num_rows += group.num_rows
        file.waiting, file.num_waiting, file.bytes_waiting = [], 0, 0
        assert file.sink is not None
        size = file.sink.tell()
        rest = size * file.seconds_left / file.duration_s if file.duration_s else 0.0
        if size >= _CUT_AT * self._size and rest >= _REST * self._size:
            self._close(split, file)

    def _close(self, split: str, file: _OpenFile) -> None:
        if file.writer is None or file.sink is None:
            return
        file.writer.close()
        data = file.sink.getvalue()
        stem = f"{split}-{self._night}-{file.number:05d}"
        path, sha256 = put_by_content(self._storage, f"{self._folder}/data", stem, ".parquet", data)
        self.files.append(DataFile(path, split, self._night, file.num_rows, file.duration_s, len(data), sha256))
        file.sink = file.writer = None
        file.number += 1
        file.num_rows, file.duration_s = 0, 0.0


def read_rows(storage: Storage, path: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield the row groups of a data file one by one, in order.

    Args:
        storage: the corpus.
        path: of the file.
        columns: only these, where the file has them; none reads all, clips included.

    Raises:
        DamagedCommit: it is missing or damaged.
    """
    info = storage.find(path)
    if info is None:
        raise DamagedCommit(f"{storage.uri_of(path)}: missing; put back a copy of it")
    try:
        with pq.ParquetFile(storage.open_input(info), pre_buffer=True) as file:
            known = file.schema_arrow.names
            wanted = known if columns is None else [name for name in columns if name in known]
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, wanted, use_threads=False)
    except DAMAGED_PARQUET as error:
        detail = " ".join(str(error).split())[:200]
        raise DamagedCommit(f"{storage.uri_of(path)}: damaged ({detail}); put back a copy of it") from error
