import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.run import AudioConfig, parse_config
from pipeline.errors import RejectionCode, UtteranceError
from pipeline.llm.prompt import Voice
from pipeline.manifest.rows import Utterance, hash_seed, utterance_seed
from pipeline.synthesis.listening import Contour, Hearing
from pipeline.synthesis.recognition import Reading
from pipeline.synthesis.takes import (
    Rejection,
    SegmentAudio,
    UtteranceOutcome,
    UtteranceTakes,
    Verdict,
    finish_audio,
    next_takes,
    recorded_takes,
    segment_seed,
    write_script,
)
from pipeline.text import TextSupport, estimate_seconds


def segment(index, *, take=0, boundary="sentence", num_samples=1_600, rejection=None):
    samples = np.full(num_samples, 0.1 * (index + 1), dtype=np.float32)
    return SegmentAudio(index, take, num_samples // 320, boundary, samples, 16_000, rejection)


def test_seeds_are_the_same_on_every_machine():
    """The numbers are pinned: a change of them changes every take of every run."""
    assert hash_seed(0, "alice-01") == 6486789904676094308
    assert segment_seed(7, 0, 0) == 7927022125559101636


def test_the_manifest_seed_comes_first():
    assert utterance_seed(Utterance("a", "t", "s", seed=5), 0) == 5
    assert utterance_seed(Utterance("a", "t", "s"), 0) == hash_seed(0, "a")
    assert utterance_seed(Utterance("a", "t", "s"), 1) != utterance_seed(Utterance("a", "t", "s"), 0)


@given(st.lists(st.one_of(st.integers(0, 2**63), st.text()), max_size=4), st.lists(st.text(), max_size=4))
def test_different_parts_give_different_seeds(left, right):
    assert 0 <= hash_seed(*left) < 2**63
    assert (hash_seed(*left) == hash_seed(*right)) == (left == right)


def test_only_failed_takes_with_a_next_one_are_taken_again():
    failed = Rejection(RejectionCode.CLIPPED, "loud")
    heard = [(3, segment(0)), (3, segment(1, rejection=failed)), (4, segment(0, take=2, rejection=failed))]
    assert next_takes(heard, max_takes=3) == {3: {1: 1}}
    assert next_takes(heard, max_takes=1) == {}


@pytest.mark.parametrize(("boundary", "pause_s"), [("clause", 0.1), ("sentence", 0.25), ("paragraph", 0.6)])
def test_segments_are_joined_with_the_pause_of_their_boundary(boundary, pause_s):
    audio = finish_audio([segment(0, boundary=boundary), segment(1)], AudioConfig())
    pause = round(pause_s * 16_000)
    assert len(audio.samples) == 1_600 + pause + 1_600
    assert np.all(audio.samples[1_600 : 1_600 + pause] == 0)
    assert audio.samples[0] == np.float32(0.1)
    assert audio.samples[-1] == np.float32(0.2)


def test_other_rates_are_resampled_and_levels_met():
    audio = finish_audio([segment(0, num_samples=32_000)], AudioConfig(sample_rate=8_000, target_rms_dbfs=-20))
    assert audio.sample_rate == 8_000
    assert len(audio.samples) == 16_000
    assert abs(20 * np.log10(np.sqrt(np.mean(audio.samples**2))) + 20) < 0.1


FAILED = Rejection(RejectionCode.CLIPPED, "loud")


def outcome_of(*segments, num_segments=2, rejection=None):
    outcome = UtteranceOutcome()
    outcome.add_takes(UtteranceTakes(0, 7, num_segments, "en", "One. Two.", rejection=rejection))
    for audio in segments:
        outcome.add_audio(audio)
    return outcome


def heard(segment_audio, num_word_errors, naturalness=None, num_letter_errors=0):
    reading = Reading(10, num_word_errors, 40, num_letter_errors, 40, "")
    hearing = Hearing(Contour(0.0, -50.0), "heard", reading, None, None, naturalness)
    return segment_audio.after(Verdict(hearing, segment_audio.rejection))


@pytest.mark.parametrize(
    ("takes", "best"),
    [
        ([(2, 3.0, None), (1, 2.0, None), (1, 2.5, None), (4, 5.0, None)], 2),
        ([(1, None, None), (0, None, None), (0, None, None)], 1),
        ([(0, 4.0, FAILED), (3, 1.0, None), (2, 1.0, None)], 2),
        ([(1, 4.0, FAILED), (0, 4.0, FAILED)], 1),
    ],
    ids=["words, then naturalness", "the first of equals", "only good ones", "the last where none is good"],
)
def test_the_best_take_counts_whatever_their_order(takes, best):
    made = [
        heard(segment(0, take=take, rejection=rejection), num_word_errors, naturalness)
        for take, (num_word_errors, naturalness, rejection) in enumerate(takes)
    ]
    for order in (made, made[::-1]):
        outcome = outcome_of(*order, num_segments=1)
        assert (outcome.last_take, outcome.facts().take) == (best, best)


def test_takes_that_were_made_are_counted():
    outcome = UtteranceOutcome()
    for num_takes in (4, 1):
        outcome.add_takes(UtteranceTakes(0, 7, 1, "en", "One.", num_takes=num_takes))
        outcome.add_audio(segment(0, take=num_takes))
    assert outcome.facts().num_takes == 5


def test_a_segment_is_taken_again_once_none_of_its_takes_is_good():
    bad = [(3, segment(0, take=take, rejection=FAILED)) for take in range(4)]
    assert next_takes(bad, max_takes=6) == {3: {0: 4}}
    assert next_takes(bad, max_takes=4) == {}
    assert next_takes([*bad, (3, segment(0, take=1))], max_takes=6) == {}


def test_later_takes_replace_earlier_ones_and_segments_are_read_in_order():
    outcome = outcome_of(segment(1, rejection=FAILED), segment(0))
    assert outcome.rejection == FAILED
    outcome.add_takes(UtteranceTakes(0, 7, 2, "en", "One. Two."))
    outcome.add_audio(segment(1, take=1))
    assert [(audio.segment, audio.take) for audio in outcome.segments] == [(0, 0), (1, 1)]
    assert (outcome.rejection, outcome.last_take, outcome.seed, outcome.num_segments) == (None, 1, 7, 2)
    expected = finish_audio([segment(0), segment(1)], AudioConfig())
    assert np.array_equal(outcome.finish(AudioConfig()).samples, expected.samples)


def test_a_rejection_names_the_first_failure_and_keeps_what_was_spoken():
    short = Rejection(RejectionCode.TOO_FAST, "short")
    outcome = outcome_of(segment(1, rejection=FAILED), segment(0, rejection=short))
    assert outcome.rejection == short
    assert (outcome.language, outcome.spoken_text) == ("en", "One. Two.")
    assert outcome_of(segment(0), rejection=FAILED).rejection == FAILED
    outcome = outcome_of(segment(0), segment(1), rejection=FAILED)
    outcome.reject(short)
    assert outcome.rejection == FAILED
    with pytest.raises(UtteranceError, match="loud"):
        outcome.finish(AudioConfig())


@pytest.mark.parametrize("outcome", [outcome_of(segment(0)), outcome_of(num_segments=0), UtteranceOutcome()])
def test_an_utterance_that_lacks_audio_is_an_internal_error(outcome):
    assert outcome.rejection.code == RejectionCode.INTERNAL_ERROR
    with pytest.raises(UtteranceError, match="please report it"):
        outcome.finish(AudioConfig())


@pytest.mark.parametrize(
    ("record", "takes"),
    [
        (None, {}),
        ({"status": "ok", "num_segments": 1, "take": 2}, {0: 2}),
        ({"status": "ok", "num_segments": 1, "take": None}, {0: 0}),
        ({"status": "ok", "num_segments": 2, "take": 1}, {}),
        ({"status": "ok", "num_segments": 2, "take": 1, "segments": [{"take": 0}, {"take": 1}]}, {0: 0, 1: 1}),
        ({"status": "rejected", "num_segments": 1, "take": 2}, {}),
    ],
)
def test_the_recorded_take_is_made_again_where_the_record_says_so(record, takes):
    assert recorded_takes(record) == takes


def script(text, *, language=None, support=None, slowness=1.0, **settings):
    raw = {"weights": "demo", "manifest": "m", "speakers": "s.yaml", "output": "o", "text": settings}
    utterance = Utterance("a", text, "anna", language=language)
    return write_script(utterance, ["anna"], parse_config(raw, source="test"), {}, support or TextSupport(), slowness)


def test_a_language_that_the_weights_do_not_speak_is_rejected():
    with pytest.raises(UtteranceError, match="language is de, but the weights speak en, zh") as caught:
        script("Guten Morgen, wo ist der Bahnhof?")
    assert caught.value.code is RejectionCode.UNSUPPORTED_LANGUAGE
    with pytest.raises(UtteranceError, match="language is zh, but the weights speak en;"):
        script("你好", support=TextSupport(("en",)))


@pytest.mark.parametrize("settings", [{"other_languages": "pass"}, {"languages": ["de"]}])
def test_other_languages_pass_where_the_config_says_so(settings):
    found = script("Es kostet 5 € um 9 Uhr.", **settings)
    assert (found.language, found.spoken_text) == ("de", "Es kostet fünf Euro um neun Uhr.")


def test_segments_have_the_marks_and_the_length_that_the_weights_know():
    support = TextSupport(("en",), ".,'", 30)
    found = script("“It’s late—go!” she said: then he left the house and ran.", support=support)
    assert found.spoken_text == "It's late, go. she said, then he left the house and ran."
    assert len(found.segments) > 1 and all(len(part.text) <= 30 for part in found.segments)


def test_every_segment_ends_in_a_mark_where_the_weights_need_one():
    support = TextSupport(("en",), ".,'", 30, needs_end_mark=True)
    found = script("she had plenty of time as she went down to look about her\n\nHello", support=support)
    assert [part.text[-1] for part in found.segments] == [",", ".", "."]
    assert found.segments[-1].estimated_s == estimate_seconds("Hello.", "en") > estimate_seconds("Hello", "en")
    assert script("Hello").spoken_text == "Hello"


def test_a_slow_voice_has_more_time_and_shorter_segments():
    text = "One bright morning, a small gray cat sat down, quite still, under the old apple tree, and waited for birds."
    usual, slow = (script(text, slowness=slowness, max_segment_s=8.0) for slowness in (1.0, 1.5))
    assert [part.estimated_s for part in usual.segments] == [pytest.approx(estimate_seconds(text, "en"))]
    assert len(slow.segments) == 2 and all(part.estimated_s <= 8.0 for part in slow.segments)
    assert sum(part.estimated_s for part in slow.segments) == pytest.approx(
        1.5 * usual.segments[0].estimated_s, rel=0.1
    )


@pytest.mark.parametrize(("speed_value", "slowness"), [(None, 1.0), (0, 2.0), (3, 4.7 / 3), (4, 4.7 / 4), (7, 1.0)])
def test_a_created_voice_is_expected_as_slow_as_it_said_it_would_be(speed_value, slowness):
    assert Voice(speed_value=speed_value).slowness == pytest.approx(slowness)


def test_footnote_marks_are_read_on_request():
    assert script("So it was.[15] Yes.").spoken_text == "So it was. Yes."
    assert script("So it was.[15] Yes.", footnote_marks="read").spoken_text == "So it was.[fifteen] Yes."


def test_what_is_not_spoken_is_on_record():
    outcome = UtteranceOutcome()
    outcome.add_takes(UtteranceTakes.of_script(0, script("Snow ☃ falls.")))
    assert outcome.facts().quality_note == "not spoken: emoji ☃ (SNOWMAN)"
    assert outcome.facts().spoken_text == "Snow falls."
