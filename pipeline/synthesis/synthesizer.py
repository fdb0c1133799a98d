"""Text in, audio out, in one process: enrollment's networks, and the Python API on top of the stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.audio.clips import Audio
from pipeline.audio.references import read_reference
from pipeline.codec import BiCodec
from pipeline.config.run import Config, StorageConfig, parse_config
from pipeline.errors import SpeakerError, UtteranceError
from pipeline.llm import LLMEngine, Request
from pipeline.llm.prompt import SpeechVocabulary, Voice, build_prompt
from pipeline.manifest.rows import Utterance
from pipeline.synthesis.speakers import SpeakerDefinition, SpeakerRegistry, enroll, read_definitions
from pipeline.synthesis.stages import AudioStage, TokenStage, UtteranceJob, load_codec, load_engine
from pipeline.synthesis.takes import Rejection, SegmentAudio, UtteranceOutcome, Wanted, hash_seed, next_takes
from pipeline.text.lexicon import read_lexicon
from pipeline.weights.weights import resolve_weights

VOICE_SENTENCES = {
    "en": "The train leaves at seven, so please be at the station a little earlier.",
    "zh": "火车七点出发，请大家提前一点到车站。",
}
"""A created voice is made from one of these, so that it does not depend on any book's text."""


class Enroller:
    """Turns speaker definitions into voices; loads each network when it is first needed."""

    def __init__(self, config: Config, weights_dir: Path) -> None:
        self._config = config
        self._weights_dir = weights_dir
        self._codec: BiCodec | None = None
        self._engine: LLMEngine | None = None

    def _load_codec(self) -> BiCodec:
        self._codec = self._codec or load_codec(self._config, self._weights_dir)
        return self._codec

    def encode_reference(self, audio: bytes, name: str, with_semantic: bool) -> tuple[list[int], list[int] | None]:
        """Return the global tokens of a recording, and its semantic tokens if asked for.

        Raises:
            SpeakerError: the recording cannot be used.
        """
        reference = read_reference(audio, name)
        codec = self._load_codec()
        try:
            if not with_semantic:
                return codec.encode_speaker(reference.samples, reference.sample_rate).tolist(), None
            tokens = codec.encode(reference.samples, reference.sample_rate)
        except (ValueError, SpeakerError) as error:
            raise SpeakerError(f"{name}: {str(error).removeprefix('audio: ')}") from None
        return tokens.global_tokens.tolist(), tokens.semantic_tokens.tolist()

    def create_voice(self, gender: str, pitch: str, speed: str, language: str, seed: int) -> Voice:
        """Let the LLM make up a voice with these labels."""
        self._engine = self._engine or load_engine(self._config, self._weights_dir)
        labels = Voice(gender=gender, pitch=pitch, speed=speed)
        prompt = build_prompt(self._engine.vocabulary, VOICE_SENTENCES[language], labels, language=language)
        # The voice is complete before the first semantic token, so one is enough.
        request = Request("voice", prompt.ids, prompt.grammar, seed, max_semantic_tokens=1)
        (answer,) = self._engine.generate([request])
        assert answer.global_tokens is not None
        return Voice(
            global_tokens=tuple(answer.global_tokens.tolist()),
            gender=gender,
            pitch=pitch,
            speed=speed,
            pitch_value=answer.pitch_value,
            speed_value=answer.speed_value,
        )

    def check_global_tokens(self, tokens: tuple[int, ...]) -> None:
        """Raise ValueError if these cannot be a voice."""
        codec = self._load_codec()
        if len(tokens) != codec.num_global_tokens:
            raise ValueError(f"expected {codec.num_global_tokens} tokens, found {len(tokens)}")
        wrong = [token for token in tokens if not 0 <= token < codec.global_codebook_size]
        if wrong:
            raise ValueError(f"expected tokens in [0, {codec.global_codebook_size}), found {wrong[0]}")


class Synthesizer:
    """Speak in one process, without Ray.

    Example:
        >>> synthesizer = Synthesizer.load("demo")
        >>> audio = synthesizer.speak("Hello.", speaker=synthesizer.speakers[0], seed=7)
        >>> audio.write("hello.wav")
    """

    def __init__(self, config: Config, engine: LLMEngine, codec: BiCodec, registry: SpeakerRegistry) -> None:
        self._config = config
        self._registry = registry
        self._engine = engine
        self._tokens = TokenStage(config, engine, registry, read_lexicon(config))
        self._audio = AudioStage(config, codec)

    @classmethod
    def load(
        cls, weights: str = "demo", *, speakers: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> Synthesizer:
        """Load weights and enroll speakers.

        Args:
            weights: `demo`, a model directory, an object-store URI or `hf://owner/name`.
            speakers: a speakers file (Parquet or YAML); none takes the `speakers.yaml` beside the weights.
            settings: settings as in a config file, for example `{"llm": {"slots": 8}}`.

        Raises:
            ConfigError: a setting is wrong.
            WeightsError: the weights cannot be loaded.
            SpeakerError: a speaker cannot be enrolled.
        """
        config = parse_config(
            {**(settings or {}), "weights": weights, "speakers": speakers or "-", "manifest": "-", "output": "-"},
            source="Synthesizer.load",
        )
        weights_dir = resolve_weights(weights)
        registry = enroll_from_file(config, weights_dir, speakers)
        return cls(config, load_engine(config, weights_dir), load_codec(config, weights_dir), registry)

    @property
    def speakers(self) -> list[str]:
        """Ids of the enrolled voices."""
        return list(self._registry)

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
            wanted = next_takes(heard, self._config.quality.max_takes)
        for outcome in outcomes:
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


def read_own_definitions(weights_dir: Path) -> list[SpeakerDefinition]:
    """Read the speakers that come with weights; their recordings lie beside them.

    Raises:
        SpeakerError: there are none, or one names a file elsewhere: weights may come from strangers.
    """
    path = weights_dir / "speakers.yaml"
    definitions = []
    for definition in read_definitions(str(path), StorageConfig()):
        if (audio := definition.reference_audio) is not None:
            inside = weights_dir / audio
            if "://" in audio or not inside.resolve().is_relative_to(weights_dir.resolve()):
                raise SpeakerError(
                    f"{path}: speaker {definition.speaker_id!r} names {audio}, outside of the weights' folder; copy "
                    "the recording there, or pass a speakers file of your own"
                )
            definition = definition.model_copy(update={"reference_audio": str(inside)})
        definitions.append(definition)
    return definitions


def enroll_from_file(config: Config, weights_dir: Path, speakers: str | None) -> SpeakerRegistry:
    """Enroll the speakers of a file, or those that come with the weights.

    Raises:
        SpeakerError: a speaker cannot be enrolled, or there is no file.
    """
    definitions = read_definitions(speakers, StorageConfig()) if speakers else read_own_definitions(weights_dir)
    enrolled, failures = enroll(definitions, lambda: Enroller(config, weights_dir), config.seed, config.storage)
    if failures:
        raise SpeakerError("\n".join(failures.values()))
    return SpeakerRegistry(enrolled)
