"""The listener replica: decoded takes to verdicts on what is said in them; needs no weights."""

from __future__ import annotations

from pipeline.cluster.codec_actor import UnitAudio
from pipeline.cluster.llm_actor import UnitTakes
from pipeline.cluster.replica import (
    ReplicaBase,
    ReplicaInfo,
    ReplicaSetup,
    describe_replica,
    ending_a_sick_process,
    load_listening_of,
)
from pipeline.synthesis.takes import Verdict, Wanted, next_takes

UnitVerdicts = list[tuple[int, int, int, Verdict]]
"""Row, segment, take, and what was heard in it."""


class ListenerActor(ReplicaBase):
    """Decoded takes to verdicts; takes of two units may be heard at the same time."""

    def __init__(self, setup: ReplicaSetup) -> None:
        self._setup = setup

    def _load(self) -> ReplicaInfo:
        stage = load_listening_of(self._setup)
        assert stage is not None  # There are listeners only where somebody is to listen.
        self._stage = stage
        settings = self._setup.config.replicas.listener
        device = "cuda" if settings.gpus else "cpu"
        found = dict(stage.environment)
        return describe_replica("listener", settings.num_threads, device, found.pop("dtype"), **found)

    def heartbeat(self) -> int:
        """Return a number that grows while work goes on: takes heard."""
        return self._stage.num_takes

    def listen(self, unit_takes: UnitTakes, unit_audio: UnitAudio) -> tuple[UnitVerdicts, Wanted]:
        """Hear every take that its sound did not refuse.

        Args:
            unit_takes: of one round.
            unit_audio: what they sound like.

        Returns:
            the verdicts, and the takes to make again, those that the codec asked for among them.
        """
        texts = {(made.row, take.segment, take.take): take for made in unit_takes for take in made.takes}
        heard = [(texts[row, audio.segment, audio.take], audio) for row, audio in unit_audio]
        with ending_a_sick_process():
            verdicts = self._stage.listen(heard)
        judged = [(row, audio.after(verdict)) for (row, audio), verdict in zip(unit_audio, verdicts, strict=True)]
        found = [
            (row, audio.segment, audio.take, verdict)
            for (row, audio), verdict in zip(unit_audio, verdicts, strict=True)
            if verdict is not None
        ]
        return found, next_takes(judged, self._setup.config.quality.most_takes)
