"""The people of a book: by which names they go, and whether they are he or she.

Mr., Mrs. and Miss Bennet are different people: a title belongs to a name. Knows nothing of quotes and voices.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.books.attribution.words import FEMALE_TITLES, MALE_TITLES, OPENERS, RANKS, TITLES

_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_ARTICLES = frozenset(("the", "a", "an"))
_SMALL = frozenset("of in the with at on a an and by from to who for".split())
_MARRIAGE = frozenset(("mr", "mrs", "miss", "master"))
_SURE = 0.98
_MAY_BE_HE = 0.3
Key = tuple[str, ...]


@dataclass(frozen=True)
class Word:
    """A word of a text, its possessive `'s` cut off: `text[start:end]`."""

    text: str
    start: int
    end: int
    is_possessive: bool = False

    @property
    def small(self) -> str:
        """The word in small letters."""
        return self.text.lower()


def split_words(text: str) -> list[Word]:
    """Return the words of a text in order."""
    words = []
    for match in _WORD.finditer(text):
        word, start, end = match[0], match.start(), match.end()
        owns = len(word) > 2 and word[-1] == "s" and word[-2] in "'’"
        words.append(Word(word[:-2] if owns else word, start, end - 2 if owns else end, owns))
    return words


def name_key(name: str) -> Key:
    """Return what two spellings of one name share: words in small letters, no article; titles stay."""
    words = [word.small for word in split_words(name)]
    return tuple(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)


@dataclass(frozen=True)
class Names:
    """What the caller knows of somebody.

    Attributes:
        name: the main one.
        aliases: other names; `I` is who tells the book.
        pronoun: `he`, `she`, or empty for what the book itself says.
    """

    name: str
    aliases: tuple[str, ...] = ()
    pronoun: str = ""


@dataclass
class Person:
    """Somebody who may speak.

    Attributes:
        name: as the cast or the book writes it.
        names: keys of all their names.
        male: from 0 to 1, how sure it is that they are he; 0.5 says nothing.
    """

    name: str
    names: list[Key]
    male: float = 0.5
    titles: set[str] = field(default_factory=set)


class People:
    """Finds people by name.

    Args:
        cast: the first people, in order.
        words: how often the book writes each word: `the Bear` is somebody only if he is seldom a bear.
    """

    def __init__(self, cast: Iterable[Names], words: Mapping[str, int]) -> None:
        self.people: list[Person] = []
        self.exact: dict[Key, list[int]] = defaultdict(list)
        self.partial: dict[Key, list[int]] = defaultdict(list)
        self._first_names: dict[Key, list[int]] = defaultdict(list)
        self.common: set[Key] = set()
        """Names that may be written small: `the old man`."""
        self.small: set[Key] = set()
        """Those that the cast itself writes small."""
        self.first_small: set[str] = set()
        self.longest = 1
        self._words = words
        for names in cast:
            self.add(names)

    def add(self, names: Names) -> int:
        """Add a person; return their number."""
        number = len(self.people)
        person = Person(names.name, [])
        self.people.append(person)
        for name in (names.name, *names.aliases):
            key = name_key(name)
            if not key or key in person.names:
                continue
            person.names.append(key)
            self.exact[key].append(number)
            self.longest = max(self.longest, len(key))
            if split_words(name)[0].small in _ARTICLES or name == name.lower():
                self.common.add(key)
                self.small |= {key} if name[0].lower() + name[1:] == name.lower() else set()
                self.first_small.add(key[0])
            else:
                self._add_parts(key, number)
            if key[0] in TITLES and len(key) > 1:
                person.titles.add(key[0])
                if key[0] in RANKS and number not in self.partial[key[:1]]:
                    self.partial[key[:1]].append(number)  # `the Colonel` is Colonel Fitzwilliam.
        person.male = _guess_male(person, names.pronoun)
        return number

    def _add_parts(self, key: Key, number: int) -> None:
        bare = key[1:] if key[0] in TITLES and len(key) > 1 else key
        if _SMALL & set(bare):
            return
        if len(bare) > 1 and bare == key and number not in self._first_names[bare[:1]]:
            self._first_names[bare[:1]].append(number)
        for part in {bare[:1], bare[-1:], bare}:
            small = self._words.get(part[-1], 0) if part else 0
            if part and number not in self.partial[part] and small <= self._words.get(part[-1].capitalize(), 0):
                self.partial[part].append(number)

    def find(self, key: Key) -> tuple[int, ...]:
        """Return who may go by this name: one person, several who share it, or nobody."""
        if key in self.exact:
            return (*self.exact[key], *self._namesakes(key))
        if key[0] not in TITLES:
            return self._without_ladies(key, self.partial.get(key, []))
        if len(key) == 1:
            return tuple(self.partial.get(key, ()))
        found = self.exact.get(key[1:], []) + self.partial.get(key[1:], [])
        return tuple(dict.fromkeys(number for number in found if self._may_have_title(number, key[0])))

    def _without_ladies(self, key: Key, found: list[int]) -> tuple[int, ...]:
        """Return whom a family's name alone means: Harding is Mr. Harding, not Miss Harding, where there are both."""
        first = self._first_names.get(key, ())
        others = tuple(number for number in found if number in first or self.people[number].male >= _MAY_BE_HE)
        return others or tuple(found)

    def _namesakes(self, key: Key) -> list[int]:
        """Return who has the first name of somebody of another family: John Orr is John, too, beside John Vane."""
        bearers = self.exact[key]
        families = {
            word for number in bearers for name in self.people[number].names if name[0] == key[0] for word in name
        }
        if len(families) < 2:
            return []
        others = (number for number in self._first_names.get(key, ()) if number not in bearers)
        return [number for number in others if not families & self._family_names(number)]

    def _family_names(self, number: int) -> set[str]:
        return {word for name in self.people[number].names for word in name[1:]}

    def extend(self, numbers: Iterable[int], surname: Word) -> tuple[int, ...]:
        """Return who may go by one more name: those whose surname nobody has told."""
        if not self.is_name(surname):
            return tuple(numbers)
        names = {number: [key for key in self.people[number].names if key[0] not in TITLES] for number in numbers}
        return tuple(number for number, keys in names.items() if all(len(key) == 1 for key in keys))

    def is_name(self, word: Word) -> bool:
        """Return whether the book writes a word with a capital because it is a name."""
        return (
            word.text[0].isupper()
            and word.small not in OPENERS
            and self._words.get(word.small, 0) < self._words.get(word.text, 0)
        )

    def _may_have_title(self, number: int, title: str) -> bool:
        person = self.people[number]
        if (title in MALE_TITLES and person.male < _MAY_BE_HE) or (title in FEMALE_TITLES and person.male > 0.7):
            return False
        return not (title in _MARRIAGE and person.titles & _MARRIAGE and title not in person.titles)

    def learn_genders(self, counts: Mapping[int, Counter[str]]) -> None:
        """Set who is he or she from the pronouns that follow their names.

        Args:
            counts: for a person how often `he` and `she` followed.
        """
        for number, found in counts.items():
            person = self.people[number]
            if person.male == 0.5:
                odds = ((found["he"] + 0.7) / (found["she"] + 0.7)) ** 3
                person.male = min(_SURE, max(1 - _SURE, odds / (1 + odds)))

    def fit(self, number: int, pronoun: str) -> float:
        """Return from 0 to 1 how well `he` or `she` fits a person."""
        male = self.people[number].male
        return male if pronoun == "he" else 1 - male


def _guess_male(person: Person, pronoun: str) -> float:
    """Return what the cast or the titles of somebody say; 0.5 for nothing."""
    first = {key[0] for key in person.names}
    is_male, is_female = bool(first & MALE_TITLES), bool(first & FEMALE_TITLES)
    if pronoun:
        is_male, is_female = pronoun == "he", pronoun == "she"
    return 0.5 if is_male == is_female else _SURE if is_male else 1 - _SURE
