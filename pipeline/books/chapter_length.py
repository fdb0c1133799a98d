"""Chapters that no WAV can hold, found from their words before a sentence of them is synthesized."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.audio.clips import MAX_WAV_BYTES
from pipeline.config.figures import apart
from pipeline.config.run import Config
from pipeline.errors import ConfigError

_SECONDS_A_WORD = 0.4
"""150 words a minute, pauses included."""
_SECONDS_A_CHARACTER = 0.25
_CHARACTERS = frozenset(("zh", "ja"))


def refuse_long_chapters(reports: Iterable[Mapping[str, Any]], config: Config) -> None:
    """Stop for chapters that would be longer than a WAV of the configured sample rate can be.

    Args:
        reports: what the import says of each book.
        config: of the run, with `audiobook`.

    Raises:
        ConfigError: there are some; names all of them.
    """
    assert config.audiobook is not None
    rate = config.audiobook.assembly.sample_rate or config.audio.sample_rate
    limit_s = MAX_WAV_BYTES / (2 * rate)
    most_h = math.floor(10 * limit_s / 3_600) / 10  # As it is shown.
    problems = []
    for report in reports:
        a_word = _SECONDS_A_CHARACTER if report["language"] in _CHARACTERS else _SECONDS_A_WORD
        for part in report["parts"]:
            seconds = a_word * part["num_words"]
            if part["chapter"] is not None and seconds > limit_s:
                problems.append(
                    f"{report['book_id']}: chapter {part['chapter']} ({part['title'][:60]!r}) has "
                    f"{part['num_words']:,} words, about {apart(seconds / 3_600, most_h)[0]} h"
                )
    if problems:
        listed = "\n".join(problems)
        raise ConfigError(
            f"{listed}\na WAV of {rate:,} Hz holds 4 GiB, {most_h} h; cut these chapters, leave them out "
            "(audiobook.import.chapters) or lower audiobook.assembly.sample_rate"
        )
