"""Which words a take leaves out or says twice: texts are weighed by a recognizer, whatever it writes itself.

A recognizer writes what people mean: a word that is missing, and not the second one of two that are alike. But it can
say how likely the text is with that word and without it, given the sound. How likely it finds the same texts in silence
is what it thinks of them as language; that is taken off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.synthesis.recognition import split_words

MIN_WORDS = 4
"""In shorter texts one word is too large a share, see `MIN_WORDS_FOR_WER`."""
_MAX_DOUBTFUL = 6
"""Words that are looked at, the least likely ones: those that were not said, and those that another one came before."""
_DROPPED, _UNHEARD, _DOUBLED = 9.0, 6.5, 4.5
"""From which gain on a word was left out that the recognizer wrote, or words that it did not write; and from which one
was said twice, or were said that it wrote besides. Measured: see docs/quality.md."""
_MIN_LEFT = 0.5
"""Share of its usual time that the word behind two equal ones keeps; with less the second is a part of it, as "were" is
taken for a second "we"."""
_AS_LANGUAGE = 0.7
"""How much of the gain in silence is taken off the gain in sound."""
_LETTER_S, _WORD_S = 0.055, 0.08
"""What a word takes: so much for each letter, and so much more."""
_MAX_EXCESS_S = 1.0
"""What a word lasts longer than the others let expect; more is something said in between."""
FRAME_S = 0.02


@dataclass(frozen=True)
class Weights:
    """How a text lies in a take."""

    log_probs: NDArray[np.float64]
    """(num_words,) of each word, given the sound and the words before it."""
    starts: NDArray[np.int64]
    """(num_words,) the frame, of `FRAME_S`, in which each begins."""


@dataclass(frozen=True)
class Changes:
    """What a recognizer wrote in a text's place, by the least number of changes."""

    unheard: Collection[int]
    """Places of words for which it wrote nothing."""
    added: Mapping[int, Sequence[str]]
    """Words that it wrote besides, by the place of the word that they stand before."""


Weigh = Callable[[Sequence[Sequence[str]]], Sequence[Weights]]
"""Weighs several texts, each as its words."""


def find_changes(words: Sequence[str], heard: str) -> Changes:
    """Return what a recognizer wrote otherwise than a text has it.

    Args:
        words: of the text.
        heard: what the recognizer wrote.
    """
    from rapidfuzz.distance import Levenshtein

    expected, found = ["".join(split_words(word)) for word in words], split_words(heard)
    changes = Levenshtein.opcodes(expected, found)
    unheard = {at for change in changes if change.tag == "delete" for at in range(change.src_start, change.src_end)}
    added = {
        change.src_start: found[change.dest_start : change.dest_end] for change in changes if change.tag == "insert"
    }
    return Changes({at for at in unheard if expected[at]}, added)


def find_gaps(
    words: Sequence[str],
    changes: Changes,
    weigh: Weigh,
    weigh_in_silence: Weigh,
    sounding: NDArray[np.bool_],
) -> tuple[int, int]:
    """Return how many words were left out, and how many were said that the text does not have.

    What the recognizer wrote is weighed, too, where it differs by several words. The last word is not weighed alone:
    what follows it, the end, is no word.

    Args:
        words: of the text, at least `MIN_WORDS`.
        changes: what the recognizer wrote otherwise.
        weigh: against the take.
        weigh_in_silence: against silence of the same length.
        sounding: (num_frames,) which frames of the take are no pauses.
    """
    (text,) = weigh([words])
    doubtful = [int(at) for at in np.argsort(text.log_probs, kind="stable")[:_MAX_DOUBTFUL]]
    dropped = [at for at in doubtful if at < len(words) - 1]
    doubled = [at - 1 for at in doubtful if at > 0]
    unheard, added = changes.unheard, changes.added
    others = [
        [word for at, word in enumerate(words) if at not in unheard],
        [word for at in range(len(words) + 1) for word in (*added.get(at, ()), *words[at : at + 1])],
        *([*words[:at], *words[at + 1 :]] for at in dropped),
        *([*words[: at + 1], *words[at:]] for at in doubled),
    ]
    found = weigh(others)
    in_sound = np.array([weights.log_probs.sum() for weights in found]) - text.log_probs.sum()
    silent, *silent_others = (weights.log_probs.sum() for weights in weigh_in_silence([words, *others]))
    gains = in_sound - _AS_LANGUAGE * (np.array(silent_others) - silent)
    num_unheard = len(unheard) if len(unheard) > 1 and gains[0] > _UNHEARD else 0
    num_added = sum(map(len, added.values()))
    if num_added == 1 or gains[1] <= _DOUBLED:
        num_added = 0
    enough = [_UNHEARD if at in unheard else _DROPPED for at in dropped]
    num_dropped = int((gains[2 : 2 + len(dropped)] > enough).sum())
    lasting = _lasting_s(text.starts, sounding)
    usual = _usual_s(words, lasting)
    num_doubled = sum(
        bool(gain > _DOUBLED and _lasting_s(weights.starts, sounding)[at + 2] > _MIN_LEFT * usual[at + 1])
        for at, gain, weights in zip(doubled, gains[2 + len(dropped) :], found[2 + len(dropped) :], strict=True)
    )
    return max(num_unheard, num_dropped), max(num_added, num_doubled, _count_again(lasting, usual))


def _count_again(lasting: NDArray[np.float64], usual: NDArray[np.float64]) -> int:
    """Count words that were said between two of the text: where one lasts far longer than the others let expect."""
    excess = float((lasting - usual).max())
    return max(round(excess / max(usual.mean(), _WORD_S)), 1) if excess > _MAX_EXCESS_S else 0


def _lasting_s(starts: NDArray[np.int64], sounding: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how long each word lasts, pauses apart."""
    return np.array([part.sum() * FRAME_S for part in np.split(sounding, starts[1:])])


def _usual_s(words: Sequence[str], lasting: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how long each word should last, by its letters, at the pace of most of them."""
    usual = np.array([_WORD_S + _LETTER_S * sum(map(str.isalnum, word)) for word in words])
    usual *= np.median(lasting / usual)
    return usual
