"""Marks that a voice was not taught, as the nearest ones that it was: a dash as a comma, a curly quote as straight."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import regex

from pipeline.text.pace import HAN

# From near to far; "" leaves the mark out. What stands between two words keeps them apart by a comma.
_NEAREST: dict[str, str] = {
    "“": '"”', "”": '"“', "„": "“\"", "«": "“\"", "»": "”\"", "‹": "‘'", "›": "’'",
    '"': "“", "‘": "'", "’": "'", "'": "’",
    "「": "“\"", "」": "”\"", "『": "“\"", "』": "”\"", "—": "–,", "–": "—,", "…": ",", ":": ",;", ";": ",:", "·": "",
    "(": "", ")": "", "[": "(", "]": ")", "{": "(", "}": ")", "！": "!。.", "!": "！.", "？": "?。.", "?": "？.",
    "，": ",",
    ",": "，", "。": ".", ".": "。", "；": ";，,", "：": ":，,", "、": "，,", "《": "〈“\"", "》": "〉”\"",
    "〈": "《“\"",
    "〉": "》”\"", "（": "(", "）": ")", "【": "(", "】": ")", "～": "—,", "¿": "", "¡": "", "-": "‐",
}  # fmt: skip
_WIDE = "，。！？；：、"
_SPACED_HYPHEN = re.compile(r"(?<=\s)-+(?=\s)|--+|\s-+$")
_DOTS = re.compile(r"\.{2,}|…+")
_REPEATED = re.compile(r"(?<=[,.!?;:，。！？；：])[^\S\n]*[,，;；:：]+")
_SAME_ENDS = re.compile(r"([.。])(?:[^\S\n]*[.。])+")
_BEFORE_END = re.compile(r"[,，;；:：][^\S\n]*(?=[.!?。！？])")
_LEADING = re.compile(r"(?m)^(?:[^\S\n]|[,，;；:：.。!！?？])+")
_SPACE_BEFORE = re.compile(r" +(?=[,.!?;:，。！？；：])")
_EDGE_QUOTE = re.compile(r"(?<!\w)['’‘]|['’‘](?!\w)")
_SPACES = re.compile(r"[^\S\n]{2,}")
_ENDED = re.compile(r"[.,;:!?…—–，。；：！？、؟۔।॥،؛-][\"'”’»)\]」』）》】]*$")


def use_known_marks(text: str, known: str | None) -> str:
    """Write a text with no other marks than these.

    Args:
        text: normalized; paragraphs are parted by an empty line.
        known: the marks that may stand; None for all.

    Returns:
        The same words. Quotes and brackets that have no known neighbor are left out, dashes and colons become commas,
        dots of suspense a comma, or a full stop where the sentence ends.
    """
    if known is None:
        return text
    allowed = frozenset(known)
    text = _DOTS.sub(lambda match: _say_dots(match.string, match.end(), allowed), text) if "…" not in allowed else text
    text = _SPACED_HYPHEN.sub("—", text)
    if "‘" not in allowed and "’" not in allowed:
        text = _EDGE_QUOTE.sub(" ", text)
    text = text.translate(_replacements(allowed, frozenset(text)))
    text = _SPACES.sub(" ", _SPACE_BEFORE.sub("", text))
    text = _BEFORE_END.sub("", _REPEATED.sub("", text))
    text = _LEADING.sub("", text)
    if "…" not in allowed:
        text = _SAME_ENDS.sub(r"\1", text)
    text = re.sub(r"(?<=\w)[,;:](?=\s*(?:\n\n|$))", "." if "." in allowed else "", text)
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip())


def end_with_mark(text: str, known: str | None, *, goes_on: bool) -> str:
    """Return a text that ends in a mark: as it is where it does, else with a full stop.

    Args:
        text: of one segment.
        known: the marks that may stand; None for all.
        goes_on: whether its sentence goes on in the next segment, so that a comma fits better.
    """
    if _ENDED.search(text):
        return text
    wide = bool(regex.search(rf"[{HAN}]$", text))
    usual = ("，," if wide else ",") if goes_on else ""
    for mark in usual + ("。." if wide else ".。"):
        if known is None or mark in known:
            return text + mark
    return text


def _say_dots(text: str, end: int, allowed: Iterable[str]) -> str:
    following = text[end : end + 3].strip(" \"”’')")[:1]
    ends = not following or following.isupper() or text[end : end + 1] == "\n"
    for mark in ".。" if ends else ",，":
        if mark in allowed:
            return mark + " "
    return " "


@lru_cache(maxsize=1_024)
def _replacements(allowed: frozenset[str], found: frozenset[str]) -> dict[int, str]:
    return {ord(mark): _nearest(mark, allowed) for mark in found if mark in _NEAREST and mark not in allowed}


def _nearest(mark: str, allowed: frozenset[str]) -> str:
    seen, rings = {mark}, _NEAREST[mark]
    while rings:
        for candidate in rings:
            if candidate in allowed:
                return f"{candidate} " if mark in _WIDE or mark in "—–～:;" else candidate
        seen.update(rings)
        rings = "".join(near for candidate in rings for near in _NEAREST.get(candidate, "") if near not in seen)
    return " "
