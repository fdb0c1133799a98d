"""The cast of a book: its narrator, its characters and their voices, as casting.yaml has them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from pipeline.books.attribution.people import Names, name_key, split_words
from pipeline.books.attribution.words import TITLES
from pipeline.config.printable import one_line
from pipeline.config.run import StorageConfig
from pipeline.config.settings import Settings, describe_problems
from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError
from pipeline.storage import read_bytes


class Character(Settings):
    """Somebody who speaks."""

    name: str = Field(min_length=1)
    """As the book calls them: `Alice`, `the Queen`."""
    voice: str = Field(min_length=1)
    """A speaker_id."""
    aliases: tuple[str, ...] = ()
    """Other names for them; `I` if they tell the book."""
    pronoun: Literal["he", "she"] | None = None
    """How the book refers to them; without it titles (`Mrs. Long`) and the book itself say."""


class Cast(Settings):
    """The voices of one book."""

    narrator: str = Field("narrator", min_length=1)
    """A speaker_id; reads everything that is nobody's."""
    characters: tuple[Character, ...] = ()
    speech: str | None = None
    """Voice of quotes that surely belong to somebody who is not in the cast; none leaves them to the narrator."""
    min_confidence: Annotated[float, Field(ge=0.0, le=1.0)] = 0.88
    """A probability; below it a quote goes to the narrator, and is shown as doubtful."""

    def find(self, name: str) -> Character | None:
        """Return the character with this name or alias; articles and case do not count, titles do."""
        wanted = name_key(name)
        return next(
            (
                found
                for found in self.characters
                if wanted in {name_key(known) for known in (found.name, *found.aliases)}
            ),
            None,
        )

    def names(self) -> list[Names]:
        """Return the names of the characters, for attribution."""
        return [Names(found.name, found.aliases, found.pronoun or "") for found in self.characters]

    def voices(self) -> set[str]:
        """Return every speaker_id."""
        return {self.narrator, *(found.voice for found in self.characters), *([self.speech] if self.speech else [])}


def load_casting(text: str | bytes, place: str) -> Mapping[str, Cast]:
    """Read casting.yaml: a cast for each book_id, `default` for the others.

    Raises:
        ConfigError: lists every problem with its place.
    """
    raw = read_yaml(text, place)
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{place}: expected a cast for each book_id, or for `default`, at the top level; write "
            "`default: {narrator: ..., characters: [{name: ..., voice: ...}]}`"
        )
    casts: dict[str, Cast] = {}
    problems: list[str] = []
    for book_id, cast in raw.items():
        try:
            casts[str(book_id)] = Cast.model_validate(cast)
        except ValidationError as error:
            problems += describe_problems(error, Cast, (str(book_id),))
            continue
        problems += _find_clashes(casts[str(book_id)], str(book_id))
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise ConfigError(f"{place}: {len(problems)} wrong setting(s):\n{listed}")
    return casts


def _find_clashes(cast: Cast, book_id: str) -> Iterator[str]:
    """Yield names without letters, and those of two characters: nobody could say whose voice their quotes have."""
    owners: dict[tuple[str, ...], int] = {}
    for number, character in enumerate(cast.characters):
        first = owners.setdefault(name_key(character.name), number)
        if first != number:
            known = cast.characters[first]
            yield (
                f"{book_id}.characters.{number}: {character.name!r} (voice {character.voice}) is the name of "
                f"characters.{first}, {known.name!r} (voice {known.voice}), too; remove one, or name both as the book "
                "tells them apart"
            )
    for number, character in enumerate(cast.characters):
        for name in (character.name, *character.aliases):
            if not name_key(name):
                yield f"{book_id}.characters.{number}: the name {name!r} has no letters; write it as the book does"
        for alias in character.aliases:
            owner = owners.get(name_key(alias), number)
            if owner != number:
                yield (
                    f"{book_id}.characters.{number}.aliases: {alias!r}, an alias of {character.name!r}, is the name of "
                    f"characters.{owner}, {cast.characters[owner].name!r}; remove the alias, or make both one character"
                )


def describe_strangers(cast: Cast, texts: Iterable[str], words: Collection[str]) -> list[str]:
    """Say which characters a book never names, as a misspelled name would be nobody, and what may be meant.

    Args:
        cast: of the book.
        texts: of all that is read of it.
        words: of the book, as it writes them.
    """
    text = "\n".join(texts).lower()
    strangers = [
        found.name for found in cast.characters
        if "I" not in found.aliases and not any(_is_in(name, text) for name in (found.name, *found.aliases))
    ]  # fmt: skip
    if not strangers:
        return []
    listed = ", ".join(f"{one_line(name)}{_find_near(name, words)}" for name in strangers)
    return [
        f"the cast has {listed}: the book never has that name; correct it, or add as an alias what the book calls them"
    ]


def _find_near(name: str, words: Collection[str]) -> str:
    """Say which words of a book are nearly those of a name that it does not have."""
    found = []
    for word in (part.text for part in split_words(name) if part.text not in words):
        alike = (other for other in words if other[:1] == word[:1] and abs(len(other) - len(word)) < 3)
        found += [split_words(near)[0].text for near in get_close_matches(word, alike, n=1)]
    return f" (is it {' or '.join(found)}?)" if found else ""


def _parts(name: str) -> tuple[str, ...]:
    """Return what a book may call somebody: the whole name, if it is written large also its first and last word."""
    key = name_key(name)
    bare = key[1:] if len(key) > 1 and key[0] in TITLES else key
    is_small = name == name.lower() or name.lower().startswith("the ")
    return (" ".join(key),) if is_small or not bare else (" ".join(bare), bare[0], bare[-1])


def _is_in(name: str, text: str) -> bool:
    """Return whether a text has a name; Chinese and Japanese have no spaces around it."""
    for part in _parts(name):
        words = part.split()
        if all(word in text for word in words):
            pattern = r"(?:['’]s)?\W+".join(map(re.escape, words))
            if max(part, default="") >= "\u2e80" or re.search(rf"(?<!\w){pattern}(?!\w)", text):
                return True
    return False


def read_casts(uri: str | None, settings: StorageConfig) -> Mapping[str, Cast]:
    """Read casting.yaml from a path or a store; no casts where there is no address.

    Raises:
        ConfigError: there is no such file, or something in it is wrong.
    """
    if uri is None:
        return {}
    try:
        return load_casting(read_bytes(uri, settings), uri)
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"{uri}: there is no such file of casts; name the YAML file itself") from None
