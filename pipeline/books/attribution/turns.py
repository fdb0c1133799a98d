"""Cut a chapter into turns, the quotes that one person says without a break, each with what says who it is."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pipeline.books.attribution.mentions import Mention, find_mentions, find_owned
from pipeline.books.attribution.people import People, Word, split_words
from pipeline.books.attribution.words import (
    ABBREVIATED,
    BARE_VERBS,
    CLAUSE_STARTERS,
    DETERMINERS,
    FEMALE_ADDRESS,
    HEARD,
    MALE_ADDRESS,
    PREPOSITIONS,
    SUBJECTS,
    TITLES,
    VERBS,
)
from pipeline.books.quotes import Quote, find_quotes

CERTAIN_STYLES = frozenset(("inverted", "direct", "before", "before_ended"))
"""Tags with a verb of speech."""
TOGETHER = "together"
"""A tag that names several people; nobody of them says the quote alone."""
_NO_END = "".join(rf"(?<!\b{title.capitalize()})" for title in sorted(ABBREVIATED))
_SENTENCE_END = re.compile(_NO_END + r"(?<!\b[A-HJ-Z])[.!?…][\"'”’)]*\s")
"""The full stop of `Mr.` or of an initial ends none."""
_SURE = 0.9
_MAX_TAGS = 8
"""Of a turn; a paragraph of a thousand quotes has one at each."""
_MAX_WORDS_TO_QUOTE = 8
"""Between a verb of speech and its quote, where no mark leads to it: `began singing in its sleep "Twinkle"`."""
_GOES_ON = frozenset("was were is kept began".split())
_NEXT_CLAUSE = frozenset("and but while so then whereupon for that till".split())
_HELPERS = frozenset("only could would should might must can will did to".split())
_PASSIVE = frozenset("was were been being is are".split())
_JOINS_NAMES = re.compile(r"\s*(?:,\s*|,?\s*and\s+)(?:the\s+)?")
_LEADS_IN = re.compile(r"[,:;—][\s\"'“‘]*$")
_VOCATIVE_BEFORE = re.compile(
    r"(?:^|[\"'“‘,;:.!?—(]|\b(?:oh|ah|my|dear|dearest|poor|no|yes|well|but|and|yet)\b)[\s\"'“‘]*$", re.I
)
_VOCATIVE_AFTER = re.compile(r"\s*(?:[,.!?;:—\"'”’)]|$)")


@dataclass
class Paragraph:
    """A paragraph with its words, its quotes and whom it mentions.

    Attributes:
        told: mentions outside of speech, in order.
        said: mentions within speech, for each quote.
        speech: quotes that somebody says; a title or a word in quotes is none.
    """

    text: str
    words: list[Word]
    quotes: list[Quote]
    speech: list[Quote]
    told: list[Mention]
    said: list[list[Mention]]
    is_break: bool = False
    starts: list[int] = field(default_factory=list)

    def start_of(self, mention: Mention) -> int:
        """Where a mention starts in the text."""
        return self.words[mention.first].start

    def end_of(self, mention: Mention) -> int:
        """Where it ends, a possessive `'s` left out."""
        return self.words[mention.last - 1].end

    def told_within(self, start: int, stop: int) -> list[Mention]:
        """Return the mentions outside of speech that start between two places of the text."""
        first, last = self.first_word(start), self.first_word(stop)
        return self.told[bisect_left(self.told, first, key=_first) : bisect_left(self.told, last, key=_first)]

    def first_word(self, position: int) -> int:
        """Return the number of the first word at or after a position."""
        return bisect_left(self.starts, position)


def _first(mention: Mention) -> int:
    return mention.first


@dataclass(frozen=True)
class Tag:
    """A speaker beside a quote.

    Attributes:
        style: `inverted` (said Anna), `direct` (Anna said), `before` (Anna said: ...), `acts` (Anna smiled), `led`
            (the paragraph before ends with `Anna began.`), and weaker ones.
        paragraph: its number in the chapter.
    """

    style: str
    paragraph: int
    mention: Mention


@dataclass
class Turn:
    """Quotes of one speaker, by paragraph and number of the quote among the paragraph's speech."""

    quotes: list[tuple[int, int]]
    tags: list[Tag]


def read_paragraph(text: str, people: People, is_break: bool = False) -> Paragraph:
    """Find words, quotes and mentions of one paragraph."""
    words = split_words(text)
    quotes = [] if is_break else find_quotes(text)
    speech = [quote for number, quote in enumerate(quotes) if _is_speech(text, quotes, number)]
    told: list[Mention] = []
    said: list[list[Mention]] = [[] for _ in speech]
    at = 0
    for mention in find_mentions(text, words, people):
        start = words[mention.first].start
        while at < len(speech) and speech[at].end <= start:
            at += 1
        (said[at] if at < len(speech) and speech[at].start <= start else told).append(mention)
    return Paragraph(text, words, quotes, speech, told, said, is_break, [word.start for word in words])


def _is_speech(text: str, quotes: list[Quote], number: int) -> bool:
    """Return whether this is speech, not a title or a word in quotes: it ends with a mark, or is led up to."""
    quote = quotes[number]
    before = text[quotes[number - 1].end if number else 0 : quote.start]
    inner = text[quote.start : quote.end].strip("\"'“”‘’«»「」 ")
    return inner[-1:] in ".,!?…—;:。！？，-" or not before.strip() or before.rstrip()[-1:] in ",:;—"


def find_turns(paragraphs: list[Paragraph], people: People) -> list[Turn]:
    """Return the turns of a chapter in order.

    Quotes of a paragraph are one turn unless two speakers are named in it; a quote that is not closed goes on in the
    next paragraph.

    Args:
        paragraphs: of the chapter.
        people: of the book, of whom it is known who is he and who is she.
    """
    turns: list[Turn] = []
    open_turn: Turn | None = None
    for number, paragraph in enumerate(paragraphs):
        is_open = bool(paragraph.speech) and paragraph.speech[0].start == 0
        current, open_turn = open_turn if is_open else None, None
        for index, quote in enumerate(paragraph.speech):
            tags = find_tags(paragraph, number, index)
            if is_open and not index and number and current is None:
                tags += _find_lead(paragraphs[number - 1], number - 1)
            if current is None or (
                index
                and (
                    touches(paragraph, index)
                    or _disagree(current.tags, tags, people)
                    or _hands_over(paragraph, index, current)
                )
            ):
                current = Turn([], [])
                turns.append(current)
            current.quotes.append((number, index))
            if len(current.tags) < _MAX_TAGS:
                current.tags += [tag for tag in tags if tag not in current.tags]
            open_turn = current if not quote.is_closed else None
    return turns


def touches(paragraph: Paragraph, index: int) -> bool:
    """Return whether nothing stands between a quote and the closed one before it: `"Sit down." "No."`."""
    before = paragraph.speech[index - 1]
    return before.is_closed and not paragraph.text[before.end : paragraph.speech[index].start].strip()


def _hands_over(paragraph: Paragraph, index: int, turn: Turn) -> bool:
    """Return whether somebody else acts between two quotes of a paragraph: `said Anna. Bea laughed. "No."`."""
    start, stop = paragraph.speech[index - 1].end, paragraph.speech[index].start
    if not _SENTENCE_END.search(paragraph.text[start:stop]):
        return False
    named = {person for tag in turn.tags for person in tag.mention.people}
    acting = [m for m in paragraph.told_within(start, stop) if m.is_subject and m.people]
    return bool(named and acting) and not named & set(acting[-1].people)


def _disagree(tags: Iterable[Tag], others: Iterable[Tag], people: People) -> bool:
    return any(_differ(tag.mention, other.mention, people) for tag in tags for other in others)


def _differ(one: Mention, other: Mention, people: People) -> bool:
    if one.people and other.people:
        return not set(one.people) & set(other.people)
    if "i" in (one.pronoun, other.pronoun):
        return one.pronoun != other.pronoun and bool(one.kind != "noun" != other.kind)
    pronouns = (_pronoun_of(one, people), _pronoun_of(other, people))
    return all(pronouns) and pronouns[0] != pronouns[1]


def _pronoun_of(mention: Mention, people: People) -> str:
    """Return he or she for a pronoun, a noun, and a name whose bearers are all surely the one or the other."""
    if mention.pronoun or not mention.people:
        return mention.pronoun
    return next((name for name in ("he", "she") if all(people.fit(one, name) > _SURE for one in mention.people)), "")


def find_tags(paragraph: Paragraph, number: int, index: int) -> list[Tag]:
    """Return who stands beside a quote as its speaker."""
    quote = paragraph.speech[index]
    stop = paragraph.speech[index + 1].start if index + 1 < len(paragraph.speech) else len(paragraph.text)
    start = paragraph.speech[index - 1].end if index else 0
    tags = []
    if after := _tag_after(paragraph, quote, stop):
        tags.append(Tag(after[0], number, after[1]))
    before = _tag_before(paragraph, start, quote)
    if before and not (index and not _has_its_own(paragraph, index - 1) and _goes_on(paragraph, start, index, *before)):
        tags.append(Tag(before[0], number, before[1]))
    return tags


def _has_its_own(paragraph: Paragraph, index: int) -> bool:
    """Return whether a quote has ended and its speaker stands before it: what follows is not its tag."""
    quote = paragraph.speech[index]
    if paragraph.text[quote.start : quote.end].rstrip("\"'”’ ")[-1:] not in ".!?":
        return False
    found = _tag_before(paragraph, paragraph.speech[index - 1].end if index else 0, quote)
    return found is not None and found[0] in ("before", "inverted")


def _goes_on(paragraph: Paragraph, start: int, index: int, style: str, subject: Mention) -> bool:
    """Return whether what stands between two quotes is the tag of the first: `said Anna, when she had read it,`."""
    quote = paragraph.speech[index]
    if _SENTENCE_END.search(paragraph.text[start : quote.start]):
        return False
    if not _tag_after(paragraph, paragraph.speech[index - 1], quote.start):
        return False
    words, last = paragraph.words, paragraph.first_word(quote.start)
    is_verb_near = any(word.small in VERBS or word.small in BARE_VERBS for word in words[max(0, last - 3) : last])
    before = subject.first - 1
    before -= words[before].small in DETERMINERS - _NEXT_CLAUSE
    is_verb_near = is_verb_near or (style == "before" and _opens_large(paragraph, quote))
    return style == "leads" or not is_verb_near or words[before].small not in _NEXT_CLAUSE


def _opens_large(paragraph: Paragraph, quote: Quote) -> bool:
    return paragraph.text[quote.start : quote.end].lstrip("\"'“‘")[:1].isupper()


def _find_lead(paragraph: Paragraph, number: int) -> list[Tag]:
    """Return who speaks next, if a paragraph ends with that: `Then Anna began:`."""
    if paragraph.is_break:
        return []
    start, end = (paragraph.speech[-1].end if paragraph.speech else 0), len(paragraph.text)
    if not paragraph.text[start:].strip():
        return []
    found = _tag_before(paragraph, start, Quote(end, end, True))
    if found is None or found[0] == "leads":
        return []
    return [Tag(found[0] if _LEADS_IN.search(paragraph.text) else "led", number, found[1])]


def _tag_after(paragraph: Paragraph, quote: Quote, stop: int) -> tuple[str, Mention] | None:
    words, at = paragraph.words, paragraph.first_word(quote.end)
    if at < len(words) and words[at].small in ("and", "then", "so", "at", "here"):
        at += 1
    if at >= len(words) or words[at].start >= stop:
        return None
    if paragraph.text[quote.end : words[at].start].strip(" ,—-\"'”’;"):
        return None
    if words[at].small in (*_PASSIVE, "had", "has"):
        for verb in range(at + 1, at + 4):
            if told := _agent(paragraph, verb, stop):
                return "inverted", told
    if words[at].small in VERBS:
        for mention in paragraph.told_within(words[at].end, stop):
            between = words[at + 1 : mention.first]
            if mention.first > at + 4:
                break
            if _joins_titles(between):
                return TOGETHER, Mention(mention.first, mention.last, "name")
            if any(mark in paragraph.text[words[at].end : words[mention.first].start] for mark in ".!?;,:"):
                break
            if any(word.small in PREPOSITIONS for word in between):
                break
            if mention.is_possessive and mention.kind == "name":
                return "inverted", find_owned(words, mention)
            if mention.is_possessive or (mention.kind == "pronoun" and not mention.is_subject):
                return None
            if _is_group(paragraph, mention, stop):
                return TOGETHER, Mention(mention.first, mention.last, "name")
            return "inverted", mention
        return ("inverted", Mention(at + 1, at + 2, "noun")) if _is_noun(words, at + 1, stop) else None
    return _unlisted_verb(paragraph, quote, at, stop) or _direct(paragraph, quote, at, stop)


def _joins_titles(between: list[Word]) -> bool:
    """Return whether two people share the name that follows: `Mr. and Mrs. Harding`."""
    return len(between) > 1 and between[-1].small == "and" and between[-2].small in TITLES


def _is_group(paragraph: Paragraph, mention: Mention, stop: int) -> bool:
    """Return whether several people speak: `cried Anna and Bea`, `said Anna, Bea and the boy together`."""
    others = paragraph.told_within(paragraph.end_of(mention), stop)
    last, num_commas = mention, 0
    for other in others:
        between = paragraph.text[paragraph.end_of(last) : paragraph.start_of(other)]
        if other.kind != "name" or not _JOINS_NAMES.fullmatch(between):
            return False
        if "and" in between:
            return "," not in between or num_commas > 0
        last, num_commas = other, num_commas + 1
    return False


def _agent(paragraph: Paragraph, verb: int, stop: int) -> Mention | None:
    """Return who speaks in `she was told by Anna`, `was loudly told by Anna`."""
    words = paragraph.words
    if verb + 1 >= len(words) or words[verb + 1].small != "by" or words[verb].small not in (*VERBS, *BARE_VERBS):
        return None
    if not any(word.small in _PASSIVE for word in words[max(0, verb - 2) : verb]):
        return None
    found = next(iter(paragraph.told_within(words[verb + 1].end, stop)), None)
    if found is None or found.first > verb + 4:
        return None
    return find_owned(words, found) if found.is_possessive and found.kind == "name" else found


def _unlisted_verb(paragraph: Paragraph, quote: Quote, at: int, stop: int) -> tuple[str, Mention] | None:
    """Find `trilled Anna` behind a quote that is not a whole sentence of its own."""
    words = paragraph.words
    is_open = paragraph.text[quote.start : quote.end].rstrip("\"'”’ ")[-1:] in ",—-!?"
    if not (is_open and words[at].text.islower() and words[at].small.endswith("ed")):
        return None
    mention = next(iter(paragraph.told_within(words[at].end, stop)), None)
    if mention is None or mention.kind != "name" or mention.is_possessive or not mention.people:
        return None
    is_next = mention.first == at + 1 or (mention.first == at + 2 and words[at + 1].small in DETERMINERS)
    return ("inverted", mention) if is_next else None


def _is_noun(words: list[Word], at: int, stop: int) -> bool:
    """Return whether somebody without a name stands here: `said a voice`."""
    return (
        at < len(words) and words[at].start < stop and words[at].small in (*DETERMINERS, "one", "another", "somebody")
    )


def _direct(paragraph: Paragraph, quote: Quote, at: int, stop: int) -> tuple[str, Mention] | None:
    words = paragraph.words
    mention = next(iter(paragraph.told_within(words[at].start, stop)), None)
    if mention is None or mention.first > at + 2 or mention.is_possessive:
        return None
    if mention.kind == "pronoun" and not mention.is_subject:
        return None
    if _joins_titles(words[at : mention.first]):
        return TOGETHER, Mention(mention.first, mention.last, "name")
    if any(word.small in PREPOSITIONS or word.small in VERBS for word in words[at : mention.first]):
        return None
    ended = paragraph.text[quote.start : quote.end].rstrip("\"'”’ ")[-1:]
    limit = mention.last + 6
    if mention.last < len(words) and words[mention.last].small in HEARD:
        heard = next(iter(paragraph.told_within(words[mention.last].end, stop)), None)
        if heard and heard.last < len(words) and words[heard.last].small in BARE_VERBS:
            return "direct", heard
    for number, word in enumerate(words[mention.last : limit], mention.last):
        gap = paragraph.text[paragraph.end_of(mention) : word.start]
        if word.start >= stop or any(mark in gap for mark in ".!?;:"):
            break
        if word.small in VERBS and not (word.small.endswith("ing") and words[number - 1].small not in _GOES_ON):
            told = _agent(paragraph, number, stop) or mention
            return ("direct" if ended in ",—-!?" else "follows_saying"), told
        if word.small in CLAUSE_STARTERS and word.small != "then":
            break
    return ("acts" if ended in ",—-" else "follows"), mention


def _tag_before(paragraph: Paragraph, start: int, quote: Quote) -> tuple[str, Mention] | None:
    """Find `Anna said, "..."`: the last verb of speech of the sentence and the subject before it."""
    text = paragraph.text[start : quote.start]
    sentence = start
    for match in _SENTENCE_END.finditer(text.rstrip()):
        sentence = start + match.end()
    words = paragraph.words
    first, last = paragraph.first_word(sentence), paragraph.first_word(quote.start)
    told = paragraph.told_within(sentence, quote.start)
    leads_in = bool(_LEADS_IN.search(text))
    farthest = last - 15 if leads_in else last - _MAX_WORDS_TO_QUOTE
    for verb in range(last - 1, max(first - 1, farthest), -1):
        if verb and (agent := _agent(paragraph, verb, quote.start)):
            return "before", agent
        if words[verb].small in BARE_VERBS:
            stop = verb - 1 if words[verb - 1].small.endswith("ly") or words[verb - 1].small in _HELPERS else verb
            heard = next((found for found in told if found.last in (verb, stop)), None)
            if heard:
                return "before", replace(heard, is_possessive=False)
        if words[verb].small in VERBS:
            near = [found for found in told if found.is_subject and found.last <= verb]
            if near:
                is_close = near[-1] is near[0] or near[-1].last >= verb - 1
                is_ended = text.rstrip()[-1:] in ".!?…"
                return ("before_near" if not is_close else "before_ended" if is_ended else "before"), near[-1]
            inverted = _inverted_before(paragraph, first, verb, told)
            if inverted:
                return "inverted", inverted
            break
    subjects = [found for found in told if found.is_subject]
    return ("leads", subjects[0]) if leads_in and subjects else None


def _inverted_before(paragraph: Paragraph, first: int, verb: int, told: list[Mention]) -> Mention | None:
    """Find `Said Anna: "..."` and `Then said the old man: "..."`: a verb that opens its sentence, and whose it is."""
    words = paragraph.words
    if not words[first].text[0].isupper() or any(word.small not in CLAUSE_STARTERS for word in words[first:verb]):
        return None
    found = next((mention for mention in told if mention.first > verb), None)
    if found is None or any(word.small not in DETERMINERS for word in words[verb + 1 : found.first]):
        return None
    if found.is_possessive:
        return find_owned(words, found) if found.kind == "name" else None
    return None if found.kind == "pronoun" and words[found.first].small not in SUBJECTS else found


def find_addressed(paragraph: Paragraph, index: int) -> list[Mention]:
    """Return whom a quote addresses by name, as `Anna` in `Come, Anna.`."""
    quote, found = paragraph.speech[index], []
    for mention in paragraph.said[index]:
        if mention.kind != "name" or mention.is_possessive:
            continue
        if _is_vocative(paragraph.text, quote, paragraph.start_of(mention), paragraph.end_of(mention)):
            found.append(mention)
    return found


def find_addressed_pronoun(paragraph: Paragraph, index: int) -> str:
    """Return `he` if a quote says sir, `she` if madam, and nothing else."""
    quote = paragraph.speech[index]
    found = set()
    for number in range(paragraph.first_word(quote.start), paragraph.first_word(quote.end)):
        word = paragraph.words[number]
        pronoun = "he" if word.small in MALE_ADDRESS else "she" if word.small in FEMALE_ADDRESS else ""
        if not pronoun or (word.small == "miss" and word.text[0].isupper()):
            continue
        if _is_vocative(paragraph.text, quote, word.start, word.end):
            found.add(pronoun)
    return found.pop() if len(found) == 1 else ""


def _is_vocative(text: str, quote: Quote, start: int, end: int) -> bool:
    """Return whether marks part these words from the rest of the quote."""
    before = text[max(quote.start, start - 30) : start]
    return bool(_VOCATIVE_BEFORE.search(before) and _VOCATIVE_AFTER.match(text[end : min(quote.end, end + 30)]))
