"""Nothing unread: whatever Unicode a row holds, only letters and marks come out, and the rest has a name."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UtteranceError
from pipeline.text import Unread, describe_unread, load_lexicon, normalize_text
from pipeline.text.readable import MARKS

READABLE = regex.compile(
    rf"(?:[A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff〇々]\p{{M}}*"
    rf"|[{regex.escape(MARKS)}\s])*"
)
# Digits among symbols and letters of any script, as rules meet them.
MIXED = st.lists(
    st.sampled_from(["5", "3.14", "$", "€", "%", "°", "½", "²", "①", "№", "/", "-", "=", "<", "kg", "I", "年", " "])
    | st.characters(),
    max_size=40,
).map("".join)  # fmt: skip


@given(st.text(max_size=200) | MIXED, st.sampled_from(["en", "zh"]))
@settings(max_examples=600, deadline=None)
def test_nothing_but_letters_and_marks_reaches_the_model(text: str, language: str) -> None:
    try:
        normalized = normalize_text(text, language=language)
    except UtteranceError:
        return
    assert READABLE.fullmatch(normalized.text), normalized.text
    assert all(unread.name and unread.text for unread in normalized.unread)


@given(st.characters(categories=["L", "N", "S", "P"]), st.sampled_from(["en", "zh"]))
@settings(max_examples=600, deadline=None)
def test_a_letter_or_sign_between_words_is_said_or_named_or_decoration(character: str, language: str) -> None:
    frame = "one {} two" if language == "en" else "甲{}乙"
    normalized = normalize_text(frame.format(character), language=language, footnote_marks=True)
    said = normalized.text not in ("one two", "甲乙", "甲 乙")
    assert said or normalized.unread or unspoken(character), (character, normalized)


def unspoken(character: str) -> bool:
    """Tell marks, which may vanish between two spaces, and decoration from what has a meaning."""
    return bool(
        regex.match(r"[\p{P}\p{Sk}|~^`<>=+©®™¦\u2500-\u25ff\u2600-\u27bf\u3000-\u303f\u2190-\u21ff]", character)
    )


@pytest.mark.parametrize(
    ("text", "language", "spoken", "unread"),
    [
        ("Say λόγος here.", "en", "Say here.", [("script", "λόγος", "Greek")]),
        ("Иван и 雪 snow", "en", "雪 snow", [("script", "Иван и", "Cyrillic")]),
        ("我们안녕，雪の花", "zh", "我们，雪 花", [("script", "안녕", "Hangul"), ("script", "の", "Hiragana")]),
        ("Snow ☃ falls.", "en", "Snow falls.", [("emoji", "☃", "SNOWMAN")]),
        ("A ⟁ sign", "en", "A sign", [("symbol", "⟁", "WHITE TRIANGLE CONTAINING SMALL WHITE TRIANGLE")]),
        ("┌─┐ │ box │ └─┘ ■ • *", "en", "box", []),
        ("«Bon» „gut“ {so}", "en", "“Bon” “gut“ so", []),
    ],
)  # fmt: skip
def test_what_is_not_spoken_is_named(text: str, language: str, spoken: str, unread: list[tuple[str, str, str]]) -> None:
    normalized = normalize_text(text, language=language)
    assert normalized.text == spoken
    assert [(found.kind, found.text, found.name) for found in normalized.unread] == unread


def test_letters_of_languages_that_the_weights_do_not_speak_are_named() -> None:
    normalized = normalize_text("The word 你好 means hello.", language="en", known_languages=("en",))
    assert normalized.text == "The word means hello."
    assert normalized.unread == (Unread("script", "你好", "Han"),)


def test_other_languages_and_texts_left_alone_keep_what_is_named() -> None:
    normalized = normalize_text("Преимущества № 5 ☂x", language="ru", known_languages=("ru",))
    assert "№" in normalized.text and {found.text for found in normalized.unread} == {"№", "x", "☂"}
    plain = normalize_text("He has 5 ⟁ λ", language="en", normalize=False)
    assert plain.text == "He has 5 ⟁ λ"
    assert [found.kind for found in plain.unread] == ["digit", "symbol", "script"]


def test_a_lexicon_allows_what_it_says() -> None:
    lexicon = load_lexicon("☃: snowman\nщ: shcha\ntomato: təˈmeɪtoʊ\n")
    normalized = normalize_text("A ☃, a щ and a tomato", language="en", lexicon=lexicon)
    assert (normalized.text, normalized.unread) == ("A snowman, a shcha and a təˈmeɪtoʊ", ())


def test_a_note_says_what_was_not_spoken() -> None:
    assert describe_unread(()) is None
    note = describe_unread([Unread("emoji", "☃", "SNOWMAN"), Unread("script", "λόγος", "Greek")])
    assert note == "not spoken: emoji ☃ (SNOWMAN), script Greek (λόγος)"
