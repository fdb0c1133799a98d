"""What speaks for and against each person who may say a turn, as named features; `weights` says how much each counts.

Knows the turn, what stands around it and who is about; how turns follow each other is the chain's.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from pipeline.books.attribution.manner import Manner, find_address, find_all_addressed, find_words
from pipeline.books.attribution.mentions import Mention
from pipeline.books.attribution.people import People
from pipeline.books.attribution.references import Reference, Trail
from pipeline.books.attribution.turns import (
    CERTAIN_STYLES,
    Paragraph,
    Turn,
    find_addressed_pronoun,
    touches,
)

SOMEBODY_ELSE = -1
_MARKS = "\"'“”‘’ "
_ANSWER = re.compile(r"(?:yes|no|oh|ah|well|why|indeed|certainly|nonsense|thank|but|and|not|of course)\b", re.I)
MAX_CANDIDATES = 8
_STEPS_BACK = 60
"""Mentions before a turn that make somebody a candidate."""
_MAX_CHARS_AFTER = 3_000
_TURNS_AROUND = 8
_NEAR_TURNS = 6


@dataclass
class Candidates:
    """Who may say a turn, and why.

    Attributes:
        people: the first is SOMEBODY_ELSE.
        features: of each, by name.
        same: names of the weights for the speaker of the turn before; none where nothing links the two.
        alternate: names of the weights for the speaker of the turn before that, if another spoke in between.
    """

    people: list[int]
    features: list[dict[str, float]] = field(default_factory=list)
    same: tuple[str, ...] = ()
    alternate: tuple[str, ...] = ()


class Chapter:
    """The turns of a chapter, and who is about at each.

    Args:
        paragraphs: all of the chapter, headings too.
        turns: from `find_turns`.
        people: of the book.
        narrator: who says I.
        num_named: how often each person is named as a speaker in the book.
        manner: how each person speaks in the book.
    """

    def __init__(
        self,
        paragraphs: list[Paragraph],
        turns: list[Turn],
        people: People,
        narrator: int | None,
        num_named: Counter[int],
        manner: Manner,
    ) -> None:
        self.paragraphs, self.turns, self.people, self.narrator = paragraphs, turns, people, narrator
        self.num_named, self.manner = num_named, manner
        self.narrates = narrator is not None and people.people[narrator].name != "I"
        self.trail = Trail(people, narrator)
        self.trail.follow(paragraphs)
        self.addressed = [find_all_addressed(turn, paragraphs) for turn in turns]
        self.pronouns = [self._addressed_pronoun(turn) for turn in turns]
        self.talked_of = [self._talked_of(number) for number in range(len(turns))]
        self.named = [find_named(turn, narrator) for turn in turns]
        self.num_here = Counter(person for named in self.named for person in named)

    def _addressed_pronoun(self, turn: Turn) -> str:
        found = {find_addressed_pronoun(self.paragraphs[paragraph], index) for paragraph, index in turn.quotes} - {""}
        return found.pop() if len(found) == 1 else ""

    def _talked_of(self, number: int) -> set[int]:
        quotes = self.turns[number].quotes
        mentions = [mention for paragraph, index in quotes for mention in self.paragraphs[paragraph].said[index]]
        return {person for mention in mentions for person in mention.people} - self.addressed[number]

    def collect(self) -> list[Candidates]:
        """Return the candidates of each turn, in order."""
        return [self._collect_turn(number) for number in range(len(self.turns))]

    def _collect_turn(self, number: int) -> Candidates:
        turn = self.turns[number]
        candidates = Candidates(self._who_is_about(number))
        candidates.features = [{} for _ in candidates.people]
        seen = set[tuple[str, str]]()
        for tag in turn.tags:
            if (tag.style, tag.mention.kind) not in seen:
                self._point(candidates, self.trail.of(tag.paragraph, tag.mention), tag.style)
            seen.add((tag.style, tag.mention.kind))
        self._add_surroundings(turn, candidates)
        self._add_speech(number, candidates)
        num_speakers = self._add_presence(number, candidates)
        gaps = (self._link(number - 1), self._link(number))
        if gaps[1]:
            candidates.same = (gaps[1], *(f"same_{kind}" for kind in self._describe_link(number)))
        if all(gaps):
            near = [str(gap).startswith("same_adjacent") for gap in gaps]
            place = "adjacent" if all(near) else "late" if near[0] else "early" if near[1] else "apart"
            # In a crowd the one who spoke before last is a worse guess.
            crowd = f"alternate_{place}_{min(max(num_speakers, 1), 3)}"
            candidates.alternate = (crowd, *(f"alternate_{kind}" for kind in self._describe_link(number)))
        return candidates

    def _describe_link(self, number: int) -> list[str]:
        """Say how the turn before ends and how this one begins."""
        (last, end), (first, start) = self.turns[number - 1].quotes[-1], self.turns[number].quotes[0]
        before, quote = self.paragraphs[last].speech[end], self.paragraphs[first].speech[start]
        ended = self.paragraphs[last].text[before.start : before.end].rstrip(_MARKS)[-1:]
        text = self.paragraphs[first].text[quote.start : quote.end].lstrip(_MARKS)
        kinds = ["asked"] if ended == "?" else ["cut"] if ended in "—-" else []
        tagged = {tag.mention.kind for tag in self.turns[number].tags if tag.style in CERTAIN_STYLES}
        if tagged:
            kinds.append("tagged_" + next(kind for kind in ("name", "pronoun", "noun") if kind in tagged))
        if _ANSWER.match(text):
            kinds.append("answers")
        if len(self.turns[number].quotes) > 1:
            kinds.append("long")
        return kinds

    def _link(self, number: int) -> str | None:
        """Name what lies between a turn and the one before."""
        if number < 1:
            return None
        (last, end), (first, start) = self.turns[number - 1].quotes[-1], self.turns[number].quotes[0]
        if any(paragraph.is_break for paragraph in self.paragraphs[last + 1 : first]):
            return None
        if first == last:
            return "same_touching" if touches(self.paragraphs[first], start) else "same_paragraph"
        if first - last > 1:
            return "same_after_one" if first - last == 2 else "same_after_more"
        text_after = bool(self.paragraphs[last].text[self.paragraphs[last].speech[end].end :].strip())
        text_before = self.paragraphs[first].speech[start].start > 0
        return "same_adjacent" + "_after" * text_after + "_before" * text_before

    def _who_is_about(self, number: int) -> list[int]:
        """Return who is tagged near the turn, addressed, or mentioned not long before."""
        scores: dict[int, float] = defaultdict(float)
        turn, starts = self.turns[number], self.trail.starts
        first, last = turn.quotes[0][0], turn.quotes[-1][0]
        stop = min(starts[last + 1], starts[first] + _STEPS_BACK)
        for step in self.trail.steps[max(0, starts[first] - _STEPS_BACK) : stop]:
            nearness = (1.5 if step.is_subject else 1.0) / (1 + max(0, first - step.paragraph))
            scores[step.person] = max(scores[step.person], nearness)
        for other in range(max(0, number - _TURNS_AROUND), min(len(self.turns), number + _TURNS_AROUND + 1)):
            nearness = 1.5 / (1 + abs(other - number))
            for tag in self.turns[other].tags:
                for person in self.trail.of(tag.paragraph, tag.mention).people[:3]:
                    scores[person] = max(scores[person], nearness if other != number else 9.0)
            for person in self.addressed[other]:
                scores[person] = max(scores[person], nearness)
        if self.narrates and self.narrator is not None:
            scores[self.narrator] = max(scores[self.narrator], 0.5)
        return [SOMEBODY_ELSE, *sorted(scores, key=lambda person: -scores[person])[: MAX_CANDIDATES - 1]]

    def _point(self, candidates: Candidates, reference: Reference, style: str) -> None:
        """Add the features of a mention that may be the speaker.

        Args:
            candidates: of the turn.
            reference: whom the mention means.
            style: of a tag, or where the mention stands.
        """
        mention = reference.mention
        is_certain = style in CERTAIN_STYLES
        group = "tag" if is_certain else style
        for person, features in zip(candidates.people, candidates.features, strict=True):
            if mention.kind == "name":
                if person in mention.people:
                    strength = 1.0 if len(mention.people) == 1 else 0.7
                    features[f"{style}_name"] = strength * (0.5 if mention.is_small else 1.0)
                    if is_certain:
                        features["tag_name"] = features[f"{style}_name"]
                elif person == SOMEBODY_ELSE and not mention.people:
                    features["tag_unknown" if is_certain else "unknown"] = 1.0
            elif person == SOMEBODY_ELSE:
                kind = f"{'tag' if is_certain else 'near'}_{mention.kind}_else"
                features[kind if mention.pronoun else "nobody"] = 1.0
            elif mention.pronoun:
                features[f"{group}_{mention.kind}_fit"] = self._log_fit(person, mention.pronoun)
                if person == self.narrator:
                    features["tag_not_i" if is_certain else "not_i"] = 1.0
                if mention.kind == "pronoun" or is_certain:
                    self._add_nearness(features, person, reference, f"{group}_{mention.kind}", is_certain)

    def _add_nearness(
        self, features: dict[str, float], person: int, reference: Reference, name: str, is_certain: bool
    ) -> None:
        kind = reference.mention.kind
        if person in reference.people[:1]:
            features[f"{name}_near"] = 1.0
            if reference.num_near == 1:
                features[f"{kind}_only"] = 1.0
            if is_certain and reference.is_same_paragraph:
                features[f"tag_{kind}_same_paragraph"] = 1.0
        elif is_certain and person in reference.people[1:2]:
            features[f"{kind}_near2"] = 1.0
        if person == reference.subject:
            features[f"{name}_subject"] = 1.0

    def _log_fit(self, person: int, pronoun: str) -> float:
        return math.log(max(0.02, self.people.fit(person, pronoun)))

    def _add_surroundings(self, turn: Turn, candidates: Candidates) -> None:
        """Add who acts in the paragraphs of the turn, in the one before and in the one after."""
        context = "tagged" if any(tag.style in CERTAIN_STYLES for tag in turn.tags) else "free"
        before, after = self._told_around(turn)
        (first, index), last = turn.quotes[0], turn.quotes[-1][0]
        acting = [mention for mention in before if mention.is_subject]
        if acting:
            self._point(candidates, self.trail.of(first, acting[-1]), f"{context}_act_before")
            self._point(candidates, self.trail.of(first, acting[0]), f"{context}_first_before")
        acting = [mention for mention in after if mention.is_subject]
        if acting:
            self._point(candidates, self.trail.of(last, acting[0]), f"{context}_act_after")
        for mention in before + after:
            if not mention.is_subject and mention.kind == "name":
                _mark(candidates, mention.people, f"{context}_object")
        if first and not index:
            self._add_lead(first - 1, candidates, context)
        if last + 1 < len(self.paragraphs) and not self.paragraphs[last + 1].speech:
            acting = [mention for mention in self.paragraphs[last + 1].told if mention.is_subject]
            if acting and not self.paragraphs[last + 1].is_break:
                self._point(candidates, self.trail.of(last + 1, acting[0]), f"{context}_following")

    def _told_around(self, turn: Turn) -> tuple[list[Mention], list[Mention]]:
        """Return who is mentioned between the quote before and the turn, and after its first quote."""
        tagged = {(tag.paragraph, tag.mention.first) for tag in turn.tags}
        (first, index), (last, last_index) = turn.quotes[0], turn.quotes[-1]
        paragraph, last_paragraph = self.paragraphs[first], self.paragraphs[last]
        floor = paragraph.speech[index - 1].end if index else 0
        stop = paragraph.speech[index].start
        end = last_paragraph.speech[index if last == first else last_index].end
        before = paragraph.told_within(floor, stop)
        after = last_paragraph.told_within(end, end + _MAX_CHARS_AFTER)
        return (
            [mention for mention in before if (first, mention.first) not in tagged],
            [mention for mention in after if (last, mention.first) not in tagged],
        )

    def _add_lead(self, number: int, candidates: Candidates, context: str) -> None:
        paragraph = self.paragraphs[number]
        if paragraph.is_break or not paragraph.told:
            return
        kind = "colon" if paragraph.text.rstrip()[-1:] in ":,—" else "told" if not paragraph.speech else "spoken"
        floor = paragraph.speech[-1].end if paragraph.speech else 0
        told = [mention for mention in paragraph.told if paragraph.start_of(mention) >= floor]
        acting = [mention for mention in told if mention.is_subject]
        if acting:
            self._point(candidates, self.trail.of(number, acting[-1]), f"{context}_lead_{kind}")
        if told:
            _mark(candidates, self.trail.of(number, told[-1]).people[:1], f"{context}_lead_{kind}_last")

    def _add_speech(self, number: int, candidates: Candidates) -> None:
        """Add whom the turn and its neighbors address and talk of."""
        _mark(candidates, self.addressed[number], "addresses_self")
        _mark(candidates, self.talked_of[number], "talks_of_self")
        for name, other in (
            ("before", number - 1),
            ("after", number + 1),
            ("2_before", number - 2),
            ("2_after", number + 2),
        ):
            if not 0 <= other < len(self.turns):
                continue
            _mark(candidates, self.addressed[other], f"addressed_{name}")
            if abs(other - number) == 1:
                _mark(candidates, self.talked_of[other], f"talked_of_{name}")
            if self.pronouns[other]:
                for person, features in _known(candidates):
                    features[f"addressed_{name}_fit"] = self._log_fit(person, self.pronouns[other])

    def _add_presence(self, number: int, candidates: Candidates) -> int:
        """Add who was mentioned and who is named as a speaker nearby; return how many of these there are."""
        turn = self.turns[number]
        is_tagged = any(tag.style in CERTAIN_STYLES for tag in turn.tags)
        candidates.features[0]["else_tagged" if is_tagged else "else"] = 1.0
        first = turn.quotes[0][0]
        start = self.trail.starts[first]
        steps = self.trail.steps[max(0, start - _STEPS_BACK) : start]
        seen = {step.person: step.paragraph for step in steps}
        num_steps = Counter(step.person for step in steps)
        tagged, addressed = Counter[int](), Counter[int]()
        for other in range(max(0, number - _NEAR_TURNS), min(len(self.turns), number + _NEAR_TURNS + 1)):
            if other != number:
                tagged.update(self.named[other])
                addressed.update(self.addressed[other])
        words, address = find_words(turn, self.paragraphs), find_address(turn, self.paragraphs)
        _mark(candidates, self._nearest_named(number, -1), "named_before")
        _mark(candidates, self._nearest_named(number, 1), "named_after")
        total = math.log(1 + sum(self.num_named.values()))
        for person, features in _known(candidates):
            features["tagged_near"] = math.log(1 + tagged[person])
            features["addressed_near"] = math.log(1 + addressed[person])
            is_named = self.named[number] == {person}
            features["words"] = self.manner.words.weigh(person, words, is_named)
            features["address"] = self.manner.address.weigh(person, address, is_named)
            features["often_chapter"] = math.log(1 + self.num_here[person] - (person in self.named[number]))
            features["recent"] = 1 / (1 + first - seen[person]) if person in seen else 0.0
            features["unseen"] = float(person not in seen)
            features["often_here"] = math.log(1 + num_steps[person])
            features["often"] = math.log(1 + self.num_named[person]) - total
            if self.narrates and person == self.narrator:
                features["is_narrator"] = 1.0
        return len(tagged.keys() | self.named[number])

    def _nearest_named(self, number: int, step: int) -> set[int]:
        reach = range(number + step, number + step * (_TURNS_AROUND + 1), step)
        return next((self.named[other] for other in reach if 0 <= other < len(self.turns) and self.named[other]), set())


def find_named(turn: Turn, narrator: int | None) -> set[int]:
    """Return who stands beside a turn with a verb of speech, by a name that nobody else has."""
    certain = [tag.mention for tag in turn.tags if tag.style in CERTAIN_STYLES]
    named = {mention.people[0] for mention in certain if len(mention.people) == 1}
    says_i = any(mention.pronoun == "i" for mention in certain)
    return named | {narrator} if says_i and narrator is not None else named


def _known(candidates: Candidates) -> Iterator[tuple[int, dict[str, float]]]:
    return zip(candidates.people[1:], candidates.features[1:], strict=True)


def _mark(candidates: Candidates, people: Collection[int], name: str) -> None:
    for person, features in _known(candidates):
        if person in people:
            features[name] = 1.0
