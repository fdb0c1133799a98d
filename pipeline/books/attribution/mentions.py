"""Find who is mentioned in a text: by name, by pronoun, or as `the lady`; knows nothing of quotes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pipeline.books.attribution.people import People, Word
from pipeline.books.attribution.words import (
    ABBREVIATED,
    CLAUSE_STARTERS,
    DETERMINERS,
    FEMALE_NOUNS,
    FEMALE_TITLES,
    MALE_NOUNS,
    MALE_TITLES,
    OBJECTS,
    PREPOSITIONS,
    SUBJECTS,
    TITLES,
    VERBS,
)

_ACTS = frozenset("was had did would could should might must looked sat stood rose came went took made gave".split())


@dataclass(frozen=True)
class Mention:
    """Somebody in a text.

    Attributes:
        first, last: the words `words[first:last]`.
        kind: a name, a pronoun, or a noun for a man or a woman.
        people: whom a name may mean; empty if nobody is known by it.
        pronoun: he, she or i; empty where a name does not say.
        is_possessive: `Anna's brother` is not Anna; `his wife` is not him.
        is_subject: where it stands it may be the subject of its clause.
        is_small: a name that the cast does not write small: `the doctor` may be another than the Doctor of the cast,
            and `a doctor` than the doctor.
    """

    first: int
    last: int
    kind: Literal["name", "pronoun", "noun"]
    people: tuple[int, ...] = ()
    pronoun: str = ""
    is_possessive: bool = False
    is_subject: bool = False
    is_small: bool = False


def find_mentions(text: str, words: list[Word], people: People) -> list[Mention]:
    """Return who is mentioned, in order."""
    found: list[Mention] = []
    at = 0
    while at < len(words):
        mention = (
            _find_name_behind(text, words, at, people)
            or _find_pronoun(words, at)
            or _find_name(text, words, at, people)
            or _find_noun(words, at)
        )
        if mention is None:
            at += 1
            continue
        subject = mention.kind == "pronoun" and words[mention.first].small in SUBJECTS
        if mention.kind != "pronoun":
            subject = not mention.is_possessive and _is_subject(text, words, mention)
        found.append(replace(mention, is_subject=subject))
        at = mention.last
    return found


def _find_name_behind(text: str, words: list[Word], at: int, people: People) -> Mention | None:
    """Find a name of several small words behind its article: `the lady in black` is more than a lady."""
    if words[at].small not in DETERMINERS or at + 1 == len(words) or not words[at + 1].text[0].islower():
        return None
    found = _find_name(text, words, at + 1, people)
    return found if found and found.last > at + 2 else None


def _find_pronoun(words: list[Word], at: int) -> Mention | None:
    small = words[at].small
    if small in SUBJECTS:
        if small == "i" and words[at].text != "I":
            return None
        return Mention(at, at + 1, "pronoun", pronoun=SUBJECTS[small])
    if small in OBJECTS:
        possessive = small in ("his", "my", "her")
        following = _find_noun(words, at)
        return following or Mention(at, at + 1, "pronoun", pronoun=OBJECTS[small], is_possessive=possessive)
    return None


def _find_name(text: str, words: list[Word], at: int, people: People) -> Mention | None:
    word = words[at]
    starts_small = not word.text[0].isupper()
    if starts_small and (word.small not in people.first_small or not _after_article(words, at)):
        return None
    last = at + 1
    while last < len(words) and last - at < people.longest and _may_join(text, words, last):
        last += 1
    for stop in range(last, at, -1):
        key = tuple(other.small for other in words[at:stop])
        if starts_small or not all(other.text[0].isupper() for other in words[at:stop]):
            if key in (people.common if starts_small else people.exact):  # `Mrs. de Vere`.
                is_any = words[at - 1].small in ("a", "an")
                is_small = starts_small and (is_any or (stop == at + 1 and key not in people.small))
                is_possessive = words[stop - 1].is_possessive
                return Mention(at, stop, "name", tuple(people.exact[key]), "", is_possessive, is_small=is_small)
        elif all(_joins(text, words, number) for number in range(at + 1, stop)) and (found := people.find(key)):
            if stop < len(words) and word.small not in TITLES and words[stop].text[0].isupper():
                found = people.extend(found, words[stop]) if _joins(text, words, stop) else found
            if not found:
                break
            return Mention(at, stop, "name", found, is_possessive=words[stop - 1].is_possessive)
    # Somebody nobody knows: `Mrs. Long` and `Ann Harrow` must not leave `Long` and `Harrow` behind.
    stop = at + 1
    while stop < len(words) and words[stop].text[0].isupper() and _joins(text, words, stop):
        stop += 1
    if stop > at + 1 and (word.small in TITLES or (word.small not in VERBS and people.is_name(word))):
        pronoun = _pronoun_of_title(word.small)
        return Mention(at, stop, "name", pronoun=pronoun, is_possessive=words[stop - 1].is_possessive)
    return None


def _pronoun_of_title(title: str) -> str:
    return "he" if title in MALE_TITLES else "she" if title in FEMALE_TITLES else ""


def _after_article(words: list[Word], at: int) -> bool:
    return at > 0 and words[at - 1].small in DETERMINERS


def _joins(text: str, words: list[Word], at: int) -> bool:
    """Return whether a word may belong to the name that the word before it belongs to."""
    before = words[at - 1]
    if before.is_possessive:
        return False
    gap = text[before.end : words[at].start]
    return gap == " " or (gap == ". " and (before.small in ABBREVIATED or len(before.text) == 1))


def _may_join(text: str, words: list[Word], at: int) -> bool:
    """Return whether a word may belong to a name with the one before it, also to `the miller's wife`."""
    is_owned = words[at - 1].is_possessive and text[words[at - 1].end + 2 : words[at].start] == " "
    return is_owned or _joins(text, words, at)


def find_owned(words: list[Word], owner: Mention) -> Mention:
    """Return who somebody's is: he for `Anna's brother`, and nothing is known of `Anna's guest`."""
    for at in range(owner.last, min(owner.last + 3, len(words))):
        small = words[at].small
        pronoun = "he" if small in MALE_NOUNS else "she" if small in FEMALE_NOUNS else ""
        if pronoun:
            return Mention(owner.last, at + 1, "noun", pronoun=pronoun)
    return Mention(owner.last, owner.last + 1, "noun")


def _find_noun(words: list[Word], at: int) -> Mention | None:
    if words[at].small not in DETERMINERS:
        return None
    for stop in range(at + 1, min(at + 4, len(words))):
        small = words[stop].small
        if words[stop].text[0].isupper() or small in PREPOSITIONS or small in CLAUSE_STARTERS:
            return None
        pronoun = "he" if small in MALE_NOUNS else "she" if small in FEMALE_NOUNS else ""
        if pronoun:
            return Mention(at, stop + 1, "noun", pronoun=pronoun, is_possessive=words[stop].is_possessive)
    return None


def _is_subject(text: str, words: list[Word], mention: Mention) -> bool:
    """Return whether no preposition or verb stands before it: `to Anna` is none, `and Anna` may be."""
    first = mention.first
    while first > 0 and words[first - 1].small in ("the", "poor", "little", "old", "young", "dear"):
        first -= 1
    if first == 0:
        return True
    before = words[first - 1]
    following = words[mention.last] if mention.last < len(words) else None
    if following and text[words[mention.last - 1].end : following.start] == " " and before.small not in PREPOSITIONS:
        if following.small in VERBS or following.small in _ACTS or following.small.endswith("ed"):
            return True  # `After dinner Anna said`, `whom Anna loved`.
    if any(mark in text[before.end : words[first].start] for mark in ",;:.!?—\"“”'‘’()"):
        return True
    return before.small in CLAUSE_STARTERS
