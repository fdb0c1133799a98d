"""The work of a benchmark: networks of the official size with random weights, and utterances of stated lengths.

The weights are made on the spot, and so that an answer never ends by itself: its length is the workload's.
"""

from __future__ import annotations

import gzip
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.codec import BiCodec
from pipeline.codec.checkpoint import read_config
from pipeline.codec.networks import checkpoint_shapes
from pipeline.errors import WeightsError
from pipeline.llm import Request
from pipeline.llm.checkpoint import Qwen2Config, list_tensor_shapes
from pipeline.llm.prompt import SpeechVocabulary, Voice, build_prompt

FRAME_RATE = 50
_WORDS = "the train leaves at seven so please be near the station early and bring what you need for the way".split()
_CHARS_PER_S = 15.0


@dataclass(frozen=True)
class Task:
    """One utterance to synthesize.

    Args:
        prompt_ids: of the language model.
        request: the same for our engine.
        num_frames: semantic tokens that its answer has, 50 a second.
        global_tokens: the voice.
    """

    prompt_ids: tuple[int, ...]
    request: Request
    num_frames: int
    global_tokens: tuple[int, ...]


def draw_lengths(num_utterances: int, seed: int, *, shortest_s: float, mean_s: float, longest_s: float) -> list[int]:
    """Return numbers of frames: log-normal (sigma 0.6), clipped, scaled so that their mean is as stated.

    Raises:
        ValueError: the mean does not lie between the bounds.
    """
    if not shortest_s <= mean_s <= longest_s:
        raise ValueError(f"mean_s is {mean_s}; expected {shortest_s} to {longest_s}")
    # Quantiles instead of draws, then shuffled: a small workload has the stated distribution, too.
    levels = torch.arange(1, num_utterances + 1, dtype=torch.float64).sub(0.5).div(num_utterances)
    shape = torch.special.ndtri(levels).mul(0.6).exp().numpy()
    low, high = 0.0, longest_s * 100
    for _ in range(100):
        scale = (low + high) / 2
        low, high = (scale, high) if np.clip(shape * scale, shortest_s, longest_s).mean() < mean_s else (low, scale)
    lengths = np.clip(shape * low, shortest_s, longest_s)
    return [round(length * FRAME_RATE) for length in np.random.default_rng(seed).permutation(lengths)]


def make_tasks(vocabulary: SpeechVocabulary, lengths: list[int], seed: int = 0) -> list[Task]:
    """Return an utterance for each length, its text as long as that speech would be, each with a voice of its own."""
    generator = np.random.default_rng(seed)
    tasks = []
    for index, num_frames in enumerate(lengths):
        voice = tuple(generator.integers(0, 4096, 32).tolist())
        text = ""
        while len(text) < num_frames / FRAME_RATE * _CHARS_PER_S:
            text += ("" if not text else " ") + _WORDS[generator.integers(len(_WORDS))]
        prompt = build_prompt(vocabulary, text, Voice(global_tokens=voice))
        request = Request(index, prompt.ids, prompt.grammar, seed + index, num_frames)
        tasks.append(Task(tuple(prompt.ids), request, num_frames, voice))
    return tasks


def draw_tokens(codec: BiCodec, task: Task) -> tuple[Tensor, Tensor]:
    """Return semantic tokens as many as the task's, and its voice, as far as a smaller codec can hold it."""
    generator = torch.Generator().manual_seed(task.request.seed)
    semantic = torch.randint(codec.semantic_codebook_size, (task.num_frames,), generator=generator)
    return semantic, torch.tensor(task.global_tokens)[: codec.num_global_tokens] % codec.global_codebook_size


def read_vocabulary(sizes_dir: Path, folder: Path) -> SpeechVocabulary:
    """Read the tokenizer of a folder of sizes, which may be compressed.

    Raises:
        WeightsError: there is none.
    """
    llm_dir = sizes_dir / "LLM"
    if (llm_dir / "tokenizer.json").is_file():
        return SpeechVocabulary.load(llm_dir)
    packed = llm_dir / "tokenizer.json.gz"
    if not packed.is_file():
        raise WeightsError(
            f"{llm_dir}: no tokenizer.json; give --sizes a model directory, or leave it out for the official sizes"
        )
    with gzip.open(packed) as source, (folder / "tokenizer.json").open("wb") as target:
        shutil.copyfileobj(source, target)
    return SpeechVocabulary.load(folder)


def make_llm_tensors(config: Qwen2Config, stop_ids: tuple[int, ...], seed: int = 0) -> dict[str, Tensor]:
    """Return random float32 tensors by official name; stop tokens have a row of zeros, so that none is ever likely."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in list_tensor_shapes(config).items():
        tensor = torch.ones(shape) if name.endswith("norm.weight") else torch.empty(shape)
        if not name.endswith("norm.weight"):
            tensor.normal_(0.0, 0.02, generator=generator)
        tensors[name] = tensor
    head = "model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"
    tensors[head][list(stop_ids)] = 0.0
    return tensors


def write_codec(sizes_dir: Path, folder: Path, seed: int = 0) -> Path:
    """Write a BiCodec of random weights that neither fade nor clip, if it is not there; return the model directory."""
    target = folder / "model"
    if (target / "BiCodec" / "model.safetensors").is_file():
        return target
    (target / "BiCodec").mkdir(parents=True, exist_ok=True)
    for name in ("config.yaml", "BiCodec/config.yaml"):
        shutil.copy(sizes_dir / name, target / name)
    required, optional = checkpoint_shapes(read_config(target / "BiCodec" / "config.yaml"))
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: _random_codec_tensor(name, shape, generator) for name, shape in {**required, **optional}.items()}
    save_file(tensors, target / "BiCodec" / "model.safetensors")
    return target


def _random_codec_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    values = torch.randn(shape, generator=generator)
    if name.endswith("weight_g"):
        return torch.full(shape, 0.2 if shape[0] == 1 else 0.45)
    if len(shape) <= 1 or name.endswith("alpha"):
        return values * 0.1 if name.endswith("bias") else values.abs() * 0.3 + 0.3
    if name == "quantizer.codebook.weight":
        return values
    return values.mul(0.5 / values[0].numel() ** 0.5)
