from dataclasses import asdict

import numpy as np
import pytest
import torch

from pipeline.codec import DecodedItem
from pipeline.config.run import parse_config
from pipeline.errors import RejectionCode, SpeakerError
from pipeline.synthesis.listening import Listener, Spoken, compare_voices, measure_similarity, trace_contour
from pipeline.synthesis.listening_stage import load_listening
from pipeline.synthesis.recognition import Heard
from pipeline.synthesis.stages import AudioStage
from pipeline.synthesis.takes import Take, UtteranceOutcome, next_takes
from tests.synthesis.speech import read_clip

LEVELS = [4] * 6
VOICE = (7, 4_000, 123)
SENTENCE = "The bus driver found the front door."
BREAD = "The tired nurse painted some fresh bread on the way home."


class FakeCodec:
    """Decodes every take to the same samples and hears the same voice in all of them."""

    sample_rate = 16_000
    global_levels = LEVELS

    def __init__(self, samples, voice=VOICE):
        self.samples, self.voice = samples, voice

    def prepare_decoding(self):
        pass

    def decode_each(self, semantic_tokens, global_tokens):
        for index in range(len(semantic_tokens)):
            yield DecodedItem(index, torch.from_numpy(self.samples))

    def encode_speaker(self, audio, sample_rate):
        if not np.abs(audio).max() > 0:
            raise SpeakerError("silent")
        return torch.tensor(self.voice)


@pytest.fixture(scope="module")
def stage():
    config = parse_config(
        {"weights": "w", "manifest": "m", "speakers": "s", "output": "o", "quality": {"asr": "pocketsphinx"}}
    )
    return AudioStage(config, FakeCodec(np.zeros(1, np.float32)), load_listening(config))


def decode(stage, samples, text=SENTENCE, voice=VOICE, language="en"):
    stage._codec.samples, stage._codec.voice = samples, voice
    take = Take(0, 0, np.zeros(len(samples) // 320, np.int32), VOICE, "sentence", text, language)
    (audio,) = stage.decode([take])
    return audio


def test_equal_tokens_are_one_voice_and_random_ones_are_none():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4_096, (2, 5_000))
    assert compare_voices(first, first, LEVELS) == 1.0
    assert abs(compare_voices(first, second, LEVELS)) < 0.02
    # One step along one of six axes, in one of two tokens.
    assert compare_voices(np.array([0, 5]), np.array([16, 5]), LEVELS) == pytest.approx(1 - 1 / 1.25 / 12)


def test_pauses_count_between_the_first_and_the_last_sound():
    tone = np.sin(np.arange(16_000, dtype=np.float32))
    quiet = np.zeros(8_000, np.float32)
    contour = trace_contour(np.concatenate([quiet, tone, quiet, tone, quiet]), 16_000)
    assert contour.longest_pause_s == pytest.approx(0.5)
    assert contour.end_db < -40
    assert trace_contour(tone, 16_000).longest_pause_s == 0
    assert trace_contour(tone, 16_000).end_db > -3
    assert trace_contour(quiet[:100], 16_000).longest_pause_s == 0


@pytest.mark.parametrize(("snr_db", "is_noisy"), [(None, False), (40, False), (10, True), (0, True)])
def test_the_background_is_what_sounds_between_the_words(snr_db, is_noisy):
    speech = read_clip("rms_door")
    if snr_db is not None:
        noise = np.random.default_rng(0).normal(0, speech.std() / 10 ** (snr_db / 20), speech.size)
        speech = speech + noise.astype(np.float32)
    assert (trace_contour(speech, 16_000).background_db > -22) == is_noisy
    assert trace_contour(speech[:15_000], 16_000).background_db is None


def describe(*audios):
    outcome = UtteranceOutcome()
    for audio in audios:
        outcome.add_audio(audio)
    return asdict(outcome.facts())


def test_good_speech_passes_and_is_described(stage):
    audio = decode(stage, read_clip("rms_door"))
    assert audio.rejection is None
    described = describe(audio)
    assert 0 <= described["cer"] <= described["wer"] < 0.3
    assert described["speaker_similarity"] == 1.0
    assert described["recognized_text"].startswith("the bus driver found")
    assert described["quality_note"] is None


@pytest.mark.parametrize(
    ("spoil", "text", "code"),
    [
        (lambda clip: clip[: len(clip) * 6 // 10], BREAD, RejectionCode.CUT_SHORT),
        (lambda clip: np.concatenate([clip[: len(clip) // 2], clip]), BREAD, RejectionCode.REPEATED),
        (lambda clip: clip, "Nobody knew which of the other keys would fit the lock.", RejectionCode.WRONG_WORDS),
        (lambda clip: clip * (abs(np.arange(len(clip)) - 25_000) > 10_000), BREAD, RejectionCode.LONG_PAUSE),
    ],
    ids=["cut", "repeated", "wrong_text", "silent_stretch"],
)
def test_spoiled_speech_is_taken_again(stage, spoil, text, code):
    audio = decode(stage, spoil(read_clip("rms_bread")).astype(np.float32), text)
    assert audio.rejection is not None
    assert audio.rejection.code == code
    assert audio.rejection.message.startswith("segment 1, take 1: ")
    assert next_takes([(5, audio)], max_takes=3) == {5: {0: 1}}


def test_another_voice_is_taken_again(stage):
    audio = decode(stage, read_clip("rms_door"), voice=(4_088, 95, 3_972), language="de")
    assert audio.rejection is not None
    assert audio.rejection.code == RejectionCode.WRONG_VOICE


def test_other_languages_are_heard_for_their_voice_alone(stage):
    audio = decode(stage, read_clip("slt_door"), "Der Bus fährt ab.", language="de")
    assert audio.rejection is None
    described = describe(audio)
    assert described["wer"] is described["cer"] is described["recognized_text"] is None
    assert described["speaker_similarity"] == 1.0
    assert "'de'" in described["quality_note"]


def test_short_or_silent_takes_have_no_voice():
    clip = read_clip("slt_door")
    assert measure_similarity(FakeCodec(None), clip, VOICE) == 1.0
    assert measure_similarity(FakeCodec(None), clip[:8_000], VOICE) is None
    assert measure_similarity(FakeCodec(None), 0 * clip, VOICE) is None


class FixedRater:
    def rate(self, samples, sample_rate):
        return float(samples[0])


class Spelling:
    """Hears the language and the first sample of each take."""

    languages = frozenset({"en", "zh"})
    hears_gaps = False

    def recognize_all(self, clips, sample_rate, languages, texts):
        for clip, language in zip(clips, languages, strict=True):
            yield Heard(f"{language} {round(float(clip[0]))}")

    def fold(self, text, language):
        return text


def test_takes_of_several_languages_are_heard_in_one_batch():
    takes = [
        Spoken(np.full(400, number, np.float32), f"{language} {number}", language, None)
        for number, language in enumerate(["en", "de", "zh", "de", "en"], start=1)
    ]
    heard = list(Listener(Spelling(), FixedRater()).listen(takes, 16_000))
    assert [hearing.heard for hearing in heard] == ["en 1", None, "zh 3", None, "en 5"]
    assert [hearing.reading and hearing.reading.num_word_errors for hearing in heard] == [0, None, 0, None, 0]
    assert [hearing.naturalness for hearing in heard] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert "'de'" in heard[1].note and heard[0].note is None
    (unheard,) = Listener(None, FixedRater()).listen(takes[:1], 16_000)
    assert (unheard.heard, unheard.reading, unheard.note, unheard.naturalness) == (None, None, None, 1.0)


class Scales:
    """Writes what it is told, and weighs as it is told."""

    languages = frozenset({"en"})

    def __init__(self, text, *weighed, hears_gaps=True):
        self.heard, self.hears_gaps = Heard(text, *weighed), hears_gaps

    def recognize_all(self, clips, sample_rate, languages, texts):
        assert texts == [SENTENCE]
        yield self.heard

    def fold(self, text, language):
        return text


@pytest.mark.parametrize(
    ("recognizer", "gaps"),
    [
        (Scales("the bus driver found the door"), (1, 0)),
        (Scales("the bus driver found the door", 0, 0), (0, 0)),
        (Scales(SENTENCE, 1, 2), (1, 2)),
        (Scales(SENTENCE, hears_gaps=False), (None, None)),
    ],
)
def test_where_texts_are_weighed_the_weights_decide_which_words_lack(recognizer, gaps):
    take = Spoken(np.ones(400, np.float32), SENTENCE, "en", None)
    (hearing,) = Listener(recognizer).listen([take], 16_000)
    assert (hearing.reading.num_missing_words, hearing.reading.num_extra_words) == gaps


def test_without_a_listener_nothing_is_described():
    names = ("wer", "cer", "speaker_similarity", "naturalness", "recognized_text", "quality_note")
    assert {describe()[name] for name in names} == {None}
