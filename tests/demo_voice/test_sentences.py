"""What the demo voice is taught to read: wide vocabulary and the marks of books, with as many words as are spoken."""

from __future__ import annotations

import gzip
import itertools
import random
from pathlib import Path

import pytest

from pipeline.demo_voice.training import sentences

NOUNS = """  1 This software and database is being provided to you
00005930 03 n 01 dwarf 0 001 @ 00004475 n 0000 | a plant or animal that is atypically small
00006269 03 n 01 life 0 002 @ 00004258 n 0000 | living things collectively; "the oceans are teeming with life"
00006300 03 n 01 x 0 001 @ 0 n 0000 | (botany) a part of a plant's leaf; born in 1850; a small lantern of paper
"""


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with small texts in the place of Debian's."""
    (tmp_path / "fortunes").mkdir()
    (tmp_path / "fortunes" / "old").write_text(
        "It's a long-lost road, and nobody knows its end today.\n%\nNever look back.\n"
    )
    (tmp_path / "words").write_text("road\nend\nsquare\nthimble\n")
    (tmp_path / "data.noun").write_text(NOUNS)
    (tmp_path / "a.dict.dz").write_bytes(gzip.compress(b"Saw, n. A toothed blade of steel, used to cut wood.\n"))
    for name, path in (("_FORTUNES", "fortunes"), ("_WORDS", "words"), ("_WORDNET", "."), ("_DICTIONARIES", ".")):
        monkeypatch.setattr(sentences, name, tmp_path / path)
    return tmp_path


def test_glosses_and_definitions_become_sentences(debian: Path) -> None:
    assert sentences.read_glosses() == [
        "A plant or animal that is atypically small.", "Living things collectively.",
        "The oceans are teeming with life.", "A part of a plant's leaf."
    ]  # fmt: skip
    assert sentences.read_dictionaries() == ["A toothed blade of steel, used to cut wood."]


def test_without_wordnet_the_package_is_named(debian: Path) -> None:
    (debian / "data.noun").unlink()
    with pytest.raises(SystemExit, match="apt-get install wordnet-base"):
        next(sentences.make_sentences(1))


def test_training_text_has_every_mark_and_speaks_as_many_words_as_it_writes(debian: Path) -> None:
    made = list(itertools.islice(sentences.make_sentences(5), 4_000))
    assert set(sentences.TRAINED_MARKS) <= {c for text in made for c in text if not c.isalnum()}
    assert all(set(text) <= set(sentences.TRAINED_MARKS + " ") | set(filter(str.isalpha, text)) for text in made)
    assert max(map(len, made)) <= sentences.MAX_TRAINED_CHARS
    for text in made:
        spoken = sentences.spoken_form(text)
        assert len(sentences.find_words(text)) == len(spoken.split()), (text, spoken)
        assert set(spoken) <= set(".,;!?'- ") | set(filter(str.isalpha, spoken)), (text, spoken)


def test_marks_leave_the_words() -> None:
    rng = random.Random(3)
    text = "He came home, and nobody knew why the old dog barked."
    for _ in range(200):
        marked = sentences.write_marks(text, rng)
        letters = "".join(c if c.isalpha() else " " for c in marked).split()
        assert letters == "".join(c if c.isalpha() else " " for c in text).split()
