"""The cast of a book: its narrator, its characters and their voices, as casting.yaml has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.books.attribution.people import Names, name_key
from pipeline.config.run import StorageConfig
from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError
from pipeline.storage import read_bytes


class Character(BaseModel):
    """Somebody who speaks."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1)
    """As the book calls them: `Alice`, `the Queen`."""
    voice: str = Field(min_length=1)
    """A speaker_id."""
    aliases: tuple[str, ...] = ()
    """Other names for them; `I` if they tell the book."""
    pronoun: Literal["he", "she"] | None = None
    """How the book refers to them; without it titles (`Mrs. Long`) and the book itself say."""


class Cast(BaseModel):
    """The voices of one book."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

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


def load_casting(text: str, place: str) -> Mapping[str, Cast]:
    """Read casting.yaml: a cast for each book_id, `default` for the others.

    Raises:
        ConfigError: lists every problem with its place.
    """
    raw = read_yaml(text, place)
    if not isinstance(raw, dict):
        raise ConfigError(f"{place}: expected a cast for each book_id, or for `default`, at the top level")
    casts: dict[str, Cast] = {}
    problems: list[str] = []
    for book_id, cast in raw.items():
        try:
            casts[str(book_id)] = Cast.model_validate(cast)
        except ValidationError as error:
            for problem in error.errors():
                where = ".".join(str(part) for part in (book_id, *problem["loc"]))
                if problem["type"] == "extra_forbidden":
                    known = (Character if "characters" in problem["loc"] else Cast).model_fields
                    problems.append(f"  {where}: unknown; expected one of: {', '.join(known)}")
                else:
                    problems.append(f"  {where}: {problem['msg']}, got {str(problem['input'])[:60]!r}")
    if problems:
        raise ConfigError(f"{place}: {len(problems)} wrong setting(s):\n" + "\n".join(problems))
    return casts


def read_casts(uri: str | None, settings: StorageConfig) -> Mapping[str, Cast]:
    """Read casting.yaml from a path or a store; no casts where there is no address.

    Raises:
        ConfigError: there is no such file, or something in it is wrong.
    """
    if uri is None:
        return {}
    try:
        return load_casting(read_bytes(uri, settings).decode("utf-8"), uri)
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"{uri}: there is no such file of casts; correct its address") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{uri}: the casts are not UTF-8 text: {error}") from None
