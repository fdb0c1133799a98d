"""What makes a recording a poor model of a voice: measured, with limits between good and spoiled recordings.

The limits stand between what was measured of good recordings (spoken by people in studios and at home, and read by
synthetic voices) and of the same ones spoiled: see tests/audio/test_recording_quality.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.figures import apart

SHORTEST_S, LONGEST_S = 3.0, 30.0
"""Seconds that the codec was trained to hear a voice from; more is not heard at all after the first six."""
MIN_NOISE_DISTANCE_DB = 20.0
"""Of speech above what lies behind it."""
MAX_CLIPPED_RATIO = 0.0005
MAX_SILENCE_RATIO = 0.6
MIN_SPEECH_S, MOST_CLIPPED_RATIO = 1.0, 0.1
"""Less of the one or more of the other is no model of a voice at all."""
FRAME_S = 0.02
SILENT_BELOW_DB = 40.0
"""Under the loud parts, a frame counts as silence."""
_PEAK_ABOVE_DB = 15.0
"""The loudest frame of speech is hardly ever so far above the loud ones."""
_FLAT_SAMPLES = 3
"""So many equal samples at the peak are a top that was cut off."""


@dataclass(frozen=True)
class RecordingQuality:
    """What was measured of a recording."""

    duration_s: float
    noise_distance_db: float
    """Between the loud frames (95th percentile) and the quietest that hold sound (5th)."""
    clipped_ratio: float
    """Share of samples in flat runs at the peak, whatever the level of the peak."""
    silence_ratio: float
    """Share of 20 ms frames 40 dB or more under the loud ones."""

    @property
    def speech_s(self) -> float:
        """Seconds that are not silence, of the first half minute."""
        return min(self.duration_s, LONGEST_S) * (1.0 - self.silence_ratio)


def measure_recording(samples: NDArray[Any], sample_rate: int) -> RecordingQuality:
    """Measure a recording; only its first half minute is looked at, beside its length.

    Args:
        samples: (num_samples,) floats of any level.
        sample_rate: Hz.
    """
    duration_s = samples.size / sample_rate
    samples = samples[: round(LONGEST_S * sample_rate)].astype(np.float64)
    size = max(1, round(FRAME_S * sample_rate))
    frames = samples[: samples.size // size * size].reshape(-1, size)
    if not len(frames) or not np.any(frames):
        return RecordingQuality(duration_s, 0.0, 0.0, 1.0)
    level_db = measure_levels(frames)
    loud_db = float(np.percentile(level_db, 95))
    quiet_db = float(np.percentile(level_db, 5))
    # Where there is hardly anything but silence, 95 of 100 frames are none of the loud ones.
    silent_db = max(loud_db, float(level_db.max()) - _PEAK_ABOVE_DB) - SILENT_BELOW_DB
    silence = float(np.mean(level_db < silent_db))
    return RecordingQuality(duration_s, loud_db - quiet_db, _clipped_ratio(samples), silence)


def measure_levels(frames: NDArray[Any]) -> NDArray[np.float64]:
    """Return the level of each frame in dB of full scale.

    Args:
        frames: (num_frames, num_samples) floats.
    """
    levels: NDArray[np.float64] = 10 * np.log10((frames.astype(np.float64) ** 2).mean(axis=1) + 1e-12)
    return levels


def _clipped_ratio(samples: NDArray[np.float64]) -> float:
    clipped = 0
    for side in (samples, -samples):
        at_peak = side >= side.max() * (1 - 1e-4)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], at_peak, [False])).astype(np.int8)))
        runs = edges[1::2] - edges[::2]
        clipped += int(runs[runs >= _FLAT_SAMPLES].sum())
    return clipped / samples.size


def find_unusable(quality: RecordingQuality) -> str | None:
    """Return why a recording is no model of a voice at all, with the number and what is expected; None where it is."""
    if quality.speech_s < MIN_SPEECH_S:
        speech, least = apart(quality.speech_s, MIN_SPEECH_S, 1)
        return (
            f"holds {speech} s of speech ({quality.silence_ratio:.0%} of {quality.duration_s:.1f} s is silence), "
            f"expected {least} s or more; record {SHORTEST_S:g} to {LONGEST_S:g} s of speech"
        )
    if quality.clipped_ratio > MOST_CLIPPED_RATIO:
        clipped, most = apart(quality.clipped_ratio, MOST_CLIPPED_RATIO, percent=True)
        return f"{clipped} of the samples are cut off at the peak, expected {most} at most; record at a lower level"
    return None


def describe_faults(quality: RecordingQuality) -> list[str]:
    """Return what is poor about a recording, each with its number, what is expected, and what to do."""
    faults = []
    if not SHORTEST_S <= quality.duration_s <= LONGEST_S:
        is_short = quality.duration_s < SHORTEST_S
        found, _ = apart(quality.duration_s, SHORTEST_S if is_short else LONGEST_S, 1)
        faults.append(
            f"{found} s long, expected {SHORTEST_S:g} to {LONGEST_S:g} s; "
            + ("record more" if is_short else "only its first six make the voice")
        )
    if quality.noise_distance_db < MIN_NOISE_DISTANCE_DB:
        found, least = apart(quality.noise_distance_db, MIN_NOISE_DISTANCE_DB)
        faults.append(
            f"speech is {found} dB above what is heard behind it, expected {least} or more; record in a quieter place, "
            "nearer to the mouth"
        )
    if quality.clipped_ratio > MAX_CLIPPED_RATIO:
        found, most = apart(quality.clipped_ratio, MAX_CLIPPED_RATIO, 2, percent=True)
        faults.append(
            f"{found} of the samples are cut off at the peak, expected {most} at most; record at a lower level"
        )
    if quality.silence_ratio > MAX_SILENCE_RATIO:
        found, most = apart(quality.silence_ratio, MAX_SILENCE_RATIO, percent=True)
        faults.append(f"{found} is silence, expected {most} at most; cut it off")
    return faults
