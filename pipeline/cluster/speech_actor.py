"""The replica that holds both networks: text to judged audio, where a card computes for both at the same time.

Two processes take turns on a card; two streams of one process share it. What is made is the same as in two.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.cluster.codec_actor import CodecActor, UnitAudio
from pipeline.cluster.llm_actor import LLMActor, UnitTakes
from pipeline.cluster.replica import ReplicaInfo, ReplicaSetup, find_weights, limit_gpu_memory
from pipeline.manifest.units import WorkUnit
from pipeline.synthesis.takes import Wanted


class SpeechActor(LLMActor):
    """Text to judged audio; while units are decoded, others' tokens are made."""

    def __init__(self, setup: ReplicaSetup) -> None:
        super().__init__(setup)
        self._codec = CodecActor(setup)

    def _load(self) -> ReplicaInfo:
        """Load both networks; the language model's threads are the process's, as they reach its bits."""
        replicas = self._setup.config.replicas
        limit_gpu_memory(self._setup.config.llm.device, replicas.llm.gpus + replicas.codec.gpus)
        weights_dir = find_weights(self._setup)
        codec = self._codec.load_network(weights_dir)
        llm = self.load_network(weights_dir)
        return replace(llm, environments={**llm.environments, **codec.environments})

    def heartbeat(self) -> int:
        """Return a number that grows while work goes on: rows prepared, tokens made, takes decoded."""
        return super().heartbeat() + self._codec.heartbeat()

    def speak(
        self, unit: WorkUnit, skipped: frozenset[int], wanted: Wanted | None
    ) -> tuple[UnitTakes, UnitAudio, Wanted]:
        """Make takes for a unit and decode them; arguments as of `generate`, results as of both stages."""
        takes, _ = self.generate(unit, skipped, wanted)
        audio, failed = self._codec.decode(takes)
        return takes, audio, failed
