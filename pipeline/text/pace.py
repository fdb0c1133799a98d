"""How long a text takes to say, by its language and script: what a take's length is judged by."""

from __future__ import annotations

import re
from functools import lru_cache

import regex

HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Chinese characters, for a class of a regular expression."""
# `regex` knows scripts that are newer than this Python.
_TOKEN = regex.compile(
    rf"(?P<latin>[A-Za-zÀ-ɏḀ-ỿ]+)|(?P<han>[{HAN}々〇]+)|(?P<kana>[\u3040-\u30ff\uff66-\uff9f]+)"
    r"|(?P<hangul>[\uac00-\ud7a3]+)|(?P<digits>\d+)|(?P<end>[。！？!?…]+|\.(?=\s|$))|(?P<pause>[，；：、,;:—–]+)"
    r"|(?P<other>[\p{L}\p{N}_]+)"
)
_VOWELS = re.compile(r"[aeiouyà-æè-ïò-öø-ýÿāēīōūăĕĭŏŭœ]+", re.IGNORECASE)
_SILENT_E = re.compile(r"[^aeiouyl](?:e|es|ed)$")
_OTHER_VOWELS = frozenset("аеёиоуыэюяіїєαεηιουωάέήίόύώ")
# Seconds: about 4.7 syllables or characters a second, as the model's voices speak at moderate speed.
_SYLLABLE_S = 0.21
_HAN_S = 0.22
_KANA_S = 0.14
_HANGUL_S = 0.19
_PAUSE_S = 0.18
_END_S = 0.35


@lru_cache(maxsize=65_536)
def count_syllables(word: str) -> int:
    """Count the syllables of a word in Latin letters; an acronym has one for each letter, three for a W."""
    if word.isupper() and (len(word) <= 3 or not _VOWELS.search(word)):
        return min(len(word) + 2 * word.count("W"), 2 * len(word) + 2)
    lower = word.lower()
    count = len(_VOWELS.findall(lower))
    if count > 1 and _SILENT_E.search(lower) and not lower.endswith(("ted", "ded", "ses", "ces", "ges", "zes", "xes")):
        count -= 1
    # Without vowels it is spelled out or mumbled; a very long "word" is no word, and each vowel group counts.
    return max(count, 1, len(word) // 6)


@lru_cache(maxsize=256)  # The same piece is asked about when it is joined, compared with the limits and made a segment.
def estimate_seconds(text: str, language: str) -> float:
    """Estimate how long a text takes to say, at moderate speed.

    Args:
        text: any text; scripts may be mixed.
        language: digits not spelled out are counted as this language says them.

    Returns:
        Seconds, from syllables in Latin script and from characters in Chinese, with the pauses of the punctuation;
        0.0 for an empty text.
    """
    seconds = 0.0
    digit_s = _HAN_S if language in ("zh", "ja", "ko") else 1.5 * _SYLLABLE_S
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match[0]
        if kind == "latin":
            seconds += _SYLLABLE_S * count_syllables(token)
        elif kind == "han":
            seconds += _HAN_S * len(token)
        elif kind == "pause":
            seconds += _PAUSE_S
        elif kind == "end":
            seconds += _END_S
        elif kind == "kana":
            seconds += _KANA_S * len(token)
        elif kind == "hangul":
            seconds += _HANGUL_S * len(token)
        elif kind == "digits":
            seconds += digit_s * len(token)
        else:
            vowels = sum(character in _OTHER_VOWELS for character in token.lower())
            seconds += _SYLLABLE_S * vowels if vowels else 0.12 * len(token)
    return round(seconds, 3)
