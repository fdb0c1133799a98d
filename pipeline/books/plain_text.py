"""Read plain text, Project Gutenberg's included: blank lines, indents and capitals mark the parts."""

from __future__ import annotations

import re
from collections import Counter

from pipeline.books.cleaning import clean_text, cut_license, hide_voice_marks
from pipeline.books.document import Block, Document, LeftOut
from pipeline.books.headings import is_contents_line, is_heading_line, is_title_line
from pipeline.books.limits import check_limit

_FIELD = re.compile(r"^(Title|Author|Language):\s*(\S.*)$", re.I)
_SCENE = re.compile(r"^(?:[\s*•·~#=_—–-]+|[oO](?:\s+[oO])+|§+)$")
_PAGE_NUMBER = re.compile(r"^\W*(?:page\s+)?\d{1,4}\W*$", re.I)
_ITEM = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+\S")
_MAX_VERSE_LINE = 65
_SHAPED_WORDS = 3.5


def read_plain_text(text: str, place: str) -> Document:
    """Read a text file.

    Args:
        text: its content.
        place: what messages call it.

    Raises:
        ManifestError: it is over a limit, or a voice mark has no name.
    """
    left_out = LeftOut()
    lines = [line.expandtabs().rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    fields = _read_fields(lines[:80])
    body = hide_voice_marks("\n".join(cut_license(lines, left_out)), place).split("\n")
    groups = _group(body)
    indent = _usual_indent(group for _, group in groups)
    blocks: list[Block] = []
    for num_blank, group in groups:
        blocks += _read_group(group, num_blank, indent, left_out)
        check_limit("max_blocks", len(blocks), place, "headings and paragraphs")
    return Document(fields.get("title", ""), fields.get("author", ""), fields.get("language", ""), blocks, left_out)


def _read_fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        if match := _FIELD.match(line):
            fields.setdefault(match[1].lower(), match[2].strip())
    return fields


def _group(lines: list[str]) -> list[tuple[int, list[str]]]:
    """Return the lines between blank ones, each group with the number of blank lines before it."""
    groups: list[tuple[int, list[str]]] = []
    num_blank, held = 2, list[str]()
    for line in [*lines, ""]:
        if line.strip():
            held.append(line)
            continue
        if held:
            groups.append((num_blank, held))
            held, num_blank = [], 0
        num_blank += 1
    return groups


def _usual_indent(groups: object) -> int:
    indents: Counter[int] = Counter()
    for group in groups:  # type: ignore[attr-defined]
        indents.update(_indent(line) for line in group[1:])
    return indents.most_common(1)[0][0] if indents else 0


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _read_group(group: list[str], num_blank: int, usual_indent: int, left_out: LeftOut) -> list[Block]:
    if all(_SCENE.match(line) for line in group):
        return [Block("scene")]
    if len(group) == 1 and _PAGE_NUMBER.match(group[0]) and num_blank < 2:
        left_out.add("page number", group[0])
        return []
    if len(group) >= 3 and sum(is_contents_line(line) for line in group) >= 0.6 * len(group):
        left_out.add("table of contents", group[0], len(group))
        return []
    flat = " ".join(line.strip() for line in group)
    if is_heading_line(group[0].strip()) and len(group) <= 3 and len(flat) <= 120:
        return [Block("heading", clean_text(flat, left_out), 2)]
    num_items = sum(bool(_ITEM.match(line)) for line in group)
    if len(group) <= 2 and num_blank >= 2 and num_items < 2 and is_title_line(flat):
        return [Block("heading", clean_text(flat, left_out), 3)]
    if _ITEM.match(group[0]) and num_items >= 2:
        return [Block("item", clean_text(text, left_out)) for text in _split_items(group)]
    if len(group) >= 2 and all(_indent(line) > usual_indent and len(line.strip()) <= _MAX_VERSE_LINE for line in group):
        return _read_verse(group, left_out)
    text = clean_text(_join_lines(group), left_out)
    return [Block("paragraph", text)] if text else []


def _split_items(group: list[str]) -> list[str]:
    items: list[list[str]] = []
    for line in group:
        if _ITEM.match(line) or not items:
            items.append([line])
        else:
            items[-1].append(line)
    return [re.sub(r"^[-*•]\s+", "", _join_lines(item)) for item in items]


def _read_verse(group: list[str], left_out: LeftOut) -> list[Block]:
    text = clean_text("\n".join(line.strip() for line in group), left_out)
    if not text:
        return []
    lines = text.split("\n")
    # A text set in a shape, as the Mouse's tale is, has lines too short to be lines of verse.
    if len(lines) > 8 and len(text.split()) / len(lines) < _SHAPED_WORDS:
        return [Block("paragraph", _join_lines(lines))]
    return [Block("verse", text)]


def _join_lines(lines: list[str]) -> str:
    parts = [lines[0].strip()]
    for line in lines[1:]:
        if not re.search(r"(?:\w-|--)$", parts[-1][-2:]):
            parts.append(" ")
        parts.append(line.strip())
    return "".join(parts)
