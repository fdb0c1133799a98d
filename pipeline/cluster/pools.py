"""The replicas of one stage as a pool: created, picked for calls, replaced when they die or hang."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ray.exceptions import GetTimeoutError, RayError

from pipeline.cluster import ray_api
from pipeline.cluster.node_health import NodeHealth
from pipeline.cluster.ray_api import REPLICA_DEATHS, died_by_itself
from pipeline.cluster.work_items import Call, Stage
from pipeline.config.figures import apart
from pipeline.errors import HangError, RunStopped, SynthesisError

logger = logging.getLogger(__name__)

_ANSWER_S = 5.0
MAX_DEATHS = 8
"""Ready replicas of one stage that may die one after the other, with no call done between, before the run stops;
or as many as there are, if that is more."""
START_TRIES = 3
"""Starts of one replica that may fail before it counts as one that cannot start."""
_RETRY_S, _LONGEST_RETRY_S = 30.0, 600.0
"""Until such a replica is tried again; doubles each time."""
_LOOK_AHEAD = 16
"""Calls among which one is looked for whose input is on a replica's node; also how often a call is overtaken so."""
_REST_S, _LONGEST_REST_S = 1.0, 30.0
"""Until a replica gets work again after a request to a store failed; doubles each time."""


@dataclass(eq=False)
class Replica:
    """An actor as the coordinator sees it."""

    handle: Any
    slot: int = 0
    """Which of its stage's places it has; one that replaces it takes the same."""
    node_id: str | None = None
    """Of the node where it is, once it is ready."""
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
    num_failed_starts: int = 0
    """Of those that were started in its place before it, one after the other."""
    num_store_failures: int = 0
    """Calls that failed one after the other because a store did."""
    rests_until: float = 0.0
    """Gets no work before, by the monotonic clock."""

    def rest(self, now: float) -> None:
        """Leave work to others for a while, as a store failed here."""
        longest_s = min(_LONGEST_REST_S, _REST_S * 2**self.num_store_failures)
        self.num_store_failures += 1
        # Jitter: replicas that failed together do not come back together.
        self.rests_until = now + random.uniform(longest_s / 2, longest_s)

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
        create: makes an actor for a slot.
        count: how many to keep alive.
        max_calls: calls in flight for each.
        nodes: learns where replicas fail; shared with the other pools.
        max_failed_starts: the share of them that may be unable to start while the run goes on.
    """

    def __init__(
        self,
        stage: Stage,
        create: Callable[[int], Any],
        count: int,
        max_calls: int,
        *,
        nodes: NodeHealth | None = None,
        max_failed_starts: float = 0.5,
    ) -> None:
        self.stage = stage
        self._create = create
        self.count = count
        self._max_calls = max_calls
        self._nodes = nodes or NodeHealth()
        self._max_failed_starts = max_failed_starts
        self._num_deaths = 0
        self._postponed: list[tuple[float, int, int]] = []
        """Starts to try again: when, in which slot, and how often they failed."""
        self.starting: dict[Any, Replica] = {}
        self.replicas: list[Replica] = []
        self.queue: deque[Call] = deque()
        for slot in range(count):
            self._add(slot)

    def _add(self, slot: int, num_failed_starts: int = 0) -> None:
        replica = Replica(self._create(slot), slot, num_failed_starts=num_failed_starts)
        self.replicas.append(replica)
        # Asked first: a start that keeps the interpreter to itself would let nothing else be answered.
        replica.arrival = replica.handle.locate.remote()
        self.starting[replica.handle.start.remote()] = replica

    def note_ready(self, replica: Replica, node_id: str | None = None) -> None:
        """A replica has started well, on this node."""
        replica.is_ready, replica.node_id = True, node_id
        replica.num_failed_starts = 0
        self._nodes.note_success(replica.handle)

    def start_failed(self, replica: Replica, error: SynthesisError, now: float) -> None:
        """Try a start again: at once, then after a while.

        Args:
            replica: what did not start.
            error: why.
            now: monotonic seconds.

        Raises:
            SynthesisError: the error, where no replica of this stage can start; else `RunStopped`, where too many of
                them cannot.
        """
        self.replicas.remove(replica)
        self._nodes.note_failure(replica.handle)
        ray_api.kill(replica.handle)
        num_failed = replica.num_failed_starts + 1
        logger.warning("a %s replica could not start (%s): %s", self.stage, replica.place, error)
        if num_failed < START_TRIES:
            self._add(replica.slot, num_failed)
            return
        wait_s = min(_LONGEST_RETRY_S, _RETRY_S * 2 ** (num_failed - START_TRIES))
        self._postponed.append((now + wait_s, replica.slot, num_failed))
        num_failing = len(self._postponed) + sum(r.num_failed_starts >= START_TRIES for r in self.replicas)
        if num_failing == self.count:
            raise error
        if num_failing > self._max_failed_starts * self.count:
            places = self._nodes.describe()
            share, most = apart(num_failing / self.count, self._max_failed_starts, percent=True)
            raise RunStopped(
                f"{num_failing} of {self.count} {self.stage} replicas ({share}) cannot start, more than "
                f"replicas.max_failed_starts ({most}) allows{places and f': {places}'}; the "
                f"last error: {error}"
            )

    def start_postponed(self, now: float) -> None:
        """Try starts again whose time has come, by the monotonic clock."""
        due = [(slot, num_failed) for at, slot, num_failed in self._postponed if at <= now]
        self._postponed = [entry for entry in self._postponed if entry[0] > now]
        for slot, num_failed in due:
            self._add(slot, num_failed)

    def take_call(self) -> tuple[Call, Replica] | None:
        """Take the next call off the queue; returns it with the replica that shall have it, or none if none may.

        A replica on another node than the first call's input takes one behind it whose input is at hand, if there is
        any: where a stage falls behind, results would cross the network as often as not.
        """
        call = self.queue[0]
        replica = self._pick(call)
        if replica is None:
            return None
        may_wait = not call.is_isolated and call.state.node_id not in (None, replica.node_id)
        if may_wait and call.num_overtaken < _LOOK_AHEAD:
            for other in islice(self.queue, 1, _LOOK_AHEAD):
                if other.state.node_id == replica.node_id and not other.is_isolated:
                    call.num_overtaken += 1
                    call = other
                    break
        self.queue.remove(call)
        return call, replica

    def _pick(self, call: Call) -> Replica | None:
        """Return the ready replica that shall take a call, if any may: one where its input is, with the least to do."""
        now = time.monotonic()
        room = [
            replica
            for replica in self.replicas
            if replica.is_ready
            and replica.rests_until <= now
            and len(replica.calls) < (1 if call.is_isolated else self._max_calls)
            and not any(other.is_isolated for other in replica.calls)
        ]
        node_id = call.state.node_id
        return min(room, key=lambda replica: (replica.node_id != node_id, len(replica.calls)), default=None)

    def note_success(self) -> None:
        """A call was done: the replicas of this kind can work."""
        self._num_deaths = 0

    def replace(self, replica: Replica, error: BaseException) -> bool:
        """Start another in place of a dead replica; returns whether that was still to be done.

        Raises:
            RunStopped: too many died with nothing done between.
        """
        if replica not in self.replicas:
            return False
        is_own_death = died_by_itself(error)
        if is_own_death and not replica.is_ready:
            self.starting = {reference: other for reference, other in self.starting.items() if other is not replica}
            self.start_failed(replica, RunStopped(f"its process died: {_one_line(error)}"), time.monotonic())
            return True
        self.replicas.remove(replica)
        # A preempted node takes many replicas at once, and says nothing of whether they can work.
        if is_own_death:
            self._num_deaths += 1
            self._nodes.note_failure(replica.handle)
        if self._num_deaths > max(MAX_DEATHS, self.count):
            raise RunStopped(
                f"{self._num_deaths} {self.stage} replicas died one after the other without finishing a call; the last "
                f"error: {_one_line(error)}"
            )
        logger.warning("%s replica died (%s); starting another", self.stage, type(error).__name__)
        ray_api.kill(replica.handle)
        self._add(replica.slot)
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
            SynthesisError: as `start_failed`.
        """
        for reference, replica in list(self.starting.items()):
            replica.note_arrival(now)
            if replica.arrived_at is None or now - replica.arrived_at <= timeout_s:
                continue
            del self.starting[reference]
            hang = HangError(
                f"a {self.stage} replica was not ready after {timeout_s:g} s: {replica.place}, "
                f"{replica.num_failed_starts + 1} times in a row. The log's last lines show where it stood. Check that "
                "this machine can read `weights`, or raise replicas.start_timeout_s if it is only slow; then run the "
                "same command again"
            )
            self.start_failed(replica, hang, now)

    def close(self) -> None:
        """End every replica."""
        for replica in self.replicas:
            ray_api.kill(replica.handle)
        self.replicas.clear()
        self.starting.clear()
        self._postponed.clear()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
