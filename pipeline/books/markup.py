"""Read HTML: headings, paragraphs, verse, lists, tables and breaks from the elements."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.books.book_language import describe_marked
from pipeline.books.cleaning import clean_text, leave_license_out
from pipeline.books.document import MARK_OPEN, Block, Document, words_in
from pipeline.books.entities import expand_entities
from pipeline.books.furniture import ROLE, mark_furniture
from pipeline.books.headings import is_bare_label
from pipeline.books.limits import check_limit, refuse_crowded_tags
from pipeline.books.line_breaks import are_paragraphs, is_prose, is_wrapped
from pipeline.books.linked_contents import Link, follow_links
from pipeline.books.linked_notes import BLOCKS, HEADINGS, is_above, mark_notes
from pipeline.books.plain_text import read_plain_text
from pipeline.books.raised import NOTE_MARK, read_above, read_below
from pipeline.books.styled_titles import mark_styled_titles
from pipeline.errors import ManifestError

_SKIPPED = {
    "script": "", "style": "", "template": "", "noscript": "", "head": "", "iframe": "", "object": "",
    "nav": "table of contents", "img": "illustration", "svg": "illustration", "picture": "illustration",
    "math": "formula", "audio": "", "video": "", "form": "", "button": "", "rt": "reading aid", "rp": "reading aid",
    "del": "struck text", "s": "struck text", "strike": "struck text",
}  # fmt: skip
_PICTURES = ("img", "svg", "picture", "object", "video", "audio", "canvas", "math")
_TEXT_OF_FIGURES = ("table", "blockquote", "pre", "ul", "ol", "dl")
_VERSE = re.compile(r"(?<![^\W_])(?:poem|poetry|verse|stanza|lg|linegroup|song|hymn|letter-?head)(?![^\W_])", re.I)
_REASONS = {
    "page number": "pagenum page-number pagenumber pageno pagebreak doc-pagebreak",
    "footnote": "footnote footnotes endnote endnotes rearnote rearnotes doc-footnote doc-endnote doc-endnotes "
    "duokan-footnote-content duokan-footnote-item",
    "footnote mark": "noteref doc-noteref fnanchor footnote-ref footnoteref duokan-footnote",
    "table of contents": "toc doc-toc landmarks page-list loi lot",
    "license": "pg-boilerplate pg-header pg-footer pgheader pgfooter",
    "page furniture": ROLE,
    "illustration": "caption figcenter figleft figright illustration",
    "editor's note": "transnote transcriber-note transcribers-note",
    "about the edition": "titlepage halftitlepage copyright-page imprint colophon doc-colophon seriespage",
    "front or back matter": "dedication doc-dedication index doc-index bibliography doc-bibliography acknowledgments "
    "doc-acknowledgments contributors other-credits errata doc-errata",
}
_REASON_OF = {token: reason for reason, tokens in _REASONS.items() for token in tokens.split()}
"""By the words of `class`, `epub:type` and `role`; a word that is part of another one says nothing."""
_REASON_OF_IDS = {"title-block-header": "about the edition", "pg-header": "license", "pg-footer": "license"}
_OF_BLOCKS = ("front or back matter", "about the edition")
_CODE = frozenset(("programlisting", "screen", "sourcecode", "code", "listing", "code-block", "codeblock"))
_HIDDEN_STYLE = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)
_STRUCK_STYLE = re.compile(r"(?:^|;)\s*text-decoration(?:-line)?\s*:[^;]*line-through", re.I)
_HEADING_NAME = re.compile(
    r"^(?:(?P<part>part|book)|chapter|chap|story|(?P<section>section))[-_]?(?:title|head(?:ing|er)?|number|num|no|name|label)$|"
    r"^h(?:eading)?[-_]?(?P<level>[1-6])$"
)
_MAX_HEADING_CHARS = 120
_DROP_CAP = re.compile(r"^(?:drop(?:ped)?[-_]?caps?|lettrine|initial(?:e|[-_]?cap)?|first[-_]?letter|versal)$")
_INITIAL = re.compile(
    r"(?:.{0,30}\b(?:cap|capital|initial|letter|lettrine)\b\W*)?(?P<letter>[\"“‘«„'(]?\s?[^\W\d_])[\"”]?", re.I
)
_ALONE = "AIOÀYÔ"
"""Letters that are words."""
_BREAK = "\ue002"
_MAX_MARK_CHARS = 8
_MAX_PIECES, _MAX_BEFORE_CHARS = 12, 80
_MIN_CELL_CHARS = 200
_ONE_LINE = (*HEADINGS, "dt", "tr", "pre", "figcaption", "hgroup")
_MAX_CAPTION_WORDS = 60
_EMPTIED = re.compile(r"[\[(]\s*[\])]")  # What stood around the link of a mark.


@dataclass
class PageText:
    """What is in a page.

    Attributes:
        blocks: in their order.
        num_words: counted before anything is left out.
        anchors: before which block each wanted id stands.
        links: the links to these ids, and in which block.
    """

    blocks: list[Block]
    num_words: int
    anchors: Mapping[str, int]
    links: Sequence[Link] = ()


def read_html(text: str, place: str) -> Document:
    """Read a page that is a book.

    Args:
        text: HTML or XHTML. Entities that stand for more than a short text are refused; nothing outside it is read.
        place: what messages call it.

    Raises:
        ManifestError: it declares entities, is over a limit or cannot be parsed.
    """
    page = parse_page(text, place)
    root = page.root
    mark_notes({posixpath.basename(place): root})
    mark_styled_titles(root)
    mark_furniture(root)
    targets = {href[1:] for link in root.iter("a") if (href := str(link.get("href", "")).strip()).startswith("#")}
    found = read_page(page, place, targets)
    names = {str(meta.get("name", "")).lower(): str(meta.get("content", "")) for meta in root.iter("meta")}
    title, author = _read_title(" ".join(names.get("dc.title", root.findtext(".//title") or "").split()))
    language = str(root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or "")
    return Document(
        title=title,
        author=names.get("author", names.get("dc.creator", author)),
        language=language,
        blocks=leave_license_out(follow_links(found.blocks, found.links, found.anchors)),
        num_words=found.num_words,
        notes=describe_marked([root], language),
    )


def parse_html(text: str, place: str) -> Any:
    """Return the root of a page, well formed or not; raises as `read_html` does."""
    return parse_page(text, place).root


def read_page(page: Page, place: str, anchors: Collection[str] = ()) -> PageText:
    """Read one page of a book; raises as `read_html` does.

    Args:
        page: as `parse_page` returns it.
        place: what messages call it.
        anchors: ids that are looked for.
    """
    reader = _Reader(place, frozenset(anchors))
    reader.visit(page.root, verse=False, depth=0)
    reader.end_block("paragraph")
    if page.gave_up is not None:  # After `max_depth`, which says it better.
        raise ManifestError(f"{place}: the rest cannot be read: {page.gave_up}; cut long paragraphs in parts")
    return PageText(reader.finish(), reader.num_words, reader.anchors, reader.links)


@dataclass(frozen=True)
class Page:
    """A page whose elements are known and whose text is not yet read.

    Attributes:
        root: of its elements.
        gave_up: where and why the parser stopped before the end, if it did.
    """

    root: Any
    gave_up: str | None


def parse_page(text: str, place: str) -> Page:
    """Parse a page, well formed or not; raises as `read_html` does."""
    from lxml import etree
    from lxml import html as lxml_html

    text = expand_entities(text, place)
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)  # A declared encoding would contradict what is decoded already.
    # What is in them is no tag, though it may look like a long one.
    text = _drop_between(_drop_between(text, "<!--", "-->"), "<script", "</script")
    refuse_crowded_tags(text, place)
    try:
        parser = lxml_html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True)
        root = lxml_html.document_fromstring(text.encode("utf-8", "replace") or b"<p></p>", parser=parser)
    except (etree.LxmlError, ValueError) as error:
        raise ManifestError(f"{place}: not readable as HTML ({error}); save it again as UTF-8 HTML") from None
    gave_up = next(
        (f"line {error.line}: {error.message.strip()}" for error in parser.error_log.filter_from_fatals()), None
    )
    return Page(root, gave_up)


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


@dataclass
class _Reader:
    place: str
    wanted: frozenset[str]
    num_words: int = 0
    anchors: dict[str, int] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    _is_body: bool = False
    """The element that is being read is marked as the body of the book: a dedication in it belongs to the story."""
    _inside: str = ""
    """The innermost block or cell that is being read."""
    _reason: str = ""
    """Why nothing of the element that is being read is read aloud."""
    _blocks: list[Block] = field(default_factory=list)
    _held: list[str] = field(default_factory=list)
    _verse: list[str] = field(default_factory=list)
    _initial: str = ""
    """A letter that stands as a picture, or apart, before the rest of its word."""
    _is_pictured: bool = False
    _is_inline_initial: bool = False
    _unread: list[Block] = field(default_factory=list)
    """What of the text that is held is not read; it follows the block."""

    def finish(self) -> list[Block]:
        """Return the blocks."""
        self._end_verse()
        return self._blocks

    def visit(self, element: Any, verse: bool, depth: int) -> None:
        """Read an element and what is in it, but not what follows it."""
        check_limit("max_depth", depth, self.place, "elements within each other", "save it in a simpler form")
        tag = element.tag if isinstance(element.tag, str) else ""
        if not tag:
            return
        tag = "sup" if tag == "span" and is_above(element) else tag
        is_block = tag in BLOCKS
        if is_block:
            self.end_block("verse" if verse else "paragraph")
        if self._take_initial(element, tag):
            return
        self._note_anchor(element)
        self._note_link(element)
        reason = self._find_reason(element, tag)
        if tag == "br" and reason is None:
            if self._ends_paragraph():
                self.end_block("verse" if verse else "paragraph")
            else:
                self._held.append(_BREAK)
        elif tag == "hr" and reason is None:
            self._append(Block("scene"))
        elif reason is None:
            self._visit_inside(element, tag, verse, depth)
        elif reason and is_block and tag not in ("nav", "figure"):
            self._end_verse()
            before, self._reason = self._reason, self._reason or reason
            self._visit_inside(element, tag, verse, depth)
            self.end_block("paragraph")
            self._end_verse()
            self._reason = before
        elif reason:
            self._leave_out(element, reason)

    def _visit_inside(self, element: Any, tag: str, verse: bool, depth: int) -> None:
        tokens = _tokens(element)
        verse = verse or bool(tokens and _VERSE.search(" ".join(tokens)))
        is_plain, verse = not verse, verse or tag == "pre"
        if tag in ("sup", "sub") and not self._visit_set_off(element, tag):
            return
        first = len(self._blocks)
        was_body, was_inside = self._is_body, self._inside
        self._is_body = was_body or "bodymatter" in tokens
        self._inside = tag if tag in BLOCKS or tag in ("td", "th") else was_inside
        self._add(element.text, tag == "pre")
        for child in element:
            self.visit(child, verse, depth + 1)
            self._add(child.tail, tag == "pre")
        self._is_body, self._inside = was_body, was_inside
        if level := _level_of(element, tag, tokens):
            self.end_block("heading", level)
        elif tag in ("td", "th"):
            self._end_cell()
        elif tag in BLOCKS:
            kind = "item" if tag in ("li", "dd", "dt", "tr") else "verse" if verse else "paragraph"
            self.end_block("pre" if tag == "pre" and is_plain else kind)
        if tag == "hgroup":
            self._join_headings(first)

    def _note_anchor(self, element: Any) -> None:
        for name in {element.get("id"), element.get("name")} & self.wanted:
            if not self._held:
                self._end_verse()
            self.anchors.setdefault(str(name), len(self._blocks))

    def _note_link(self, element: Any) -> None:
        target = str(element.get("href", "")).strip() if element.tag == "a" else ""
        if target[1:] in self.wanted and target.startswith("#"):
            self.links.append((len(self._blocks), target[1:]))

    def _find_reason(self, element: Any, tag: str) -> str | None:
        """Return why an element is not read: None where it is, empty where it holds no text of the book."""
        tokens = _tokens(element)
        reason = _SKIPPED.get(tag, _REASON_OF_IDS.get(str(element.get("id"))))
        if reason is None:
            reason = next((_REASON_OF[token] for token in tokens if token in _REASON_OF), None)
            if reason in _OF_BLOCKS and (tag not in BLOCKS or (self._is_body and reason == "front or back matter")):
                reason = None
        is_unseen = element.get("hidden") is not None or element.get("aria-hidden") == "true"
        if reason is None and _STRUCK_STYLE.search(element.get("style") or ""):
            reason = "struck text"
        if reason is None and (is_unseen or _HIDDEN_STYLE.search(element.get("style") or "")):
            reason = "hidden text"
        if reason is None and tag == "pre" and _is_code(element, tokens):
            reason = "code"
        if reason is None and tag == "figure" and _is_picture(element):
            reason = "illustration"
        if reason == "illustration" and tag in BLOCKS and words_in(_text_of(element)) > _MAX_CAPTION_WORDS:
            reason = None  # So much is told, not shown.
        if reason is None and tag in ("sup", "a") and self._is_note_mark(element, tag):
            reason = "footnote mark"
        return reason

    def _is_note_mark(self, element: Any, tag: str) -> bool:
        text, before = beginning_of(element, _MAX_MARK_CHARS), self._before()
        if tag == "sup" and not _is_linked(element, text):
            return len(text) < _MAX_MARK_CHARS and read_above(text, before, _after(element)) is None
        if not NOTE_MARK.match(text):
            return False
        # "See chapter 3" may be a link; a mark stands at its word, or in brackets or above the line.
        is_apart = not before or before[-1].isspace() or before[-1] in "|/·•–—"
        is_apart = is_apart and text.isalnum() and element.find("sup") is None
        return tag == "sup" or ("#" in str(element.get("href", "")) and not is_apart)

    def _visit_set_off(self, element: Any, tag: str) -> bool:
        """Read what stands above or below the line; return whether it is to be read as any text."""
        text = " ".join("".join(element.itertext()).split())
        if not text or (len(element) and element.find(".//a") is not None):
            return True
        before = self._before()
        read = read_above(text, before, _after(element)) if tag == "sup" else read_below(text, before)
        if read is None or read == text:
            return True
        self._add(read, False)
        return False

    def _before(self) -> str:
        return "".join(self._held[-_MAX_PIECES:])[-_MAX_BEFORE_CHARS:]

    def _leave_out(self, element: Any, reason: str) -> None:
        for link in element.iter("a"):
            self._note_link(link)
        text = _text_of(element)
        self.num_words += words_in(text)
        block = Block("paragraph", text, reason=self._reason or reason)
        if self._held:
            self._unread.append(block)
        else:
            self._append(block)

    def _take_initial(self, element: Any, tag: str) -> bool:
        """Hold a large first letter until its word goes on; return whether that is all that the element is."""
        is_picture = tag in ("img", "svg")
        if not is_picture and not (tag in BLOCKS and any(map(_DROP_CAP.match, _tokens(element)))):
            return False
        text = str(element.get("alt") or "").strip() or beginning_of(element, _MAX_MARK_CHARS)
        match = _INITIAL.fullmatch(text)
        if not match or not match["letter"][-1].isupper() or "".join(self._held).strip():
            return False
        self._held.clear()
        self._initial, self._is_pictured = match["letter"].replace(" ", ""), is_picture
        self._is_inline_initial = is_picture
        return not is_picture

    def _join_initial(self, text: str) -> str:
        """Return a text with the letter before it, unless that is a picture and the text has it, too."""
        initial, self._initial = self._initial, ""
        rest = text.lstrip()
        word = re.split(r"[\W\d_]", rest, maxsplit=1)[0]
        is_rest = word[:1].islower() or rest[:1] in "’'" or (word.isupper() and word[0] != initial[-1])
        if is_rest and (rest == text or not self._is_inline_initial):
            return initial + rest
        if is_rest and initial[-1] in _ALONE:
            return f"{initial} {rest}"
        return text if self._is_pictured else f"{initial} {rest}"

    def _add(self, text: str | None, preformatted: bool) -> None:
        if text and self._initial and text.strip() and not self._reason:
            text = self._join_initial(text)
        if text:
            self._held.append(text.replace("\n", _BREAK) if preformatted else text.replace("\n", " "))

    def _ends_paragraph(self) -> bool:
        """Return whether a `br` is the second in a row, which ends a paragraph, but no title and no cell."""
        held = self._before().rstrip()
        is_cell = self._inside in ("li", "dd", "td", "th") and sum(map(len, self._held)) < _MIN_CELL_CHARS
        return held.endswith(_BREAK) and not is_cell and self._inside not in _ONE_LINE

    def _end_cell(self) -> None:
        held = "".join(self._held).rstrip()
        if held:
            self._held = [held, " " if held[-1] in ",;:.!?" else ", "]

    def end_block(self, kind: str, level: int = 0) -> None:
        """Make a block of the text since the last one."""
        raw, self._held = "".join(self._held), []
        self._is_inline_initial = False
        if not raw or raw.isspace():
            self._end_unread()
            return
        self.num_words += words_in(raw.replace(_BREAK, "\n"))
        lines = raw.split(_BREAK)
        if kind == "pre" and not self._reason and MARK_OPEN not in raw and is_wrapped(lines):
            for block in [*read_plain_text("\n".join(lines), self.place).blocks]:
                self._append(block)
            self._end_unread()
            return
        if kind in ("paragraph", "pre") and are_paragraphs(lines):
            self._end_verse()
            for line in lines:
                self._put("paragraph", line, level)
        else:
            self._put(kind, raw, level)
        self._end_unread()
        check_limit("max_blocks", len(self._blocks) + len(self._verse), self.place, "headings and paragraphs")

    def _put(self, kind: str, raw: str, level: int) -> None:
        if kind == "item":
            raw = raw.rstrip(", ")
        if kind == "heading":
            label, _, rest = raw.partition(_BREAK)
            raw = f"{join_title(label.strip())} {rest}" if rest.strip() and is_bare_label(label.strip()) else raw
        if kind in ("heading", "item"):
            raw = raw.replace(_BREAK, " ")
        if self._unread:
            raw = re.sub(r"\s+(?=[.,;](?:\s|$))", "", _EMPTIED.sub("", raw))
        text = clean_text(raw.replace(_BREAK, "\n"), self._unread, keep_underscores=False)
        lines = [line for line in text.split("\n") if line]
        if not lines:
            return
        if re.fullmatch(r"[\W_]*", text):
            if kind == "paragraph":
                self._append(Block("scene"))
        elif kind == "heading":
            self._append(Block("heading", " ".join(lines), level))
        elif kind == "item" or (kind == "paragraph" and (len(lines) == 1 or is_prose(lines))):
            self._append(Block("item" if kind == "item" else "paragraph", " ".join(lines)))
        elif len(lines) > 1:
            self._end_verse()
            self._verse = lines
        else:
            # A line of verse in an element of its own joins the line before it.
            self._verse.append(lines[0])

    def _end_unread(self) -> None:
        if self._unread:
            blocks, self._unread = self._unread, []
            for block in blocks:
                self._append(block)

    def _append(self, block: Block) -> None:
        self._end_verse()
        self._blocks.append(block.left_out(self._reason) if self._reason else block)

    def _end_verse(self) -> None:
        if self._verse:
            lines, self._verse = self._verse, []
            self._append(Block("verse", "\n".join(lines)))

    def _join_headings(self, first: int) -> None:
        """Make one heading of a group's: `I` and `Loomings`."""
        self._end_verse()
        group = [block for block in self._blocks[first:] if not block.reason and block.text]
        levels = [block.level for block in group if block.kind == "heading"]
        if len(group) > 1 and levels:
            text = " ".join(join_title(block.text.replace("\n", " ")) for block in group[:-1])
            title = Block("heading", f"{text} {group[-1].text.replace(chr(10), ' ')}", min(levels))
            self._blocks[first:] = [title, *(block for block in self._blocks[first:] if block.reason)]


def join_title(text: str) -> str:
    """Return the first part of a title, ended so that a second one may follow."""
    return text if text[-1:] in "!?…" else f"{text.rstrip(' .:')}."


def _tokens(element: Any) -> list[str]:
    if not element.attrib:
        return []
    values = (element.get(name, "") for name in ("class", "role", "epub:type", "{http://www.idpf.org/2007/ops}type"))
    return " ".join(str(value) for value in values).lower().split()


def _level_of(element: Any, tag: str, tokens: list[str]) -> int:
    """Return how high a heading stands that is one by its tag, its role or the name of its class; 0 for other text."""
    if re.fullmatch(r"h[1-6]", tag):
        return int(tag[1])
    if tag not in ("p", "div", "center") or len(beginning_of(element, _MAX_HEADING_CHARS + 1)) > _MAX_HEADING_CHARS:
        return 0
    if "heading" in str(element.get("role") or "").split():
        level = str(element.get("aria-level") or "")
        return int(level) if level in ("1", "2", "3", "4", "5", "6") else 2
    match = next((found for token in tokens if (found := _HEADING_NAME.match(token))), None)
    if match is None:
        return 0
    return int(match["level"] or 0) or (1 if match["part"] else 3 if match["section"] else 2)


def _is_code(element: Any, tokens: list[str]) -> bool:
    """Return whether lines are a program's: so marked, or all in a `code`; verse and letters are in `pre`, too."""
    if _CODE.intersection(tokens):
        return True
    children = [child for child in element if isinstance(child.tag, str)]
    alone = len(children) == 1 and children[0].tag == "code"
    return alone and not (element.text or "").strip() and not (children[0].tail or "").strip()


def _is_picture(figure: Any) -> bool:
    tags = {node.tag for node in figure.iter()}
    return not tags.isdisjoint(_PICTURES) and tags.isdisjoint(_TEXT_OF_FIGURES)


def _is_linked(element: Any, text: str) -> bool:
    """Return whether what is above the line is a link, or all that a link says."""
    parent = element.getparent()
    around = parent is not None and parent.tag == "a" and beginning_of(parent, _MAX_MARK_CHARS) == text
    return around or element.find(".//a") is not None


def _after(element: Any) -> str:
    """Return what follows an element on its line."""
    while not element.tail and element.getnext() is None:
        element = element.getparent()
        if element is None or element.tag in BLOCKS:
            return ""
    following = element.getnext()
    return f"{element.tail or ''}{(following.text or '') if not element.tail and following is not None else ''}"


def _text_of(element: Any) -> str:
    from lxml import etree

    parts: list[str] = []
    for event, node in etree.iterwalk(element, events=("start", "end")):
        is_apart = node.tag in BLOCKS or node.tag in ("br", "td", "th")
        if event == "start":
            is_text = node.tag not in ("script", "style")
            parts.append(f"{' ' if is_apart else ''}{(node.text or '') if is_text else ''}")
        else:
            parts.append(f"{' ' if is_apart else ''}{(node.tail or '') if node is not element else ''}")
    return " ".join("".join(parts).split())
