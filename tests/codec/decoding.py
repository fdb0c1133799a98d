"""Tokens to decode, ways to decode them, and how far two decodings differ."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.codec import BiCodec
from pipeline.codec.fused_generator import Activation, Convolution, FusedWaveGenerator, round_products
from pipeline.codec.networks import DecodeNetwork
from pipeline.codec.pack_decoder import PackDecoder
from pipeline.codec.pack_queue import PackQueue
from pipeline.codec.vocos import pack_products
from pipeline.hardware.gpu import Record, record

AUDIO_ATOL = 2e-5

OTHER_SIZES = {
    "two_stages": {"decoder": {"channels": 20, "rates": [5, 3], "kernel_sizes": [9, 7]}},
    "five_stages": {"decoder": {"channels": 64, "rates": [2, 3, 1, 4, 2], "kernel_sizes": [4, 5, 3, 8, 6]}},
    "upsampling_twice": {"prenet": {"sample_ratios": [2, 1]}, "decoder": {"rates": [4, 2], "kernel_sizes": [8, 4]}},
    "upsampling_by_odd_ratios": {
        "prenet": {"sample_ratios": [3, 2], "use_tanh_at_final": True},
        "decoder": {"rates": [4, 2], "kernel_sizes": [8, 4]},
    },
    "no_sampling_stage": {"prenet": {"sample_ratios": [], "vocos_num_layers": 3, "vocos_dim": 20}},
    "other_codebooks": {
        "quantizer": {"codebook_size": 300, "codebook_dim": 5},
        "speaker_encoder": {"token_num": 7, "fsq_levels": [8, 5, 3], "latent_dim": 10},
    },
    "residual_voice": {"speaker_encoder": {"token_num": 6, "fsq_levels": [5, 4], "fsq_num_quantizers": 3}},
    "codes_as_wide_as_latents": {
        "quantizer": {"codebook_dim": 40},
        "speaker_encoder": {"latent_dim": 6},
    },
    "unconditioned_prenet": {"prenet": {"condition_dim": None}},
}

PACK_FRAMES = 192


def make_tokens(codec, lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    semantic = [torch.randint(codec.semantic_codebook_size, (length,), generator=generator) for length in lengths]
    shape = (len(lengths), codec.num_global_tokens)
    return semantic, torch.randint(codec.global_codebook_size, shape, generator=generator)


def decode_each(codec, semantic, voices):
    return [codec.decode([tokens], voices[row : row + 1])[0] for row, tokens in enumerate(semantic)]


def largest_difference(ours, expected):
    assert [waveform.shape for waveform in ours] == [waveform.shape for waveform in expected]
    return max((a - b).abs().max().item() for a, b in zip(ours, expected, strict=True))


def use_packs(
    codec: BiCodec, pack_frames: int = PACK_FRAMES, record: Record = record, *, is_exact: bool = True
) -> BiCodec:
    """Make a codec on a CPU decode as one on a GPU does: packs of items, with torch's products in place of Triton's.

    Args:
        codec: whose decoder to replace.
        pack_frames: of each pack.
        record: what makes graphs.
        is_exact: whether products in float32 keep all digits, and not TF32's.
    """
    network = codec._load_network(DecodeNetwork)
    pack_products(network.prenet, codec.dtype)
    precision = "tf32x3" if is_exact else "tf32"
    generate = FusedWaveGenerator(network.wave_generator, codec.dtype, precision, _plain_convolve)
    codec._decoder = PackQueue(lambda: PackDecoder(network, generate, codec.config, codec.device, pack_frames, record))
    return codec


def _plain_convolve(*arguments: Any, **options: Any) -> None:
    plain_convolve(*arguments, **options)  # As the module has it then: tests replace it.


def plain_convolve(
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
    """What `kernels.convolve` computes, rounded where it rounds, by torch's own operators."""
    num_taps = len(convolution.weight_KNI)
    num_samples, num_channels = y_SO.shape
    rows = -(-(num_samples + convolution.shift) // convolution.rate)
    behind = rows + convolution.first + (num_taps - 1) * convolution.dilation - len(x_SI)
    padded = functional.pad(x_SI.float().t(), (-convolution.first, max(behind, 0)))
    total = functional.conv1d(
        padded[None], convolution.weight_KNI.float().permute(1, 2, 0), dilation=convolution.dilation
    )[0, :, :rows].t()
    samples = (total + convolution.bias_N).reshape(-1, num_channels)[convolution.shift :][:num_samples]
    if adds:
        samples = samples + stream_SO
    if keeps:
        stream_SO.copy_(samples)
    if activation is not None:
        alpha, inverse_alpha = activation.alpha_N[:num_channels], activation.inverse_alpha_N[:num_channels]
        samples = samples + inverse_alpha * torch.sin(alpha * samples).square()
    if inside_S is not None:
        samples = samples * inside_S[:, None]
    if activation is not None and y_SO.dtype == torch.float32:
        samples = round_products(samples.contiguous(), convolution.precision)
    y_SO.copy_(samples)
