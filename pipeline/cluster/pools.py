"""The replicas of one stage as a pool: created, picked, replaced when they die; and how many the cluster has room for.

Knows nothing of what the calls mean.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import ray
from ray.exceptions import (
    ActorUnavailableError,
    GetTimeoutError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
)

from pipeline.errors import HangError, RunStopped
from pipeline.manifest.rows import WorkUnit
from pipeline.synthesis.takes import Rejection, Wanted

logger = logging.getLogger(__name__)

Stage = Literal["llm", "codec", "writer"]
_ANSWER_S = 5.0
REPLICA_DEATHS = (RayActorError, OutOfMemoryError)
"""What a call of a dead replica raises; Ray has an error of its own for one that its memory monitor killed."""
MAX_FAILED_STARTS = 8
"""Replicas of one kind that may die one after the other, with no call done between, before the run stops."""
MAX_HUNG_STARTS = 2
"""The same of replicas whose start hangs; fewer, as each costs its time limit."""


@dataclass
class UnitState:
    """A unit in flight."""

    unit: WorkUnit
    rejections: dict[int, Rejection]
    """Rows that are not to be synthesized."""
    wanted: Wanted | None = None
    """Rows to synthesize again where the unit is committed already; none voices all and makes the commit."""
    parts: list[Any] = field(default_factory=list)
    """References: takes and audio in turn."""
    num_crashes: int = 0
    quarantine: deque[int] | None = None
    """Rows still to be run alone, once the unit has crashed too often; the first one is running."""
    crashes_isolated: Counter[int] = field(default_factory=Counter)
    """By row."""

    def restart(self) -> None:
        """Forget what was made: it is lost, or may be."""
        self.parts.clear()
        if self.quarantine is not None:
            self._isolate()

    def _isolate(self) -> None:
        rows = sorted(self.wanted) if self.wanted else range(self.unit.first_row, self.unit.last_row + 1)
        self.quarantine = deque(row for row in rows if row not in self.rejections)


@dataclass
class Call:
    """Something asked of a replica, or waiting to be."""

    stage: Stage
    state: UnitState
    wanted: Wanted | None = None
    takes: Any = None
    replica: Replica | None = None
    payload: Any = None

    @property
    def is_isolated(self) -> bool:
        """Whether it may share its replica with nothing."""
        return self.state.quarantine is not None and self.stage != "writer"


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
        if self.arrived_at is None and ray.wait([self.arrival], timeout=0)[0]:
            self.arrived_at = self.progressed_at = now
            with suppress(RayError):  # Whoever waits for its work is told, too.
                self.place = ray.get(self.arrival)

    def poll_heartbeat(self, now: float) -> None:
        """Ask for the heartbeat and take in an answer that is there; never waits."""
        if self.question is None:
            self.question = self.handle.heartbeat.remote()
        elif ray.wait([self.question], timeout=0)[0]:
            answer, self.question = self.question, None
            try:
                heartbeat = ray.get(answer)
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

    def pick(self, *, alone: bool) -> Replica | None:
        """Return the ready replica with the least to do that may take a call, if any."""
        room = [
            replica
            for replica in self.replicas
            if replica.is_ready
            and len(replica.calls) < (1 if alone else self._max_calls)
            and not any(call.is_isolated for call in replica.calls)
        ]
        return min(room, key=lambda replica: len(replica.calls), default=None)

    def note_success(self) -> None:
        """A call was done: the replicas of this kind can work."""
        self._failures = self._hung_starts = 0

    def replace(self, replica: Replica, error: BaseException) -> bool:
        """Take a dead replica's place; tells whether that was still to be done.

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
        ray.kill(replica.handle, no_restart=True)
        self._add()
        return True

    def replace_idle_dead(self) -> None:
        """Find replicas that died without a call in hand, before a call finds them and takes the blame."""
        for replica in [replica for replica in self.replicas if replica.is_ready and not replica.calls]:
            try:
                ray.get(replica.handle.heartbeat.remote(), timeout=_ANSWER_S)
            except REPLICA_DEATHS as error:
                self.replace(replica, error)
            except GetTimeoutError:
                pass

    def reset_timers(self, now: float, late_s: float) -> None:
        """Count no time in which nobody watched.

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
                ray.kill(replica.handle, no_restart=True)

    def end_hung_starts(self, now: float, timeout_s: float) -> None:
        """Take the place of replicas that do not come to the end of their start.

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
            ray.kill(replica.handle, no_restart=True)
            self._hung_starts += 1
            told = f"a {self.stage} replica was not ready after {timeout_s:g} s: {replica.place}"
            if self._hung_starts > MAX_HUNG_STARTS:
                raise HangError(
                    f"{told}, {self._hung_starts} times in a row. The log's last lines show where it stood. Check that "
                    "this machine can read `weights`, or raise replicas.start_timeout_s if it is only slow; then run "
                    "the same command again"
                )
            logger.warning("%s; starting another", told)
            self._add()

    def close(self) -> None:
        """End every replica."""
        for replica in self.replicas:
            ray.kill(replica.handle, no_restart=True)
        self.replicas.clear()
        self.starting.clear()


def died_by_itself(error: BaseException) -> bool:
    """Tell whether a replica died by what it did, rather than with its node or for a moment only."""
    if isinstance(error, ActorUnavailableError | NodeDiedError):
        return False
    # Ray has no class of its own for an actor that went with its node, only this sentence.
    return not getattr(error, "preempted", False) and "its node has died" not in str(error)


def plan_counts(
    wanted: dict[Stage, tuple[int | Literal["auto"], float, float]], cpus: float, gpus: float
) -> dict[Stage, int]:
    """Return how many replicas of each stage to start.

    Args:
        wanted: for each stage its count (or `auto`), and the CPUs and GPUs of one replica.
        cpus: of the cluster.
        gpus: of the cluster.

    Returns:
        counts; each `auto` stage gets as many as fit when all of them grow together, at least one.
    """
    fixed = [(count, c, g) for count, c, g in wanted.values() if count != "auto"]
    growing = [(c, g) for count, c, g in wanted.values() if count == "auto"]
    free_cpus = cpus - sum(count * c for count, c, _ in fixed)
    free_gpus = gpus - sum(count * g for count, _, g in fixed)
    sets = []
    for free, need in (
        (free_cpus, sum(c for c, _ in growing)),
        (free_gpus, sum(g for _, g in growing)),
    ):
        if need > 0:
            # The small addend keeps 1 / (0.1 + 0.2 + 0.7) from rounding down to 0.
            sets.append(int(free / need + 1e-9))
    share = max(1, min(sets, default=1))
    return {stage: share if count == "auto" else count for stage, (count, _, _) in wanted.items()}


def describe_shortage(wanted: dict[Stage, tuple[int, float, float]], cpus: float, gpus: float) -> str | None:
    """Return what the cluster lacks for these replicas, or None if they fit."""
    need_cpus = sum(count * c for count, c, _ in wanted.values())
    need_gpus = sum(count * g for count, _, g in wanted.values())
    lacks = []
    if need_cpus > cpus + 1e-9:
        lacks.append(f"{need_cpus:g} CPUs where the cluster has {cpus:g}")
    if need_gpus > gpus + 1e-9:
        lacks.append(f"{need_gpus:g} GPUs where the cluster has {gpus:g}")
    if not lacks:
        return None
    return f"the replicas need {' and '.join(lacks)}; lower replicas.*.count, num_cpus or num_gpus"


def pool_options(num_cpus: float, num_gpus: float, max_calls: int) -> dict[str, Any]:
    """Return Ray's options for a replica."""
    return {
        "num_cpus": num_cpus,
        "num_gpus": num_gpus,
        # One more thread than calls, so that a question about health never queues behind work.
        "max_concurrency": max_calls + 1,
    }


def count_references() -> int:
    """Return how many of Ray's objects this process holds on to; 0 where Ray is not running.

    Ray has no public way to ask without its dashboard.
    """
    if not ray.is_initialized():
        return 0
    worker: Any = ray._private.worker.global_worker
    return len(worker.core_worker.get_all_reference_counts())
