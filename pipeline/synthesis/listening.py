"""Hear a take as a listener would: what it says, in whose voice, where it pauses and how it ends.

Knows nothing of thresholds; all that it tells follows from the take's samples, its text and its voice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SpeakerError
from pipeline.synthesis.recognition import Heard, Reading, Recognizer, compare_with_text

MIN_VOICE_S = 1.0
"""Shorter takes say too little of a voice."""
_FRAME_S = 0.02
_PAUSE_DB = -35.0
"""Below the level of the loud frames; breath and room are under it, the softest consonants hardly ever."""
_FLOOR = 1e-10
_MIN_BACKGROUND_S = 1.0
_QUIETEST = 2
"""Percentile of the frames: even a phrase of voiced sounds alone begins and ends with some that are quiet."""


class Codec(Protocol):
    """What of BiCodec tells voices apart."""

    @property
    def sample_rate(self) -> int:
        """Hz of decoded audio."""

    @property
    def global_levels(self) -> Sequence[int]:
        """Levels of the scalars that one global token is made of."""

    def encode_speaker(self, audio: NDArray[np.float32], sample_rate: int) -> Any:
        """Return the global tokens of a recording as a tensor."""


@dataclass(frozen=True)
class Contour:
    """The level of a take over time.

    Attributes:
        longest_pause_s: the longest stretch under the level of speech, between the first and the last sound.
        end_db: the loudest of the last two 20 ms frames against the loud frames; a spoken end has died away.
        background_db: the quietest frames against the loud ones: what sounds between the words. None for less than a
            second, which may have no pause.
    """

    longest_pause_s: float
    end_db: float
    background_db: float | None = None


@dataclass(frozen=True)
class Hearing:
    """All that was heard in one take."""

    contour: Contour
    heard: str | None
    """What the recognizer made of it; none if it does not know the language, or there is no recognizer."""
    reading: Reading | None
    """`heard` against the text; none also for a text without words."""
    similarity: float | None
    """Of the voice that is heard and the one that was asked for: see `compare_voices`. None for short takes."""
    note: str | None
    """Why something was not judged."""
    naturalness: float | None = None
    """From 1 (bad) to 5 (excellent), where somebody rates it."""


@dataclass(frozen=True)
class Spoken:
    """A take to be heard."""

    samples: NDArray[np.float32]
    """(num_samples,)."""
    text: str
    """What it should say, spelled out."""
    language: str
    similarity: float | None
    """See `measure_similarity`."""


class Rater(Protocol):
    """Says how natural a take sounds."""

    def rate(self, samples: NDArray[np.float32], sample_rate: int) -> float | None:
        """Return a score from 1 to 5; None for what cannot be rated."""


class Listener:
    """Hears takes; what is heard in one depends on no other.

    Args:
        recognizer: of the words; none if nobody hears them.
        rater: of the naturalness, if anybody does.
    """

    def __init__(self, recognizer: Recognizer | None, rater: Rater | None = None) -> None:
        self._recognizer = recognizer
        self._rater = rater

    def listen(self, takes: Sequence[Spoken], sample_rate: int) -> Iterator[Hearing]:
        """Yield what is heard in each of several takes, in their order, as soon as it is known."""
        known = [take for take in takes if self._knows(take.language)]
        words: Iterator[Heard] = iter(())
        if self._recognizer is not None:
            clips, languages = [take.samples for take in known], [take.language for take in known]
            words = self._recognizer.recognize_all(clips, sample_rate, languages, [take.text for take in known])
        for take in takes:
            heard = next(words) if self._knows(take.language) else None
            yield self._describe(take, sample_rate, heard)

    def _knows(self, language: str) -> bool:
        return self._recognizer is not None and language in self._recognizer.languages

    def _describe(self, take: Spoken, sample_rate: int, heard: Heard | None) -> Hearing:
        reading = note = naturalness = None
        if heard is not None:
            reading = self._compare(take, heard)
        elif self._recognizer is not None:
            note = f"words not judged: the recognizer does not know {take.language!r}"
        if self._rater is not None:
            naturalness = self._rater.rate(take.samples, sample_rate)
        contour = trace_contour(take.samples, sample_rate)
        text = None if heard is None else heard.text
        return Hearing(contour, text, reading, take.similarity, note, naturalness)

    def _compare(self, take: Spoken, heard: Heard) -> Reading | None:
        """Compare a take with its text by what was heard; where texts were weighed, they decide which words lack."""
        assert self._recognizer is not None
        text, found = (self._recognizer.fold(text, take.language) for text in (take.text, heard.text))
        reading = compare_with_text(text, found, with_gaps=self._recognizer.hears_gaps)
        if heard.num_missing_words is not None:
            reading = replace(reading, num_missing_words=heard.num_missing_words, num_extra_words=heard.num_extra_words)
        return reading if reading.num_words else None


def measure_similarity(codec: Codec, samples: NDArray[np.float32], global_tokens: Sequence[int]) -> float | None:
    """Return how much alike the voice of a take and the one that was asked for are; None where too little is heard.

    Args:
        codec: of the checkpoint.
        samples: (num_samples,) at the codec's rate.
        global_tokens: of the voice that should say it.
    """
    if not global_tokens or samples.size < MIN_VOICE_S * codec.sample_rate:
        return None
    try:
        found = codec.encode_speaker(samples, codec.sample_rate).numpy()
    except SpeakerError:
        return None  # Silence has no voice; its other faults tell on it.
    return compare_voices(found, np.asarray(global_tokens), codec.global_levels)


def compare_voices(first: NDArray[np.int64], second: NDArray[np.int64], levels: Sequence[int]) -> float:
    """Return how much alike two voices are, on a scale that any BiCodec's tokens have.

    A global token stands for a point on a small grid. The mean distance of the two voices' points, along every axis,
    is compared with the mean distance of points drawn at random.

    Args:
        first: (num_global_tokens,) int64.
        second: likewise.
        levels: points along each axis of the grid; the first one varies fastest.

    Returns:
        1 for equal tokens, about 0 for unrelated ones, less for opposite ones.
    """
    sizes = np.asarray(levels)
    basis = np.cumprod([1, *sizes[:-1]])
    distances = np.abs(first[:, None] // basis % sizes - second[:, None] // basis % sizes)
    by_chance = (sizes**2 - 1) / (3 * sizes)  # The mean |i - j| of two even draws from n levels.
    return float(1 - (distances / by_chance).mean())


def trace_contour(samples: NDArray[np.float32], sample_rate: int) -> Contour:
    """Measure pauses and the end of a take.

    Args:
        samples: (num_samples,); less than two frames have neither pause nor end.
        sample_rate: Hz.
    """
    size = round(_FRAME_S * sample_rate)
    frames = samples[: samples.size // size * size].astype(np.float64).reshape(-1, size)
    if len(frames) < 2:
        return Contour(0.0, _PAUSE_DB)
    level_db = 10 * np.log10((frames**2).mean(axis=1) + _FLOOR)
    relative_db = level_db - np.percentile(level_db, 90)
    (sounding,) = np.nonzero(relative_db > _PAUSE_DB)
    longest = max(int(np.diff(sounding).max(initial=1)) - 1, 0)
    is_long = len(frames) * _FRAME_S >= _MIN_BACKGROUND_S
    background_db = float(np.percentile(relative_db, _QUIETEST)) if is_long else None
    return Contour(longest * _FRAME_S, float(relative_db[-2:].max()), background_db)
