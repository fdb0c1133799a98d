"""The stage that hears takes: decoded audio to verdicts on what is said, in whose voice, how naturally.

Knows nothing of Ray, storage or the weights' networks. One that is not good enough is made again by the first stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.config.run import Config
from pipeline.synthesis.listening import Listener, Spoken
from pipeline.synthesis.naturalness import Dnsmos, check_naturalness
from pipeline.synthesis.quality import judge_hearing
from pipeline.synthesis.recognition import check_recognizer, load_recognizer
from pipeline.synthesis.takes import SegmentAudio, Take, Verdict


class ListeningStage:
    """Decoded takes to verdicts; what is heard in a take depends on no other one.

    Args:
        config: of the run.
        listener: who hears.
        environment: what equal verdicts depend on, beside settings, model, device and threads.
    """

    def __init__(self, config: Config, listener: Listener, environment: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._listener = listener
        self.environment = dict(environment or {})
        self.num_takes = 0
        """Takes that were heard so far: what shows that a long batch moves."""

    def listen(self, takes: Sequence[tuple[Take, SegmentAudio]]) -> list[Verdict | None]:
        """Hear takes, and judge each; None for those that were refused for their sound.

        Args:
            takes: each with what it sounds like, at one rate.
        """
        verdicts: list[Verdict | None] = [None] * len(takes)
        places = [place for place, (_, audio) in enumerate(takes) if audio.rejection is None]
        spoken = [
            Spoken(audio.samples, take.text, take.language, audio.similarity)
            for take, audio in (takes[place] for place in places)
        ]
        if not spoken:
            return verdicts
        sample_rate = takes[places[0]][1].sample_rate
        for place, hearing in zip(places, self._listener.listen(spoken, sample_rate), strict=True):
            take, _ = takes[place]
            rejection = judge_hearing(hearing, self._config.quality)
            rejection = None if rejection is None else rejection.of_take(take.segment, take.take)
            verdicts[place] = Verdict(hearing, rejection)
            self.num_takes += 1
        return verdicts


def check_listening(config: Config) -> None:
    """See whether those who are to listen can be loaded, without loading them.

    Raises:
        ConfigError: what they need is not installed.
    """
    check_recognizer(config.quality.asr)
    if config.quality.naturalness == "dnsmos":
        check_naturalness()


def load_listening(
    config: Config, device: str = "cpu", num_threads: int = 1, asr_sha256: str | None = None
) -> ListeningStage | None:
    """Load the stage as a config asks for it; None where nobody is to listen.

    Args:
        config: of the run.
        device: `cpu` or `cuda`, of the recognizer.
        num_threads: on a CPU.
        asr_sha256: what the recognizer's model must be; none takes any.

    Raises:
        ConfigError: what it needs is not installed.
        WeightsError: the recognizer's model is not there, or is another one.
        StorageError: the store of the model does not answer.
    """
    if not config.quality.listens:
        return None
    environment: dict[str, str] = {"dtype": "float32"}
    rater = None
    if config.quality.naturalness == "dnsmos":
        rater = Dnsmos(num_threads)
        environment |= rater.environment
    recognizer = load_recognizer(config, device, num_threads, asr_sha256)
    if recognizer is not None:
        environment |= recognizer.environment
    return ListeningStage(config, Listener(recognizer, rater), environment)
