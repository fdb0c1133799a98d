"""What a Word document shows and the library that reads it does not: large lines, hidden text, line breaks."""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.books.document import Block
from pipeline.books.headings import looks_like_title, may_be_title

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_TEXTS = ("word/document.xml", "word/footnotes.xml", "word/endnotes.xml")
_KEPT = {f"{_W}{name}" for name in ("rPr", "fldChar", "instrText")}
_USUAL_SIZE = 20.0  # Half points; what Word takes where a document says nothing.
_MIN_RATIO = 1.15
_MAX_STYLES = 20
_IS_TITLE = re.compile(r"^(?:heading|überschrift|titre|title|subtitle|toc|footnote|caption|list)\b", re.I)
_MAX_TITLE_CHARS = 120
LARGE, CENTERED = "LineInLargeLetters", "LineInTheMiddle"
"""Ids of styles for lines that look like titles and have no style of one."""


def mend_document(data: bytes, roots: Mapping[str, Any]) -> tuple[bytes, list[Block]]:
    """Return a document in which looks are styles and nothing is hidden, and the hidden text.

    Args:
        data: the file's content.
        roots: of its XML files by name; they are changed.
    """
    from lxml import etree

    styles = _Styles(roots.get("word/styles.xml"))
    hidden: list[Block] = []
    texts = {name: roots[name] for name in _TEXTS if name in roots}
    for root in texts.values():
        for run in list(root.iter(f"{_W}r")):
            hidden += _take_hidden(run, styles)
        for element in list(root.iter(f"{_W}cr")):
            element.tag = f"{_W}br"
    _mark_lines(roots["word/document.xml"], styles)
    mended = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(mended, "w") as target:
        for name in source.namelist():
            target.writestr(name, etree.tostring(texts[name]) if name in texts else source.read(name))
    return mended.getvalue(), hidden


class _Styles:
    """The styles of a document, each with what it takes from those it is based on."""

    def __init__(self, root: Any) -> None:
        found = root.iter(f"{_W}style") if root is not None else ()
        self._styles = {str(style.get(f"{_W}styleId")): style for style in found}
        usual = [name for name, style in self._styles.items()
                 if style.get(f"{_W}default") == "1" and style.get(f"{_W}type") == "paragraph"]  # fmt: skip
        self._default = usual[0] if usual else ""
        defaults = root.find(f".//{_W}docDefaults//{_W}rPr") if root is not None else None
        self._size = _number(_child(defaults, "sz"), _USUAL_SIZE)

    def find(self, name: str, element: Any, *styles: str | None) -> Any:
        """Return a property of a run or paragraph, from its own properties, else from the first style that has it."""
        own = element.find(f"{_W}rPr/{_W}{name}") if element.tag == f"{_W}r" else element.find(f"{_W}pPr/{_W}{name}")
        if own is not None:
            return own
        return next((found for style in styles for found in self._find_in(name, style)), None)

    def _find_in(self, name: str, style: str | None) -> Iterator[Any]:
        for _ in range(_MAX_STYLES):
            element = self._styles.get(style or "")
            if element is None:
                return
            found = element.find(f"*/{_W}{name}")
            if found is not None:
                yield found
            style = _value(_child(element, "basedOn"))

    def name_of(self, style: str) -> str:
        """Return what people see as the name of a style."""
        return _value(_child(self._styles.get(style), "name")) or style

    def size_of(self, run: Any, paragraph_style: str | None) -> float:
        """Return the size of a run's letters."""
        return _number(self.find("sz", run, _style_of(run, "r"), paragraph_style or self._default), self._size)


def _take_hidden(run: Any, styles: _Styles) -> list[Block]:
    hidden = styles.find("vanish", run, _style_of(run, "r"))
    if hidden is None or _value(hidden) in ("0", "false", "off"):
        return []
    text = " ".join(_text_of(run).split())
    for child in list(run):
        if child.tag not in _KEPT:
            run.remove(child)
    return [Block("paragraph", text, reason="hidden text")] if text else []


def _mark_lines(root: Any, styles: _Styles) -> None:
    """Give lines that stand out a style that says so, and those with a level of the outline that of a heading."""
    lines: list[tuple[Any, str, list[tuple[float, int]]]] = []
    sizes: Counter[float] = Counter()
    for paragraph in root.iter(f"{_W}p"):
        runs = [(run, _text_of(run)) for run in paragraph.iter(f"{_W}r")]
        found = [(styles.size_of(run, _style_of(paragraph, "p")), len(text)) for run, text in runs if text.strip()]
        for size, length in found:
            sizes[size] += length
        text = "".join(text for _, text in runs).strip()
        if text and len(text) <= _MAX_TITLE_CHARS:
            lines.append((paragraph, text, found))
    usual = sizes.most_common(1)[0][0] if sizes else _USUAL_SIZE
    for paragraph, text, found in lines:
        style = _style_of(paragraph, "p")
        level = _value(styles.find("outlineLvl", paragraph, style))
        alignment = _value(styles.find("jc", paragraph, style))
        if style and _IS_TITLE.search(styles.name_of(style)):
            continue
        if level and level in "012345":
            _set_style(paragraph, f"Heading{int(level) + 1}")
        elif not may_be_title(text):
            continue
        elif all(size >= _MIN_RATIO * usual for size, _ in found):
            _set_style(paragraph, LARGE)
        elif alignment == "center" and looks_like_title(text):
            _set_style(paragraph, CENTERED)


def _set_style(paragraph: Any, name: str) -> None:
    properties = _child(paragraph, "pPr")
    if properties is None:
        properties = paragraph.makeelement(f"{_W}pPr")
        paragraph.insert(0, properties)
    style = _child(properties, "pStyle")
    if style is None:
        style = properties.makeelement(f"{_W}pStyle")
        properties.insert(0, style)
    style.set(f"{_W}val", name)


def _style_of(element: Any, kind: str) -> str | None:
    return _value(element.find(f"{_W}{kind}Pr/{_W}{kind}Style"))


def _child(element: Any, name: str) -> Any:
    return element.find(f"{_W}{name}") if element is not None else None


def _value(element: Any) -> str | None:
    return element.get(f"{_W}val") if element is not None else None


def _number(element: Any, otherwise: float) -> float:
    try:
        return float(_value(element) or otherwise)
    except ValueError:
        return otherwise


def _text_of(run: Any) -> str:
    return "".join(element.text or "" for element in run.iter(f"{_W}t"))
