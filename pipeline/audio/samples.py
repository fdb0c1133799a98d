"""Samples as numbers: resample, join segments, bring to a level, measure.

Knows nothing of files or models: it imports no torch, so that writers stay small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.audio.clips import FULL_SCALE, FloatArray

SILENCE_DBFS = -120.0
_SILENT_FRAME_DBFS = -50.0
_FRAME_S = 0.02
_FLAT = 0.9999
"""Of the peak: samples over it are as good as equal."""
_MIN_FLAT_RUN = 3
"""Samples running; a crest of speech is sharper."""


@dataclass(frozen=True)
class AudioStats:
    """How loud audio is.

    Attributes:
        peak_dbfs: largest sample; -120 stands for digital silence.
        rms_dbfs: root mean square over everything, with the same floor.
        silence_ratio: share of 20 ms frames under -50 dBFS.
        clipped_ratio: share of samples that are cut off: at full scale, or in flat runs at the audio's own peak.
    """

    peak_dbfs: float
    rms_dbfs: float
    silence_ratio: float
    clipped_ratio: float


def resample(samples: NDArray[Any], from_rate: int, to_rate: int) -> NDArray[Any]:
    """Return (num_samples,) at another rate (soxr, very high quality), in the dtype given; equal rates copy nothing."""
    if from_rate == to_rate:
        return samples
    resampled: NDArray[Any] = soxr.resample(samples, from_rate, to_rate, quality="VHQ")
    return resampled


def join_segments(segments: Sequence[FloatArray], pauses_s: Sequence[float], sample_rate: int) -> FloatArray:
    """Return all segments in a row, with silence between them.

    Args:
        segments: 1-D float32 each.
        pauses_s: seconds of silence after each segment but the last.
        sample_rate: Hz.
    """
    if len(pauses_s) != max(len(segments) - 1, 0):
        raise ValueError(f"pauses_s: expected one less than {len(segments)} segments, got {len(pauses_s)}")
    parts: list[FloatArray] = []
    for index, segment in enumerate(segments):
        parts.append(segment)
        if index < len(pauses_s):
            parts.append(np.zeros(round(pauses_s[index] * sample_rate), dtype=np.float32))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def set_level(samples: FloatArray, target_rms_dbfs: float, max_peak_dbfs: float = -1.0) -> FloatArray:
    """Bring audio to a level; less where its peak would pass the limit. Digital silence stays as it is.

    Args:
        samples: (num_samples,) float32.
        target_rms_dbfs: level over everything, silence included.
        max_peak_dbfs: highest peak allowed.
    """
    magnitudes = np.abs(samples.astype(np.float64))
    peak = float(magnitudes.max(initial=0.0))
    if peak == 0.0:
        return samples
    rms = math.sqrt(float(np.mean(magnitudes**2)))
    gain = min(10 ** (target_rms_dbfs / 20) / rms, 10 ** (max_peak_dbfs / 20) / peak)
    return (samples * gain).astype(np.float32)


def measure(samples: FloatArray, sample_rate: int) -> AudioStats:
    """Measure level, silence and clipping.

    Args:
        samples: (num_samples,) float32; without any sample all of it counts as silence.
        sample_rate: Hz.
    """
    if samples.size == 0:
        return AudioStats(SILENCE_DBFS, SILENCE_DBFS, silence_ratio=1.0, clipped_ratio=0.0)
    magnitudes = np.abs(samples.astype(np.float64))
    power = magnitudes**2
    frame_starts = np.arange(0, samples.size, max(round(_FRAME_S * sample_rate), 1))
    frame_sizes = np.diff(frame_starts, append=samples.size)
    frame_power = np.add.reduceat(power, frame_starts) / frame_sizes
    return AudioStats(
        peak_dbfs=_to_dbfs(float(magnitudes.max())),
        rms_dbfs=_to_dbfs(math.sqrt(float(power.mean()))),
        silence_ratio=float(np.mean(frame_power < 10 ** (_SILENT_FRAME_DBFS / 10))),
        clipped_ratio=float(np.mean(_find_clipped(magnitudes))),
    )


def _find_clipped(magnitudes: NDArray[np.float64]) -> NDArray[np.bool_]:
    is_flat = (magnitudes >= _FLAT * magnitudes.max()) & (magnitudes > 0)
    starts = np.ones(max(is_flat.size - _MIN_FLAT_RUN + 1, 0), bool)
    for step in range(_MIN_FLAT_RUN):
        starts &= is_flat[step : step + starts.size]
    is_clipped = magnitudes >= FULL_SCALE / 32_768
    for step in range(_MIN_FLAT_RUN):
        is_clipped[step : step + starts.size] |= starts
    return is_clipped


def _to_dbfs(amplitude: float) -> float:
    return max(20 * math.log10(amplitude), SILENCE_DBFS) if amplitude > 0 else SILENCE_DBFS
