"""Enrollment: speaker definitions become voices, by the codec's encoder or by the language model, each once.

Loads each network when it is first needed. Knows nothing of the output that the voices are for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from pipeline.audio.recording_quality import find_unusable
from pipeline.audio.references import LoadedAudio, prepare_reference, read_reference
from pipeline.codec import BiCodec
from pipeline.codec.checkpoint import read_config
from pipeline.config.run import Config, StorageConfig
from pipeline.config.secrets import redact, without_signature
from pipeline.errors import ConfigError, SpeakerError, StorageError
from pipeline.llm import LLMEngine, Request
from pipeline.llm.prompt import Voice, build_prompt
from pipeline.manifest.rows import hash_seed
from pipeline.storage import read_bytes
from pipeline.synthesis.load_networks import load_codec, load_engine
from pipeline.synthesis.recognition import Recognizer, load_recognizer
from pipeline.synthesis.reference_doubts import find_other_text, find_second_voice
from pipeline.synthesis.speaker_definitions import SpeakerDefinition, read_definitions
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry, report_doubts

VOICE_SENTENCES = {
    "en": "The train leaves at seven, so please be at the station a little earlier.",
    "zh": "火车七点出发，请大家提前一点到车站。",
}
"""A created voice is made from one of these, so that it does not depend on any book's text."""


class Enroller:
    """Turns speaker definitions into voices; loads each network when it is first needed, unless it is given."""

    def __init__(
        self, config: Config, weights_dir: Path, engine: LLMEngine | None = None, codec: BiCodec | None = None
    ) -> None:
        self._config = config
        self._weights_dir = weights_dir
        self._codec = codec
        self._engine = engine
        self._recognizer: Recognizer | None = None

    def _load_codec(self) -> BiCodec:
        self._codec = self._codec or load_codec(self._config, self._weights_dir)
        return self._codec

    def encode_reference(
        self, reference: LoadedAudio, name: str, with_semantic: bool
    ) -> tuple[list[int], list[int] | None]:
        """Return the global tokens of a recording, and its semantic tokens if asked for.

        Raises:
            SpeakerError: the recording cannot be used.
        """
        codec = self._load_codec()
        try:
            if not with_semantic:
                return codec.encode_speaker(reference.samples, reference.sample_rate).tolist(), None
            tokens = codec.encode(reference.samples, reference.sample_rate)
        except (ValueError, SpeakerError) as error:
            raise _in_recording(name, error) from None
        return tokens.global_tokens.tolist(), tokens.semantic_tokens.tolist()

    def find_doubts(self, reference: LoadedAudio, text: str | None) -> list[str]:
        """Return what is wrong with a recording for those who hear it: several voices, another text than its own.

        Args:
            reference: the recording.
            text: what it says; compared where the config has a recognizer that knows its language.
        """
        codec = self._load_codec()
        found = [find_second_voice(codec, reference.samples, reference.sample_rate)]
        if text and self._config.quality.asr != "none":
            self._recognizer = self._recognizer or load_recognizer(self._config)
            assert self._recognizer is not None
            found.append(find_other_text(self._recognizer, self._config, reference, text))
        return [doubt for doubt in found if doubt is not None]

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
        check_global_tokens(tokens, codec.num_global_tokens, codec.global_codebook_size)


def check_global_tokens(tokens: tuple[int, ...], num_tokens: int, codebook_size: int) -> None:
    """Raise ValueError if these cannot be a voice."""
    if len(tokens) != num_tokens:
        raise ValueError(f"expected {num_tokens} tokens, found {len(tokens)}")
    wrong = [token for token in tokens if not 0 <= token < codebook_size]
    if wrong:
        raise ValueError(f"expected tokens in [0, {codebook_size}), found {wrong[0]}")


class _Enroller(Protocol):
    """What enrollment needs of the networks."""

    def encode_reference(
        self, reference: LoadedAudio, name: str, with_semantic: bool
    ) -> tuple[list[int], list[int] | None]: ...

    def find_doubts(self, reference: LoadedAudio, text: str | None) -> list[str]: ...

    def create_voice(self, gender: str, pitch: str, speed: str, language: str, seed: int) -> Voice: ...

    def check_global_tokens(self, tokens: tuple[int, ...]) -> None: ...


def enroll(
    definitions: Iterable[SpeakerDefinition],
    make_enroller: Callable[[], _Enroller],
    config: Config,
) -> tuple[list[Speaker], dict[str, str]]:
    """Turn definitions into speakers.

    Args:
        definitions: speakers that are not enrolled yet.
        make_enroller: loads the networks; called once, and only if there is something to do.
        config: of the run. A created voice follows from its seed and from the speaker's id.

    Returns:
        the speakers, and for each one that could not be enrolled the reason, by id.
    """
    speakers: list[Speaker] = []
    failures: dict[str, str] = {}
    enroller: _Enroller | None = None
    for definition in definitions:
        enroller = enroller or make_enroller()
        try:
            speakers.append(_enroll_one(definition, enroller, config))
        except SpeakerError as error:
            failures[definition.speaker_id] = str(error)
    return speakers, failures


def _enroll_one(definition: SpeakerDefinition, enroller: _Enroller, config: Config) -> Speaker:
    speaker_id, recording = definition.speaker_id, None
    if definition.global_tokens is not None:
        try:
            enroller.check_global_tokens(definition.global_tokens)
        except ValueError as error:
            raise wrong_tokens(definition, error) from None
        voice = Voice(global_tokens=definition.global_tokens)
    elif definition.gender is not None:
        pitch, speed = definition.pitch or "moderate", definition.speed or "moderate"
        seed = hash_seed(config.seed, "voice", speaker_id)
        voice = enroller.create_voice(definition.gender, pitch, speed, definition.language, seed)
    else:
        voice, recording = _enroll_reference(definition, enroller, config)
    return Speaker(speaker_id, voice, definition.kind, definition.canonical(), recording=recording)


def _enroll_reference(
    definition: SpeakerDefinition, enroller: _Enroller, config: Config
) -> tuple[Voice, dict[str, Any]]:
    name, reference = _read_usable(definition, config)
    text = definition.reference_text
    global_tokens, semantic_tokens = enroller.encode_reference(reference, name, with_semantic=bool(text))
    voice = Voice(global_tokens=tuple(global_tokens))
    if text and semantic_tokens is not None:
        voice = replace(voice, reference_text=text, reference_semantic_tokens=tuple(semantic_tokens))
    doubts = [*reference.doubts, *enroller.find_doubts(reference, text)]
    return voice, {**asdict(reference.quality), "sample_rate": reference.sample_rate, "doubts": doubts}


def _read_usable(definition: SpeakerDefinition, config: Config) -> tuple[str, LoadedAudio]:
    """Return what messages call a speaker's recording, and the recording.

    Raises:
        SpeakerError: it cannot be read; or is no model of a voice, and the config refuses such.
    """
    name, data = read_recording(definition, config.storage)
    reference = read_reference(data, name)
    unusable = find_unusable(reference.quality)
    if unusable is not None and config.speakers.unusable_recording == "refuse":
        raise SpeakerError(f"{name}: {unusable}, or set speakers.unusable_recording to note")
    return name, reference if unusable is None else replace(reference, doubts=(unusable, *reference.doubts))


def find_fault(definition: SpeakerDefinition, weights_dir: Path, config: Config) -> str | None:
    """Return why a speaker cannot be enrolled, as `enroll` says it, as far as that is plain without a network.

    What can be used and is poor is reported.

    Reads recordings whole, and of the weights the configuration.

    Raises:
        WeightsError: that cannot be read.
    """
    try:
        if definition.global_tokens is not None:
            codec = read_config(weights_dir / "BiCodec" / "config.yaml")
            try:
                check_global_tokens(definition.global_tokens, codec.num_global_tokens, codec.global_codebook_size)
            except ValueError as error:
                raise wrong_tokens(definition, error) from None
        elif definition.reference_audio is not None:
            name, reference = _read_usable(definition, config)
            report_doubts(definition.speaker_id, reference.doubts)
            try:
                prepare_reference(reference.samples, reference.sample_rate, "audio")
            except SpeakerError as error:
                raise _in_recording(name, error) from None
    except SpeakerError as error:
        return str(error)
    return None


def wrong_tokens(definition: SpeakerDefinition, error: ValueError) -> SpeakerError:
    """Return the error of a speaker whose given tokens are no voice."""
    return SpeakerError(f"speaker {definition.speaker_id!r}: global_tokens: {error}")


def _in_recording(name: str, error: Exception) -> SpeakerError:
    return SpeakerError(f"{name}: {str(error).removeprefix('audio: ')}")


def read_recording(definition: SpeakerDefinition, settings: StorageConfig) -> tuple[str, bytes]:
    """Return what messages call a speaker's recording, and its bytes; raises `SpeakerError` if it cannot be read."""
    assert definition.reference_audio is not None
    name = f"speaker {definition.speaker_id!r}: {without_signature(definition.reference_audio)}"
    try:
        return name, read_bytes(definition.find_audio(), settings)
    except (FileNotFoundError, IsADirectoryError):
        raise SpeakerError(f"{name}: there is no such file; correct reference_audio") from None
    except (StorageError, ConfigError, ValueError) as error:
        raise SpeakerError(f"{name}: cannot be read: {redact(str(error))}; correct reference_audio") from None


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
    enrolled, failures = enroll(definitions, lambda: Enroller(config, weights_dir), config)
    if failures:
        raise SpeakerError("\n".join(failures.values()))
    for speaker in enrolled:
        report_doubts(speaker.speaker_id, speaker.doubts)
    return SpeakerRegistry(enrolled)
