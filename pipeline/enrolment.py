"""Enrolment on a machine of the cluster: watched, as it loads networks and reads what others recorded.

Knows nothing of the output that the voices are for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayTaskError

from pipeline.config import Config
from pipeline.errors import HangError, RunStopped, VoicingError
from pipeline.pools import REPLICA_DEATHS, Replica, pool_options
from pipeline.replicas import locate_process, set_torch_threads, stack_in_log
from pipeline.speakers import Speaker, SpeakerDefinition, enroll

logger = logging.getLogger(__name__)

MAX_TRIES = 3
"""Times that enrolment is begun before its hangs or deaths stop the run."""

Enrolled = tuple[list[Speaker], dict[str, str]]
"""Speakers, and for each one that could not be enrolled the reason, by id."""


@ray.remote(max_restarts=0)
class EnrolmentReplica:
    """Turns definitions into speakers."""

    def __init__(self, config: Config, num_threads: int) -> None:
        self._config = config
        self._num_threads = num_threads
        self._num_begun = 0

    def locate(self) -> str:
        """Tell where this replica runs; answered as soon as its process is there."""
        return locate_process()

    def pulse(self) -> int:
        """Return how many speakers were begun."""
        return self._num_begun

    def enroll(self, definitions: Sequence[SpeakerDefinition]) -> Enrolled:
        """Enroll speakers, in order."""
        from pipeline.synthesizer import Enroller
        from pipeline.weights import resolve_weights

        config = self._config
        set_torch_threads(self._num_threads)

        def load() -> Enroller:
            return Enroller(config, resolve_weights(config.weights, storage=config.storage))

        return enroll(self._watched(definitions), load, config.seed, config.storage)

    def _watched(self, definitions: Sequence[SpeakerDefinition]) -> Iterator[SpeakerDefinition]:
        for definition in definitions:
            self._num_begun += 1
            with stack_in_log(self._config.replicas.start_timeout_s):
                yield definition


def enroll_remotely(config: Config, definitions: Sequence[SpeakerDefinition]) -> Enrolled:
    """Enroll speakers where there is what the LLM replicas have.

    Args:
        config: of the run.
        definitions: speakers that are not enrolled yet.

    Returns:
        the speakers, and for each one that could not be enrolled the reason, by id.

    Raises:
        HangError: it made no step for `replicas.start_timeout_s`, time and again.
        RunStopped: its process died, time and again, or it failed in a way that nobody foresaw.
        VoicingError: the weights cannot be used.
    """
    llm = config.replicas.llm
    options = pool_options(llm.num_cpus, llm.num_gpus, max_calls=1)
    actor: Any = EnrolmentReplica
    for attempt in range(1, MAX_TRIES + 1):
        replica = Replica(actor.options(**options).remote(config, max(1, round(llm.num_cpus))))
        replica.arrival = replica.handle.locate.remote()
        try:
            return _await(replica, replica.handle.enroll.remote(definitions), config, definitions)
        except (HangError, *REPLICA_DEATHS) as error:
            problem = str(error) if isinstance(error, HangError) else f"enrolment died ({replica.place})"
            if attempt == MAX_TRIES:
                stopped = HangError if isinstance(error, HangError) else RunStopped
                raise stopped(
                    f"{problem}, {attempt} times. The log's last lines show where it stood. Check that this machine "
                    "can read `weights` and the speakers' recordings, or raise replicas.start_timeout_s if it is only "
                    "slow; then run the same command again"
                ) from None
            logger.warning("%s; beginning again", problem)
        finally:
            ray.kill(replica.handle, no_restart=True)
    raise AssertionError("MAX_TRIES is at least 1")


def _await(replica: Replica, result: Any, config: Config, definitions: Sequence[SpeakerDefinition]) -> Enrolled:
    """Return the result, or raise `HangError` once the pulse has stood still for too long."""
    timeout_s = config.replicas.start_timeout_s
    while not ray.wait([result], timeout=min(1.0, timeout_s / 10))[0]:
        now = time.monotonic()
        replica.note_arrival(now)
        if replica.arrived_at is None:
            continue  # It waits for room.
        replica.feel_pulse(now)
        if now - replica.moved_at > timeout_s:
            speaker = f" of speaker {definitions[replica.pulse - 1].speaker_id!r}" if replica.pulse > 0 else ""
            raise HangError(f"enrolment{speaker} made no step for {timeout_s:g} s ({replica.place})")
    replica.note_arrival(time.monotonic())  # For the messages: it may have died before it was asked.
    try:
        enrolled: Enrolled = ray.get(result)
    except VoicingError as error:
        # Ray's own text would carry a traceback.
        raise getattr(error, "cause", error) from None
    except RayTaskError as error:
        cause = f"{type(error.cause).__name__}: {error.cause}"
        raise RunStopped(f"enrolment failed: {cause} ({replica.place}); please report it") from None
    return enrolled
