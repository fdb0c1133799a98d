"""GPU kernels written in Triton, which comes with torch for CUDA; importing this file needs it.

Shape suffixes: B batch, C channels, S samples.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024
"""Samples of one channel that one program works on."""


@triton.jit
def _snake_kernel(
    x, alpha, inverse_alpha, inside, y, num_channels, num_samples, MASKED: tl.constexpr, BLOCK: tl.constexpr
):
    samples = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = tl.program_id(1)
    exists = samples < num_samples
    # In 64 bits: a long item's samples times its channels pass 2^31.
    first = row.to(tl.int64) * num_samples
    value = tl.load(x + first + samples, mask=exists).to(tl.float32)
    wave = tl.sin(tl.load(alpha + row % num_channels).to(tl.float32) * value)
    value = value + tl.load(inverse_alpha + row % num_channels).to(tl.float32) * (wave * wave)
    if MASKED:
        batch = row // num_channels
        value = value * tl.load(inside + batch.to(tl.int64) * num_samples + samples, mask=exists).to(tl.float32)
    tl.store(y + first + samples, value.to(y.dtype.element_ty), mask=exists)


def snake(x_BCS: Tensor, alpha_1C1: Tensor, inverse_alpha_1C1: Tensor, inside_B1S: Tensor | None) -> Tensor:
    """Return `(x + inverse_alpha * sin(alpha * x)^2) * inside` in one pass over memory, where torch takes six.

    Computed in float32 and rounded once. Knows no gradient.

    Args:
        x_BCS: float32 or bfloat16, as the others.
        alpha_1C1: of each channel.
        inverse_alpha_1C1: likewise.
        inside_B1S: 1 inside of items, 0 outside; None stands for ones.
    """
    x_BCS = x_BCS.contiguous()
    batch, num_channels, num_samples = x_BCS.shape
    y_BCS = torch.empty_like(x_BCS)
    grid = (triton.cdiv(num_samples, _BLOCK), batch * num_channels)
    _snake_kernel[grid](
        x_BCS,
        alpha_1C1.contiguous(),
        inverse_alpha_1C1.contiguous(),
        x_BCS if inside_B1S is None else inside_B1S.contiguous(),
        y_BCS,
        num_channels,
        num_samples,
        MASKED=inside_B1S is not None,
        BLOCK=_BLOCK,
        enable_fp_fusion=False,
    )
    return y_BCS
