"""Notes that a book marks by nothing but links: from a mark in the text to the note, and mostly back again.

Says it in the pages themselves, in the words that the reader of markup knows: `doc-noteref` and `doc-footnote`.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any
from urllib.parse import unquote

from pipeline.books.document import words_in

BLOCKS = frozenset(
    "address article aside blockquote body center dd details div dl dt fieldset figcaption figure footer header hgroup "
    "html li main nav ol p pre section table tbody tfoot thead tr ul h1 h2 h3 h4 h5 h6 hr".split()
)
_STANDING = BLOCKS | {"td", "th"}
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_HOLD_NO_NOTE = frozenset(("body", "html", "main", "article", "nav", "ol", "ul", "dl", "table", "tbody", *HEADINGS))
_OPEN, _CLOSE = r"[\[({<（〔【［]", r"[\])}>）〕】］]"
_MARK = re.compile(
    rf"^{_OPEN}?\s*(?:(?:foot|end)?note|anm\.?|fn\.?|[注註])?\s*(?:\d{{1,4}}|[a-z]|[ivxlc]{{1,7}}|[*†‡§¶#※]{{1,4}})\s*"
    rf"{_CLOSE}?[.:]?{_CLOSE}?$",
    re.I,
)
_LETTER, _SEPARATOR = re.compile(r"[^\W\d_]"), re.compile(r"[\s|/·•–—-]$")
_APART_MARK = re.compile(rf"^(?:{_OPEN}|[*†‡§¶#※])")
_ARROW = r"[^\w\s\[\](){}<>〔〕【】［］（）.,:;*†‡§¶#※]"
_BACK_WORD = r"back|return|retour|zurück|terug|volver|torna|up|назад|返回"
_BACK = re.compile(
    rf"^(?:[\W_]{{0,3}}{_ARROW}[\W_]{{0,6}}\d{{0,3}}[\W_]{{0,3}}|\W*(?:go |jump )?(?:{_BACK_WORD})\b.{{0,20}})$", re.I
)
_OF_NOTES = re.compile(r"^(?:ftn|edn|fn|en|(?:foot|end)?notes?)(?![a-z])|(?:foot|end)note", re.I)
_ABOVE = re.compile(r"(?:^|\s)(?:sup|super|superscript|exponent)(?:\s|$)", re.I)
_ABOVE_STYLE = re.compile(r"vertical-align\s*:\s*super", re.I)
_WORD_OF_NOTE = re.compile(r"^(?:(?:foot|end)?note|anm|fn|[注註])(?=\d)")
_MAX_LABEL_CHARS = 24
_MAX_BEFORE_CHARS = 80
_MAX_LINKS = 50
_MAX_NOTE_WORDS = 1_000
"""What is longer is no note, whatever leads to it."""


@dataclass(frozen=True)
class _Link:
    element: Any
    page: str
    place: int
    """Among all links and notes of the book."""
    block: tuple[str, int]
    before: str
    """What its block has before it."""
    label: str
    target: tuple[str, str]

    @property
    def begins(self) -> bool:
        return not re.search(r"\w", self.before)

    @property
    def is_raised(self) -> bool:
        if self.element.find(".//sup") is not None:
            return True
        return any(map(is_above, (self.element, *_up_to_block(self.element))))

    @property
    def is_mark(self) -> bool:
        """Whether it stands behind a word as marks do; in "see chapter 7" the link is a word of its own."""
        is_apart = bool(_SEPARATOR.search(self.before)) and not _APART_MARK.match(self.label) and not self.is_raised
        return bool(_MARK.match(self.label) or not self.label) and bool(_LETTER.search(self.before)) and not is_apart


@dataclass
class _Pages:
    links: list[_Link] = field(default_factory=list)
    ids: dict[tuple[str, str], tuple[Any, tuple[str, int]]] = field(default_factory=dict)
    """The element that has an id, and the block that it stands in or is."""
    places: dict[Any, int] = field(default_factory=dict)
    """Of blocks, among links."""
    sizes: dict[Any, int] = field(default_factory=dict)
    """Words of blocks that might be notes; more than a note has where there are headings in them."""

    def read(self, page: str, root: Any) -> None:
        from lxml import etree

        number, before = 0, ""
        for event, element in etree.iterwalk(root, events=("start", "end")):
            is_block = element.tag in _STANDING
            if is_block or element.tag == "br":
                number, before = number + is_block, ""
            if event == "start":
                for name in (element.get("id"), element.get("name")):
                    if name:
                        self.ids.setdefault((page, name), (element, (page, number)))
                if is_block:
                    self.places[element] = len(self.places) + len(self.links)
                target = _target_of(element, page)
                if target is not None and (label := _label_of(element)) is not None:
                    place = len(self.places) + len(self.links)
                    self.links.append(_Link(element, page, place, (page, number), before, label, target))
                added = element.text
            else:
                added = element.tail
            before = (before + (added or ""))[-_MAX_BEFORE_CHARS:]


def is_above(element: Any) -> bool:
    """Return whether an element stands above the line: by its tag, its style or the name of its class."""
    is_named = element.tag == "span" and _ABOVE.search(f"{element.get('class') or ''}")
    return bool(element.tag == "sup" or is_named or _ABOVE_STYLE.search(element.get("style") or ""))


def mark_notes(pages: Mapping[str, Any]) -> None:
    """Mark the notes, and what leads to them, in the pages of a book.

    A note is where a mark in the text leads, and has a link back to the mark, or begins with the same mark. A table of
    contents, a heading and a reference are none, though they may be linked both ways.

    Args:
        pages: the root of each, by its path.
    """
    if not any(_target_of(link, page) for page, root in pages.items() for link in root.iter("a")):
        return
    found = _Pages()
    for page, root in pages.items():
        found.read(page, root)
    back = defaultdict[tuple[str, str], list[_Link]](list)
    for link in found.links:
        if link.begins or _BACK.match(link.label):
            back[link.target].append(link)
    notes: dict[Any, int] = {}
    for link in found.links:
        note = _note_of(link, found, back) if link.is_mark else None
        if note is not None and found.places[note] > link.place:
            link.element.set("role", "doc-noteref")
            notes.setdefault(note, link.place)
    for note in notes:
        for part in (note, *_answers(note)):
            part.set("role", "doc-footnote")
    _mark_what_goes_on(notes, found)


def _note_of(mark: _Link, found: _Pages, back: Mapping[tuple[str, str], list[_Link]]) -> Any | None:
    """Return the element that holds the note of a mark; None where it leads elsewhere."""
    element, block = found.ids.get(mark.target, (None, ("", 0)))
    if element is None or block == mark.block:
        return None
    for link in (link for name in _names_of(mark.element) for link in back.get((mark.page, name), ())[:_MAX_LINKS]):
        is_there = element is link.element or element in link.element.iterancestors()
        if not is_there and not (link.page == block[0] and 0 <= link.block[1] - block[1] <= 1):
            continue
        is_same = _fold(link.label) == _fold(mark.label) or mark.is_raised or _APART_MARK.match(mark.label)
        if is_same or _BACK.match(link.label) or not mark.label:
            holder = element if is_there and element.tag in _STANDING else _block_of(link.element)
            return _as_note(holder, _block_of(link.element), link.label, mark.element, found.sizes)
    if not mark.label or not (mark.is_raised or _APART_MARK.match(mark.label)):
        return None
    holder = _as_note(element, _block_of(element), mark.label, mark.element, found.sizes)
    if holder is None or (holder.tag == "li" and mark.is_raised):
        return holder
    beginning = re.match(r"\W*(\w+|[*†‡§¶#※]+)(?!\w)", unicodedata.normalize("NFKC", _beginning(holder)))
    return holder if beginning and _fold(beginning[1]) == _fold(mark.label) else None


def _as_note(holder: Any, inner: Any, label: str, mark: Any, sizes: dict[Any, int]) -> Any | None:
    """Return the whole note around a place in it: its list item, its row, its `div`; None where that is no note."""
    if holder is None or holder.tag not in _STANDING or holder.tag in _HOLD_NO_NOTE:
        holder = inner
    while holder is not None and (parent := holder.getparent()) is not None:
        names = f"{parent.get('id') or ''} {parent.get('class') or ''}".split()
        is_one = parent.tag in ("li", "dd", "aside", "td", "th") or (holder.tag in ("td", "th") and parent.tag == "tr")
        if not is_one and not (parent.tag == "div" and any(map(_OF_NOTES.search, names)) and _has_one(parent)):
            break
        holder = parent
    if holder is None or holder.tag in _HOLD_NO_NOTE:
        return None
    if holder not in sizes:
        is_text = next(holder.iter(*HEADINGS), None) is None
        sizes[holder] = sum(map(words_in, holder.itertext())) if is_text else _MAX_NOTE_WORDS + 1
    has_text = sizes[holder] > words_in(label) or holder.tag == "dt"
    is_apart = holder not in mark.iterancestors()
    return holder if has_text and is_apart and sizes[holder] <= _MAX_NOTE_WORDS else None


def _has_one(element: Any) -> bool:
    """Return whether an element holds one note, and no list of them."""
    marks = (link for link in element.iter("a") if _MARK.match(_label_of(link) or ""))
    return len(list(islice(marks, 2))) < 2


def _mark_what_goes_on(notes: Mapping[Any, int], found: _Pages) -> None:
    """Mark the further paragraphs of a note, where all notes stand together: behind the mark of the next one."""
    by_parent = defaultdict[Any, list[Any]](list)
    for note in sorted(notes, key=found.places.__getitem__):
        by_parent[note.getparent()].append(note)
    for siblings in by_parent.values():
        for note, following in pairwise(siblings):
            if notes[following] > found.places[note]:
                continue
            between = list(_between(note, following))
            if all(part.tag in ("p", "blockquote", "ul", "ol", "pre") for part in between):
                for part in between:
                    part.set("role", "doc-footnote")


def _between(first: Any, last: Any) -> Iterator[Any]:
    following = first.getnext()
    while following is not None and following is not last:
        yield following
        following = following.getnext()


def _answers(note: Any) -> Iterator[Any]:
    """Yield what stands beside the number of a note in a list of terms."""
    following = note.getnext() if note.tag == "dt" else None
    while following is not None and following.tag == "dd":
        yield following
        following = following.getnext()


def _target_of(element: Any, page: str) -> tuple[str, str] | None:
    href = str(element.get("href") or "").strip() if element.tag == "a" else ""
    path, mark, name = href.partition("#")
    if not mark or not name or ":" in path:
        return None
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(path))) if path else page
    return resolved, unquote(name)


def _label_of(link: Any) -> str | None:
    """Return what a link says, if that is so short that it may be a mark; nothing where it is a picture."""
    text = _beginning(link, _MAX_LABEL_CHARS + 1)
    if len(text) > _MAX_LABEL_CHARS or (not text and next(link.iter("img"), None) is None):
        return None
    return unicodedata.normalize("NFKC", text)


def _beginning(element: Any, num_chars: int = _MAX_LABEL_CHARS) -> str:
    text = ""
    for part in element.itertext():
        text += part[: 4 * num_chars]
        if len(text.strip()) > num_chars:
            break
    return " ".join(text.split())[:num_chars]


def _fold(label: str) -> str:
    return _WORD_OF_NOTE.sub("", re.sub(r"[^\w*†‡§¶#※]", "", label).casefold())


def _names_of(mark: Any) -> Iterator[str]:
    """Yield the ids of a mark: its own, those around and in it, that of an empty anchor before it."""
    inside = [mark, *_up_to_block(mark)]
    around = [*inside, *mark.iterdescendants(), _block_of(mark)]
    before = [found for element in inside if (found := element.getprevious()) is not None]
    for element in (*around, *(found for found in before if not (found.tail or "").strip() and not len(found))):
        yield from (name for key in ("id", "name") if element is not None and (name := element.get(key)))


def _up_to_block(element: Any) -> Iterator[Any]:
    for parent in element.iterancestors():
        if parent.tag in _STANDING:
            return
        yield parent


def _block_of(element: Any) -> Any | None:
    if element.tag in _STANDING:
        return element
    return next((parent for parent in element.iterancestors() if parent.tag in _STANDING), None)
