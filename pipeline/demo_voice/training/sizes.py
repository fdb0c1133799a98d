"""Sizes of the demo's networks, as its configuration files state them."""

from __future__ import annotations

from typing import Any

from pipeline.codec.checkpoint import BiCodecConfig
from pipeline.demo_voice.training.phonetic_tokens import CODE_DIM, CODEBOOK_SIZE
from pipeline.demo_voice.training.voices import LEVELS, NUM_TOKENS

FEATURES_WIDTH = 96
_LATENT, _SPEAKER = 64, 96

BICODEC: dict[str, Any] = {
    "mel_params": {
        "sample_rate": 16_000,
        "n_fft": 1024,
        "win_length": 640,
        "hop_length": 320,
        "mel_fmin": 10,
        "mel_fmax": None,
        "num_mels": 128,
    },
    "encoder": {
        "input_channels": FEATURES_WIDTH,
        "vocos_dim": 160,
        "vocos_intermediate_dim": 384,
        "vocos_num_layers": 5,
        "out_channels": _LATENT,
        "sample_ratios": [1, 1],
    },
    "decoder": {"input_channel": _SPEAKER, "channels": 160, "rates": [8, 5, 4, 2], "kernel_sizes": [16, 11, 8, 4]},
    "quantizer": {"input_dim": _LATENT, "codebook_size": CODEBOOK_SIZE, "codebook_dim": CODE_DIM},
    "speaker_encoder": {
        "input_dim": 128,
        "out_dim": _SPEAKER,
        "latent_dim": 32,
        "token_num": NUM_TOKENS,
        "fsq_levels": list(LEVELS),
        "fsq_num_quantizers": 1,
        "trunk_channels": 64,
    },
    "prenet": {
        "input_channels": _LATENT,
        "vocos_dim": 160,
        "vocos_intermediate_dim": 320,
        "vocos_num_layers": 4,
        "out_channels": _SPEAKER,
        "condition_dim": _SPEAKER,
        "sample_ratios": [1, 1],
        "use_tanh_at_final": False,
    },
    "postnet": {
        "input_channels": _SPEAKER,
        "vocos_dim": 32,
        "vocos_intermediate_dim": 64,
        "vocos_num_layers": 1,
        "out_channels": FEATURES_WIDTH,
        "use_tanh_at_final": False,
    },
}
"""`audio_tokenizer` of BiCodec/config.yaml."""


def bicodec_config() -> BiCodecConfig:
    """Return the checked configuration."""
    return BiCodecConfig.model_validate(BICODEC)


FEATURES: dict[str, Any] = {
    "model_type": "wav2vec2",
    "hidden_size": FEATURES_WIDTH,
    "num_hidden_layers": 17,
    "num_attention_heads": 4,
    "intermediate_size": 16,
    "conv_dim": [48, 64, 64, 96, 96, 96, 96],
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 8,
}
"""config.json of the wav2vec2 folder. Its layers are there because the format wants seventeen; they add nothing."""
