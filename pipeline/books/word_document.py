"""Read Word documents (DOCX) by way of HTML, which the library mammoth makes of them."""

from __future__ import annotations

import io
import re

from pipeline.books.document import Document, words_of
from pipeline.books.epub_archive import EpubArchive
from pipeline.books.markup import read_html
from pipeline.books.word_styles import CENTERED, LARGE, mend_document
from pipeline.config.extras import need_extra
from pipeline.errors import ManifestError

_STYLES = f"p.{LARGE} => p.large:fresh\np.{CENTERED} => p.centered:fresh"
_NOTE = re.compile(r'<li id="((?:foot|end)note-)')


def read_word_document(data: bytes, place: str) -> Document:
    """Read a book.

    Args:
        data: the file's content.
        place: what messages call it.

    Raises:
        ManifestError: the library is not installed, or it is no such document, over a limit, or built to do harm.
    """
    try:
        import mammoth
    except ImportError:
        raise ManifestError(need_extra(f"{place}: a Word document", "mammoth", "docx")) from None
    archive = EpubArchive(data, place, "a Word document")
    # Checks sizes and entities of all that the library reads without such checks.
    roots = {name: archive.read_xml(name) for name in archive.names() if name.endswith((".xml", ".rels"))}
    if "word/document.xml" not in roots:
        raise ManifestError(f"{place}: not a Word document; expected a .docx file")
    try:
        data, hidden = mend_document(data, roots)
        html = mammoth.convert_to_html(io.BytesIO(data), style_map=_STYLES).value
    except Exception as error:  # Whatever the library makes of a document that is none.
        raise ManifestError(f"{place}: cannot be read as a Word document ({type(error).__name__}: {error})") from None
    document = read_html(_NOTE.sub(r'<li class="footnote" id="\1', html) or "<p></p>", place)
    document.blocks += hidden
    document.num_words += words_of(hidden)
    core = roots.get("docProps/core.xml")
    if core is not None:
        document.title = next((found.text for found in core.iter("{*}title") if found.text), "")
        document.author = next((found.text for found in core.iter("{*}creator") if found.text), "")
        document.language = next((found.text for found in core.iter("{*}language") if found.text), "")
    return document
