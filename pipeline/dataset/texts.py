"""The files that texts come from, and their rows: which column says what, whatever form a file has.

Knows nothing of what becomes of a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.config.dataset import TextSource
from pipeline.config.manifest import TableConfig
from pipeline.config.run import StorageConfig
from pipeline.errors import ManifestError
from pipeline.manifest.forms import PARQUET, suffix_of_form
from pipeline.manifest.intake import as_text
from pipeline.manifest.shards import find_shards
from pipeline.manifest.tables import Rows, read_parquet, read_parquet_schema, read_table
from pipeline.storage import ObjectInfo, Storage

ID_COLUMNS = ("text_id", "utterance_id", "id")
_NEVER_COLUMNS = (
    "text",
    "sentence",
    "transcript",
    "transcription",
    "normalized_text",
    "reference",
    "prompt",
    "question",
)
_OWN = ("license", "language")


@dataclass(frozen=True)
class TextFile:
    """A file of texts."""

    storage: Storage
    info: ObjectInfo
    source: TextSource
    table: TableConfig = field(default_factory=TableConfig)
    """How its text is cut into rows, where its form does not say so."""

    @property
    def uri(self) -> str:
        """Its address."""
        return self.storage.uri_of(self.info.path)


@dataclass(frozen=True)
class Texts:
    """Consecutive rows of a file; lists of one length."""

    ids: Sequence[str | None]
    texts: Sequence[str | None]
    languages: Sequence[str | None]
    licenses: Sequence[str | None]
    extra: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Other columns that are to be kept, as text."""


def find_files(source: TextSource, settings: StorageConfig, table: TableConfig | None = None) -> list[TextFile]:
    """Return the files of a source, by name.

    Args:
        source: which.
        settings: how to reach the store.
        table: how text is cut into rows.

    Raises:
        ManifestError: there are none.
    """
    try:
        storage, found = find_shards(source.path, settings)
    except ManifestError as error:
        raise ManifestError(f"texts: {error}") from None
    return [
        TextFile(storage, info, source, table or TableConfig()) for info in sorted(found, key=lambda info: info.path)
    ]


def read_texts(file: TextFile, extra: Sequence[str] = ()) -> Iterator[Texts]:
    """Yield the rows of a file in order, a batch at a time.

    Args:
        file: which.
        extra: other columns to keep, where the file has them.

    Raises:
        ManifestError: it cannot be read, or a column is missing or holds no text.
        ObjectChanged: it became another one meanwhile.
    """
    source, wanted = file.source, None
    for rows in _read(file, [source.text_column, *_id_columns(source), *_OWN, *extra]):
        if wanted is None:
            wanted = _find_id_column(file, rows)
        count = rows.num_rows
        yield Texts(
            _take_ids(file, rows, wanted),
            _take_texts(file, rows),
            _as_text(rows, "language", count, source.language),
            _as_text(rows, "license", count, source.license),
            {name: _as_text(rows, name, count) for name in extra},
        )


def read_never(file: TextFile) -> Iterator[Sequence[str | None]]:
    """Yield the texts of a file that must never be spoken, of every column that has a usual name for texts.

    Raises:
        ManifestError: it cannot be read, or has no such column.
    """
    for rows in _read(file, _NEVER_COLUMNS):
        found = [name for name in _NEVER_COLUMNS if name in rows.columns]
        if not found:
            raise ManifestError(
                f"dataset.dedup.never: {file.uri}: no column of texts: found {_list_columns(file, rows)}; expected "
                f"one of {', '.join(_NEVER_COLUMNS)}: rename it"
            )
        for name in found:
            yield _as_text(rows, name, rows.num_rows)


def _id_columns(source: TextSource) -> Sequence[str]:
    return ID_COLUMNS if source.id_column is None else (source.id_column,)


def _read(file: TextFile, columns: Sequence[str]) -> Iterator[Rows]:
    """Yield rows; of Parquet these columns only, as there may be sound beside them, or one batch without any."""
    if suffix_of_form(file.info.path) != PARQUET:
        yield from read_table(file.storage, file.info, file.table)
        return
    names = read_parquet_schema(file.storage, file.info).names
    wanted = [name for name in dict.fromkeys(columns) if name in names]
    if not wanted:
        yield Rows({}, ())
        return
    yield from read_parquet(file.storage, file.info, wanted)


def _find_id_column(file: TextFile, rows: Rows) -> str | None:
    source = file.source
    if source.id_column is not None and source.id_column not in rows.columns:
        raise ManifestError(
            f"texts.id_column: {file.uri}: no column {source.id_column!r}; found {_list_columns(file, rows)}: correct "
            "the setting"
        )
    return next((name for name in _id_columns(source) if name in rows.columns), None)


def _take_ids(file: TextFile, rows: Rows, name: str | None) -> Sequence[str | None]:
    """Return ids as those of a manifest are read: 7, and 7.0 where a file has no whole numbers, is the text 7."""
    column = rows.columns.get(name) if name is not None else None
    if column is None:
        return [None] * rows.num_rows
    ids: list[str | None] = []
    for at, value in enumerate(column.to_pylist() if isinstance(column, pa.Array) else column):
        try:
            ids.append((value if isinstance(value, str) else as_text(value, is_id=True)) or None)
        except ValueError as error:
            raise ManifestError(f"{file.uri}: {rows.place(at)}, column {name!r}: {error}") from None
    return ids


def _take_texts(file: TextFile, rows: Rows) -> Sequence[str | None]:
    name = file.source.text_column
    column = rows.columns.get(name)
    if column is None:
        raise ManifestError(
            f"{file.uri}: no column {name!r}; found {_list_columns(file, rows)}; set `text_column` of this entry of "
            "texts"
        )
    values = column.to_pylist() if isinstance(column, pa.Array) else list(column)
    for at, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            raise ManifestError(
                f"{file.uri}: {rows.place(at)}: {name} is {value!r:.40}; expected a text: write it as one"
            )
    return values


def _as_text(rows: Rows, name: str | None, count: int, default: str | None = None) -> Sequence[str | None]:
    column = rows.columns.get(name) if name is not None else None
    if column is None:
        return [default] * count
    values: list[Any] = column.to_pylist() if isinstance(column, pa.Array) else list(column)
    # A number is its digits; an empty cell of a file of text is none.
    return [default if value is None or value == "" else str(value) for value in values]


def _list_columns(file: TextFile, rows: Rows) -> str:
    """Return the columns that a file has, not only those that were read of it."""
    is_parquet = suffix_of_form(file.info.path) == PARQUET
    names = read_parquet_schema(file.storage, file.info).names if is_parquet else [*rows.columns]
    return ", ".join(names[:12]) or "none"
