import re
from pathlib import Path

import pytest

from pipeline.config.run import TextConfig
from pipeline.dataset import normal_form
from pipeline.dataset.normal_form import TextReader, find_words, hash_words
from pipeline.errors import UtteranceError
from pipeline.text import TextSupport

READER = TextReader(TextConfig(), {}, TextSupport())


def words(text, language="en"):
    return READER.read(text, language).words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The cat sat.", "the CAT sat"),
        ("It costs $5.", "it costs five dollars!"),
        ("Don’t go!", "Dont go"),
        ("Chapter 21", "chapter twenty-one"),
        ("On 3 May 2021.", "on the third of May, twenty twenty-one"),
        ("“Well,” she said.", "Well she said"),
    ],
)
def test_what_sounds_the_same_is_the_same(one, other):
    assert words(one) == words(other)


@pytest.mark.parametrize(("one", "other"), [("a cat", "a cats"), ("ice cream", "icecream"), ("5 dogs", "6 dogs")])
def test_what_sounds_otherwise_is_not(one, other):
    assert words(one) != words(other)


def test_scripts_without_spaces_count_by_character():
    assert words("我有3只狗。", "zh") == ("我", "有", "三", "只", "狗")
    assert find_words("東京tower") == ("東", "京", "tower")


def test_the_short_way_comes_to_the_same_as_the_long_one(monkeypatch):
    """Texts of plain words are not normalized: on plain words of a story, it would change nothing."""
    words = re.findall(r"[a-z]+(?:'[a-z]+)?", Path("pipeline/benchmark/data/alice-extract.txt").read_text().lower())
    plain = [" ".join(words[at : at + 7]).capitalize() + mark for at in range(0, len(words) - 7, 7) for mark in ".?"]
    plain = [line for line in plain if normal_form._PLAIN.fullmatch(line)]
    assert len(plain) > 500
    short = [READER.read(line, "en") for line in plain]
    monkeypatch.setattr(normal_form, "_PLAIN", re.compile("(?!)"))
    long = [READER.read(line, "en") for line in plain]
    assert [text.words for text in short] == [text.words for text in long]
    assert [text.expected_s for text in short] == [text.expected_s for text in long]


def test_what_a_run_would_reject_is_rejected():
    for text, code in [
        ("...", "invalid_text"),
        ("", "empty_text"),
        (None, "empty_text"),
        ("a" * 20_001, "text_too_long"),
    ]:
        with pytest.raises(UtteranceError) as caught:
            words(text)
        assert caught.value.code == code
    with pytest.raises(UtteranceError, match="language is de"):
        words("Das ist ein Haus", "de")


def test_hashes_depend_on_kind_words_and_salt():
    hashes = {hash_words(kind, ws, salt) for kind in "ab" for ws in (["a", "b"], ["ab"]) for salt in (b"1", b"2")}
    assert len(hashes) == 8
