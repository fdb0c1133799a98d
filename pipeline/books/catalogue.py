"""A folder of books: which there are, and each of them read: rows for a manifest, and a report of what is in it.

Writes nothing.
"""

from __future__ import annotations

import logging
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipeline.books.account import describe_account, find_problem
from pipeline.books.book_language import find_book_language
from pipeline.books.casting import Cast
from pipeline.books.chapters import split_into_chapters
from pipeline.books.cleaning import drop_voice_marks, leave_notes_out
from pipeline.books.decoding import decode_text
from pipeline.books.document import Document, words_in
from pipeline.books.epub import read_epub
from pipeline.books.fiction_book import read_fiction_book
from pipeline.books.limits import check_limit, cut_title
from pipeline.books.markdown import read_markdown
from pipeline.books.markup import read_html
from pipeline.books.pdf import read_pdf
from pipeline.books.plain_text import read_plain_text
from pipeline.books.rows import make_rows
from pipeline.books.word_document import read_word_document
from pipeline.config.books import ImportConfig
from pipeline.config.printable import one_line
from pipeline.errors import ManifestError, SynthesisError
from pipeline.storage import Storage, describe_cause

logger = logging.getLogger(__name__)

SUFFIXES = (".epub", ".txt", ".md", ".markdown", ".html", ".htm", ".xhtml", ".docx", ".fb2", ".pdf")
_IN_OFFICE = "open it in a word processor and save it as .docx"
_BY_CALIBRE = "convert it to EPUB, for example with Calibre: ebook-convert FILE BOOK.epub"
_UNPACK = "unpack it"
_NOT_READ = {
    **dict.fromkeys((".rtf", ".doc", ".odt", ".docm", ".dotx", ".wpd", ".pages", ".wps", ".sxw", ".abw"), _IN_OFFICE),
    **dict.fromkeys((".lit", ".pdb", ".lrf", ".chm", ".rb", ".tcr", ".snb", ".pml", ".htmlz", ".txtz"), _BY_CALIBRE),
    **dict.fromkeys((".djvu", ".djv", ".ps", ".xps", ".oxps"), "convert it to a PDF with a text layer (OCR)"),
    **dict.fromkeys((".cbz", ".cbr", ".cb7"), "pictures of pages need OCR"),
    **dict.fromkeys((".zip", ".rar", ".7z", ".gz", ".tar"), _UNPACK),
    **dict.fromkeys((".tex", ".rst", ".adoc", ".org"), "convert it to EPUB, for example with pandoc"),
    **dict.fromkeys((".text", ".asc"), "rename it to .txt"),
    **dict.fromkeys((".mht", ".mhtml", ".shtml"), "save it as .html"),
}
"""Formats of books that nobody reads here, and what to do about them."""
_MAX_SHOWN = 5
_OF_KINDLE = (".mobi", ".azw", ".azw3", ".kfx", ".prc")
_DEFAULT_RULES = ImportConfig()


def read_book(data: bytes, name: str, place: str) -> Document:
    """Read a book in the format that the suffix of its name says.

    Raises:
        ManifestError: it cannot be read; names the place.
    """
    document = _read_format(data, name, place)
    document.blocks = leave_notes_out(document.blocks)
    return document


def _read_format(data: bytes, name: str, place: str) -> Document:
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in _OF_KINDLE:
        raise ManifestError(
            f"{place}: {suffix[1:].upper()} cannot be read; convert it to EPUB first, for example with Calibre: "
            f"ebook-convert BOOK{suffix} BOOK.epub"
        )
    for packed, read in ((".epub", read_epub), (".docx", read_word_document), (".pdf", read_pdf)):
        if suffix == packed:
            return read(data, place)
    check_limit("max_text_bytes", len(data), place, "bytes of text")
    is_html = suffix in (".html", ".htm", ".xhtml")
    decoded = decode_text(data, place, is_markup=is_html or suffix == ".fb2")
    if suffix == ".fb2":
        document = read_fiction_book(decoded.text, place)
    elif suffix in (".md", ".markdown"):
        document = read_markdown(decoded.text, place)
    else:
        document = read_html(decoded.text, place) if is_html else read_plain_text(decoded.text, place)
    if decoded.guess:
        document.notes.append(f"its encoding is not said; it was read as {decoded.guess}")
    if decoded.damage:
        document.notes.append(decoded.damage)
    return document


def list_books(catalogue: Storage) -> dict[str, str]:
    """Return the paths of the books by book_id, which is the path in small letters without its ending, sorted.

    Raises:
        ManifestError: there are none, or two share an id.
    """
    return _name_books(catalogue, _list_paths(catalogue))


def _list_paths(catalogue: Storage) -> list[str]:
    return sorted(info.path for info in catalogue.list())


def _name_books(catalogue: Storage, paths: list[str]) -> dict[str, str]:
    books: dict[str, str] = {}
    for path in paths:
        stem, suffix = posixpath.splitext(path)
        if _is_hidden(path) or suffix.lower() not in (*SUFFIXES, *_OF_KINDLE):
            continue
        folded = unicodedata.normalize("NFC", stem).lower()
        book_id = re.sub(r"[^\w]+", "-", folded).strip("-")[:80] or "book"
        if book_id in books:
            raise ManifestError(f"{catalogue.uri}: {books[book_id]} and {path} share the id {book_id!r}; rename one")
        books[book_id] = path
    if not books:
        raise ManifestError(f"{catalogue.uri}: no book found: {_describe_nothing(catalogue, paths)}")
    return books


def _is_hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) for part in path.split("/"))


def _describe_nothing(catalogue: Storage, paths: list[str]) -> str:
    """Say why a place holds no book, and what to do."""
    formats = f"books are files ending in {', '.join(SUFFIXES)}"
    place = Path(catalogue.uri)
    if "://" not in catalogue.uri and not place.is_dir():
        if place.exists():
            return f"this is a file; name the folder that holds it: {place.parent}"
        there = next(folder for folder in place.parents if folder.exists())
        return f"there is no such folder, only {there}; correct the path"
    if not paths:
        return f"nothing is there; correct the address, or put books into it: {formats}"
    if unread := _describe_unread(paths):
        return f"{unread}; {formats}"
    if all(map(_is_hidden, paths)):
        return "all that is there begins with _ or . and is left out; rename it"
    shown = one_line(", ".join([path for path in paths if not _is_hidden(path)][:_MAX_SHOWN]))
    return f"of {len(paths):,} file(s) none is a book, such as {shown}; {formats}"


def _describe_unread(paths: Iterable[str]) -> str:
    """Name files that are books or may be, in formats that nobody reads, and how to convert them; empty for none."""
    found = [path for path in paths if not _is_hidden(path) and path.lower().endswith(tuple(_NOT_READ))]
    if not found:
        return ""
    shown = one_line(", ".join(found[:_MAX_SHOWN])) + ", ..." * (len(found) > _MAX_SHOWN)
    remedies = dict.fromkeys(_NOT_READ["." + path.lower().rpartition(".")[2]] for path in found)
    return f"{len(found):,} file(s) that may be books cannot be read: {shown}; {'; '.join(remedies)}"


@dataclass(frozen=True)
class ReadBook:
    """A book as rows, and what is to be said of it."""

    report: dict[str, Any]
    rows: list[dict[str, Any]]
    cover: bytes | None
    problem: str = ""
    """Why it is not imported before somebody has looked at it; empty where it is."""


@dataclass(frozen=True)
class RefusedBook:
    """A book that is not imported.

    Attributes:
        book_id: of it.
        path: in the catalogue.
        problem: why, and what to do.
        report: what was found in it; empty where it cannot be read.
    """

    book_id: str
    path: str
    problem: str
    report: dict[str, Any]


def read_catalogue(
    catalogue: Storage, casts: Mapping[str, Cast], default: Cast, rules: ImportConfig
) -> Iterator[ReadBook | RefusedBook]:
    """Yield book after book, those that are refused among them; one is held at a time, and nothing is written.

    Raises:
        ManifestError: there are no books, or a cast, a choice of chapters or a language belongs to none.
    """
    for book_id, path in list_cast_books(catalogue, casts, rules).items():
        yield try_to_read(catalogue, book_id, path, casts.get(book_id, casts.get("default", default)), rules)


def refuse_unreadable(problems: list[str]) -> None:
    """Stop for the books that are refused, once all others are read.

    Args:
        problems: a message for each.

    Raises:
        ManifestError: there are some.
    """
    if problems:
        raise ManifestError(
            "\n".join([*problems, f"{len(problems):,} book(s) cannot be read, the others can: fix these, or put _ "
            "before the name of a file or folder that is to be left out"])
        )  # fmt: skip


def list_cast_books(catalogue: Storage, casts: Mapping[str, Cast], rules: ImportConfig) -> dict[str, str]:
    """Return the books as `list_books` does.

    Raises:
        ManifestError: as there, or a cast, a choice of chapters or a language belongs to no book.
    """
    paths = _list_paths(catalogue)
    books = _name_books(catalogue, paths)
    if unread := _describe_unread(paths):
        logger.warning("%s: %s, or put _ before the name of what is no book", catalogue.uri, unread)
    known = one_line(", ".join(books))[:500]
    unknown = {
        "import.chapters": rules.chapters.keys() - books.keys(),
        "import.languages": rules.languages.keys() - books.keys(),
        "casting": casts.keys() - books.keys() - {"default"},
    }
    for setting, names in unknown.items():
        if names:
            listed = one_line(", ".join(sorted(names)))
            near = {near for name in names for near in get_close_matches(name.lower(), books, n=1)}
            meant = f"did you mean {one_line(' or '.join(sorted(near)))}? " if near else ""
            raise ManifestError(f"{setting}: no book is called {listed}; {meant}The books are {known}")
    return books


def try_to_read(catalogue: Storage, book_id: str, path: str, cast: Cast, rules: ImportConfig) -> ReadBook | RefusedBook:
    """Read one book and cast it; one that cannot be read, or at which somebody must look, is refused.

    Raises:
        StorageError: the store does not answer.
    """
    place = catalogue.uri_of(path)
    try:
        book = read_cast_book(catalogue, book_id, path, cast, rules)
    except ManifestError as error:
        return RefusedBook(book_id, path, str(error), {})
    except SynthesisError:
        raise
    except Exception as error:  # A fault of ours in one book must not keep the others out.
        logger.debug("%s: reading failed", path, exc_info=True)
        problem = f"{place}: reading it failed with {describe_cause(error)}, a fault of the program; please report it"
        return RefusedBook(book_id, path, problem, {})
    return RefusedBook(book_id, path, f"{place}: {book.problem}", book.report) if book.problem else book


def read_cast_book(
    catalogue: Storage, book_id: str, path: str, cast: Cast, rules: ImportConfig = _DEFAULT_RULES
) -> ReadBook:
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
    choice = rules.chapters.get(book_id)
    split = split_into_chapters(document, choice)
    title = cut_title(document.title) or cut_title(posixpath.splitext(posixpath.basename(path))[0])
    author = cut_title(document.author)
    read = (drop_voice_marks(block.text) for chapter in split.chapters for block in chapter.blocks)
    language = find_book_language(document.language, rules.languages.get(book_id), read, book_id)
    rows, casting = make_rows(book_id, title, author, language, split.chapters, cast, place)
    account = describe_account(document, split, sum(words_in(row["text"]) for row in rows))
    problem = find_problem(account, split, choice, rules.max_left_out, book_id) or language.problem
    if not rows and not problem:
        raise ManifestError(f"{place}: no text to read was found in it; is it a book in one of {', '.join(SUFFIXES)}?")
    report = {
        "book_id": book_id,
        "path": path,
        "title": title,
        "author": author,
        "language": language.code,
        "edition": {name: value for name, value in asdict(document.edition).items() if value},
        "chapters": [cut_title(chapter.title) for chapter in split.chapters],
        "chapter_numbers": [chapter.number for chapter in split.chapters],
        "chapter_parts": [[cut_title(part) for part in chapter.parts] for chapter in split.chapters],
        "num_rows": len(rows),
        "num_chars": sum(len(row["text"]) for row in rows),
        **account,
        "notes": document.notes + language.notes + casting.notes,
        "rows_per_voice": dict(casting.rows_per_voice.most_common()),
        "num_quotes": casting.num_quotes,
        "quotes_per_name": dict(casting.quotes_per_name.most_common()),
        "doubtful": [asdict(quote) for quote in casting.doubtful],
    }
    return ReadBook(report, rows, document.cover, problem)
