"""A catalogue of books in one call: imported, synthesized, assembled, reported. What `jobs.audiobooks` calls.

Each step finds out by itself what is missing, so that a second call does that and no more: an import keeps the books
that did not change, a run its commits, assembly its chapters.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from pipeline.books.assembly import ChapterReport, assemble
from pipeline.books.catalogue import refuse_unreadable
from pipeline.books.chapter_length import refuse_long_chapters
from pipeline.books.checked_catalogue import Catalogue, open_catalogue
from pipeline.books.importing import import_books
from pipeline.cluster.replica import Networks
from pipeline.config.books import AudiobookConfig
from pipeline.config.run import Config
from pipeline.output.progress import RunSummary, format_duration
from pipeline.output.report import write_report
from pipeline.run.synthesize import synthesize_manifest
from pipeline.storage import open_storage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudiobooksSummary:
    """What became of a catalogue."""

    books: list[dict[str, Any]]
    """What `import_books` says of each that it imported or kept."""
    refused: list[str]
    """Why it did not import the others."""
    run: RunSummary
    chapters: list[ChapterReport]
    report: str
    """Address of the page that shows it."""

    @property
    def num_failed(self) -> int:
        """Chapters that lack a sentence, and, where ACX is asked for, those that miss its limits.

        Of an audition (`limit`), which lacks nearly all: the rows that were rejected.
        """
        if self.run.num_rows_left:
            return self.run.num_rejected
        return sum(bool(chapter.problems or chapter.acx) for chapter in self.chapters)


def make_audiobooks(config: Config, *, networks: Networks | None = None) -> AudiobooksSummary:
    """Make the chapters of a catalogue, or what is missing of them.

    Args:
        config: the whole run, with `audiobook`.
        networks: as `synthesize_manifest` takes them.

    A book that cannot be imported stops no other; the summary has it.

    Raises:
        ConfigError, ManifestError, SpeakerError, WeightsError: something is wrong; the message says what to do.
        StorageError, RunStopped: stopped; what is done is safe, and the same call goes on.
    """
    catalogue = open_catalogue(config)
    books, refused = _import(config, catalogue)
    if not books:
        refuse_unreadable(refused)
    refuse_long_chapters(books, config)
    run = synthesize_manifest(config, networks=networks)
    chapters = _assemble(config, catalogue.settings)
    report = write_report(config.output, chapters=catalogue.settings.chapters, settings=config.storage)
    return AudiobooksSummary(books, refused, run, chapters, report)


def _import(config: Config, catalogue: Catalogue) -> tuple[list[dict[str, Any]], list[str]]:
    books: list[dict[str, Any]] = []
    refused: list[str] = []
    manifest, rules = open_storage(config.manifest, config.storage), catalogue.settings.import_
    for book in import_books(catalogue.storage, manifest, catalogue.casts, catalogue.default, rules):
        if book["state"] == "refused":
            logger.warning("book %s: not imported: %s", book["book_id"], book["problem"])
            refused.append(book["problem"])
            continue
        logger.info(
            "book %s: %s, %d chapters, %d rows (%d new)",
            book["book_id"], book["state"], len(book["chapters"]), book["num_rows"], book["num_new_rows"],
        )  # fmt: skip
        books.append(book)
    return books, refused


def _assemble(config: Config, settings: AudiobookConfig) -> list[ChapterReport]:
    made = []
    chapters = assemble(
        config.output,
        settings.chapters,
        settings.assembly,
        allow_missing=settings.allow_missing,
        covers=f"{config.manifest.rstrip('/')}/_covers",
        contents=config.manifest,
        books=settings.catalogue,
        settings=config.storage,
    )
    for chapter in chapters:
        if not settings.acx:
            chapter.acx = []
        seconds = chapter.num_samples / chapter.sample_rate if chapter.sample_rate else 0.0
        logger.info("chapter %s %d: %s, %s", chapter.book_id, chapter.chapter, chapter.state, format_duration(seconds))
        made.append(chapter)
    return made
