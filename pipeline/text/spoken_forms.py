"""Choose how each part of a text is spelled out: English rules, Chinese rules, or those of other languages."""

from __future__ import annotations

import re

from pipeline.text.languages import count_english_words
from pipeline.text.other_languages import say_in_other_language
from pipeline.text.spoken_chinese import say_in_chinese
from pipeline.text.spoken_english import say_in_english

_ONE_TO_ANOTHER = re.compile(r"(?<![A-Za-z0-9])([BCDOPGM])2([BCDOPGMV])(?![A-Za-z0-9])")
"""Trade: B2B, P2P, O2O."""
_LONG_WORD = re.compile(r"[A-Za-z]{2,}")
_HAN = "㐀-鿿豈-﫿"
_CHINESE_MARKS = "，。！？；：、（）《》「」『』…"
# In a Chinese text: a stretch without Chinese characters; in an English one: Chinese words with their numbers. Both are
# looked for only where one can begin and never step back, or a row of 20,000 digits would take the time of its square.
_NON_CHINESE_RUN = re.compile(
    rf"(?<![^{_HAN}{_CHINESE_MARKS}])[^{_HAN}{_CHINESE_MARKS}A-Za-z]*+[A-Za-z][^{_HAN}{_CHINESE_MARKS}]*+"
)
_CHINESE_RUN = re.compile(
    rf"(?:[¥￥$€£]?(?<!\d)(?<!\d[.,:/%-])\d[\d.,:/%-]*+)?[{_HAN}](?:[{_HAN}{_CHINESE_MARKS}\d.,:/%°℃¥￥-]*[{_HAN}{_CHINESE_MARKS}\d%℃])?"
)


def _is_english_prose(text: str) -> bool:
    num_words, num_function_words = count_english_words(text)
    return num_words >= 3 and num_function_words >= 1 and len(_LONG_WORD.findall(text)) >= 2


def spell_out(text: str, language: str) -> str:
    """Write numbers, dates, sums, units, abbreviations and symbols as words.

    Args:
        text: clean text (see `pipeline.text.clean_text`).
        language: `en` and `zh` are done in full, also where one stands within the other; see `other_languages` for the
            rest.
    """
    if language in ("en", "zh"):
        text = _ONE_TO_ANOTHER.sub(r"\1 to \2", text)
    if language == "en":
        return "".join(_each_run(text, _CHINESE_RUN, inside="zh", outside="en"))
    if language == "zh":
        return "".join(_each_run(text, _NON_CHINESE_RUN, inside="en", outside="zh"))
    return say_in_other_language(text, language)


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
