"""How likely each candidate says each turn of a chapter, with the turns before and after in sight.

A log-linear chain of the second order: a speaker is judged by their features, by who spoke before, and by who spoke
before that (people take turns). Probabilities are exact, by the forward-backward algorithm; time is proportional to the
number of turns. Knows nothing of text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.books.attribution.evidence import SOMEBODY_ELSE, Candidates
from pipeline.books.attribution.weights import FEATURES, LINKS

Array = NDArray[np.float64]


def find_probabilities(turns: Sequence[Candidates]) -> list[Array]:
    """Return for each turn the probability of each of its candidates.

    Args:
        turns: of a chapter, in order.
    """
    if not turns:
        return []
    scores = [_score(turn) for turn in turns]
    links = [_link(turns, number) for number in range(len(turns))]
    # State of a turn: who spoke before (i), who speaks (j). `links[t]` is (i, j, k): k speaks after i and j.
    forward = [scores[0][None, :]]
    for number in range(1, len(turns)):
        summed = np.einsum("ij,ijk->jk", forward[-1], links[number])
        forward.append(_normalize(summed * scores[number]))
    backward = np.ones_like(forward[-1])
    found = [_normalize(forward[-1].sum(0))]
    for number in range(len(turns) - 1, 0, -1):
        backward = _normalize(np.einsum("ijk,jk->ij", links[number], backward * scores[number]))
        found.append(_normalize((forward[number - 1] * backward).sum(0)))
    return found[::-1]


def _score(turn: Candidates) -> Array:
    logs = np.array(
        [sum(FEATURES.get(name, 0.0) * value for name, value in features.items()) for features in turn.features]
    )
    return np.asarray(np.exp(logs - logs.max()))


def _normalize(values: Array) -> Array:
    return np.asarray(values / values.sum())


def _link(turns: Sequence[Candidates], number: int) -> Array:
    """Return how well each candidate of a turn follows those of the two turns before."""
    if not number:
        return np.ones((1, 1, 1))
    turn, people, last = turns[number], _people(turns[number]), _people(turns[number - 1])
    before = _people(turns[number - 2]) if number > 1 else np.array([SOMEBODY_ELSE])
    is_same = last[:, None] == people[None, :]
    found = np.ones((len(before), *is_same.shape))
    if turn.same:
        known, unknown = _weigh(turn.same), math.exp(LINKS["same_else"])
        found *= np.where(is_same, np.where(people == SOMEBODY_ELSE, unknown, known)[None, :], 1.0)[None, :, :]
    if turn.alternate:
        takes_turns = (before[:, None] == people[None, :]) & (people != SOMEBODY_ELSE)[None, :]
        alternates = takes_turns[:, None, :] & ~is_same[None, :, :]
        found *= np.where(alternates, _weigh(turn.alternate), 1.0)
    return found


def _weigh(names: Sequence[str]) -> float:
    return math.exp(sum(LINKS.get(name, 0.0) for name in names))


def _people(turn: Candidates) -> NDArray[np.int64]:
    return np.array(turn.people, dtype=np.int64)
