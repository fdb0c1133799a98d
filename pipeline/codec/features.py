"""Wav2vec2 features of speech: the mean of three hidden states, and nothing of what follows them.

Shape suffixes: S samples, F frames, C channels.

Source: wav2vec 2.0, arXiv 2006.11477; choice of hidden states from Spark-TTS, arXiv 2503.01710.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import Wav2Vec2Config, Wav2Vec2Model

from pipeline.codec.checkpoint import REMEDY
from pipeline.errors import WeightsError

_HIDDEN_STATES = (11, 14, 16)  # counted with the embedding as 0; no layer norm of the encoder's end is applied
_NUM_LAYERS = max(_HIDDEN_STATES)
_VARIANCE_EPS = 1e-7
_PREFIX = "wav2vec2."
_UNUSED = ("masked_spec_embed", "encoder.layer_norm.", "adapter.")
_PRETRAINING_HEADS = ("quantizer.", "project_hid.", "project_q.")
_WEIGHT_NORM_NAMES = {
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}


class SpeechFeatures:
    """The part of a wav2vec2 model that BiCodec's encoder listens to; float32 always.

    Args:
        network: transformers' model with just the layers needed.
    """

    def __init__(self, network: Wav2Vec2Model) -> None:
        self.network = network

    @classmethod
    def load(cls, directory: Path, device: torch.device) -> SpeechFeatures:
        """Read `config.json` and `model.safetensors` or `pytorch_model.bin`.

        Raises:
            WeightsError: a file is missing or broken, or weights and configuration do not fit.
        """
        config = _read_config(directory / "config.json")
        network = _build(config, directory / "config.json")
        path, weights = _read_weights(directory)
        _fill(network, weights, path)
        if config.do_stable_layer_norm:
            # It would be applied to the last hidden state, which the features want as it is.
            network.encoder.add_module("layer_norm", nn.Identity())
        network.requires_grad_(False).train(False)
        nn.Module.to(network, device)  # transformers hides the signature
        return cls(network)

    @torch.no_grad()
    def extract(self, waveform: np.ndarray[Any, Any]) -> Tensor:
        """Return the features of a waveform, (1, channels, frames).

        Args:
            waveform: 1-D at 16 kHz, 400 samples and more.
        """
        input_1S = torch.from_numpy(_standardize(waveform))[None].to(self.network.device)
        hidden_states = self.network(input_1S, output_hidden_states=True).hidden_states
        first, second, third = (hidden_states[index] for index in _HIDDEN_STATES)
        mixed_1FC: Tensor = (first + second + third) / 3
        return mixed_1FC.transpose(1, 2)


def _standardize(waveform: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return float32 samples of zero mean and unit variance."""
    samples = waveform.astype(np.float32)
    standardized: np.ndarray[Any, Any] = (samples - samples.mean()) / np.sqrt(samples.var() + _VARIANCE_EPS)
    return standardized


def _read_config(path: Path) -> Wav2Vec2Config:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        num_layers = int(content["num_hidden_layers"])
        # Fewer layers than published are built: the rest never reaches the features.
        config = Wav2Vec2Config(**{**content, "num_hidden_layers": _NUM_LAYERS})
    except OSError as error:
        raise WeightsError(f"{path}: cannot read this file of the model: {error.strerror}; {REMEDY}") from error
    except Exception as error:  # transformers raises whatever its validation library does
        raise WeightsError(f"{path}: not a wav2vec2 configuration: {error}; {REMEDY}") from error
    if num_layers < _NUM_LAYERS:
        raise WeightsError(f"{path}: num_hidden_layers: expected at least {_NUM_LAYERS}, found {num_layers}; {REMEDY}")
    return config


def _build(config: Wav2Vec2Config, path: Path) -> Wav2Vec2Model:
    try:
        with torch.device("meta"):
            return Wav2Vec2Model(config)
    except Exception as error:  # whatever transformers and torch make of sizes that do not fit each other
        raise WeightsError(f"{path}: no wav2vec2 network can be built from it: {error}; {REMEDY}") from error


def _read_weights(directory: Path) -> tuple[Path, dict[str, Tensor]]:
    safe, pickled = directory / "model.safetensors", directory / "pytorch_model.bin"
    path = safe if safe.is_file() else pickled
    if not path.is_file():
        raise WeightsError(
            f"{directory}: no model.safetensors and no pytorch_model.bin; references with a transcript need wav2vec2: "
            f"{REMEDY}"
        )
    try:
        weights = (
            load_file(path) if path == safe else torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        )
    except (SafetensorError, OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}; {REMEDY}") from error
    if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise WeightsError(f"{path}: expected names and tensors; {REMEDY}")
    return path, weights


def _fill(network: Wav2Vec2Model, weights: dict[str, Tensor], path: Path) -> None:
    if any(name.startswith(_PREFIX) for name in weights):
        weights = {
            name.removeprefix(_PREFIX): tensor
            for name, tensor in weights.items()
            if not name.startswith(_PRETRAINING_HEADS)
        }
    for suffix, renamed in _WEIGHT_NORM_NAMES.items():
        weights = {
            name.removesuffix(suffix) + renamed if name.endswith(suffix) else name: tensor
            for name, tensor in weights.items()
        }
    expected = network.state_dict()
    unused = {name for name in {*weights, *expected} if name.startswith(_UNUSED) or _is_later_layer(name)}
    if not network.config.do_stable_layer_norm:
        unused = {name for name in unused if not name.startswith("encoder.layer_norm.")}
    problems = [f"{name}: missing" for name in sorted(expected.keys() - weights.keys() - unused)]
    problems += [f"{name}: unexpected" for name in sorted(weights.keys() - expected.keys() - unused)]
    state = {}
    for name in sorted((expected.keys() & weights.keys()) - unused):
        if weights[name].shape != expected[name].shape:
            found, wanted = list(weights[name].shape), list(expected[name].shape)
            problems.append(f"{name}: expected shape {wanted}, found {found}")
        elif not bool(torch.isfinite(weights[name]).all()):
            problems.append(f"{name}: holds NaN or infinity")
        state[name] = weights[name].to(torch.float32)
    if problems:
        shown = "; ".join(problems[:5])
        raise WeightsError(f"{path}: {len(problems)} tensor(s) do not fit config.json beside it: {shown}; {REMEDY}")
    for name in unused & expected.keys():
        state[name] = torch.zeros(expected[name].shape)
    network.load_state_dict(state, strict=True, assign=True)
    convolution = network.encoder.pos_conv_embed.conv
    if parametrize.is_parametrized(convolution):
        parametrize.remove_parametrizations(convolution, "weight")


def _is_later_layer(name: str) -> bool:
    parts = name.split(".")
    return parts[:2] == ["encoder", "layers"] and parts[2].isdigit() and int(parts[2]) >= _NUM_LAYERS
