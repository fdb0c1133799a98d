"""The replicas of one stage as a pool: created, picked for calls, replaced when they die or hang."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import GetTimeoutError, RayError

from pipeline.cluster import ray_api
from pipeline.cluster.ray_api import REPLICA_DEATHS, died_by_itself
from pipeline.cluster.work_items import Call, Stage
from pipeline.errors import HangError, RunStopped

logger = logging.getLogger(__name__)

_ANSWER_S = 5.0
MAX_FAILED_STARTS = 8
"""Replicas of one kind that may die one after the other, with no call done between, before the run stops."""
MAX_HUNG_STARTS = 2
"""The same of replicas whose start hangs; fewer, as each costs its time limit."""


@dataclass(eq=False)
class Replica:
    """An actor as the coordinator sees it."""

    handle: Any
    is_ready: bool = False
    calls: list[Call] = field(default_factory=list)
    heartbeat: int = -1
    """What it answered last; a busy replica whose answer stands still is hung."""
    progressed_at: float = 0.0
    """When the heartbeat was last seen to move, or work began; by the monotonic clock."""
    question: Any = None
    """Reference to the answer that is awaited."""
    is_hung: bool = False
    arrival: Any = None
    """Reference to where it runs; awaited until its process is there."""
    place: str = "a process that never answered"
    """Process, host and log, once known."""
    arrived_at: float | None = None
    """When its process was first seen; before, it waits for room in the cluster."""

    def note_arrival(self, now: float) -> None:
        """Take in where it runs, if that is known by now; never waits."""
        if self.arrived_at is None and ray_api.wait([self.arrival], timeout=0):
            self.arrived_at = self.progressed_at = now
            with suppress(RayError):  # Whoever waits for its work gets the error, too.
                self.place = ray_api.get(self.arrival)

    def poll_heartbeat(self, now: float) -> None:
        """Ask for the heartbeat and take in an answer that is there; never waits."""
        if self.question is None:
            self.question = self.handle.heartbeat.remote()
        elif ray_api.wait([self.question], timeout=0):
            answer, self.question = self.question, None
            try:
                heartbeat = ray_api.get(answer)
            except RayError:
                return  # Its calls tell.
            if heartbeat != self.heartbeat:
                self.heartbeat, self.progressed_at = heartbeat, now


class Pool:
    """The replicas of one stage.

    Args:
        stage: what they do.
        create: makes an actor.
        count: how many to keep alive.
        max_calls: calls in flight for each.
    """

    def __init__(self, stage: Stage, create: Callable[[], Any], count: int, max_calls: int) -> None:
        self.stage = stage
        self._create = create
        self._max_calls = max_calls
        self._failures = self._hung_starts = 0
        self.starting: dict[Any, Replica] = {}
        self.replicas: list[Replica] = []
        self.queue: deque[Call] = deque()
        for _ in range(count):
            self._add()

    def _add(self) -> None:
        replica = Replica(self._create())
        self.replicas.append(replica)
        # Asked first: a start that keeps the interpreter to itself would let nothing else be answered.
        replica.arrival = replica.handle.locate.remote()
        self.starting[replica.handle.start.remote()] = replica

    def pick(self, *, isolated: bool) -> Replica | None:
        """Return the ready replica with the least to do that may take a call, if any."""
        room = [
            replica
            for replica in self.replicas
            if replica.is_ready
            and len(replica.calls) < (1 if isolated else self._max_calls)
            and not any(call.is_isolated for call in replica.calls)
        ]
        return min(room, key=lambda replica: len(replica.calls), default=None)

    def note_success(self) -> None:
        """A call was done: the replicas of this kind can work."""
        self._failures = self._hung_starts = 0

    def replace(self, replica: Replica, error: BaseException) -> bool:
        """Start another in place of a dead replica; returns whether that was still to be done.

        Raises:
            RunStopped: too many died with nothing done between.
        """
        if replica not in self.replicas:
            return False
        self.replicas.remove(replica)
        # A preempted node takes many replicas at once, and says nothing of whether they can work.
        self._failures += died_by_itself(error)
        if self._failures > MAX_FAILED_STARTS:
            raise RunStopped(
                f"{self._failures} {self.stage} replicas died one after the other without finishing a call; the last "
                f"error: {' '.join(str(error).split())[:500]}"
            )
        logger.warning("%s replica died (%s); starting another", self.stage, type(error).__name__)
        ray_api.kill(replica.handle)
        self._add()
        return True

    def replace_idle_dead(self) -> None:
        """Find replicas that died without a call in hand, before a call finds them and its unit takes the blame."""
        for replica in [replica for replica in self.replicas if replica.is_ready and not replica.calls]:
            try:
                ray_api.get(replica.handle.heartbeat.remote(), timeout=_ANSWER_S)
            except REPLICA_DEATHS as error:
                self.replace(replica, error)
            except GetTimeoutError:
                pass

    def reset_timers(self, now: float, late_s: float) -> None:
        """Count no time in which no heartbeat was read.

        Args:
            now: monotonic seconds.
            late_s: seconds without a look.
        """
        for replica in self.replicas:
            replica.progressed_at = min(now, replica.progressed_at + late_s)

    def end_hung(self, now: float, timeout_s: float) -> None:
        """End busy replicas whose heartbeat stands still; their calls then end as those of any dead replica.

        Args:
            now: monotonic seconds.
            timeout_s: seconds since the heartbeat was last seen to move.
        """
        for replica in self.replicas:
            if not replica.calls or replica.is_hung:
                continue
            replica.poll_heartbeat(now)
            if now - replica.progressed_at > timeout_s:
                replica.is_hung = True
                units = ", ".join(call.state.unit.unit_id for call in replica.calls)
                logger.warning(
                    "a %s replica made no step for %.0f s; ending it (%s; %s)",
                    self.stage, timeout_s, units, replica.place,
                )  # fmt: skip
                ray_api.kill(replica.handle)

    def end_hung_starts(self, now: float, timeout_s: float) -> None:
        """Start others in place of replicas that do not come to the end of their start.

        Args:
            now: monotonic seconds.
            timeout_s: seconds from a process's first sign of life.

        Raises:
            HangError: too many hung with nothing done between.
        """
        for reference, replica in list(self.starting.items()):
            replica.note_arrival(now)
            if replica.arrived_at is None or now - replica.arrived_at <= timeout_s:
                continue
            del self.starting[reference]
            self.replicas.remove(replica)
            ray_api.kill(replica.handle)
            self._hung_starts += 1
            problem = f"a {self.stage} replica was not ready after {timeout_s:g} s: {replica.place}"
            if self._hung_starts > MAX_HUNG_STARTS:
                raise HangError(
                    f"{problem}, {self._hung_starts} times in a row. The log's last lines show where it stood. Check "
                    "that this machine can read `weights`, or raise replicas.start_timeout_s if it is only slow; then "
                    "run the same command again"
                )
            logger.warning("%s; starting another", problem)
            self._add()

    def close(self) -> None:
        """End every replica."""
        for replica in self.replicas:
            ray_api.kill(replica.handle)
        self.replicas.clear()
        self.starting.clear()
