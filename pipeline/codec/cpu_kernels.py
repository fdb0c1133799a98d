"""CPU kernels compiled by Numba: what surrounds the products of matrices, in one pass over memory each.

torch's own operators take a pass for each sum and six times as long for the sine. Each kernel runs in the thread that
calls it, without Python's lock. Numba compiles at the first call with arrays of a dtype, in 0.2 to 0.4 s.

Shape suffixes: N rows, C channels, T rows of points, P points, M outputs of a tile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.codec import sine

Array = NDArray[Any]

_COMPILE = numba.njit(nogil=True, fastmath={"contract", "nsz"})
_CHANNELS_AT_ONCE = 256
"""So many channels of all rows of a tile stay in the first cache."""
_PER_PI, _ROUNDER, _HALF_PI = map(np.float32, (sine.PER_PI, sine.ROUNDER, sine.HALF_PI))
_PI_HIGH, _PI_MIDDLE, _PI_LOW = map(np.float32, (sine.PI_HIGH, sine.PI_MIDDLE, sine.PI_LOW))
_SINE_3, _SINE_5, _SINE_7, _SINE_9 = map(np.float32, (sine.SINE_3, sine.SINE_5, sine.SINE_7, sine.SINE_9))


@dataclass(frozen=True)
class SnakeParameters:
    """The periodic activation x + sin(alpha x)^2 * inverse, channel by channel.

    Args:
        alpha_C: float32, as the other.
        inverse_C: what the squared sine is multiplied with.
    """

    alpha_C: Array
    inverse_C: Array

    @classmethod
    def nothing(cls, num_channels: int) -> SnakeParameters:
        """Return those that change nothing."""
        zeros_C = np.zeros(num_channels, dtype=np.float32)
        return cls(zeros_C, zeros_C)


def apply_snake(x_NC: Tensor, snake: SnakeParameters, y_NC: Tensor) -> None:
    """Activate rows; `y_NC`, float32 or bfloat16, may be `x_NC`, and both must be contiguous."""
    _compile_snake(_is_rounded(y_NC))(x_NC.numpy(), snake.alpha_C, snake.inverse_C, _to_array(y_NC))


def to_points(x_NC: Tensor, matrix_PP: Array, num_outputs: int, dilation: int, y_PTC: Tensor) -> None:
    """Take the rows of each tile to its points.

    Args:
        x_NC: rows, contiguous.
        matrix_PP: what to multiply each tile's P rows with.
        num_outputs: rows from a tile to the next, over the dilation.
        dilation: rows from one row of a tile to its next; so many tiles lie in each other.
        y_PTC: contiguous; T / dilation groups of tiles.
    """
    _compile_to_points(len(matrix_PP))(x_NC.numpy(), matrix_PP, num_outputs, dilation, y_PTC.numpy())


def from_points(
    x_PTC: Tensor, matrix_MP: Array, dilation: int, bias_C: Array, snake: SnakeParameters, y_NC: Tensor
) -> None:
    """Take the points of each tile to its outputs, add a bias and activate.

    Args:
        x_PTC: as `to_points` lays them out, contiguous.
        matrix_MP: what to multiply each tile's points with.
        dilation: rows from one output of a tile to its next.
        bias_C: for each channel.
        snake: the activation.
        y_NC: T * M rows, contiguous, float32 or bfloat16.
    """
    kernel = _compile_from_points(*matrix_MP.shape, _is_rounded(y_NC))
    kernel(x_PTC.numpy(), matrix_MP, dilation, bias_C, snake.alpha_C, snake.inverse_C, _to_array(y_NC))


def add_rows(x_NC: Tensor, y_NC: Tensor) -> None:
    """Add rows, float32 or bfloat16 and contiguous, to float32 ones in place; torch takes longer for mixed ones."""
    if _is_rounded(x_NC):
        _add_rounded(_to_array(x_NC), y_NC.numpy())
    else:
        y_NC.add_(x_NC)


def _is_rounded(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16


def _to_array(x: Tensor) -> Array:
    # NumPy knows no bfloat16: its bits are the upper half of a float32's.
    array: Array = (x.view(torch.uint16) if _is_rounded(x) else x).numpy()
    return array


@numba.njit(inline="always")
def _activate(x: Any, alpha: Any, inverse: Any) -> Any:
    angle = x * alpha
    half_turns = (angle * _PER_PI + _ROUNDER) - _ROUNDER
    # The square has no sign, so that it does not matter whether half turns are even or odd.
    angle = ((angle - half_turns * _PI_HIGH) - half_turns * _PI_MIDDLE) - half_turns * _PI_LOW
    # Where an angle is so large that nothing is left of its fraction, the sine stays one all the same.
    angle = min(max(angle, -_HALF_PI), _HALF_PI)
    square = angle * angle
    sine = angle + angle * square * (_SINE_3 + square * (_SINE_5 + square * (_SINE_7 + square * _SINE_9)))
    return x + inverse * (sine * sine)


@numba.njit(inline="always")
def _round(x: Any) -> Any:
    """Return the bits of the nearest bfloat16, of two as near the even one; what is no number becomes none."""
    bits = np.float32(x).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.uint16(rounded if x == x else np.uint32(0x7FC0))


@_COMPILE
def _add_rounded(x_NC: Array, y_NC: Array) -> None:
    for row in range(x_NC.shape[0]):
        for channel in range(x_NC.shape[1]):
            y_NC[row, channel] += np.uint32(np.uint32(x_NC[row, channel]) << np.uint32(16)).view(np.float32)


@lru_cache
def _compile_snake(rounds: bool) -> Callable[..., None]:
    @_COMPILE
    def run(x_NC: Array, alpha_C: Array, inverse_C: Array, y_NC: Array) -> None:
        for row in range(x_NC.shape[0]):
            for channel in range(x_NC.shape[1]):
                value = _activate(x_NC[row, channel], alpha_C[channel], inverse_C[channel])
                y_NC[row, channel] = _round(value) if rounds else value

    compiled: Callable[..., None] = run
    return compiled


@lru_cache
def _compile_to_points(num_points: int) -> Callable[..., None]:
    # A number of points that is known when compiling unrolls the sums, so that the channels fill the vector registers.
    @_COMPILE
    def run(x_NC: Array, matrix_PP: Array, num_outputs: int, dilation: int, y_PTC: Array) -> None:
        num_channels = x_NC.shape[1]
        for row in range(y_PTC.shape[1]):
            first = row // dilation * num_outputs * dilation + row % dilation
            for begin in range(0, num_channels, _CHANNELS_AT_ONCE):
                for point in range(num_points):
                    for offset in range(min(_CHANNELS_AT_ONCE, num_channels - begin)):
                        channel = np.uintp(begin + offset)
                        value = matrix_PP[point, 0] * x_NC[first, channel]
                        for tap in range(1, num_points):
                            value += matrix_PP[point, tap] * x_NC[first + tap * dilation, channel]
                        y_PTC[point, row, channel] = value

    compiled: Callable[..., None] = run
    return compiled


@lru_cache
def _compile_from_points(num_outputs: int, num_points: int, rounds: bool) -> Callable[..., None]:
    @_COMPILE
    def run(
        x_PTC: Array, matrix_MP: Array, dilation: int, bias_C: Array, alpha_C: Array, inverse_C: Array, y_NC: Array
    ) -> None:
        num_channels = x_PTC.shape[2]
        for row in range(x_PTC.shape[1]):
            first = row // dilation * num_outputs * dilation + row % dilation
            for begin in range(0, num_channels, _CHANNELS_AT_ONCE):
                for output in range(num_outputs):
                    for offset in range(min(_CHANNELS_AT_ONCE, num_channels - begin)):
                        channel = np.uintp(begin + offset)
                        value = bias_C[channel]
                        for point in range(num_points):
                            value += matrix_MP[output, point] * x_PTC[point, row, channel]
                        value = _activate(value, alpha_C[channel], inverse_C[channel])
                        y_NC[first + output * dilation, channel] = _round(value) if rounds else value

    compiled: Callable[..., None] = run
    return compiled
