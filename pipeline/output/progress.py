"""What a run reports while it works and when it ends: counters, one line at a time, the report."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.errors import RejectionCode
from pipeline.output.notebook import open_line
from pipeline.output.row_counts import UnitReceipt

logger = logging.getLogger(__name__)
_NOTEBOOK_INTERVAL_S = 1.0
"""A line that is written over may come often."""


@dataclass(frozen=True)
class RunSummary:
    """How a run ended.

    Counts are of the whole output; the speed is of this start alone.
    """

    output: str
    num_rows: int
    num_ok: int
    rejected: dict[str, int]
    audio_s: float
    num_units_done: int
    """Units committed by this start."""
    num_units_skipped: int
    """Units that an earlier start had committed."""
    num_rows_left: int
    """Rows that wait for another start (`limit`)."""
    elapsed_s: float
    """Wall time of this start's synthesis, without loading."""
    x_real_time: float
    """Seconds of audio that this start made in a second."""
    num_synthesized: int = 0
    """Rows that this start synthesized, whatever came of them."""
    num_kept: int = 0
    """Rows that this start committed anew, for the manifest has changed, with the take that they had."""
    examples: tuple[tuple[str, str, str], ...] = field(default_factory=tuple)
    """(utterance_id, code, message) of a few rejections of this start."""
    num_removed: int = 0
    takes_per_row: float | None = None
    """Takes made for each accepted row of the whole output; None where nobody counted."""

    @property
    def num_rejected(self) -> int:
        """Rows that have no audio and were not removed."""
        return sum(self.rejected.values())


class Progress:
    """Counts commits and says every now and then how far the run is.

    Args:
        num_rows: rows that this start will do; None where that shows only as it works (a repair).
        num_rows_done: rows that earlier starts committed.
        interval_s: seconds between lines.
        clock: monotonic seconds.
    """

    def __init__(
        self, num_rows: int | None, num_rows_done: int, interval_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._num_rows = num_rows
        self._num_rows_before = num_rows_done
        self._interval_s = interval_s
        self._clock = clock
        self._started = self._last_line = clock()
        self._has_begun = False
        self._committed_at_s = 0.0
        self._show = open_line()
        if self._show is not None:
            self._interval_s = min(interval_s, _NOTEBOOK_INTERVAL_S)
        self.num_ok = self.num_removed = self.num_kept = 0
        self.num_units = 0
        self.num_retakes = 0
        self.rejected: Counter[str] = Counter()
        self.audio_s = 0.0
        self.examples: list[tuple[str, str, str]] = []

    @property
    def num_done(self) -> int:
        """Rows that this start accepted, rejected or took out, without those that it kept."""
        return self.num_ok + self.rejected.total() + self.num_removed

    @property
    def num_synthesized(self) -> int:
        """Of these, the ones whose text was read: a duplicate's, or one that is withdrawn, is not."""
        return self.num_ok + self.rejected.total() - self.rejected[RejectionCode.DUPLICATE_ID]

    @property
    def elapsed_s(self) -> float:
        """Seconds since `begin`."""
        return self._clock() - self._started

    @property
    def x_real_time(self) -> float:
        """Seconds of audio made in a second."""
        return self.audio_s / max(self.elapsed_s, 1e-9)

    def begin(self) -> None:
        """Start the clock: loading is over."""
        self._started = self._last_line = self._clock()
        self._has_begun = True
        self._show_line(self.line())

    def go_over_done_rows(self) -> None:
        """From here on rows are made that were counted as done: how many shows only as it works."""
        self._num_rows = None

    def add(self, receipt: UnitReceipt) -> None:
        """Count a commit."""
        self.num_units += 1
        self._committed_at_s = self.elapsed_s
        self.num_ok += receipt.num_ok
        self.num_removed += receipt.num_removed
        self.num_kept += receipt.num_kept
        self.rejected.update(receipt.rejected)
        self.audio_s += receipt.audio_s
        self.num_retakes += receipt.num_retakes
        self.examples += list(receipt.examples)[: max(0, 5 - len(self.examples))]

    def line(self) -> str:
        """Return how far the run is, in one line."""
        parts = [
            self._count(),
            f"{format_duration(self.audio_s)} of audio",
            f"{self.x_real_time:.2f} x real time",
            f"{self.rejected.total():,} rejected",
        ]
        if self._num_rows is not None and self.num_done and self._num_committed < self._num_rows:
            # As of the last commit: while nothing is committed the time left goes down, as it should. The rest is taken
            # to hold as many rows that are kept as what is done: how many shows only when their texts are read.
            left_s = (self._num_rows - self._num_committed) * self._committed_at_s / self._num_committed
            left_s -= self.elapsed_s - self._committed_at_s
            parts += [f"about {format_duration(left_s)} left"] if left_s > 0 else []
        return " · ".join(parts)

    @property
    def _num_committed(self) -> int:
        return self.num_done + self.num_kept

    def _count(self) -> str:
        if self._num_rows is None:
            return f"{self.num_done:,} utterances"
        total, done = self._num_rows + self._num_rows_before, self._num_committed + self._num_rows_before
        earlier = f", {self._num_committed:,} of them by this start" if self._num_rows_before else ""
        # Rounded down: what is not done is no 100%.
        return f"{done:,}/{total:,} utterances ({100 * done // max(total, 1)}%){earlier}"

    def report_if_due(self) -> None:
        """Log a line if the last one is old enough."""
        now = self._clock()
        if self._has_begun and now - self._last_line >= self._interval_s:
            self._last_line = now
            self.report()

    def report(self) -> None:
        """Log a line, and show it in a notebook."""
        logger.info("%s", self.line())
        self._show_line(self.line())

    def report_loading(self) -> None:
        """Say in a notebook that work begins; logs say so by themselves."""
        self._show_line("starting: Ray and the networks are loaded")

    def _show_line(self, line: str) -> None:
        if self._show is not None:
            self._show(line)


def format_duration(seconds: float) -> str:
    """Return seconds as a person would say them: `42 s`, `3 min 20 s`, `7 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d} min"
