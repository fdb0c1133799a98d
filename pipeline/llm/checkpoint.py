"""A Qwen2 folder on disk: its configuration, checked, and its tensors by name, all of them and no other.

Knows names and shapes, nothing of what the network computes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.errors import WeightsError

# Far above any model's: a damaged number must end as a sentence, not as a million layers being listed.
_MOST_LAYERS = 1_024


@dataclass(frozen=True)
class Qwen2Config:
    """The part of `config.json` that shapes the network; names as there."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool

    @classmethod
    def read(cls, path: Path) -> Qwen2Config:
        """Read `config.json`, in the older or the newer style.

        Raises:
            WeightsError: the file is missing or malformed, or asks for a network that is not Qwen2 as used here.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read ({error.strerror}); expected a Qwen2 config") from error
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"{path}: not JSON ({error}); copy the file again") from error
        if not isinstance(raw, dict):
            raise WeightsError(f"{path}: expected a mapping, found {type(raw).__name__}; copy the file again")
        rope, scaling = _read_mapping(path, raw, "rope_parameters"), _read_mapping(path, raw, "rope_scaling")
        _refuse_unsupported(path, raw, {**scaling, **rope})
        sizes = {
            name: _read_number(path, raw, name, int)
            for name in (
                "vocab_size",
                "hidden_size",
                "intermediate_size",
                "num_hidden_layers",
                "num_attention_heads",
                "num_key_value_heads",
                "max_position_embeddings",
            )
        }
        if sizes["num_hidden_layers"] > _MOST_LAYERS:
            raise WeightsError(
                f"{path}: num_hidden_layers is {sizes['num_hidden_layers']}; expected at most {_MOST_LAYERS}; copy the "
                "file again"
            )
        derived_head_dim = max(sizes["hidden_size"] // sizes["num_attention_heads"], 1)
        head_dim = _read_number(path, {"head_dim": raw.get("head_dim") or derived_head_dim}, "head_dim", int)
        if sizes["num_attention_heads"] % sizes["num_key_value_heads"] or head_dim % 2:
            raise WeightsError(
                f"{path}: {sizes['num_attention_heads']} attention heads of size {head_dim} over "
                f"{sizes['num_key_value_heads']} key-value heads do not divide evenly; copy the file again"
            )
        return cls(
            **sizes,
            head_dim=head_dim,
            rms_norm_eps=_read_number(path, raw, "rms_norm_eps", float),
            rope_theta=_read_number(path, {"rope_theta": 10_000.0, **raw, **rope}, "rope_theta", float),
            tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
        )


def _read_mapping(path: Path, raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name) or {}
    if not isinstance(value, dict):
        raise WeightsError(f"{path}: {name} is {value!r}; expected a mapping; copy the file again")
    return value


def _read_number(path: Path, raw: dict[str, Any], name: str, kind: type[int] | type[float]) -> Any:
    value = raw.get(name)
    allowed = (int,) if kind is int else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or not 0 < value < math.inf:
        raise WeightsError(f"{path}: {name} is {value!r}; expected a positive number; copy the file again")
    return kind(value)


def _refuse_unsupported(path: Path, raw: dict[str, Any], rope: dict[str, Any]) -> None:
    layer_types = raw.get("layer_types") or []
    is_full = isinstance(layer_types, list) and all(kind == "full_attention" for kind in layer_types)
    wishes = {
        "model_type": (raw.get("model_type"), raw.get("model_type") == "qwen2", "qwen2"),
        "hidden_act": (raw.get("hidden_act"), raw.get("hidden_act", "silu") == "silu", "silu"),
        "use_sliding_window": (raw.get("use_sliding_window"), not raw.get("use_sliding_window"), "false"),
        "layer_types": (layer_types, is_full, "only full_attention"),
        "rope type": (
            rope.get("rope_type", rope.get("type")),
            rope.get("rope_type", rope.get("type", "default")) == "default",
            "default",
        ),
    }
    for name, (value, is_supported, expected) in wishes.items():
        if not is_supported:
            raise WeightsError(
                f"{path}: {name} is {value!r}; expected {expected}; this project runs the Qwen2 of Spark-TTS only"
            )


def list_tensor_shapes(config: Qwen2Config) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor that the weights of such a network hold."""
    hidden, inner = config.hidden_size, config.intermediate_size
    query, kv = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, hidden)
    for index in range(config.num_hidden_layers):
        prefix = f"model.layers.{index}."
        for name, size in (("q", query), ("k", kv), ("v", kv)):
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = (size, hidden)
            shapes[f"{prefix}self_attn.{name}_proj.bias"] = (size,)
        shapes[f"{prefix}self_attn.o_proj.weight"] = (hidden, query)
        shapes[f"{prefix}mlp.gate_proj.weight"] = (inner, hidden)
        shapes[f"{prefix}mlp.up_proj.weight"] = (inner, hidden)
        shapes[f"{prefix}mlp.down_proj.weight"] = (hidden, inner)
        shapes[f"{prefix}input_layernorm.weight"] = (hidden,)
        shapes[f"{prefix}post_attention_layernorm.weight"] = (hidden,)
    return shapes


def load_tensors(llm_dir: Path, config: Qwen2Config, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Read the tensors of the safetensors file or files of a folder, by official name.

    Raises:
        WeightsError: one is missing, unexpected, of another shape, or not finite.
    """
    expected = list_tensor_shapes(config)
    # Both are repetitions that some exporters write: the tied head, and a table that follows from the config.
    known_extras = {"lm_head.weight"} if config.tie_word_embeddings else set()
    found: dict[str, Tensor] = {}
    for path, name, tensor in _read_safetensors(llm_dir):
        if name.endswith(".rotary_emb.inv_freq"):
            continue
        if name not in expected and name not in known_extras:
            raise WeightsError(
                f"{path}: tensor {name} is unexpected; expected the Qwen2 that {llm_dir / 'config.json'} describes; "
                "the two files must belong together"
            )
        shape = expected.get(name, expected["model.embed_tokens.weight"])
        if tuple(tensor.shape) != shape:
            raise WeightsError(
                f"{path}: tensor {name} has shape {list(tensor.shape)}; expected {list(shape)} from "
                f"{llm_dir / 'config.json'}; the two files must belong together"
            )
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise WeightsError(
                f"{path}: tensor {name} ({tensor.dtype}) holds values that are no finite floats; copy the file again"
            )
        found[name] = tensor.to(device=device, dtype=dtype)
    missing = [name for name in expected if name not in found]
    if missing:
        raise WeightsError(
            f"{llm_dir}: tensor {missing[0]} is missing ({len(missing)} in all); expected every tensor of the Qwen2 "
            "that config.json describes; copy the folder again"
        )
    if config.tie_word_embeddings and "lm_head.weight" in found:
        if not torch.equal(found.pop("lm_head.weight"), found["model.embed_tokens.weight"]):
            raise WeightsError(
                f"{llm_dir}: lm_head.weight differs from the embeddings, although config.json says "
                "tie_word_embeddings; set it to false if the head was trained apart"
            )
    return found


def _read_safetensors(llm_dir: Path) -> Iterator[tuple[Path, str, Tensor]]:
    index = llm_dir / "model.safetensors.index.json"
    paths = [llm_dir / "model.safetensors"]
    if not paths[0].is_file() and index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise WeightsError(f"{index}: not an index of safetensors files ({error!r}); copy it again") from error
        if any(not isinstance(name, str) or Path(name).name != name for name in names):
            raise WeightsError(f"{index}: names files outside its folder; expected plain file names; copy it again")
        paths = [llm_dir / name for name in sorted(names)]
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():
                    yield path, name, file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"{path}: cannot be read ({error}); expected a whole safetensors file; copy it again"
            ) from error
