"""The wave generator for CPUs: the same function as `decoder.WaveGenerator`, arranged for caches and for few products.

One item at its own length, without padding or neighbors. Channels lie last, and each layer runs over stretches that
stay in the cache, where a plain module writes every intermediate of the whole utterance to memory. Wide convolutions,
transposed ones too, go through `winograd`; what surrounds products is compiled (`cpu_kernels`). Zeros around the signal
take the place of the convolutions' padding, since the activation maps zero to zero.

Shape suffixes: F frames, S samples, N rows of a stretch, I and O channels in and out, C channels, K taps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import record_function

from pipeline.codec.cpu_kernels import SnakeParameters, add_rows, apply_snake
from pipeline.codec.decoder import (
    FoldedConv1d,
    FoldedConvTranspose1d,
    ResidualUnit,
    Snake,
    UpsamplingStage,
    WaveGenerator,
)
from pipeline.codec.winograd import WinogradConvolution, is_faster
from pipeline.hardware.packed_linear import PackedLinear

_CONVOLUTIONS = (FoldedConv1d, FoldedConvTranspose1d)
_STRETCH_FLOATS = 1 << 18
"""Numbers of a stretch; 1 MB of float32. Of smaller ones there are too many calls, larger ones wait for memory
(measured)."""
_STRETCH_STEPS = 32
"""Parts of a stretch; a plain convolution's last stretch is rounded up to one."""


class PackedWaveGenerator:
    """Features to a waveform, in float32; for any number of threads at once.

    Args:
        module: whose weights to use, float32; not needed afterwards.
        dtype: of the residual units' pointwise products. The others stay in float32: `winograd` needs so few of them
            that bfloat16 would gain little, and bears no rounding.
    """

    def __init__(self, module: WaveGenerator, dtype: torch.dtype = torch.float32) -> None:
        first, *stages, activate, last = module.model
        convolutions = [part for stage in stages for part in stage.modules() if isinstance(part, _CONVOLUTIONS)]
        # Enough for the widest: (kernel - 1) * dilation / 2 on each side, or all of a transposed one's kernel.
        self._margin = max(part.kernel_size[0] * max(part.dilation[0] // 2 + 1, 1) for part in convolutions)
        self._first = _convolution(cast(nn.Conv1d, first))
        self._leave = SnakeParameters.nothing(self._first.output_channels)
        self._stages = [_PackedStage(cast(UpsamplingStage, stage), self._margin, dtype) for stage in stages]
        # After a signal there is room for what a last stretch, rounded up, reads and writes past the end.
        self._slack = self._margin + max(stage.overshoot for stage in self._stages)
        self._snake = _snake(cast(Snake, activate))
        last = cast(nn.Conv1d, last)
        self._last_CK = last.weight.detach()[0].contiguous()
        self._last_bias = last.bias.detach() if last.bias is not None else last.weight.new_zeros(1)

    def __call__(self, features_FI: Tensor) -> Tensor:
        """Return (samples,) float32 in [-1, 1] for float32 features."""
        num_rows = len(features_FI)
        # The names are for profilers: `jobs.benchmark --parts codec` does.
        with record_function("codec: entrance"):
            rounded = num_rows + -num_rows % self._first.step
            padded_FI = functional.pad(features_FI, (0, 0, 3, 3 + rounded - num_rows)).contiguous()
            x_SC = features_FI.new_empty(self._margin + rounded + self._slack, self._first.output_channels)
            self._first(padded_FI, self._leave, x_SC[self._margin : self._margin + rounded])
            _clear_margins(x_SC, self._margin, num_rows)
        for index, stage in enumerate(self._stages, start=1):
            with record_function(f"codec: stage {index}"):
                x_SC, num_rows = stage(x_SC, num_rows, self._slack)
        with record_function("codec: exit"):
            stretches = _stretches(num_rows, max(_STRETCH_FLOATS // x_SC.shape[1], 1), 1)
            return torch.cat([self._finish(x_SC, start, rows) for start, rows in stretches])

    def _finish(self, x_SC: Tensor, start: int, num_rows: int) -> Tensor:
        first = self._margin + start - 3
        taps_NK = _activate(x_SC[first : first + num_rows + 6], self._snake) @ self._last_CK
        # One output channel: all taps of all samples in one product, then each sample's own seven are summed.
        width = taps_NK.shape[1]
        summed_N = taps_NK.as_strided((num_rows, width), (width, width + 1)).sum(dim=1)
        return torch.tanh(summed_N + self._last_bias)


class _PackedStage:
    """A transposed convolution as a plain one that makes all samples of an input row at once, then residual units."""

    def __init__(self, module: UpsamplingStage, margin: int, dtype: torch.dtype) -> None:
        activate, transposed, *units = module.block
        upsample = cast(nn.ConvTranspose1d, transposed)
        self._margin = margin
        self._rate = module.rate
        self._extra_samples = module.extra_samples
        self._padding = int(upsample.padding[0])
        self._snake = _snake(cast(Snake, activate))
        self._upsample = _phase_convolution(upsample)
        self._leave = SnakeParameters.nothing(self._upsample.output_channels)
        self._units = [_PackedUnit(cast(ResidualUnit, unit), margin, dtype) for unit in units]
        self.overshoot: int = max(self._upsample.step * self._rate, *(unit.overshoot for unit in self._units))

    def __call__(self, x_SC: Tensor, num_rows: int, slack: int) -> tuple[Tensor, int]:
        """Return the next signal with its margins, and its length."""
        num_samples = num_rows * self._rate + self._extra_samples
        before = self._upsample.num_taps - 1
        y_SC = x_SC.new_empty(self._margin + num_samples + slack, self._upsample.output_channels // self._rate)
        for start, count in _stretches(num_rows + before, self._upsample.stretch, self._upsample.step):
            first = self._margin + start - before
            active_NI = _activate(x_SC[first : first + count + before], self._snake)
            target = self._margin - self._padding + start * self._rate
            # Samples made from one input row lie one after another, as its phases do.
            self._upsample(active_NI, self._leave, y_SC[target : target + count * self._rate].view(count, -1))
        _clear_margins(y_SC, self._margin, num_samples)
        for unit in self._units:
            unit(y_SC, num_samples)
            _clear_margins(y_SC, self._margin, num_samples)
        return y_SC, num_samples


class _PackedUnit:
    def __init__(self, module: ResidualUnit, margin: int, dtype: torch.dtype) -> None:
        activate, convolve, activate_again, mix = module.block
        self._margin = margin
        self._snake = _snake(cast(Snake, activate))
        self._convolve = _convolution(cast(nn.Conv1d, convolve))
        self._snake_again = _snake(cast(Snake, activate_again))
        mix = cast(nn.Conv1d, mix)
        self._dtype = dtype
        self._mix = PackedLinear(mix.weight.detach()[:, :, 0].to(dtype), _bias(mix).to(dtype))
        self.overshoot: int = self._convolve.step

    def __call__(self, x_SC: Tensor, num_samples: int) -> None:
        """Refine the signal in place; rows past its end are left undefined."""
        reach = self._convolve.reach
        first = self._margin + reach // 2
        # What a stretch reads on its left was overwritten by the one before, which left it here.
        active_NC = x_SC.new_empty(reach + self._convolve.stretch, x_SC.shape[1])
        apply_snake(x_SC[first - reach : first], self._snake, active_NC[:reach])
        for start, count in _stretches(num_samples, self._convolve.stretch, self._convolve.step):
            apply_snake(x_SC[first + start : first + start + count], self._snake, active_NC[reach : reach + count])
            hidden_NC = x_SC.new_empty(count, self._convolve.output_channels, dtype=self._dtype)
            self._convolve(active_NC[: reach + count], self._snake_again, hidden_NC)
            active_NC[:reach] = active_NC[count : count + reach].clone()
            add_rows(self._mix(hidden_NC), x_SC[self._margin + start : self._margin + start + count])


def _activate(x_NC: Tensor, snake: SnakeParameters) -> Tensor:
    y_NC = torch.empty_like(x_NC)
    apply_snake(x_NC, snake, y_NC)
    return y_NC


def _clear_margins(y_SC: Tensor, margin: int, num_samples: int) -> None:
    y_SC[:margin].zero_()
    y_SC[margin + num_samples :].zero_()


def _snake(module: Snake) -> SnakeParameters:
    return SnakeParameters(module.alpha.detach().flatten().numpy(), module.inverse_alpha().detach().flatten().numpy())


def _convolution(module: nn.Conv1d) -> Convolution:
    return _choose(module.weight.detach(), _bias(module), int(module.dilation[0]))


def _phase_convolution(module: nn.ConvTranspose1d) -> Convolution:
    """Return the convolution over a transposed one's input rows whose channels are output phase by phase."""
    rate, weight_IOK = int(module.stride[0]), module.weight.detach()
    # Kernel position t * rate + r reaches phase r of an output row from the input t rows before.
    weight_IOK = functional.pad(weight_IOK, (0, -weight_IOK.shape[2] % rate))
    weight_ROIT = weight_IOK.view(*weight_IOK.shape[:2], -1, rate).permute(3, 1, 0, 2).flip(3)
    return _choose(weight_ROIT.flatten(0, 1).contiguous(), _bias(module).repeat(rate), 1)


def _bias(module: nn.Conv1d | nn.ConvTranspose1d) -> Tensor:
    return module.bias.detach() if module.bias is not None else module.weight.new_zeros(module.out_channels)


def _choose(weight_OIK: Tensor, bias_O: Tensor, dilation: int) -> Convolution:
    if is_faster(weight_OIK):
        return WinogradConvolution(weight_OIK, bias_O, dilation)
    return _PackedConvolution(weight_OIK, bias_O, dilation)


class _PackedConvolution:
    """A convolution without padding over rows, as one of height 1 over an image whose channels lie last."""

    def __init__(self, weight_OIK: Tensor, bias_O: Tensor, dilation: int) -> None:
        self.output_channels, input_channels, self.num_taps = weight_OIK.shape
        self.dilation = dilation
        self.reach = (self.num_taps - 1) * dilation
        # oneDNN compiles code for each length.
        self.step = max(_STRETCH_FLOATS // input_channels // _STRETCH_STEPS, 1)
        self.stretch = self.step * _STRETCH_STEPS
        self._bias = bias_O
        self._weight = weight_OIK.unsqueeze(2).to(memory_format=torch.channels_last)
        self._packed = _pack(self._weight, dilation, self.stretch + self.reach)

    def __call__(self, x_NI: Tensor, snake: SnakeParameters, y_NO: Tensor) -> None:
        """Write (N - reach, O), activated, for (N, I), both contiguous."""
        x_1IHN = x_NI[None, None].permute(0, 3, 1, 2)
        if self._packed is not None:
            y_1OHN = torch.ops.mkldnn._convolution_pointwise(
                x_1IHN, self._packed, self._bias, [0, 0], [1, 1], [1, self.dilation], 1, "none", [], ""
            )
        else:
            y_1OHN = functional.conv2d(x_1IHN, self._weight, self._bias, dilation=(1, self.dilation))
        apply_snake(y_1OHN.permute(0, 2, 3, 1).reshape(-1, self.output_channels), snake, y_NO)


Convolution = WinogradConvolution | _PackedConvolution


def _pack(weight: Tensor, dilation: int, num_rows: int) -> Tensor | None:
    """Lay a weight out as oneDNN wants it for so many rows, once; None where this torch or machine cannot."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    shape = [1, weight.shape[1], 1, num_rows]
    arguments = ([0, 0], [1, 1], [1, dilation], 1)
    try:
        # The operators that torch's own compiler emits for frozen weights; private, so they are tried, not trusted.
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, *arguments, shape)
        probe = weight.new_zeros(shape).to(memory_format=torch.channels_last)
        torch.ops.mkldnn._convolution_pointwise(probe, packed, None, *arguments, "none", [], "")
    except (AttributeError, NotImplementedError, RuntimeError):
        return None
    return packed


def _stretches(num_rows: int, whole: int, step: int) -> Iterator[tuple[int, int]]:
    """Cut rows into stretches: (first row, number of rows), multiples of `step`; the last may reach past the end."""
    for start in range(0, num_rows, whole):
        yield start, min(whole, -(-(num_rows - start) // step) * step)
