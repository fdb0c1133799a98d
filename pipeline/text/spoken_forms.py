"""Choose how each part of a text is spelled out: English rules, Chinese rules, or numbers alone in other languages."""

from __future__ import annotations

import re
from functools import lru_cache
from re import Match
from typing import Any

from pipeline.text.spoken_chinese import say_in_chinese
from pipeline.text.spoken_english import say_in_english

_HAN = "㐀-鿿豈-﫿"
_CHINESE_MARKS = "，。！？；：、（）《》「」『』…"
ENGLISH_FUNCTION_WORDS = frozenset(
    "the a an of and or to in is are was were be been it he she they we you i this that with for on at by from as not"
    " but have has had do does did my your his her its their our will would can could what when where who how if"
    " there means"
    .split()
)  # fmt: skip
_LATIN_WORD = re.compile(r"[A-Za-z]+(?:['’][a-z]+)?")
# In a Chinese text: a stretch without Chinese characters; in an English one: Chinese words with their numbers. Both are
# looked for only where one can begin and never step back, or a row of 20,000 digits would take the time of its square.
_NON_CHINESE_RUN = re.compile(
    rf"(?<![^{_HAN}{_CHINESE_MARKS}])[^{_HAN}{_CHINESE_MARKS}A-Za-z]*+[A-Za-z][^{_HAN}{_CHINESE_MARKS}]*+"
)
_CHINESE_RUN = re.compile(
    rf"(?:[¥￥$€£]?(?<!\d)\d[\d.,:/%-]*+)?[{_HAN}](?:[{_HAN}{_CHINESE_MARKS}\d.,:/%°℃¥￥-]*[{_HAN}{_CHINESE_MARKS}\d%℃])?"
)
_NUMBER = re.compile(r"(?<![\w.,])[-−]?(?>\d++(?:[.,]\d++)*+)(?![\w:/-])|(?<![\w.,])\d++")
_GROUPED = re.compile(r"\d{1,3}(?:([.,])\d{3})+")
_COMMA_DECIMAL_LANGUAGES = frozenset(
    "de fr es it pt nl ru pl cs da sv no fi tr uk id ro hu sl sr hr lt lv bg ca".split()
)
_MAX_SPELLED_DIGITS = 15


def count_english_words(text: str) -> tuple[int, int]:
    """Return how many Latin words a text has, and how many of them only English prose uses (the, of, is)."""
    words = _LATIN_WORD.findall(text)
    return len(words), sum(word.lower() in ENGLISH_FUNCTION_WORDS for word in words)


def _is_english_prose(text: str) -> bool:
    num_words, num_function_words = count_english_words(text)
    return num_words >= 3 and num_function_words >= 1


def spell_out(text: str, language: str) -> str:
    """Write numbers, dates, sums, units, abbreviations and symbols as words.

    Args:
        text: clean text (see `pipeline.text.clean_text`).
        language: `en` and `zh` are done in full, also where one stands within the other; in other languages only
            plain numbers are, as far as num2words knows the language.
    """
    if language == "en":
        return "".join(_each_run(text, _CHINESE_RUN, inside="zh", outside="en"))
    if language == "zh":
        return "".join(_each_run(text, _NON_CHINESE_RUN, inside="en", outside="zh"))
    return _say_numbers(text, language)


def _each_run(text: str, pattern: re.Pattern[str], *, inside: str, outside: str) -> list[str]:
    say = {"en": say_in_english, "zh": say_in_chinese}
    spoken, start = [], 0
    for match in pattern.finditer(text):
        if inside == "en" and not _is_english_prose(match[0]):
            continue
        spoken += [say[outside](text[start : match.start()]), say[inside](match[0])]
        start = match.end()
    spoken.append(say[outside](text[start:]))
    return spoken


@lru_cache(maxsize=16_384)
def _say_number(number: str, language: str) -> str:
    from num2words import num2words  # only rows in other languages need it

    decimal = "," if language in _COMMA_DECIMAL_LANGUAGES else "."
    plain = number.replace("−", "-")
    grouped = _GROUPED.fullmatch(plain.lstrip("-"))
    if grouped and grouped[1] != decimal:
        plain = re.sub(r"[.,]", "", plain)
    plain = plain.replace(",", ".") if decimal == "," else plain.replace(",", "")
    if plain.count(".") > 1 or sum(character.isdigit() for character in plain) > _MAX_SPELLED_DIGITS:
        return number
    value: Any = float(plain) if "." in plain else int(plain)
    try:
        return str(num2words(value, lang=language))
    except Exception:  # each of num2words' languages fails in its own way on what it cannot say; digits are readable
        return number


def _say_numbers(text: str, language: str) -> str:
    def say(match: Match[str]) -> str:
        return _say_number(match[0], language)

    return _NUMBER.sub(say, text)
