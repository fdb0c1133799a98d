"""Read HTML: headings, paragraphs, verse, lists and breaks from the elements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pipeline.books.cleaning import clean_text, cut_license_blocks
from pipeline.books.document import Block, Document, LeftOut
from pipeline.books.limits import LIMITS, check_limit
from pipeline.errors import ManifestError

_SKIPPED = {
    "script": "", "style": "", "template": "", "noscript": "", "head": "", "iframe": "", "object": "",
    "nav": "table of contents", "img": "illustration", "svg": "illustration", "figure": "illustration",
    "picture": "illustration", "math": "formula", "audio": "", "video": "", "form": "", "button": "",
}  # fmt: skip
_BLOCKS = frozenset(
    "address article aside blockquote body center dd details div dl dt fieldset footer header hgroup html li main ol p "
    "pre section table tbody td tfoot th thead tr ul h1 h2 h3 h4 h5 h6 hr".split()
)
_VERSE = re.compile(r"\b(?:poem|poetry|verse|stanza|lg|linegroup|song|letter-?head)\b", re.I)
_UNREAD_CLASSES = (
    ("page number", re.compile(r"\b(?:pagenum|page-?number|pageno|pagebreak|doc-pagebreak)\b", re.I)),
    ("footnote", re.compile(r"\b(?:footnotes?|endnotes?|rearnotes?|doc-footnote|doc-endnotes?)\b", re.I)),
    ("footnote mark", re.compile(r"\b(?:noteref|doc-noteref|fnanchor|footnote-?ref)\b", re.I)),
    ("table of contents", re.compile(r"\b(?:toc|doc-toc|landmarks|page-list)\b", re.I)),
    ("license", re.compile(r"\b(?:pg-boilerplate|pg-header|pg-footer|pgheader|pgfooter)\b", re.I)),
    ("illustration", re.compile(r"\b(?:caption|figcenter|figleft|figright|illustration)\b", re.I)),
    (
        "front or back matter",
        re.compile(r"\b(?:titlepage|copyright-page|dedication|colophon|imprint|loi|index|transnote)\b", re.I),
    ),
)
_BREAK = "\ue002"
_MAX_MARK_CHARS, _MAX_SHOWN_CHARS = 8, 200
_NOTE_MARK = re.compile(r"^[\[(]?(?:\d{1,3}|[a-z]|[*†‡§])[\])]?$", re.I)
# As HTML's own rules have it: where an attribute ends, and that quotes hide what is in them. Nothing is tried twice.
_ATTRIBUTE = (
    r"(?>[\t\n\f\r /]*+[^\t\n\f\r />][^\t\n\f\r />=]*+"
    r"(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:\"[^\"]*+\"|'[^']*+'|[^\t\n\f\r >\"'][^\t\n\f\r >]*+|(?=>)))?)"
)
_CROWDED_TAG = re.compile(rf"<[A-Za-z][^\t\n\f\r />]*+{_ATTRIBUTE}{{{LIMITS.max_attributes + 1}}}")


def read_html(text: str, place: str) -> Document:
    """Read a page.

    Args:
        text: HTML or XHTML. Entities of its own making are refused, and nothing outside it is read.
        place: what messages call it.

    Raises:
        ManifestError: it declares entities, is over a limit or cannot be parsed.
    """
    page = _parse(text, place)
    root, reader = page.root, _Reader(place)
    reader.visit(root, verse=False, depth=0)
    reader.end_block("paragraph")
    if page.gave_up is not None:  # After `max_depth`, which says it better.
        raise ManifestError(f"{place}: the rest cannot be read: {page.gave_up}; cut long paragraphs in parts")
    names = {str(meta.get("name", "")).lower(): str(meta.get("content", "")) for meta in root.iter("meta")}
    title, author = _read_title(" ".join(names.get("dc.title", root.findtext(".//title") or "").split()))
    return Document(
        title=title,
        author=names.get("author", names.get("dc.creator", author)),
        language=str(root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""),
        blocks=cut_license_blocks(reader.finish(), reader.left_out),
        left_out=reader.left_out,
    )


@dataclass(frozen=True)
class _Page:
    root: Any
    gave_up: str | None
    """Where and why the parser stopped before the end, if it did."""


def _parse(text: str, place: str) -> _Page:
    from lxml import etree
    from lxml import html as lxml_html

    if re.search(r"<!ENTITY", text, re.I):
        raise ManifestError(
            f"{place}: declares entities of its own, which can hide text or files; remove <!ENTITY ...>"
        )
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)  # A declared encoding would contradict what is decoded already.
    # What is in them is no tag, though it may look like a long one.
    text = _drop_between(_drop_between(text, "<!--", "-->"), "<script", "</script")
    if match := _CROWDED_TAG.search(text):
        # The parser compares each attribute of a tag with each other: 200,000 of them took two minutes.
        line = text.count("\n", 0, match.start()) + 1
        raise ManifestError(
            f"{place}: near line {line}: a tag with more than {LIMITS.max_attributes} attributes (max_attributes); "
            "remove them"
        )
    try:
        parser = lxml_html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True)
        root = lxml_html.document_fromstring(text.encode("utf-8", "replace") or b"<p></p>", parser=parser)
    except (etree.LxmlError, ValueError) as error:
        raise ManifestError(f"{place}: not readable as HTML ({error}); save it again as UTF-8 HTML") from None
    gave_up = next(
        (f"line {error.line}: {error.message.strip()}" for error in parser.error_log.filter_from_fatals()), None
    )
    return _Page(root, gave_up)


def _drop_between(text: str, begin: str, end: str) -> str:
    """Return the text without what stands from one mark to the next other one; an open end stays."""
    opening, closing = re.compile(re.escape(begin), re.I), re.compile(re.escape(end), re.I)
    kept, position = [], 0
    while (first := opening.search(text, position)) and (last := closing.search(text, first.start() + 2)):
        kept.append(text[position : first.start()])
        position = last.end() if end.endswith(">") else last.start()
    return "".join([*kept, text[position:]])


def beginning_of(element: Any, num_chars: int) -> str:
    """Return the first characters of the text in an element, on one line; what follows is not read."""
    text = ""
    for part in element.itertext():
        text = re.sub(r"\s+", " ", f"{text}{part.lstrip()[:num_chars] if not text else part[: num_chars + 1]}")
        if len(text) > num_chars:
            break
    return text[:num_chars].strip()


def _read_title(title: str) -> tuple[str, str]:
    """Return title and author of a page's title as Project Gutenberg writes it; others are a title as they are."""
    title = re.sub(r"\s*\|\s*Project Gutenberg$", "", title)
    match = re.match(r"(?:The )?Project Gutenberg(?:['’]s)? (?:e-?book (?:of )?)?(?P<title>.+)", title, re.I)
    if match is None:
        return title, ""
    name, _, author = match["title"].rpartition(", by ")
    return (name, author) if name else (author, "")


class _Reader:
    def __init__(self, place: str) -> None:
        self.place = place
        self.left_out = LeftOut()
        self._blocks: list[Block] = []
        self._held: list[str] = []
        self._verse: list[str] = []

    def finish(self) -> list[Block]:
        """Return the blocks."""
        self._end_verse()
        return self._blocks

    def visit(self, element: Any, verse: bool, depth: int) -> None:
        """Read an element and what is in it, but not what follows it."""
        check_limit("max_depth", depth, self.place, "elements within each other", "save it in a simpler form")
        tag = element.tag if isinstance(element.tag, str) else ""
        if not tag or self._is_unread(element, tag):
            return
        verse = verse or tag == "pre" or bool(_VERSE.search(_names(element)))
        if tag == "br":
            self._held.append(_BREAK)
            return
        if tag in _BLOCKS:
            self.end_block("verse" if verse else "paragraph")
        if tag == "hr":
            self._append(Block("scene"))
            return
        self._add(element.text, tag == "pre")
        for child in element:
            self.visit(child, verse, depth + 1)
            self._add(child.tail, tag == "pre")
        if re.fullmatch(r"h[1-6]", tag):
            self.end_block("heading", int(tag[1]))
        elif tag in _BLOCKS:
            self.end_block("item" if tag in ("li", "dd", "dt") else "verse" if verse else "paragraph")

    def _is_unread(self, element: Any, tag: str) -> bool:
        names = _names(element)
        may_be_mark = tag == "sup" or (tag == "a" and "#" in str(element.get("href", "")))
        reason = _SKIPPED.get(tag)
        if reason is None:
            reason = next((reason for reason, pattern in _UNREAD_CLASSES if pattern.search(names)), None)
        if reason is None and may_be_mark and _NOTE_MARK.match(beginning_of(element, _MAX_MARK_CHARS)):
            reason = "footnote mark"
        if reason is None:
            return False
        if reason:
            shown = "" if tag in _SKIPPED and tag != "nav" else beginning_of(element, _MAX_SHOWN_CHARS)
            self.left_out.add(reason, str(element.get("alt") or shown))
        return True

    def _add(self, text: str | None, preformatted: bool) -> None:
        if text:
            self._held.append(text.replace("\n", _BREAK) if preformatted else text.replace("\n", " "))

    def end_block(self, kind: str, level: int = 0) -> None:
        """Make a block of the text since the last one."""
        raw, self._held = "".join(self._held), []
        if kind in ("heading", "item"):
            raw = raw.replace(_BREAK, " ")
        text = clean_text(raw.replace(_BREAK, "\n"), self.left_out, keep_underscores=False)
        lines = [line for line in text.split("\n") if line]
        if not lines:
            return
        if re.fullmatch(r"[\W_]*", text):
            if kind == "paragraph":
                self._append(Block("scene"))
        elif kind == "heading":
            self._append(Block("heading", " ".join(lines), level))
        elif kind == "item":
            self._append(Block("item", " ".join(lines)))
        elif len(lines) > 1:
            self._end_verse()
            self._verse = lines
        elif kind == "verse":
            # A line of verse in an element of its own joins the line before it.
            self._verse.append(lines[0])
        else:
            self._append(Block("paragraph", lines[0]))
        check_limit("max_blocks", len(self._blocks) + len(self._verse), self.place, "headings and paragraphs")

    def _append(self, block: Block) -> None:
        self._end_verse()
        self._blocks.append(block)

    def _end_verse(self) -> None:
        if self._verse:
            self._blocks.append(Block("verse", "\n".join(self._verse)))
            self._verse = []


def _names(element: Any) -> str:
    values = (
        element.get(name, "") for name in ("class", "id", "role", "epub:type", "{http://www.idpf.org/2007/ops}type")
    )
    return " ".join(str(value) for value in values)
