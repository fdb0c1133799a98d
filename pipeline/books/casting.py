"""Who speaks: the cast of a book, and which character says each quote, with a confidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.books.quotes import Quote
from pipeline.config.run import StorageConfig
from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError
from pipeline.storage import read_bytes

TAGGED, SAME_SENTENCE, SAME_PARAGRAPH = 0.95, 0.9, 0.8
_VERBS = (
    r"(?:said|says|thought|cried|asked|replied|answered|added|shouted|exclaimed|remarked|whispered|muttered|growled|"
    r"continued|began|repeated|interrupted|screamed|roared|called|observed|inquired|sighed|sobbed|went on|persisted|"
    r"pleaded|returned|grunted|murmured|snapped|laughed|demanded|declared|suggested|insisted|protested|yelled|"
    r"grumbled|hissed|croaked|wailed|groaned|gasped|"
    r"explained|agreed|announced|bawled|squeaked|panted|wondered|panted out|called out|shrieked|ventured)"
)
_NAME = (
    r"(?P<name>(?:(?:[Tt]he|[Aa]n?|[Hh]er|[Hh]is|[Mm]y|[Tt]heir|[Mm]r\.?|[Mm]rs\.?|[Mm]iss|[Dd]r\.?) )?"
    r"(?:(?:little|old|young|poor|big|fat|tall|good|kind|wicked) ){0,2}[\w’'-]+(?: [A-Z][\w’'-]+){0,3})"
)
_ADVERB = r"(?:[a-z]+ly |then |at last |quietly )?"
_AFTER = (
    re.compile(rf"^[\s,—]*(?:and )?{_VERBS} {_NAME}"),
    re.compile(rf"^[\s,—]*{_NAME},? {_ADVERB}{_VERBS}\b"),
)
_BEFORE = re.compile(
    rf"(?:^|[.;:,!?—(]\s*|\b(?:and|but|so|while|when|as|before)\s+){_NAME},? {_ADVERB}{_VERBS}\b"
    r"[^.!?;'\"“”‘’]{0,60}[,:—]\s*$"
)
_SENTENCE_MARKS = re.compile(r"[.!?…](?:\s|$)")
_PRONOUNS = frozenset("he she it they i you we who this that there all both one some nobody everybody".split())


class Character(BaseModel):
    """Somebody who speaks."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1)
    """As the book calls them: `Alice`, `the Queen`."""
    voice: str = Field(min_length=1)
    """A speaker_id."""
    aliases: tuple[str, ...] = ()
    """Other names for them."""


class Cast(BaseModel):
    """The voices of one book."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    narrator: str = Field("narrator", min_length=1)
    """A speaker_id; reads everything that is nobody's."""
    characters: tuple[Character, ...] = ()
    speech: str | None = None
    """Voice of quotes that surely belong to somebody who is not in the cast; none leaves them to the narrator."""
    min_confidence: Annotated[float, Field(ge=0.0, le=1.0)] = 0.75
    """Below it a quote goes to the narrator, and is shown as doubtful."""

    def find(self, name: str) -> Character | None:
        """Return the character with this name or alias; articles and case do not count."""
        wanted = _plain(name)
        return next(
            (found for found in self.characters if wanted in {_plain(known) for known in (found.name, *found.aliases)}),
            None,
        )

    def voices(self) -> set[str]:
        """Return every speaker_id."""
        return {self.narrator, *(found.voice for found in self.characters), *([self.speech] if self.speech else [])}


@dataclass(frozen=True)
class Attribution:
    """Who says a quote.

    Attributes:
        name: as the sentence writes it, None where it does not say.
        confidence: from 0 to 1.
    """

    name: str | None
    confidence: float


def _plain(name: str) -> str:
    return re.sub(r"^(?:the|an?|her|his|my|their|mr\.?|mrs\.?|miss|dr\.?)\s+", "", name.strip().lower())


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


def attribute_quotes(text: str, quotes: list[Quote]) -> list[Attribution]:
    """Return who says each quote of a paragraph.

    A name beside a verb of speech decides. A quote without one belongs to the speaker before it in the same paragraph;
    what no name stands beside has confidence 0.

    Args:
        text: the paragraph.
        quotes: from `find_quotes`.
    """
    found: list[Attribution] = []
    for index, quote in enumerate(quotes):
        start = quotes[index - 1].end if index else 0
        stop = quotes[index + 1].start if index + 1 < len(quotes) else len(text)
        before, after, words = text[start : quote.start], text[quote.end : stop], text[quote.start : quote.end]
        if not _is_speech(words, before):
            found.append(Attribution(None, 0.0))
            continue
        name = _find_name(before, after)
        if name is not None:
            found.append(Attribution(name, TAGGED if _plain(name) not in _PRONOUNS else 0.3))
            continue
        found.append(_continue(found, before, after, words))
    return found


def _is_speech(words: str, before: str) -> bool:
    """Return whether this is speech, not a title or a word in quotes: it ends with a mark, or is led up to."""
    inner = words.strip("\"'“”‘’«»「」")
    return inner[-1:] in ".,!?…—;:。！？，-" or not before.strip() or before.rstrip()[-1:] in ",:;—"


def _find_name(before: str, after: str) -> str | None:
    for pattern in _AFTER:
        if (match := pattern.match(after)) and _is_name(match["name"]):
            return _trim(match["name"])
    if (match := _BEFORE.search(before)) and _is_name(match["name"]):
        return _trim(match["name"])
    return None


def _is_name(name: str) -> bool:
    words = name.split()
    return _plain(name) in _PRONOUNS or len(words) > 1 or name[:1].isupper()


def _trim(name: str) -> str:
    return re.sub(r"^(?:(?:and|so|but|then|poor|for|as|while|when) )+|['’]s$", "", name)


def _continue(found: list[Attribution], before: str, after: str, words: str) -> Attribution:
    """Take the speaker before in this paragraph, less surely the more stands between."""
    if not found or found[-1].name is None:
        return Attribution(None, 0.0)
    last = found[-1]
    if last.confidence < SAME_PARAGRAPH:
        return Attribution(last.name, last.confidence)
    num_sentences = len(_SENTENCE_MARKS.findall(before))
    if num_sentences == 0:
        return Attribution(last.name, min(last.confidence, SAME_SENTENCE))
    # "... said Alice. 'Go on.'" goes on; somebody who acts in between may be the one who speaks.
    return Attribution(last.name, SAME_PARAGRAPH if num_sentences == 1 and len(before) < 120 else 0.5)
