"""The GPU's kernel, written in Triton: a convolution of the wave generator with all that surrounds it.

Channels lie last. A program computes a tile of rows and columns in an order that depends on neither, so that a row's
bits follow from the rows that it sees. Triton's interpreter runs it on a CPU, which is how the tests compare it.

Shape suffixes: as in `fused_generator`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pipeline.codec import sine
from pipeline.codec.fused_generator import Activation, Convolution

PER_PI, ROUNDER, HALF_PI = map(tl.constexpr, (sine.PER_PI, sine.ROUNDER, sine.HALF_PI))
PI_HIGH, PI_MIDDLE, PI_LOW = map(tl.constexpr, (sine.PI_HIGH, sine.PI_MIDDLE, sine.PI_LOW))
SINE_3, SINE_5, SINE_7, SINE_9 = map(tl.constexpr, (sine.SINE_3, sine.SINE_5, sine.SINE_7, sine.SINE_9))

_BLOCK_ROWS = 128
_BLOCK_COLUMNS = {False: 128, True: 64}
"""By whether the convolution is pointwise: those have few products for what surrounds them, so that two programs of a
processor take turns; wide ones need few reads for each product."""
_BLOCK_INPUTS = {torch.bfloat16: 64, torch.float32: 32}


def convolve(
    x_SI: Tensor,
    convolution: Convolution,
    y_SO: Tensor,
    *,
    stream_SO: Tensor | None = None,
    adds: bool = False,
    keeps: bool = False,
    activation: Activation | None = None,
    inside_S: Tensor | None = None,
) -> None:
    """Compute `y = activation(convolution(x) + stream) * inside`, and what is activated as the next `stream`.

    Sums, `stream` and activation are in float32; only `y` is rounded: to its dtype, or where it is activated float32 to
    what the next product takes of it.

    Args:
        x_SI: contiguous, in the dtype of the weight; zeros lie before and after it.
        convolution: its weight.
        y_SO: takes the result, contiguous; its length is the signal's.
        stream_SO: float32, contiguous.
        adds: whether `stream` is added.
        keeps: whether the sum is stored in `stream`.
        activation: None leaves the sum as it is.
        inside_S: float32: 1 inside of items, 0 outside; None stands for ones.
    """
    num_columns, num_inputs = convolution.weight_KNI.shape[1:]
    num_samples, num_channels = y_SO.shape
    rows = triton.cdiv(num_samples + convolution.shift, convolution.rate)
    num_taps = len(convolution.weight_KNI)
    block_columns = max(16, min(_BLOCK_COLUMNS[num_taps == 1], triton.next_power_of_2(num_columns)))
    nothing = convolution.bias_N
    snake = (nothing, nothing) if activation is None else (activation.alpha_N, activation.inverse_alpha_N)
    _convolve[(triton.cdiv(rows, _BLOCK_ROWS) * triton.cdiv(num_columns, block_columns),)](
        x_SI, convolution.weight_KNI, convolution.bias_N, *snake,
        nothing if inside_S is None else inside_S, nothing if stream_SO is None else stream_SO, y_SO,
        len(x_SI), num_samples, num_inputs, num_channels, num_columns, num_taps,
        convolution.dilation, convolution.first, convolution.rate, convolution.shift,
        ADDS=adds, KEEPS=keeps, ACTIVATES=activation is not None, MASKS=inside_S is not None,
        HAS_PHASES=convolution.rate > 1, PRECISION=convolution.precision, BLOCK_ROWS=_BLOCK_ROWS,
        BLOCK_COLUMNS=block_columns, BLOCK_INPUTS=_BLOCK_INPUTS[x_SI.dtype], num_warps=8, num_stages=3,
    )  # fmt: skip


@triton.jit
def _convolve(
    x, weight, bias, alpha, inverse_alpha, inside, stream, y,
    num_rows, num_samples, num_inputs, num_channels, num_columns, num_taps, dilation, first, rate, shift,
    ADDS: tl.constexpr, KEEPS: tl.constexpr, ACTIVATES: tl.constexpr, MASKS: tl.constexpr, HAS_PHASES: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, BLOCK_INPUTS: tl.constexpr,
):  # fmt: skip
    # Neighbors share rows, which the cache holds on to; all weights fit in there.
    num_blocks = tl.cdiv(num_columns, BLOCK_COLUMNS)
    begin = tl.program_id(0) // num_blocks * BLOCK_ROWS
    row = tl.arange(0, BLOCK_ROWS)
    column = tl.program_id(0) % num_blocks * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)
    is_column = column < num_columns
    # One loop, as only the innermost one is pipelined. Places in memory from the tile's first on: they fit in 32 bits.
    steps = tl.cdiv(num_inputs, BLOCK_INPUTS)
    x += (begin + first).to(tl.int64) * num_inputs
    total = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), tl.float32)
    for step in range(num_taps * steps):
        tap = step // steps
        place = (step - tap * steps) * BLOCK_INPUTS + tl.arange(0, BLOCK_INPUTS)
        is_input = place < num_inputs
        source = row + tap * dilation
        is_row = (begin + first + source >= 0) & (begin + first + source < num_rows)
        values = tl.load(
            x + source[:, None] * num_inputs + place[None, :], mask=is_row[:, None] & is_input[None, :], other=0.0
        )
        weights = tl.load(
            weight + (tap * num_columns + column)[None, :] * num_inputs + place[:, None],
            mask=is_column[None, :] & is_input[:, None],
            other=0.0,
        )
        total = tl.dot(values, weights, total, input_precision=PRECISION)
    total += tl.load(bias + column, mask=is_column, other=0.0)[None, :]
    # A row's samples lie one after another, as its columns do.
    sample = ((begin + row) * rate - shift)[:, None]
    if HAS_PHASES:
        sample += (column // num_channels)[None, :]
    is_live = (sample >= 0) & (sample < num_samples) & is_column[None, :]
    origin = (begin * rate - shift).to(tl.int64) * num_channels
    offsets = row[:, None] * rate * num_channels + column[None, :]
    if ADDS:
        total += tl.load(stream + origin + offsets, mask=is_live, other=0.0)
    if KEEPS:
        tl.store(stream + origin + offsets, total, mask=is_live)
    if ACTIVATES:
        angle = tl.load(alpha + column, mask=is_column, other=0.0)[None, :] * total
        total += tl.load(inverse_alpha + column, mask=is_column, other=0.0)[None, :] * _square_sine(angle)
    if MASKS:
        total *= tl.load(inside + sample, mask=(sample >= 0) & (sample < num_samples), other=0.0)
    if ACTIVATES and PRECISION == "tf32" and y.dtype.element_ty == tl.float32:
        total = ((total.to(tl.int32, bitcast=True) + 0x1000) & -0x2000).to(tl.float32, bitcast=True)
    tl.store(y + origin + offsets, total.to(y.dtype.element_ty), mask=is_live)


@triton.jit
def _square_sine(angle):
    """As `cpu_kernels` computes it: Triton's own sine takes twice the registers, for angles that there are none of."""
    half_turns = (angle * PER_PI + ROUNDER) - ROUNDER
    angle = ((angle - half_turns * PI_HIGH) - half_turns * PI_MIDDLE) - half_turns * PI_LOW
    angle = tl.minimum(tl.maximum(angle, -HALF_PI), HALF_PI)
    square = angle * angle
    sine = angle + angle * square * (SINE_3 + square * (SINE_5 + square * (SINE_7 + square * SINE_9)))
    return sine * sine
