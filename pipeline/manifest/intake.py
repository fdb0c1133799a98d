"""One file of any form read into a spool: columns mapped, own values made texts, ids made where there are none."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.config.manifest import OWN_COLUMNS, REQUIRED_COLUMNS, Reading
from pipeline.manifest.forms import DELIMITED, EXCEL, PARQUET, TEXT, suffix_of_form
from pipeline.manifest.shards import to_strings
from pipeline.manifest.spool import Spool, SpooledTable
from pipeline.manifest.tables import Problems, Rows, read_parquet, read_parquet_schema, read_table
from pipeline.storage import Storage

logger = logging.getLogger(__name__)

_WHOLE_NUMBER = "^(0|-?[1-9][0-9]{0,17})$"
"""Says all that a text does: no leading zeros, signs or spaces."""
_EXACT = 2**53
_USUAL_NAMES = {
    "text": ("sentence", "transcript", "transcription", "normalized_text", "utterance", "line", "content", "prompt"),
    "speaker_id": ("speaker", "voice", "spk", "spk_id", "client_id", "narrator"),
    "utterance_id": ("id", "utt_id", "uid", "key", "name"),
}


class Intake:
    """Reads one file into the spool, with its own columns as they are to be and all others as they were written."""

    def __init__(
        self, storage: Storage, table: SpooledTable, reading: Reading, required: Collection[str], spool: Spool
    ) -> None:
        self._storage, self._table, self._spool = storage, table, spool
        self._reading, self._required = reading, required
        self._problems = Problems(table.source)
        self._seen: dict[str, None] = {}
        self._left_out: dict[str, str] = {}
        self._labels: Mapping[str, Sequence[str]] = {}

    def run(self) -> list[NDArray[np.uint64]]:
        """Read it; returns the hashes of the rows whose ids are made."""
        hashes = []
        is_checked = False
        for rows in self._read():
            self._seen.update(dict.fromkeys(rows.columns))
            self._table.source.check_columns(self._seen)  # Objects of JSON may have others in each batch.
            if rows.is_complete and not is_checked:
                self._check_columns()
                is_checked = True
            columns = self._take_own(rows)
            if not self._table.has_ids:
                hashes.append(_make_ids(columns))
                if self._source_of("utterance_id") in rows.columns:
                    self._problems.add(f"{rows.place(0)}: has an id, which the rows before it lack; give all or none")
                    break
            if not self._problems.texts:
                self._store(columns, rows)
            self._table.num_rows += rows.num_rows
        self._problems.check()
        if not is_checked and self._seen:
            self._check_columns()
        for name, reason in self._left_out.items():
            logger.warning("%s: column %r is left out: %s", self._table.source.uri, name, reason)
        return hashes

    def _read(self) -> Iterator[Rows]:
        if suffix_of_form(self._table.info.path) not in (PARQUET, None):
            yield from read_table(self._storage, self._table.info, self._reading.table)
            return
        # What is left out is not read: a data set's audio may be most of it.
        kept = [*self._list_parquet_columns()]
        yield from read_parquet(self._storage, self._table.info, kept)

    def _list_parquet_columns(self) -> Iterator[str]:
        schema = read_parquet_schema(self._storage, self._table.info)
        self._seen.update(dict.fromkeys(schema.names))
        self._labels = _read_labels(schema)
        for entry in schema:
            if not self._is_own(entry.name) and not self._is_kept(entry.name):
                continue
            if _holds_bytes(entry.type) and self._reading.columns.keep is None and not self._is_own(entry.name):
                self._left_out[entry.name] = "it holds bytes; list it in columns.keep to pass it through"
            else:
                yield entry.name

    def _source_of(self, name: str) -> str:
        return self._reading.columns.sources.get(name, name)

    def _is_own(self, column: str) -> bool:
        return any(self._source_of(name) == column for name in OWN_COLUMNS)

    def _is_kept(self, column: str) -> bool:
        if self._is_own(column):
            return False
        if column in OWN_COLUMNS:
            self._left_out[column] = f"columns.{column} names {self._source_of(column)!r} in its place"
            return False
        keep = self._reading.columns.keep
        return keep is None or column in keep

    def _check_columns(self) -> None:
        sources, seen = self._reading.columns.sources, self._seen
        missing = []
        for name in OWN_COLUMNS:
            source = self._source_of(name)
            if source in seen:
                self._table.own.append(name)
            elif name in sources:
                raise self._table.source.error(f"columns.{name}: there is no column {source!r}{_suggest(source, seen)}")
            elif name in self._required and name != "utterance_id":
                if name == "speaker_id" and self._reading.default_speaker is not None:
                    continue
                missing.append(name)
        if missing:
            raise self._table.source.error(self._describe_missing(missing))
        self._table.has_ids = "utterance_id" in self._table.own

    def _describe_missing(self, names: Sequence[str]) -> str:
        listed = ", ".join(map(repr, list(self._seen)[:12])) or "none"
        suffix = suffix_of_form(self._table.info.path)
        remedies, is_near = [], False
        for name in names:
            if suffix in TEXT and name == "speaker_id":  # Lines of text have no columns to choose from.
                remedies.append("set default_speaker")
                continue
            near = [column for column in self._seen if column.casefold() in (name, *_USUAL_NAMES.get(name, ()))]
            is_near |= bool(near)
            remedies.append(f"set columns.{name} to {repr(near[0]) if near else 'COLUMN'}")
            if name == "speaker_id":
                remedies[-1] += ", or set default_speaker"
        remedy = "; ".join(remedies)
        if suffix in (*DELIMITED, *EXCEL) and self._reading.table.header is None and not is_near:
            remedy += "; where the first line is a row already, name the columns with table.header"
        what = f"column {names[0]!r} is" if len(names) == 1 else f"columns {', '.join(map(repr, names))} are"
        return f"{what} missing; found {listed:.400}: {remedy}"

    def _take_own(self, rows: Rows) -> dict[str, pa.Array]:
        columns: dict[str, pa.Array] = {}
        for name in OWN_COLUMNS:
            values = rows.columns.get(self._source_of(name))
            if values is not None and (name in self._table.own or not rows.is_complete):
                convert = self._to_seeds if name == "seed" else self._to_texts
                columns[name] = convert(name, values, rows)
        speakers = columns.get("speaker_id")
        if self._reading.default_speaker is not None:
            speaker = pa.scalar(self._reading.default_speaker, pa.string())
            if speakers is None:
                columns["speaker_id"] = pa.array([self._reading.default_speaker] * rows.num_rows, pa.string())
            else:
                filled = pc.not_equal(pc.utf8_trim_whitespace(pc.fill_null(speakers, "")), "")
                columns["speaker_id"] = pc.if_else(filled, speakers, speaker)
        for name in REQUIRED_COLUMNS:
            columns.setdefault(name, pa.nulls(rows.num_rows, pa.string()))
        if not rows.is_complete and not self._table.num_rows:
            self._table.has_ids = self._source_of("utterance_id") in self._seen
        return columns

    def _to_texts(self, name: str, values: Sequence[Any], rows: Rows) -> pa.Array:
        if isinstance(values, pa.Array):
            if _is_text(values.type):
                return to_strings(values)
            values = values.to_pylist()
        if (labels := self._labels.get(self._source_of(name))) is not None:
            values = [labels[value] if value is not None and 0 <= value < len(labels) else None for value in values]
        is_id = name != "text"
        texts: list[str | None] = []
        for index, value in enumerate(values):
            try:
                texts.append(as_text(value, is_id))
            except ValueError as error:
                texts.append(None)
                self._problems.add(f"{rows.place(index)}, column {self._source_of(name)!r}: {error}")
        return pa.array(texts, pa.string())

    def _to_seeds(self, name: str, values: Sequence[Any], rows: Rows) -> pa.Array:
        if isinstance(values, pa.Array):
            values = values.to_pylist()
        seeds: list[int | None] = []
        for index, value in enumerate(values):
            text = "" if value is None or value != value else str(value).strip()
            if re.fullmatch(r"-?[0-9]{1,18}(\.0)?", text) and not isinstance(value, bool):
                seeds.append(int(text.removesuffix(".0")))
                continue
            seeds.append(None)
            if text:
                self._problems.add(
                    f"{rows.place(index)}, column {self._source_of(name)!r}: {text!r:.40} is no whole number; leave "
                    "the seed empty, or give one"
                )
        return pa.array(seeds, pa.int64())

    def _store(self, own: Mapping[str, pa.Array], rows: Rows) -> None:
        columns = dict(own)
        for name, values in rows.columns.items():
            if name and self._is_kept(name):
                columns[name] = self._note(name, _to_array(values, is_typed=rows.is_typed), is_typed=rows.is_typed)
        batch = pa.RecordBatch.from_pydict(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_batch(batch)
        self._table.batches.append(self._spool.append(sink.getvalue()))

    def _note(self, name: str, values: pa.Array, *, is_typed: bool) -> pa.Array:
        if isinstance(values, pa.DictionaryArray):
            values = values.cast(values.type.value_type)
        self._table.kinds.setdefault(name, set()).add(values.type)
        written = self._table.written
        if not is_typed and written.setdefault(name, "empty") != "text":
            filled = pc.filter(values, pc.not_equal(values, ""))
            if not pc.all(pc.match_substring_regex(filled, _WHOLE_NUMBER), min_count=0).as_py():
                written[name] = "text"
            elif len(filled):
                written[name] = "whole"
        return values


def _read_labels(schema: pa.Schema) -> dict[str, Sequence[str]]:
    """Return the names that Hugging Face's `ClassLabel` gives the numbers of a column."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        labels = {name: kind["names"] for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {
        name: names
        for name, names in labels.items()
        if isinstance(names, list)
        and all(isinstance(text, str) for text in names)
        and name in schema.names
        and pa.types.is_integer(schema.field(name).type)
    }


def _suggest(name: str, seen: Collection[str]) -> str:
    near = get_close_matches(name, seen, n=1)
    listed = ", ".join(map(repr, list(seen)[:12])) or "none"
    return f"; did you mean {near[0]!r}?" if near else f"; found {listed:.400}"


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_holds_bytes(kind.field(at).type) for at in range(kind.num_fields))
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def as_text(value: Any, is_id: bool) -> str | None:
    """Return a value as the text that stands for it.

    Args:
        value: as a file has it.
        is_id: whether it names something, so that what would be said in digits is not enough.

    Raises:
        ValueError: no text stands for it, or more than one.
    """
    if isinstance(value, str):
        # JSON may escape halves of characters, which no file holds.
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if value is None or (isinstance(value, float | Decimal) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        raise ValueError(f"expected a text, found {str(value).lower()}; put it in quotes")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        if math.isfinite(value) and float(value).is_integer():
            if is_id and abs(float(value)) >= _EXACT:
                raise ValueError(f"{value:g} is a number too large to be exact; write it as text")
            return str(int(value))
        if is_id:
            raise ValueError(
                f"{value!s:.40} is a number with decimals (1.1 and 1.10 would be one name); write it as text"
            )
        return str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    kinds: dict[type, str] = {list: "a list", dict: "an object", bytes: "bytes"}
    kind = kinds.get(type(value), type(value).__name__)
    raise ValueError(f"expected a text, found {kind}; name another column, or write it as text")


def _to_array(values: Sequence[Any], *, is_typed: bool) -> pa.Array:
    """Return values with the type they share, else as texts: themselves, or JSON of them."""
    if isinstance(values, pa.Array):
        return values
    if not is_typed:
        return pa.array(values, pa.string())
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
        return to_json(values)


def to_json(values: Sequence[Any]) -> pa.Array:
    """Return values as texts: themselves, or JSON of them."""

    def write(value: Any) -> str | None:
        if value is None:
            return None
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        return re.sub("[\ud800-\udfff]", "\ufffd", text)

    return pa.array(map(write, values), pa.string())


def _make_ids(columns: dict[str, pa.Array]) -> NDArray[np.uint64]:
    """Put an id made of text and speaker into each row; returns a number for each, equal where the ids are."""
    texts, speakers = columns["text"].to_pylist(), columns["speaker_id"].to_pylist()
    digests = [
        hashlib.blake2b(f"{text or ''}\0{speaker or ''}".encode(), digest_size=10).digest()
        for text, speaker in zip(texts, speakers, strict=True)
    ]
    columns["utterance_id"] = pa.array([digest.hex() for digest in digests], pa.string())
    return np.frombuffer(b"".join(digest[:8] for digest in digests), np.uint64)
