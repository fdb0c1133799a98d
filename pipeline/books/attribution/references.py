"""Whom the names and pronouns of a chapter mean: a name those who bear it, `she` the nearest whom it fits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pipeline.books.attribution.mentions import Mention
from pipeline.books.attribution.people import People
from pipeline.books.attribution.turns import Paragraph

_MIN_FIT = 0.35
_MAX_STEPS = 40
"""How many mentions back a pronoun may reach."""
_NEAR = 12
"""Paragraphs within which somebody is present."""


@dataclass(frozen=True)
class Reference:
    """Whom a mention may mean.

    Attributes:
        people: of a name, those who bear it; of a pronoun, those whom it fits; the nearest first.
        subject: the nearest whom it fits and who was the subject of a clause.
        num_near: how many whom it fits were mentioned within a few paragraphs.
        is_same_paragraph: the nearest was mentioned in the same paragraph.
    """

    mention: Mention
    people: tuple[int, ...] = ()
    subject: int | None = None
    num_near: int = 0
    is_same_paragraph: bool = False


@dataclass(frozen=True)
class Step:
    """Somebody is mentioned outside of speech."""

    person: int
    paragraph: int
    is_subject: bool


@dataclass
class Trail:
    """Who is mentioned outside of speech, as the reader meets them.

    Attributes:
        steps: the mentions in order.
        starts: for each paragraph how many steps come before it, and one more number for their end.
        references: by paragraph and first word of the mention.
    """

    people: People
    narrator: int | None
    steps: list[Step] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    references: dict[tuple[int, int], Reference] = field(default_factory=dict)

    def of(self, paragraph: int, mention: Mention) -> Reference:
        """Return whom a mention of `follow` means; nobody for a noun that says neither he nor she."""
        return self.references.get((paragraph, mention.first)) or Reference(mention)

    def follow(self, paragraphs: list[Paragraph]) -> None:
        """Read a chapter."""
        for number, paragraph in enumerate(paragraphs):
            self.starts.append(len(self.steps))
            for mention in paragraph.told:
                reference = self._refer(mention, number)
                self.references[number, mention.first] = reference
                if reference.people and not (mention.is_possessive and mention.kind == "pronoun"):
                    self.steps.append(Step(reference.people[0], number, mention.is_subject))
        self.starts.append(len(self.steps))

    def _refer(self, mention: Mention, paragraph: int) -> Reference:
        if mention.kind == "name":
            order = {step.person: -at for at, step in enumerate(self.steps[-_MAX_STEPS:])}
            return Reference(mention, tuple(sorted(mention.people, key=lambda person: order.get(person, 1))))
        if mention.pronoun == "i":
            found = () if self.narrator is None else (self.narrator,)
            return Reference(replace(mention, kind="name", people=found), found)
        fitting = [
            step
            for step in reversed(self.steps[-_MAX_STEPS:])
            if step.person != self.narrator and self.people.fit(step.person, mention.pronoun) >= _MIN_FIT
        ]
        if mention.is_subject:  # Who was the subject just before is the likelier one.
            fitting.sort(key=lambda step: not (step.is_subject and paragraph - step.paragraph <= 1))
        return Reference(
            mention,
            tuple(dict.fromkeys(step.person for step in fitting)),
            next((step.person for step in fitting if step.is_subject), None),
            len({step.person for step in fitting if paragraph - step.paragraph <= _NEAR}),
            bool(fitting) and fitting[0].paragraph == paragraph,
        )
