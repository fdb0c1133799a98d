"""The Vocos backbone: the ConvNeXt stack that BiCodec's encoder and prenet are made of.

Shape suffixes: B batch, C channels, F frames, D condition width, N items, which are the rows where there are no spans.

Every convolution wider than one frame is given zeros between items, since that is what it sees before and after an
item decoded by itself. Masking once at the entrance would not do: biases and norms refill the gaps.

Source: Spark-TTS, arXiv 2503.01710, after Vocos, arXiv 2306.00814; compared with it by
tests/codec/test_decode_parity.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.codec.spans import Spans, spread, zero_outside
from pipeline.hardware.packed_linear import PackedLinear

_NORM_EPS = 1e-6


class ConditionedLayerNorm(nn.Module):
    """Layer norm whose scale and shift follow from a condition: `normalized * scale(c) + shift(c)`, without a `1 +`."""

    def __init__(self, condition_dim: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.scale = nn.Linear(condition_dim, dim)
        self.shift = nn.Linear(condition_dim, dim)

    def forward(self, x_BFC: Tensor, condition_ND: Tensor, spans: Spans | None) -> Tensor:
        """Normalize each frame over its channels, then scale and shift it as its own item's condition says."""
        normalized_BFC = functional.layer_norm(x_BFC, (self.dim,), eps=_NORM_EPS)
        return normalized_BFC * spread(self.scale(condition_ND), spans) + spread(self.shift(condition_ND), spans)


class PlainLayerNorm(nn.LayerNorm):
    """Layer norm with the same call as the conditioned one; condition and spans are not looked at."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=_NORM_EPS)

    def forward(self, x_BFC: Tensor, condition_ND: Tensor | None = None, spans: Spans | None = None) -> Tensor:
        """Normalize each frame over its channels."""
        return super().forward(x_BFC)


def _make_norm(dim: int, condition_dim: int | None) -> nn.Module:
    return PlainLayerNorm(dim) if condition_dim is None else ConditionedLayerNorm(condition_dim, dim)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over frames, then a two-layer perceptron on each frame, scaled and added to the input."""

    def __init__(self, dim: int, intermediate_dim: int, condition_dim: int | None) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = _make_norm(dim, condition_dim)
        self.pwconv1 = nn.Linear(dim, intermediate_dim)
        self.pwconv2 = nn.Linear(intermediate_dim, dim)
        self.gamma = nn.Parameter(torch.empty(dim))

    def forward(self, x_BCF: Tensor, condition_ND: Tensor | None, spans: Spans | None) -> Tensor:
        """Refine every frame with three frames of context on each side."""
        mixed_BFC = self.dwconv(zero_outside(x_BCF, spans)).transpose(1, 2)
        hidden_BFC = functional.gelu(self.pwconv1(self.norm(mixed_BFC, condition_ND, spans)))
        update_BFC: Tensor = self.gamma * self.pwconv2(hidden_BFC)
        return x_BCF + update_BFC.transpose(1, 2)


def pack_products(network: nn.Module, dtype: torch.dtype) -> None:
    """Replace the wide products of all blocks by packed ones in a dtype; what comes in and out stays float32."""
    for block in network.modules():
        if isinstance(block, ConvNeXtBlock):
            for name in ("pwconv1", "pwconv2"):
                setattr(block, name, _PackedProduct(getattr(block, name), dtype))


class _PackedProduct(nn.Module):
    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self._linear = PackedLinear(linear.weight.detach().to(dtype), linear.bias.detach().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply the last axis."""
        return self._linear(x.flatten(0, -2).to(self._dtype)).to(x.dtype).view(*x.shape[:-1], -1)


class VocosBackbone(nn.Module):
    """A convolution, a norm, ConvNeXt blocks and a final norm.

    Args:
        input_channels: channels of the input.
        dim: channels of the blocks and of the output.
        intermediate_dim: width inside the blocks' perceptrons.
        num_layers: number of blocks.
        condition_dim: width of the condition that steers all norms but the final one; None for plain norms.
    """

    def __init__(
        self, input_channels: int, dim: int, intermediate_dim: int, num_layers: int, condition_dim: int | None = None
    ) -> None:
        super().__init__()
        self.embed = nn.Conv1d(input_channels, dim, kernel_size=7, padding=3)
        self.norm = _make_norm(dim, condition_dim)
        self.convnext = nn.ModuleList(ConvNeXtBlock(dim, intermediate_dim, condition_dim) for _ in range(num_layers))
        self.final_layer_norm = PlainLayerNorm(dim)

    def forward(self, x_BCF: Tensor, condition_ND: Tensor | None = None, spans: Spans | None = None) -> Tensor:
        """Return (batch, frames, dim); note that the channels move to the end."""
        x_BCF = self.embed(zero_outside(x_BCF, spans))
        x_BCF = self.norm(x_BCF.transpose(1, 2), condition_ND, spans).transpose(1, 2)
        for block in self.convnext:
            x_BCF = block(x_BCF, condition_ND, spans)
        normalized_BFC: Tensor = self.final_layer_norm(x_BCF.transpose(1, 2))
        return normalized_BFC


class SamplingBlock(nn.Module):
    """Changes the frame rate up or down; at ratio 1 it has no parameters, but returns three times its input.

    It is a sum of three paths: (learned + repeated) resampling, its average, and the average of the repetition only.
    With nothing to resample all three are the input itself.

    Args:
        dim: channels, each resampled on its own.
        upsample_ratio: output frames for each input frame.
        downsample_ratio: input frames for each output frame.
    """

    def __init__(self, dim: int, upsample_ratio: int = 1, downsample_ratio: int = 1) -> None:
        super().__init__()
        self.upsample_ratio = upsample_ratio
        self.downsample_ratio = downsample_ratio
        if upsample_ratio > 1:
            odd = upsample_ratio % 2
            self.de_conv_upsampler = nn.Sequential(
                nn.LeakyReLU(0.2),
                nn.ConvTranspose1d(
                    dim,
                    dim,
                    kernel_size=upsample_ratio * 2,
                    stride=upsample_ratio,
                    padding=upsample_ratio // 2 + odd,
                    output_padding=odd,
                    groups=dim,
                ),
            )
        if downsample_ratio > 1:
            self.conv_downsampler = nn.Sequential(
                nn.LeakyReLU(0.2),
                nn.Conv1d(
                    dim,
                    dim,
                    kernel_size=downsample_ratio * 2,
                    stride=downsample_ratio,
                    padding=downsample_ratio // 2 + downsample_ratio % 2,
                    groups=dim,
                ),
            )

    def forward(self, x_BCF: Tensor, spans: Spans | None = None) -> Tensor:
        """Return (batch, dim, frames * upsample_ratio // downsample_ratio).

        `spans` are the input's, and may be given only to a block that does not reduce the rate.
        """
        repeated = merged = x_BCF
        if self.upsample_ratio > 1:
            repeated = x_BCF.repeat_interleave(self.upsample_ratio, dim=2)
            merged = repeated + self.de_conv_upsampler(zero_outside(x_BCF, spans))
        if self.downsample_ratio == 1:
            return merged + merged + repeated
        average_merged = functional.avg_pool1d(merged, self.downsample_ratio)
        average_repeated = functional.avg_pool1d(repeated, self.downsample_ratio)
        # An odd ratio's convolution can see one frame more than the averages have; the official code fails there.
        learned: Tensor = self.conv_downsampler(merged)[..., : average_merged.shape[-1]]
        return learned + average_merged + average_repeated
