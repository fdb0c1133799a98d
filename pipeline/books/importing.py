"""Import a catalogue: every book becomes shards of a manifest; a report says what is in it, contents in which order."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.books.casting import Cast
from pipeline.books.catalogue import ReadBook, RefusedBook, list_cast_books, try_to_read
from pipeline.books.rows import MANIFEST_SCHEMA
from pipeline.config.books import ImportConfig
from pipeline.config.printable import to_json
from pipeline.config.settings import canonical_json
from pipeline.errors import ManifestError
from pipeline.storage import Storage

ROWS_PER_SHARD = 20_000
REPORT_PATH = "_import.json"
CONTENTS = "_contents/"
_OURS = re.compile(r"[^/]+/part-\d{5}\.parquet|_import\.json|(?:_covers|_contents)/.*|_probe.*")
_OF_THIS_IMPORT = ("state", "num_new_rows")
_IMPORT_VERSION = 7  # Raised where reading changes, so that books are read again.


def import_books(
    catalogue: Storage, output: Storage, casts: Mapping[str, Cast], default: Cast, rules: ImportConfig
) -> Iterator[dict[str, Any]]:
    """Bring a manifest up to date with its catalogue, book after book; one book is held at a time.

    A book whose file and cast are as they were is not read again. The shards of a changed one are written as the book
    is now; a run keeps the clips of rows that are the same. What is read in which order is also in its contents. A
    book's record is written last: a kill before it costs that book's reading.

    Args:
        catalogue: where the books are.
        output: where `<book_id>/part-00000.parquet`, `_contents/`, `_covers/` and `_import.json` go.
        casts: by book_id.
        default: of the other books.
        rules: what is read of the books.

    Yields:
        what is in each book; `state` is `imported` or `kept`, `num_new_rows` what this import added. Of a book that is
        not imported `state` is `refused`, and `problem` says why; what an earlier import made of it stays.

    Raises:
        ManifestError: a cast, a choice of chapters or a language belongs to no book, or `output` is something else.
    """
    foreign = next((info.path for info in output.list() if not _OURS.fullmatch(info.path)), None)
    if foreign is not None:
        raise ManifestError(f"{output.uri}: holds {foreign}, which no import wrote; name a new folder or prefix")
    books = list_cast_books(catalogue, casts, rules)
    reports = []
    for book_id, path in books.items():
        cast = casts.get(book_id, casts.get("default", default))
        fingerprint = _fingerprint(catalogue, path, cast, rules, book_id)
        report = _read_record(output, book_id, fingerprint)
        if report is None:
            book = try_to_read(catalogue, book_id, path, cast, rules)
            if isinstance(book, RefusedBook):
                refused = {"book_id": book_id, "path": path, **book.report}
                report = {**refused, "problem": book.problem, "state": "refused", "num_new_rows": 0}
            else:
                report = _write_book(output, book, fingerprint)
        is_refused = report["state"] == "refused"
        reports.append({name: value for name, value in report.items() if is_refused or name not in _OF_THIS_IMPORT})
        yield report
    # A book that left the catalogue is no longer assembled; its rows and clips stay.
    for info in list(output.list(CONTENTS)):
        if info.path.removeprefix(CONTENTS).rpartition(".")[0] not in books:
            output.delete(info.path)
    output.put(REPORT_PATH, to_json({"books": reports}, indent=1).encode())


def _fingerprint(catalogue: Storage, path: str, cast: Cast, rules: ImportConfig, book_id: str) -> str:
    info = catalogue.find(path)
    content = catalogue.content_hash(info) if info else ""
    choice = rules.chapters.get(book_id)
    said = [choice.model_dump() if choice else None, rules.languages.get(book_id)]
    parts = [path, content, cast.model_dump(), rules.max_left_out, *said]
    return hashlib.sha256(canonical_json([_IMPORT_VERSION, *parts]).encode()).hexdigest()


def _read_record(output: Storage, book_id: str, fingerprint: str) -> dict[str, Any] | None:
    try:
        record = json.loads(output.get(f"{CONTENTS}{book_id}.json"))
    except (FileNotFoundError, ValueError):
        return None
    if record.get("fingerprint") != fingerprint or not output.exists(f"{CONTENTS}{book_id}.parquet"):
        return None
    return {**record["report"], "state": "kept", "num_new_rows": 0}


def _write_book(output: Storage, book: ReadBook, fingerprint: str) -> dict[str, Any]:
    book_id = book.report["book_id"]
    known, paths = _read_known(output, book_id)
    num_new = sum(known.get(row["utterance_id"]) != _sound_of(row) for row in book.rows)
    starts = range(0, len(book.rows), ROWS_PER_SHARD)
    parts = {f"{book_id}/part-{number:05d}.parquet": start for number, start in enumerate(starts)}
    for path, start in parts.items():
        output.put(path, _to_parquet(book.rows[start : start + ROWS_PER_SHARD]))
    for path in paths:
        if path not in parts:  # A book that was longer, or an import of a version that only ever added shards.
            output.delete(path)
    if book.cover:
        suffix = ".png" if book.cover.startswith(b"\x89PNG") else ".jpg"
        output.put(f"_covers/{book_id}{suffix}", book.cover)
    output.put(f"{CONTENTS}{book_id}.parquet", _to_parquet(book.rows))
    record = {"fingerprint": fingerprint, "report": book.report}
    output.put(f"{CONTENTS}{book_id}.json", to_json(record, indent=1).encode())
    return {**book.report, "state": "imported", "num_new_rows": num_new}


def _sound_of(row: Mapping[str, Any]) -> list[Any]:
    return [row["speaker_id"], row["language"]]


def _read_known(output: Storage, book_id: str) -> tuple[dict[str, list[Any]], list[str]]:
    """Return who reads each id that the book's shards hold, and where these are."""
    known: dict[str, list[Any]] = {}
    paths = sorted(info.path for info in output.list(f"{book_id}/") if info.path.endswith(".parquet"))
    for path in paths:
        columns = ["utterance_id", "speaker_id", "language"]
        for row in pq.read_table(pa.BufferReader(output.get(path)), columns=columns).to_pylist():
            known[row["utterance_id"]] = _sound_of(row)
    return known, paths


def _to_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, MANIFEST_SCHEMA), sink, compression="zstd", row_group_size=8_192)
    return bytes(sink.getvalue().to_pybytes())
