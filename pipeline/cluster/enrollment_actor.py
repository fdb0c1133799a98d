"""Enrollment on a machine of the cluster: supervised, as it loads networks and reads what others recorded.

Knows nothing of the output that the voices are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.cluster import ray_api
from pipeline.cluster.replica import ending_a_sick_process, locate_process, set_torch_threads, stack_in_log
from pipeline.cluster.replica_counts import plan_replicas
from pipeline.cluster.supervised import SupervisedActor
from pipeline.config.run import Config
from pipeline.synthesis.speaker_definitions import SpeakerDefinition
from pipeline.synthesis.speakers import Speaker

if TYPE_CHECKING:  # Loads torch, which the driver does without.
    from pipeline.synthesis.enrollment import Enroller


class EnrollmentActor:
    """Turns definitions into speakers."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._enroller: Enroller | None = None
        self._num_begun = 0

    def locate(self) -> str:
        """Tell where this replica runs; answered as soon as its process is there."""
        return locate_process()

    def heartbeat(self) -> int:
        """Return how many speakers were begun."""
        return self._num_begun

    def enroll(self, definition: SpeakerDefinition) -> Speaker | str:
        """Enroll a speaker, or return the reason why it cannot be enrolled."""
        from pipeline.synthesis.enrollment import enroll

        self._num_begun += 1
        set_torch_threads(self._config.replicas.llm.num_threads)
        with ending_a_sick_process(), stack_in_log(self._config.replicas.start_timeout_s):
            speakers, failures = enroll([definition], self._load, self._config)
        return speakers[0] if speakers else failures[definition.speaker_id]

    def _load(self) -> Enroller:
        """Return what enrolls; it keeps the networks from one speaker to the next."""
        from pipeline.synthesis.enrollment import Enroller
        from pipeline.weights.weights import resolve_weights

        if self._enroller is None:
            config = self._config
            self._enroller = Enroller(config, resolve_weights(config.weights, storage=config.storage))
        return self._enroller


def enroll_remotely(
    config: Config, definitions: Sequence[SpeakerDefinition]
) -> Iterator[tuple[SpeakerDefinition, Speaker | str]]:
    """Enroll speakers where there is what the LLM replicas have, one after the other.

    Args:
        config: of the run.
        definitions: speakers that are not enrolled yet.

    Yields:
        each definition with its speaker, or with the reason why it cannot be enrolled, as soon as that is known: what
        was yielded is not lost with what comes after.

    Raises:
        ConfigError: the cluster has no room for it.
        HangError: it made no step for `replicas.start_timeout_s`, time and again.
        RunStopped: its process died, time and again, or it failed in a way that nobody foresaw.
        SynthesisError: the weights cannot be used.
    """
    # Ray would wait for ever for what the cluster does not have.
    config = plan_replicas(config).config
    llm = config.replicas.llm
    actor = SupervisedActor(
        lambda: ray_api.create_actor(EnrollmentActor, config, num_cpus=llm.cpus, num_gpus=llm.gpus, max_calls=1),
        timeout_s=config.replicas.start_timeout_s,
        remedy=(
            "Check that this machine can read `weights` and the speakers' recordings, or raise "
            "replicas.start_timeout_s if it is only slow"
        ),
    )
    with actor:
        for definition in definitions:
            ask = partial(_ask, definition)
            yield definition, actor.call(ask, f"enrollment of speaker {definition.speaker_id!r}")


def _ask(definition: SpeakerDefinition, replica: Any) -> Any:
    return replica.enroll.remote(definition)
