"""Where rows of tables wait while they are turned into shards, and what is known of each file meanwhile."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.errors import ManifestError
from pipeline.manifest.tables import Source
from pipeline.storage import ObjectInfo
from pipeline.storage.base import RangeFile


@dataclass
class SpooledTable:
    """What is known of one file once it was read."""

    source: Source
    name: str
    info: ObjectInfo
    batches: list[tuple[int, int]] = field(default_factory=list)
    """Where each batch of rows begins in the spool, and how many bytes it has."""
    kinds: dict[str, set[pa.DataType]] = field(default_factory=dict)
    """Types of each column that is passed through, over all batches."""
    written: dict[str, str] = field(default_factory=dict)
    """What columns without types hold: `empty` texts only, `whole` numbers, or `text` of any kind."""
    own: list[str] = field(default_factory=list)
    has_ids: bool = True
    num_rows: int = 0


class Spool:
    """A nameless file on the disk of TMPDIR."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()
        self._size = 0

    def append(self, data: Any) -> tuple[int, int]:
        """Add bytes; returns where they begin, and how many there are."""
        start = self._size
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise ManifestError(
                f"{tempfile.gettempdir()}: no room for a copy of the manifest's rows ({error.strerror}); free some, or "
                "set TMPDIR to another folder"
            ) from None
        self._size += len(data)
        return start, self._size - start

    def read(self, start: int, size: int) -> bytes:
        """Return bytes that were added; may be called by several threads."""
        return os.pread(self._file.fileno(), size, start)

    def open(self, start: int, size: int) -> pa.NativeFile:
        """Open a stretch of it as a file."""
        return pa.PythonFile(RangeFile(size, lambda first, stop: self.read(start + first, stop - first), 0), mode="r")
