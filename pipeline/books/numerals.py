"""What the numbers of chapters come to: digits, Roman and Chinese numerals, words of English, French and German."""

from __future__ import annotations

import re
import unicodedata

from pipeline.text.english_numbers import roman_value

_ONES = (
    "one first un une premier première eins erstes erster erste",
    "two second deux deuxième second seconde zwei zweites",
    "three third trois troisième drei drittes", "four fourth quatre quatrième vier viertes",
    "five fifth cinq cinquième fünf fünftes", "six sixth six sixième sechs sechstes",
    "seven seventh sept septième sieben siebentes siebtes", "eight eighth huit huitième acht achtes",
    "nine ninth neuf neuvième neun neuntes", "ten tenth dix dixième zehn zehntes",
    "eleven eleventh onze onzième elf elftes", "twelve twelfth douze douzième zwölf zwölftes",
    "thirteen thirteenth treize treizième dreizehn", "fourteen fourteenth quatorze quatorzième vierzehn",
    "fifteen fifteenth quinze quinzième fünfzehn", "sixteen sixteenth seize seizième sechzehn",
    "seventeen seventeenth dix-sept dix-septième siebzehn", "eighteen eighteenth dix-huit dix-huitième achtzehn",
    "nineteen nineteenth dix-neuf dix-neuvième neunzehn", "twenty twentieth vingt vingtième zwanzig",
)  # fmt: skip
_TENS = {"thirty": 30, "thirtieth": 30, "forty": 40, "fortieth": 40, "fifty": 50, "fiftieth": 50}
_WORDS = {word: value for value, words in enumerate(_ONES, 1) for word in words.split()} | _TENS
_GERMAN_ENDING = re.compile(r"(?:t|st)?e[rsn]?$")
_CHINESE_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1_000}


def value_of(number: str) -> int | None:
    """Return the value of a number as a heading may have it; None for other words."""
    number = unicodedata.normalize("NFKC", number).strip().lower()
    number = re.sub(r"^the\s+", "", number)
    if number.isdecimal():
        return int(number) if len(number) <= 4 else None
    if number and all(sign in _CHINESE_DIGITS or sign in _CHINESE_UNITS for sign in number):
        return _chinese_value(number)
    if (value := roman_value(number.upper())) is not None:
        return value
    for word in (number, _GERMAN_ENDING.sub("", number)):
        if word in _WORDS:
            return _WORDS[word]
    tens, _, ones = number.replace(" ", "-").partition("-")
    if tens in ("twenty", *_TENS) and 0 < _WORDS.get(ones, 0) < 10:
        return _WORDS[tens] + _WORDS[ones]
    return None


def _chinese_value(number: str) -> int:
    if not any(sign in _CHINESE_UNITS for sign in number):
        return int("".join(str(_CHINESE_DIGITS[sign]) for sign in number))
    total = digit = 0
    for sign in number:
        if sign in _CHINESE_UNITS:
            total, digit = total + (digit or 1) * _CHINESE_UNITS[sign], 0
        else:
            digit = _CHINESE_DIGITS[sign]
    return total + digit
