"""What a model may be given: letters of the languages it speaks, and marks that shape speech. All else is named.

Decoration (bullets, boxes, asterisks) says nothing and is left out without a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from re import Match
from typing import Any, Literal

import regex

Kind = Literal["symbol", "digit", "script", "emoji", "markup"]
MARKS = ".,;:!?'\"“”‘’()[]—–…-，。！？；：、（）《》〈〉「」『』【】～·"
"""Every mark that shapes speech."""
_OTHER_MARKS = {
    "«": "“", "»": "”", "„": "“", "‟": "“", "‹": "‘", "›": "’", "‚": "‘", "‛": "‘", "‐": "-", "‑": "-", "―": "—",
    "‒": "–",
    "⸺": "—", "⸻": "—", "‥": "…", "⋯": "…", "ʼ": "’", "ʻ": "‘", "ʹ": "’", "′": "’", "″": "”", "〝": "“", "〞": "”",
    "＂": '"',
    "＇": "'", "﹁": "「", "﹂": "」", "﹃": "『", "﹄": "』", "〔": "（", "〕": "）", "〖": "【", "〗": "】",
    "﹏": " ", "〜": "～",
    "−": "-", "⁻": "-", "{": "(", "}": ")", "ª": "a", "º": "o", "·": "·", "・": "·", "‧": "·", "｡": "。", "､": "、",
    "．": ".",
}  # fmt: skip
_KEPT_ELSEWHERE = frozenset("«»¿¡‹›„")
_DECORATION = regex.compile(
    r"[*_#~|`^¨´˜¸ˇ¯]+|[=+/\\<>-]{3,}"
    r"|[\u2022\u2023\u2043\u2219\u2500-\u25ff\u2766\u2767\u2047-\u2049\u203b\u2042\u2055\u2059-\u205e"
    r"\u2016\u2020\u2021®™℠©¦¿¡\u0600-\u0605\u06dd\u3000-\u3002--。、\u3003\u3012\u3013\u301c-\u3020\u3030\ufffc\ufffd\ufe30-\ufe4f]",
    regex.V1,
)
_LETTERS = {
    "Latin": r"A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ",
    "Han": r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff〇々",
    "Hiragana": r"\u3041-\u309f", "Katakana": r"\u30a0-\u30ff\u31f0-\u31ffー",
     "Hangul": r"\uac00-\ud7a3\u1100-\u11ff\u3130-\u318f",
}  # fmt: skip
_SCRIPTS = {
    "zh": "Han Latin", "ja": "Han Hiragana Katakana Latin", "ko": "Hangul Han Latin", "ru": "Cyrillic",
    "uk": "Cyrillic",
    "bg": "Cyrillic", "sr": "Cyrillic Latin", "mk": "Cyrillic", "be": "Cyrillic", "kk": "Cyrillic", "mn": "Cyrillic",
    "el": "Greek", "ar": "Arabic", "fa": "Arabic", "ur": "Arabic", "he": "Hebrew", "yi": "Hebrew", "hi": "Devanagari",
    "mr": "Devanagari", "ne": "Devanagari", "bn": "Bengali", "ta": "Tamil", "te": "Telugu", "kn": "Kannada",
    "ml": "Malayalam", "gu": "Gujarati", "pa": "Gurmukhi", "th": "Thai", "lo": "Lao", "km": "Khmer", "my": "Myanmar",
    "ka": "Georgian", "hy": "Armenian", "am": "Ethiopic", "si": "Sinhala", "bo": "Tibetan",
}  # fmt: skip
_PLAIN = re.compile(r"[A-Za-z\s.,;:!?'\"“”‘’()\[\]—–…-]*")
_MAX_NAMED = 20


@dataclass(frozen=True)
class Unread:
    """Something of a text that is not spoken, or that a model was not taught.

    Attributes:
        kind: a symbol, a digit, letters of a script that no language of the weights has, an emoji, markup.
        text: as it stands in the text.
        name: what Unicode calls it; of letters, their script; of markup, what it is.
    """

    kind: Kind
    text: str
    name: str


def describe_unread(unread: Iterable[Unread]) -> str | None:
    """Return a note such as "not spoken: symbol ☃ (SNOWMAN), script Greek (λόγος)"; None where there is nothing."""
    notes = [
        f"{found.kind} {found.name} ({found.text})"
        if found.kind == "script"
        else f"{found.kind} {found.text} ({found.name})"
        for found in unread
    ]
    return f"not spoken: {', '.join(notes)}" if notes else None


@lru_cache(maxsize=64)
def _patterns(languages: frozenset[str], extra: str) -> tuple[Any, Any]:
    """Return what is allowed, and what is not: runs of letters of other scripts, else single characters."""
    scripts = sorted({script for code in languages for script in _SCRIPTS.get(code, "Latin").split()})
    letters = "".join(_LETTERS.get(script, rf"\p{{Script={script}}}") for script in scripts)
    allowed = rf"{letters}{re.escape(MARKS)}\s{re.escape(extra)}"
    # A combining mark belongs to the letter before it.
    unread = regex.compile(
        rf"(?<=[{letters}]\p{{M}}*)\p{{M}}(*SKIP)(*FAIL)"
        rf"|(?:[\p{{L}}\p{{M}}--[{allowed}]]+(?:[ ]+[\p{{L}}\p{{M}}--[{allowed}]]+)*)"
        rf"|\p{{Nd}}+|[^{allowed}]",
        regex.V1,
    )
    return regex.compile(rf"[{allowed}]*", regex.V1), unread


def make_readable(
    text: str, languages: Collection[str], *, extra: str = "", keep: bool = False
) -> tuple[str, tuple[Unread, ...]]:
    """Leave only what may be spoken, and name what else there was.

    Args:
        text: spelled out.
        languages: ISO 639 codes of the row and of what the weights speak: their letters stay.
        extra: characters that a lexicon allows.
        keep: name what is not known, but leave it there (for languages whose symbols have no rules).

    Returns:
        The text, and everything unread, each kind and text once, at most 20.
    """
    if _PLAIN.fullmatch(text):
        return text, ()
    exempt = frozenset(extra) | (_KEPT_ELSEWHERE if keep else frozenset())
    text = _MARK_PATTERN.sub(lambda match: match[0] if match[0] in exempt else _OTHER_MARKS[match[0]], text)
    text = _DECORATION.sub(lambda match: match[0] if exempt.issuperset(match[0]) else " ", text)
    return _find(text, languages, "".join(exempt), keep)


def find_unread(text: str, languages: Collection[str], *, extra: str = "") -> tuple[Unread, ...]:
    """Name what a model would be given that it cannot read, in a text that nothing was done to; see `make_readable`."""
    return () if _PLAIN.fullmatch(text) else _find(text, languages, extra, keep=True)[1]


def _find(text: str, languages: Collection[str], extra: str, keep: bool) -> tuple[str, tuple[Unread, ...]]:
    allowed, unread = _patterns(frozenset(languages), "".join(sorted(set(extra))))
    if allowed.fullmatch(text):
        return text, ()
    found: dict[tuple[str, str], Unread] = {}

    def take(match: Match[str]) -> str:
        item = _name(match[0])
        if len(found) < _MAX_NAMED:
            found.setdefault((item.kind, item.text), item)
        return match[0] if keep else " "

    return unread.sub(take, text), tuple(found.values())


_MARK_PATTERN = re.compile("[" + "".join(_OTHER_MARKS) + "]")


def _name(text: str) -> Unread:
    if text[0].isdecimal():
        return Unread("digit", text[:40], "digits")
    if text[0].isalpha():
        name = unicodedata.name(text[0], "").split()
        script = name[0].title() if name else "unknown"
        return Unread("script", text[:40], {"Cjk": "Han"}.get(script, script))
    return Unread("symbol", text, name_of(text[0]))


def name_of(character: str) -> str:
    """Return a character's Unicode name, else its number."""
    return unicodedata.name(character, f"U+{ord(character):04X}")
