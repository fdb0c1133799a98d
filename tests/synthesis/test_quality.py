import pytest

from pipeline.audio.samples import AudioStats
from pipeline.config.quality import QualityConfig
from pipeline.errors import RejectionCode
from pipeline.synthesis.listening import Contour, Hearing
from pipeline.synthesis.quality import MAX_TRAINED_TOKENS, judge_audio, judge_hearing, judge_tokens, length_cap
from pipeline.synthesis.recognition import compare_with_text

QUALITY = QualityConfig()
LOOSE = QualityConfig(min_heard=0.5, max_heard=2.0)


@pytest.mark.parametrize(
    ("num_tokens", "hit_cap", "estimated_s", "code"),
    [
        (200, False, 4.0, None),
        (0, False, 4.0, RejectionCode.NO_SPEECH),
        (60, False, 4.0, RejectionCode.TOO_FAST),
        (700, False, 4.0, RejectionCode.TOO_SLOW),
        (700, True, 4.0, RejectionCode.HIT_LENGTH_CAP),
        (60, False, 0.3, None),  # "Yes." with silence around it is not slow.
    ],
)
def test_takes_are_judged_by_their_length(num_tokens, hit_cap, estimated_s, code):
    rejection = judge_tokens(num_tokens, hit_cap, estimated_s, QUALITY)
    assert (rejection and rejection.code) == code
    if rejection:
        assert "s" in rejection.message


def test_the_message_says_what_was_measured():
    rejection = judge_tokens(60, False, 4.0, QUALITY)
    assert rejection is not None
    assert rejection.message.startswith("1.20 s of speech is 3.33 times the expected pace")


def test_length_cap_follows_the_text_up_to_what_was_trained():
    assert length_cap(1.0, QUALITY) == 250
    assert length_cap(2.0, QUALITY) > length_cap(1.0, QUALITY)
    assert length_cap(1_000.0, QUALITY) == MAX_TRAINED_TOKENS


@pytest.mark.parametrize(
    ("silence", "clipped", "code"),
    [(0.1, 0.0, None), (0.95, 0.0, RejectionCode.MOSTLY_SILENCE), (0.1, 0.5, RejectionCode.CLIPPED)],
)
def test_takes_are_judged_by_their_sound(silence, clipped, code):
    stats = AudioStats(peak_dbfs=-3.0, rms_dbfs=-20.0, silence_ratio=silence, clipped_ratio=clipped)
    rejection = judge_audio(stats, QUALITY)
    assert (rejection and rejection.code) == code


@pytest.mark.parametrize(
    ("heard", "code"),
    [
        ("the old woman opened the garden gate", None),  # A name is not in every recognizer's dictionary.
        ("the old woman opened", RejectionCode.CUT_SHORT),
        ("the old woman opened the garden gate the garden gate", RejectionCode.REPEATED),
        ("we all went in and open the jar in late", RejectionCode.WRONG_WORDS),
        ("", RejectionCode.CUT_SHORT),
    ],
)
def test_takes_are_judged_by_what_is_heard(heard, code):
    reading = compare_with_text("The old Roman opened the garden gate.", heard)
    rejection = judge_hearing(Hearing(Contour(0.1, -50.0), heard, reading, None, None), QUALITY)
    assert (rejection and rejection.code) == code


@pytest.mark.parametrize(
    ("heard", "limits", "beyond", "within"),
    [
        ("we all went in and open the jar in late", {"max_wer": 0.5, "max_cer": 5.0}, "max_wer", "max_cer"),
        ("we all went in and open the jar in late", {"max_wer": 5.0, "max_cer": 0.1}, "3 letters forgiven", "max_wer"),
    ],
)
def test_only_what_is_beyond_its_limit_is_named(heard, limits, beyond, within):
    reading = compare_with_text("The old Roman opened the garden gate.", heard)
    rejection = judge_hearing(
        Hearing(Contour(0.1, -50.0), heard, reading, None, None), QUALITY.model_copy(update=limits)
    )
    assert rejection is not None and beyond in rejection.message and within not in rejection.message


@pytest.mark.parametrize(("end_db", "code"), [(-50.0, None), (-3.0, RejectionCode.CUT_SHORT)])
def test_an_abrupt_end_makes_a_missing_word_tell(end_db, code):
    heard = "the old woman opened the garden gate before"
    reading = compare_with_text("The old woman opened the garden gate before lunch.", heard)
    rejection = judge_hearing(Hearing(Contour(0.1, end_db), heard, reading, None, None), QUALITY)
    assert (rejection and rejection.code) == code


def test_one_misheard_word_is_forgiven_where_it_is_all_there_is():
    reading = compare_with_text("Yes.", "yet")
    assert judge_hearing(Hearing(Contour(0.0, -50.0), "yet", reading, None, None), QUALITY) is None


@pytest.mark.parametrize(
    ("similarity", "pause_s", "code"),
    [(0.9, 0.2, None), (0.1, 0.2, RejectionCode.WRONG_VOICE), (None, 1.5, RejectionCode.LONG_PAUSE)],
)
def test_takes_are_judged_by_voice_and_pauses(similarity, pause_s, code):
    rejection = judge_hearing(Hearing(Contour(pause_s, -50.0), None, None, similarity, "note"), QUALITY)
    assert (rejection and rejection.code) == code


@pytest.mark.parametrize(("background_db", "code"), [(None, None), (-40.0, None), (-10.0, RejectionCode.NOISY)])
def test_takes_are_judged_by_their_background(background_db, code):
    rejection = judge_hearing(Hearing(Contour(0.1, -50.0, background_db), None, None, None, None), QUALITY)
    assert (rejection and rejection.code) == code


@pytest.mark.parametrize("heard", ["the old teacher the gate", "the old old teacher cleaned the gate"])
def test_a_word_that_is_missing_or_said_twice_tells_where_the_recognizer_is_good(heard):
    text = "The old teacher cleaned the gate."
    for with_gaps, code in ((True, RejectionCode.WRONG_WORDS), (False, None)):
        reading = compare_with_text(text, heard, with_gaps=with_gaps)
        rejection = judge_hearing(Hearing(Contour(0.1, -50.0), heard, reading, None, None), LOOSE)
        assert (rejection and rejection.code) == code
    long = compare_with_text(" ".join([text] * 4), " ".join([*[text] * 3, heard]), with_gaps=True)
    assert judge_hearing(Hearing(Contour(0.1, -50.0), heard, long, None, None), LOOSE) is None


def test_limits_of_wrong_words_follow_from_the_recognizer_unless_they_are_set():
    whisper = QualityConfig(asr="whisper", asr_model="tiny.en")
    assert (QUALITY.limits()["max_cer"], whisper.limits()["max_cer"]) == (0.5, 0.35)
    assert QualityConfig(asr="whisper", max_cer=0.9).limits()["max_cer"] == 0.9


def test_what_just_misses_a_limit_is_not_rounded_onto_it():
    almost = AudioStats(peak_dbfs=-3.0, rms_dbfs=-20.0, silence_ratio=0.804, clipped_ratio=0.0)
    assert judge_audio(almost, QUALITY).message.startswith(
        "80.4% of the frames are silent (quality.max_silence_ratio is 80%"
    )
    assert "2.504 times the expected pace (quality.max_pace is 2.5)" in judge_tokens(50, False, 2.504, QUALITY).message
