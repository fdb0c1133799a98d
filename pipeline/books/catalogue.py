"""A folder of books: which there are, and each of them read: rows for a manifest, and a report of what is in it.

Writes nothing.
"""

from __future__ import annotations

import logging
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.books.casting import Cast
from pipeline.books.chapters import split_into_chapters
from pipeline.books.decoding import decode_text
from pipeline.books.document import Document
from pipeline.books.epub import read_epub
from pipeline.books.limits import check_limit, cut_title
from pipeline.books.markdown import read_markdown
from pipeline.books.markup import read_html
from pipeline.books.plain_text import read_plain_text
from pipeline.books.rows import make_rows
from pipeline.errors import ManifestError, SynthesisError
from pipeline.storage import Storage, describe_cause

logger = logging.getLogger(__name__)

SUFFIXES = (".epub", ".txt", ".md", ".markdown", ".html", ".htm", ".xhtml")
_LANGUAGES = {"english": "en", "chinese": "zh", "french": "fr", "german": "de", "spanish": "es", "italian": "it"}


def read_book(data: bytes, name: str, place: str) -> Document:
    """Read a book in the format that the suffix of its name says.

    Raises:
        ManifestError: it cannot be read; names the place.
    """
    suffix = posixpath.splitext(name)[1].lower()
    if suffix == ".epub":
        return read_epub(data, place)
    check_limit("max_text_bytes", len(data), place, "bytes of text")
    is_html = suffix in (".html", ".htm", ".xhtml")
    text = decode_text(data, place, is_markup=is_html)
    if suffix in (".md", ".markdown"):
        return read_markdown(text, place)
    return read_html(text, place) if is_html else read_plain_text(text, place)


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
        ManifestError: books cannot be read or have no text, which is reported of all of them at the end; or a cast
            belongs to no book.
    """
    unreadable: list[str] = []
    for book_id, path in list_cast_books(catalogue, casts).items():
        book = try_to_read(catalogue, book_id, path, casts.get(book_id, casts.get("default", default)), unreadable)
        if book is not None:
            yield book
    refuse_unreadable(unreadable)


def refuse_unreadable(unreadable: list[str]) -> None:
    """Stop for the books that cannot be read, once all others are.

    Args:
        unreadable: a message for each.

    Raises:
        ManifestError: there are some.
    """
    if unreadable:
        raise ManifestError(
            "\n".join([*unreadable, f"{len(unreadable):,} book(s) cannot be read, the others can: fix these, or put _ "
            "before the name of a file or folder that is to be left out"])
        )  # fmt: skip


def list_cast_books(catalogue: Storage, casts: Mapping[str, Cast]) -> dict[str, str]:
    """Return the books as `list_books` does.

    Raises:
        ManifestError: as there, or a cast belongs to no book.
    """
    books = list_books(catalogue)
    unknown = sorted(casts.keys() - books.keys() - {"default"})
    if unknown:
        raise ManifestError(f"casting: no book is called {', '.join(unknown)}; the books are {', '.join(books)[:500]}")
    return books


def try_to_read(catalogue: Storage, book_id: str, path: str, cast: Cast, unreadable: list[str]) -> ReadBook | None:
    """Read one book and cast it; one that cannot be read is none, and its message is added to `unreadable`.

    Raises:
        StorageError: the store does not answer.
    """
    try:
        return read_cast_book(catalogue, book_id, path, cast)
    except ManifestError as error:
        unreadable.append(str(error))
    except SynthesisError:
        raise
    except Exception as error:  # A fault of ours in one book must not keep the others out.
        logger.debug("%s: reading failed", path, exc_info=True)
        unreadable.append(
            f"{catalogue.uri_of(path)}: reading it failed with {describe_cause(error)}, a fault of the program; please "
            "report it"
        )
    return None


def read_cast_book(catalogue: Storage, book_id: str, path: str, cast: Cast) -> ReadBook:
    """Read one book and cast it.

    Raises:
        ManifestError: it cannot be read or has no text; names the place.
    """
    place = catalogue.uri_of(path)
    info = catalogue.find(path)
    if info is not None:
        check_limit("max_book_bytes", info.size, place, "bytes")
    try:
        data = catalogue.get(path)
    except FileNotFoundError:
        raise ManifestError(f"{place}: gone since it was listed; run the same command again") from None
    document = read_book(data, path, place)
    chapters = split_into_chapters(document.blocks, document.left_out)
    title = cut_title(document.title) or cut_title(posixpath.splitext(posixpath.basename(path))[0])
    author = cut_title(document.author)
    language = _language_code(document.language)
    rows, casting = make_rows(book_id, title, author, language, chapters, cast, place)
    if not rows:
        raise ManifestError(f"{place}: no text to read was found in it; is it a book in one of {', '.join(SUFFIXES)}?")
    report = {
        "book_id": book_id,
        "path": path,
        "title": title,
        "author": author,
        "language": language,
        "chapters": [cut_title(chapter.title) for chapter in chapters],
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
