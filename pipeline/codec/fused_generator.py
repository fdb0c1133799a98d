"""The wave generator for GPUs: the same function as `decoder.WaveGenerator`, a kernel for each convolution.

What residual units add to stays in float32 throughout, and so do all sums. In bfloat16 the products of the residual
units are rounded, four fifths of all; the others bear it less. Those of float32 are computed in TF32, as
torch's convolutions are on a card.

Shape suffixes: F frames, S samples, C channels, I channels in, O channels out, K taps, N columns: the channels of all
samples that are made of one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.codec.decoder import ResidualUnit, Snake, UpsamplingStage, WaveGenerator
from pipeline.codec.spans import Spans, zero_outside


@dataclass(frozen=True)
class Activation:
    """Snake, of each column and in float32: its alpha, and what the squared sine is multiplied with."""

    alpha_N: Tensor
    inverse_alpha_N: Tensor


@dataclass(frozen=True)
class Convolution:
    """A convolution over rows, or a transposed one as the plain one whose columns are all samples made of a row.

    Args:
        weight_KNI: in the dtype of the product.
        bias_N: float32.
        first: the row that the first tap sees, counted from a row of the result.
        dilation: rows from one tap to the next.
        rate: samples made of a row.
        shift: of those made of the first row, so many come before the signal's first one.
        precision: of the products of float32, as Triton calls it: `tf32`, or `tf32x3` for all digits.
    """

    weight_KNI: Tensor
    bias_N: Tensor
    first: int
    dilation: int
    rate: int
    shift: int
    precision: str

    @classmethod
    def of(cls, module: nn.Conv1d | nn.ConvTranspose1d, dtype: torch.dtype, precision: str) -> Convolution:
        """Lay a module's weight out; of a transposed one, tap t of phase r is position t * rate + r of its kernel."""
        weight, rate, shift = module.weight.detach(), 1, 0
        if isinstance(module, nn.ConvTranspose1d):
            rate, shift = int(module.stride[0]), int(module.padding[0])
            padded_IOK = functional.pad(weight, (0, -weight.shape[2] % rate))
            weight_KNI = padded_IOK.view(*padded_IOK.shape[:2], -1, rate).permute(2, 3, 1, 0).flip(0).flatten(1, 2)
            first = 1 - len(weight_KNI)
        else:
            weight_KNI, first = weight.permute(2, 0, 1), -int(module.padding[0])
        if dtype == torch.float32:
            weight_KNI = round_products(weight_KNI.contiguous(), precision)
        bias_O = module.bias.detach() if module.bias is not None else weight.new_zeros(module.out_channels)
        return cls(
            weight_KNI.to(dtype).contiguous(),
            bias_O.to(torch.float32).repeat(rate),
            first,
            int(module.dilation[0]),
            rate,
            shift,
            precision,
        )


def round_products(values: Tensor, precision: str) -> Tensor:
    """Return float32 values as they are multiplied; cards would cut off what TF32 has no room for."""
    if precision != "tf32":
        return values
    return ((values.view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)


class FusedWaveGenerator:
    """Features to a waveform, for items that lie in one row.

    Args:
        module: whose weights to use, float32, on its device; not needed afterwards.
        dtype: of the products of residual units.
        precision: of those in float32: `tf32`, or `tf32x3` for all digits.
        convolve: `kernels.convolve`, or what takes its place in tests.
    """

    def __init__(
        self, module: WaveGenerator, dtype: torch.dtype, precision: str, convolve: Callable[..., None]
    ) -> None:
        first, *stages, activate, last = module.model
        self._convolve = convolve
        self._precision = precision
        self._first = _lay_out(first, torch.float32, self._precision)
        self._last = _lay_out(last, torch.float32, self._precision)
        # Every convolution applies the activation that comes after it; the last one of a stage, the next stage's.
        upsampling = [cast(UpsamplingStage, stage) for stage in stages]
        activations = [*(stage.block[0] for stage in upsampling), activate]
        self._enter = _activation(activations[0])
        self._stages = [
            _FusedStage(stage, _activation(after), dtype, self._precision, convolve)
            for stage, after in zip(upsampling, activations[1:], strict=True)
        ]

    def __call__(self, features_1CF: Tensor, spans: Spans) -> Tensor:
        """Return (samples,) float32 in [-1, 1]; outside of the items the samples mean nothing.

        Args:
            features_1CF: float32.
            spans: of the one row, at the features' rate.
        """
        x_FI = round_products(zero_outside(features_1CF, spans)[0].t().contiguous(), self._precision)
        x_SC = x_FI.new_empty(len(x_FI), len(self._first.bias_N))
        self._convolve(x_FI, self._first, x_SC, activation=self._enter, inside_S=spans.inside_B1F.flatten())
        for stage in self._stages:
            x_SC, spans = stage(x_SC, spans)
        waveform_S1 = x_SC.new_empty(len(x_SC), 1)
        self._convolve(x_SC, self._last, waveform_S1)
        return torch.tanh(waveform_S1).flatten()


class _FusedStage:
    """An upsampling stage from its activated input to the activated input of what comes next."""

    def __init__(
        self,
        module: UpsamplingStage,
        after: Activation,
        dtype: torch.dtype,
        precision: str,
        convolve: Callable[..., None],
    ) -> None:
        _, upsample, *units = module.block
        self._rate, self._extra_samples = module.rate, module.extra_samples
        self._upsample = _lay_out(upsample, torch.float32, precision)
        blocks = [cast(ResidualUnit, unit).block for unit in units]
        self._units = [tuple(_lay_out(block[index], dtype, precision) for index in (1, 3)) for block in blocks]
        inner = [tuple(_activation(block[index]) for index in (0, 2)) for block in blocks]
        self._enter = _repeat(inner[0][0], self._rate)
        self._between = [between for _, between in inner]
        self._after = [*(before for before, _ in inner[1:]), after]
        self._dtype = dtype
        self._convolve = convolve

    def __call__(self, x_SC: Tensor, spans: Spans) -> tuple[Tensor, Spans]:
        spans = spans.upsample(self._rate, self._extra_samples)
        inside_S = spans.inside_B1F.flatten()
        num_channels = len(self._upsample.bias_N) // self._rate
        empty = partial(torch.empty, len(inside_S), num_channels, device=x_SC.device)
        stream_SC, active_SC = empty(), empty(dtype=self._dtype)
        self._convolve(
            x_SC, self._upsample, active_SC, stream_SO=stream_SC, keeps=True, activation=self._enter, inside_S=inside_S
        )
        for index, (dilated, mix) in enumerate(self._units):
            is_last = index == len(self._units) - 1
            hidden_SC = empty(dtype=self._dtype)
            # What the pointwise one makes of samples outside of the items stays there.
            self._convolve(active_SC, dilated, hidden_SC, activation=self._between[index])
            active_SC = empty(dtype=torch.float32 if is_last else self._dtype)
            self._convolve(
                hidden_SC, mix, active_SC, stream_SO=stream_SC, adds=True, keeps=not is_last,
                activation=self._after[index], inside_S=inside_S,
            )  # fmt: skip
        return active_SC, spans


def _lay_out(module: nn.Module, dtype: torch.dtype, precision: str) -> Convolution:
    return Convolution.of(cast("nn.Conv1d | nn.ConvTranspose1d", module), dtype, precision)


def _activation(module: nn.Module) -> Activation:
    snake = cast(Snake, module)
    return Activation(snake.alpha.detach().flatten(), snake.inverse_alpha().detach().flatten())


def _repeat(activation: Activation, times: int) -> Activation:
    return Activation(activation.alpha_N.repeat(times), activation.inverse_alpha_N.repeat(times))
