"""The codec replica: semantic tokens to judged audio."""

from __future__ import annotations

from pathlib import Path

from pipeline.cluster.llm_actor import UnitTakes
from pipeline.cluster.replica import (
    ReplicaBase,
    ReplicaInfo,
    ReplicaSetup,
    describe_replica,
    ending_a_sick_process,
    find_weights,
    limit_gpu_memory,
    load_networks,
    set_torch_threads,
)
from pipeline.synthesis.takes import SegmentAudio, Wanted, next_takes

UnitAudio = list[tuple[int, SegmentAudio]]


class CodecActor(ReplicaBase):
    """Semantic tokens to judged audio."""

    def __init__(self, setup: ReplicaSetup) -> None:
        self._setup = setup

    def _load(self) -> ReplicaInfo:
        limit_gpu_memory(self._setup.config.codec.device, self._setup.config.replicas.codec.gpus)
        return self.load_network(find_weights(self._setup))

    def load_network(self, weights_dir: Path) -> ReplicaInfo:
        """Load the network."""
        from pipeline.synthesis.stages import AudioStage

        config = self._setup.config
        num_threads = config.replicas.codec.num_threads
        set_torch_threads(num_threads)
        codec = load_networks(self._setup).load_codec(config, weights_dir)
        self._stage = AudioStage(config, codec)
        return describe_replica("codec", num_threads, str(codec.device), str(codec.dtype))

    def heartbeat(self) -> int:
        """Return a number that grows while work goes on: takes decoded."""
        return self._stage.num_takes

    def decode(self, unit_takes: UnitTakes) -> tuple[UnitAudio, Wanted]:
        """Decode every take of the rows that are not rejected; returns the audio, and the takes to make again."""
        takes = [(result.row, take) for result in unit_takes if result.rejection is None for take in result.takes]
        with ending_a_sick_process():
            audios = self._stage.decode([take for _, take in takes])
        decoded = [(row, audio) for (row, _), audio in zip(takes, audios, strict=True)]
        return decoded, next_takes(decoded, self._setup.config.quality.most_takes)
