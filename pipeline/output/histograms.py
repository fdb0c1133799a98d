"""What is measured of every clip, counted in bins; and from where on a clip is an outlier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUM_BINS = 2_000
_OUTLIER_IQRS = 3.0
"""Interquartile ranges past the quartiles, beyond which a clip is an outlier."""
_FEWEST_JUDGED = 20
"""Clips that there must be before one of them may be called an outlier: quartiles of fewer say little."""


@dataclass(frozen=True)
class Measure:
    """What is measured of every clip, and the range that its histogram covers."""

    name: str
    title: str
    unit: str
    low: float
    high: float


MEASURES = (
    Measure("duration_s", "Duration", "s", 0.0, 120.0),
    Measure("chars_per_s", "Rate", "characters/s", 0.0, 60.0),
    Measure("rms_dbfs", "Level", "dBFS RMS", -100.0, 0.0),
)


class Histogram:
    """Counts of one measure in fine bins; what lies outside its range is counted in the outermost ones."""

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.bin_width = (measure.high - measure.low) / _NUM_BINS
        self.counts = np.zeros(_NUM_BINS, np.int64)

    def add(self, values: NDArray[np.float64]) -> None:
        """Count values; those that are not finite are left out."""
        kept = np.clip(values[np.isfinite(values)], self.measure.low, self.measure.high)
        self.counts += np.histogram(kept, _NUM_BINS, (self.measure.low, self.measure.high))[0]

    def quantile(self, share: float) -> float:
        """Return the value below which this share lies, to the width of a bin."""
        index = int(np.searchsorted(np.cumsum(self.counts), share * self.counts.sum()))
        return self.measure.low + (index + 0.5) * self.bin_width

    @property
    def spread(self) -> float:
        """Between the quartiles; at least two bins, or in a run of equal values all others would be outliers."""
        return max(self.quantile(0.75) - self.quantile(0.25), 2 * self.bin_width)

    @property
    def judges(self) -> bool:
        """Whether there are enough clips to call one an outlier."""
        return int(self.counts.sum()) >= _FEWEST_JUDGED

    def limits(self) -> tuple[float, float]:
        """Return the values beyond which one is an outlier: 3 interquartile ranges past the quartiles.

        Infinite where there are too few clips to judge.
        """
        if not self.judges:
            return -math.inf, math.inf
        reach = _OUTLIER_IQRS * self.spread
        return self.quantile(0.25) - reach, self.quantile(0.75) + reach

    def summary(self) -> dict[str, Any] | None:
        """Return median, limits and the number of outliers; None where nothing was counted."""
        if not self.counts.any():
            return None
        low, high = self.limits()
        middles = self.measure.low + (np.arange(_NUM_BINS) + 0.5) * self.bin_width
        return {
            "median": round(self.quantile(0.5), 3),
            "low": round(max(low, self.measure.low), 3),
            "high": round(min(high, self.measure.high), 3),
            "num_outliers": int(self.counts[(middles < low) | (middles > high)].sum()),
        }
