"""Read PDF with a text layer by way of plain text, as well as a page says what it means.

Lines are joined and words that a line end cut are put together; lines that return on many pages are left out. Columns
are read in the order in which the file has them, footnotes where they stand.
"""

from __future__ import annotations

import io
import re
from collections import Counter

from pipeline.books.document import Block, Document, words_of
from pipeline.books.limits import check_limit
from pipeline.books.plain_text import read_plain_text
from pipeline.config.extras import need_extra
from pipeline.errors import ManifestError

_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad]\n(?=[^\W\d_A-Z])")
_NUMBER = re.compile(r"\d+")
_MANY_PAGES = 0.3
_ENDS_SENTENCE = re.compile(r"[.!?…:;\"'”’»]$")
_SHORT_LINE = 0.75


def read_pdf(data: bytes, place: str) -> Document:
    """Read a book.

    Args:
        data: the file's content.
        place: what messages call it.

    Raises:
        ManifestError: the library is not installed, or it is no PDF, protected, without text, or over a limit.
    """
    try:
        import pypdf
    except ImportError:
        raise ManifestError(need_extra(f"{place}: a PDF", "pypdf", "pdf")) from None
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted:
            raise ManifestError(f"{place}: protected against copying; use a copy without such protection")
        check_limit("max_items", len(reader.pages), place, "pages")
        pages = [page.extract_text() for page in reader.pages]
        info = reader.metadata
    except ManifestError:
        raise
    except Exception as error:  # Whatever the library makes of a file that is none.
        raise ManifestError(f"{place}: cannot be read as PDF ({type(error).__name__}: {error})") from None
    check_limit("max_text_bytes", sum(map(len, pages)), place, "characters of text")
    if not any(page.strip() for page in pages):
        raise ManifestError(
            f"{place}: has pictures of pages and no text; make a text layer first, for example with ocrmypdf"
        )
    text, running = _join_pages([page.split("\n") for page in pages])
    document = read_plain_text(text, place)
    left_out = [Block("paragraph", line, reason="page number") for line in running]
    document.blocks += left_out
    document.num_words += words_of(left_out)
    document.title = str((info and info.title) or "") or document.title
    document.author = str((info and info.author) or "") or document.author
    document.notes.append("read from a PDF: look at columns, notes and words that lines cut before you read it aloud")
    return document


def _join_pages(pages: list[list[str]]) -> tuple[str, list[str]]:
    """Return the text of all pages, paragraphs apart, and the lines that stand at the edge of many pages."""
    edges = Counter(
        _NUMBER.sub("#", line.strip()) for lines in pages for line in {*_edge(lines, 0), *_edge(lines, -1)} if line
    )
    running: list[str] = []
    kept: list[str] = []
    for lines in pages:
        lines = [line.strip() for line in lines]
        while lines and (not lines[0] or _is_running(lines[0], edges, len(pages))):
            running.append(lines.pop(0))
        while lines and (not lines[-1] or _is_running(lines[-1], edges, len(pages))):
            running.append(lines.pop())
        kept += lines
    widths = sorted(len(line) for line in kept if line)
    usual = widths[int(0.8 * len(widths))] if widths else 0
    text = ""
    for line in kept:
        # A page has no blank lines: a paragraph ends where a sentence does in a short line.
        ends = len(line) < _SHORT_LINE * usual and (_ENDS_SENTENCE.search(line) or line.istitle() or line.isupper())
        text += f"{line}\n\n\n" if ends else f"{line}\n"
    return _HYPHEN.sub("", text), [line for line in running if line]


def _edge(lines: list[str], place: int) -> list[str]:
    found = [line.strip() for line in lines if line.strip()]
    return [found[place]] if found else []


def _is_running(line: str, edges: Counter[str], num_pages: int) -> bool:
    return line.isdecimal() or edges[_NUMBER.sub("#", line)] > max(2, _MANY_PAGES * num_pages)
