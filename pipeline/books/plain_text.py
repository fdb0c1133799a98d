"""Read plain text, Project Gutenberg's included: blank lines, indents and capitals mark the parts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.books.cleaning import (
    EDITORIAL,
    FOOTNOTE_TEXT,
    PICTURE,
    clean_text,
    find_license,
    hide_voice_marks,
    keep_lone_numbers,
)
from pipeline.books.document import Block, Document, words_in, words_of
from pipeline.books.headings import (
    CHAPTER_RANK,
    is_bare_label,
    is_chinese_heading,
    is_contents_line,
    is_date,
    is_heading_line,
    is_named,
    is_roman_number,
    is_title_line,
    level_of,
    rank_of,
)
from pipeline.books.limits import check_limit
from pipeline.books.line_breaks import part_paragraphs
from pipeline.books.printed_contents import find_printed_contents, find_standing_titles, fold_line
from pipeline.books.text_pages import leave_pages_out

_FIELD = re.compile(r"^(Title|Author|Language):\s*(\S.*)$", re.I)
_SCENE = re.compile(r"^(?:[\s*•·~#=_—–-]+|[oO](?:\s+[oO])+|§+)$")
_ROOM_BEHIND = re.compile(r"[^\S\f]+$")
_PAGE_NUMBER = re.compile(r"^\W*(?:page\s+)?\d{1,4}\W*$", re.I)
_ITEM = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+\S")
_REASONS = (("illustration", PICTURE), ("footnote", FOOTNOTE_TEXT), ("editor's note", EDITORIAL))
# A picture, note or remark in brackets that begins and ends with its lines.
_APART = re.compile(
    "|".join(rf"(?:^[^\S\n]*(?:{pattern.pattern})\]?[^\S\n]*$)" for _, pattern in _REASONS), re.I | re.M
)
_INDENT = "\u3000"  # With which a paragraph begins in Chinese and Japanese.
_CHINESE = "[\u3000-\u303f\u3040-\u30ff\u3400-\u9fff\uff00-\uffef]"
_BETWEEN_CHINESE = re.compile(f"{_CHINESE}$")
_STARTS_CHINESE = re.compile(f"^{_CHINESE}")
_MAX_VERSE_LINE = 65
_MAX_HEADING_CHARS, _MAX_TOLD_CHARS, _MAX_LABEL_CHARS = 120, 600, 24
_MAX_TITLE_PAGE_WORDS = 200
_SHAPED_WORDS = 3.5
_ENDS_SENTENCE = re.compile(r"[^\W\d_].*[.!?…][\"'”’]?$")


@dataclass(frozen=True)
class _Rules:
    """What is known of a text before it is read: its usual indent, its name, the titles of its table of contents.

    In a text that is all in capitals these tell no title from a sentence.
    """

    indent: int
    place: str
    titles: frozenset[str]
    is_in_capitals: bool


def read_plain_text(text: str, place: str) -> Document:
    """Read a text file.

    Args:
        text: its content.
        place: what messages call it.

    Raises:
        ManifestError: it is over a limit, or a voice mark has no name.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = [_ROOM_BEHIND.sub("", line.expandtabs()) for line in text.split("\n")]
    fields = _read_fields(lines[:80])
    start, end = find_license(lines)
    blocks = _leave_out("license", lines[:start])
    page_lines, unread = leave_pages_out(hide_voice_marks("\n".join(lines[start:end]), place).split("\n"))
    body_lines = part_paragraphs(page_lines)
    indent = _usual_indent(group for _, group in _group(body_lines))
    table = find_printed_contents(body_lines)
    cased = [line for line in body_lines if line.upper() != line.lower()]
    rules = _Rules(indent, place, table.titles, sum(map(str.isupper, cased)) > len(cased) / 2)
    blocks += _leave_title_page_out(_read_lines(body_lines[: table.start], replace(rules, titles=frozenset()), 0))
    blocks += _leave_out("table of contents", body_lines[table.start : table.end])
    read = _read_lines(body_lines[table.end :], rules, len(blocks))
    if sum(block.kind == "heading" for block in read) < 2 and (titles := find_standing_titles(body_lines)):
        read = _read_lines(body_lines[table.end :], replace(rules, titles=titles), len(blocks))
    blocks += read
    blocks += _leave_out("license", lines[end:])
    blocks = [*keep_lone_numbers(_settle_levels(blocks)), *unread]
    return Document(
        fields.get("title", ""),
        fields.get("author", ""),
        fields.get("language", ""),
        blocks,
        words_in("\n".join([*lines[:start], *body_lines, *lines[end:]])) + words_of(unread),
    )


def _leave_title_page_out(blocks: list[Block]) -> list[Block]:
    """Leave out what stands before the table of contents, unless it is a preface or another text."""
    num_words = sum(words_in(block.text) for block in blocks if block.kind == "paragraph" and not block.reason)
    if num_words > _MAX_TITLE_PAGE_WORDS or any(block.kind == "heading" and is_named(block.text) for block in blocks):
        return blocks
    return [block.left_out("before the first chapter") for block in blocks]


def _settle_levels(blocks: list[Block]) -> list[Block]:
    """Put a prologue, and the one chapter that is numbered otherwise, on the level of the other chapters."""
    counts = Counter(
        block.level
        for block in blocks
        if block.kind == "heading" and block.level >= CHAPTER_RANK and not is_named(block.text)
    )
    usual = next((level for level in sorted(counts) if counts[level] > 1), None)
    if usual is None:
        return blocks
    return [
        replace(block, level=usual) if block.kind == "heading" and CHAPTER_RANK <= block.level < usual else block
        for block in blocks
    ]


def _leave_out(reason: str, lines: list[str]) -> list[Block]:
    text = " ".join(" ".join(lines).split())
    return [Block("paragraph", text, reason=reason)] if text else []


def _read_apart(text: str) -> list[Block]:
    """Leave out a picture, note or remark that takes whole lines, but for the heading that a picture may hold."""
    reason = next(reason for reason, pattern in _REASONS if pattern.match(text.lstrip()))
    last = text.rstrip().rstrip("]").rstrip().rpartition("\n")[2].strip()
    if reason == "illustration" and rank_of(last) is not None and is_heading_line(last):
        kept = text[: text.rindex(last)]
        return [*_leave_out(reason, [kept]), Block("heading", last, level_of(last))]
    return _leave_out(reason, [text])


def _read_lines(lines: list[str], rules: _Rules, num_before: int) -> list[Block]:
    body = "\n".join(lines)
    blocks: list[Block] = []
    position = 0
    for match in _APART.finditer(body):
        blocks += _read_body(body[position : match.start()], rules, num_before + len(blocks))
        blocks += _read_apart(match[0])
        position = match.end()
    return blocks + _read_body(body[position:], rules, num_before + len(blocks))


def _read_body(text: str, rules: _Rules, num_before: int) -> list[Block]:
    blocks: list[Block] = []
    for num_blank, group in _group(text.split("\n")):
        unread: list[Block] = []
        is_named_next = bool(blocks) and blocks[-1].kind == "heading" and is_bare_label(blocks[-1].text)
        blocks += _read_group(group, 2 if is_named_next else num_blank, rules, unread)
        blocks += unread
        check_limit("max_blocks", num_before + len(blocks), rules.place, "headings and paragraphs")
    return blocks


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
        is_apart = is_chinese_heading(line.strip())
        if line.strip() and not is_apart and not (line.startswith(_INDENT) and held):
            held.append(line)
            continue
        if held:
            groups.append((num_blank, held))
            held, num_blank = [], 0
        if is_apart:
            groups.append((max(num_blank, 2), [line]))
            num_blank = 2
        elif line.strip():
            held = [line]
        else:
            num_blank += 1
    return groups


def is_scene(line: str) -> bool:
    """Return whether a line is a break between scenes: `* * *`."""
    return bool(_SCENE.match(line))


def _usual_indent(groups: object) -> int:
    indents: Counter[int] = Counter()
    for group in groups:  # type: ignore[attr-defined]
        indents.update(_indent(line) for line in group[1:])
    return indents.most_common(1)[0][0] if indents else 0


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _read_group(group: list[str], num_blank: int, rules: _Rules, unread: list[Block]) -> list[Block]:
    if all(_SCENE.match(line) for line in group):
        return [Block("scene")]
    if len(group) == 1 and _PAGE_NUMBER.match(group[0]) and num_blank < 2:
        return _leave_out("page number", group)
    if len(group) >= 3 and sum(is_contents_line(line) for line in group) >= 0.6 * len(group):
        return _leave_out("table of contents", group)
    flat = " ".join(line.strip() for line in group)
    if (
        rules.titles
        and len(group) <= 2
        and (num_blank >= 2 or is_date(flat))
        and rank_of(flat) is None
        and fold_line(flat) in rules.titles
    ):
        return [Block("heading", clean_text(flat, unread), CHAPTER_RANK)]
    is_short = len(group) <= 3 and len(flat) <= _MAX_HEADING_CHARS
    label = flat if is_short and group[0].rstrip().endswith(",") else group[0].strip()
    # Old novels tell in the heading what the chapter is about.
    has_label = is_bare_label(label) or (rank_of(label) is not None and ":" in label[:_MAX_LABEL_CHARS])
    is_told = num_blank >= 2 and has_label and len(group) <= 8 and len(flat) <= _MAX_TOLD_CHARS
    if (is_heading_line(label) and (is_short or is_told)) or (len(group) == 1 and is_roman_number(label)):
        return [Block("heading", clean_text(flat, unread), level_of(flat))]
    num_items = sum(bool(_ITEM.match(line)) for line in group)
    is_title = is_title_line(flat) and not (rules.is_in_capitals and _ENDS_SENTENCE.search(flat))
    if len(group) <= 2 and num_blank >= 2 and num_items < 2 and is_title:
        return [Block("heading", clean_text(flat, unread), level_of(flat))]
    if _ITEM.match(group[0]) and num_items >= 2:
        return [Block("item", clean_text(text, unread)) for text in _split_items(group)]
    if len(group) >= 2 and all(_indent(line) > rules.indent and len(line.strip()) <= _MAX_VERSE_LINE for line in group):
        return _read_verse(group, unread)
    text = clean_text(join_lines(group), unread)
    return [Block("paragraph", text)] if text else []


def _split_items(group: list[str]) -> list[str]:
    items: list[list[str]] = []
    for line in group:
        if _ITEM.match(line) or not items:
            items.append([line])
        else:
            items[-1].append(line)
    return [re.sub(r"^[-*•]\s+", "", join_lines(item)) for item in items]


def _read_verse(group: list[str], unread: list[Block]) -> list[Block]:
    text = clean_text("\n".join(line.strip() for line in group), unread)
    if not text:
        return []
    lines = text.split("\n")
    # A text set in a shape, as the Mouse's tale is, has lines too short to be lines of verse.
    if len(lines) > 8 and len(text.split()) / len(lines) < _SHAPED_WORDS:
        return [Block("paragraph", join_lines(lines))]
    return [Block("verse", text)]


def join_lines(lines: Sequence[str]) -> str:
    """Return lines as one; a hyphen at an end stays, and between Chinese characters there is no space."""
    parts = [lines[0].strip()]
    for line in lines[1:]:
        line = line.strip()
        is_whole = re.search(r"(?:\w-|--)$", parts[-1][-2:]) or (
            _BETWEEN_CHINESE.search(parts[-1][-1:]) and _STARTS_CHINESE.match(line)
        )
        if not is_whole:
            parts.append(" ")
        parts.append(line)
    return "".join(parts)
