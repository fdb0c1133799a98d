"""What a catalogue will come to, before anything is spent: audio, units, hours of machines, bytes, doubtful lines.

Books are read, rows are spelled out and cut by the code that the import and the run use; nothing is written. One book
is held at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from pipeline.audio.chapter_formats import bytes_per_second
from pipeline.books.catalogue import ReadBook, RefusedBook, read_catalogue
from pipeline.books.chapter_length import refuse_long_chapters
from pipeline.books.checked_catalogue import Catalogue, open_catalogue
from pipeline.books.importing import ROWS_PER_SHARD
from pipeline.cluster.cost import Cost, estimate_cost, stated_pace
from pipeline.cluster.forecast import RowSample
from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.cluster.trial_actor import Trial
from pipeline.config.run import Config
from pipeline.errors import UtteranceError
from pipeline.manifest.rows import Utterance, read_utterance
from pipeline.manifest.units import count_units
from pipeline.output.commit_log import CommitLog
from pipeline.output.records import hash_input
from pipeline.output.run_record import RunRecord
from pipeline.output.tombstones import Tombstones
from pipeline.storage import open_storage
from pipeline.synthesis.speaker_definitions import read_definitions
from pipeline.synthesis.takes import Script, write_script
from pipeline.text import describe_unread
from pipeline.text.lexicon import read_lexicon
from pipeline.weights.weights import find_text_support

_STATED = "as stated in docs/performance.md"
_METADATA_BYTES = 1_000
"""Of a row, in its commit."""
_MIN_ROWS_FOR_PACE, _MAX_ROWS_FOR_PACE = 20, 2_000
_MAX_EXAMPLES = 20
_LATIN = frozenset("en fr de es it pt nl".split())
_SUSPICIONS = (
    ("unreadable characters", re.compile("[\ufffd\u0080-\u009f]")),
    ("web address or markup", re.compile(r"https?://|www\.|\S@\S+\.\w|</?\w+[^>]*>|&\w+;|[{}|\\^~=]{2}|\[\w+\]:")),
    ("the same letter again and again", re.compile(r"(\w)\1{4,}", re.IGNORECASE)),
    ("a word of over 30 letters", re.compile(r"[^\W\d_]{31,}")),
    ("letters of another script", re.compile(r"(?:[^\W\d_a-zA-ZÀ-ɏḀ-ỿ]\W*){8,}")),
)


@dataclass(frozen=True)
class DoubtfulLine:
    """A line that will be rejected, or that somebody should look at."""

    utterance_id: str
    reason: str
    text: str


@dataclass
class BookEstimate:
    """What a book, or all of them, come to; the counts are of rows, the seconds of audio."""

    book_id: str = ""
    title: str = ""
    num_chapters: int = 0
    num_rows: int = 0
    num_chars: int = 0
    num_segments: int = 0
    """Requests to the LLM."""
    num_units: int = 0
    num_done: int = 0
    """Rows that the output has a commit of; `left_s` is without them."""
    num_removed: int = 0
    """Rows that were withdrawn from the output, and are spoken no more."""
    audio_s: float = 0.0
    left_s: float = 0.0
    chapters_s: float = 0.0
    expected_s: float = 0.0
    """Of `audio_s`, as `pipeline.text` expects it; `left_expected_s` of `left_s`."""
    left_expected_s: float = 0.0
    output_bytes: float = 0.0
    rejected: Counter[str] = field(default_factory=Counter)
    suspicious: Counter[str] = field(default_factory=Counter)
    examples: list[DoubtfulLine] = field(default_factory=list)
    account: dict[str, Any] = field(default_factory=dict)
    """What is read of the book and what is left out, in words: `words`, `left_out`, `parts` of the import's report."""

    def add(self, other: BookEstimate) -> None:
        """Count another book in."""
        for name in ("num_chapters", "num_rows", "num_chars", "num_segments", "num_units"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("num_done", "num_removed", "expected_s", "left_expected_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("audio_s", "left_s", "chapters_s", "output_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.rejected += other.rejected
        self.suspicious += other.suspicious
        self.examples += other.examples[: _MAX_EXAMPLES - len(self.examples)]

    def with_pace(self, more: float, bytes_per_s: float) -> BookEstimate:
        """Return the same for a voice that speaks `more` seconds longer for each that is expected.

        Args:
            more: seconds; less than 0 for a faster one.
            bytes_per_s: of clips and chapters together.
        """
        longer_s = more * self.expected_s
        return replace(
            self,
            audio_s=self.audio_s + longer_s,
            left_s=self.left_s + more * self.left_expected_s,
            chapters_s=self.chapters_s + longer_s,
            output_bytes=self.output_bytes + bytes_per_s * longer_s,
        )


@dataclass(frozen=True)
class CatalogueEstimate:
    """What `estimate_catalogue` found."""

    books: list[BookEstimate]
    total: BookEstimate
    pace: float
    pace_source: str
    cost: Cost
    refused: list[RefusedBook]
    """Books that would not be imported; they are not in the total."""
    sample: RowSample = field(default_factory=RowSample)
    """Of the rows that are left to synthesize."""

    def with_trial(self, config: Config, trial: Trial) -> CatalogueEstimate:
        """Return the same with the speed and the pace that a trial measured, where nobody had measured them before."""
        run = RunRecord(open_storage(config.output, config.storage)).find()
        pace = trial.speed.pace if trial.speed is not None and self.pace_source == _STATED else None
        found = self
        if pace is not None and trial.speed is not None:
            more, rate = pace - self.pace, sum(_bytes_per_s(config))
            found = replace(
                self,
                books=[book.with_pace(more, rate) for book in self.books],
                total=self.total.with_pace(more, rate),
                pace=pace,
                pace_source=f"measured here on {trial.speed.num_rows:,} row(s)",
            )
        return replace(found, cost=estimate_cost(config, found.total.left_s, run.starts if run else (), trial))


def estimate_catalogue(config: Config) -> CatalogueEstimate:
    """Read a catalogue and estimate what its synthesis comes to; writes nothing.

    Args:
        config: the whole run, with `audiobook`.

    Raises:
        ConfigError, ManifestError, SpeakerError: as `make_audiobooks` before work.
    """
    catalogue = open_catalogue(config)
    estimator = _Estimator(config, catalogue)
    books, refused = [], []
    for book in read_catalogue(catalogue.storage, catalogue.casts, catalogue.default, catalogue.settings.import_):
        if isinstance(book, RefusedBook):
            refused.append(book)
        else:
            refuse_long_chapters([book.report], config)
            books.append(estimator.estimate(book))
    total = BookEstimate()
    for estimate in books:
        total.add(estimate)
    cost = estimate_cost(config, total.left_s, estimator.run.starts if estimator.run else ())
    return CatalogueEstimate(books, total, estimator.pace, estimator.pace_source, cost, refused, estimator.sample)


def _bytes_per_s(config: Config) -> tuple[float, float]:
    """Return the bytes of a second of audio: of clips, and of all formats of chapters."""
    assert config.audiobook is not None
    rate, assembly = config.audio.sample_rate, config.audiobook.assembly
    formats = {*assembly.formats, *(("wav",) if {"m4b", "epub"} & set(assembly.formats) else ())}
    chapters = sum(bytes_per_second(suffix, assembly.sample_rate or rate) for suffix in formats)
    return bytes_per_second(config.audio.format, rate), chapters


class _Estimator:
    def __init__(self, config: Config, catalogue: Catalogue) -> None:
        self._config, self._assembly = config, catalogue.settings.assembly
        definitions = read_definitions(config.speakers.path, config.storage)
        self._speakers = [definition.speaker_id for definition in definitions]
        self._lexicon = read_lexicon(config)
        self._support = find_text_support(config.weights, storage=config.storage)
        output = open_storage(config.output, config.storage)
        log, self.run = CommitLog(output), RunRecord(output).find()
        self._removed = Tombstones.read(output)
        speakers = OutputSpeakers.read(output, definitions)
        self._generations = speakers.generations
        self.sample = RowSample()
        self._done = _find_done(log) if self.run else frozenset[str]()
        self.pace, self.pace_source = stated_pace(config.weights), _STATED
        measured = self._measure_pace(log) if self.run else None
        if measured is not None:
            self.pace, self.pace_source = measured

    def _hash(self, row: Mapping[str, Any]) -> str:
        return hash_input(row, self._generations.get(row["speaker_id"]))

    def _measure_pace(self, log: CommitLog) -> tuple[float, str] | None:
        spoken_s = expected_s = 0.0
        rows = list(islice(_read_spoken(log), _MAX_ROWS_FOR_PACE))
        if len(rows) < _MIN_ROWS_FOR_PACE:
            return None
        for row in rows:
            utterance = Utterance(row["utterance_id"], row["text"], row["speaker_id"], language=row.get("language"))
            try:
                script = write_script(utterance, [row["speaker_id"]], self._config, self._lexicon, self._support)
            except UtteranceError:
                continue
            spoken_s += row["duration_s"] - self._pauses_s(script)
            expected_s += sum(segment.estimated_s for segment in script.segments)
        return spoken_s / max(expected_s, 1e-9), f"measured on {len(rows):,} rows of this output"

    def _pauses_s(self, script: Script) -> float:
        return sum(self._config.audio.pause_s(segment.boundary) for segment in script.segments[:-1])

    def estimate(self, book: ReadBook) -> BookEstimate:
        """Go through the rows of a book as a run would."""
        rows, report = book.rows, book.report
        found = BookEstimate(report["book_id"], report["title"], len(report["chapters"]), len(rows))
        found.num_chars = report["num_chars"]
        found.account = {name: report[name] for name in ("words", "left_out", "left_out_examples", "parts", "notes")}
        shards = [min(ROWS_PER_SHARD, len(rows) - start) for start in range(0, len(rows), ROWS_PER_SHARD)]
        found.num_units = count_units(shards, self._config.unit_size)
        for row in rows:
            if self._removed.reason_for(row) is not None:
                found.num_removed += 1
                continue
            expected_s, pauses_s = self._estimate_row(row, found)
            seconds = self.pace * expected_s + pauses_s
            found.audio_s += seconds
            found.expected_s += expected_s
            if not self._done.isdisjoint((row["utterance_id"], self._hash(row))):
                found.num_done += 1
            else:
                found.left_s += seconds
                found.left_expected_s += expected_s
                self.sample.add(row)
            pause_s = self._assembly.pause_s(row["boundary"])
            found.chapters_s += seconds + (self._assembly.lead_out_s if row["boundary"] == "chapter" else pause_s)
        found.chapters_s += found.num_chapters * self._assembly.lead_in_s
        clips, chapters = _bytes_per_s(self._config)
        found.output_bytes = clips * found.audio_s + chapters * found.chapters_s + _METADATA_BYTES * len(rows)
        return found

    def _estimate_row(self, row: Mapping[str, Any], found: BookEstimate) -> tuple[float, float]:
        """Return the seconds that the text is expected to take, and the pauses within it."""
        try:
            script = write_script(read_utterance(row), self._speakers, self._config, self._lexicon, self._support)
        except UtteranceError as error:
            found.rejected[str(error.code)] += 1
            _keep(found, row, f"{error.code}: {error.message}")
            return 0.0, 0.0
        found.num_segments += len(script.segments)
        doubt = find_doubt(str(row["text"]), script.spoken_text, script.language)
        if script.unread:
            found.suspicious.update(sorted({f"with a {unread.kind} that is not spoken" for unread in script.unread}))
            _keep(found, row, str(describe_unread(script.unread)))
        elif doubt is not None:
            found.suspicious[doubt] += 1
            _keep(found, row, doubt)
        return sum(segment.estimated_s for segment in script.segments), self._pauses_s(script)


def _keep(found: BookEstimate, row: Mapping[str, Any], reason: str) -> None:
    if len(found.examples) < _MAX_EXAMPLES:
        found.examples.append(DoubtfulLine(str(row["utterance_id"]), reason, str(row["text"])[:100]))


def find_doubt(text: str, spoken: str, language: str) -> str | None:
    """Return what is suspicious about a line that will be synthesized, if something is.

    Args:
        text: as the book has it.
        spoken: normalized.
        language: of the line.
    """
    for reason, pattern in _SUSPICIONS:
        if pattern.search(text) and (reason != "letters of another script" or language in _LATIN):
            return reason
    if len(spoken) > 3 * len(text) + 40:
        return "numbers or signs that take long to say"
    return None


def _read_spoken(log: CommitLog) -> Iterator[dict[str, Any]]:
    columns = ["utterance_id", "text", "speaker_id", "language", "status", "duration_s"]
    for table in log.iter_metadata(columns):
        yield from (row for row in table.to_pylist() if row["status"] == "ok")


def _find_done(log: CommitLog) -> frozenset[str]:
    """Return what committed rows are found again by: their `input_hash`, in commits of older formats their id."""
    return frozenset(
        str(row["input_hash"] or row["utterance_id"])
        for table in log.iter_metadata(["utterance_id", "input_hash"])
        for row in table.to_pylist()
    )
