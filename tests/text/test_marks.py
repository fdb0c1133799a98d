"""Marks that a voice knows: the others become the nearest one, and the words stay."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text import use_known_marks
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
