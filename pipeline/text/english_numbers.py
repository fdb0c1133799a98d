"""English number words: cardinals, ordinals, years, digits; US style, without "and".

Knows nothing of the text around a number; num2words does the spelling.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

MONTHS = (
    "January February March April May June July August September October November December".split()
)  # fmt: skip
MAX_SPELLED_DIGITS = 15
DIGIT_WORDS = "zero one two three four five six seven eight nine".split()
SCALES = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "b": "billion",
    "bn": "billion",
    "t": "trillion",
    "tn": "trillion",
}
_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
PLAIN_SCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺₀₁₂₃₄₅₆₇₈₉", "0123456789-+0123456789")
"""What raised and lowered digits are in the line."""
_NOT_IN_US_STYLE = re.compile(r",| and\b")


@lru_cache(maxsize=16_384)
def _spell(value: int, form: str) -> str:
    from num2words import num2words  # 20 ms to import: only when the first number comes

    words: Any = num2words(value, to=form)
    return _NOT_IN_US_STYLE.sub("", str(words))


def digits(text: str) -> str:
    """Read the digits of `text` one by one; everything else is ignored."""
    return " ".join(DIGIT_WORDS[int(character)] for character in text if character in "0123456789")


def cardinal(number: str) -> str:
    """Read a number such as `1,234.50`, `.5` or `-7`; long ones and those that start with 0 digit by digit."""
    sign = "minus " if number[0] in "-−" else ""
    whole, point, fraction = number.lstrip("-−+").replace(",", "").partition(".")
    is_round = len(whole) <= 36 and (whole.endswith("0" * 12) or "," in number)
    if (len(whole) > 1 and whole[0] == "0") or (len(whole) > MAX_SPELLED_DIGITS and not is_round):
        words = digits(whole)
    else:
        words = _spell(int(whole), "cardinal") if whole else ""
    if point and fraction:
        words += f" point {digits(fraction)}"
    return sign + words.strip()


def ordinal(number: str | int) -> str:
    """Read `22` as "twenty-second"."""
    text = str(number).replace(",", "")
    return _spell(int(text), "ordinal") if len(text) <= MAX_SPELLED_DIGITS else digits(text)


def year(number: str | int) -> str:
    """Read `1984` as "nineteen eighty-four", `1905` as "nineteen oh five", `2005` as "two thousand five"."""
    value = int(number)
    if value < 1000 or value > 9999 or value % 1000 < 10:
        return _spell(value, "cardinal")
    return _spell(value, "year").replace("oh-", "oh ")


def house_number(number: str) -> str:
    """Read the number of a house: `708` as "seven oh eight", `1211` as "twelve eleven", `12345` digit by digit."""
    if len(number) <= 2 or number[0] == "0" or int(number) % 1000 == 0:
        return cardinal(number)
    if len(number) > 4:
        return digits(number)
    first, last = cardinal(number[:-2]), int(number[-2:])
    if last == 0:
        return f"{first} hundred"
    return f"{first} oh {cardinal(str(last))}" if last < 10 else f"{first} {cardinal(str(last))}"


def code(text: str) -> str:
    """Read a code such as `ab9453`: its letters as they are, its digits one by one."""
    return " ".join(digits(part) if part.isdecimal() else part for part in re.findall(r"\d+|[^\W\d_]+", text))


def decade(number: str) -> str:
    """Read `1990` as "nineteen nineties", `80` as "eighties", `1900` as "nineteen hundreds"."""
    words = year(number) if len(number) == 4 else _spell(int(number), "cardinal")
    return re.sub(r"y$", "ie", words) + ("es" if words.endswith("x") else "s")


def full_year(two_digits: str) -> int:
    """Return the year that two digits mean: one that is more than ten years ahead is of the 20th century."""
    value = int(two_digits)
    return value + (1900 if value > 36 else 2000)


def fraction(numerator: str, denominator: str) -> str:
    """Read `3`, `4` as "three quarters"; what is no usual fraction as "one hundred twenty over eighty"."""
    top, bottom = int(numerator), int(denominator)
    usual = 2 <= bottom <= 20 or bottom in (25, 30, 32, 40, 50, 60, 64, 100, 1000)
    improper = 2 <= bottom <= 9 and top < 100 and top % bottom  # 7/3; but 120/80 and 10/10 are no fractions
    if not usual or not 0 < top or (top >= bottom and not improper):
        return f"{cardinal(numerator)} over {cardinal(denominator)}"
    names = {2: ("half", "halves"), 4: ("quarter", "quarters")}
    one, many = names.get(bottom, (ordinal(bottom), ordinal(bottom) + "s"))
    return f"{cardinal(numerator)} {one if top == 1 else many}"


def plural_of(words: str) -> str:
    """Return several of a number in words: "eights", "sixes", "twenties"."""
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}{'es' if words.endswith('x') else 's'}"


def power(raised: str) -> str:
    """Read a superscript: "squared", "to the power of minus six"."""
    plain = raised.translate(PLAIN_SCRIPTS)
    return {"2": " squared", "3": " cubed"}.get(plain, f" to the power of {cardinal(plain.lstrip('+'))}")


def roman_value(numeral: str) -> int | None:
    """Return the value of a well-formed Roman numeral, else None."""
    if not numeral or not _ROMAN.fullmatch(numeral):
        return None
    values = [_ROMAN_VALUES[letter] for letter in numeral]
    return sum(-value if value < max(values[index:]) else value for index, value in enumerate(values))


def date(year_number: str | int | None, month: int, day: int | None) -> str:
    """Read a date the US way: "March fifth, twenty twenty-four"."""
    words = MONTHS[month - 1] + (f" {ordinal(day)}" if day else "")
    if year_number is None:
        return words
    return f"{words}{',' if day else ''} {year(year_number)}"


def is_day(month: int, day: int) -> bool:
    """Tell whether the calendar has such a day."""
    return 1 <= month <= 12 and 1 <= day <= (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def clock(hour: int, minute: int, second: int | None, half: str | None) -> str:
    """Read a time: "five thirty PM", "nine oh five", "fourteen hundred", "five o'clock", "midnight"."""
    suffix = f" {half}" if half else ""
    hours = cardinal(str(hour))
    if minute == 0 and not second:
        if half:
            return hours + suffix
        if hour in (0, 24):
            return "midnight"
        return f"{hours} o'clock" if hour <= 12 else f"{hours} hundred"
    on_the_hour = "o'clock" if hour <= 12 else "hundred"
    minutes = on_the_hour if minute == 0 else ("oh " if minute < 10 else "") + cardinal(str(minute))
    seconds = f" and {cardinal(str(second))} second{'' if second == 1 else 's'}" if second else ""
    return f"{hours} {minutes}{seconds}{suffix}"
