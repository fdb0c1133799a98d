"""What is written and how it is said: tables of English and Chinese, texts that mix both, other languages."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UtteranceError
from pipeline.text import normalize_text
from pipeline.text.english_numbers import cardinal, decade, fraction, roman_value, year
from pipeline.text.spoken_chinese import say_in_chinese
from pipeline.text.spoken_english import say_in_english

CATEGORIES = (
    "cardinal ordinal decimal fraction date time money measure telephone address electronic range score serial roman"
    " abbreviation math mixed"
).split()


def read_table(name: str) -> list[tuple[str, str]]:
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    cases = [tuple(line.split("\t")) for line in lines if line and not line.startswith("# ")]
    assert all(len(case) == 3 for case in cases)
    assert [category for category in CATEGORIES if category not in {case[0] for case in cases}] == []
    return [case[1:] for case in cases]  # type: ignore[misc]


SIGNS = (
    *"1 2 9 10 x n k ( ) { } ^ - − / : . , ' \" ′ ″ < > ‹ = + | ~ ! ² ⁻ ⁺ ₂ ⁿ € $ ° 年 层 的 Sr. Ps. Ex. No.".split(),
    *(" ", "911", " or ", "George V.", "Charles I ", "pp. x-", "odds ", "paid ", "1 Cor. ", "赔率", "路易X"),
)
ENGLISH = read_table("english.tsv")
CHINESE = read_table("chinese.tsv")


def test_tables_are_large_enough_to_mean_something() -> None:
    assert len(ENGLISH) >= 400 and len(CHINESE) >= 250


@pytest.mark.parametrize(("written", "spoken"), ENGLISH)
def test_english_is_spelled_out(written: str, spoken: str) -> None:
    assert normalize_text(written, language="en").text == spoken


@pytest.mark.parametrize(("written", "spoken"), CHINESE)
def test_chinese_is_spelled_out(written: str, spoken: str) -> None:
    assert normalize_text(written, language="zh").text == spoken


@pytest.mark.parametrize(
    ("written", "language", "spoken"),
    [
        ("我有3个 apples", "zh", "我有三个 apples"),
        ("我用 iPhone 15 拍了20张照片", "zh", "我用 iPhone 十五 拍了二十张照片"),
        ('他说"I was born in 1984 on March 5."然后走了3步。', "zh",
         '他说"I was born in nineteen eighty-four on March fifth."然后走了三步。'),
        ("Born in 1984年3月5日, he left at 5 pm.", "en", "Born in 一九八四年三月五日, he left at five PM."),
        ("The word 你好 has 2 characters.", "en", "The word 你好 has two characters."),
        ("Dr. Li说他有2只猫。", "zh", "Dr. Li说他有两只猫。"),
        ("The price is 5元 or $3.", "en", "The price is 五元 or three dollars."),
        ("买了3 kg apples和2个melons", "zh", "买了三公斤 apples和两个melons"),
    ],
)  # fmt: skip
def test_mixed_text_is_said_in_the_language_around(written: str, language: str, spoken: str) -> None:
    assert normalize_text(written, language=language).text == spoken


@pytest.mark.parametrize(
    ("written", "language", "spoken"),
    [
        ("Ich habe 42 Katzen.", "de", "Ich habe zweiundvierzig Katzen."),
        ("J'ai 3,5 euros.", "fr", "J'ai trois virgule cinq euros."),
        ("Hay 1.000 casas.", "es", "Hay mil casas."),
        ("Sono 7.", "it", "Sono sette."),
        ("Text with 5 in an unknown language.", "xx", "Text with 5 in an unknown language."),
    ],
)
def test_other_languages_have_their_numbers_said(written: str, language: str, spoken: str) -> None:
    assert normalize_text(written, language=language).text == spoken


@pytest.mark.parametrize("cases", [ENGLISH, CHINESE])
def test_no_digit_or_sign_is_left_and_saying_twice_changes_nothing(cases: list[tuple[str, str]]) -> None:
    language = "en" if cases is ENGLISH else "zh"
    for _, spoken in cases:
        assert not re.search(r"[0-9$€£¥%°<>|#@_=^~*]", spoken), spoken
        assert normalize_text(spoken, language=language).text == spoken


@pytest.mark.parametrize(
    "word", ["NASA", "USA", "well-known", "don't", "o'clock", "it’s", "rock 'n' roll", "Hello — world…"]
)
def test_words_are_left_alone(word: str) -> None:
    assert normalize_text(word, language="en").text == word


def test_number_words() -> None:
    assert cardinal("105") == "one hundred five"
    assert cardinal("1,234,567") == "one million two hundred thirty-four thousand five hundred sixty-seven"
    assert cardinal("-0.50") == "minus zero point five zero"
    assert cardinal("007") == "zero zero seven"
    assert [year(n) for n in (1905, 2000, 2005, 2010, 1900)] == [
        "nineteen oh five", "two thousand", "two thousand five", "twenty ten", "nineteen hundred",
    ]  # fmt: skip
    assert [decade(text) for text in ("1990", "80", "1960", "2000")] == [
        "nineteen nineties", "eighties", "nineteen sixties", "two thousands",
    ]  # fmt: skip
    assert [fraction(*pair) for pair in (("1", "2"), ("3", "4"), ("2", "3"), ("120", "80"))] == [
        "one half", "three quarters", "two thirds", "one hundred twenty over eighty",
    ]  # fmt: skip


def test_roman_numerals_are_read_strictly() -> None:
    assert [roman_value(numeral) for numeral in ("IV", "XIV", "MCMXCIX", "IIII", "VX", "")] == [
        4,
        14,
        1999,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("say", [say_in_english, say_in_chinese])
@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "1,",
        "1.",
        "1-",
        "1/",
        "1:",
        "$1 ",
        "A.",
        "a.",
        "-",
        "1 ",
        "IV ",
        "www.",
        "a@",
        "+1 ",
        "(1",
        "St. ",
        "No. ",
        "5 m",
        "<1",
        "2^3-",
        "= 1-",
        "1'",
        "|a|",
        "1:1,000",
        "911, ",
        "1/2 ",
        "Charles I ",
        "1 Cor. ",
    ],
)
def test_hostile_repetition_comes_to_an_end(say: object, unit: str) -> None:
    """Patterns that backtrack would take hours for this."""
    text = unit * (20_000 // len(unit))
    assert say(text)  # type: ignore[operator]


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(SIGNS),
        max_size=20,
    ),
    language=st.sampled_from(["en", "zh"]),
)
def test_any_pile_of_signs_is_read_or_rejected(parts: list[str], language: str) -> None:
    with suppress(UtteranceError):
        spoken = normalize_text("".join(parts), language=language).text
        assert not re.search(r"[0-9^<>|₂²]", spoken), spoken
