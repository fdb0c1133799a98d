"""The `random` weights: a small model of random numbers in the official layout, made on the spot.

What it says is noise. It exists so that everything around the network can be tried and tested without a download:
answers follow the grammar, grow with the text, end by themselves, and have a moderate level.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor

RANDOM_NAME = "random-1"
"""Name and version in the cache; a change of what is made here needs another one."""
_NOISE_SEED = "demo-1"
"""Every number follows from it; another one would make other weights."""

_SPEAKERS = {
    "demo_female": {"gender": "female", "pitch": "moderate", "speed": "moderate"},
    "demo_male": {"gender": "male", "pitch": "low", "speed": "moderate"},
}
REFERENCE_CONFIG = {
    "highpass_cutoff_freq": 40,
    "sample_rate": 16_000,
    "segment_duration": 2.4,
    "max_val_duration": 12,
    "latent_hop_length": 320,
    "ref_segment_duration": 6,
    "volume_normalize": True,
}

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
FAMILIES = {
    "bicodec_global": 4096,
    "bicodec_semantic": 8192,
    "pitch_value": 1001,
    "pitch_label": 5,
    "speed_value": 11,
    "speed_label": 5,
    "gender": 2,
}
CONTROL_TOKENS = (
    "<|task_tts|>",
    "<|task_controllable_tts|>",
    *(
        f"<|{edge}_{name}|>"
        for edge in ("start", "end")
        for name in ("content", "style_label", "acoustic_token", "global_token", "semantic_token")
    ),
)
_SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Four of the hidden channels have a meaning, so that an answer ends about where speech of this text would:
_CONSTANT, _IS_SEMANTIC, _IS_TEXT, _PROGRESS = range(4)
_NUM_MEANT = 4
_FRAMES_PER_BYTE = 2.9
"""Semantic tokens for a byte of text after which a stop becomes likely: 50 a second, 15 to 17 bytes a second."""
_STOP_LOGIT = 3.3
"""Of the stop token when progress is zero; the others are normal with deviation 1, and the best 50 begin at 2.5."""
_STOP_SLOPE = 6.0
_NEVER = -20.0

_LLM_CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_act": "silu",
    "hidden_size": 128,
    "intermediate_size": 256,
    "max_position_embeddings": 32_768,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "use_sliding_window": False,
}
_BICODEC_CONFIG: dict[str, Any] = {
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
        "input_channels": 32,
        "vocos_dim": 24,
        "vocos_intermediate_dim": 64,
        "vocos_num_layers": 2,
        "out_channels": 40,
        "sample_ratios": [1, 1],
    },
    "decoder": {"input_channel": 36, "channels": 48, "rates": [8, 5, 4, 2], "kernel_sizes": [16, 11, 8, 4]},
    "quantizer": {"input_dim": 40, "codebook_size": 8192, "codebook_dim": 8},
    "speaker_encoder": {
        "input_dim": 128,
        "out_dim": 36,
        "latent_dim": 12,
        "token_num": 32,
        "fsq_levels": [4] * 6,
        "fsq_num_quantizers": 1,
    },
    "prenet": {
        "input_channels": 40,
        "vocos_dim": 32,
        "vocos_intermediate_dim": 64,
        "vocos_num_layers": 2,
        "out_channels": 36,
        "condition_dim": 36,
        "sample_ratios": [1, 1],
        "use_tanh_at_final": False,
    },
    "postnet": {
        "input_channels": 36,
        "vocos_dim": 24,
        "vocos_intermediate_dim": 64,
        "vocos_num_layers": 2,
        "out_channels": 32,
        "use_tanh_at_final": False,
    },
}
_OUTPUT_GAIN = 0.005
"""Of the last convolution; brings decoded noise to about -20 dBFS."""
_FEATURES_CONFIG: dict[str, Any] = {
    "model_type": "wav2vec2",
    "hidden_size": 32,
    "num_hidden_layers": 17,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
EXTRACTOR_CONFIG = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "sampling_rate": 16_000,
}


def make_random_weights(directory: str | Path) -> None:
    """Write the random model; the same bytes every time under the same version of torch.

    Args:
        directory: filled with the official layout and a `speakers.yaml`; made if absent.
    """
    root = Path(directory)
    for name in ("BiCodec", "LLM", "wav2vec2-large-xlsr-53"):
        (root / name).mkdir(parents=True, exist_ok=True)
    _write_yaml(root / "config.yaml", REFERENCE_CONFIG)
    _write_yaml(root / "speakers.yaml", _SPEAKERS)
    _write_llm(root / "LLM")
    _write_bicodec(root / "BiCodec")
    _write_features(root / "wav2vec2-large-xlsr-53")


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _noise(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return normal numbers that follow from the tensor's name, so that no tensor depends on another."""
    seed = int.from_bytes(hashlib.sha256(f"{_NOISE_SEED}/{name}".encode()).digest()[:7], "big")
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _write_llm(folder: Path) -> None:
    base, ids = number_tokens(FAMILIES)
    _write_json(folder / "tokenizer.json", describe_tokenizer(base, ids))
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>"})
    vocab_size = -(-(len(base) + len(ids)) // 64) * 64
    _write_json(folder / "config.json", {**_LLM_CONFIG, "vocab_size": vocab_size, "eos_token_id": ids["<|im_end|>"]})
    from pipeline.llm.checkpoint import Qwen2Config, list_tensor_shapes

    config = Qwen2Config.read(folder / "config.json")
    tensors = {name: _make_llm_tensor(name, shape) for name, shape in list_tensor_shapes(config).items()}
    _give_meaning(tensors, config, len(base), ids)
    save_file(tensors, folder / "model.safetensors")


def number_tokens(families: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return ids of the byte-level alphabet, and of the control tokens after it.

    Args:
        families: size of each numbered family.
    """
    base = {character: index for index, character in enumerate(sorted(ByteLevel.alphabet()))}
    names = [*SPECIAL_TOKENS, *(f"<|{name}_{i}|>" for name, size in families.items() for i in range(size))]
    return base, {name: len(base) + index for index, name in enumerate([*names, *CONTROL_TOKENS])}


def describe_tokenizer(base: Mapping[str, int], ids: Mapping[str, int]) -> dict[str, Any]:
    """Return the content of a tokenizer.json that knows bytes and control tokens, and no merges."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": _SPLIT_PATTERN}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token_id,
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": name not in SPECIAL_TOKENS,
                "special": name in SPECIAL_TOKENS,
            }
            for name, token_id in ids.items()
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": dict(base), "merges": []},
    }


def _make_llm_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    if name.endswith("norm.weight"):
        return torch.ones(shape)
    if name.endswith(".bias"):
        return torch.zeros(shape)
    if name.endswith("embed_tokens.weight"):
        return _noise(name, shape)
    # Each layer adds a little, so that the length of the hidden state stays about the same.
    gain = 0.3 if "o_proj" in name or "down_proj" in name else 1.0
    return _noise(name, shape) * (gain / math.sqrt(shape[1]))


def _give_meaning(tensors: dict[str, Tensor], config: Any, num_bytes: int, ids: Mapping[str, int]) -> None:
    """Let the stop token's logit grow with the share of semantic tokens among all that was read."""
    semantic = slice(ids["<|bicodec_semantic_0|>"], ids["<|bicodec_semantic_8191|>"] + 1)
    embedding = tensors["model.embed_tokens.weight"]
    embedding[:, :_NUM_MEANT] = 0.0
    embedding[:, _CONSTANT] = 1.0
    embedding[semantic, _IS_SEMANTIC] = 1.0
    embedding[:num_bytes, _IS_TEXT] = 1.0
    # Every row as long as the square root of the width: then the first norm leaves the flags as they are.
    meant = embedding[:, :_NUM_MEANT].square().sum(-1, keepdim=True)
    rest = embedding[:, _NUM_MEANT:]
    rest *= ((config.hidden_size - meant) / rest.square().sum(-1, keepdim=True)).sqrt()

    for index in range(config.num_hidden_layers):
        tensors[f"model.layers.{index}.self_attn.o_proj.weight"][:_NUM_MEANT] = 0.0
        tensors[f"model.layers.{index}.mlp.down_proj.weight"][:_NUM_MEANT] = 0.0
    # The first head of the first layer, with nothing to look for, averages over all positions.
    first = "model.layers.0.self_attn."
    heads_per_kv = config.num_attention_heads // config.num_key_value_heads
    tensors[f"{first}q_proj.weight"][: heads_per_kv * config.head_dim] = 0.0
    tensors[f"{first}k_proj.weight"][: config.head_dim] = 0.0
    value = tensors[f"{first}v_proj.weight"]
    value[0] = 0.0
    value[0, _IS_SEMANTIC], value[0, _IS_TEXT] = 1.0, -_FRAMES_PER_BYTE
    output = tensors[f"{first}o_proj.weight"]
    output[:, 0] = 0.0
    output[_PROGRESS, 0] = 1.0

    # Alternating signs: with equal ones a token would be the likeliest follower of itself.
    norm = tensors["model.norm.weight"]
    norm[_NUM_MEANT::2] = 1.0 / math.sqrt(config.hidden_size)
    norm[_NUM_MEANT + 1 :: 2] = -1.0 / math.sqrt(config.hidden_size)
    norm[_IS_SEMANTIC] = norm[_IS_TEXT] = 0.0
    stop = embedding[ids["<|im_end|>"]]
    stop.zero_()
    stop[_CONSTANT], stop[_PROGRESS] = 1.0 + _STOP_LOGIT, _STOP_SLOPE
    embedding[ids["<|end_semantic_token|>"], _CONSTANT] = _NEVER


def _write_bicodec(folder: Path) -> None:
    from pipeline.codec.checkpoint import read_config
    from pipeline.codec.networks import checkpoint_shapes

    _write_yaml(folder / "config.yaml", {"audio_tokenizer": _BICODEC_CONFIG})
    required, _ = checkpoint_shapes(read_config(folder / "config.yaml"))
    tensors = {name: _make_codec_tensor(name, shape) for name, shape in required.items()}
    # The wave generator is an entry, a block for each rate, an activation and the output.
    output = f"decoder.model.{len(_BICODEC_CONFIG['decoder']['rates']) + 2}"
    tensors[f"{output}.weight_g"] *= _OUTPUT_GAIN
    tensors[f"{output}.weight_v"] -= tensors[f"{output}.weight_v"].mean(-1, keepdim=True)  # no constant offset
    save_file(tensors, folder / "model.safetensors")


def _make_codec_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    field = name.rpartition(".")[2]
    if field in ("running_var", "cluster_size", "alpha", "weight_g") or (field == "weight" and len(shape) == 1):
        return torch.ones(shape)
    if field in ("bias", "running_mean"):
        # Biases of the adaptive norms stand for a scale of one.
        return torch.ones(shape) if name.endswith("norm.scale.bias") else torch.zeros(shape)
    if field == "gamma":
        return torch.full(shape, 0.5)
    if field in ("weight", "weight_v") and "codebook" not in name:
        return _noise(name, shape) / math.sqrt(math.prod(shape[1:]))
    return _noise(name, shape)


def _write_features(folder: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    _write_json(folder / "config.json", _FEATURES_CONFIG)
    _write_json(folder / "preprocessor_config.json", EXTRACTOR_CONFIG)
    with torch.device("meta"):
        network = Wav2Vec2Model(Wav2Vec2Config(**_FEATURES_CONFIG))
    save_file(dict(_make_feature_tensors(network)), folder / "model.safetensors")


def _make_feature_tensors(network: Any) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in network.state_dict().items():
        official = name.replace("parametrizations.weight.original0", "weight_g")
        yield (
            official.replace("parametrizations.weight.original1", "weight_v"),
            _make_codec_tensor(official, tuple(tensor.shape)),
        )
