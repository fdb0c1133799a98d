"""A book to read while it is heard: EPUB 3 with media overlays, in the book's own pages or in plain ones.

Sentences are found in the pages by their letters and put into spans; what the import changed or left out between them
does no harm. Knows the times and texts of chapters, and nothing of runs.
"""

from __future__ import annotations

import html
import io
import posixpath
import re
import uuid
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.books.epub_archive import EpubArchive, parse_xml
from pipeline.books.page_spans import Page, Passage, find_passages
from pipeline.config.printable import without_controls
from pipeline.errors import ManifestError

_XHTML, _OPS, _OPF = "http://www.w3.org/1999/xhtml", "http://www.idpf.org/2007/ops", "http://www.idpf.org/2007/opf"
_SMIL = "http://www.w3.org/ns/SMIL"
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)[A-Za-z]\w{1,30};")
_MADE = "2000-01-01T00:00:00Z"  # The same inputs make the same bytes.
_FOLDER = "read-along"
_CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">'
    '<rootfiles><rootfile full-path="OPS/package.opf" media-type="application/oebps-package+xml"/></rootfiles>'
    "</container>"
)
_ACTIVE = "-epub-media-overlay-active"
_STYLE = f".{_ACTIVE} {{ background-color: #ffe680; }}"


@dataclass(frozen=True)
class SpokenChapter:
    """A chapter as it is heard.

    Attributes:
        number: of the chapter.
        title: of it.
        cues: id, text, boundary, first and last sample of each sentence.
        sample_rate: Hz of the samples.
        read_audio: returns the chapter as AAC in MP4; called once, when its turn comes.
    """

    number: int
    title: str
    cues: Sequence[Mapping[str, Any]]
    sample_rate: int
    read_audio: Callable[[], bytes]

    @property
    def audio_name(self) -> str:
        """The file's name in the book."""
        return f"{self.number:03d}.m4a"


@dataclass(frozen=True)
class ReadAlong:
    """A book that was made.

    Attributes:
        data: the EPUB.
        num_marked: sentences that are marked in its pages.
        num_sentences: all that are heard.
    """

    data: bytes
    num_marked: int
    num_sentences: int


@dataclass
class _Overlay:
    """The sentences of one page, as SMIL."""

    page: str
    pars: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, anchor: str, audio: str, begin: float, end: float) -> None:
        self.seconds += end - begin
        self.pars.append(
            f'<par id="p{len(self.pars) + 1}"><text src="{html.escape(self.page)}#{anchor}"/>'
            f'<audio src="{audio}" clipBegin="{begin:.3f}s" clipEnd="{end:.3f}s"/></par>'
        )

    def write(self) -> str:
        return (
            f'<?xml version="1.0" encoding="utf-8"?>\n<smil xmlns="{_SMIL}" xmlns:epub="{_OPS}" version="3.0"><body>'
            f'<seq id="s1" epub:textref="{html.escape(self.page)}">{"".join(self.pars)}</seq></body></smil>'
        )


def make_read_along(
    chapters: Sequence[SpokenChapter], own: bytes | None, tags: Mapping[str, str], book_id: str
) -> ReadAlong:
    """Return a book with the times of its sentences.

    Args:
        chapters: in order.
        own: the book's EPUB, whose pages are kept; without one, or where it is no EPUB 3, plain pages are made.
        tags: title, artist, language.
        book_id: of the book.
    """
    if own is not None:
        try:
            return _mark_own_pages(EpubArchive(own, book_id), own, chapters)
        except ManifestError:
            pass  # An EPUB 2 or a page that is not well formed: the text is in the sentences, too.
    return _make_plain_pages(chapters, tags, book_id)


def _mark_own_pages(archive: EpubArchive, own: bytes, chapters: Sequence[SpokenChapter]) -> ReadAlong:
    container = archive.read_xml("META-INF/container.xml")
    package_path = next(str(found.get("full-path")) for found in container.iter("{*}rootfile"))
    package = archive.read_xml(package_path)
    if not str(package.get("version", "")).startswith("3"):
        raise ManifestError(f"{archive.place}: no EPUB 3, whose pages could have overlays")
    folder = posixpath.dirname(package_path)
    pages, items = _read_pages(archive, package, folder)
    passages = find_passages(pages, [[str(cue["text"]) for cue in chapter.cues] for chapter in chapters])
    overlays: dict[str, _Overlay] = {}
    for chapter, found in zip(chapters, passages, strict=True):
        for cue, passage in zip(chapter.cues, found, strict=True):
            if passage is not None:
                _add_times(overlays, posixpath.join(folder, _FOLDER), chapter, cue, passage)
    for page in pages:
        page.wrap()
        if page.path in overlays:
            page.add_style(_STYLE)
    changed = {page.path: page.write() for page in pages if page.path in overlays}
    made = {posixpath.join(folder, _FOLDER, f"{n}.smil"): overlay.write()
            for n, overlay in enumerate(overlays.values(), 1)}  # fmt: skip
    _add_to_package(package, items, overlays, chapters)
    changed[package_path] = _serialize(package)
    audio = {posixpath.join(folder, _FOLDER, chapter.audio_name): chapter.read_audio for chapter in chapters}
    data = _pack(own, changed, made, audio)
    marked = sum(passage is not None for found in passages for passage in found)
    return ReadAlong(data, marked, sum(len(chapter.cues) for chapter in chapters))


def _read_pages(archive: EpubArchive, package: Any, folder: str) -> tuple[list[Page], dict[str, Any]]:
    by_id = {str(item.get("id")): item for item in package.iter("{*}item")}
    pages, items = [], {}
    for reference in package.iter("{*}itemref"):
        item = by_id.get(str(reference.get("idref")))
        if item is None or "html" not in str(item.get("media-type", "")):
            continue
        path = archive.resolve(folder, str(item.get("href", "")))
        if path not in items:
            text = _ENTITY.sub(lambda match: html.unescape(match[0]), archive.read_text(path))
            items[path] = item
            pages.append(Page(path, parse_xml(text, f"{archive.place}!{path}")))
    return pages, items


def _add_times(
    overlays: dict[str, _Overlay], folder: str, chapter: SpokenChapter, cue: Mapping[str, Any], found: Passage
) -> None:
    """Give each piece of a sentence its share of the time, by its letters."""
    overlay = overlays.setdefault(found.page.path, _Overlay(posixpath.relpath(found.page.path, folder)))
    begin, end = (cue[name] / chapter.sample_rate for name in ("start_sample", "end_sample"))
    total = sum(piece.num_letters for piece in found.pieces)
    for piece in found.pieces:
        until = begin + (end - begin) * piece.num_letters / total
        overlay.add(piece.anchor, chapter.audio_name, begin, until)
        (
            begin,
            total,
        ) = until, total - piece.num_letters


def _add_to_package(
    package: Any, items: Mapping[str, Any], overlays: Mapping[str, _Overlay], chapters: Sequence[SpokenChapter]
) -> None:
    from lxml import etree

    manifest = next(package.iter("{*}manifest"))
    metadata = next(package.iter("{*}metadata"))

    def add(parent: Any, tag: str, text: str = "", **attributes: str) -> None:
        element = etree.SubElement(parent, f"{{{_OPF}}}{tag}", {k.replace("_", "-"): v for k, v in attributes.items()})
        element.text = text or None

    for number, (path, overlay) in enumerate(overlays.items(), 1):
        name = f"overlay-{number}"
        add(manifest, "item", id=name, href=f"{_FOLDER}/{number}.smil", media_type="application/smil+xml")
        items[path].set("media-overlay", name)
        add(metadata, "meta", _clock(overlay.seconds), property="media:duration", refines=f"#{name}")
    for chapter in chapters:
        name = f"spoken-{chapter.number}"
        add(manifest, "item", id=name, href=f"{_FOLDER}/{chapter.audio_name}", media_type="audio/mp4")
    total = sum(overlay.seconds for overlay in overlays.values())
    add(metadata, "meta", _clock(total), property="media:duration")
    add(metadata, "meta", _ACTIVE, property="media:active-class")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes) // 60}:{int(minutes) % 60:02d}:{rest:06.3f}"


def _serialize(root: Any) -> str:
    from lxml import etree

    return str(etree.tostring(root, encoding="unicode"))


def _pack(
    own: bytes | None, changed: Mapping[str, str], made: Mapping[str, str], audio: Mapping[str, Callable[[], bytes]]
) -> bytes:
    """Return the files in one zip; those of the book itself are copied, but for the changed ones."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as target:
        _put(target, "mimetype", b"application/epub+zip", zipfile.ZIP_STORED)
        if own is not None:
            with zipfile.ZipFile(io.BytesIO(own)) as source:
                for name in source.namelist():
                    if name != "mimetype" and name not in made and name not in audio and not name.endswith("/"):
                        _put(target, name, changed[name].encode() if name in changed else source.read(name))
        else:
            made = {**changed, **made}
        for name, text in made.items():
            _put(target, name, text.encode())
        for name, read in audio.items():
            _put(target, name, read(), zipfile.ZIP_STORED)
    return sink.getvalue()


def _put(target: zipfile.ZipFile, name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
    member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    member.compress_type = method
    target.writestr(member, data)


def _make_plain_pages(chapters: Sequence[SpokenChapter], tags: Mapping[str, str], book_id: str) -> ReadAlong:
    files = {"META-INF/container.xml": _CONTAINER}
    durations = dict[str, float]()
    for chapter in chapters:
        name = f"{chapter.number:03d}"
        overlay = _Overlay(f"../{name}.xhtml")
        for number, cue in enumerate(chapter.cues, 1):
            times = [cue[which] / chapter.sample_rate for which in ("start_sample", "end_sample")]
            overlay.add(f"s{number}", chapter.audio_name, *times)
        durations[name] = overlay.seconds
        files[f"OPS/{name}.xhtml"] = _write_page(chapter, tags)
        files[f"OPS/{_FOLDER}/{name}.smil"] = overlay.write()
    entries = "".join(
        f'<li><a href="{chapter.number:03d}.xhtml">{_escape(_title_of(chapter))}</a></li>' for chapter in chapters
    )
    contents = f'<nav epub:type="toc"><h1>Contents</h1><ol>{entries}</ol></nav>'
    files["OPS/nav.xhtml"] = _page(tags, "Contents", contents)
    files["OPS/package.opf"] = _write_package(durations, tags, book_id)
    audio = {f"OPS/{_FOLDER}/{chapter.audio_name}": chapter.read_audio for chapter in chapters}
    num_sentences = sum(len(chapter.cues) for chapter in chapters)
    return ReadAlong(_pack(None, files, {}, audio), num_sentences, num_sentences)


def _write_package(durations: Mapping[str, float], tags: Mapping[str, str], book_id: str) -> str:
    """Return the package file of plain pages; `durations` has the seconds of each chapter by its name."""
    items = "".join(
        f'<item id="c{name}" href="{name}.xhtml" media-type="application/xhtml+xml" media-overlay="o{name}"/>'
        f'<item id="o{name}" href="{_FOLDER}/{name}.smil" media-type="application/smil+xml"/>'
        f'<item id="a{name}" href="{_FOLDER}/{name}.m4a" media-type="audio/mp4"/>'
        for name in durations
    )
    times = "".join(
        f'<meta property="media:duration" refines="#o{name}">{_clock(seconds)}</meta>'
        for name, seconds in durations.items()
    )
    creator = f"<dc:creator>{_escape(tags['artist'])}</dc:creator>" if tags.get("artist") else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><package xmlns="{_OPF}" version="3.0" unique-identifier="id">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<dc:identifier id="id">urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, book_id)}</dc:identifier>'
        f"<dc:title>{_escape(tags.get('title') or book_id)}</dc:title>{creator}"
        f"<dc:language>{_escape(tags.get('language') or 'en')}</dc:language>"
        f'<meta property="dcterms:modified">{_MADE}</meta>{times}'
        f'<meta property="media:duration">{_clock(sum(durations.values()))}</meta>'
        f'<meta property="media:active-class">{_ACTIVE}</meta></metadata><manifest>'
        f'<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>{items}'
        "</manifest><spine>" + "".join(f'<itemref idref="c{name}"/>' for name in durations) + "</spine></package>"
    )


def _title_of(chapter: SpokenChapter) -> str:
    return chapter.title or f"Chapter {chapter.number}"


def _write_page(chapter: SpokenChapter, tags: Mapping[str, str]) -> str:
    """Return a chapter's page: a paragraph ends where its pause in the audio does."""
    paragraphs: list[str] = []
    held: list[str] = []
    for number, cue in enumerate(chapter.cues, 1):
        held.append(f'<span id="s{number}">{_escape(str(cue["text"]))}</span>')
        boundary = cue.get("boundary")
        if boundary == "line":
            held.append("<br/>")
        elif boundary not in ("sentence", "voice"):
            tag = "h2" if boundary == "heading" else "p"
            paragraphs.append(f"<{tag}>{' '.join(held)}</{tag}>")
            held = []
    if held:
        paragraphs.append(f"<p>{' '.join(held)}</p>")
    return _page(tags, _title_of(chapter), "\n".join(paragraphs))


def _page(tags: Mapping[str, str], title: str, body: str) -> str:
    language = _escape(tags.get("language") or "en")
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="{_XHTML}" xmlns:epub="{_OPS}" lang="{language}" '
        f'xml:lang="{language}"><head><title>{_escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>'
    )


def _escape(text: str) -> str:
    return html.escape(without_controls(text))
