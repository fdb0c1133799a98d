"""Model directories with one file harmed: missing, cut off, changed bytes, tensors or settings that do not fit.

A case names a file of the small reference model and what is done to it; all others stay as they are.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
import yaml
from hypothesis import strategies as st
from safetensors.torch import load, save

from pipeline.codec import BiCodec
from pipeline.codec.features import SpeechFeatures
from pipeline.errors import ConfigError, SynthesisError
from pipeline.llm import LLMEngine, SamplingParams
from pipeline.weights.weights import fingerprint_weights, resolve_weights

TINY = Path(__file__).parents[1] / "fixtures" / "reference" / "tiny"
_FEATURES = "wav2vec2-large-xlsr-53"
TENSORS = ("LLM/model.safetensors", "BiCodec/model.safetensors", f"{_FEATURES}/model.safetensors")
SETTINGS = ("LLM/config.json", "BiCodec/config.yaml", "config.yaml", f"{_FEATURES}/config.json")
OTHERS = ("LLM/tokenizer.json", f"{_FEATURES}/preprocessor_config.json")
NUMBERS = st.sampled_from([0, -1, 1, 2, 3, 7, 64, 10**6, 10**12, 2**63, 0.5, -0.0, 1e308, float("inf"), float("nan")])
VALUES = NUMBERS | st.sampled_from([None, True, False, "", "x", [], {}, [0], [[1]], {"a": 1}, "gelu", "9" * 400])
PLACES = st.floats(0.0, 1.0, exclude_max=True)
BYTES = st.lists(st.tuples(PLACES, st.integers(0, 255)), min_size=1, max_size=6)

CONTENTS = [b"{}", b"[]", b"null", b"a: *b", b"[" * 9_999]
DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool]

ANY_FILE = st.one_of(
    st.tuples(st.just("missing")),
    st.tuples(st.just("folder")),
    st.tuples(st.just("cut"), PLACES),
    st.tuples(st.just("bytes"), BYTES),
    st.tuples(st.just("replaced"), st.binary(max_size=40) | st.sampled_from(CONTENTS)),
)  # fmt: skip
TENSOR_FILE = st.one_of(
    st.tuples(st.just("header"), BYTES),
    st.tuples(st.sampled_from(["nan", "inf", "drop", "rename", "shape", "flat", "empty"]), PLACES),
    st.tuples(st.just("dtype"), PLACES, st.sampled_from(DTYPES)),
    st.tuples(st.just("extra")),
)  # fmt: skip
SETTINGS_FILE = st.tuples(st.just("setting"), PLACES, VALUES) | st.tuples(st.just("no setting"), PLACES)


def weights_cases(draw):
    name = draw(st.sampled_from([*TENSORS, *TENSORS, *SETTINGS, *SETTINGS, *OTHERS]))
    own = TENSOR_FILE if name in TENSORS else SETTINGS_FILE if name in SETTINGS else ANY_FILE
    return name, draw(own if draw(st.integers(0, 2)) else ANY_FILE)


def check_weights(folder, name, harm):
    directory = folder / "weights"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(TINY, directory, copy_function=lambda source, target: Path(target).symlink_to(source))
    (directory / name).unlink()
    write_harmed(directory / name, (TINY / name).read_bytes(), harm)
    try:
        fingerprint_weights(resolve_weights(str(directory)))
        load_part(directory, name.partition("/")[0])
    except SynthesisError as error:
        # Some settings are refused as what the run's own settings do not fit.
        assert str(directory) in str(error) or isinstance(error, ConfigError), error
        assert len(str(error)) < 20_000
        return type(error).__name__
    return "loaded"


def load_part(directory, part):
    """Load what the file belongs to, and use it once."""
    if part == "LLM":
        sampling = SamplingParams(0.8, 50, 0.95)
        LLMEngine.load(
            directory, device=torch.device("cpu"), dtype=torch.float32, num_slots=8, max_context=64, sampling=sampling
        )
    elif part == _FEATURES:
        SpeechFeatures.load(directory / part, torch.device("cpu")).extract(torch.zeros(3_200).numpy())
    else:
        codec = BiCodec.load(directory)
        codec.decode([torch.zeros(3, dtype=torch.int64)], torch.zeros(1, codec.num_global_tokens, dtype=torch.int64))


def write_harmed(path, data, harm):
    kind, *details = harm
    if kind == "folder":
        path.mkdir()
    elif kind == "cut":
        path.write_bytes(data[: int(details[0] * len(data))])
    elif kind in ("bytes", "header"):
        changed = bytearray(data)
        size = len(data) if kind == "bytes" else 8 + int.from_bytes(data[:8], "little")
        for place, value in details[0]:
            changed[int(place * size)] = value
        path.write_bytes(bytes(changed))
    elif kind == "replaced":
        path.write_bytes(details[0])
    elif kind in ("setting", "no setting"):
        settings = json.loads(data) if path.suffix == ".json" else yaml.safe_load(data)
        _harm_setting(settings, *details)
        path.write_text(json.dumps(settings) if path.suffix == ".json" else yaml.safe_dump(settings))
    elif kind != "missing":
        path.write_bytes(save(_harm_tensor(load(data), kind, *details)))


def _harm_setting(settings, place, *value):
    """Give one setting, at any depth, another value, or take it away."""
    leaves = []

    def collect(mapping):
        for key, found in mapping.items():
            leaves.append((mapping, key))
            if isinstance(found, dict):
                collect(found)

    collect(settings)
    mapping, key = leaves[int(place * len(leaves))]
    if value:
        mapping[key] = value[0]
    else:
        del mapping[key]


def _harm_tensor(tensors, kind, place=0.0, dtype=None):
    name = sorted(tensors)[int(place * len(tensors))]
    tensor = tensors[name].clone()
    if kind in ("nan", "inf") and tensor.is_floating_point():
        tensor.view(-1)[int(place * tensor.numel())] = float(kind)
    tensors[name] = {
        "dtype": lambda: tensor.to(dtype or tensor.dtype),
        "shape": lambda: torch.zeros(*tensor.shape[:-1], 1 + sum(tensor.shape[-1:])),
        "flat": lambda: tensor.flatten()[None],
        "empty": lambda: tensor.flatten()[:0],
    }.get(kind, lambda: tensor)().contiguous()
    if kind in ("drop", "rename"):
        moved = tensors.pop(name)
        if kind == "rename":
            tensors[f"{name}.x"] = moved
    if kind == "extra":
        tensors["x"] = torch.zeros(1)
    return tensors
