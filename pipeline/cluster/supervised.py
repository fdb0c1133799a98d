"""One supervised call of an actor made for it: a process that stands still or dies is ended, the call made again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ray.exceptions import RayTaskError

from pipeline.cluster import ray_api
from pipeline.cluster.pools import Replica
from pipeline.cluster.ray_api import REPLICA_DEATHS
from pipeline.errors import HangError, RunStopped, SynthesisError

logger = logging.getLogger(__name__)

_ANSWER_S = 2.0
MAX_TRIES = 3
"""Times that the call is made before hangs or deaths stop the run."""


def call_supervised(
    create: Callable[[], Any],
    call: Callable[[Any], Any],
    describe: Callable[[int], str],
    *,
    timeout_s: float,
    remedy: str,
) -> Any:
    """Make an actor, call it, and return what it answers.

    Args:
        create: makes an actor that answers to `locate` and to `heartbeat`, a number that grows while work goes on.
        call: asks the actor for the work; returns the reference to the answer.
        describe: names the work for messages, from the last heartbeat (-1: none was heard).
        timeout_s: how long the heartbeat may stand still, loading included, but not the wait for room in the cluster.
        remedy: what the user can do about hangs and deaths; a sentence without its full stop.

    Raises:
        HangError: its heartbeat stood still, time and again.
        RunStopped: its process died, time and again, or it failed in a way that nobody foresaw.
        SynthesisError: whatever the work raises of these.
    """
    for attempt in range(1, MAX_TRIES + 1):
        replica = Replica(create())
        replica.arrival = replica.handle.locate.remote()
        try:
            return _await(replica, call(replica.handle), describe, timeout_s)
        except (HangError, *REPLICA_DEATHS) as error:
            problem = str(error) if isinstance(error, HangError) else f"{describe(-1)} died ({replica.place})"
            if attempt == MAX_TRIES:
                stopped = HangError if isinstance(error, HangError) else RunStopped
                raise stopped(
                    f"{problem}, {attempt} times. The log's last lines show where it stood. {remedy}; then run "
                    "the same command again"
                ) from None
            logger.warning("%s; beginning again", problem)
        finally:
            ray_api.kill(replica.handle)
    raise AssertionError("MAX_TRIES is at least 1")


def _await(replica: Replica, result: Any, describe: Callable[[int], str], timeout_s: float) -> Any:
    """Return the result, or raise `HangError` once the heartbeat has stood still for too long."""
    while not ray_api.wait([result], timeout=min(1.0, timeout_s / 10)):
        now = time.monotonic()
        replica.note_arrival(now)
        if replica.arrived_at is None:
            continue  # It waits for room.
        replica.poll_heartbeat(now)
        if now - replica.progressed_at > timeout_s:
            raise HangError(f"{describe(replica.heartbeat)} made no step for {timeout_s:g} s ({replica.place})")
    if replica.arrived_at is None:  # Messages say where it ran; it may have died before it was asked.
        ray_api.wait([replica.arrival], timeout=_ANSWER_S)
        replica.note_arrival(time.monotonic())
    try:
        return ray_api.get(result)
    except SynthesisError as error:
        # Ray's own text would carry a traceback.
        raise getattr(error, "cause", error) from None
    except RayTaskError as error:
        cause = f"{type(error.cause).__name__}: {error.cause}"
        raise RunStopped(f"{describe(-1)} failed: {cause} ({replica.place}); please report it") from None
