"""Which words a take leaves out or says twice: texts are weighed by a recognizer, whatever it writes itself.

A recognizer writes what people mean: a word that is missing, and not the second one of two that are alike. But it can
say how likely the text is with that word and without it, given the sound. How likely it finds the same texts in silence
is what it thinks of them as language; that is taken off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_WORDS = 4
"""In shorter texts one word is too large a share, see `MIN_WORDS_FOR_WER`."""
_MAX_DOUBTFUL, _DOUBTFUL_LOG_PROB = 3, -2.0
"""Words that are looked at, the least likely ones: those that were not said, and those that another one came before."""
_UNHEARD, _DROPPED, _DOUBLED = 4.0, 8.5, 6.5
"""From which gain on a word was left out, where one was not heard and where all were, or was said twice. Gains are of
log-likelihoods, those in silence taken off. Measured: see docs/quality.md."""
_LETTER_S, _WORD_S = 0.055, 0.08
"""What a word takes: so much for each letter, and so much more."""
_MAX_EXCESS_S = 1.1
"""What a word lasts longer than the others let expect; more is something said in between."""
FRAME_S = 0.02


@dataclass(frozen=True)
class Weights:
    """How a text lies in a take."""

    log_probs: NDArray[np.float64]
    """(num_words,) of each word, given the sound and the words before it."""
    starts: NDArray[np.int64]
    """(num_words,) the frame, of `FRAME_S`, in which each begins."""


Weigh = Callable[[Sequence[Sequence[str]]], Sequence[Weights]]
"""Weighs several texts, each as its words."""


def find_gaps(
    words: Sequence[str],
    read: tuple[int, int],
    weigh: Weigh,
    weigh_in_silence: Weigh,
    sounding: NDArray[np.bool_],
) -> tuple[int, int]:
    """Return how many words were left out, and how many were said that the text does not have.

    Of a single word the weights decide; several count however they were found. The last word is not weighed: what
    follows it, the end, is no word.

    Args:
        words: of the text, at least `MIN_WORDS`.
        read: how many are missing and how many too many in what the recognizer wrote.
        weigh: against the take.
        weigh_in_silence: against silence of the same length.
        sounding: (num_frames,) which frames of the take are no pauses.
    """
    num_missing, num_extra = (number if number > 1 else 0 for number in read)
    (text,) = weigh([words])
    num_extra = max(num_extra, _count_again(words, text.starts, sounding))
    doubtful = [
        int(at)
        for at in np.argsort(text.log_probs, kind="stable")[:_MAX_DOUBTFUL]
        if text.log_probs[at] < _DOUBTFUL_LOG_PROB
    ]
    dropped = [at for at in doubtful if at < len(words) - 1]
    doubled = [at - 1 for at in doubtful if at > 0]
    others = [[*words[:at], *words[at + 1 :]] for at in dropped] + [[*words[: at + 1], *words[at:]] for at in doubled]
    if not others:
        return num_missing, num_extra
    in_sound = np.array([weights.log_probs.sum() for weights in weigh(others)]) - text.log_probs.sum()
    silent, *silent_others = (weights.log_probs.sum() for weights in weigh_in_silence([words, *others]))
    gains = in_sound - (np.array(silent_others) - silent)
    num_dropped = int((gains[: len(dropped)] > (_UNHEARD if read[0] else _DROPPED)).sum())
    num_doubled = int((gains[len(dropped) :] > _DOUBLED).sum())
    return max(num_missing, num_dropped), max(num_extra, num_doubled)


def _count_again(words: Sequence[str], starts: NDArray[np.int64], sounding: NDArray[np.bool_]) -> int:
    """Count words that were said between two of the text: where one lasts far longer than the others let expect."""
    lasting = np.array([part.sum() * FRAME_S for part in np.split(sounding, starts[1:])])
    usual = np.array([_WORD_S + _LETTER_S * sum(map(str.isalnum, word)) for word in words])
    usual *= np.median(lasting / usual)
    excess = float((lasting - usual).max())
    return max(round(excess / max(usual.mean(), _WORD_S)), 1) if excess > _MAX_EXCESS_S else 0
