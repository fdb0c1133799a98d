"""The two codebooks: one that was learned, for semantic tokens, and finite scalars (FSQ), for global ones.

Shape suffixes: B batch, C channels, F frames, K codebook entries, D dimensions of a code, N latents of a speaker,
Q residual quantizers.

Source: Spark-TTS, arXiv 2503.01710; FSQ, arXiv 2309.15505; compared with the official code by tests/codec/.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.codec.decoder import FoldedConv1d

# Keeps the outermost levels reachable: without it tanh would have to be exactly 1.
_FSQ_BOUND_EPS = 1e-3


def _pointwise(input_channels: int, output_channels: int) -> nn.Module:
    if input_channels == output_channels:
        return nn.Identity()
    return FoldedConv1d(input_channels, output_channels, kernel_size=1)


def linear_or_identity(input_dim: int, output_dim: int) -> nn.Module:
    """Return a linear layer, or nothing to do where the widths agree; the checkpoint then has no weight for it."""
    return nn.Identity() if input_dim == output_dim else nn.Linear(input_dim, output_dim)


def _codebook(codebook_size: int, codebook_dim: int) -> nn.Embedding:
    """Return random rows, except on the meta device, where normal numbers would make torch import its compiler."""
    rows_KD = torch.empty(codebook_size, codebook_dim)
    if not rows_KD.is_meta:
        nn.init.normal_(rows_KD)
    return nn.Embedding(codebook_size, codebook_dim, _weight=rows_KD)


class SemanticLookup(nn.Module):
    """Semantic tokens to latents: a row of the codebook, then a pointwise convolution."""

    def __init__(self, input_dim: int, codebook_size: int, codebook_dim: int) -> None:
        super().__init__()
        self.codebook = _codebook(codebook_size, codebook_dim)
        self.out_project = _pointwise(codebook_dim, input_dim)

    def forward(self, semantic_tokens_BF: Tensor) -> Tensor:
        """Return (batch, channels, frames); the rows are used as they are, unlike in the search."""
        latent_BCF: Tensor = self.out_project(self.codebook(semantic_tokens_BF).transpose(1, 2))
        return latent_BCF


class SemanticSearch(nn.Module):
    """Latents to semantic tokens: the codebook row with the nearest direction."""

    def __init__(self, input_dim: int, codebook_size: int, codebook_dim: int) -> None:
        super().__init__()
        self.in_project = _pointwise(input_dim, codebook_dim)
        self.codebook = _codebook(codebook_size, codebook_dim)

    def forward(self, latent_BCF: Tensor) -> Tensor:
        """Return (batch, frames) int64."""
        codes_BFD = functional.normalize(self.in_project(latent_BCF).transpose(1, 2), dim=-1)
        codebook_KD = functional.normalize(self.codebook.weight, dim=-1)
        # Both are unit vectors, so that the nearest one is the one with the largest product.
        return (codes_BFD @ codebook_KD.T).argmax(dim=-1)


class FiniteScalars(nn.Module):
    """Rounds each dimension to its own few levels; `num_quantizers` of them refine one another.

    It has no learned weight. Digit i of an id is `(id // product of the levels before i) % levels[i]`, the first
    dimension being the lowest; the code of a digit is `(digit - levels // 2) / (levels // 2)`.

    Args:
        levels: number of levels of each dimension.
        num_quantizers: each works on what the ones before it left over, on a finer scale.
    """

    levels_D: Tensor
    basis_D: Tensor
    scales_QD: Tensor

    def __init__(self, levels: Sequence[int], num_quantizers: int) -> None:
        super().__init__()
        basis = [math.prod(levels[:index]) for index in range(len(levels))]
        scales = [[(count - 1.0) ** -index for count in levels] for index in range(num_quantizers)]
        # On the CPU explicitly: networks are built on the meta device, where constants would be lost.
        for name, values, dtype in (
            ("levels_D", levels, torch.int64),
            ("basis_D", basis, torch.int64),
            ("scales_QD", scales, torch.float32),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=dtype, device="cpu"), persistent=False)

    def bound(self, values: Tensor) -> Tensor:
        """Squash (..., D) so that rounding gives exactly the levels, shifted by half a step where they are even."""
        half_range_D = (self.levels_D - 1) * (1 + _FSQ_BOUND_EPS) / 2
        offset_D = torch.where(self.levels_D % 2 == 0, 0.5, 0.0)
        shift_D = torch.atanh(offset_D / half_range_D)
        return torch.tanh(values + shift_D) * half_range_D - offset_D

    def quantize(self, values_BND: Tensor) -> Tensor:
        """Return ids (batch, Q, N) int64."""
        half_width_D = self.levels_D // 2
        residual_BND = values_BND
        ids = []
        for scale_D in self.scales_QD:
            steps_BND = self.bound(residual_BND / scale_D).round()
            ids.append(((steps_BND.to(torch.int64) + half_width_D) * self.basis_D).sum(dim=-1))
            residual_BND = residual_BND - steps_BND / half_width_D * scale_D
        return torch.stack(ids, dim=1)

    def dequantize(self, ids_BQN: Tensor) -> Tensor:
        """Return codes (batch, N, D) float32, summed over the quantizers."""
        half_width_D = self.levels_D // 2
        digits_BQND = ids_BQN[..., None] // self.basis_D % self.levels_D
        codes_BQND = (digits_BQND - half_width_D) / half_width_D
        return (codes_BQND * self.scales_QD[:, None, :]).sum(dim=1)
