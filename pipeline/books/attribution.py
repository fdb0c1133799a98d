"""Who says each quote of a paragraph, with a confidence; knows nothing of casts and voices."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.books.quotes import Quote

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
_MAX_TAG_CHARS = 400
"""How far from a quote its speaker is looked for."""
_SENTENCE_MARKS = re.compile(r"[.!?…](?:\s|$)")
_PRONOUNS = frozenset("he she it they i you we who this that there all both one some nobody everybody".split())


@dataclass(frozen=True)
class Attribution:
    """Who says a quote.

    Attributes:
        name: as the sentence writes it, None where it does not say.
        confidence: from 0 to 1.
    """

    name: str | None
    confidence: float


def plain_name(name: str) -> str:
    """Return a name in small letters, without its article or title."""
    return re.sub(r"^(?:the|an?|her|his|my|their|mr\.?|mrs\.?|miss|dr\.?)\s+", "", name.strip().lower())


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
            found.append(Attribution(name, TAGGED if plain_name(name) not in _PRONOUNS else 0.3))
            continue
        found.append(_continue(found, before, after, words))
    return found


def _is_speech(words: str, before: str) -> bool:
    """Return whether this is speech, not a title or a word in quotes: it ends with a mark, or is led up to."""
    inner = words.strip("\"'“”‘’«»「」")
    return inner[-1:] in ".,!?…—;:。！？，-" or not before.strip() or before.rstrip()[-1:] in ",:;—"


def _find_name(before: str, after: str) -> str | None:
    for pattern in _AFTER:
        if (match := pattern.match(after, 0, _MAX_TAG_CHARS)) and _is_name(match["name"]):
            return _trim(match["name"])
    if (match := _BEFORE.search(before, max(0, len(before) - _MAX_TAG_CHARS))) and _is_name(match["name"]):
        return _trim(match["name"])
    return None


def _is_name(name: str) -> bool:
    words = name.split()
    return plain_name(name) in _PRONOUNS or len(words) > 1 or name[:1].isupper()


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
