"""Qwen2 for GPUs: the same network, with everything between its matrix products in few fused kernels.

A call takes any tokens of any sequences: one of each slot (decoding), or the prompts of many, one after another
(a pack). Each call of a kind has the same shape, so that the products are the same ones every time and a CUDA graph can
replay it; attention reads only the live positions of each sequence.

Legend of shape suffixes: as in `pipeline.llm.kernels`.
"""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.llm import gated_product, kernels
from pipeline.llm.gated_product import GateTrial
from pipeline.llm.kernels import PROMPT_TILE_TOKENS, Tiles
from pipeline.llm.qwen2 import Qwen2

_LEAST_TOKENS_OF_GATE = 64
"""With fewer, reading the weights is all the work, and a small card need not hold what a trial takes of its memory."""


class FusedQwen2(Qwen2):
    """The network and its cache on a GPU; arguments as of `Qwen2`."""

    can_shrink = False
    """Every step runs all rows: a graph has one shape."""

    @property
    def tile_tokens(self) -> int:
        """Tokens of a prompt that share a read of its keys."""
        return PROMPT_TILE_TOKENS[self.dtype]

    def _stored_dtype(self) -> torch.dtype:
        """Return what keys and values are rounded to: the kernels do that, and read as little."""
        return self.cache_dtype

    def _first_width(self) -> int:
        """Return all positions: the kernels read live ones only, and graphs need tensors that stay."""
        return self.max_context

    @cached_property
    def gate_trials(self) -> dict[int, GateTrial]:
        """How the gate of a call is multiplied, by the number of its tokens; as cuBLAS does for any other number."""
        return {}

    def try_gate(self, num_tokens: int) -> None:
        """Try out whether calls of so many tokens are faster with the gate inside its product; no bit depends on it.

        In float32 the product would run without the card's matrix units, so that cuBLAS is not challenged.
        """
        if self.device.type == "cuda" and self.dtype == torch.bfloat16 and num_tokens >= _LEAST_TOKENS_OF_GATE:
            weights = [layer.gate_up.plain_weight for layer in self._layers]
            self.gate_trials[num_tokens] = gated_product.try_on_card(weights, num_tokens)

    def run_tokens(self, ids_T: Tensor, position_T: Tensor, slot_T: Tensor, tiles: Tiles) -> Tensor:
        """Advance sequences by the tokens given, and put their keys and values into the cache.

        Args:
            ids_T: (T,) int64.
            position_T: (T,) int64; the positions before a sequence's first are in the cache. `NOT_LIVE`: no token.
            slot_T: (T,) int32, whose token it is.
            tiles: the same, for attention.

        Returns:
            (T, H) normed hidden states; without meaning where there is no token.
        """
        num_kv, eps = self.config.num_key_value_heads, self.config.rms_norm_eps
        rotation = kernels.Rotation(self._cos_CD, self._sin_CD)
        hidden_TH = F.embedding(ids_T, self._embedding_VH)
        trial = self.gate_trials.get(len(ids_T))
        tiles_of_gate = trial.tiles if trial is not None else None
        update_TH = None
        for layer, keys, values in zip(self._layers, self._keys, self._values, strict=True):
            normed_TH = kernels.add_and_norm(hidden_TH, update_TH, layer.attention_norm_H, eps)
            heads_TX = layer.qkv(normed_TH)
            if tiles.size > 1:
                kernels.store(heads_TX, rotation, position_T, slot_T, keys, values, num_kv)
            update_TH = layer.output(kernels.attend(heads_TX, rotation, keys, values, tiles, num_kv))
            normed_TH = kernels.add_and_norm(hidden_TH, update_TH, layer.mlp_norm_H, eps)
            if tiles_of_gate is None:
                gated_TI = kernels.gate(layer.gate_up(normed_TH))
            else:
                gated_TI = gated_product.multiply(normed_TH, layer.gate_up.plain_weight, tiles_of_gate)
            update_TH = layer.down(gated_TI)
        return kernels.add_and_norm(hidden_TH, update_TH, self._final_norm_H, eps)

    def decode_step(self, ids_S: Tensor, positions_S: Tensor, num_live: int = 0) -> Tensor:
        """Advance all slots by one token; as `Qwen2.decode_step`, but `num_live` is not asked for."""
        slot_S = self._slots_S1[: len(ids_S), 0].int()
        tiles = Tiles(slot_S, torch.ones_like(slot_S), slot_S, positions_S, size=1)
        return self.run_tokens(ids_S, positions_S, slot_S, tiles)
