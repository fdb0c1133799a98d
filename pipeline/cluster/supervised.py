"""One actor's calls under supervision: it shows that it makes steps, or it is ended and made again.

For work outside of the coordinator's pools: enrollment, and rows replayed in isolation. A call may take as long as it
likes while its heartbeat grows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ray.exceptions import RayError, RayTaskError

from pipeline.cluster import ray_api
from pipeline.cluster.pools import Replica
from pipeline.cluster.ray_api import died_by_itself, is_loss
from pipeline.cluster.ray_cluster import NodeWatch
from pipeline.errors import HangError, RunStopped, SynthesisError

logger = logging.getLogger(__name__)

_ANSWER_S = 2.0
MAX_TRIES = 3
"""Times that a call is made before hangs or deaths stop the run."""


class SupervisedActor:
    """An actor that is made when it is first called, and again where it hangs or dies; ended with the block.

    Args:
        create: makes an actor that answers to `locate` and to `heartbeat`, a number that grows while work goes on.
        timeout_s: how long the heartbeat may stand still, loading included, but not the wait for room in the cluster.
        remedy: what the user can do about hangs and deaths; a sentence without its full stop.
    """

    def __init__(self, create: Callable[[], Any], *, timeout_s: float, remedy: str) -> None:
        self._create = create
        self._timeout_s = timeout_s
        self._remedy = remedy
        self._replica: Replica | None = None
        self._nodes = NodeWatch()

    def __enter__(self) -> SupervisedActor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def call(self, ask: Callable[[Any], Any], work: str) -> Any:
        """Ask the actor for work and return what it answers.

        Args:
            ask: asks a handle for the work; returns the reference to the answer.
            work: names the work for messages.

        Raises:
            HangError: the heartbeat stood still, time and again.
            RunStopped: the process died, time and again, or it failed in a way that nobody foresaw.
            SynthesisError: whatever the work raises of these.
        """
        num_failed = 0
        while True:
            stop: type[RunStopped] = RunStopped
            replica = self._begin()
            try:
                return self._await(replica, ask(replica.handle), work)
            except HangError as error:
                problem, stop = str(error), HangError
            except SynthesisError as error:
                # Ray's own text would carry a traceback.
                raise getattr(error, "cause", error) from None
            except RayError as error:
                if isinstance(error, RayTaskError) and not is_loss(error):
                    cause = f"{type(error.cause).__name__}: {error.cause}"
                    raise RunStopped(f"{work} failed: {cause} ({replica.place}); please report it") from None
                problem = f"{work} died ({replica.place})"
                if not died_by_itself(error):
                    logger.warning("%s with its node; beginning again", problem)
                    self._end()
                    continue
            self._end()
            num_failed += 1
            if num_failed == MAX_TRIES:
                raise stop(
                    f"{problem}, {num_failed} times. The log's last lines show where it stood. {self._remedy}; then "
                    "run the same command again"
                )
            logger.warning("%s; beginning again", problem)

    def _begin(self) -> Replica:
        if self._replica is None:
            self._replica = Replica(self._create())
            self._replica.arrival = self._replica.handle.locate.remote()
        self._replica.progressed_at = time.monotonic()
        return self._replica

    def _end(self) -> None:
        if self._replica is not None:
            ray_api.kill(self._replica.handle)
            self._replica = None

    def _await(self, replica: Replica, result: Any, work: str) -> Any:
        """Return the result, or raise `HangError` once the heartbeat has stood still for too long."""
        while not ray_api.wait([result], timeout=min(1.0, self._timeout_s / 10)):
            now = time.monotonic()
            self._nodes.check_if_due()
            replica.note_arrival(now)
            if replica.arrived_at is None:
                continue  # It waits for room.
            replica.poll_heartbeat(now)
            if now - replica.progressed_at > self._timeout_s:
                raise HangError(f"{work} made no step for {self._timeout_s:g} s ({replica.place})")
        if replica.arrived_at is None:  # Messages say where it ran; it may have died before it was asked.
            ray_api.wait([replica.arrival], timeout=_ANSWER_S)
            replica.note_arrival(time.monotonic())
        return ray_api.get(result)
