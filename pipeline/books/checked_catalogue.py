"""What can be checked of a config's books before any is read: places, libraries, casts and voices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.books.casting import Cast, read_casts
from pipeline.books.catalogue import list_books
from pipeline.config.books import AudiobookConfig, check_libraries
from pipeline.config.run import Config
from pipeline.errors import ConfigError
from pipeline.storage import Storage, check_apart, check_writable, open_storage
from pipeline.synthesis.speaker_definitions import read_definitions


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
        ConfigError: the config has no `audiobook`, its places overlap or cannot be written to, a library is missing,
            or a cast names a voice that nobody defined.
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
        reason = "where it would be read as books"
        check_apart(name, place, "catalogue", settings.catalogue, reason, config.storage)
        check_writable(name, place, config.storage)
    for name, place in (("output", config.output), ("audiobook.chapters", settings.chapters)):
        reason = "where an import expects its own files alone"
        check_apart(name, place, "manifest", config.manifest, reason, config.storage)
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
