"""One row synthesized alone on a machine of the cluster: `pipeline.synthesis.replay` in a supervised process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray

from pipeline.cluster.pools import pool_options
from pipeline.cluster.replica import (
    ReplicaSetup,
    ending_a_sick_process,
    find_weights,
    load_networks,
    locate_process,
    set_torch_threads,
    stack_in_log,
)
from pipeline.cluster.supervised import call_supervised
from pipeline.storage import open_storage
from pipeline.synthesis.replay import Replay, Replayer, ReplayRow
from pipeline.synthesis.speakers import SpeakerRegistry


@ray.remote(max_restarts=0)
class ReplayActor:
    """Voices rows one at a time with both networks; writes nothing."""

    def __init__(self, setup: ReplicaSetup, num_codec_threads: int) -> None:
        self._setup = setup
        self._num_threads = {"llm": setup.num_threads, "codec": num_codec_threads}
        self._replayer: Replayer | None = None

    def locate(self) -> str:
        """Tell where this replica runs; answered as soon as its process is there."""
        return locate_process()

    def heartbeat(self) -> int:
        """Return how many token steps and decodes there were."""
        return 0 if self._replayer is None else self._replayer.num_steps

    def voice(self, rows: Sequence[ReplayRow]) -> list[Replay]:
        """Load the networks, then synthesize rows in order."""
        with stack_in_log(self._setup.config.replicas.start_timeout_s):
            self._replayer = self._load()
        with ending_a_sick_process():
            return list(self._replayer.voice(rows))

    def _load(self) -> Replayer:
        from pipeline.synthesis.stages import AudioStage, TokenStage

        config, networks, weights_dir = self._setup.config, load_networks(self._setup), find_weights(self._setup)
        self._use_threads("llm")
        registry = SpeakerRegistry.from_parquet(open_storage(config.output, config.storage).get("speakers.parquet"))
        tokens = TokenStage(config, networks.load_engine(config, weights_dir), registry, self._setup.lexicon)
        return Replayer(config, tokens, AudioStage(config, networks.load_codec(config, weights_dir)), self._use_threads)

    def _use_threads(self, stage: str) -> None:
        set_torch_threads(self._num_threads[stage])


def replay_remotely(setup: ReplicaSetup, num_codec_threads: int, rows: Sequence[ReplayRow]) -> list[Replay]:
    """Synthesize rows alone where there is what the LLM replicas have.

    Args:
        setup: of the run's LLM replicas.
        num_codec_threads: of its codec replicas.
        rows: to voice, in order.

    Raises:
        HangError: it made no step for `replicas.hang_timeout_s` (`start_timeout_s` if that is longer), time and again.
        RunStopped: its process died, time and again, or it failed in a way that nobody foresaw.
        SynthesisError: the weights or voices cannot be used.
    """
    replicas = setup.config.replicas
    num_gpus = max(replicas.llm.num_gpus, replicas.codec.num_gpus)
    actor: Any = ReplayActor.options(**pool_options(replicas.llm.num_cpus, num_gpus, max_calls=1))  # type: ignore[attr-defined]
    takes: list[Replay] = call_supervised(
        lambda: actor.remote(setup, num_codec_threads),
        lambda replica: replica.voice.remote(rows),
        lambda heartbeat: "replaying rows",
        timeout_s=max(replicas.start_timeout_s, replicas.hang_timeout_s),
        remedy="Name fewer rows to find the one that does it, or raise replicas.hang_timeout_s if it is only slow",
    )
    return takes
