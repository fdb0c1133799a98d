"""Read EPUB 2 and 3: XHTML files, whose package file says what is read in which order, and their table of contents."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.books.book_language import describe_marked
from pipeline.books.document import Block, Document, Edition, Entry
from pipeline.books.epub_archive import EpubArchive
from pipeline.books.headings import is_unread_at_the_edges
from pipeline.books.limits import LIMITS, check_limit, cut_title
from pipeline.books.linked_notes import mark_notes
from pipeline.books.markup import Page, beginning_of, parse_html, parse_page, read_page
from pipeline.books.styled_titles import mark_styled_titles
from pipeline.errors import ManifestError

_CONTAINER = "META-INF/container.xml"
_NCX = "application/x-dtbncx+xml"
_COVER_TYPES = ("image/jpeg", "image/png")
_TYPE = "{http://www.idpf.org/2007/ops}type"
_MAX_DESCRIPTION_CHARS = 2_000


def read_epub(data: bytes, place: str) -> Document:
    """Read a book.

    Args:
        data: the file's content.
        place: what messages call it.

    Raises:
        ManifestError: not an EPUB, its text is protected, it is over a limit, or built to do harm (paths that leave it,
            entities, a zip bomb).
    """
    archive = EpubArchive(data, place)
    container = archive.read_xml(_CONTAINER)
    rootfile = next((str(found.get("full-path", "")) for found in _all(container, "rootfile")), "")
    package = archive.read_xml(archive.resolve("", rootfile))
    items = {str(item.get("id")): item for item in _all(package, "item")}
    check_limit("max_items", len(items), place, "entries of its manifest")
    document = Document(
        title=_text(package, "title"),
        author=", ".join(" ".join(found.text.split()) for found in _all(package, "creator") if found.text),
        language=_text(package, "language"),
        blocks=[],
        num_words=0,
        edition=_read_edition(package),
    )
    book = _Book(archive, package, items, posixpath.dirname(rootfile), document)
    book.read_contents()
    book.read_spine()
    document.cover = book.read_cover()
    return document


@dataclass(frozen=True)
class _Point:
    """An entry of a table of contents: where it leads, and how deep it stands."""

    href: str
    label: str
    depth: int


@dataclass
class _Book:
    archive: EpubArchive
    package: Any
    items: Mapping[str, Any]
    folder: str
    document: Document
    targets: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    """By file: the entries of the table of contents that lead into it, each with its anchor or an empty one."""

    def read_contents(self) -> None:
        """Read the table of contents: that of EPUB 3, else that of EPUB 2; a book without a usable one has none."""
        best: list[_Point] = []
        path_of_best = ""
        for path, is_ncx in self._contents_files():
            try:
                points = _read_ncx(self._read_ncx_root(path)) if is_ncx else _read_nav(self._read_nav_root(path))
            except ManifestError as error:
                self._refuse_harm(error)
                self.document.notes.append(f"its table of contents cannot be read: {error}")
                continue
            check_limit("max_items", len(points), f"{self.archive.place}!{path}", "entries of its table of contents")
            if not best or (len(points) > len(best) == 1):
                best, path_of_best = points, path
        for point in best:
            self._add_entry(point, posixpath.dirname(path_of_best))

    def _contents_files(self) -> list[tuple[str, bool]]:
        """Return the files of the tables of contents, each once, that of EPUB 3 first."""
        found: dict[str, bool] = {}
        for is_ncx in (False, True):
            for item in self.items.values():
                is_nav = "nav" in str(item.get("properties", "")).split()
                is_wanted = str(item.get("media-type")) == _NCX if is_ncx else is_nav
                href = str(item.get("href", ""))
                if is_wanted and href:
                    found.setdefault(self.archive.resolve(self.folder, href), is_ncx)
        return list(found.items())

    def _read_ncx_root(self, path: str) -> Any:
        return self.archive.read_xml(path, is_lenient=True)

    def _read_nav_root(self, path: str) -> Any:
        return parse_html(self.archive.read_text(path), f"{self.archive.place}!{path}")

    def _refuse_harm(self, error: ManifestError) -> None:
        if any(name in str(error) for name in ("(max_", "made to do harm")):
            raise error

    def _add_entry(self, point: _Point, folder: str) -> None:
        number, path = len(self.document.contents), ""
        if point.href:
            try:
                path = self.archive.resolve(folder, point.href)
            except ManifestError:
                return  # A line that leads out of the book is no part of it.
            self.targets[path].append((number, point.href.partition("#")[2]))
        self.document.contents.append(Entry(point.label, point.depth, path))

    def read_spine(self) -> None:
        """Add the documents in reading order, each once, however often the spine names it."""
        archive, document = self.archive, self.document
        references = _all(self.package, "itemref")
        check_limit("max_items", len(references), archive.place, "entries of its reading order")
        read: list[tuple[str, Any, Any]] = []
        pages: dict[str, Page] = {}
        num_bytes = 0
        for reference in references:
            item = self.items.get(str(reference.get("idref")))
            if item is None:
                raise ManifestError(
                    f"{archive.place}: its spine names {reference.get('idref')!r:.200}, which it does not hold"
                )
            path = archive.resolve(self.folder, str(item.get("href", "")))
            if "html" not in str(item.get("media-type", "")):
                continue
            if path not in pages:
                text = archive.read_text(path)
                num_bytes += len(text)
                check_limit("max_text_bytes", num_bytes, archive.place, "characters in its documents")
                pages[path] = parse_page(text, f"{archive.place}!{path}")
            read.append((path, item, reference))
        mark_notes({path: page.root for path, page in pages.items()})
        document.notes += describe_marked((page.root for page in pages.values()), document.language)
        if not self.targets:
            mark_styled_titles(*(page.root for page in pages.values()))
        self._note_missing(set(pages))
        waiting: list[int] = []
        for path, item, reference in read:
            page = pages.pop(path, None)
            if page is None:
                document.blocks.append(Block("paragraph", reason="file named again in the reading order"))
                continue
            document.blocks += self._read_file(path, page, item, reference, waiting)
            check_limit("max_blocks", len(document.blocks), archive.place, "headings and paragraphs")

    def _read_file(self, path: str, parsed: Page, item: Any, reference: Any, waiting: list[int]) -> list[Block]:
        """Return the blocks of a file, with the entries that begin at them; those past its end wait."""
        targets = self.targets.get(path, [])
        page = read_page(parsed, f"{self.archive.place}!{path}", [anchor for _, anchor in targets if anchor])
        self.document.num_words += page.num_words
        blocks = page.blocks
        if not page.num_words:
            self._note_empty(path, targets)
        if "nav" in str(item.get("properties", "")).split():
            blocks = [block.left_out("table of contents") for block in blocks]
        elif reference.get("linear") == "no" and not targets:
            blocks = [block.left_out("beside the reading order") for block in blocks]
        starts = [(number, 0) for number in waiting]
        taken = {page.anchors.get(anchor, 0) for _, anchor in targets if not anchor or anchor in page.anchors}
        for number, anchor in targets:
            if anchor and anchor not in page.anchors and 0 in taken:
                self.document.missing.append(self.document.contents[number].label)
                continue
            starts.append((number, page.anchors.get(anchor, 0)))
        waiting.clear()
        begins: dict[int, list[int]] = defaultdict(list)
        for number, start in starts:
            if start < len(blocks):
                begins[start].append(number)
            else:
                waiting.append(number)
        for start, numbers in begins.items():
            blocks[start] = replace(blocks[start], entries=tuple(sorted(numbers)))
        return blocks

    def _note_empty(self, path: str, targets: list[tuple[int, str]]) -> None:
        labels = [self.document.contents[number].label for number, _ in targets]
        named = [cut_title(label) for label in labels if label and not is_unread_at_the_edges(label)]
        if named:
            self.document.notes.append(
                f"{path} holds no words, though its table of contents names it: {', '.join(map(repr, named))}"
            )

    def _note_missing(self, read: set[str]) -> None:
        """Note the chapters that the contents name and the reading order does not have; pictures and films are none."""
        others = {self._path_of(item) for item in self.items.values() if not _is_page(item)}
        for path, targets in self.targets.items():
            if path not in read and path not in others:
                labels = [self.document.contents[number].label for number, _ in targets]
                self.document.missing += [label for label in labels if label and not is_unread_at_the_edges(label)]

    def _path_of(self, item: Any) -> str:
        try:
            return self.archive.resolve(self.folder, str(item.get("href", "")))
        except ManifestError:  # Such as the address of a film, which nobody reads aloud.
            return ""

    def read_cover(self) -> bytes | None:
        """Return the picture of the cover; a book whose cover cannot be read has none."""
        named = {str(meta.get("content")) for meta in _all(self.package, "meta") if meta.get("name") == "cover"}
        for key, item in self.items.items():
            is_cover = key in named or "cover-image" in str(item.get("properties", "")).split()
            if is_cover and item.get("media-type") in _COVER_TYPES:
                try:
                    return self.archive.read(self.archive.resolve(self.folder, str(item.get("href"))))
                except ManifestError as error:
                    self._refuse_harm(error)
                    self.document.notes.append(f"its cover cannot be read: {error}")
                    return None
        return None


def _is_page(item: Any) -> bool:
    is_nav = "nav" in str(item.get("properties", "")).split()
    return "html" in str(item.get("media-type", "")) and not is_nav


def _all(root: Any, name: str) -> list[Any]:
    return list(root.iter(f"{{*}}{name}", name))


def _text(root: Any, name: str) -> str:
    return next((" ".join(found.text.split()) for found in _all(root, name) if found.text), "")


def _read_edition(package: Any) -> Edition:
    metas = [(str(meta.get("property") or meta.get("name") or ""), meta) for meta in _all(package, "meta")]

    def find(*names: str) -> str:
        found = (
            " ".join((meta.text or str(meta.get("content") or "")).split()) for name, meta in metas if name in names
        )
        return next((text for text in found if text), "")

    return Edition(
        date=_text(package, "date"),
        publisher=_text(package, "publisher"),
        description=_plain(_text(package, "description"))[:_MAX_DESCRIPTION_CHARS],
        series=find("belongs-to-collection", "calibre:series"),
        series_number=find("group-position", "calibre:series_index"),
    )


def _plain(text: str) -> str:
    """Return a description without the markup that some have."""
    if "<" not in text:
        return text
    return " ".join(" ".join(parse_html(text, "description").itertext()).split())


def _read_ncx(root: Any) -> list[_Point]:
    """Return the entries; what is in an entry below belongs to that alone."""
    points: list[_Point] = []
    pending = [(point, 0) for point in reversed(_below(root, "navPoint"))]
    while pending:
        point, depth = pending.pop()
        content, label = point.find("{*}content"), point.find("{*}navLabel")
        src = "" if content is None else str(content.get("src") or "")
        points.append(_Point(src, "" if label is None else _text(label, "text"), depth))
        pending += [(below, depth + 1) for below in reversed(_below(point, "navPoint"))]
    return points


def _below(element: Any, name: str) -> list[Any]:
    """Return the elements of a name inside an element, but not those inside such ones."""
    found: list[Any] = []
    pending = list(reversed(element))
    while pending:
        child = pending.pop()
        tag = child.tag if isinstance(child.tag, str) else ""
        if tag.rpartition("}")[2] == name:
            found.append(child)
        else:
            pending += reversed(child)
    return found


def _read_nav(root: Any) -> list[_Point]:
    """Return the entries of a page's table of contents, or of its first list where none is called one."""
    navs = list(root.iter("nav"))
    kinds = [str(nav.get("epub:type") or nav.get(_TYPE) or nav.get("role") or "").split() for nav in navs]
    tocs = [nav for nav, kind in zip(navs, kinds, strict=True) if {"toc", "doc-toc"} & set(kind)]
    others = [nav for nav, kind in zip(navs, kinds, strict=True) if not {"landmarks", "page-list"} & set(kind)]
    nav = next(iter([*tocs, *others, *([] if navs else [root])]), None)
    if nav is None:
        return []
    points: list[_Point] = []
    pending = [(item, 0) for item in reversed(_below(nav, "li"))]
    if not pending:
        return [
            _Point(str(link.get("href") or ""), beginning_of(link, LIMITS.max_title_chars), 0) for link in nav.iter("a")
        ]
    while pending:
        item, depth = pending.pop()
        lists = [child for child in item if child.tag in ("ol", "ul")]
        heads = [child for child in item if isinstance(child.tag, str) and child.tag not in ("ol", "ul")]
        link = next((found for head in heads for found in head.iter("a")), None)
        label = " ".join(beginning_of(head, LIMITS.max_title_chars) for head in heads) or (item.text or "").strip()
        points.append(_Point("" if link is None else str(link.get("href") or ""), label, depth))
        pending += [(below, depth + 1) for child in reversed(lists) for below in reversed(_below(child, "li"))]
    return points
