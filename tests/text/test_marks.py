"""Marks that a voice knows: the others become the nearest one, and the words stay."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text import end_with_mark, use_known_marks
from pipeline.text.readable import MARKS

PLAIN = ".,;!?'-"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("“Stop!” he cried—“now.”", "Stop! he cried, now."),
        ("It’s the dogs’ bowl.", "It's the dogs bowl."),
        ("He said: ‘Go.’", "He said, Go."),
        ("Two things: tea (hot) and [cold] milk.", "Two things, tea hot and cold milk."),
        ("I thought… no. Wait… What?", "I thought, no. Wait. What?"),
        ("Well... maybe... So be it...", "Well, maybe. So be it."),
        ("word – word -- word", "word, word, word"),
        ('"But—" he began.', "But, he began."),
        ("He left—", "He left."),
        ("A well-known man; yes!", "A well-known man; yes!"),
        ("One,— two;—three.", "One, two; three."),
        ("First.\n\n—Second: third.", "First.\n\nSecond, third."),
        ("你好，世界。《书》！", "你好, 世界. 书!"),
        ("rock 'n' roll", "rock n roll"),
    ],
)
def test_unknown_marks_become_the_nearest_known_one(text: str, known: str) -> None:
    assert use_known_marks(text, PLAIN) == known


def test_without_a_declaration_all_marks_stay() -> None:
    text = "“Stop…” — he (said): ‘no’."
    assert use_known_marks(text, None) == text
    assert use_known_marks(text, MARKS) == text


def test_a_straight_quote_stands_for_a_curly_one_where_it_is_known() -> None:
    assert use_known_marks("“Go,” she said—loudly.", PLAIN + '"') == '"Go," she said, loudly.'
    assert use_known_marks("“Go,” she said—loudly.", PLAIN + '"–') == '"Go," she said – loudly.'.replace(" – ", "– ")


@pytest.mark.parametrize(
    ("text", "known", "ended"),
    [
        ("Hello there", PLAIN, "Hello there."),
        ("Hello there.", PLAIN, "Hello there."),
        ("Really?", PLAIN, "Really?"),
        ("“Go,” she said, “now!”", None, "“Go,” she said, “now!”"),
        ("(see below)", None, "(see below)."),
        ("Track 7", ",", "Track 7"),
        ("你好", None, "你好。"),
        ("你好", PLAIN, "你好."),
        ("你好！", None, "你好！"),
    ],
)
def test_a_text_is_ended_by_a_full_stop(text: str, known: str | None, ended: str) -> None:
    assert end_with_mark(text, known, goes_on=False) == ended


@pytest.mark.parametrize(
    ("text", "known", "ended"),
    [
        ("the rabbit hole went straight on like", PLAIN, "the rabbit hole went straight on like,"),
        ("down,", PLAIN, "down,"),
        ("down", ".", "down."),
        ("他说", None, "他说，"),
    ],
)
def test_a_part_of_a_sentence_is_ended_by_a_comma(text: str, known: str | None, ended: str) -> None:
    assert end_with_mark(text, known, goes_on=True) == ended


@given(
    st.lists(st.sampled_from(["word", "It’s", *MARKS, "--", "...", " ", "\n\n", "end"]), max_size=40).map("".join),
    st.sets(st.sampled_from(MARKS)).map(lambda marks: "".join(sorted(marks))),
)
def test_no_other_mark_is_left_and_no_word_is_lost(text: str, known: str) -> None:
    plain = use_known_marks(text, known)
    assert set(regex.findall(r"[^\w\s]", plain)) <= set(known)
    letters = regex.compile(r"[A-Za-z]+")
    assert "".join(letters.findall(plain)) == "".join(letters.findall(text))
    assert use_known_marks(plain, known) == plain
