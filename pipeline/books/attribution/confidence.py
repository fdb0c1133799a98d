"""How sure it is that the likeliest speaker of a turn says it: the chain's probability, judged by what it rests on.

A name beside a verb of speech is hardly ever wrong; `said the doctor` and a guess by turns alone are wrong more often
than the chain believes. Knows nothing of text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.books.attribution.evidence import SOMEBODY_ELSE, Candidates
from pipeline.books.attribution.people import People
from pipeline.books.attribution.turns import Turn
from pipeline.books.attribution.weights import CONFIDENCE

Array = NDArray[np.float64]

_KINDS = ("tag_name", "tag_pronoun_fit", "tag_noun_fit", "acts_name", "before_near_name", "leads_name", "follows_name",
          "follows_saying_name", "acts_pronoun_fit", "leads_pronoun_fit", "follows_pronoun_fit",
          "free_act_before_name", "free_first_before_name", "free_lead_colon_name", "free_lead_told_name")  # fmt: skip
"""What a decision may rest on, the strongest first."""
_OF_THE_BEST = ("addresses_self", "talks_of_self", "addressed_before", "addressed_after", "is_narrator",
                "pronoun_only", "tag_pronoun_near", "tag_pronoun_subject", "often", "often_here", "unseen",
                "tagged_near", "addressed_near")  # fmt: skip
_TURNS_AROUND = 8
_LEAST = 1e-4


def find_confidences(
    turns: Sequence[Turn], candidates: Sequence[Candidates], chances: Sequence[Array], people: People
) -> list[float]:
    """Return for each turn of a chapter the probability that its likeliest speaker says it.

    Args:
        turns: in order.
        candidates: of each turn, from `Chapter.collect`.
        chances: of each candidate, from `find_probabilities`.
        people: of the book.
    """
    best = [float(found.max()) for found in chances]
    confidences = []
    for number, (turn, may_say, found) in enumerate(zip(turns, candidates, chances, strict=True)):
        person = may_say.people[int(found.argmax())]
        if person == SOMEBODY_ELSE:
            confidences.append(best[number])
            continue
        around = best[max(0, number - _TURNS_AROUND) : number + _TURNS_AROUND + 1]
        features = describe_decision(turn, may_say, found, people)
        features["around"] = sum(around) / len(around)
        confidences.append(_weigh(features))
    return confidences


def describe_decision(turn: Turn, candidates: Candidates, chances: Array, people: People) -> dict[str, float]:
    """Return what the choice of a turn's likeliest speaker rests on, as named features."""
    best = int(chances.argmax())
    person, evidence = candidates.people[best], candidates.features[best]
    order = sorted((float(chance) for chance in chances), reverse=True)
    kind = next((kind for kind in _KINDS if kind in evidence), "none")
    features = {name: evidence.get(name, 0.0) for name in _OF_THE_BEST}
    features |= {f"kind_{kind}": 1.0, f"sure_{kind}": _log_odds(order[0]), "sure": _log_odds(order[0])}
    features["second"] = _log_odds(order[1]) if len(order) > 1 else _log_odds(0.0)
    features["third"] = math.log(max(_LEAST, order[2] if len(order) > 2 else 0.0))
    features["else"] = math.log(max(_LEAST, float(chances[0])))
    features["is_small"] = float(any(tag.mention.is_small and person in tag.mention.people for tag in turn.tags))
    features["num_tags"] = len(turn.tags)
    features["num_quotes"] = math.log(len(turn.quotes))
    features["gender"] = abs(people.people[person].male - 0.5) * 2
    features |= dict.fromkeys(candidates.same or ("same_nothing",), 1.0)
    features |= dict.fromkeys(candidates.alternate or ("alternate_nothing",), 1.0)
    return features


def _log_odds(chance: float) -> float:
    return math.log(max(_LEAST, chance) / max(_LEAST, 1 - chance))


def _weigh(features: Mapping[str, float]) -> float:
    log_odds = CONFIDENCE["always"] + sum(CONFIDENCE.get(name, 0.0) * value for name, value in features.items())
    return 1 / (1 + math.exp(-log_odds))
