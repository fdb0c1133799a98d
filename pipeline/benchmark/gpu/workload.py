"""What the GPU's benchmark works on: networks of the official size with random weights, and utterances.

`--device cpu` runs the same code through Triton's interpreter, at tiny sizes: not for numbers, but so that the code is
known to run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.benchmark.workload import Task, draw_lengths, make_llm_tensors, make_tasks, read_vocabulary
from pipeline.codec import BiCodec
from pipeline.llm import LLMEngine, Request, SamplingParams
from pipeline.llm.checkpoint import Qwen2Config
from pipeline.llm.fused_qwen2 import FusedQwen2
from pipeline.llm.graphed_runner import GraphedRunner
from pipeline.llm.prompt import SpeechVocabulary
from pipeline.llm.qwen2 import Qwen2, StepShapes

_SPEECH = {"shortest_s": 2.0, "mean_s": 6.0, "longest_s": 20.0}


@dataclass(frozen=True)
class GpuWorkload:
    """What is measured.

    Args:
        device: cuda, or cpu to try the code out.
        sizes_dir: folder with configs and tokenizer.
        folder: for weights that are made here, and for ceilings that later parts are compared with.
        slots: numbers of slots to measure a step with; the workload is synthesized with the last one. Empty: as many
            as the card has memory for.
        num_utterances: of the workload.
        num_prompts: whose greedy tokens are compared with the CPU's.
        num_frames: of each of these answers.
        context: positions in each slot's cache when a step is measured.
        max_context: of the engines.
        num_rows: of the runs through Ray.
    """

    device: str
    sizes_dir: Path
    folder: Path
    slots: tuple[int, ...] = ()
    num_utterances: int = 2_048
    num_prompts: int = 32
    num_frames: int = 48
    context: int = 350
    max_context: int = 1_536
    num_rows: int = 64

    @property
    def is_on_gpu(self) -> bool:
        """Whether numbers mean anything."""
        return self.device != "cpu"

    @property
    def fast_dtype(self) -> torch.dtype:
        """Of the language model on a GPU; the interpreter multiplies no bfloat16."""
        return torch.bfloat16 if self.is_on_gpu else torch.float32


@dataclass(frozen=True)
class Networks:
    """The weights, once on the CPU."""

    load: GpuWorkload
    config: Qwen2Config
    tensors: dict[str, Tensor]
    vocabulary: SpeechVocabulary

    @classmethod
    def make(cls, load: GpuWorkload) -> Networks:
        """Make random weights; the same ones in every process."""
        vocabulary = read_vocabulary(load.sizes_dir, load.folder)
        config = Qwen2Config.read(load.sizes_dir / "LLM" / "config.json")
        return cls(load, config, make_llm_tensors(config, vocabulary.stop_ids), vocabulary)

    def engine(
        self,
        num_slots: int,
        dtype: torch.dtype,
        sampling: SamplingParams | None = None,
        cache_dtype: torch.dtype | None = None,
    ) -> LLMEngine:
        """Return an engine on the device of the workload."""
        device = torch.device(self.load.device)
        tensors = {name: tensor.to(device, dtype) for name, tensor in self.tensors.items()}
        # The interpreter computes padding as slowly as anything else.
        shapes = None if self.load.is_on_gpu else StepShapes(row_tile=1)
        model = FusedQwen2(self.config, tensors, num_slots, self.load.max_context, shapes, cache_dtype)
        pack_tokens = 1_024 if self.load.is_on_gpu else 16
        return LLMEngine(
            GraphedRunner(model, num_slots, self.vocabulary, sampling or SamplingParams(), pack_tokens=pack_tokens)
        )

    def cpu_model(self, num_slots: int) -> Qwen2:
        """Return the network on the CPU."""
        return Qwen2(self.config, dict(self.tensors), num_slots, self.load.max_context)

    def tasks(self, num_utterances: int, seed: int = 0) -> list[Task]:
        """Return utterances of the stated lengths."""
        if not self.load.is_on_gpu:
            return make_tasks(self.vocabulary, [self.load.num_frames] * num_utterances, seed)
        return make_tasks(self.vocabulary, draw_lengths(num_utterances, 0, **_SPEECH), seed)


def answer(engine: LLMEngine, requests: list[Request]) -> dict[Any, list[int]]:
    """Return the semantic tokens of each request."""
    return {answer.request_id: answer.semantic_tokens.tolist() for answer in engine.generate(requests)}


def decode_items(codec: BiCodec, items: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Return the waveforms of speech tokens and their voices."""
    return codec.decode([tokens for tokens, _ in items], torch.stack([voice for _, voice in items]))
