"""How people speak: the words of the turns beside which their names stand, and how they address others.

Who says `papa` or `my dear Holt` gives themselves away; so do words of a dialect.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection

from pipeline.books.attribution.turns import Paragraph, Turn, find_addressed
from pipeline.books.attribution.words import FEMALE_ADDRESS, MALE_ADDRESS

_ADDRESS = MALE_ADDRESS | FEMALE_ADDRESS | {"dear"}
_MOST = 6.0


class Sayings:
    """Which words are whose.

    Args:
        doubt: how many words of the whole book stand beside those of a person.
    """

    def __init__(self, doubt: int) -> None:
        self._doubt = doubt
        self._of: dict[int, Counter[str]] = defaultdict(Counter)
        self._num_words: Counter[int] = Counter()
        self._all: Counter[str] = Counter()
        self._total = 0

    def add(self, person: int, words: Collection[str]) -> None:
        """Add the words of a turn, each once."""
        self._of[person].update(words)
        self._num_words[person] += len(words)
        self._all.update(words)
        self._total += len(words)

    def weigh(self, person: int, words: Collection[str], is_added: bool) -> float:
        """Return the log odds of the words of a turn for a person against anybody.

        Args:
            person: who may say them.
            words: each once.
            is_added: they were added as this person's, and say nothing of themselves.
        """
        if person not in self._of:
            return 0.0
        own, num_own = self._of[person], self._num_words[person] - is_added * len(words)
        found = len(words) * math.log(self._doubt / (num_own + self._doubt))
        for word in sorted(
            own.keys() & words
        ):  # The order of a set, and so a sum's last bit, differs between processes.
            count = own[word] - is_added
            if count:
                found += math.log(1 + count * self._total / (self._doubt * self._all[word]))
        return max(-_MOST, min(_MOST, found))


class Manner:
    """How each person of a book speaks, learned from the turns that are surely theirs.

    Attributes:
        words: all that they say.
        address: how they address others.
    """

    def __init__(self) -> None:
        self.words = Sayings(1_000)
        self.address = Sayings(20)

    def add(self, person: int, turn: Turn, paragraphs: list[Paragraph]) -> None:
        """Add a turn of a person."""
        self.words.add(person, find_words(turn, paragraphs))
        self.address.add(person, find_address(turn, paragraphs))


def find_words(turn: Turn, paragraphs: list[Paragraph]) -> set[str]:
    """Return the words of a turn's quotes."""
    found = set[str]()
    for number, index in turn.quotes:
        paragraph = paragraphs[number]
        quote = paragraph.speech[index]
        first, last = paragraph.first_word(quote.start), paragraph.first_word(quote.end)
        found.update(word.small for word in paragraph.words[first:last])
    return found


def find_all_addressed(turn: Turn, paragraphs: list[Paragraph]) -> set[int]:
    """Return whom a turn addresses by name."""
    mentions = (found for number, index in turn.quotes for found in find_addressed(paragraphs[number], index))
    return {person for mention in mentions for person in mention.people}


def find_address(turn: Turn, paragraphs: list[Paragraph]) -> set[str]:
    """Return how a turn addresses others: `sir`, `papa`, or the numbers of whom it names."""
    named = {f"#{person}" for person in find_all_addressed(turn, paragraphs)}
    return named | (find_words(turn, paragraphs) & _ADDRESS)
