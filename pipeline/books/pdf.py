"""Read PDF with a text layer: its bookmarks say where chapters begin, places and sizes of lines what they are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from pipeline.books.document import Block, Document, Entry, words_in
from pipeline.books.pdf_edges import LARGE, Edges, cut_edges
from pipeline.books.pdf_pages import Bookmark, Line, read_pages
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
    titles = [pages.title, pages.author, *(bookmark.title for bookmark in pages.bookmarks)]
    begins = defaultdict[int, list[str]](list)
    for bookmark in pages.bookmarks:
        if bookmark.page is not None:
            begins[bookmark.page].append(bookmark.title)
    edges = cut_edges(pages.lines, body_size, titles, begins)
    for number, (gone, aslant) in enumerate(zip(edges.gone, pages.aslant, strict=True)):
        if text := " ".join(aslant.split()):
            gone.append(("text aslant", Line(number, text, 0.0, 0.0, 0.0, 0.0, body_size)))
    paragraphs = make_paragraphs(edges.kept, body_size)
    document = Document(pages.title, pages.author, "", [], 0)
    _take_bookmarks(document, paragraphs, pages.bookmarks, body_size)
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


def _take_bookmarks(
    document: Document, paragraphs: list[Paragraph], bookmarks: list[Bookmark], body_size: float
) -> None:
    """Take the file's bookmarks as the book's contents, unless they only name pages."""
    if sum(bool(_OF_A_PAGE.fullmatch(bookmark.title)) for bookmark in bookmarks) * 2 > len(bookmarks):
        return
    pages = defaultdict[int, list[Paragraph]](list)
    for paragraph in paragraphs:
        pages[paragraph.lines[0].page].append(paragraph)
    unfound = []
    for bookmark in bookmarks:
        number, title = len(document.contents), bookmark.title
        if bookmark.page is None:
            document.missing.append(title)
        else:
            title, is_there = put_heading(pages[bookmark.page], number, title, bookmark.level + 1)
            unfound += [] if is_there else [bookmark.title]
        document.contents.append(Entry(title, bookmark.level))
    unnamed = _add_unnamed(document, paragraphs, body_size)
    if unnamed:
        document.notes.append(
            f"{len(unnamed):,} heading(s) look like those that bookmarks name, and begin chapters without one: "
            f"{', '.join(map(repr, unnamed[:3]))}"
        )
    if unfound:
        document.notes.append(
            f"{len(unfound):,} of {len(bookmarks):,} bookmarks are not on their pages as they are written, so that "
            f"each begins with its page and its heading: {', '.join(map(repr, unfound[:3]))}"
        )


def _add_unnamed(document: Document, paragraphs: list[Paragraph], body_size: float) -> list[str]:
    """Add the headings that look like those of the bookmarks of the highest level, and that none names.

    Returns:
        Their titles; those before the first bookmark and in letters of the text's size are none.
    """
    highest = min((paragraph.block.level for paragraph in paragraphs if _is_named(paragraph)), default=0)
    named = [number for number, paragraph in enumerate(paragraphs)
             if _is_named(paragraph) and paragraph.block.level == highest]  # fmt: skip
    looks = {_look_of(paragraphs[number]) for number in named}
    unnamed, contents = list[str](), list[Entry]()
    for number, paragraph in enumerate(paragraphs):
        block = paragraph.block
        entries = [document.contents[entry] for entry in block.entries]
        is_large = paragraph.lines[0].size >= LARGE * body_size and _look_of(paragraph) in looks
        is_label = number + 1 < len(paragraphs) and _is_named(paragraphs[number + 1])
        is_new = not entries and block.kind == "heading" and not is_label
        if len(named) > 1 and number > named[0] and is_new and is_large:
            entries = [Entry(block.text, highest - 1)]
            unnamed.append(block.text)
        paragraph.block = replace(block, entries=tuple(range(len(contents), len(contents) + len(entries))))
        contents += entries
    document.contents = contents
    return unnamed


def _is_named(paragraph: Paragraph) -> bool:
    return bool(paragraph.block.entries) and paragraph.block.kind == "heading"


def _look_of(paragraph: Paragraph) -> tuple[int, bool]:
    return round(paragraph.lines[0].size), paragraph.lines[0].is_bold
