"""Rows replayed on a machine of the cluster: `pipeline.synthesis.replay` in a supervised process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.cluster import ray_api
from pipeline.cluster.replica import (
    ReplicaSetup,
    ending_a_sick_process,
    find_weights,
    load_listening_of,
    load_networks,
    locate_process,
    read_voices,
    set_torch_threads,
    stack_in_log,
)
from pipeline.cluster.replica_counts import plan_replicas
from pipeline.cluster.supervised import SupervisedActor
from pipeline.synthesis.replay import Replay, Replayer, ReplayRow
from pipeline.text import read_text_support


class ReplayActor:
    """Synthesizes rows one at a time with both networks; writes nothing."""

    def __init__(self, setup: ReplicaSetup) -> None:
        self._setup = setup
        self._replayer: Replayer | None = None

    def locate(self) -> str:
        """Tell where this replica runs; answered as soon as its process is there."""
        return locate_process()

    def heartbeat(self) -> int:
        """Return how many token steps and decodes there were."""
        return 0 if self._replayer is None else self._replayer.num_steps

    def replay(self, rows: Sequence[ReplayRow]) -> list[Replay]:
        """Load the networks, then synthesize rows in order."""
        with ending_a_sick_process():
            with stack_in_log(self._setup.config.replicas.start_timeout_s):
                self._replayer = self._load()
            return list(self._replayer.replay(rows))

    def _load(self) -> Replayer:
        from pipeline.synthesis.stages import AudioStage, TokenStage

        config, networks, weights_dir = self._setup.config, load_networks(self._setup), find_weights(self._setup)
        self._use_threads("llm")
        registry = read_voices(self._setup)
        engine, support = networks.load_engine(config, weights_dir), read_text_support(weights_dir)
        tokens = TokenStage(config, engine, registry, self._setup.lexicon, support)
        codec = networks.load_codec(config, weights_dir)
        audio = AudioStage(config, codec, load_listening_of(self._setup))
        return Replayer(config, tokens, audio, self._use_threads)

    def _use_threads(self, stage: str) -> None:
        replicas = self._setup.config.replicas
        set_torch_threads({"llm": replicas.llm, "codec": replicas.codec}[stage].num_threads)


def replay_remotely(setup: ReplicaSetup, rows: Sequence[ReplayRow]) -> list[Replay]:
    """Replay rows where there is what the LLM replicas have.

    Args:
        setup: of the run.
        rows: to replay, in order.

    Raises:
        ConfigError: the cluster has no room for it.
        HangError: it made no step for `replicas.hang_timeout_s` (`start_timeout_s` if that is longer), time and again.
        RunStopped: its process died, time and again, or it failed in a way that nobody foresaw.
        SynthesisError: the weights or voices cannot be used.
    """
    # Ray would wait for ever for what the cluster does not have.
    setup = replace(setup, config=plan_replicas(setup.config).config)
    replicas = setup.config.replicas
    listener = [replicas.listener] if setup.config.quality.listens else []
    num_gpus = max(replica.gpus for replica in (replicas.llm, replicas.codec, *listener))
    actor = SupervisedActor(
        lambda: ray_api.create_actor(ReplayActor, setup, num_cpus=replicas.llm.cpus, num_gpus=num_gpus, max_calls=1),
        timeout_s=max(replicas.start_timeout_s, replicas.hang_timeout_s),
        remedy="Name fewer rows to find the one that does it, or raise replicas.hang_timeout_s if it is only slow",
    )
    with actor:
        takes: list[Replay] = actor.call(lambda replica: replica.replay.remote(rows), "replaying rows")
    return takes
