"""From semantic frames and a speaker vector to a waveform: the prenet and the wave generator.

Shape suffixes: B batch, C channels, F frames, S samples, D speaker vector, N items, which are the rows where there are
no spans.

The prenet takes the spans of the items in a row, and gives each item the same features as by itself. The wave generator
is written out for one item; what decodes packs and single items with its weights are `fused_generator` and
`packed_generator`.

Source: Spark-TTS, arXiv 2503.01710; wave generator after DAC, arXiv 2306.06546; compared with the official code by
tests/codec/test_decode_parity.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.codec.spans import Spans
from pipeline.codec.vocos import SamplingBlock, VocosBackbone

RESIDUAL_DILATIONS = (1, 3, 9)
"""Of the residual units of a stage, each with a kernel of 7."""
_SNAKE_EPS = 1e-9
_SAMPLING_LAYERS = 2


class FeatureDecoder(nn.Module):
    """The prenet (and the postnet, which inference does not use): features to features, steered by the speaker.

    Args:
        input_channels: channels of the input.
        vocos_dim: channels inside.
        vocos_intermediate_dim: width of the blocks' perceptrons.
        vocos_num_layers: blocks of the main backbone.
        out_channels: channels of the output.
        condition_dim: width of the speaker vector, or None for an unconditioned one.
        sample_ratios: upsampling factor of each sampling stage.
        use_tanh_at_final: squash the output.
    """

    def __init__(
        self,
        input_channels: int,
        vocos_dim: int,
        vocos_intermediate_dim: int,
        vocos_num_layers: int,
        out_channels: int,
        condition_dim: int | None,
        sample_ratios: Sequence[int],
        use_tanh_at_final: bool,
    ) -> None:
        super().__init__()
        self.linear_pre = nn.Linear(input_channels, vocos_dim)
        # The checkpoint calls these stages "downsample", although here they raise the rate.
        self.downsample = nn.ModuleList(
            nn.ModuleList(
                [
                    SamplingBlock(vocos_dim, upsample_ratio=ratio),
                    VocosBackbone(vocos_dim, vocos_dim, vocos_intermediate_dim, _SAMPLING_LAYERS),
                ]
            )
            for ratio in sample_ratios
        )
        self.vocos_backbone = VocosBackbone(
            vocos_dim, vocos_dim, vocos_intermediate_dim, vocos_num_layers, condition_dim
        )
        self.linear = nn.Linear(vocos_dim, out_channels)
        self.sample_ratios = tuple(sample_ratios)
        self.use_tanh_at_final = use_tanh_at_final

    def forward(
        self, x_BCF: Tensor, condition_ND: Tensor | None, spans: Spans | None = None
    ) -> tuple[Tensor, Spans | None]:
        """Return (batch, out_channels, frames * product of ratios) and the items' spans at that rate."""
        x_BFC = self.linear_pre(x_BCF.transpose(1, 2))
        for ratio, stage in zip(self.sample_ratios, self.downsample, strict=True):
            resample, backbone = stage.children()
            resampled_BCF = resample(x_BFC.transpose(1, 2), spans)
            spans = spans and spans.upsample(ratio)
            x_BFC = backbone(resampled_BCF, None, spans)
        x_BFC = self.linear(self.vocos_backbone(x_BFC.transpose(1, 2), condition_ND, spans))
        if self.use_tanh_at_final:
            x_BFC = torch.tanh(x_BFC)
        return x_BFC.transpose(1, 2), spans


class FoldedConv1d(nn.Conv1d):
    """A convolution that the checkpoint stores as weight norm's two factors; loading multiplies them out."""


class FoldedConvTranspose1d(nn.ConvTranspose1d):
    """The transposed one; its norm, too, is taken over all axes but the first, which here is the input channels."""


class Snake(nn.Module):
    """The periodic activation x + sin(alpha x)^2 / alpha, with one alpha for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(1, channels, 1))

    def forward(self, x_BCS: Tensor) -> Tensor:
        """Activate every sample."""
        return x_BCS + self.inverse_alpha() * torch.sin(self.alpha * x_BCS).square()

    def inverse_alpha(self) -> Tensor:
        """Return what the squared sine is multiplied with, (1, channels, 1)."""
        return (self.alpha + _SNAKE_EPS).reciprocal()


class ResidualUnit(nn.Module):
    """A dilated convolution and a pointwise one, added to the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            [
                Snake(channels),
                FoldedConv1d(channels, channels, kernel_size=7, dilation=dilation, padding=3 * dilation),
                Snake(channels),
                FoldedConv1d(channels, channels, kernel_size=1),
            ]
        )

    def forward(self, x_BCS: Tensor) -> Tensor:
        """Refine every sample with 3 * dilation samples of context on each side."""
        activate, convolve, activate_again, mix = self.block
        hidden_BCS = convolve(activate(x_BCS))
        mixed_BCS: Tensor = mix(activate_again(hidden_BCS))
        return x_BCS + mixed_BCS


class UpsamplingStage(nn.Module):
    """Raises the rate with a transposed convolution and refines with three residual units.

    Args:
        input_channels: channels of the input.
        output_channels: channels of the output.
        kernel_size: of the transposed convolution, at least `rate`.
        rate: output samples for each input sample.
    """

    def __init__(self, input_channels: int, output_channels: int, kernel_size: int, rate: int) -> None:
        super().__init__()
        self.rate = rate
        # Where kernel and rate differ by an odd number, the official padding leaves one sample more at the end.
        self.extra_samples = (kernel_size - rate) % 2
        padding = (kernel_size - rate) // 2
        self.block = nn.ModuleList(
            [
                Snake(input_channels),
                FoldedConvTranspose1d(input_channels, output_channels, kernel_size, stride=rate, padding=padding),
                *(ResidualUnit(output_channels, dilation) for dilation in RESIDUAL_DILATIONS),
            ]
        )

    def forward(self, x_BCS: Tensor) -> Tensor:
        """Return the upsampled signal."""
        for part in self.block:
            x_BCS = part(x_BCS)
        return x_BCS


class WaveGenerator(nn.Module):
    """Features to a waveform through upsampling stages that halve the channels.

    Args:
        input_channel: channels of the input.
        channels: channels before the first stage.
        rates: upsampling factor of each stage.
        kernel_sizes: kernel of each stage's transposed convolution.
    """

    def __init__(self, input_channel: int, channels: int, rates: Sequence[int], kernel_sizes: Sequence[int]) -> None:
        super().__init__()
        last_channels = channels // 2 ** len(rates)
        self.model = nn.ModuleList(
            [
                FoldedConv1d(input_channel, channels, kernel_size=7, padding=3),
                *(
                    UpsamplingStage(channels // 2**index, channels // 2 ** (index + 1), kernel_size, rate)
                    for index, (rate, kernel_size) in enumerate(zip(rates, kernel_sizes, strict=True))
                ),
                Snake(last_channels),
                FoldedConv1d(last_channels, 1, kernel_size=7, padding=3),
            ]
        )

    def forward(self, x_BCF: Tensor) -> Tensor:
        """Return (batch, samples) in [-1, 1]."""
        x_BCS = x_BCF
        for part in self.model:
            x_BCS = part(x_BCS)
        return torch.tanh(x_BCS).squeeze(1)
