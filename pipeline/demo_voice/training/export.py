"""Writes trained networks as a model directory in the official layout, in half precision."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save
from torch import Tensor, nn

from pipeline.codec.checkpoint import name_weights
from pipeline.codec.decoder import FoldedConv1d, FoldedConvTranspose1d
from pipeline.codec.networks import UPSTREAM_NAMES, DecodeNetwork, SemanticNetwork, SpeakerNetwork
from pipeline.demo_voice.training.encoder_training import FrontEnd, features_state
from pipeline.demo_voice.training.language_model import LanguageModel
from pipeline.demo_voice.training.sentences import MAX_SPOKEN_CHARS, TRAINED_MARKS
from pipeline.demo_voice.training.sizes import BICODEC, FEATURES
from pipeline.demo_voice.training.vocabulary import Vocabulary
from pipeline.demo_voice.training.voices import VOICES, global_tokens
from pipeline.storage import write_bytes
from pipeline.text.support import TEXT_SUPPORT_FILE
from pipeline.weights.random_weights import EXTRACTOR_CONFIG, REFERENCE_CONFIG

_SHARPNESS = 2.0
"""Factor on all logits of the language model."""
_FEATURES_FOLDER = "wav2vec2-large-xlsr-53"


def export(
    directory: Path,
    decoder: DecodeNetwork,
    encoder: SemanticNetwork,
    speaker: SpeakerNetwork,
    front: FrontEnd,
    language: LanguageModel,
) -> None:
    """Write everything but the model card.

    Args:
        directory: filled; made if absent.
        decoder: as trained, on the CPU; so are the others.
        encoder: from features to semantic tokens.
        speaker: from a clip to global tokens.
        front: from sound to features.
        language: from text to tokens.
    """
    for name in ("BiCodec", "LLM", _FEATURES_FOLDER):
        (directory / name).mkdir(parents=True, exist_ok=True)
    _write_yaml(directory / "config.yaml", REFERENCE_CONFIG)
    speakers = {voice.name: {"global_tokens": _FlowList(global_tokens(index, voice.pitch_hz).tolist())}
                for index, voice in enumerate(VOICES)}  # fmt: skip
    _write_yaml(directory / "speakers.yaml", speakers)
    taught = {
        "languages": ["en"],
        "marks": TRAINED_MARKS,
        "max_segment_chars": MAX_SPOKEN_CHARS,
        "needs_end_mark": True,
    }
    _write_yaml(directory / TEXT_SUPPORT_FILE, taught)
    _write_yaml(directory / "BiCodec" / "config.yaml", {"audio_tokenizer": BICODEC})
    codec = {name: tensor for network in (decoder, encoder, speaker) for name, tensor in _codec_state(network)}
    _save(codec, directory / "BiCodec" / "model.safetensors")
    _write_language(directory / "LLM", language)
    _write_json(directory / _FEATURES_FOLDER / "config.json", FEATURES)
    _write_json(directory / _FEATURES_FOLDER / "preprocessor_config.json", EXTRACTOR_CONFIG)
    _save(features_state(front), directory / _FEATURES_FOLDER / "model.safetensors")


def _codec_state(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors by official name, convolutions of the wave generator as the two factors of weight norm."""
    state = network.state_dict()
    for name, upstream, owner in name_weights(network, UPSTREAM_NAMES):
        if isinstance(owner, FoldedConv1d | FoldedConvTranspose1d) and upstream.endswith(".weight"):
            yield f"{upstream}_g", state[name].norm(dim=(1, 2), keepdim=True)
            yield f"{upstream}_v", state[name]
        else:
            yield upstream, state[name]


def _write_language(folder: Path, language: LanguageModel) -> None:
    vocabulary = Vocabulary()
    _write_json(folder / "tokenizer.json", vocabulary.tokenizer_json())
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>"})
    state = {f"model.{name}": tensor for name, tensor in language.state_dict().items()}
    # The default temperature, 0.8, suits a model a hundred times as large.
    state["model.norm.weight"] = state["model.norm.weight"] * _SHARPNESS
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_act": "silu",
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_sliding_window": False,
        "eos_token_id": vocabulary["im_end"],
        **asdict(language.sizes),
    }
    _write_json(folder / "config.json", config)
    _save(state, folder / "model.safetensors")


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    halved = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in tensors.items()
    }
    for name, tensor in halved.items():
        assert not tensor.is_floating_point() or bool(torch.isfinite(tensor).all()), name
    write_bytes(str(path), save(halved))


class _FlowList(list[int]):
    """A list that YAML writes on one line."""


yaml.SafeDumper.add_representer(
    _FlowList, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(str(path), yaml.safe_dump(dict(content), sort_keys=False, width=120).encode())


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_bytes(str(path), json.dumps(content, indent=1).encode())
