"""What is wrong with a speaker's recording for those who hear it: a second voice, another text than its transcript.

A second voice is found by the codec's own encoder, which hears each quarter of the first six seconds by itself: those
make the voice. What that finds and misses is in docs/voices.md.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.recording_quality import FRAME_S, SILENT_BELOW_DB, measure_levels
from pipeline.audio.references import LoadedAudio
from pipeline.config.figures import apart
from pipeline.config.run import Config
from pipeline.errors import SpeakerError, UtteranceError
from pipeline.synthesis.listening import Codec, compare_voices
from pipeline.synthesis.recognition import Recognizer, compare_with_text
from pipeline.text import normalize_text

_HEARD_S = 6.0
_NUM_PARTS = 4
_MIN_PART_S = 0.75
MAX_SIMILARITY = 0.5
"""Of the voices before and after the change; more is one voice."""
MIN_CONTRAST = 0.3
"""By how much the parts on each side must be more alike than those across: an encoder that hears another voice in
every part hears no change."""


def find_second_voice(codec: Codec, samples: NDArray[Any], sample_rate: int) -> str | None:
    """Return what makes a recording sound like several voices, with its number; None where nothing does.

    Args:
        codec: of the weights.
        samples: (num_samples,) of any level.
        sample_rate: Hz.
    """
    speech = _keep_speech(samples[: round(_HEARD_S * sample_rate)], round(FRAME_S * sample_rate))
    size = speech.size // _NUM_PARTS
    if size < _MIN_PART_S * sample_rate:
        return None
    try:
        parts = [
            codec.encode_speaker(speech[at * size : (at + 1) * size], sample_rate).numpy() for at in range(_NUM_PARTS)
        ]
    except SpeakerError:
        return None
    alike = {
        (a, b): compare_voices(parts[a], parts[b], codec.global_levels) for a, b in combinations(range(_NUM_PARTS), 2)
    }
    across, contrast, at = min(_weigh(alike, at) for at in range(1, _NUM_PARTS))
    if across >= MAX_SIMILARITY or contrast < MIN_CONTRAST:
        return None
    found, least = apart(across, MAX_SIMILARITY, 2)
    return (
        f"sounds like another voice from about {at * size / sample_rate:.1f} s of speech on (likeness {found}, "
        f"expected {least} or more); give a recording of one speaker alone"
    )


def find_other_text(recognizer: Recognizer, config: Config, reference: LoadedAudio, text: str) -> str | None:
    """Return how a recording differs from its transcript; None where it fits, or nobody can tell.

    Args:
        recognizer: hears the recording.
        config: whose limit of wrong letters applies to takes, and here.
        reference: the recording.
        text: what it should say.
    """
    try:
        spoken = normalize_text(text, language=config.text.language, normalize=config.text.normalize)
    except UtteranceError:
        return "its transcript has no words; correct the transcript"
    if spoken.language not in recognizer.languages:
        return None
    samples = reference.samples.astype(np.float32)
    heard = recognizer.recognize(samples, reference.sample_rate, spoken.language)
    fold = recognizer.fold
    reading = compare_with_text(fold(spoken.text, spoken.language), fold(heard, spoken.language))
    wrong, limit = reading.num_letter_errors / max(reading.num_letters, 1), config.quality.limit("max_cer")
    if wrong <= limit:
        return None
    found, most = apart(wrong, limit, percent=True)
    return (
        f"its transcript does not fit: {found} of its letters were heard otherwise, expected {most} at most "
        f"(heard: {heard[:80]!r}); correct the transcript"
    )


def _weigh(alike: dict[tuple[int, int], float], at: int) -> tuple[float, float, int]:
    """Return how alike the parts before and after a place are, by how much less than those on each side, and where."""
    across = [value for (a, b), value in alike.items() if a < at <= b]
    within = [value for (a, b), value in alike.items() if not a < at <= b]
    return float(np.mean(across)), float(np.mean(within) - np.mean(across)), at


def _keep_speech(samples: NDArray[Any], size: int) -> NDArray[np.float32]:
    """Leave out the frames that are silent: what fills them is no voice."""
    frames = samples[: samples.size // size * size].astype(np.float32).reshape(-1, size)
    level_db = measure_levels(frames)
    loud_db = float(np.percentile(level_db, 95)) if len(frames) else 0.0
    return np.ravel(frames[level_db > loud_db - SILENT_BELOW_DB])
