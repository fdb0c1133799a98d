"""Turn chapters into manifest rows: one a sentence, or a part of one where the voice changes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.books.attribution.book import Attribution, Passage, attribute_book
from pipeline.books.book_language import BookLanguage
from pipeline.books.casting import Cast, describe_strangers
from pipeline.books.chapters import Chapter
from pipeline.books.cleaning import count_words, drop_voice_marks, lower_capitals
from pipeline.books.document import MARK_CLOSE, MARK_OPEN, Block, BlockKind
from pipeline.books.limits import check_limit, cut_title
from pipeline.books.quotes import find_quotes, split_sentences
from pipeline.errors import ManifestError

MANIFEST_SCHEMA = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("text", pa.string()),
        ("speaker_id", pa.string()),
        ("language", pa.string()),
        ("book_id", pa.string()),
        ("book_title", pa.string()),
        ("author", pa.string()),
        ("chapter", pa.int32()),
        ("chapter_title", pa.string()),
        ("paragraph", pa.int32()),
        ("position", pa.int32()),
        ("boundary", pa.string()),
    ]
)
"""`chapter` counts from 1, `paragraph` and `position` (of the row) from 0 within the chapter.

`boundary` is what follows the row: voice, line, sentence, paragraph, heading, scene or chapter.
"""


@dataclass(frozen=True)
class DoubtfulQuote:
    """A quote that the narrator reads because nothing says surely who speaks."""

    chapter: int
    text: str
    guess: str | None
    confidence: float


@dataclass
class CastReport:
    """What casting did to a book."""

    rows_per_voice: Counter[str] = field(default_factory=Counter)
    quotes_per_name: Counter[str] = field(default_factory=Counter)
    doubtful: list[DoubtfulQuote] = field(default_factory=list)
    num_quotes: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Piece:
    text: str
    voice: str
    boundary: str


def make_rows(
    book_id: str, title: str, author: str, language: BookLanguage, chapters: list[Chapter], cast: Cast, place: str
) -> tuple[list[dict[str, Any]], CastReport]:
    """Return the rows of a book in reading order, and what casting did.

    An id is `<book_id>.<chapter's key>.<hash of the text>`, with `-2` and so on for a text that the chapter repeats:
    an edit changes the ids of what it touches and of nothing else, and the seeds follow the ids.

    Raises:
        ManifestError: a `<voice:NAME>` mark names neither a character nor a voice of the cast, or there are more rows
            than the limit.
    """
    words = count_words(block.text for chapter in chapters for block in chapter.blocks)
    report = CastReport()
    report.notes = describe_strangers(cast, (block.text for chapter in chapters for block in chapter.blocks), words)
    rows: list[dict[str, Any]] = []
    texts = [[lower_capitals(block.text, words) for block in chapter.blocks] for chapter in chapters]
    attributions = _attribute(chapters, texts, language.code, cast, words)
    for chapter, chapter_texts, found in zip(chapters, texts, attributions, strict=True):
        number = chapter.number
        chapter_title = cut_title(lower_capitals(chapter.title, words))
        reader = _ChapterReader(cast, number, report, place)
        seen: Counter[str] = Counter()
        position = 0
        for paragraph, pieces in enumerate(reader.read(chapter.blocks, chapter_texts, found)):
            for piece in pieces:
                digest = hashlib.blake2b(piece.text.encode(), digest_size=6).hexdigest()
                seen[digest] += 1
                suffix = f"-{seen[digest]}" if seen[digest] > 1 else ""
                report.rows_per_voice[piece.voice] += 1
                rows.append(
                    {
                        "utterance_id": f"{book_id}.{chapter.key}.{digest}{suffix}",
                        "text": piece.text,
                        "speaker_id": piece.voice,
                        "language": language.of_row(piece.text),
                        "book_id": book_id,
                        "book_title": title,
                        "author": author,
                        "chapter": number,
                        "chapter_title": chapter_title,
                        "paragraph": paragraph,
                        "position": position,
                        "boundary": piece.boundary,
                    }
                )
                position += 1
                check_limit("max_rows", len(rows), place, "sentences")
        if position:
            rows[-1]["boundary"] = "chapter"
    return rows, report


def _attribute(
    chapters: list[Chapter], texts: list[list[str]], language: str | None, cast: Cast, words: Counter[str]
) -> list[list[list[Attribution]]]:
    """Return who says the quotes of each block; nobody in a language whose verbs nobody knows."""
    passages = [
        [
            Passage(drop_voice_marks(text), block.kind in ("heading", "scene"))
            for block, text in zip(chapter.blocks, chapter_texts, strict=True)
        ]
        for chapter, chapter_texts in zip(chapters, texts, strict=True)
    ]
    if language in (None, "en"):
        return attribute_book(passages, cast.names(), words)
    return [[[Attribution(quote) for quote in find_quotes(passage.text)] for passage in found] for found in passages]


class _ChapterReader:
    def __init__(self, cast: Cast, number: int, report: CastReport, place: str) -> None:
        self.cast, self.number, self.report, self.place = cast, number, report, place

    def read(
        self, blocks: list[Block], texts: list[str], attributions: list[list[Attribution]]
    ) -> Iterator[list[_Piece]]:
        """Yield the pieces of each block."""
        for index, (block, text, found) in enumerate(zip(blocks, texts, attributions, strict=True)):
            following = blocks[index + 1].kind if index + 1 < len(blocks) else "chapter"
            last = "scene" if following == "scene" else "heading" if block.kind == "heading" else "paragraph"
            if block.kind == "item" and following == "item":
                last = "line"
            pieces = list(self._read_text(text, found, block.kind))
            if pieces:
                yield [*pieces[:-1], _Piece(pieces[-1].text, pieces[-1].voice, last)]

    def _read_text(self, text: str, found: list[Attribution], kind: BlockKind) -> Iterator[_Piece]:
        text, marked = self._take_marks(text)
        voices = self._spans(text, marked, found)
        boundary = "line" if kind == "verse" else "sentence"
        if kind == "verse":
            sentences = [line.span() for line in re.finditer(r"[^\n]*\w[^\n]*", text)]
        elif kind == "heading":
            sentences = [(0, len(text))] if re.search(r"\w", text) else []
        else:
            sentences = list(split_sentences(text))
        at = 0
        for start, end in sentences:
            while at < len(voices) and voices[at][1] <= start:
                at += 1
            parts, last = [], at
            while last < len(voices) and voices[last][0] < end:
                first, stop, voice = voices[last]
                parts.append((max(start, first), min(end, stop), voice))
                last += 1
            held: list[tuple[str, str]] = []
            for first, stop, voice in parts:
                piece = text[first:stop].strip()
                if not piece:
                    continue
                if held and (held[-1][1] == voice or not re.search(r"\w", piece)):
                    held[-1] = (f"{held[-1][0]} {piece}" if held[-1][1] == voice else held[-1][0] + piece, held[-1][1])
                elif re.search(r"\w", piece):
                    held.append((piece, voice))
            for index, (piece, voice) in enumerate(held):
                yield _Piece(piece, voice, boundary if index + 1 == len(held) else "voice")

    def _take_marks(self, text: str) -> tuple[str, list[tuple[int, int, str]]]:
        """Return the text without voice marks, and the stretches that they claim."""
        clean, claimed = "", list[tuple[int, int, str]]()
        voice, begin = "", 0
        for piece in re.split(f"({MARK_OPEN}[^{MARK_CLOSE}]*{MARK_CLOSE})", text):
            if not piece.startswith(MARK_OPEN):
                clean += piece
                continue
            if voice:
                claimed.append((begin, len(clean), voice))
            voice, begin = self._marked_voice(piece.strip(MARK_OPEN + MARK_CLOSE)), len(clean)
        if voice:
            claimed.append((begin, len(clean), voice))
        return clean, claimed

    def _marked_voice(self, name: str) -> str:
        if not name:
            return ""
        if name.lower() == "narrator":
            return self.cast.narrator
        character = self.cast.find(name)
        if character is None and name not in self.cast.voices():
            known = ", ".join(sorted({found.name for found in self.cast.characters} | self.cast.voices()))
            raise ManifestError(
                f"{self.place}: <voice:{name}> names nobody of the cast; add them to casting.yaml, "
                f"or use one of: {known}"
            )
        return character.voice if character else name

    def _spans(
        self, text: str, marked: list[tuple[int, int, str]], found: list[Attribution]
    ) -> list[tuple[int, int, str]]:
        """Cover the text with stretches of one voice each."""
        spoken: list[tuple[int, int, str]] = list(marked)
        at = 0
        for attribution in found:
            quote = attribution.quote
            self.report.num_quotes += 1
            while at < len(marked) and marked[at][1] <= quote.start:
                at += 1
            if at == len(marked) or marked[at][0] >= quote.end:
                voice = self._voice_of(text[quote.start : quote.end], attribution)
                spoken.append((quote.start, quote.end, voice))
        spans: list[tuple[int, int, str]] = []
        position = 0
        for first, stop, voice in sorted(spoken):
            spans += [(position, first, self.cast.narrator), (first, stop, voice)]
            position = stop
        spans.append((position, len(text), self.cast.narrator))
        joined: list[tuple[int, int, str]] = []
        for first, stop, voice in spans:
            if first == stop:
                continue
            if joined and joined[-1][2] == voice:
                joined[-1] = (joined[-1][0], stop, voice)
            else:
                joined.append((first, stop, voice))
        return joined

    def _voice_of(self, text: str, attribution: Attribution) -> str:
        name = attribution.name
        if name is None or attribution.confidence < self.cast.min_confidence:
            self.report.doubtful.append(DoubtfulQuote(self.number, text, name, attribution.confidence))
            return self.cast.narrator
        self.report.quotes_per_name[name] += 1
        if attribution.character is not None:
            return self.cast.characters[attribution.character].voice
        return self.cast.narrator if name == "I" else self.cast.speech or self.cast.narrator
