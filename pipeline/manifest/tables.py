"""Tables as people have them, row by row: what a file of each form says, and where in it.

Knows nothing of what a column means. A reader never holds more than a batch of rows, nor more of a row than
`MAX_CHARS`; all of it is read from one and the same object, or `ObjectChanged` is raised.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, cast

import pyarrow as pa

from pipeline.config.manifest import TableConfig
from pipeline.config.run import LimitsConfig
from pipeline.errors import ManifestError
from pipeline.manifest.forms import DELIMITED, EXCEL, JSON, PARQUET, TEXT, list_forms, suffix_of_form
from pipeline.manifest.parquet_limits import LimitedParquet, OverLimit
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.storage import ObjectInfo, Storage

MAX_CHARS = 10_000_000
"""Of one line, cell or object: a quote that is never closed takes no more."""
ROWS_AT_ONCE = 2_000
MAX_PROBLEMS = 20
"""That one reading of a file lists."""
_CHARS_AT_ONCE = 16_000_000
_BLOCK_BYTES = 1 << 20
_UNPACK: Mapping[str, Callable[[IO[bytes]], IO[bytes]]] = {
    ".gz": lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file)),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
_DAMAGED = (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of a table, as they were written."""

    columns: Mapping[str, Sequence[Any]]
    """Values by column, all of one length: texts, numbers, lists ...; `pa.Array` where the file has types."""
    numbers: Sequence[int]
    """Where each row is: of its line, or its number."""
    label: str = "line"
    """What the numbers count."""
    is_typed: bool = False
    """Whether a text is one because the file says so; else it may be a number that was written as text."""
    is_complete: bool = True
    """Whether every row of the file has these columns, and no other."""

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.numbers)

    def place(self, index: int) -> str:
        """Return where a row is, for messages: `line 17`."""
        return f"{self.label} {self.numbers[index]:,}"


@dataclass(frozen=True)
class Source:
    """A file to read, for the readers of each form."""

    uri: str
    open: Callable[[], IO[bytes]]
    """Opens it from its beginning, unpacked."""
    table: TableConfig
    limits: LimitsConfig
    suffix: str
    """In lower case, such as `.csv`."""

    def error(self, text: str) -> ManifestError:
        """Return the error that says so of this file."""
        return ManifestError(f"{self.uri}: {text}")

    def check_columns(self, names: Collection[str]) -> None:
        """Raise `ManifestError` if there are more columns than `storage.limits.max_columns`."""
        if len(names) > self.limits.max_columns:
            raise self.error(
                f"{len(names):,} columns, more than storage.limits.max_columns ({self.limits.max_columns:,}); keep "
                "those that are needed, or raise it"
            )


def find_repeated(names: Sequence[str]) -> str | None:
    """Return the first of the names that is there more than once."""
    counts = Counter(names)
    return next((name for name, count in counts.items() if count > 1), None)


@dataclass
class Problems:
    """What is wrong in a file, so that all of it is reported at once."""

    source: Source
    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Note one; raises once there are many."""
        self.texts.append(text)
        if len(self.texts) >= MAX_PROBLEMS:
            raise self._error(" at least")

    def check(self) -> None:
        """Raise `ManifestError` if there are any."""
        if self.texts:
            raise self._error("")

    def _error(self, more: str) -> ManifestError:
        if len(self.texts) == 1:
            return self.source.error(self.texts[0])
        return self.source.error(
            f"{len(self.texts)} problem(s){more}:\n" + "\n".join(f"  {text}" for text in self.texts)
        )


class RowBuffer:
    """Gathers rows of texts into batches that are neither too long nor too large.

    Args:
        names: of the columns.
        label: what the numbers of rows count.
    """

    def __init__(self, names: Sequence[str], label: str = "line") -> None:
        self._names, self._label = names, label
        self._rows: list[Sequence[str]] = []
        self._numbers: list[int] = []
        self._num_chars = 0

    def add(self, row: Sequence[str], number: int) -> Rows | None:
        """Add a row; returns a batch where one is full."""
        self._rows.append(row)
        self._numbers.append(number)
        self._num_chars += sum(map(len, row))
        if len(self._rows) >= ROWS_AT_ONCE or self._num_chars >= _CHARS_AT_ONCE:
            return self.flush()
        return None

    def flush(self) -> Rows:
        """Return the rows that are left, which may be none."""
        cells = zip(*self._rows, strict=True) if self._rows else ([] for _ in self._names)
        rows = Rows(dict(zip(self._names, map(list, cells), strict=True)), self._numbers, self._label)
        self._rows, self._numbers, self._num_chars = [], [], 0
        return rows


class _Blocks(io.RawIOBase):
    """What is opened of a store as a file that Python's readers take."""

    def __init__(self, file: pa.NativeFile) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _reader_of(suffix: str) -> Callable[[Source], Iterator[Rows]]:
    # Here, as the readers of each form need what is above.
    from pipeline.manifest import delimited, json_rows, spreadsheet

    readers: list[tuple[Sequence[str], Callable[[Source], Iterator[Rows]]]] = [
        (DELIMITED, delimited.read_delimited),
        (TEXT, delimited.read_text_lines),
        (JSON, json_rows.read_json),
        (EXCEL, spreadsheet.read_spreadsheet),
    ]
    return next(read for suffixes, read in readers if suffix in suffixes)


def read_table(storage: Storage, info: ObjectInfo, table: TableConfig | None = None) -> Iterator[Rows]:
    """Yield the rows of a file in order, a batch at a time.

    Args:
        storage: where it is.
        info: of the file; its name says its form.
        table: what its text means.

    Raises:
        ManifestError: it cannot be read as what its name says; has file, line, what was found, what to do.
        ObjectChanged: it became another one meanwhile.
    """
    uri, suffix = storage.uri_of(info.path), suffix_of_form(info.path)
    if suffix is None:
        raise ManifestError(f"{uri}: no known form of table; expected one of {list_forms()}: rename or convert it")
    unpack = _UNPACK.get(info.path.lower()[info.path.rfind(".") :])
    if suffix == PARQUET:
        if unpack is not None:
            raise ManifestError(f"{uri}: a packed Parquet file; unpack it")
        yield from read_parquet(storage, info)
        return

    def open_file() -> IO[bytes]:
        file: IO[bytes] = io.BufferedReader(_Blocks(storage.open_input(info)), _BLOCK_BYTES)
        return file if unpack is None else unpack(file)

    source = Source(uri, open_file, table or TableConfig(), storage.settings.limits, suffix)
    with _report_damage(source):
        yield from _reader_of(suffix)(source)


@contextmanager
def _report_damage(source: Source) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise source.error(f"cannot be unpacked ({str(error)[:120]}); pack it again") from None


@contextmanager
def _open_parquet(storage: Storage, info: ObjectInfo) -> Iterator[LimitedParquet]:
    uri = storage.uri_of(info.path)
    try:
        file = LimitedParquet(storage.open_input(info), storage.settings.limits)
        yield file
        file.close()
    except OverLimit as error:
        raise ManifestError(f"{uri}: {error}") from None
    except DAMAGED_PARQUET as error:
        detail = " ".join(str(error).split())[:200]
        raise ManifestError(f"{uri}: damaged ({detail}); put an intact copy in its place") from error


def read_parquet_schema(storage: Storage, info: ObjectInfo) -> pa.Schema:
    """Return the columns of a Parquet file; raises as `read_table`."""
    with _open_parquet(storage, info) as file:
        return file.schema


def read_parquet(storage: Storage, info: ObjectInfo, columns: Sequence[str] | None = None) -> Iterator[Rows]:
    """Yield the rows of a Parquet file; raises as `read_table`.

    Args:
        storage: where it is.
        info: of the file.
        columns: only these; none takes all.
    """
    with _open_parquet(storage, info) as file:
        names, first = file.schema.names if columns is None else columns, 0
        empty = {name: pa.array([], file.schema.field(name).type) for name in names}
        yield Rows(empty, [], "row", is_typed=True)  # So that a file without rows shows its columns, too.
        for table in file.iter_tables(ROWS_AT_ONCE, columns):
            found = {name: table.column(name).combine_chunks() for name in table.column_names}
            yield Rows(found, range(first, first + table.num_rows), "row", is_typed=True)
            first += table.num_rows
