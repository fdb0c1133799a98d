"""Words that a take leaves out or says twice, by what other texts weigh."""

import numpy as np
import pytest

from pipeline.synthesis.weighing import Weights, find_gaps

WORDS = "we had to leave the old house before noon".split()
WITHOUT_LEAVE = "we had to the old house before noon"
THE_THE = "we had to leave the the old house before noon"
SOUNDING = np.ones(20 * len(WORDS), bool)


def scale(doubtful=(), gains=(), starts=None):
    """Weigh the text with some doubtful words, and others by what they gain over it: far less if nothing is said."""
    starts = np.arange(len(WORDS)) * 20 if starts is None else starts
    log_probs = np.where(np.isin(WORDS, doubtful), -5.0, -0.1)
    asked = []

    def weigh(texts):
        asked.extend(texts)
        found = []
        for text in texts:
            gain = 0.0 if list(text) == WORDS else dict(gains).get(" ".join(text), -30.0)
            found.append(Weights(np.array([log_probs.sum() + gain]) if gain else log_probs, starts))
        return found

    return weigh, asked


@pytest.mark.parametrize(
    ("doubtful", "text", "in_sound", "in_silence", "gaps"),
    [
        ("leave", WITHOUT_LEAVE, 14.0, 2.0, (1, 0)),
        ("leave", WITHOUT_LEAVE, 14.0, 9.0, (0, 0)),
        ("leave", WITHOUT_LEAVE, -1.0, 2.0, (0, 0)),
        ("old", THE_THE, 1.0, -12.0, (0, 1)),
        ("old", THE_THE, 1.0, -4.0, (0, 0)),
        ("noon", "we had to leave the old house before", 9.0, 0.0, (0, 0)),
    ],
)
def test_the_sound_decides_and_not_what_is_likely_as_language(doubtful, text, in_sound, in_silence, gaps):
    weigh, _ = scale([doubtful], {text: in_sound})
    weigh_in_silence, _ = scale([], {text: in_silence})
    assert find_gaps(WORDS, (0, 0), weigh, weigh_in_silence, SOUNDING) == gaps


@pytest.mark.parametrize(
    ("read", "gain", "gaps"),
    [((0, 0), 6.0, (0, 0)), ((1, 0), 6.0, (1, 0)), ((1, 1), 2.0, (0, 0)), ((2, 3), 2.0, (2, 3))],
)
def test_a_word_that_was_not_heard_needs_less_weight_and_several_count_without(read, gain, gaps):
    weigh, _ = scale(["leave"], {WITHOUT_LEAVE: gain})
    weigh_in_silence, _ = scale([], {WITHOUT_LEAVE: 0.01})
    assert find_gaps(WORDS, read, weigh, weigh_in_silence, SOUNDING) == gaps


def test_where_every_word_is_likely_nothing_more_is_weighed():
    weigh, asked = scale()
    weigh_in_silence, asked_in_silence = scale()
    assert find_gaps(WORDS, (0, 0), weigh, weigh_in_silence, SOUNDING) == (0, 0)
    assert (asked, asked_in_silence) == ([WORDS], [])


def test_a_word_that_lasts_too_long_has_others_in_it_unless_it_is_a_pause():
    starts = np.arange(len(WORDS)) * 20
    starts[6:] += 90
    sounding = np.ones(20 * len(WORDS) + 90, bool)
    weigh, _ = scale(starts=starts)
    missing, extra = find_gaps(WORDS, (0, 0), weigh, weigh, sounding)
    assert missing == 0 and 2 <= extra <= 6
    sounding[110:200] = False
    assert find_gaps(WORDS, (0, 0), weigh, weigh, sounding) == (0, 0)
