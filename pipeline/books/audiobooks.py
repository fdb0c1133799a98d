"""A catalogue of books in one call: imported, synthesized, assembled, reported. What `jobs.audiobooks` calls.

Each step finds out by itself what is missing, so that a second call does that and no more: an import keeps the books
that did not change, a run its commits, assembly its chapters.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.books import Cast, import_books, list_books, read_casts
from pipeline.books.assembly import ChapterReport, assemble
from pipeline.cluster.replica import Networks
from pipeline.config.books import AudiobookConfig, check_libraries
from pipeline.config.run import Config
from pipeline.errors import ConfigError
from pipeline.output.progress import RunSummary, format_duration
from pipeline.output.report import write_report
from pipeline.run import synthesize_manifest
from pipeline.storage import Storage, open_storage
from pipeline.synthesis.speakers import read_definitions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AudiobooksSummary:
    """What became of a catalogue."""

    books: list[dict[str, Any]]
    """What `import_books` says of each."""
    run: RunSummary
    chapters: list[ChapterReport]
    report: str
    """Address of the page that shows it."""

    @property
    def num_failed(self) -> int:
        """Chapters that lack a sentence, and, where ACX is asked for, those that miss its limits.

        Of an audition (`limit`), which lacks nearly all: the rows that were rejected.
        """
        if self.run.num_units_left:
            return self.run.num_rejected
        return sum(bool(chapter.problems or chapter.acx) for chapter in self.chapters)


@dataclass(frozen=True)
class Catalogue:
    """The books of a config and who reads them, checked."""

    settings: AudiobookConfig
    storage: Storage
    casts: Mapping[str, Cast]
    default: Cast


def open_catalogue(config: Config) -> Catalogue:
    """Check what can be checked of the books before any is read; writes nothing.

    Raises:
        ConfigError: the config has no `audiobook`, its places overlap, a library is missing, or a cast names a voice
            that nobody defined.
        ManifestError: there are no books.
        SpeakerError: the speakers cannot be read.
    """
    settings = config.audiobook
    if settings is None:
        raise ConfigError(
            "audiobook: required for books, but not given; add `audiobook: {catalogue: ..., chapters: ...}` "
            "as in configs/audiobook.yaml, or synthesize a manifest with jobs.synthesize"
        )
    check_libraries()
    storage = open_storage(settings.catalogue, config.storage)
    for name, place in (
        ("manifest", config.manifest),
        ("output", config.output),
        ("audiobook.chapters", settings.chapters),
    ):
        if f"{open_storage(place, config.storage).uri}/".startswith(f"{storage.uri.rstrip('/')}/"):
            raise ConfigError(
                f"{name}: {place} lies in the catalogue {settings.catalogue}, where it would be read as books; name "
                "a place beside it"
            )
    manifest = open_storage(config.manifest, config.storage).uri.rstrip("/")
    for name, place in (("output", config.output), ("audiobook.chapters", settings.chapters)):
        if f"{open_storage(place, config.storage).uri}/".startswith(f"{manifest}/"):
            raise ConfigError(
                f"{name}: {place} lies in the manifest {config.manifest}, where an import expects its own files alone; "
                "name a place beside it"
            )
    catalogue = Catalogue(
        settings, storage, read_casts(settings.casting, config.storage), Cast(narrator=settings.narrator)
    )
    _check_voices(config, catalogue)
    return catalogue


def _check_voices(config: Config, catalogue: Catalogue) -> None:
    defined = {definition.speaker_id for definition in read_definitions(config.speakers.path, config.storage)}
    fallback = catalogue.casts.get("default", catalogue.default)
    unknown: dict[str, str] = {}
    for book_id in list_books(catalogue.storage):
        for voice in catalogue.casts.get(book_id, fallback).voices() - defined:
            unknown.setdefault(voice, book_id)
    if unknown:
        listed = ", ".join(f"{voice!r} (book {book_id})" for voice, book_id in sorted(unknown.items()))
        raise ConfigError(
            f"{catalogue.settings.casting or 'audiobook.narrator'}: nobody defined the voice(s) {listed}; add them to "
            f"{config.speakers.path}, or cast one of: {', '.join(sorted(defined))[:200]}"
        )


def make_audiobooks(config: Config, *, networks: Networks | None = None) -> AudiobooksSummary:
    """Make the chapters of a catalogue, or what is missing of them.

    Args:
        config: the whole run, with `audiobook`.
        networks: as `synthesize_manifest` takes them.

    Raises:
        ConfigError, ManifestError, SpeakerError, WeightsError: something is wrong; the message says what to do.
        StorageError, RunStopped: stopped; what is done is safe, and the same call goes on.
    """
    catalogue = open_catalogue(config)
    books = _import(config, catalogue)
    run = synthesize_manifest(config, networks=networks)
    chapters = _assemble(config, catalogue.settings)
    report = write_report(config.output, chapters=catalogue.settings.chapters, settings=config.storage)
    return AudiobooksSummary(books, run, chapters, report)


def _import(config: Config, catalogue: Catalogue) -> list[dict[str, Any]]:
    books = []
    manifest = open_storage(config.manifest, config.storage)
    for book in import_books(catalogue.storage, manifest, catalogue.casts, catalogue.default):
        logger.info(
            "book %s: %s, %d chapters, %d rows (%d new)",
            book["book_id"], book["state"], len(book["chapters"]), book["num_rows"], book["num_new_rows"],
        )  # fmt: skip
        books.append(book)
    return books


def _assemble(config: Config, settings: AudiobookConfig) -> list[ChapterReport]:
    made = []
    chapters = assemble(
        config.output,
        settings.chapters,
        settings.assembly,
        allow_missing=settings.allow_missing,
        covers=f"{config.manifest.rstrip('/')}/_covers",
        contents=config.manifest,
        settings=config.storage,
    )
    for chapter in chapters:
        if not settings.acx:
            chapter.acx = []
        seconds = chapter.num_samples / chapter.sample_rate if chapter.sample_rate else 0.0
        logger.info("chapter %s %d: %s, %s", chapter.book_id, chapter.chapter, chapter.state, format_duration(seconds))
        made.append(chapter)
    return made
