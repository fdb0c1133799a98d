"""The two networks as a config asks for them: on which device, in which dtype, with how many slots."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from pipeline.codec import BiCodec
from pipeline.config.run import Config
from pipeline.errors import ConfigError
from pipeline.hardware.gpu import find_device
from pipeline.llm import LLMEngine, SamplingParams
from pipeline.llm.checkpoint import Qwen2Config, list_tensor_shapes

_CPU_SLOTS = 32
_MOST_AUTO_SLOTS = 2_048
_GPU_RESERVE_BYTES = 1 << 30
"""For the driver's context, graphs and workspaces; not measured on a GPU yet."""
FIRST_WITH_FLOAT8 = (8, 9)
"""The compute capability from which on a GPU converts float8."""
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
    device = find_device("llm.device", config.llm.device, config.replicas.llm.gpus)
    dtype = choose_dtype(config.llm.dtype, device, cpu=torch.float32, gpu=torch.bfloat16)
    cache_dtype = _choose_cache_dtype(config, device, dtype)
    return LLMEngine.load(
        weights_dir,
        device=device,
        dtype=dtype,
        num_slots=_choose_slots(config, weights_dir, device, dtype, cache_dtype),
        max_context=config.llm.max_context,
        sampling=SamplingParams(config.sampling.temperature, config.sampling.top_k, config.sampling.top_p),
        cache_dtype=cache_dtype,
    )


def _choose_cache_dtype(config: Config, device: torch.device, dtype: torch.dtype) -> torch.dtype:
    if config.llm.cache_dtype == "auto":
        return dtype
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < FIRST_WITH_FLOAT8:
        raise ConfigError(
            f"llm.cache_dtype: float8: {torch.cuda.get_device_name(device)} does not convert it; expected a GPU of the "
            "Ada generation (compute capability 8.9) or later; use `llm.cache_dtype: auto`"
        )
    if device.type == "cuda" and dtype != torch.bfloat16:
        raise ConfigError(
            "llm.cache_dtype: float8 goes with llm.dtype: bfloat16 on a GPU, found float32; use `llm.cache_dtype: auto`"
        )
    return torch.float8_e4m3fn


def _choose_slots(
    config: Config, weights_dir: Path, device: torch.device, dtype: torch.dtype, cache_dtype: torch.dtype
) -> int:
    if config.llm.slots != "auto":
        return config.llm.slots
    if device.type != "cuda":
        return _CPU_SLOTS
    # The card's whole memory times the replica's share of it, not what is free just now: the number must be the same
    # at every start, whoever has loaded first.
    share = min(config.replicas.llm.gpus or 1.0 - _UNDECLARED_CODEC_SHARE, 1.0)
    memory = int(torch.cuda.get_device_properties(device).total_memory * share)
    return count_slots(weights_dir, memory, dtype, config.llm.max_context, cache_dtype)


def count_slots(
    weights_dir: Path,
    memory_bytes: int,
    dtype: torch.dtype,
    max_context: int,
    cache_dtype: torch.dtype | None = None,
) -> int:
    """Return how many slots fit into a GPU's memory beside the language model's weights.

    Args:
        weights_dir: the model directory.
        memory_bytes: the replica's share of the card.
        dtype: of weights, and of the cache where it has none of its own.
        max_context: positions of each slot.
        cache_dtype: of keys and values.

    Returns:
        a multiple of 8, up to 2,048: with that many rows, products and reads are all that counts.

    Raises:
        ConfigError: not even 8 fit.
    """
    sizes = Qwen2Config.read(weights_dir / "LLM" / "config.json")
    weights = sum(math.prod(shape) for shape in list_tensor_shapes(sizes).values()) * dtype.itemsize
    cache_bytes = (cache_dtype or dtype).itemsize
    keys_and_values = 2 * sizes.num_hidden_layers * sizes.num_key_value_heads * sizes.head_dim * cache_bytes
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
    device = find_device("codec.device", config.codec.device, config.replicas.codec.gpus)
    dtype = choose_dtype(config.codec.dtype, device, cpu=torch.float32, gpu=torch.bfloat16)
    return BiCodec.load(weights_dir, device=device, dtype=dtype, pack_frames=config.codec.pack_frames)
