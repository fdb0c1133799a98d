"""Text in, audio out, in one process: the two stages that replicas run, and the Python API on top of them.

`TokenStage` turns text into semantic tokens, `AudioStage` turns those into judged audio. Each take that fails is made
again with the next seed, up to `quality.max_takes`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from pipeline.audio import Audio, measure, read_reference
from pipeline.codec import BiCodec
from pipeline.config import Config, StorageConfig, parse_config
from pipeline.errors import RejectionCode, SpeakerError, UtteranceError
from pipeline.lexicon import read_lexicon
from pipeline.llm import Generation, LLMEngine, Request, SamplingParams
from pipeline.manifest import Utterance
from pipeline.prompt import Prompt, SpeechVocabulary, Voice, build_prompt
from pipeline.quality import judge_audio, judge_tokens, length_cap
from pipeline.speakers import SpeakerRegistry, enroll, read_definitions
from pipeline.takes import (
    Rejection,
    Script,
    SegmentAudio,
    Take,
    UtteranceTakes,
    finish_audio,
    hash_seed,
    next_takes,
    segment_seed,
    utterance_seed,
)
from pipeline.text import normalize_text, split_into_segments
from pipeline.weights import resolve_weights

logger = logging.getLogger(__name__)

VOICE_SENTENCES = {
    "en": "The train leaves at seven, so please be at the station a little earlier.",
    "zh": "火车七点出发，请大家提前一点到车站。",
}
"""A created voice is made from one of these, so that it does not depend on any book's text."""

FRAME_BUCKET = 16
"""Decoded lengths are padded to a multiple of this many frames: a shape that follows from the take's own length."""


def resolve_placement(
    device: str, dtype: str, *, cpu_dtype: torch.dtype, gpu_dtype: torch.dtype
) -> tuple[torch.device, torch.dtype]:
    """Return the device and dtype that `auto` stands for on this machine."""
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else torch.device(device)
    if dtype == "auto":
        return place, gpu_dtype if place.type == "cuda" else cpu_dtype
    return place, getattr(torch, dtype)


def load_engine(config: Config, weights_dir: Path) -> LLMEngine:
    """Load the language model as the config asks."""
    device, dtype = resolve_placement(
        config.llm.device, config.llm.dtype, cpu_dtype=torch.float32, gpu_dtype=torch.bfloat16
    )
    return LLMEngine.load(
        weights_dir,
        device=device,
        dtype=dtype,
        num_slots=config.llm.slots,
        max_context=config.llm.max_context,
        sampling=SamplingParams(config.sampling.temperature, config.sampling.top_k, config.sampling.top_p),
    )


def load_codec(config: Config, weights_dir: Path) -> BiCodec:
    """Load BiCodec as the config asks."""
    device, dtype = resolve_placement(
        config.codec.device, config.codec.dtype, cpu_dtype=torch.float32, gpu_dtype=torch.float32
    )
    return BiCodec.load(weights_dir, device=device, dtype=dtype)


@dataclass
class UtteranceJob:
    """An utterance on its way through the LLM stage."""

    script: Script
    prompts: dict[int, Prompt]
    wanted: dict[int, int]
    """Take to make, by segment."""
    result: UtteranceTakes
    owner: Any = None
    """Whoever wants the result; never looked at here."""
    outstanding: int = 0


class TokenStage:
    """Text to semantic tokens: utterances of any number of callers share the engine's slots."""

    def __init__(
        self, config: Config, engine: LLMEngine, registry: Mapping[str, Any], lexicon: Mapping[str, str]
    ) -> None:
        self._config = config
        self._engine = engine
        self._registry = registry
        self._lexicon = lexicon
        self._jobs: dict[int, UtteranceJob] = {}
        self._next_job = 0

    @property
    def has_work(self) -> bool:
        """Whether an utterance is unfinished."""
        return bool(self._jobs)

    def prepare(self, row: int, utterance: Utterance, wanted: Mapping[int, int] | None = None) -> UtteranceJob:
        """Normalize, cut and build the prompts of an utterance; touches no shared state.

        Args:
            row: the utterance's row in its shard.
            utterance: what to say, and who says it.
            wanted: take to make, by segment; none means all segments from take 0 on.

        Raises:
            UtteranceError: the row cannot be voiced.
        """
        script = self._write_script(utterance)
        prompts = {}
        voice = self._registry[utterance.speaker_id].voice
        for index, segment in enumerate(script.segments):
            prompt = build_prompt(
                self._engine.vocabulary,
                segment.text,
                voice,
                use_reference_text=self._config.llm.use_reference_text,
                language=script.language,
            )
            room = self._config.llm.max_context - len(prompt.ids) - len(prompt.grammar.steps)
            if room < length_cap(segment.estimated_s, self._config.quality):
                raise UtteranceError(
                    RejectionCode.TEXT_TOO_LONG,
                    f"segment {index} has a prompt of {len(prompt.ids)} tokens, which leaves {max(room, 0)} of "
                    f"llm.max_context {self._config.llm.max_context} for the answer; raise llm.max_context or lower "
                    "text.max_segment_chars",
                )
            prompts[index] = prompt
        takes = dict(wanted) if wanted else dict.fromkeys(range(len(script.segments)), 0)
        result = UtteranceTakes(row, script.seed, len(script.segments))
        return UtteranceJob(script, {index: prompts[index] for index in takes}, takes, result)

    def _write_script(self, utterance: Utterance) -> Script:
        if utterance.speaker_id not in self._registry:
            known = sorted(self._registry)
            listed = ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
            raise UtteranceError(
                RejectionCode.UNKNOWN_SPEAKER,
                f"speaker {utterance.speaker_id!r:.80} is not enrolled; add it to the speakers file, or use one of: "
                f"{listed}",
            )
        settings = self._config.text
        normalized = normalize_text(
            utterance.text,
            language=utterance.language or settings.language,
            normalize=settings.normalize,
            lexicon=self._lexicon,
            max_chars=settings.max_text_chars,
        )
        segments = split_into_segments(
            normalized.text, normalized.language, max_chars=settings.max_segment_chars, max_s=settings.max_segment_s
        )
        return Script(utterance, normalized.language, tuple(segments), utterance_seed(utterance, self._config.seed))

    def start(self, job: UtteranceJob) -> None:
        """Put an utterance's segments into the engine's queue."""
        key = self._next_job
        self._next_job += 1
        self._jobs[key] = job
        job.outstanding = len(job.wanted)
        for segment, take in job.wanted.items():
            self._request(key, segment, take)

    def _request(self, key: int, segment: int, take: int) -> None:
        job = self._jobs[key]
        prompt = job.prompts[segment]
        estimated_s = job.script.segments[segment].estimated_s
        self._engine.add(
            Request(
                request_id=(key, segment, take),
                prompt_ids=prompt.ids,
                grammar=prompt.grammar,
                seed=segment_seed(job.script.seed, segment, take),
                max_semantic_tokens=length_cap(estimated_s, self._config.quality),
            )
        )

    def step(self) -> list[UtteranceJob]:
        """Advance every active sequence by one token; return the utterances that ended with it."""
        finished = []
        for generation in self._engine.step():
            key, segment, take = cast("tuple[int, int, int]", generation.request_id)
            job = self._jobs[key]
            if self._retake_if_failed(key, job, segment, take, generation):
                continue
            job.outstanding -= 1
            if job.outstanding == 0:
                del self._jobs[key]
                finished.append(job)
        return finished

    def _retake_if_failed(self, key: int, job: UtteranceJob, segment: int, take: int, generation: Generation) -> bool:
        quality = self._config.quality
        planned = job.script.segments[segment]
        num_tokens = len(generation.semantic_tokens)
        rejection = judge_tokens(num_tokens, generation.hit_length_cap, planned.estimated_s, quality)
        if rejection is None:
            voice: Voice = self._registry[job.script.utterance.speaker_id].voice
            tokens = generation.semantic_tokens.astype(np.int32)
            job.result.takes.append(Take(segment, take, tokens, voice.global_tokens or (), planned.boundary))
            return False
        if take + 1 < quality.max_takes and job.result.rejection is None:
            self._request(key, segment, take + 1)
            return True
        place = f"segment {segment + 1} of {len(job.script.segments)}, " if len(job.script.segments) > 1 else ""
        job.result.rejection = Rejection(rejection.code, f"{place}take {take + 1}: {rejection.message}")
        return False


class AudioStage:
    """Semantic tokens to audio, judged by its sound."""

    def __init__(self, config: Config, codec: BiCodec) -> None:
        self._config = config
        self._codec = codec

    @property
    def sample_rate(self) -> int:
        """Hz of what `decode` returns."""
        return self._codec.sample_rate

    def decode(self, takes: Sequence[Take]) -> list[SegmentAudio]:
        """Decode takes, in their order.

        Every call of the codec has a shape that follows from a take's own length and the config, so that what is
        decoded beside a take never changes its bytes.
        """
        batch_size = self._config.codec.batch_size
        by_bucket: dict[int, list[int]] = {}
        for position, take in enumerate(takes):
            bucket = -(-len(take.semantic_tokens) // FRAME_BUCKET) * FRAME_BUCKET
            by_bucket.setdefault(bucket, []).append(position)
        audios: dict[int, SegmentAudio] = {}
        for bucket, positions in sorted(by_bucket.items()):
            for start in range(0, len(positions), batch_size):
                batch = positions[start : start + batch_size]
                waveforms = self._codec.decode(
                    [torch.tensor(takes[position].semantic_tokens, dtype=torch.int64) for position in batch],
                    torch.tensor([takes[position].global_tokens for position in batch], dtype=torch.int64),
                    pad_to_frames=bucket,
                    pad_to_batch=batch_size,
                )
                for position, waveform in zip(batch, waveforms, strict=True):
                    audios[position] = self._judge(takes[position], waveform.numpy())
        return [audios[position] for position in range(len(takes))]

    def _judge(self, take: Take, samples: np.ndarray[Any, np.dtype[np.float32]]) -> SegmentAudio:
        rejection = judge_audio(measure(samples, self.sample_rate), self._config.quality)
        if rejection is not None:
            message = f"segment {take.segment + 1}, take {take.take + 1}: {rejection.message}"
            rejection = Rejection(rejection.code, message)
        return SegmentAudio(take.segment, take.take, len(take.semantic_tokens), take.boundary, samples, rejection)


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
        except ValueError as error:
            raise SpeakerError(f"{name}: {error}") from None
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
        vocabulary: SpeechVocabulary = self._tokens._engine.vocabulary
        return vocabulary

    def speak(self, text: str, *, speaker: str, seed: int | None = None, language: str | None = None) -> Audio:
        """Say a text.

        Args:
            text: what to say, of any length.
            speaker: an enrolled id.
            seed: another seed gives another take; none takes one that follows from the text.
            language: `en`, `zh`, ...; none detects it.

        Raises:
            UtteranceError: it cannot be voiced.
        """
        chosen = hash_seed(self._config.seed, text) if seed is None else seed
        (audio,) = self.speak_many([Utterance("speak", text, speaker, chosen, language)])
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
            on_error: what becomes of an utterance that cannot be voiced: its error is raised, or takes its place.

        Yields:
            one result an utterance, in their order.

        Raises:
            UtteranceError: one cannot be voiced and `on_error` is `raise`.
        """
        batch: list[Utterance | Mapping[str, Any]] = []
        for utterance in utterances:
            batch.append(utterance)
            # Long enough to keep the slots full, short enough that the first audio comes soon.
            if len(batch) == 2 * self._config.llm.slots:
                yield from self._speak_batch(batch, on_error)
                batch = []
        yield from self._speak_batch(batch, on_error)

    def _speak_batch(
        self, batch: Sequence[Utterance | Mapping[str, Any]], on_error: str
    ) -> Iterator[Audio | UtteranceError]:
        errors: dict[int, UtteranceError] = {}
        done: dict[int, dict[int, SegmentAudio]] = {position: {} for position in range(len(batch))}
        wanted: dict[int, dict[int, int]] = {position: {} for position in range(len(batch))}
        while wanted:
            for position, takes in wanted.items():
                try:
                    utterance = batch[position]
                    if not isinstance(utterance, Utterance):
                        utterance = Utterance.from_mapping(utterance)
                    self._tokens.start(self._tokens.prepare(position, utterance, takes))
                except UtteranceError as error:
                    errors[position] = error
            heard: list[tuple[int, SegmentAudio]] = []
            while self._tokens.has_work:
                for job in self._tokens.step():
                    if job.result.rejection is not None:
                        errors[job.result.row] = UtteranceError(job.result.rejection.code, job.result.rejection.message)
                        continue
                    heard += [(job.result.row, audio) for audio in self._audio.decode(job.result.takes)]
            for position, audio in heard:
                done[position][audio.segment] = audio
            wanted = next_takes(heard, self._config.quality.max_takes)
        for position, segments in done.items():
            yield self._finish(segments, errors.get(position), on_error)

    def _finish(
        self, segments: Mapping[int, SegmentAudio], error: UtteranceError | None, on_error: str
    ) -> Audio | UtteranceError:
        ordered = [segments[index] for index in sorted(segments)]
        failed = next((segment.rejection for segment in ordered if segment.rejection is not None), None)
        if error is None and failed is not None:
            error = UtteranceError(failed.code, failed.message)
        if error is None:
            return finish_audio(ordered, self._audio.sample_rate, self._config.audio)
        if on_error == "raise":
            raise error
        return error


def enroll_from_file(config: Config, weights_dir: Path, speakers: str | None) -> SpeakerRegistry:
    """Enroll the speakers of a file, or those that come with the weights.

    Raises:
        SpeakerError: a speaker cannot be enrolled, or there is no file.
    """
    path = speakers or str(weights_dir / "speakers.yaml")
    definitions = read_definitions(path, StorageConfig())
    enrolled, failures = enroll(definitions, lambda: Enroller(config, weights_dir), config.seed, config.storage)
    if failures:
        raise SpeakerError("\n".join(failures.values()))
    return SpeakerRegistry(enrolled)
