"""Text in, audio out, in one process: the Python API on top of the stages."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch

from pipeline.audio.clips import Audio
from pipeline.codec import BiCodec
from pipeline.config.config_file import apply_overrides
from pipeline.config.run import Config, parse_config
from pipeline.errors import SpeakerError, UtteranceError
from pipeline.llm import LLMEngine
from pipeline.llm.prompt import SpeechVocabulary
from pipeline.manifest.rows import Utterance, hash_seed
from pipeline.synthesis.enrollment import Enroller, enroll, enroll_from_file
from pipeline.synthesis.listening_stage import load_listening
from pipeline.synthesis.load_networks import load_codec, load_engine
from pipeline.synthesis.speaker_definitions import make_definition
from pipeline.synthesis.speakers import SpeakerRegistry, report_doubts
from pipeline.synthesis.stages import AudioStage, TokenStage, UtteranceJob
from pipeline.synthesis.takes import Rejection, SegmentAudio, UtteranceOutcome, Wanted, next_takes
from pipeline.text import TextSupport, read_text_support
from pipeline.text.lexicon import read_lexicon
from pipeline.weights.weights import resolve_weights

logger = logging.getLogger(__name__)


class Synthesizer:
    """Speak in one process, without Ray.

    Example:
        >>> synthesizer = Synthesizer.load("demo")
        >>> audio = synthesizer.speak("Hello.", speaker=synthesizer.speakers[0], seed=7)
        >>> audio.write("hello.wav")
    """

    def __init__(
        self, config: Config, engine: LLMEngine, codec: BiCodec, registry: SpeakerRegistry, support: TextSupport
    ) -> None:
        self._config = config
        self._registry = registry
        self._engine = engine
        self._codec = codec
        self._lexicon = read_lexicon(config)
        self._support = support
        self._tokens = TokenStage(config, engine, registry, self._lexicon, support)
        self._audio = AudioStage(config, codec, load_listening(config, codec.device.type, torch.get_num_threads()))

    @classmethod
    def load(
        cls,
        weights: str | os.PathLike[str] = "demo",
        *,
        speakers: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Synthesizer:
        """Load weights and enroll speakers.

        Args:
            weights: `demo`, a model directory, an object-store URI or `hf://owner/name`.
            speakers: a speakers file (Parquet or YAML); none takes the `speakers.yaml` beside the weights.
            settings: settings as in a config file, by dotted name or nested: `{"llm.slots": 8}`.

        Raises:
            ConfigError: a setting is wrong.
            WeightsError: the weights cannot be loaded.
            SpeakerError: a speaker cannot be enrolled.
        """
        weights, speakers = os.fspath(weights), None if speakers is None else os.fspath(speakers)
        given: dict[str, Any] = {}
        apply_overrides(given, settings or {})
        of_speakers = given["speakers"] if isinstance(given.get("speakers"), Mapping) else {}
        given |= {"weights": weights, "speakers": {**of_speakers, "path": speakers or "-"}}
        config = parse_config({**given, "manifest": "-", "output": "-"}, source="settings")
        weights_dir = resolve_weights(weights)
        registry = enroll_from_file(config, weights_dir, speakers)
        engine, codec = load_engine(config, weights_dir), load_codec(config, weights_dir)
        return cls(config, engine, codec, registry, read_text_support(weights_dir))

    @property
    def speakers(self) -> list[str]:
        """Ids of the enrolled voices."""
        return list(self._registry)

    def describe_recording(self, speaker_id: str) -> Mapping[str, Any] | None:
        """Return what was measured of a speaker's recording, and its `doubts`; None of a voice without one."""
        return self._registry[speaker_id].recording

    def add_speaker(self, speaker_id: str, **definition: Any) -> None:
        """Enroll one more voice, for example a clone of a recording.

        Args:
            speaker_id: how `speak` calls it; a new name.
            definition: the fields of a speakers file: `reference_audio` with or without `reference_text`; or `gender`,
                `pitch` and `speed`; or `global_tokens`.

        Raises:
            SpeakerError: the name is taken, the definition is wrong, or the recording cannot be used.
        """
        if speaker_id in self._registry:
            raise SpeakerError(f"speaker {speaker_id!r:.80}: there is one of this name; choose another")
        wanted = make_definition({"speaker_id": speaker_id, **definition})
        config = self._config

        def make_enroller() -> Enroller:
            return Enroller(config, resolve_weights(config.weights), self._engine, self._codec)

        enrolled, failures = enroll([wanted], make_enroller, config)
        if failures:
            raise SpeakerError(failures[speaker_id])
        report_doubts(speaker_id, enrolled[0].doubts)
        self._registry = self._registry.add(enrolled)
        self._tokens = TokenStage(config, self._engine, self._registry, self._lexicon, self._support)

    @property
    def vocabulary(self) -> SpeechVocabulary:
        """The speech tokens of the loaded model."""
        return self._engine.vocabulary

    def speak(self, text: str, *, speaker: str, seed: int | None = None, language: str | None = None) -> Audio:
        """Say a text.

        Args:
            text: what to say, of any length.
            speaker: an enrolled id.
            seed: another seed gives another take; none takes one that follows from the text.
            language: `en`, `zh`, ...; none detects it.

        Raises:
            UtteranceError: it cannot be synthesized.
        """
        chosen = hash_seed(self._config.seed, text) if seed is None else seed
        row = {"utterance_id": "speak", "text": text, "speaker_id": speaker, "seed": chosen, "language": language}
        (audio,) = self.speak_many([row])
        assert isinstance(audio, Audio)
        return audio

    def speak_many(
        self,
        utterances: Iterable[Utterance | Mapping[str, Any]],
        *,
        on_error: Literal["raise", "return"] = "raise",
    ) -> Iterator[Audio | UtteranceError]:
        """Say many texts; they share the engine, and each sounds as it does alone.

        Args:
            utterances: `Utterance` objects, or mappings with the manifest's columns. Read lazily.
            on_error: what becomes of an utterance that cannot be synthesized: its error is raised, or takes its place.

        Yields:
            one result an utterance, in their order.

        Raises:
            UtteranceError: one cannot be synthesized and `on_error` is `raise`.
        """
        batch: list[Utterance | Mapping[str, Any]] = []
        for utterance in utterances:
            batch.append(utterance)
            # Long enough to keep the slots full, short enough that the first audio comes soon.
            if len(batch) == 2 * self._engine.num_slots:
                yield from self._speak_batch(batch, on_error)
                batch = []
        yield from self._speak_batch(batch, on_error)

    def _speak_batch(
        self, batch: Sequence[Utterance | Mapping[str, Any]], on_error: str
    ) -> Iterator[Audio | UtteranceError]:
        outcomes = [UtteranceOutcome() for _ in batch]
        wanted: Wanted = {position: {} for position in range(len(batch))}
        while wanted:
            jobs: list[UtteranceJob] = []
            for position, takes in wanted.items():
                try:
                    utterance = batch[position]
                    if not isinstance(utterance, Utterance):
                        utterance = Utterance.from_mapping(utterance)
                    jobs.append(self._tokens.prepare(position, utterance, takes))
                except UtteranceError as error:
                    outcomes[position].reject(Rejection.from_error(error))
            heard = self._make_takes(jobs, outcomes)
            wanted = next_takes(heard, self._config.quality.most_takes)
        for outcome in outcomes:
            if outcome.text_note is not None:
                logger.warning("%s", outcome.text_note)
            try:
                yield outcome.finish(self._config.audio)
            except UtteranceError as error:
                if on_error == "raise":
                    raise
                yield error

    def _make_takes(
        self, jobs: Sequence[UtteranceJob], outcomes: Sequence[UtteranceOutcome]
    ) -> list[tuple[int, SegmentAudio]]:
        """Bring jobs through both stages; returns the new audio with its position in the batch."""
        for job in self._tokens.longest_first(jobs):
            self._tokens.start(job)
        heard: list[tuple[int, SegmentAudio]] = []
        while self._tokens.has_work:
            for job in self._tokens.step():
                position = job.result.row
                outcomes[position].add_takes(job.result)
                if job.result.rejection is not None:
                    continue
                for audio in self._audio.decode(job.result.takes):
                    outcomes[position].add_audio(audio)
                    heard.append((position, audio))
        return heard
