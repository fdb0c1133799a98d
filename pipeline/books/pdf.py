"""Read PDF with a text layer: its bookmarks say where chapters begin, places and sizes of lines what they are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain

from pipeline.books.document import Block, Document, Entry, words_in
from pipeline.books.pdf_edges import Edges, cut_edges
from pipeline.books.pdf_pages import Bookmark, read_pages
from pipeline.books.pdf_text import Paragraph, body_size_of, make_paragraphs, put_heading
from pipeline.errors import ManifestError

_OF_A_PAGE = re.compile(r"(?:page|p\.|seite)?\s*[\divxlc]+", re.I)


def read_pdf(data: bytes, place: str) -> Document:
    """Read a book.

    Args:
        data: the file's content.
        place: what messages call it.

    Raises:
        ManifestError: the library is not installed, or it is no PDF, protected, without text, or over a limit.
    """
    pages = read_pages(data, place)
    if not any(pages.lines):
        raise ManifestError(
            f"{place}: has pictures of pages and no text; make a text layer first, for example with ocrmypdf"
        )
    body_size = body_size_of(pages.lines)
    edges = cut_edges(pages.lines, body_size)
    paragraphs = make_paragraphs(edges.kept, body_size)
    document = Document(pages.title, pages.author, "", [], 0)
    _take_bookmarks(document, paragraphs, pages.bookmarks)
    document.blocks = list(_in_order(paragraphs, edges))
    num_joined = sum(paragraph.num_joined for paragraph in paragraphs)
    lines = chain(*edges.kept, (line for gone in edges.gone for _, line in gone))
    document.num_words = sum(words_in(line.text) for line in lines) - num_joined
    if pages.num_unknown:
        document.notes.append(f"{pages.num_unknown:,} characters are in fonts that do not say which letters they are")
    document.notes.append("read from a PDF: look at columns, notes and words that lines cut before you read it aloud")
    return document


def _in_order(paragraphs: list[Paragraph], edges: Edges) -> Iterator[Block]:
    """Yield the blocks, and behind the text that begins on a page what was taken off it."""
    page = 0
    for paragraph in [*paragraphs, None]:
        until = paragraph.lines[0].page if paragraph else len(edges.gone)
        for gone in edges.gone[page:until]:
            yield from (Block("paragraph", line.text, reason=reason) for reason, line in gone)
        page = until
        if paragraph:
            yield from [paragraph.block] * (paragraph.block.kind == "scene" or bool(paragraph.block.text))
            yield from paragraph.unread


def _take_bookmarks(document: Document, paragraphs: list[Paragraph], bookmarks: list[Bookmark]) -> None:
    """Take the file's bookmarks as the book's contents, unless they only name pages."""
    if sum(bool(_OF_A_PAGE.fullmatch(bookmark.title)) for bookmark in bookmarks) * 2 > len(bookmarks):
        return
    pages = defaultdict[int, list[Paragraph]](list)
    for paragraph in paragraphs:
        pages[paragraph.lines[0].page].append(paragraph)
    unfound = []
    for bookmark in bookmarks:
        number = len(document.contents)
        document.contents.append(Entry(bookmark.title, bookmark.level))
        if bookmark.page is None:
            document.missing.append(bookmark.title)
        elif not put_heading(pages[bookmark.page], number, bookmark.title, bookmark.level + 1):
            unfound.append(bookmark.title)
    if unfound:
        document.notes.append(
            f"{len(unfound):,} of {len(bookmarks):,} bookmarks are not on their pages as they are written, so that "
            f"each begins with its page: {', '.join(map(repr, unfound[:3]))}"
        )
