"""Import a catalogue: every book becomes shards of a manifest; a report says what is in it, contents in which order."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.books.casting import Cast
from pipeline.books.chapters import split_into_chapters
from pipeline.books.document import Document
from pipeline.books.epub import read_epub
from pipeline.books.markup import read_html, read_markdown
from pipeline.books.plain_text import read_plain_text
from pipeline.books.rows import MANIFEST_SCHEMA, make_rows
from pipeline.config.settings import canonical_json
from pipeline.errors import ManifestError
from pipeline.storage import Storage

SUFFIXES = (".epub", ".txt", ".md", ".markdown", ".html", ".htm", ".xhtml")
MAX_BOOK_BYTES = 256 << 20
ROWS_PER_SHARD = 20_000
REPORT_PATH = "_import.json"
CONTENTS = "_contents/"
_OURS = re.compile(r"[^/]+/part-\d{5}\.parquet|_import\.json|(?:_covers|_contents)/.*|_probe.*")
_IMPORT_VERSION = 2  # Raised where reading changes, so that books are read again.
_LANGUAGES = {"english": "en", "chinese": "zh", "french": "fr", "german": "de", "spanish": "es", "italian": "it"}


def read_book(data: bytes, name: str, place: str) -> Document:
    """Read a book in the format that its name tells.

    Raises:
        ManifestError: it cannot be read; names the place.
    """
    suffix = posixpath.splitext(name)[1].lower()
    if suffix == ".epub":
        return read_epub(data, place)
    text = _decode(data, place)
    if suffix in (".md", ".markdown"):
        return read_markdown(text, place)
    return read_html(text, place) if "htm" in suffix else read_plain_text(text, place)


def _decode(data: bytes, place: str) -> str:
    if b"\0" in data[:4_096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ManifestError(f"{place}: not text; expected {', '.join(SUFFIXES)}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")  # What old Gutenberg files are written in.


def list_books(catalogue: Storage) -> dict[str, str]:
    """Return the paths of the books by book_id, which is the path in small letters without its ending, sorted.

    Raises:
        ManifestError: there are none, or two share an id.
    """
    books: dict[str, str] = {}
    for path in sorted(info.path for info in catalogue.list()):
        hidden = any(part.startswith(("_", ".")) for part in path.split("/"))
        stem, suffix = posixpath.splitext(path)
        if hidden or suffix.lower() not in SUFFIXES:
            continue
        folded = unicodedata.normalize("NFC", stem).lower()
        book_id = re.sub(r"[^\w]+", "-", folded).strip("-")[:80] or "book"
        if book_id in books:
            raise ManifestError(f"{catalogue.uri}: {books[book_id]} and {path} share the id {book_id!r}; rename one")
        books[book_id] = path
    if not books:
        raise ManifestError(f"{catalogue.uri}: no book found; expected files ending in {', '.join(SUFFIXES)}")
    return books


@dataclass(frozen=True)
class ReadBook:
    """A book as rows, and what is to be said of it."""

    report: dict[str, Any]
    rows: list[dict[str, Any]]
    cover: bytes | None


def read_catalogue(catalogue: Storage, casts: Mapping[str, Cast], default: Cast) -> Iterator[ReadBook]:
    """Yield book after book; one is held at a time, and nothing is written.

    Raises:
        ManifestError: books cannot be read or have no text, which is told of all of them at the end; or a cast belongs
            to no book.
    """
    unreadable: list[str] = []
    for book_id, path in _list_cast_books(catalogue, casts).items():
        try:
            book = _read(catalogue, book_id, path, casts.get(book_id, casts.get("default", default)))
        except ManifestError as error:
            unreadable.append(str(error))
            continue
        yield book
    _refuse(unreadable)


def _refuse(unreadable: list[str]) -> None:
    """Stop for the books that cannot be read, once all others are."""
    if unreadable:
        raise ManifestError(
            "\n".join([*unreadable, f"{len(unreadable):,} book(s) cannot be read, the others can: mend these, or put _ "
            "before the name of a file or folder that is to be left out"])
        )  # fmt: skip


def _list_cast_books(catalogue: Storage, casts: Mapping[str, Cast]) -> dict[str, str]:
    books = list_books(catalogue)
    unknown = sorted(casts.keys() - books.keys() - {"default"})
    if unknown:
        raise ManifestError(f"casting: no book is called {', '.join(unknown)}; the books are {', '.join(books)[:500]}")
    return books


def import_books(
    catalogue: Storage, output: Storage, casts: Mapping[str, Cast], default: Cast
) -> Iterator[dict[str, Any]]:
    """Bring a manifest up to date with its catalogue, book after book; one book is held at a time.

    A book whose file and cast are as they were is not read again. A changed one adds the rows that are new as another
    shard, as a run refuses shards that change, and old rows keep their clips; what is read in which order is in its
    contents. A book's record is written last: a kill before it costs that book's reading.

    Args:
        catalogue: where the books are.
        output: where `<book_id>/part-00000.parquet`, `_contents/`, `_covers/` and `_import.json` go.
        casts: by book_id.
        default: of the other books.

    Yields:
        what is in each book; `state` is `imported` or `kept`, `num_new_rows` what this import added.

    Raises:
        ManifestError: books cannot be read or have no text, which is told of all of them when the others are imported;
            or a cast belongs to no book; or `output` is something else.
    """
    foreign = next((info.path for info in output.list() if not _OURS.fullmatch(info.path)), None)
    if foreign is not None:
        raise ManifestError(f"{output.uri}: holds {foreign}, which no import wrote; name a new folder or prefix")
    books = _list_cast_books(catalogue, casts)
    reports, unreadable = [], list[str]()
    for book_id, path in books.items():
        cast = casts.get(book_id, casts.get("default", default))
        fingerprint = _fingerprint(catalogue, path, cast)
        report = _read_record(output, book_id, fingerprint)
        if report is None:
            try:
                book = _read(catalogue, book_id, path, cast)
            except ManifestError as error:
                unreadable.append(str(error))
                continue
            report = _write_book(output, book, fingerprint)
        reports.append({name: value for name, value in report.items() if name not in ("state", "num_new_rows")})
        yield report
    _refuse(unreadable)
    # A book that left the catalogue is no longer assembled; its rows and clips stay.
    for info in list(output.list(CONTENTS)):
        if info.path.removeprefix(CONTENTS).rpartition(".")[0] not in books:
            output.delete(info.path)
    output.put(REPORT_PATH, json.dumps({"books": reports}, indent=1, ensure_ascii=False).encode())


def _fingerprint(catalogue: Storage, path: str, cast: Cast) -> str:
    info = catalogue.find(path)
    content = catalogue.content_hash(info) if info else ""
    return hashlib.sha256(canonical_json([_IMPORT_VERSION, path, content, cast.model_dump()]).encode()).hexdigest()


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
    known, num_shards = _read_known(output, book_id)
    new = []
    for row in book.rows:
        found = known.get(row["utterance_id"], _sound_of(row))
        if found != _sound_of(row):
            # The same words in another voice are another clip, and their id must say so.
            suffix = hashlib.blake2b(canonical_json(_sound_of(row)).encode(), digest_size=4).hexdigest()
            row["utterance_id"] += f"~{suffix}"
        if row["utterance_id"] not in known:
            new.append(row)
    for number, start in enumerate(range(0, len(new), ROWS_PER_SHARD), num_shards):
        output.put(f"{book_id}/part-{number:05d}.parquet", _to_parquet(new[start : start + ROWS_PER_SHARD]))
    if book.cover:
        suffix = ".png" if book.cover.startswith(b"\x89PNG") else ".jpg"
        output.put(f"_covers/{book_id}{suffix}", book.cover)
    output.put(f"{CONTENTS}{book_id}.parquet", _to_parquet(book.rows))
    record = {"fingerprint": fingerprint, "report": book.report}
    output.put(f"{CONTENTS}{book_id}.json", json.dumps(record, indent=1, ensure_ascii=False).encode())
    return {**book.report, "state": "imported", "num_new_rows": len(new)}


def _sound_of(row: Mapping[str, Any]) -> list[Any]:
    return [row["speaker_id"], row["language"]]


def _read_known(output: Storage, book_id: str) -> tuple[dict[str, list[Any]], int]:
    """Return who reads each id that the book's shards hold, and the number of the next shard."""
    known: dict[str, list[Any]] = {}
    paths = sorted(info.path for info in output.list(f"{book_id}/") if info.path.endswith(".parquet"))
    for path in paths:
        columns = ["utterance_id", "speaker_id", "language"]
        for row in pq.read_table(pa.BufferReader(output.get(path)), columns=columns).to_pylist():
            known[row["utterance_id"]] = _sound_of(row)
    return known, len(paths)


def _to_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, MANIFEST_SCHEMA), sink, compression="zstd", row_group_size=8_192)
    return bytes(sink.getvalue().to_pybytes())


def _read(catalogue: Storage, book_id: str, path: str, cast: Cast) -> ReadBook:
    place = catalogue.uri_of(path)
    info = catalogue.find(path)
    if info is not None and info.size > MAX_BOOK_BYTES:
        raise ManifestError(f"{place}: {info.size:,} bytes, expected at most {MAX_BOOK_BYTES:,}; is it a book?")
    document = read_book(catalogue.get(path), path, place)
    chapters = split_into_chapters(document.blocks, document.left_out)
    title = document.title or posixpath.splitext(posixpath.basename(path))[0]
    language = _language_code(document.language)
    rows, casting = make_rows(book_id, title, document.author, language, chapters, cast, place)
    if not rows:
        raise ManifestError(f"{place}: no text to read was found in it; is it a book in one of {', '.join(SUFFIXES)}?")
    report = {
        "book_id": book_id,
        "path": path,
        "title": title,
        "author": document.author,
        "language": language,
        "chapters": [chapter.title for chapter in chapters],
        "num_rows": len(rows),
        "num_chars": sum(len(row["text"]) for row in rows),
        "left_out": dict(document.left_out.counts),
        "left_out_examples": document.left_out.examples,
        "rows_per_voice": dict(casting.rows_per_voice.most_common()),
        "num_quotes": casting.num_quotes,
        "quotes_per_name": dict(casting.quotes_per_name.most_common()),
        "doubtful": [asdict(quote) for quote in casting.doubtful],
    }
    return ReadBook(report, rows, document.cover)


def _language_code(language: str) -> str | None:
    name = language.strip().lower()
    code = _LANGUAGES.get(name, re.split(r"[-_]", name)[0])
    return code if re.fullmatch(r"[a-z]{2,3}", code) else None
