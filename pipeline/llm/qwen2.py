"""Qwen2, for inference, over a key-value cache with a fixed number of slots.

Knows nothing of sampling, requests or text. The arithmetic is chosen so that a row's result does not depend on its
neighbors: every product has a shape that follows from the configuration (decode) or from the prompt's own length
(prefill), and attention is written as matmul, masked softmax, matmul. The fused attention of torch is not used: in
float32 it gives a row other bits at another place of the batch. Decoding runs fewer rows than the cache has where a
test at load shows that a row's bits do not depend on their number.

Legend of shape suffixes: S rows of the cache (the slots, rounded up), P prompt positions (padded), H hidden,
K key-value heads, G query heads of one key-value head, X rows and key-value heads together, D head size, C positions of
a slot's cache, L live positions of it, V head rows.

Source: Qwen2 technical report, arXiv 2407.10671; compared with the official numbers by tests/llm/test_qwen2.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import ConfigError
from pipeline.hardware.packed_linear import PackedLinear
from pipeline.llm.checkpoint import Qwen2Config, load_tensors

_WIDE = 0.75
"""A cache of which no more than this is needed is made narrower; that takes about as long as a step."""


@dataclass(frozen=True)
class StepShapes:
    """What the shapes of products are rounded up to, so that a row's bits do not depend on its neighbors.

    Args:
        prompt_bucket: prompts are padded to a multiple of this; the shape follows from the prompt only.
        row_tile: decoding runs a multiple of so many rows: of 3 or 7 rows, a product gives the last ones other bits
            (measured).
        cache_bucket: decoding reads the cache up to the longest live sequence, rounded up to a multiple of this, or
            somewhat further; the cache is no wider.
        can_shrink: whether decoding may run fewer rows than there are; None asks `Qwen2.can_shrink` for a proof that
            this changes no bit.
    """

    prompt_bucket: int = 8
    row_tile: int = 8
    cache_bucket: int = 64
    can_shrink: bool | None = None


@dataclass(frozen=True)
class _Layer:
    attention_norm_H: Tensor
    qkv: PackedLinear
    output: PackedLinear
    mlp_norm_H: Tensor
    gate_up: PackedLinear
    down: PackedLinear


class Qwen2:
    """The network and its cache.

    Args:
        config: its sizes.
        tensors: by official name, in the dtype and on the device to compute with.
        num_slots: sequences in the cache.
        max_context: positions of each.
        shapes: how shapes are rounded; other ones than the default give up the promise, for measurements.
        cache_dtype: what keys and values are rounded to; None is the tensors' own.
    """

    def __init__(
        self,
        config: Qwen2Config,
        tensors: dict[str, Tensor],
        num_slots: int,
        max_context: int,
        shapes: StepShapes | None = None,
        cache_dtype: torch.dtype | None = None,
    ) -> None:
        self.config = config
        self.shapes = shapes or StepShapes()
        self.num_rows = _round_up(num_slots, self.shapes.row_tile)
        self.max_context = max_context
        self._embedding_VH = tensors["model.embed_tokens.weight"]
        self._head_VH = self._embedding_VH if config.tie_word_embeddings else tensors["lm_head.weight"]
        self._final_norm_H = tensors["model.norm.weight"]
        self._layers = [_fuse_layer(tensors, f"model.layers.{i}.") for i in range(config.num_hidden_layers)]
        device, dtype = self._embedding_VH.device, self._embedding_VH.dtype
        self.cache_dtype = cache_dtype or dtype
        # Zeros, not empty: masked positions are multiplied by a weight of zero, which would not silence a NaN.
        shape = (self.num_rows * config.num_key_value_heads, self._first_width(), config.head_dim)
        stored = self._stored_dtype()
        self._keys = [torch.zeros(shape, dtype=stored, device=device) for _ in self._layers]
        self._values = [torch.zeros(shape, dtype=stored, device=device) for _ in self._layers]
        self._slots_S1 = torch.arange(self.num_rows, device=device)[:, None]
        self._kv_heads_K = torch.arange(config.num_key_value_heads, device=device)
        self._positions_C = torch.arange(max_context, device=device)
        self._cos_CD, self._sin_CD = _make_rope_table(config, max_context, device, dtype)

    @classmethod
    def load(
        cls,
        llm_dir: Path,
        *,
        device: torch.device,
        dtype: torch.dtype,
        num_slots: int,
        max_context: int,
        cache_dtype: torch.dtype | None = None,
    ) -> Self:
        """Load `config.json` and the safetensors file or files of an LLM folder.

        Args:
            llm_dir: the folder.
            device: where to compute.
            dtype: float32 or bfloat16.
            num_slots: sequences in the cache.
            max_context: positions of each.
            cache_dtype: what keys and values are rounded to; None is `dtype`.

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
        tensors = load_tensors(llm_dir, config, device, dtype)
        return cls(config, tensors, num_slots, max_context, cache_dtype=cache_dtype)

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
        padded = min(_round_up(num_ids, self.shapes.prompt_bucket), self.max_context)
        hidden_PH = F.embedding(F.pad(ids, (0, padded - num_ids)), self._embedding_VH)
        positions_P = self._positions_C[:padded]
        is_hidden_PP = positions_P[None, :] > positions_P[:, None]
        cos_PD, sin_PD = self._cos_CD[:padded], self._sin_CD[:padded]
        num_kv, head_dim = self.config.num_key_value_heads, self.config.head_dim
        rows = slice(slot * num_kv, (slot + 1) * num_kv)
        if padded > self._keys[0].shape[1]:
            self._resize_cache(self._to_width(padded))
        for layer, keys, values in zip(self._layers, self._keys, self._values, strict=True):
            query, key, value = self._project(layer, hidden_PH, cos_PD, sin_PD)
            keys[rows, :padded] = key.transpose(0, 1)
            values[rows, :padded] = value.transpose(0, 1)
            # (P, K, G, D) -> (K, G * P, D): one product for each key-value head.
            query_KXD = query.permute(1, 2, 0, 3).reshape(num_kv, -1, head_dim)
            scores = torch.bmm(query_KXD, keys[rows, :padded].transpose(1, 2)).view(num_kv, -1, padded, padded)
            weights = torch.softmax(scores.masked_fill_(is_hidden_PP, float("-inf")), dim=-1, dtype=torch.float32)
            attended = torch.bmm(weights.to(value.dtype).view(num_kv, -1, padded), values[rows, :padded])
            attended_PH = attended.view(num_kv, -1, padded, head_dim).permute(2, 0, 1, 3).reshape(padded, -1)
            hidden_PH = self._finish_layer(layer, hidden_PH, attended_PH)
        return self._norm(hidden_PH, self._final_norm_H)[:num_ids]

    def decode_step(self, ids_S: Tensor, positions_S: Tensor, num_live: int) -> Tensor:
        """Advance the first rows by one token, unused ones among them, too.

        Args:
            ids_S: (S,) int64, the newest token of each; as many rows as are to be run, see `rows_to_run`.
            positions_S: (S,) int64, where it stands; the positions before it are in the cache.
            num_live: no position is as large as this.

        Returns:
            (S, H) normed hidden states.
        """
        return self._norm(self._run_layers(range(len(self._layers)), ids_S, positions_S, num_live), self._final_norm_H)

    def rows_to_run(self, num_used: int) -> int:
        """Return how many rows a step must run if only the first `num_used` hold sequences."""
        return _round_up(num_used, self.shapes.row_tile) if self.can_shrink else self.num_rows

    @cached_property
    def can_shrink(self) -> bool:
        """Whether a row has the same bits however many rows run with it, tried out on the first layer.

        True on the CPUs and in the versions of torch that were tried; whether it is depends on how the libraries cut
        products up, so that it is asked of each machine. On a GPU the number is fixed, for its graphs.
        """
        if self.shapes.can_shrink is not None or self.device.type != "cpu":
            return bool(self.shapes.can_shrink)
        generator = torch.Generator().manual_seed(0)
        num_live = min(self.shapes.cache_bucket, self.max_context)
        ids_S = torch.randint(self.config.vocab_size, (self.num_rows,), generator=generator)
        positions_S = torch.randint(num_live, (self.num_rows,), generator=generator)
        whole = self._run_layers(range(1), ids_S, positions_S, num_live)
        counts = range(self.shapes.row_tile, self.num_rows, self.shapes.row_tile)
        is_equal = all(
            torch.equal(self._run_layers(range(1), ids_S[:rows], positions_S[:rows], num_live), whole[:rows])
            for rows in counts
        )
        self._keys[0].zero_()
        self._values[0].zero_()
        return is_equal

    def copy_row(self, source: int, target: int, num_positions: int) -> None:
        """Give a slot the first positions of another one's cache."""
        num_kv = self.config.num_key_value_heads
        old, new = (slice(slot * num_kv, (slot + 1) * num_kv) for slot in (source, target))
        for keys, values in zip(self._keys, self._values, strict=True):
            keys[new, :num_positions] = keys[old, :num_positions]
            values[new, :num_positions] = values[old, :num_positions]

    def _stored_dtype(self) -> torch.dtype:
        """Return the dtype of the cache's tensors: rounded numbers are kept as they are computed with."""
        return self.dtype

    def _first_width(self) -> int:
        """Return how many positions of each slot the cache has room for at first."""
        return self._to_width(1)

    def _to_width(self, num_positions: int) -> int:
        return min(_round_up(num_positions, self.shapes.cache_bucket), self.max_context)

    def _fit_cache(self, num_live: int) -> int:
        """Give the cache room for so many positions of each slot, and not for many more; return for how many it has."""
        width, needed = self._keys[0].shape[1], self._to_width(num_live)
        if needed > width or needed <= _WIDE * width:
            self._resize_cache(needed)
            return needed
        return width

    def _resize_cache(self, width: int) -> None:
        # Contiguous at every width: oneDNN copies a slice of something wider before each product (bfloat16), which
        # takes longer than the product.
        for cache in (self._keys, self._values):
            for index, old in enumerate(cache):
                kept = min(width, old.shape[1])
                cache[index] = old.new_zeros(old.shape[0], width, old.shape[2])
                cache[index][:, :kept] = old[:, :kept]

    def _run_layers(self, layers: Sequence[int], ids_S: Tensor, positions_S: Tensor, num_live: int) -> Tensor:
        num_rows, num_kv, head_dim = len(ids_S), self.config.num_key_value_heads, self.config.head_dim
        live = self._fit_cache(num_live)
        hidden_SH = F.embedding(ids_S, self._embedding_VH)
        cos_SD, sin_SD = self._cos_CD[positions_S], self._sin_CD[positions_S]
        is_hidden_SL = self._positions_C[:live] > positions_S[:, None]
        bias_S11L = torch.where(is_hidden_SL, float("-inf"), 0.0).to(hidden_SH.dtype)[:, None, None, :]
        rows_SK = self._slots_S1[:num_rows] * num_kv + self._kv_heads_K
        for index in layers:
            layer, keys, values = self._layers[index], self._keys[index], self._values[index]
            query, key, value = self._project(layer, hidden_SH, cos_SD, sin_SD)
            keys[rows_SK, positions_S[:, None]] = key
            values[rows_SK, positions_S[:, None]] = value
            query_XGD = query.reshape(num_rows * num_kv, -1, head_dim)
            scores = torch.bmm(query_XGD, keys[: num_rows * num_kv].transpose(1, 2))
            scores = scores.view(num_rows, num_kv, -1, live).add_(bias_S11L)
            weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)
            attended = torch.bmm(weights.view(num_rows * num_kv, -1, live), values[: num_rows * num_kv])
            hidden_SH = self._finish_layer(layer, hidden_SH, attended.reshape(num_rows, -1))
        return hidden_SH

    def _project(self, layer: _Layer, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query (rows, K, G, D), scaled for the product with keys, and key and value (rows, K, D)."""
        num_kv, head_dim = self.config.num_key_value_heads, self.config.head_dim
        num_heads = self.config.num_attention_heads
        normed = self._norm(hidden, layer.attention_norm_H)
        heads = layer.qkv(normed).view(len(hidden), num_heads + 2 * num_kv, head_dim)
        turned = _rotate(heads[:, : num_heads + num_kv], cos[:, None], sin[:, None])
        query = (turned[:, :num_heads] * head_dim**-0.5).view(len(hidden), num_kv, num_heads // num_kv, head_dim)
        return query, self._round(turned[:, num_heads:]), self._round(heads[:, num_heads + num_kv :])

    def _round(self, numbers: Tensor) -> Tensor:
        if self.cache_dtype == numbers.dtype:
            return numbers
        most = torch.finfo(self.cache_dtype).max
        return numbers.clamp(-most, most).to(self.cache_dtype).to(numbers.dtype)

    def _finish_layer(self, layer: _Layer, hidden: Tensor, attended: Tensor) -> Tensor:
        hidden = hidden + layer.output(attended)
        gate, up = layer.gate_up(self._norm(hidden, layer.mlp_norm_H)).chunk(2, dim=-1)
        return hidden + layer.down(F.silu(gate) * up)

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
        qkv=PackedLinear(
            joined("self_attn.{}_proj.weight", "q", "k", "v"), joined("self_attn.{}_proj.bias", "q", "k", "v")
        ),
        output=PackedLinear(tensors.pop(prefix + "self_attn.o_proj.weight")),
        mlp_norm_H=tensors[prefix + "post_attention_layernorm.weight"],
        gate_up=PackedLinear(joined("mlp.{}_proj.weight", "gate", "up")),
        down=PackedLinear(tensors.pop(prefix + "mlp.down_proj.weight")),
    )


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
