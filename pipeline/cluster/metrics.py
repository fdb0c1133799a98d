"""What a run shows to Prometheus and Ray's dashboard while it works; knows nothing of how it is scraped.

Ray exports each metric from every node, with `ray_` before its name and labels for node and process. Our own labels
are of fixed sets (status, code, stage, state), so that the number of series does not grow with the manifest. Values
are handed to Ray once a unit or once a second, never once an utterance. `configs/grafana/spark_tts_batch.json` draws
them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.cluster import ray_api
from pipeline.output.row_counts import UnitReceipt

PREFIX = "spark_tts_batch_"
_INTERVAL_S = 1.0


def _counter(name: str, description: str, *labels: str) -> Any:
    return ray_api.make_counter(PREFIX + name, description, labels)


def _gauge(name: str, description: str, *labels: str) -> Any:
    return ray_api.make_gauge(PREFIX + name, description, labels)


class _Rhythm:
    """Tells when the next value is due."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next = float("-inf")

    def is_due(self) -> bool:
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + _INTERVAL_S
        return True


class RunMetrics:
    """The driver's metrics: what was committed, what waits where.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._rhythm = _Rhythm(clock)
        self._units = _counter("units_total", "Units committed.")
        self._utterances = _counter("utterances_total", "Utterances committed, by status.", "status")
        self._rejections = _counter("rejections_total", "Utterances rejected, by code.", "code")
        self._audio = _counter("audio_seconds_total", "Seconds of audio committed.")
        self._retakes = _counter("retakes_total", "Takes beyond the first of committed utterances.")
        self._x_real_time = _gauge("real_time_ratio", "Seconds of audio committed in a second, since synthesis began.")
        self._queued = _gauge("queued_units", "Units that wait for a replica, by stage.", "stage")
        self._running = _gauge("running_units", "Units that replicas hold, by stage.", "stage")
        self._replicas = _gauge("replicas", "Replicas by stage and state.", "stage", "state")

    def add(self, receipt: UnitReceipt) -> None:
        """Count a commit."""
        self._units.inc()
        # Ray refuses to add 0.
        if receipt.num_ok:
            self._utterances.inc(receipt.num_ok, {"status": "ok"})
        if receipt.audio_s:
            self._audio.inc(receipt.audio_s)
        if receipt.num_retakes:
            self._retakes.inc(receipt.num_retakes)
        if receipt.num_removed:
            self._utterances.inc(receipt.num_removed, {"status": "removed"})
        for code, count in receipt.rejected.items():
            self._utterances.inc(count, {"status": "rejected"})
            self._rejections.inc(count, {"code": code})

    def observe_if_due(self, pools: Mapping[Any, Any], x_real_time: float) -> None:
        """Set the gauges if the last time was a second ago.

        Args:
            pools: by stage.
            x_real_time: seconds of audio made in a second.
        """
        if not self._rhythm.is_due():
            return
        self._x_real_time.set(x_real_time)
        for stage, pool in pools.items():
            labels = {"stage": str(stage)}
            self._queued.set(len(pool.queue), labels)
            self._running.set(sum(len(replica.calls) for replica in pool.replicas), labels)
            num_ready = sum(replica.is_ready for replica in pool.replicas)
            self._replicas.set(num_ready, {**labels, "state": "ready"})
            self._replicas.set(len(pool.replicas) - num_ready, {**labels, "state": "starting"})


class SlotMetrics:
    """An LLM replica's use of its slots: steps of slots that held a sequence, and of those that stood empty.

    Args:
        num_slots: sequences decoded together at most.
        clock: monotonic seconds.
    """

    def __init__(self, num_slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._num_slots = num_slots
        self._rhythm = _Rhythm(clock)
        self._steps = _counter("llm_slot_steps_total", "Decode steps times slots, by the slot's state.", "state")
        self._used = self._idle = 0

    def add_step(self, num_active: int) -> None:
        """Count a step.

        Args:
            num_active: slots that hold a sequence after it.
        """
        self._used += num_active
        self._idle += self._num_slots - num_active
        if self._rhythm.is_due():
            self._flush((("used", self._used), ("idle", self._idle)))
            self._used = self._idle = 0

    def _flush(self, counts: Iterable[tuple[str, int]]) -> None:
        for state, count in counts:
            if count:
                self._steps.inc(count, {"state": state})
