"""English text as it is said: every number, date, sum, unit, abbreviation and symbol in words.

An ordered list of rules, each a pattern and its reading; a rule's output holds no digit, so later rules leave it be.
Every pattern takes a run of digits at once (possessively), so the time stays linear on hostile text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from re import Match

from pipeline.text.english_abbreviations import expand_abbreviations
from pipeline.text.english_algebra import say_algebra
from pipeline.text.english_catalogs import expand_catalog
from pipeline.text.english_codes import PHONE_RULES
from pipeline.text.english_counts import LIST_RULES, NUMBER_RULES
from pipeline.text.english_dates import DATE_RULES, SHORT_DATE_RULES, SPAN_RULES, TIME_RULES, YEAR_RULES
from pipeline.text.english_measures import MEASURE_RULES, VULGAR_PATTERN, say_vulgar
from pipeline.text.english_money import MONEY_RULES, OLD_MONEY_RULES
from pipeline.text.english_numbers import cardinal
from pipeline.text.english_places import expand_places
from pipeline.text.english_roman import expand_roman_numerals
from pipeline.text.english_symbols import HAS_SYMBOL, SYMBOL_RULES, say_addresses
from pipeline.text.english_verses import expand_verses
from pipeline.text.formulas import FormulaWords, say_formulas

Rule = tuple[re.Pattern[str], Callable[[Match[str]], str]]
_RULES: tuple[tuple[re.Pattern[str], tuple[Rule, ...]], ...] = tuple(
    (re.compile(needed), tuple((re.compile(pattern), reading) for pattern, reading in rules))
    for needed, rules in (
        (r"\d[.,'’]\d|[mM],\d", LIST_RULES),
        (r"\d/[-–\d]|£\d+-", OLD_MONEY_RULES),
        (r"\d[-./:]\d|[A-Za-z]{3}[-. /,]+['’]?\d|\d[-/ a-z]{0,6}[A-Za-z]{3}|[1-4]Q|[12]H|\d{8}|\d{4} \d", DATE_RULES),
        (r"\d/\d", SHORT_DATE_RULES),
        (r"[-–—~]", SPAN_RULES),
        (r"\d:\d|\d\s?[aApPhm]|\d\.\d\d|\d{4}", TIME_RULES),
        (r"\d{3}|[A-Z]\d[A-Z] \d|[*#]\d|:[0-9A-Fa-f]{2}:|\b0[xX]", PHONE_RULES),
        (r"[$€£¥₹₩₽₿₺₫฿₴₪₱₦₸]|[A-Z]{3}|\d[sdpcl]\b|Rs|Dollar|Pound|Euro", MONEY_RULES),
        (r"\d[ '’]?s\b|\d\d\d\d?\s?[-–—/]\s?\d|\d (?:[ABC]\.?\s?[DCE])", YEAR_RULES),
        (r"", MEASURE_RULES),
        (r"", NUMBER_RULES),
    )
)
"""By what a text must hold for a group to say anything: most texts skip most groups."""
_FORMULA_WORDS = FormulaWords(
    " minus ", "minus ", " less than ", " greater than ", " to the power of {}", " over ", "about ", " factorial"
)
_HAS_NUMBER = re.compile(r"[0-9⁰¹²³⁴-⁹₀-₉]")
_ENCLOSED = re.compile(r"[\u2460-\u249b\u24ea-\u24ff\u2776-\u2793]")
_DOUBLE_HYPHEN = re.compile(r"(?<=[\w.,;:!?'\"”’)“‘(])(\s?)-{2,3}(?!-)(\s?)(?=[\w'\"“‘’”($£€[]|$)")


def say_in_english(text: str) -> str:
    """Spell out everything in an English text that is not a word; the punctuation stays."""
    if "--" in text:
        text = _DOUBLE_HYPHEN.sub(r"\1—\2", text)
    text = say_addresses(text)
    text = say_algebra(text)
    text = expand_abbreviations(expand_places(expand_catalog(expand_verses(text))))
    text = expand_roman_numerals(text)
    if not text.isascii():
        text = _ENCLOSED.sub(_say_enclosed, text)
        text = VULGAR_PATTERN.sub(say_vulgar, text)
    text = say_formulas(text, _FORMULA_WORDS)
    if _HAS_NUMBER.search(text):
        for needed, rules in _RULES:
            if needed.search(text):
                for pattern, reading in rules:
                    text = pattern.sub(reading, text)
    if HAS_SYMBOL.search(text):
        for pattern, reading in SYMBOL_RULES:
            text = pattern.sub(reading, text)
    return text


def _say_enclosed(match: Match[str]) -> str:
    after = match.string[match.end() : match.end() + 1]
    return cardinal(str(int(unicodedata.numeric(match[0])))) + (
        " " if after and not after.isspace() and after not in ".,;:!?)" else ""
    )
