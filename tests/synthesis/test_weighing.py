"""Words that a take leaves out or says twice, by what other texts weigh."""

import numpy as np
import pytest

from pipeline.synthesis.weighing import Changes, Weights, find_changes, find_gaps

WORDS = "we had to leave the old house before noon".split()
WITHOUT_LEAVE = "we had to the old house before noon"
THE_THE = "we had to leave the the old house before noon"
AS_WRITTEN = Changes((), {})
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
        ("old", THE_THE, 1.0, -2.0, (0, 0)),
        ("noon", "we had to leave the old house before", 9.0, 0.0, (0, 0)),
    ],
)
def test_the_sound_decides_and_not_what_is_likely_as_language(doubtful, text, in_sound, in_silence, gaps):
    weigh, _ = scale([doubtful], {text: in_sound})
    weigh_in_silence, _ = scale([], {text: in_silence})
    assert find_gaps(WORDS, AS_WRITTEN, weigh, weigh_in_silence, SOUNDING) == gaps


@pytest.mark.parametrize(
    ("changes", "text", "gain", "gaps"),
    [
        (AS_WRITTEN, WITHOUT_LEAVE, 7.0, (0, 0)),
        (Changes({3}, {}), WITHOUT_LEAVE, 7.0, (1, 0)),
        (Changes({3}, {}), WITHOUT_LEAVE, 2.0, (0, 0)),
        (Changes({5}, {}), WITHOUT_LEAVE, 7.0, (0, 0)),
        (Changes({5, 6}, {}), "we had to leave the before noon", 7.0, (2, 0)),
        (Changes({5, 6}, {}), "we had to leave the before noon", 2.0, (0, 0)),
        (Changes((), {9: ["before", "noon"]}), " ".join([*WORDS, "before", "noon"]), 7.0, (0, 2)),
        (Changes((), {9: ["before", "noon"]}), " ".join([*WORDS, "before", "noon"]), 2.0, (0, 0)),
        (Changes((), {0: ["so"], 3: ["first"]}), "so we had to first leave the old house before noon", 7.0, (0, 2)),
    ],
)
def test_what_the_recognizer_wrote_is_weighed_too(changes, text, gain, gaps):
    weigh, _ = scale(["leave"], {text: gain})
    weigh_in_silence, _ = scale([], {text: 0.01})
    assert find_gaps(WORDS, changes, weigh, weigh_in_silence, SOUNDING) == gaps


@pytest.mark.parametrize(
    ("text", "heard", "unheard", "added"),
    [
        ("Our dog sleeps here.", "our dog sleeps here", set(), {}),
        ("Our old dog sleeps here.", "our dog sleeps", {1, 4}, {}),
        ("Our old dog sleeps here.", "our odd dog leaps here", set(), {}),
        ("It’s here -- now.", "now", {0, 1}, {}),
        ("Our dog sleeps.", "our dog our dog sleeps here", set(), {0: ["our", "dog"], 3: ["here"]}),
    ],
)
def test_changes_are_as_few_as_can_be(text, heard, unheard, added):
    found = find_changes(text.split(), heard)
    assert found.unheard == unheard and sum(map(len, found.added.values())) == sum(map(len, added.values()))


@pytest.mark.parametrize(("old_lasts", "num_extra"), [(20, 1), (4, 0)])
def test_a_second_word_that_takes_its_time_from_the_next_one_is_none(old_lasts, num_extra):
    starts = np.cumsum([0, 20, 20, 20, 20, 20, 20, old_lasts, 20, 20])
    weigh, _ = scale(["old"], {THE_THE: 1.0})
    weigh_in_silence, _ = scale([], {THE_THE: -12.0})

    def weigh_with_starts(texts):
        return [
            Weights(found.log_probs, starts) if " ".join(text) == THE_THE else found
            for text, found in zip(texts, weigh(texts), strict=True)
        ]

    assert find_gaps(WORDS, AS_WRITTEN, weigh_with_starts, weigh_in_silence, SOUNDING) == (0, num_extra)


def test_no_more_than_the_least_likely_words_are_weighed():
    long = [f"word{number}" for number in range(40)]
    asked = []

    def weigh(texts):
        asked.append(len(texts))
        return [Weights(np.full(len(text), -0.1), np.arange(len(text))) for text in texts]

    assert find_gaps(long, AS_WRITTEN, weigh, weigh, np.ones(40, bool)) == (0, 0)
    assert max(asked) <= 15


def test_a_word_that_lasts_too_long_has_others_in_it_unless_it_is_a_pause():
    starts = np.arange(len(WORDS)) * 20
    starts[6:] += 90
    sounding = np.ones(20 * len(WORDS) + 90, bool)
    weigh, _ = scale(starts=starts)
    missing, extra = find_gaps(WORDS, AS_WRITTEN, weigh, weigh, sounding)
    assert missing == 0 and 2 <= extra <= 6
    sounding[110:200] = False
    assert find_gaps(WORDS, AS_WRITTEN, weigh, weigh, sounding) == (0, 0)
