"""Enrollment on a machine of the cluster: supervised, as it loads networks and reads what others recorded.

Knows nothing of the output that the voices are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.cluster import ray_api
from pipeline.cluster.replica import ending_a_sick_process, locate_process, set_torch_threads, stack_in_log
from pipeline.cluster.replica_counts import plan_replicas
from pipeline.cluster.supervised import call_supervised
from pipeline.config.run import Config
from pipeline.synthesis.speakers import Speaker, SpeakerDefinition

Enrolled = tuple[list[Speaker], dict[str, str]]
"""Speakers, and for each one that could not be enrolled the reason, by id."""


class EnrollmentActor:
    """Turns definitions into speakers."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._num_begun = 0

    def locate(self) -> str:
        """Tell where this replica runs; answered as soon as its process is there."""
        return locate_process()

    def heartbeat(self) -> int:
        """Return how many speakers were begun."""
        return self._num_begun

    def enroll(self, definitions: Sequence[SpeakerDefinition]) -> Enrolled:
        """Enroll speakers, in order."""
        from pipeline.synthesis.enrollment import Enroller, enroll
        from pipeline.weights.weights import resolve_weights

        config = self._config
        set_torch_threads(config.replicas.llm.num_threads)

        def load() -> Enroller:
            return Enroller(config, resolve_weights(config.weights, storage=config.storage))

        with ending_a_sick_process():
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
        ConfigError: the cluster has no room for it.
        HangError: it made no step for `replicas.start_timeout_s`, time and again.
        RunStopped: its process died, time and again, or it failed in a way that nobody foresaw.
        SynthesisError: the weights cannot be used.
    """
    llm = config.replicas.llm
    # Ray would wait for ever for what the cluster does not have.
    plan_replicas(config.replicas)

    def create() -> Any:
        return ray_api.create_actor(EnrollmentActor, config, num_cpus=llm.num_cpus, num_gpus=llm.num_gpus, max_calls=1)

    def describe(heartbeat: int) -> str:
        return f"enrollment of speaker {definitions[heartbeat - 1].speaker_id!r}" if heartbeat > 0 else "enrollment"

    enrolled: Enrolled = call_supervised(
        create,
        lambda replica: replica.enroll.remote(definitions),
        describe,
        timeout_s=config.replicas.start_timeout_s,
        remedy=(
            "Check that this machine can read `weights` and the speakers' recordings, or raise "
            "replicas.start_timeout_s if it is only slow"
        ),
    )
    return enrolled
