"""How large a book and its parts may be. What is over a limit is refused by the limit's name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import ManifestError


@dataclass(frozen=True)
class BookLimits:
    """The limits. The longest novels have 3 MB of text and 20,000 paragraphs; the King James Bible has 31,000."""

    max_book_bytes: int = 256 << 20
    """Of a book's file."""
    max_text_bytes: int = 32 << 20
    """Of a text, Markdown or HTML file, or of all the documents of an EPUB that are read, unpacked."""
    max_unpacked_bytes: int = 512 << 20
    """Of all the files inside an EPUB, pictures included; of what a PDF holds packed, without pictures."""
    max_ratio: int = 200
    """How often larger a file inside an EPUB may be than it is packed."""
    max_items: int = 20_000
    """Files inside an EPUB; entries of its manifest, reading order and table of contents; pages of a PDF."""
    max_page_chars: int = 30_000
    """Characters on one page of a PDF; a page of a novel has 2,000, one of a newspaper 20,000."""
    max_blocks: int = 200_000
    """Headings, paragraphs, lines of verse and items of lists."""
    max_rows: int = 500_000
    """Sentences."""
    max_attributes: int = 500
    """Of one tag."""
    max_depth: int = 200
    """Of elements within elements."""
    max_title_chars: int = 300
    """Of a title or an author's name; longer ones are cut, not refused."""


LIMITS = BookLimits()

# As HTML's own rules have it: where an attribute ends, and that quotes hide what is in them. Nothing is tried twice.
_ATTRIBUTE = (
    r"(?>[\t\n\f\r /]*+[^\t\n\f\r />][^\t\n\f\r />=]*+"
    r"(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:\"[^\"]*+\"|'[^']*+'|[^\t\n\f\r >\"'][^\t\n\f\r >]*+|(?=>)))?)"
)
_MANY_ATTRIBUTES = rf"[^\t\n\f\r />]*+{_ATTRIBUTE}{{{LIMITS.max_attributes + 1}}}"
_CROWDED_TAG = re.compile(f"<[A-Za-z]{_MANY_ATTRIBUTES}")
_CROWDED_XML_TAG = re.compile(rf"<(?:[^\W\d]|:){_MANY_ATTRIBUTES}")


def cut_title(text: str) -> str:
    """Return a title or a name on one line, without what no title has: control characters, half characters, pages."""
    text = " ".join(re.sub("[\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", text).split())
    return text if len(text) <= LIMITS.max_title_chars else f"{text[: LIMITS.max_title_chars - 1]}…"


def check_limit(name: str, found: int, place: str, what: str, remedy: str = "cut the book in parts") -> None:
    """Refuse what is over a limit.

    Args:
        name: of the limit.
        found: what there is.
        place: what the message calls the book.
        what: what is counted.
        remedy: what the message advises.

    Raises:
        ManifestError: there is more.
    """
    limit = getattr(LIMITS, name)
    if found > limit:
        raise ManifestError(f"{place}: {found:,} {what}, expected at most {limit:,} ({name}); {remedy}")


def refuse_crowded_tags(text: str, place: str, *, is_xml: bool = False) -> None:
    """Refuse a tag of many attributes: parsers compare each with each other, and took two minutes for 200,000.

    Args:
        text: HTML without comments and scripts, or XML.
        place: what the message calls it.
        is_xml: tags begin with any letter.

    Raises:
        ManifestError: there is such a tag.
    """
    if match := (_CROWDED_XML_TAG if is_xml else _CROWDED_TAG).search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise ManifestError(
            f"{place}: near line {line}: a tag with more than {LIMITS.max_attributes} attributes (max_attributes); "
            "remove them"
        )
