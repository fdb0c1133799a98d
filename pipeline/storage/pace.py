"""How many requests a process has under way at a store that asks for fewer: halved when it does, then raised again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_BURST_S = 0.3
"""Refusals within this time of one that was heeded are of the same burst."""
_CALM_S = 5.0
"""Without a refusal, until one more request is tried. Raised faster, 100 writers at a bucket of 3,500 requests a second
meet refusals by the hundred; so, they keep within it, simulated with eight threads each and 30 ms a request."""


class Pace:
    """A limit that exists only once the store has asked for fewer requests; thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._under_way = 0
        self._limit: float | None = None
        self._peak = 0.0
        """Under way when the store first asked: once the limit is there again, it is lifted."""
        self._heeded_at = self._changed_at = float("-inf")

    @property
    def limit(self) -> float | None:
        """Requests that may be under way; none if there is no limit."""
        return self._limit

    @contextmanager
    def request(self) -> Iterator[None]:
        """Wait for a turn; the request is under way within the block."""
        with self._changed:
            while self._limit is not None and self._under_way >= int(self._limit):
                self._changed.wait()
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def slow_down(self) -> None:
        """Heed a refusal: half as many requests from now on, at least one."""
        with self._changed:
            now = self._clock()
            if now - self._heeded_at < _BURST_S:
                return
            self._heeded_at = self._changed_at = now
            if self._limit is None:
                # The refused one is not under way any more.
                self._limit = self._peak = self._under_way + 1.0
            self._limit = max(1.0, self._limit / 2)

    def speed_up(self) -> None:
        """A request went well: one more may be under way, if that has been so for a while."""
        if self._limit is None:
            return
        with self._changed:
            now = self._clock()
            if self._limit is None or now - self._changed_at < _CALM_S:
                return
            self._changed_at = now
            self._limit = self._limit + 1 if self._limit + 1 < self._peak else None
            self._changed.notify_all()
