"""Numbers, dates, times, sums and measures of other languages in words, for weights that were taught them.

German, French, Spanish, Italian, Portuguese, Japanese and Korean as the tables here say; of the others plain numbers,
as far as num2words knows the language. What is not covered is left as it is; `readable` names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from re import Match
from typing import Any

from pipeline.text.english_numbers import roman_value
from pipeline.text.other_counts import (
    FRENCH_RULERS,
    KOREAN_COUNTERS,
    agree,
    say_counted,
    say_french_ruler,
    say_korean_count,
)
from pipeline.text.other_words import LANGUAGES, Words

_MAX_SPELLED_DIGITS = 15
_NUMBER = r"(?>\d++(?:[.,'’\u202f\u00a0 ]\d{3}(?!\d))*+(?:[.,]\d++)?+)"
_PLAIN_NUMBER = re.compile(r"(?<![\w.,])[-−]?(?>\d++(?:[.,]\d++)*+)(?![\w:/-])|(?<![\w.,])\d++|\d++")
_CJK_NUMBER = re.compile(r"[-−](?<![\d\w][-−])(?>\d++(?:[.,]\d++)*+)|(?>\d++(?:[.,]\d++)*+)")
_SPACED_GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?:[ \u202f\u00a0]\d{3})+(?!\d)")
_GROUPED = re.compile(r"\d{1,3}(?:([.,])\d{3})+")
_COMMA_DECIMAL_LANGUAGES = frozenset(
    "de fr es it pt nl ru pl cs da sv no fi tr uk id ro hu sl sr hr lt lv bg ca".split()
)


_KOREAN_HOURS = (
    "영 한 두 세 네 다섯 여섯 일곱 여덟 아홉 열 열한 열두 십삼 십사 십오 십육 십칠 십팔 십구 이십 이십일 이십이"
    " 이십삼 이십사"
).split()
_ONE_O_CLOCK = {"de": "ein", "fr": "une", "es": "una", "it": "una", "pt": "uma"}
_DIGITS = {"ja": "零一二三四五六七八九", "ko": "영일이삼사오육칠팔구"}


@lru_cache(maxsize=16_384)
def _spell(number: str, language: str, form: str = "cardinal") -> str:
    """Read a number as written in its language; what cannot be read comes back as it is."""
    from num2words import num2words  # only rows in other languages need it

    decimal = "," if language in _COMMA_DECIMAL_LANGUAGES else "."
    plain = re.sub(r"['’\u202f\u00a0 ]", "", number.replace("−", "-"))
    grouped = _GROUPED.fullmatch(plain.lstrip("-"))
    if grouped and (grouped[1] != decimal or plain.count(decimal) > 1):
        plain = re.sub(r"[.,]", "", plain)
    elif decimal == "," and "," not in plain and re.fullmatch(r"-?\d+\.\d{1,2}", plain):
        pass  # a point, as in prices that were copied from elsewhere
    else:
        plain = plain.replace(".", "").replace(",", ".") if decimal == "," else plain.replace(",", "")
    if plain.count(".") > 1 or sum(character.isdigit() for character in plain) > _MAX_SPELLED_DIGITS:
        return _say_digits(number, language)
    if language in _DIGITS and re.fullmatch(r"0\d+", plain):
        return _say_digits(number, language)
    value: Any = float(plain) if "." in plain else int(plain)
    try:
        return str(num2words(value, lang=language, to=form))
    except Exception:  # each of num2words' languages fails in its own way on what it cannot say; digits are readable
        return number


def _say_digits(number: str, language: str) -> str:
    digits = [digit for digit in number if digit.isdecimal()]
    if language in _DIGITS:
        return "".join(_DIGITS[language][int(digit)] for digit in digits)
    return " ".join(_spell(digit, language) for digit in digits) if language in LANGUAGES else number


def say_in_other_language(text: str, language: str) -> str:
    """Write numbers and what belongs to them as words.

    Args:
        text: clean text.
        language: ISO 639-1 code; where num2words does not know it, the text comes back unchanged.
    """
    words = LANGUAGES.get(language)
    if words is not None:
        text = text.replace("℃", "°C")
        for pattern, reading in _rules(language):
            text = pattern.sub(reading, text)
    text = _SPACED_GROUPS.sub(lambda match: re.sub(r"\s", "", match[0]), text)
    pattern = _CJK_NUMBER if language in _DIGITS else _PLAIN_NUMBER
    return pattern.sub(lambda match: _spell(match[0], language), text)


_Reading = Callable[[Match[str]], str]
_Rule = tuple[re.Pattern[str], _Reading]


@lru_cache(maxsize=16)
def _rules(language: str) -> tuple[_Rule, ...]:
    """Return the rules of one language, in their order."""
    reader = _Reader(language, LANGUAGES[language])
    rules = [
        *reader.code_rules(),
        *reader.date_rules(),
        *reader.time_rules(),
        *reader.count_rules(),
        *reader.amount_rules(),
    ]
    return tuple((re.compile(pattern), reading) for pattern, reading in rules)


class _Reader:
    """Reads dates, times, sums, measures and signs of one language."""

    def __init__(self, language: str, words: Words) -> None:
        self._language = language
        self._words = words
        self._space = "" if language == "ja" else " "

    def _say(self, number: str) -> str:
        return _spell(number, self._language)

    def code_rules(self) -> Iterator[tuple[str, _Reading]]:
        """Telephone numbers in digits, and Roman numerals that are numbers."""
        if self._language in _DIGITS:
            groups = (
                r"0\d{1,3}-\d{2,4}-\d{3,4}|1[5-9]\d\d-\d{4}" if self._language == "ko" else r"0\d{1,3}-\d{2,4}-\d{3,4}"
            )
            yield rf"(?<![\d.,-])(?:{groups})(?![\d-])", self._say_telephone
        if self._language == "fr":
            yield (
                rf"\b(?P<name>{FRENCH_RULERS})\s(?P<roman>[IVX]+)(?![\w’'-]|\.\s?[A-ZÉ]\.)",
                lambda m: say_french_ruler(m, self._say),
            )
            yield rf"(?<=\b)(?P<name>{FRENCH_RULERS})\sI(?:er|ᵉʳ)\b", lambda m: f"{m['name']} premier"
            yield r"(?<!\w)([IVX]+)(?:er?|ᵉ|ème)(?=\ssiècles?\b)", self._say_century

    def _say_telephone(self, match: Match[str]) -> str:
        said = [_say_digits(group, self._language) for group in match[0].split("-")]
        return "、".join(said) if self._language == "ja" else ", ".join(said).replace("영", "공")

    def _say_century(self, match: Match[str]) -> str:
        value = roman_value(match[1])
        if value is None:
            return match[0]
        return "premier" if value == 1 else _spell(str(value), "fr", "ordinal")

    def count_rules(self) -> Iterator[tuple[str, _Reading]]:
        """Numbers that change before what is counted."""
        if self._language == "ko":
            yield (
                rf"(?<![\d.,:제-])(?:(?P<low>\d{{1,3}})[-~～])?(?P<number>\d{{1,3}}(?:,\d{{3}})*)\s?(?P<counter>{KOREAN_COUNTERS})",
                lambda m: say_korean_count(m, self._say),
            )
        elif self._language in ("es", "pt", "it", "fr", "de"):
            first = "[A-ZÄÖÜ]" if self._language == "de" else "[a-zà-ÿœ]"
            yield (
                rf"(?<![\w.,:/-])(?P<number>\d{{1,6}})(?P<space>\s)(?P<noun>{first}\w+)",
                lambda m: say_counted(m, self._language, self._say),
            )

    def date_rules(self) -> Iterator[tuple[str, _Reading]]:
        year, month, day = r"(?P<year>[12]\d{3})", r"(?P<month>[01]?\d)", r"(?P<day>[0-3]?\d)"
        between = r"(?P<sep>[./-])"
        yield rf"(?<![\d./-]){year}{between}{month}(?P=sep){day}(?![\d/-])", self._say_date
        yield rf"(?<![\d./-]){day}{between}{month}(?P=sep){year}(?![\d/-])", self._say_date
        if not self._words.months:
            return
        names = "|".join(self._words.months)
        mark = r"\." if self._language == "de" else r"(?:er|º|°)?"
        yield rf"(?<![\d.,]){day}{mark}(?P<between>\s(?:de\s)?)(?P<month>(?i:{names}))\b", self._say_named_date
        if self._language == "de":
            yield rf"((?i:{names})\s)([12]\d{{3}})(?!\d|[.,]\d)", self._say_german_year
            yield (
                (
                    r"((?:[Ii]m Jahre?|[Ss]eit|[Ii]n|[Aa]b|[Bb]is|[Vv]on|[Uu]m) )(1[1-9]\d\d|20\d\d)"
                    r"(?!\d|[.,]\d|[:%€$]|\s?(?:€|km|kg|m\b|Uhr))"
                ),
                self._say_german_year,
            )

    def time_rules(self) -> Iterator[tuple[str, _Reading]]:
        mark, hour, minute = self._words.hour_mark, r"(?P<hour>[01]?\d|2[0-4])", r"(?P<minute>[0-5]\d)"
        if self._language == "fr":
            yield rf"(?<![\d:.,]){hour}\s?h(?:eures?)?\s?{minute}?(?!\w)", self._say_time
        if self._language == "de":
            yield rf"(?<![\d:.,]){hour}(?P<minute>)\sUhr\b", self._say_time
        if self._language in ("es", "it", "pt"):
            yield rf"(?<![\d:.,]){hour}\s?h\s?{minute}(?!\w)", self._say_time
        yield rf"(?<![\d:.,]){hour}\.{minute}\s?{mark}\b", self._say_time
        yield rf"(?<![\d:.,]){hour}:{minute}(?::[0-5]\d)?(?:\s?{mark}\b)?(?![\d:])", self._say_time

    def amount_rules(self) -> Iterator[tuple[str, _Reading]]:
        words, space = self._words, self._space
        symbols = "|".join(map(re.escape, sorted(words.currencies, key=len, reverse=True)))
        units = "|".join(map(re.escape, sorted(words.units, key=len, reverse=True)))
        yield rf"(?P<symbol>{symbols})\s?(?P<amount>{_NUMBER})", self._say_money
        yield rf"(?<![\d.,])(?P<amount>{_NUMBER})\s?(?P<symbol>{symbols})(?!\w)", self._say_money
        before = "A-Za-z" if self._language in _DIGITS else r"\w"  # no space parts words there
        yield rf"(?<![\d.,{before}])(?P<number>[-−]?{_NUMBER})\s?(?P<unit>{units})(?![A-Za-z²³])", self._say_unit
        if words.ordinal_mark:
            yield rf"(?<![\d.,])(\d{{1,3}}){words.ordinal_mark}", self._say_ordinal
        yield (
            r"(?<![\d.,-])(\d+)\s?[-–—~～]\s?(\d+)(?![\d-])",
            lambda m: f"{self._say(m[1])}{space}{words.to}{space}{self._say(m[2])}",
        )
        yield r"\s?%", lambda m: f"{space}{words.signs['%']}"
        others = "".join(sign for sign in words.signs if sign != "%")
        yield rf"\s?([{re.escape(others)}])\s?", lambda m: f"{space}{words.signs[m[1]]}{space}"

    def _say_date(self, match: Match[str]) -> str:
        year, month, day = match["year"], int(match["month"]), int(match["day"])
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return match[0]
        words, is_german = self._words, self._language == "de"
        return words.date.format(
            day=words.first_of_month if day == 1 and words.first_of_month else self._say(str(day)),
            ordinal=_german_ordinal(match, day) if is_german else "",
            month=words.months[month - 1] if words.months else "",
            number=self._say(str(month)),
            year=_spell(year, self._language, "year" if is_german else "cardinal"),
        )

    def _say_named_date(self, match: Match[str]) -> str:
        day = int(match["day"])
        if self._language == "de":
            said = _german_ordinal(match, day)
        else:
            said = self._words.first_of_month if day == 1 and self._words.first_of_month else self._say(str(day))
        return f"{said}{match['between']}{match['month']}"

    def _say_german_year(self, match: Match[str]) -> str:
        return match[1] + _spell(match[2], "de", "year")

    def _say_time(self, match: Match[str]) -> str:
        hour, minute = int(match["hour"]), int(match["minute"] or 0)
        form = self._words.time if minute else self._words.whole_hour
        if self._language == "ko":
            said = _KOREAN_HOURS[hour]
        else:
            said = _ONE_O_CLOCK.get(self._language, "") if hour == 1 else ""
            said = said or agree(
                self._say(str(hour)), "horas" if self._language in ("es", "pt") else "", self._language
            )
        if self._language == "pt" and minute and "h" in match[0]:
            form = "{hour} hora e {minute}" if hour == 1 else "{hour} horas e {minute}"
        if self._language == "fr" and hour == 1:
            form = form.replace("heures", "heure")
        return form.format(hour=said, minute=self._say(str(minute)))

    def _say_money(self, match: Match[str]) -> str:
        one, many = self._words.currencies[match["symbol"]]
        amount = match["amount"]
        parts = re.fullmatch(r"(.+?)[.,](\d\d)", amount)
        if parts and not _GROUPED.fullmatch(amount) and self._language not in _DIGITS:
            cents = "" if parts[2] == "00" else self._words.and_cents + self._say(str(int(parts[2])))
            return (
                f"{self._counted(parts[1], one if parts[1] == '1' else many)} {one if parts[1] == '1' else many}{cents}"
            )
        return f"{self._counted(amount, one if amount == '1' else many)}{self._space}{one if amount == '1' else many}"

    def _say_unit(self, match: Match[str]) -> str:
        one, many = self._words.units[match["unit"]]
        number = match["number"]
        name = one if number.lstrip("-−") == "1" else many
        return f"{self._counted(number, name)}{self._space}{name}"

    def _counted(self, number: str, noun: str) -> str:
        """Return the form of a number before a noun: "ein Euro", "una libra"."""
        words = self._say(number)
        formed = agree(words, noun if "sterling" in noun else noun.split(" ")[0], self._language)
        return formed if formed != words else _counted(words, self._language)

    def _say_ordinal(self, match: Match[str]) -> str:
        return (
            _german_ordinal(match, int(match[1])) if self._language == "de" else _romance_ordinal(match, self._language)
        )


def _german_ordinal(match: Match[str], number: int) -> str:
    """Decline by the word before: "der dritte", "am dritten", alone "dritter"."""
    before = match.string[max(0, match.start() - 16) : match.start()].rstrip().rpartition(" ")[2].lower()
    stem = _spell(str(number), "de", "ordinal")
    if before in ("der", "die", "das"):
        return stem
    return stem + (
        "n" if before in ("am", "dem", "den", "vom", "zum", "beim", "im", "des", "bis", "seit", "ab") else "r"
    )


def _romance_ordinal(match: Match[str], language: str) -> str:
    words = _spell(match[1], language, "ordinal")
    feminine = match[0].endswith(("ª", "re", "ère", "nde"))
    if language == "fr":
        return ("première" if feminine else "premier") if match[1] == "1" else words
    if (
        language == "es"
        and words.endswith(("primero", "tercero"))
        and re.match(r"\s\w", match.string[match.end() : match.end() + 2])
    ):
        return words if feminine and not words.endswith("o") else words[:-1] + "a" if feminine else words[:-1]
    return words[:-1] + "a" if feminine and words.endswith("o") else words


def _counted(words: str, language: str) -> str:
    """Return the form of one that stands before a noun: "ein Euro", "un euro"."""
    if language == "de" and words.endswith("eins"):
        return words[:-1]
    if language in ("es", "it") and words.endswith("uno"):
        return words[:-1]
    return words
