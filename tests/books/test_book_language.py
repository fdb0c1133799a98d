"""A book is judged as a whole: what it says, what it is in, and which of its lines are in another script."""

import pytest

from pipeline.books.book_language import find_book_language
from pipeline.books.casting import Cast
from pipeline.books.catalogue import read_catalogue
from pipeline.config.books import ImportConfig
from pipeline.config.settings import check_settings
from pipeline.errors import ConfigError, ManifestError
from pipeline.storage import open_storage

ENGLISH = "The old miller sat at his window and watched the water go by until it was dark. " * 8
GERMAN = "Der alte Müller saß am Fenster und sah auf das Wasser hinaus, bis es dunkel wurde. " * 8
CHINESE = "老磨坊主坐在窗前，看着河水流过，直到天黑。" * 20


def read_one(folder, name: str, text: str, **rules):
    (folder / name).write_text(text)
    return next(iter(read_catalogue(open_storage(str(folder)), {}, Cast(narrator="anna"), ImportConfig(**rules))))


def test_names_and_short_lines_are_in_the_language_of_their_book(tmp_path):
    text = f"Chapter I\n\n{ENGLISH}\n\n“Monsieur Lawrence.”\n\nPoor chap.\n\nLos Angeles, California\n"
    book = read_one(tmp_path, "b.txt", text)
    assert {row["language"] for row in book.rows} == {"en"}
    assert book.report["language"] == "en"
    assert "its language is not said; most of its text is en" in book.report["notes"]


def test_a_german_book_without_a_language_is_german(tmp_path):
    book = read_one(tmp_path, "b.txt", f"Erstes Kapitel\n\n{GERMAN}\n\n„OK.“\n")
    assert {row["language"] for row in book.rows} == {"de"}


@pytest.mark.parametrize("language", ["en", "English", "en-GB", "eng"])
def test_a_book_that_says_another_language_than_it_is_in_is_refused_until_somebody_says(tmp_path, language):
    text = f"---\ntitle: Müller\nlanguage: {language}\n---\n\n# Erstes Kapitel\n\n{GERMAN}\n"
    refused = read_one(tmp_path, "b.md", text)
    assert "says that its language is en, and 100% of its text looks like de" in refused.problem
    assert "audiobook.import.languages: {b: CODE}" in refused.problem
    book = read_one(tmp_path, "b.md", text, languages={"b": "de"})
    assert {row["language"] for row in book.rows} == {"de"}


def test_a_language_that_nobody_can_tell_is_taken_as_the_book_says_it(tmp_path):
    assert find_book_language("sv", None, [GERMAN], "b").code == "sv"
    assert find_book_language("und", None, [GERMAN], "b").code == "de"


@pytest.mark.parametrize(("text", "code"), [(ENGLISH, "de"), (ENGLISH, "sv"), (ENGLISH, "zh"), (GERMAN, "en")])
def test_a_language_of_the_config_that_the_text_contradicts_is_noted(tmp_path, text, code):
    book = read_one(tmp_path, "b.txt", text, languages={"b": code})
    main = "en" if text == ENGLISH else "de"
    (note,) = book.report["notes"]
    assert f"the config says that its language is {code}, and 100% of its text looks like {main}" in note
    assert ("in English only" in note) == (main == "en")
    assert book.report["language"] == code


def test_a_language_of_the_config_that_nobody_can_tell_is_not_noted(tmp_path):
    swedish = "Den gamle mjölnaren satt vid sitt fönster och såg på vattnet tills det blev mörkt. " * 8
    assert read_one(tmp_path, "b.txt", swedish, languages={"b": "sv"}).report["notes"] == []
    book = read_one(tmp_path, "b.txt", ENGLISH, languages={"b": "eng"})
    assert (book.report["language"], book.report["notes"]) == ("en", [])


@pytest.mark.parametrize("code", ["xx", "english", "EN", "en-US", "und", ""])
def test_a_code_that_is_no_language_is_refused(code):
    with pytest.raises(ConfigError, match=r"languages\.b: expected the code of a language .* en for English"):
        check_settings(ImportConfig, {"languages": {"b": code}}, "c.yaml")


def test_a_book_in_two_languages_is_judged_row_by_row(tmp_path):
    book = read_one(tmp_path, "b.txt", f"Chapter I\n\n{ENGLISH}\n\n{GERMAN}\n")
    assert {row["language"] for row in book.rows} == {None}
    assert any("several languages (" in note for note in book.report["notes"])
    settled = read_one(tmp_path, "b.txt", f"Chapter I\n\n{ENGLISH}\n\n{GERMAN}\n", languages={"b": "auto"})
    assert {row["language"] for row in settled.rows} == {None}
    assert not settled.report["notes"]


def test_lines_in_another_script_are_found_by_themselves(tmp_path):
    book = read_one(tmp_path, "b.txt", f"Chapter I\n\n{ENGLISH * 5}\n\n你好，先生。\n\nThen he left.\n")
    assert {row["text"]: row["language"] for row in book.rows}["你好，先生。"] is None
    chinese = read_one(tmp_path, "b.txt", f"第一章\n\n{CHINESE}\n\nIt was a very cold day.\n\nOK.\n")
    languages = {row["text"]: row["language"] for row in chinese.rows}
    assert languages["It was a very cold day."] is None
    assert languages["OK."] == "zh"


def test_a_passage_in_another_language_is_noted(tmp_path):
    book = read_one(tmp_path, "b.txt", f"Chapter I\n\n{ENGLISH * 9}\n\n{GERMAN}\n\n{ENGLISH}\n")
    assert {row["language"] for row in book.rows} == {"en"}
    assert any("look like de in a book in en: Der alte" in note for note in book.report["notes"])


def test_a_language_of_no_book_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="no book is called emma"):
        read_one(tmp_path, "b.txt", ENGLISH, languages={"emma": "en"})
