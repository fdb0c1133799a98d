"""A voice to global tokens and back: mel spectrogram, ECAPA trunk, perceiver, finite scalars.

Shape suffixes: B batch, C channels, M mel bands, F mel frames, N latents (global tokens of one quantizer),
D width of a latent, K dimensions of a code, H heads, E width of a head, Q residual quantizers, S samples.

It pools over time, so that audio of one length only may go in: never pad it.

Source: Spark-TTS, arXiv 2503.01710; ECAPA-TDNN, arXiv 2005.07143; Perceiver, arXiv 2103.03206; compared with the
official code by tests/codec/test_encode_parity.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.codec.quantizer import FiniteScalars, linear_or_identity

TRUNK_CHANNELS = 512
"""The official code fixes it; a smaller model may say otherwise in `speaker_encoder.trunk_channels`."""
NUM_ECAPA_LAYERS = 3
"""Their outputs, side by side, are the context that a voice is gathered from."""
# The official code fixes these, too; no configuration reaches them.
_RES2_GROUPS = 8
_SQUEEZE_CHANNELS = 128
_DILATIONS = (2, 3, 4)
_PERCEIVER_DEPTH = 2
_PERCEIVER_HEADS = 8
_PERCEIVER_HEAD_DIM = 64


class MelSpectrogram(nn.Module):
    """Magnitudes (no power, no logarithm) in bands of the Slaney mel scale, each of unit area.

    Args:
        sample_rate: Hz.
        n_fft: samples of a transform; frames are centered and the edges reflected.
        win_length: samples of the Hann window, centered in the transform.
        hop_length: samples between frames.
        mel_fmin: lowest frequency in Hz.
        mel_fmax: highest frequency in Hz; None for half the sample rate.
        num_mels: number of bands.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        win_length: int,
        hop_length: int,
        mel_fmin: float,
        mel_fmax: float | None,
        num_mels: int,
    ) -> None:
        super().__init__()
        self.n_fft, self.win_length, self.hop_length = n_fft, win_length, hop_length
        filters = _mel_filters(sample_rate, n_fft, mel_fmin, mel_fmax or sample_rate / 2, num_mels)
        self.register_buffer("window", torch.hann_window(win_length, device="cpu"), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform_BS: Tensor) -> Tensor:
        """Return (batch, num_mels, samples // hop_length + 1)."""
        spectrum = torch.stft(
            waveform_BS,
            self.n_fft,
            self.hop_length,
            self.win_length,
            self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        return (spectrum.abs().transpose(1, 2) @ self.filters).transpose(1, 2)


def _mel_filters(sample_rate: int, n_fft: int, low_hz: float, high_hz: float, num_mels: int) -> Tensor:
    """Return (n_fft // 2 + 1, num_mels) triangles.

    All in float32, as when the model was trained: exact filters move the spectrogram by more than rounding does.
    """
    bins = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1, device="cpu")
    mels = torch.linspace(_hz_to_mel(low_hz), _hz_to_mel(high_hz), num_mels + 2, device="cpu")
    edges = torch.where(mels < 15, mels * (200 / 3), 1000 * torch.exp((mels - 15) * (math.log(6.4) / 27)))
    widths = edges.diff()
    rising = (bins[:, None] - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - bins[:, None]) / widths[1:]
    triangles = torch.minimum(rising, falling).clamp(min=0)
    return triangles * (2 / (edges[2:] - edges[:-2]))


def _hz_to_mel(frequency_hz: float) -> float:
    """Return the Slaney scale's value: linear to 1000 Hz (mel 15), 27 steps for each factor of 6.4 above."""
    if frequency_hz < 1000:
        return frequency_hz * 3 / 200
    return 15 + 27 / math.log(6.4) * math.log(frequency_hz / 1000)


class ConvReluNorm(nn.Module):
    """Convolution, relu, and only then batch norm."""

    def __init__(self, input_channels: int, channels: int, kernel_size: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv1d(input_channels, channels, kernel_size, padding=padding)
        self.bn = nn.BatchNorm1d(channels)

    def forward(self, x_BCF: Tensor) -> Tensor:
        """Keep the number of frames."""
        normalized_BCF: Tensor = self.bn(functional.relu(self.conv(x_BCF)))
        return normalized_BCF


class Res2Convolution(nn.Module):
    """Channel groups convolved in a chain: each group is added to the result before it; the last passes untouched."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        width, convolved = channels // _RES2_GROUPS, _RES2_GROUPS - 1
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, kernel_size=3, dilation=dilation, padding=dilation) for _ in range(convolved)
        )
        self.bns = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(convolved))

    def forward(self, x_BCF: Tensor) -> Tensor:
        """Keep shape and order of the channels."""
        *groups, untouched = x_BCF.chunk(_RES2_GROUPS, dim=1)
        results: list[Tensor] = []
        for group, conv, norm in zip(groups, self.convs, self.bns, strict=True):
            chained = group + results[-1] if results else group
            results.append(norm(functional.relu(conv(chained))))
        return torch.cat([*results, untouched], dim=1)


class SqueezeExcitation(nn.Module):
    """Scales every channel by a gate computed from all channels' means over time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(channels, _SQUEEZE_CHANNELS)
        self.linear2 = nn.Linear(_SQUEEZE_CHANNELS, channels)

    def forward(self, x_BCF: Tensor) -> Tensor:
        """Keep the shape."""
        gate_BC = torch.sigmoid(self.linear2(functional.relu(self.linear1(x_BCF.mean(dim=2)))))
        return x_BCF * gate_BC[..., None]


class EcapaLayer(nn.Module):
    """Pointwise, chained and pointwise convolutions and a gate, added to the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.se_res2block = nn.Sequential(
            ConvReluNorm(channels, channels),
            Res2Convolution(channels, dilation),
            ConvReluNorm(channels, channels),
            SqueezeExcitation(channels),
        )

    def forward(self, x_BCF: Tensor) -> Tensor:
        """Keep the shape."""
        refined_BCF: Tensor = self.se_res2block(x_BCF)
        return x_BCF + refined_BCF


class EcapaTrunk(nn.Module):
    """ECAPA-TDNN up to its frame-wise latents; the pooled x-vector plays no part in the tokens and is left out."""

    def __init__(self, num_mels: int, channels: int = TRUNK_CHANNELS) -> None:
        super().__init__()
        context_channels = NUM_ECAPA_LAYERS * channels
        self.layer1 = ConvReluNorm(num_mels, channels, kernel_size=5, padding=2)
        self.layer2, self.layer3, self.layer4 = (EcapaLayer(channels, dilation) for dilation in _DILATIONS)
        self.conv = nn.Conv1d(context_channels, context_channels, kernel_size=1)

    def forward(self, mel_BMF: Tensor) -> Tensor:
        """Return (batch, 3 * channels, frames)."""
        first = self.layer1(mel_BMF)
        second = self.layer2(first)
        third = self.layer3(second)
        fourth = self.layer4(third)
        return functional.relu(self.conv(torch.cat([second, third, fourth], dim=1)))


class LatentAttention(nn.Module):
    """Latents attend to themselves and, after them, to the context."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner_dim = _PERCEIVER_HEADS * _PERCEIVER_HEAD_DIM
        self.to_q = nn.Linear(dim, inner_dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * inner_dim, bias=False)
        self.to_out = nn.Linear(inner_dim, dim, bias=False)

    def forward(self, latents_BND: Tensor, context_BFD: Tensor) -> Tensor:
        """Return what the latents gather, (batch, N, D)."""
        keys, values = self.to_kv(torch.cat([latents_BND, context_BFD], dim=1)).chunk(2, dim=-1)
        query_BHNE, key_BHFE, value_BHFE = (
            tensor.unflatten(-1, (_PERCEIVER_HEADS, _PERCEIVER_HEAD_DIM)).transpose(1, 2)
            for tensor in (self.to_q(latents_BND), keys, values)
        )
        gathered_BHNE = functional.scaled_dot_product_attention(query_BHNE, key_BHFE, value_BHFE)
        gathered_BND: Tensor = self.to_out(gathered_BHNE.transpose(1, 2).flatten(2))
        return gathered_BND


class GatedGelu(nn.Module):
    """The first half of the channels, times gelu of the second."""

    def forward(self, x: Tensor) -> Tensor:
        """Halve the last axis."""
        values, gate = x.chunk(2, dim=-1)
        return functional.gelu(gate) * values


class RootMeanSquareNorm(nn.Module):
    """Gives each vector the length sqrt(dim), then scales every dimension."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return functional.normalize(x, dim=-1) * math.sqrt(x.shape[-1]) * self.gamma


class Perceiver(nn.Module):
    """Gathers a voice of any number of frames into a fixed number of latents.

    Args:
        dim: width of a latent.
        num_latents: how many.
        context_channels: width of what they are gathered from.
    """

    def __init__(self, dim: int, num_latents: int, context_channels: int) -> None:
        super().__init__()
        inner_dim = int(dim * 8 / 3)
        self.latents = nn.Parameter(torch.empty(num_latents, dim))
        self.proj_context = linear_or_identity(context_channels, dim)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    LatentAttention(dim),
                    nn.Sequential(nn.Linear(dim, 2 * inner_dim), GatedGelu(), nn.Linear(inner_dim, dim)),
                ]
            )
            for _ in range(_PERCEIVER_DEPTH)
        )
        self.norm = RootMeanSquareNorm(dim)

    def forward(self, context_BCF: Tensor) -> Tensor:
        """Return (batch, num_latents, dim)."""
        context_BFD = self.proj_context(context_BCF.transpose(1, 2))
        latents_BND = self.latents.expand(context_BFD.shape[0], -1, -1)
        for layer in self.layers:
            attend, feed_forward = layer.children()
            latents_BND = latents_BND + attend(latents_BND, context_BFD)
            latents_BND = latents_BND + feed_forward(latents_BND)
        normalized_BND: Tensor = self.norm(latents_BND)
        return normalized_BND


class SpeakerLookup(nn.Module):
    """Global tokens to the speaker vector."""

    def __init__(
        self, out_dim: int, latent_dim: int, token_num: int, fsq_levels: Sequence[int], fsq_num_quantizers: int
    ) -> None:
        super().__init__()
        self.scalars = FiniteScalars(fsq_levels, fsq_num_quantizers)
        self.project_out = linear_or_identity(len(fsq_levels), latent_dim)
        self.project = nn.Linear(latent_dim * token_num, out_dim)

    def forward(self, global_tokens_BQN: Tensor) -> Tensor:
        """Return (batch, out_dim)."""
        latents_BND = self.project_out(self.scalars.dequantize(global_tokens_BQN))
        # Channel-major, as the official code lays them out: all tokens' first channel, then their second, ...
        speaker_BD: Tensor = self.project(latents_BND.transpose(1, 2).flatten(1))
        return speaker_BD


class SpeakerEncoder(nn.Module):
    """A mel spectrogram to global tokens."""

    def __init__(
        self,
        num_mels: int,
        latent_dim: int,
        token_num: int,
        fsq_levels: Sequence[int],
        fsq_num_quantizers: int,
        trunk_channels: int = TRUNK_CHANNELS,
    ) -> None:
        super().__init__()
        self.trunk = EcapaTrunk(num_mels, trunk_channels)
        self.perceiver = Perceiver(latent_dim, token_num, NUM_ECAPA_LAYERS * trunk_channels)
        self.project_in = linear_or_identity(latent_dim, len(fsq_levels))
        self.scalars = FiniteScalars(fsq_levels, fsq_num_quantizers)

    def forward(self, mel_BMF: Tensor) -> Tensor:
        """Return ids (batch, Q, N) int64."""
        return self.scalars.quantize(self.project_in(self.perceiver(self.trunk(mel_BMF))))
