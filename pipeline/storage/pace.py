"""How many requests a process has under way at a store that asks for fewer: halved when it does, then raised again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_BURST_S = 1.0
"""Refusals within this time of one that was heeded are of the same burst."""


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
        self._heeded_at = float("-inf")

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
            self._heeded_at = now
            if self._limit is None:
                # The refused one is not under way any more.
                self._limit = self._peak = self._under_way + 1.0
            self._limit = max(1.0, self._limit / 2)

    def speed_up(self) -> None:
        """A request went well: one more may be under way after each round of them."""
        if self._limit is None:
            return
        with self._changed:
            if self._limit is None:
                return
            self._limit += 1 / self._limit
            if self._limit > self._peak:
                self._limit = None
            self._changed.notify_all()
