"""Read HTML, and Markdown by way of it: headings, paragraphs, verse, lists and breaks from the elements."""

from __future__ import annotations

import re
from typing import Any

import yaml

from pipeline.books.cleaning import clean_text, cut_license_blocks, hide_voice_marks
from pipeline.books.document import Block, Document, LeftOut
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
_NOTE_MARK = re.compile(r"^[\[(]?(?:\d{1,3}|[a-z]|[*†‡§])[\])]?$", re.I)
_MAX_DEPTH = 200


def read_html(text: str, place: str) -> Document:
    """Read a page.

    Args:
        text: HTML or XHTML. Entities of its own making are refused, and nothing outside it is read.
        place: what messages call it.

    Raises:
        ManifestError: it declares entities, nests too deep or cannot be parsed.
    """
    from lxml import etree
    from lxml import html as lxml_html

    if re.search(r"<!ENTITY", text, re.I):
        raise ManifestError(
            f"{place}: declares entities of its own, which can hide text or files; remove <!ENTITY ...>"
        )
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)  # A declared encoding would contradict what is decoded already.
    try:
        parser = lxml_html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True)
        root = lxml_html.document_fromstring(text.encode("utf-8", "replace") or b"<p></p>", parser=parser)
    except (etree.LxmlError, ValueError) as error:
        raise ManifestError(f"{place}: not readable as HTML ({error}); save it again as UTF-8 HTML") from None
    reader = _Reader(place)
    reader.visit(root, verse=False, depth=0)
    reader.end_block("paragraph")
    names = {str(meta.get("name", "")).lower(): str(meta.get("content", "")) for meta in root.iter("meta")}
    title, author = _read_title(" ".join(names.get("dc.title", root.findtext(".//title") or "").split()))
    return Document(
        title=title,
        author=names.get("author", names.get("dc.creator", author)),
        language=str(root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or ""),
        blocks=cut_license_blocks(reader.blocks, reader.left_out),
        left_out=reader.left_out,
    )


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
        self.blocks: list[Block] = []
        self.left_out = LeftOut()
        self.held: list[str] = []

    def visit(self, element: Any, verse: bool, depth: int) -> None:
        """Read an element and what is in it, but not what follows it."""
        if depth > _MAX_DEPTH:
            raise ManifestError(f"{self.place}: elements nest deeper than {_MAX_DEPTH}; no book needs that")
        tag = element.tag if isinstance(element.tag, str) else ""
        if not tag or self._is_unread(element, tag):
            return
        verse = verse or tag == "pre" or bool(_VERSE.search(_names(element)))
        if tag == "br":
            self.held.append(_BREAK)
            return
        if tag in _BLOCKS:
            self.end_block("verse" if verse else "paragraph")
        if tag == "hr":
            self.blocks.append(Block("scene"))
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
        text = "".join(element.itertext()) if tag in ("a", "sup") else ""
        reason = _SKIPPED.get(tag)
        if reason is None:
            reason = next((reason for reason, pattern in _UNREAD_CLASSES if pattern.search(names)), None)
        if reason is None and (tag == "sup" or "#" in str(element.get("href", ""))) and _NOTE_MARK.match(text.strip()):
            reason = "footnote mark"
        if reason is None:
            return False
        if reason:
            shown = "" if tag in _SKIPPED and tag != "nav" else " ".join(element.itertext())
            self.left_out.add(reason, str(element.get("alt") or shown))
        return True

    def _add(self, text: str | None, preformatted: bool) -> None:
        if text:
            self.held.append(text.replace("\n", _BREAK) if preformatted else text.replace("\n", " "))

    def end_block(self, kind: str, level: int = 0) -> None:
        """Make a block of the text since the last one."""
        raw, self.held = "".join(self.held), []
        if kind in ("heading", "item"):
            raw = raw.replace(_BREAK, " ")
        text = clean_text(raw.replace(_BREAK, "\n"), self.left_out, keep_underscores=False)
        lines = [line for line in text.split("\n") if line]
        if not lines:
            return
        if re.fullmatch(r"[\W_]*", text):
            if kind == "paragraph":
                self.blocks.append(Block("scene"))
        elif kind == "heading":
            self.blocks.append(Block("heading", " ".join(lines), level))
        elif kind == "item":
            self.blocks.append(Block("item", " ".join(lines)))
        elif len(lines) > 1:
            self.blocks.append(Block("verse", "\n".join(lines)))
        else:
            # A line of verse in an element of its own joins the line before it.
            last = self.blocks[-1] if self.blocks else None
            if kind == "verse" and last and last.kind == "verse":
                self.blocks[-1] = Block("verse", f"{last.text}\n{lines[0]}")
            else:
                self.blocks.append(Block("verse" if kind == "verse" else "paragraph", lines[0]))


def _names(element: Any) -> str:
    values = (
        element.get(name, "") for name in ("class", "id", "role", "epub:type", "{http://www.idpf.org/2007/ops}type")
    )
    return " ".join(str(value) for value in values)


def read_markdown(text: str, place: str) -> Document:
    """Read Markdown (CommonMark), with an optional block of `title`, `author`, `language` in YAML at its beginning.

    Raises:
        ManifestError: that block is not YAML, or a voice mark has no name.
    """
    from markdown_it import MarkdownIt

    fields: dict[str, Any] = {}
    text = text.replace("\r\n", "\n")
    if match := re.match(r"---\n(.*?)\n(?:---|\.\.\.)\n", text, re.S):
        try:
            fields = yaml.safe_load(match[1]) or {}
        except yaml.YAMLError as error:
            raise ManifestError(
                f"{place}:1: the block between --- is not YAML: {' '.join(str(error).split())}"
            ) from None
        if not isinstance(fields, dict):
            raise ManifestError(f"{place}:1: the block between --- is not a mapping; write title: ..., author: ...")
        text = text[match.end() :]
    text = re.sub(r"^\[\^[^\]]+\]:.*$|\[\^[^\]]+\]", "", text, flags=re.M)  # CommonMark knows no footnotes.
    document = read_html(MarkdownIt("commonmark").render(hide_voice_marks(text, place)), place)
    for name in ("title", "author", "language"):
        if fields.get(name):
            setattr(document, name, str(fields[name]))
    return document
