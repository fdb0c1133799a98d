"""Who says each quote of a book: what the whole book tells of its people, then chapter by chapter.

The way: paragraphs and whom they mention (`mentions`, `people`), turns and the tags beside them (`turns`), whom
pronouns mean (`references`), how each person speaks (`manner`), who may say a turn and why (`evidence`), how likely
each does (`chain`), how sure that is (`confidence`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.books.attribution.chain import find_probabilities
from pipeline.books.attribution.confidence import find_confidences
from pipeline.books.attribution.evidence import SOMEBODY_ELSE, Chapter, find_named
from pipeline.books.attribution.manner import Manner
from pipeline.books.attribution.people import Names, People, name_key, split_words
from pipeline.books.attribution.turns import TOGETHER, Paragraph, Turn, find_addressed, find_turns, read_paragraph
from pipeline.books.attribution.words import ABBREVIATED, OPENERS, TITLES, VERBS
from pipeline.books.quotes import Quote

_TITLE = "|".join(sorted(title.capitalize() + r"\.?" * (title in ABBREVIATED) for title in TITLES))
_NAME = rf"((?:(?:{_TITLE}) )?[A-Z][\w’'-]+(?: [A-Z][\w’'-]+)?)"
_VERB = rf"(?:{'|'.join(sorted(VERBS))})"
_NAMED = (
    re.compile(rf"[”\"’'],? {_VERB} (?:the )?{_NAME}"),
    re.compile(rf"[”\"’'],? (?:[Tt]he )?{_NAME} (?:[a-z]+ly )?{_VERB}\b"),
)
NOBODY_KNOWN = "somebody else"
_MIN_NARRATED = 0.02
"""Of all mentions outside of speech are I where somebody tells the book; a letter or an author's aside has a few."""


@dataclass(frozen=True)
class Passage:
    """A paragraph of a chapter, or what parts it: a heading, a break between scenes."""

    text: str
    is_break: bool = False


@dataclass(frozen=True)
class Attribution:
    """Who says a quote.

    Attributes:
        quote: where it stands.
        name: as the cast or the book calls the likeliest speaker, or NOBODY_KNOWN; None where nothing is said.
        character: their number in the cast; None for others.
        confidence: the probability that it is them; of quotes with 0.9 nine of ten are right.
    """

    quote: Quote
    name: str | None = None
    character: int | None = None
    confidence: float = 0.0


def attribute_book(
    chapters: Sequence[Sequence[Passage]], cast: Sequence[Names], words: Mapping[str, int]
) -> list[list[list[Attribution]]]:
    """Return who says each quote of each passage of each chapter.

    All quotes of a turn have one speaker: those of a paragraph in which one person speaks, and a quote that goes on
    in the next paragraph. A title or a word in quotes is nobody's.

    Args:
        chapters: their passages in order.
        cast: whom the caller knows.
        words: how often the book writes each word, from `count_words`.
    """
    people = People(cast, words)
    _add_named(people, (passage.text for chapter in chapters for passage in chapter))
    read = [[read_paragraph(passage.text, people, passage.is_break) for passage in chapter] for chapter in chapters]
    people.learn_genders(_count_pronouns(read))
    turns = [find_turns(paragraphs, people) for paragraphs in read]
    narrator = _find_narrator(people, read)
    num_named = _count_named(turns, narrator)
    manner = _learn_manner(read, turns, narrator)
    found = []
    for paragraphs, chapter_turns in zip(read, turns, strict=True):
        chapter = Chapter(paragraphs, chapter_turns, people, narrator, num_named, manner)
        found.append(_attribute_chapter(chapter, len(cast)))
    return found


def _attribute_chapter(chapter: Chapter, num_cast: int) -> list[list[Attribution]]:
    speakers: dict[tuple[int, int], tuple[int, float]] = {}
    turns = chapter.collect()
    chances = find_probabilities(turns)
    confidences = find_confidences(chapter.turns, turns, chances, chapter.people)
    for turn, candidates, found, confidence in zip(chapter.turns, turns, chances, confidences, strict=True):
        if any(tag.style == TOGETHER for tag in turn.tags):
            continue
        for place in turn.quotes:
            speakers[place] = (candidates.people[int(found.argmax())], confidence)
    attributed = []
    for number, paragraph in enumerate(chapter.paragraphs):
        spoken = {quote: index for index, quote in enumerate(paragraph.speech)}
        passage = []
        for quote in paragraph.quotes:
            place = (number, spoken.get(quote, -1))
            person, confidence = speakers.get(place, (SOMEBODY_ELSE, 0.0))
            name = NOBODY_KNOWN if person == SOMEBODY_ELSE else chapter.people.people[person].name
            character = person if 0 <= person < num_cast else None
            passage.append(Attribution(quote, name if confidence else None, character, round(confidence, 3)))
        attributed.append(passage)
    return attributed


def _add_named(people: People, texts: Iterable[str]) -> None:
    """Add those who are named beside a verb of speech and are not in the cast."""
    names: dict[str, None] = {}
    for text in texts:
        for pattern in _NAMED:
            names.update(dict.fromkeys(pattern.findall(text)))
    for name in names:
        key = name_key(name)
        if not key or key[0] in OPENERS or (len(key) == 1 and key[0] in (*ABBREVIATED, "miss")) or people.find(key):
            continue
        is_new = not people.find(key[-1:])
        if key[0] in TITLES or (len(key) > 1 and people.is_name(split_words(name)[0])):
            is_new = key[0] in TITLES or not people.extend(
                people.find(key[:1]), split_words(name)[1]
            )  # John Harrow is not Mr. Harrow.
        if is_new:
            people.add(Names(re.sub(r"['’]s?$", "", name)))


def _count_pronouns(chapters: list[list[Paragraph]]) -> dict[int, Counter[str]]:
    """Count which pronoun follows the name of each person as the next mention."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for paragraph in (paragraph for paragraphs in chapters for paragraph in paragraphs):
        for name, following in zip(paragraph.told, paragraph.told[1:], strict=False):
            is_name = name.kind == "name" and len(name.people) == 1 and name.is_subject
            is_pronoun = following.kind == "pronoun" and following.pronoun != "i"
            # `Anna saw him` says nothing of Anna.
            if is_name and is_pronoun and (following.is_subject or following.is_possessive):
                if following.first - name.last < 20:
                    counts[name.people[0]][following.pronoun] += 1
    return counts


def _count_named(chapters: list[list[Turn]], narrator: int | None) -> Counter[int]:
    mentions = [tag.mention for turns in chapters for turn in turns for tag in turn.tags]
    counts = Counter(mention.people[0] for mention in mentions if mention.people)
    if narrator is not None:
        counts[narrator] += sum(mention.pronoun == "i" for mention in mentions)
    return counts


def _learn_manner(chapters: list[list[Paragraph]], turns: list[list[Turn]], narrator: int | None) -> Manner:
    manner = Manner()
    for paragraphs, chapter_turns in zip(chapters, turns, strict=True):
        for turn in chapter_turns:
            named = find_named(turn, narrator)
            if len(named) == 1:
                manner.add(named.pop(), turn, paragraphs)
    return manner


def _find_narrator(people: People, chapters: list[list[Paragraph]]) -> int | None:
    """Return who says I outside of speech: who has the alias I, or who is often addressed and hardly ever told of."""
    paragraphs = [paragraph for chapter in chapters for paragraph in chapter]
    told = Counter(mention.pronoun or "name" for paragraph in paragraphs for mention in paragraph.told)
    known = next((number for number, person in enumerate(people.people) if ("i",) in person.names), None)
    if known is not None or told["i"] <= _MIN_NARRATED * sum(told.values()):
        return known if told["i"] else None
    if told["i"] > 0.1 * sum(told.values()):
        addressed: Counter[int] = Counter()
        named: Counter[int] = Counter()
        for paragraph in paragraphs:
            named.update(mention.people[0] for mention in paragraph.told if len(mention.people) == 1)
            for index in range(len(paragraph.speech)):
                found = find_addressed(paragraph, index)
                addressed.update(mention.people[0] for mention in found if len(mention.people) == 1)
        best = max(addressed, key=lambda person: addressed[person] / (3 + named[person]), default=None)
        if best is not None and addressed[best] > 2 * named[best]:
            return best
    return people.add(Names("I"))
