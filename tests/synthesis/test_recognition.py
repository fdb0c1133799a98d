import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from jobs import synthesize
from pipeline.synthesis import recognition
from pipeline.synthesis.recognition import PocketSphinx, compare_with_text, split_words
from tests.synthesis.speech import read_clip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t stop — now!", ["don't", "stop", "now"]),
        ("A well-known CAFÉ", ["a", "well", "known", "cafe"]),
        ("火车 leaves", ["火", "车", "leaves"]),
        ("... ?!", []),
    ],
)
def test_two_spellings_give_the_same_words(text, words):
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("heard", "word_errors", "letter_errors", "letters_heard", "repeated"),
    [
        ("the cat sat on the mat", 0, 0, 17, ""),
        ("the bat sat on the mat", 1, 1, 17, ""),
        ("the cat sat", 3, 8, 9, ""),
        ("the cat sat the cat sat on the mat", 3, 9, 26, ""),
        ("", 6, 17, 0, ""),
    ],
)
def test_errors_are_counted_in_words_and_letters(heard, word_errors, letter_errors, letters_heard, repeated):
    reading = compare_with_text("The cat sat on the mat.", heard)
    assert (reading.num_words, reading.num_letters) == (6, 17)
    assert (reading.num_word_errors, reading.num_letter_errors) == (word_errors, letter_errors)
    assert (reading.num_letters_heard, reading.repeated) == (letters_heard, repeated)


def test_a_repetition_is_one_only_where_the_text_has_none():
    heard = "we opened the kitchen window the kitchen window and left"
    assert compare_with_text("We opened the kitchen window and left.", heard).repeated == "the kitchen"
    assert compare_with_text("We opened the kitchen window, the kitchen window, and left.", heard).repeated == ""


@pytest.mark.parametrize(
    ("heard", "missing", "extra"),
    [
        ("the old teacher cleaned the garden gate before lunch", 0, 0),
        ("the old teacher cleaned the gate before lunch", 1, 0),
        ("the old teacher cleaned the garden gate", 2, 0),
        ("the old teacher teacher cleaned the garden gate before lunch", 0, 1),
        ("the old teacher clean the guarding gate be for lunch", 0, 0),
        ("the old teacher cleaned the gardengate before lunch", 0, 0),
        ("", 9, 0),
    ],
)
def test_a_word_that_is_missing_is_told_from_one_that_is_misheard(heard, missing, extra):
    reading = compare_with_text("The old teacher cleaned the garden gate before lunch.", heard, with_gaps=True)
    assert (reading.num_missing_words, reading.num_extra_words) == (missing, extra)
    assert compare_with_text("The old teacher.", heard).num_missing_words is None


def test_what_is_heard_follows_from_the_take_alone():
    """The decoder's front end keeps noise levels; without a reset the same clip scores otherwise the second time."""
    recognizer = PocketSphinx()

    def scores(samples):
        heard = recognizer.recognize(samples, 16_000)
        return heard, [(part.word, part.start_frame, part.end_frame, part.prob) for part in recognizer._decoder.seg()]

    clip = read_clip("rms_door")
    first = scores(clip)
    assert first[0].startswith("the bus driver found")
    recognizer.recognize(read_clip("slt_door"), 16_000)
    assert scores(clip) == first


def test_a_recognizer_hears_one_take_at_a_time():
    """Units of one replica are judged side by side; a decoder within an utterance refuses another one."""

    class Decoder:
        is_within = False

        def reinit_feat(self):
            pass

        def start_utt(self):
            assert not self.is_within
            self.is_within = True

        def process_raw(self, steps, full_utt):
            time.sleep(0.01)  # The other thread gets its turn.
            self.heard = steps

        def end_utt(self):
            self.is_within = False

        def hyp(self):
            return SimpleNamespace(hypstr=f"{len(self.heard)}")

    recognizer = PocketSphinx()
    recognizer._decoder = Decoder()
    sizes = [2_000, 3_000] * 5
    with ThreadPoolExecutor(2) as pool:
        heard = list(pool.map(lambda size: recognizer.recognize(np.zeros(size, np.float32), 16_000), sizes))
    assert heard == [f"{2 * size}" for size in sizes]


@pytest.mark.parametrize("num_samples", [0, 1, 1_599, 1_600])
def test_next_to_nothing_is_heard_as_nothing(num_samples):
    recognizer = PocketSphinx()
    assert recognizer.recognize(np.zeros(num_samples, np.float32), 16_000) == ""
    assert recognizer.recognize(np.zeros(1_600, np.float32), 16_000) == ""


def test_a_missing_extra_stops_before_work_and_names_the_fix(monkeypatch, tmp_path, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(recognition, "find_spec", lambda name: None if name == "pocketsphinx" else find_spec(name))
    config = tmp_path / "run.yaml"
    config.write_text(
        f"weights: demo\nmanifest: m\nspeakers: s\noutput: {tmp_path}/out\nquality: {{asr: pocketsphinx}}"
    )
    assert synthesize.main(["--config", str(config), "--dry-run"]) == 2
    message = capsys.readouterr().err
    assert "quality.asr" in message
    assert "[asr]" in message
