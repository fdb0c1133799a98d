"""reference_doubts.py: recordings of one speaker and of two, with their own transcript and another one's."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.audio.references import read_reference
from pipeline.config.run import parse_config
from pipeline.synthesis.load_networks import load_codec
from pipeline.synthesis.recognition import PocketSphinx
from pipeline.synthesis.reference_doubts import find_other_text, find_second_voice
from pipeline.weights.weights import resolve_weights

ROOT = Path(__file__).parents[2]
VOICES = {path.stem: path for path in (ROOT / "docs/audio").glob("*.flac")}
SPEECH = ROOT / "tests/fixtures/speech"


def make_config(**changes):
    return parse_config({"weights": "demo", "manifest": "-", "speakers": "-", "output": "-", **changes})


@pytest.fixture(scope="module")
def codec():
    return load_codec(make_config(), resolve_weights("demo"))


def read(path):
    samples, rate = soundfile.read(path, always_2d=True)
    return samples[:, 0], rate


@pytest.mark.parametrize("path", [*VOICES.values(), *SPEECH.glob("*.flac")], ids=lambda path: path.stem)
def test_one_speaker_is_one_voice(codec, path):
    samples, rate = read(path)
    for begin_s in (0.0, 0.7):
        assert find_second_voice(codec, samples[round(begin_s * rate) :], rate) is None


def test_two_speakers_are_heard_wherever_the_second_one_begins(codec):
    """Each pair once in either order; a second voice after the first six seconds does not make the voice."""
    pairs = list(permutations(sorted(VOICES), 2))
    for (first, second), begin_s in zip(pairs, [1.5, 2.2, 3.0, 4.5] * 3, strict=True):
        (one, rate), (other, _) = read(VOICES[first]), read(VOICES[second])
        joined = np.concatenate([np.tile(one, 3)[: round(begin_s * rate)], np.tile(other, 3)])
        said = find_second_voice(codec, joined, rate)
        assert said is not None and "sounds like another voice from about" in said, (first, second, begin_s)
    assert find_second_voice(codec, np.concatenate([np.tile(one, 5)[: 6 * rate], other]), rate) is None


def test_what_is_too_short_or_silent_is_not_judged(codec):
    samples, rate = read(VOICES["ada"])
    for recording in (samples[: 2 * rate], np.zeros(6 * rate), np.concatenate([samples[:rate], np.zeros(9 * rate)])):
        assert find_second_voice(codec, recording, rate) is None


@pytest.mark.parametrize("name", ["rms_door", "slt_door"])
def test_a_transcript_fits_its_recording_or_not(name):
    pytest.importorskip("pocketsphinx")
    recognizer, reference = PocketSphinx(), read_reference(SPEECH / f"{name}.flac", name)
    config = make_config(quality={"asr": "pocketsphinx"})
    assert find_other_text(recognizer, config, reference, "The bus driver found the front door.") is None
    said = find_other_text(recognizer, config, reference, "We regret that the museum is closed on all Mondays.")
    assert "its transcript does not fit: " in said and "expected 50% at most (heard: '" in said
    assert find_other_text(recognizer, config, reference, "我们今天去公园。") is None  # Nobody here knows Chinese.
    assert (
        find_other_text(recognizer, config, reference, "...") == "its transcript has no words; correct the transcript"
    )
