from collections import Counter

import pytest

from pipeline.config.dataset import PlanConfig, SplitConfig
from pipeline.dataset.voices import Turns, divide_speakers, find_without_terms
from pipeline.errors import ConfigError
from pipeline.synthesis.speaker_definitions import SpeakerDefinition

VOICES = ("ada", "angus", "iris", "ross")


def divide(test_speakers=(), test=0.1, **splits):
    definitions = [SpeakerDefinition(speaker_id=name, gender="female", split=splits.get(name)) for name in VOICES]
    return divide_speakers(definitions, SplitConfig(test=test, test_speakers=test_speakers))


def test_a_speaker_of_one_split_reads_no_other():
    assert {*divide().values()} == {VOICES}
    assert divide(iris="test")["test"] == ("iris",) == divide(["iris"])["test"]
    assert divide(iris="validation", ada="train") == {
        "train": ("ada", "angus", "ross"),
        "validation": ("iris",),
        "test": ("ada", "angus", "ross"),
    }


@pytest.mark.parametrize(
    ("test_speakers", "more", "named"),
    [
        (["nobody"], {}, "nobody: not defined"),
        (["iris"], {"iris": "train"}, "keep one of both"),
        ([], {"test": 0.0, "iris": "test"}, "there are test speakers"),
        (VOICES, {}, "nobody reads texts to train with"),
    ],
)
def test_contradictions_are_refused(test_speakers, more, named):
    with pytest.raises(ConfigError, match=named):
        divide(test_speakers, **more)


def test_the_split_is_no_part_of_the_voice():
    plain, other = (SpeakerDefinition(speaker_id="iris", gender="female", split=split) for split in (None, "test"))
    assert plain.canonical() == other.canonical()


def test_who_has_no_license_or_consent_is_named_once_they_read():
    ada = SpeakerDefinition(speaker_id="ada", global_tokens=[1] * 32, license="cc0-1.0", consent="signed")
    iris = SpeakerDefinition(speaker_id="iris", global_tokens=[1] * 32)
    made_up = SpeakerDefinition(speaker_id="nora", gender="female")
    definitions = [iris, ada, made_up]
    assert find_without_terms(definitions, ["ada", "iris", "nora"]) == {
        "license": ["iris", "nora"],
        "consent": ["iris"],
    }
    assert find_without_terms(definitions, ["ada"]) == {}


def test_voices_take_turns_and_who_read_before_reads_again():
    turns = Turns(divide(["iris"]), PlanConfig(voices_per_text=2), "2026-11-21")
    loads = Counter()
    for number in range(50):
        for name in turns.take("train", 1.0 + number % 3):
            loads[name] += 1.0 + number % 3
    assert len(loads) == 3 and max(loads.values()) - min(loads.values()) <= 3.0
    assert turns.take("train", 100.0, kept=("ada", "gone")) == ["ada"]
    assert all("ada" not in turns.take("train", 1.0) for _ in range(40)), "until the others have caught up"
    assert turns.take("test", 1.0) == ["iris"], "there are no more test speakers"
    assert len(turns.take("validation", 1.0, kept=("gone",))) == 2
