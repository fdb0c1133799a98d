"""The reference's tiny checkpoint and golden numbers, and checkpoints of any other sizes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from pipeline.codec import BiCodec
from pipeline.codec.checkpoint import BiCodecConfig
from pipeline.codec.networks import checkpoint_shapes
from tests.codec.decoding import use_packs

REFERENCE = Path(__file__).parents[1] / "fixtures" / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    return REFERENCE


@pytest.fixture(scope="session")
def codec() -> BiCodec:
    return BiCodec.load(REFERENCE / "tiny")


@pytest.fixture(scope="session")
def pack_codec() -> BiCodec:
    codec = use_packs(BiCodec.load(REFERENCE / "tiny"))
    codec._decoder.decoder.packs_items = True  # Whatever this processor's rounding says.
    return codec


@pytest.fixture(params=["cpu", "packs"])
def either_way(request) -> Callable[[BiCodec], BiCodec]:
    """What makes a codec decode in one of its two ways."""
    return use_packs if request.param == "packs" else lambda codec: codec


@pytest.fixture(scope="session")
def golden_decode():
    return load_file(REFERENCE / "golden/detokenize.safetensors")


@pytest.fixture(scope="session")
def golden_encode():
    return load_file(REFERENCE / "golden/tokenize.safetensors")


@pytest.fixture(scope="session")
def clip_facts():
    return json.loads((REFERENCE / "golden/tokenize.json").read_text())


@pytest.fixture
def tiny_copy(tmp_path) -> Path:
    """A model directory to damage: only BiCodec."""
    shutil.copytree(REFERENCE / "tiny/BiCodec", tmp_path / "model/BiCodec")
    return tmp_path / "model"


@pytest.fixture(scope="session")
def write_checkpoint(tmp_path_factory):
    """Write a random checkpoint of the tiny configuration with some settings changed; returns the model directory."""

    def write(changes: dict[str, dict], seed: int = 0) -> Path:
        content = yaml.safe_load((REFERENCE / "tiny/BiCodec/config.yaml").read_text())
        for part, settings in changes.items():
            content["audio_tokenizer"][part].update(settings)
        required, optional = checkpoint_shapes(BiCodecConfig.model_validate(content["audio_tokenizer"]))
        generator = torch.Generator().manual_seed(seed)
        tensors = {name: _random_weight(name, shape, generator) for name, shape in {**required, **optional}.items()}
        folder = tmp_path_factory.mktemp("model") / "BiCodec"
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(content))
        save_file(tensors, folder / "model.safetensors")
        return folder.parent

    return write


def _random_weight(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Return weights that keep the audio well inside tanh's range, where differences show and rounding does not."""
    values = torch.randn(shape, generator=generator)
    if name.endswith("weight_g"):
        return (values.abs() + 0.5) * (0.2 if shape[0] == 1 else 0.45)
    if len(shape) <= 1 or name.endswith("alpha"):
        return values * 0.1 if name.endswith("bias") else values.abs() * 0.3 + 0.3
    if name == "quantizer.codebook.weight":
        return values
    return values * 0.5 / values[0].numel() ** 0.5
