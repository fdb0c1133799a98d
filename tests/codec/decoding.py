"""Tokens to decode, ways to decode them, and how far two decodings differ."""

import torch

from pipeline.codec import BiCodec
from pipeline.codec.networks import DecodeNetwork
from pipeline.codec.pack_decoder import PackDecoder
from pipeline.codec.pack_queue import PackQueue
from pipeline.gpu import Record, record

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


def use_packs(codec: BiCodec, pack_frames: int = PACK_FRAMES, record: Record = record) -> BiCodec:
    """Make a codec on a CPU decode as one on a GPU does: packs of items through the plain modules."""
    network = codec._load_network(DecodeNetwork)
    network.prenet.to(codec.dtype)
    network.wave_generator.to(codec.dtype)
    codec._decoder = PackQueue(lambda: PackDecoder(network, codec.config, codec.device, pack_frames, record))
    return codec
