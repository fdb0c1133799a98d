"""How loud a stream of audio is, measured and limited piece by piece: BS.1770 loudness, RMS, peak, noise floor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.samples import SILENCE_DBFS
from pipeline.config.figures import apart

_BLOCK_S = 0.1
_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_OFFSET = -0.691
_LIMITER_S = 0.005
_FLOOR_PERCENTILE = 1.0  # Of 5 in 100 blocks of clips that are cut close, most are the edges of words.
_GATE_WINDOW_S, _GATE_HOLD_S, _GATE_DB = 0.02, 0.15, -15.0


@dataclass(frozen=True)
class Loudness:
    """What was measured.

    Attributes:
        lufs: integrated and gated, BS.1770-4, mono; -120 stands for silence.
        rms_dbfs: over everything, pauses included.
        peak_dbfs: largest sample.
        noise_floor_dbfs: level that all but the quietest hundredth of the voice's 100 ms blocks pass; pauses that were
            put in do not count.
    """

    lufs: float
    rms_dbfs: float
    peak_dbfs: float
    noise_floor_dbfs: float


class LoudnessMeter:
    """Measures a stream; keeps 16 bytes for each 100 ms of it, 17 MB for 30 hours.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        from pyloudnorm.iirfilter import IIRfilter

        self._filters = [
            IIRfilter(4.0, 1 / math.sqrt(2), 1_500.0, sample_rate, "high_shelf"),
            IIRfilter(0.0, 0.5, 38.0, sample_rate, "high_pass"),
        ]
        self._states = [np.zeros(max(len(found.a), len(found.b)) - 1) for found in self._filters]
        self._block = round(_BLOCK_S * sample_rate)
        self._weighted_rest = np.zeros(0)
        self._powers: list[NDArray[np.float64]] = []
        self._floors: list[NDArray[np.float64]] = []
        self._sum = self._peak = 0.0
        self._count = 0

    def add(self, samples: NDArray[np.float32], *, is_pause: bool = False) -> None:
        """Measure the next piece, (num_samples,) in [-1, 1]; a pause does not count for the noise floor."""
        from scipy.signal import lfilter

        exact = samples.astype(np.float64)
        self._sum += float(np.dot(exact, exact))
        self._peak = max(self._peak, float(np.abs(exact).max(initial=0.0)))
        self._count += exact.size
        if not is_pause:
            self._floors.append(_block_powers(exact, self._block))
        weighted = exact
        for index, found in enumerate(self._filters):
            weighted, self._states[index] = lfilter(found.b, found.a, weighted, zi=self._states[index])
            weighted = weighted * found.passband_gain
        weighted = np.concatenate([self._weighted_rest, weighted])
        whole = weighted.size // self._block * self._block
        self._powers.append(_block_powers(weighted[:whole], self._block))
        self._weighted_rest = weighted[whole:]

    def read(self) -> Loudness:
        """Return what was measured so far."""
        floors = np.concatenate([*self._floors, np.zeros(0)])
        floor = float(np.percentile(floors, _FLOOR_PERCENTILE)) if floors.size else 0.0
        rms = self._sum / self._count if self._count else 0.0
        return Loudness(self._integrate(), _power_to_db(rms), _power_to_db(self._peak**2), _power_to_db(floor))

    def _integrate(self) -> float:
        powers = np.concatenate([*self._powers, np.zeros(0)])
        if powers.size < 4:
            return SILENCE_DBFS
        windows = np.convolve(powers, np.full(4, 0.25), "valid")  # 400 ms, of which each overlaps the next by 300.
        gated = windows[windows >= 10 ** ((_GATE_LUFS - _OFFSET) / 10)]
        if not gated.size:
            return SILENCE_DBFS
        gated = gated[gated > gated.mean() * 10 ** (_RELATIVE_GATE_LU / 10)]
        return _OFFSET + _power_to_db(float(gated.mean()))


def _block_powers(samples: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    whole = samples.size // block * block
    powers: NDArray[np.float64] = np.square(samples[:whole]).reshape(-1, block).mean(axis=1)
    return powers


def _power_to_db(power: float) -> float:
    return max(10 * math.log10(power), SILENCE_DBFS) if power > 0 else SILENCE_DBFS


def limit_peaks(samples: NDArray[np.float32], max_peak_dbfs: float, sample_rate: int) -> NDArray[np.float32]:
    """Turn the loudest moments down, smoothly over 5 ms to each side, so that no sample passes a peak.

    Args:
        samples: (num_samples,) float32, of any size.
        max_peak_dbfs: the peak.
        sample_rate: Hz.
    """
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    ceiling = 10 ** (max_peak_dbfs / 20)
    magnitudes = np.abs(samples.astype(np.float64))
    if magnitudes.max(initial=0.0) <= ceiling:
        return samples
    size = 2 * round(_LIMITER_S * sample_rate) + 1
    gains = ceiling / np.maximum(magnitudes, ceiling)
    # A mean over gains that are each the least of their surroundings is never above the gain that a sample needs.
    smooth = uniform_filter1d(minimum_filter1d(gains, size, mode="nearest"), size, mode="nearest")
    limited: NDArray[np.float32] = np.clip(samples * smooth, -ceiling, ceiling).astype(np.float32)
    return limited


def quieten_noise(samples: NDArray[np.float32], threshold_dbfs: float, sample_rate: int) -> NDArray[np.float32]:
    """Turn down by 15 dB, smoothly, what is quieter than a level and further than 75 ms from anything louder.

    Args:
        samples: (num_samples,) float32, of any size.
        threshold_dbfs: RMS over 20 ms.
        sample_rate: Hz.
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    window, hold = round(_GATE_WINDOW_S * sample_rate), round(_GATE_HOLD_S * sample_rate)
    powers = uniform_filter1d(np.square(samples.astype(np.float64)), window, mode="nearest")
    is_voice = maximum_filter1d(powers >= 10 ** (threshold_dbfs / 10), hold, mode="nearest")
    gains = uniform_filter1d(np.where(is_voice, 1.0, 10 ** (_GATE_DB / 20)), window, mode="nearest")
    quiet: NDArray[np.float32] = (samples * gains).astype(np.float32)
    return quiet


def check_acx(loudness: Loudness) -> list[str]:
    """Return which of ACX's limits a chapter misses, and by how much; empty where it meets them all."""
    misses = []
    if not -23.0 <= loudness.rms_dbfs <= -18.0:
        found, over = _miss(loudness.rms_dbfs, -18.0 if loudness.rms_dbfs > -18.0 else -23.0)
        misses.append(f"RMS {found} dBFS, expected -23 to -18 (misses by {over} dB)")
    if loudness.peak_dbfs > -3.0:
        found, over = _miss(loudness.peak_dbfs, -3.0)
        misses.append(f"peak {found} dBFS, expected -3 at most (over by {over} dB)")
    if loudness.noise_floor_dbfs > -60.0:
        found, over = _miss(loudness.noise_floor_dbfs, -60.0)
        misses.append(f"noise floor {found} dBFS, expected -60 at most (over by {over} dB)")
    return misses


def _miss(level_db: float, limit_db: float) -> tuple[str, str]:
    """Return a level, and by how much it misses its limit, as texts."""
    return apart(level_db, limit_db, 1)[0], apart(abs(level_db - limit_db), 0.0, 1)[0]
