"""The two stages that replicas run: text to judged semantic tokens, semantic tokens to judged audio.

Knows nothing of Ray or storage. Each take that fails its checks is made again with the next seed, up to
`quality.max_takes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from pipeline.audio.samples import measure
from pipeline.codec import BiCodec
from pipeline.config.run import Config
from pipeline.errors import ConfigError, RejectionCode, UtteranceError
from pipeline.gpu import find_device
from pipeline.llm import Generation, LLMEngine, Request, SamplingParams
from pipeline.llm.checkpoint import Qwen2Config, list_tensor_shapes
from pipeline.llm.prompt import Prompt, build_prompt
from pipeline.manifest.rows import Utterance
from pipeline.synthesis.listening import Listener
from pipeline.synthesis.quality import judge_audio, judge_hearing, judge_tokens, length_cap
from pipeline.synthesis.recognition import load_recognizer
from pipeline.synthesis.speakers import Speaker
from pipeline.synthesis.takes import Rejection, Script, SegmentAudio, Take, UtteranceTakes, segment_seed, write_script

_CPU_SLOTS = 32
_MOST_AUTO_SLOTS = 2_048
_GPU_RESERVE_BYTES = 1 << 30
"""For the driver's context, graphs and workspaces; not measured on a GPU yet."""
_UNDECLARED_CODEC_SHARE = 0.4
"""Of a card, for the codec, where one process holds both networks and no shares are declared."""


def choose_dtype(dtype: str, device: torch.device, *, cpu: torch.dtype, gpu: torch.dtype) -> torch.dtype:
    """Return the dtype that a setting means, `auto` included."""
    if dtype == "auto":
        return gpu if device.type == "cuda" else cpu
    found: torch.dtype = getattr(torch, dtype)
    return found


def load_engine(config: Config, weights_dir: Path) -> LLMEngine:
    """Load the language model as the config asks.

    Raises:
        ConfigError: a setting does not fit this machine or these weights.
        WeightsError: the weights cannot be used.
    """
    device = find_device("llm.device", config.llm.device, config.replicas.llm.num_gpus)
    dtype = choose_dtype(config.llm.dtype, device, cpu=torch.float32, gpu=torch.bfloat16)
    return LLMEngine.load(
        weights_dir,
        device=device,
        dtype=dtype,
        num_slots=_choose_slots(config, weights_dir, device, dtype),
        max_context=config.llm.max_context,
        sampling=SamplingParams(config.sampling.temperature, config.sampling.top_k, config.sampling.top_p),
    )


def _choose_slots(config: Config, weights_dir: Path, device: torch.device, dtype: torch.dtype) -> int:
    if config.llm.slots != "auto":
        return config.llm.slots
    if device.type != "cuda":
        return _CPU_SLOTS
    # The card's whole memory times the replica's share of it, not what is free just now: the number must be the same
    # at every start, whoever has loaded first.
    share = min(config.replicas.llm.num_gpus or 1.0 - _UNDECLARED_CODEC_SHARE, 1.0)
    memory = int(torch.cuda.get_device_properties(device).total_memory * share)
    return count_slots(weights_dir, memory, dtype, config.llm.max_context)


def count_slots(weights_dir: Path, memory_bytes: int, dtype: torch.dtype, max_context: int) -> int:
    """Return how many slots fit into a GPU's memory beside the language model's weights.

    Args:
        weights_dir: the model directory.
        memory_bytes: the replica's share of the card.
        dtype: of weights and cache.
        max_context: positions of each slot.

    Returns:
        a multiple of 8, up to 2,048: with that many rows, products and reads are all that counts.

    Raises:
        ConfigError: not even 8 fit.
    """
    sizes = Qwen2Config.read(weights_dir / "LLM" / "config.json")
    weights = sum(math.prod(shape) for shape in list_tensor_shapes(sizes).values()) * dtype.itemsize
    keys_and_values = 2 * sizes.num_hidden_layers * sizes.num_key_value_heads * sizes.head_dim * dtype.itemsize
    # Beside the cache: random numbers and tokens (8 bytes each), a row of logits, and a row of the widest product.
    slot = max_context * (keys_and_values + 16) + 64 * sizes.hidden_size * dtype.itemsize + 4 * 8_256
    free = memory_bytes - weights - _GPU_RESERVE_BYTES
    fitting = min(free // slot, _MOST_AUTO_SLOTS) // 8 * 8
    if fitting < 8:
        raise ConfigError(
            f"llm.slots: auto: {memory_bytes / 2**30:.1f} GiB of GPU memory hold the weights "
            f"({weights / 2**30:.1f} GiB), but no 8 slots of {slot / 2**20:.0f} MiB; lower llm.max_context, raise "
            "replicas.llm.num_gpus, or give a number of slots"
        )
    return int(fitting)


def load_codec(config: Config, weights_dir: Path) -> BiCodec:
    """Load BiCodec as the config asks.

    Raises:
        ConfigError: a setting does not fit this machine or these weights.
        WeightsError: the weights cannot be used.
    """
    device = find_device("codec.device", config.codec.device, config.replicas.codec.num_gpus)
    dtype = choose_dtype(config.codec.dtype, device, cpu=torch.float32, gpu=torch.float32)
    return BiCodec.load(weights_dir, device=device, dtype=dtype, pack_frames=config.codec.pack_frames)


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

    @property
    def estimated_s(self) -> float:
        """Speaking time of the longest segment to make."""
        return max(self.script.segments[segment].estimated_s for segment in self.wanted)


class TokenStage:
    """Text to semantic tokens: utterances of any number of callers share the engine's slots."""

    def __init__(
        self, config: Config, engine: LLMEngine, registry: Mapping[str, Speaker], lexicon: Mapping[str, str]
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
            UtteranceError: the row cannot be synthesized.
        """
        script = write_script(utterance, self._registry, self._config, self._lexicon)
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
        selected = {index: prompts[index] for index in takes}
        return UtteranceJob(script, selected, takes, UtteranceTakes.of_script(row, script))

    @staticmethod
    def longest_first(jobs: Sequence[UtteranceJob]) -> list[UtteranceJob]:
        """Return jobs in the order to start them in: what is short fills the slots that stand empty at the end."""
        return sorted(jobs, key=lambda job: -job.estimated_s)

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
            voice = self._registry[job.script.utterance.speaker_id].voice
            tokens = generation.semantic_tokens.astype(np.int32)
            job.result.takes.append(
                Take(
                    segment,
                    take,
                    tokens,
                    voice.global_tokens or (),
                    planned.boundary,
                    planned.text,
                    job.script.language,
                )
            )
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
        codec.prepare_decoding()
        self._config = config
        self._codec = codec
        asr = config.quality.asr
        self._listener = None if asr == "none" else Listener(load_recognizer(asr), codec)
        self.num_takes = 0
        """Takes that came from the codec so far: what shows that a long decode moves."""

    @property
    def sample_rate(self) -> int:
        """Hz of what `decode` returns."""
        return self._codec.sample_rate

    def decode(self, takes: Sequence[Take]) -> list[SegmentAudio]:
        """Decode takes, in their order.

        The codec gets all of them at once, and sees to it that what is decoded beside a take never changes its bytes.
        """
        if not takes:
            return []
        audios: dict[int, SegmentAudio] = {}
        for decoded in self._codec.decode_each(
            [torch.tensor(take.semantic_tokens, dtype=torch.int64) for take in takes],
            torch.tensor([take.global_tokens for take in takes], dtype=torch.int64),
        ):
            self.num_takes += 1
            audios[decoded.item] = self.judge(takes[decoded.item], decoded.waveform.numpy())
        return [audios[position] for position in range(len(takes))]

    def judge(self, take: Take, samples: np.ndarray[Any, np.dtype[np.float32]]) -> SegmentAudio:
        """Judge the sound of a take.

        Args:
            take: what was decoded.
            samples: (num_samples,) what it sounds like.
        """
        quality = self._config.quality
        rejection, hearing = judge_audio(measure(samples, self.sample_rate), quality), None
        if rejection is None and self._listener is not None:
            hearing = self._listener.listen(samples, take.text, take.language, take.global_tokens)
            rejection = judge_hearing(hearing, quality)
        if rejection is not None:
            message = f"segment {take.segment + 1}, take {take.take + 1}: {rejection.message}"
            rejection = Rejection(rejection.code, message)
        num_tokens = len(take.semantic_tokens)
        return SegmentAudio(
            take.segment, take.take, num_tokens, take.boundary, samples, self.sample_rate, rejection, hearing
        )
