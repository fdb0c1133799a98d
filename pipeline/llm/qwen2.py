"""Qwen2, for inference, over a key-value cache with a fixed number of slots.

Knows nothing of sampling, requests or text. The arithmetic is chosen so that a row's result does not depend on its
neighbors: every product has a shape that follows from the configuration (decode) or from the prompt's own length
(prefill), and attention is written as matmul, masked softmax, matmul. The fused attention of torch is not used: in
float32 it gives a row other bits at another place of the batch.

Legend of shape suffixes: S rows of the cache (the slots, rounded up), P prompt positions (padded), H hidden,
K key-value heads, G query heads of one key-value head, X rows and key-value heads together, D head size, C positions of
a slot's cache, L live positions of it, V head rows.

Source: Qwen2 technical report, arXiv 2407.10671; held to the official numbers by tests/llm/test_qwen2.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.errors import ConfigError, WeightsError

PROMPT_BUCKET = 32
"""Prompts are padded to a multiple of this, so that few shapes occur and each follows from the prompt alone."""
ROW_TILE = 8
"""Decoding runs a multiple of so many rows: of 3 or 7 rows, a product gives the last ones other bits (measured)."""
CACHE_BUCKET = 128
"""Decoding reads the cache up to the longest live sequence, rounded up to a multiple of this."""


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
        except ValueError as error:
            raise WeightsError(f"{path}: not JSON ({error}); copy the file again") from error
        if not isinstance(raw, dict):
            raise WeightsError(f"{path}: expected a mapping, found {type(raw).__name__}; copy the file again")
        rope = raw.get("rope_parameters") or {}
        scaling = raw.get("rope_scaling") or {}
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
        head_dim = raw.get("head_dim") or sizes["hidden_size"] // sizes["num_attention_heads"]
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


def _read_number(path: Path, raw: dict[str, Any], name: str, kind: type[int] | type[float]) -> Any:
    value = raw.get(name)
    allowed = (int,) if kind is int else (int, float)
    if not isinstance(value, allowed) or isinstance(value, bool) or value <= 0:
        raise WeightsError(f"{path}: {name} is {value!r}; expected a positive number; copy the file again")
    return kind(value)


def _refuse_unsupported(path: Path, raw: dict[str, Any], rope: dict[str, Any]) -> None:
    layer_types = raw.get("layer_types") or []
    wishes = {
        "model_type": (raw.get("model_type"), raw.get("model_type") == "qwen2", "qwen2"),
        "hidden_act": (raw.get("hidden_act"), raw.get("hidden_act", "silu") == "silu", "silu"),
        "use_sliding_window": (raw.get("use_sliding_window"), not raw.get("use_sliding_window"), "false"),
        "layer_types": (layer_types, set(layer_types) <= {"full_attention"}, "only full_attention"),
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


@dataclass(frozen=True)
class _Layer:
    attention_norm_H: Tensor
    qkv_weight: Tensor
    qkv_bias: Tensor
    output_weight: Tensor
    mlp_norm_H: Tensor
    gate_up_weight: Tensor
    down_weight: Tensor


class Qwen2:
    """The network and its cache.

    Args:
        config: its sizes.
        tensors: by official name, in the dtype and on the device to compute with.
        num_slots: sequences in the cache.
        max_context: positions of each.
    """

    def __init__(self, config: Qwen2Config, tensors: dict[str, Tensor], num_slots: int, max_context: int) -> None:
        self.config = config
        self.num_rows = -(-num_slots // ROW_TILE) * ROW_TILE
        self.max_context = max_context
        self._embedding_VH = tensors["model.embed_tokens.weight"]
        self._head_VH = self._embedding_VH if config.tie_word_embeddings else tensors["lm_head.weight"]
        self._final_norm_H = tensors["model.norm.weight"]
        self._layers = [_fuse_layer(tensors, f"model.layers.{i}.") for i in range(config.num_hidden_layers)]
        device, dtype = self._embedding_VH.device, self._embedding_VH.dtype
        # Zeros, not empty: masked positions are multiplied by a weight of zero, which would not silence a NaN.
        shape = (self.num_rows * config.num_key_value_heads, max_context, config.head_dim)
        self._keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in self._layers]
        self._values = [torch.zeros(shape, dtype=dtype, device=device) for _ in self._layers]
        self._slots_S1 = torch.arange(self.num_rows, device=device)[:, None]
        self._kv_heads_K = torch.arange(config.num_key_value_heads, device=device)
        self._positions_C = torch.arange(max_context, device=device)
        self._cos_CD, self._sin_CD = _make_rope_table(config, max_context, device, dtype)

    @classmethod
    def load(
        cls, llm_dir: Path, *, device: torch.device, dtype: torch.dtype, num_slots: int, max_context: int
    ) -> Qwen2:
        """Load `config.json` and the safetensors file or files of an LLM folder.

        Args:
            llm_dir: the folder.
            device: where to compute.
            dtype: float32 or bfloat16.
            num_slots: sequences in the cache.
            max_context: positions of each.

        Raises:
            ConfigError: float16, which gives garbage with this model, or a context that it was not made for.
            WeightsError: a file is missing, cut off, or does not fit the config.
        """
        if dtype not in (torch.float32, torch.bfloat16):
            raise ConfigError(
                f"llm.dtype: {str(dtype).removeprefix('torch.')} gives garbage with this model; use bfloat16 or float32"
            )
        config = Qwen2Config.read(llm_dir / "config.json")
        if max_context > config.max_position_embeddings:
            raise ConfigError(
                f"llm.max_context: {max_context}; expected at most {config.max_position_embeddings}, the positions "
                "that the model was made for"
            )
        tensors = _load_tensors(llm_dir, config, device, dtype)
        return cls(config, tensors, num_slots, max_context)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._embedding_VH.device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes with."""
        return self._embedding_VH.dtype

    def head_rows(self, ids: Tensor | None = None) -> Tensor:
        """Return rows of the output head in float32.

        Args:
            ids: (V,) int64; None takes all.

        Returns:
            (V, H); logits are the product with it in float32, as bfloat16 would make many of them equal.
        """
        rows = self._head_VH if ids is None else self._head_VH[ids]
        return rows.float()

    def prefill(self, ids: Tensor, slot: int) -> Tensor:
        """Read a prompt into a slot, from its first position on.

        Args:
            ids: (n,) int64, 1 <= n <= max_context.
            slot: whose cache to fill.

        Returns:
            (n, H) normed hidden states.
        """
        num_ids = ids.shape[0]
        padded = min(-(-num_ids // PROMPT_BUCKET) * PROMPT_BUCKET, self.max_context)
        hidden_PH = F.embedding(F.pad(ids, (0, padded - num_ids)), self._embedding_VH)
        positions_P = self._positions_C[:padded]
        is_hidden_PP = positions_P[None, :] > positions_P[:, None]
        cos_PD, sin_PD = self._cos_CD[:padded], self._sin_CD[:padded]
        num_kv, head_dim = self.config.num_key_value_heads, self.config.head_dim
        rows = slice(slot * num_kv, (slot + 1) * num_kv)
        for layer, keys, values in zip(self._layers, self._keys, self._values, strict=True):
            query, key, value = self._project(layer, hidden_PH, cos_PD, sin_PD)
            keys[rows, :padded] = key.transpose(0, 1)
            values[rows, :padded] = value.transpose(0, 1)
            # (P, K, G, D) -> (K, G * P, D): one product for each key-value head.
            query_KXD = query.permute(1, 2, 0, 3).reshape(num_kv, -1, head_dim)
            scores = torch.bmm(query_KXD, keys[rows, :padded].transpose(1, 2)) * head_dim**-0.5
            scores = scores.view(num_kv, -1, padded, padded).masked_fill(is_hidden_PP, float("-inf"))
            weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)
            attended = torch.bmm(weights.view(num_kv, -1, padded), values[rows, :padded])
            attended_PH = attended.view(num_kv, -1, padded, head_dim).permute(2, 0, 1, 3).reshape(padded, -1)
            hidden_PH = self._finish_layer(layer, hidden_PH, attended_PH)
        return self._norm(hidden_PH, self._final_norm_H)[:num_ids]

    def decode_step(self, ids_S: Tensor, positions_S: Tensor, num_live: int) -> Tensor:
        """Advance every row by one token, also those that nobody uses.

        Args:
            ids_S: (S,) int64, the newest token of each; slots come first.
            positions_S: (S,) int64, where it stands; the positions before it are in the cache.
            num_live: no position is as large as this.

        Returns:
            (S, H) normed hidden states.
        """
        live = min(-(-num_live // CACHE_BUCKET) * CACHE_BUCKET, self.max_context)
        hidden_SH = F.embedding(ids_S, self._embedding_VH)
        cos_SD, sin_SD = self._cos_CD[positions_S], self._sin_CD[positions_S]
        is_hidden_S11L = (self._positions_C[:live] > positions_S[:, None])[:, None, None, :]
        num_kv, head_dim = self.config.num_key_value_heads, self.config.head_dim
        rows_SK = self._slots_S1 * num_kv + self._kv_heads_K
        for layer, keys, values in zip(self._layers, self._keys, self._values, strict=True):
            query, key, value = self._project(layer, hidden_SH, cos_SD, sin_SD)
            keys[rows_SK, positions_S[:, None]] = key
            values[rows_SK, positions_S[:, None]] = value
            query_XGD = query.reshape(self.num_rows * num_kv, -1, head_dim)
            scores = torch.bmm(query_XGD, keys[:, :live].transpose(1, 2)) * head_dim**-0.5
            scores = scores.view(self.num_rows, num_kv, -1, live).masked_fill(is_hidden_S11L, float("-inf"))
            weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)
            attended = torch.bmm(weights.view(self.num_rows * num_kv, -1, live), values[:, :live])
            hidden_SH = self._finish_layer(layer, hidden_SH, attended.reshape(self.num_rows, -1))
        return self._norm(hidden_SH, self._final_norm_H)

    def _project(self, layer: _Layer, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query (rows, K, G, D), key and value (rows, K, D)."""
        num_kv, head_dim = self.config.num_key_value_heads, self.config.head_dim
        num_heads = self.config.num_attention_heads
        normed = self._norm(hidden, layer.attention_norm_H)
        heads = F.linear(normed, layer.qkv_weight, layer.qkv_bias).view(len(hidden), num_heads + 2 * num_kv, head_dim)
        turned = _rotate(heads[:, : num_heads + num_kv], cos[:, None], sin[:, None])
        query = turned[:, :num_heads].reshape(len(hidden), num_kv, num_heads // num_kv, head_dim)
        return query, turned[:, num_heads:], heads[:, num_heads + num_kv :]

    def _finish_layer(self, layer: _Layer, hidden: Tensor, attended: Tensor) -> Tensor:
        hidden = hidden + F.linear(attended, layer.output_weight)
        gate, up = F.linear(self._norm(hidden, layer.mlp_norm_H), layer.gate_up_weight).chunk(2, dim=-1)
        return hidden + F.linear(F.silu(gate) * up, layer.down_weight)

    def _norm(self, hidden: Tensor, weight_H: Tensor) -> Tensor:
        wide = hidden.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.config.rms_norm_eps)
        return weight_H * (wide * scale).to(hidden.dtype)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat((-second, first), dim=-1) * sin


def _make_rope_table(
    config: Qwen2Config, max_context: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return cos and sin of the rotary positions, each (C, D)."""
    # On the CPU for every device: one table for all.
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.int64).float() / config.head_dim
    angles = torch.arange(max_context).float()[:, None] * (1.0 / config.rope_theta**exponents)
    angles_CD = torch.cat((angles, angles), dim=-1)
    return angles_CD.cos().to(device, dtype), angles_CD.sin().to(device, dtype)


def _fuse_layer(tensors: dict[str, Tensor], prefix: str) -> _Layer:
    def joined(template: str, *names: str) -> Tensor:
        # Pops, so that the parts do not stay in memory beside the whole.
        return torch.cat([tensors.pop(prefix + template.format(name)) for name in names])

    return _Layer(
        attention_norm_H=tensors[prefix + "input_layernorm.weight"],
        qkv_weight=joined("self_attn.{}_proj.weight", "q", "k", "v"),
        qkv_bias=joined("self_attn.{}_proj.bias", "q", "k", "v"),
        output_weight=tensors[prefix + "self_attn.o_proj.weight"],
        mlp_norm_H=tensors[prefix + "post_attention_layernorm.weight"],
        gate_up_weight=joined("mlp.{}_proj.weight", "gate", "up"),
        down_weight=tensors[prefix + "mlp.down_proj.weight"],
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


def _load_tensors(llm_dir: Path, config: Qwen2Config, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
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
        except (ValueError, KeyError, AttributeError) as error:
            raise WeightsError(f"{index}: not an index of safetensors files ({error!r}); copy it again") from error
        if any(Path(name).name != name for name in names):
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
