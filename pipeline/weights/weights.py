"""Where the weights are: turns `weights` of a config into a complete local model directory, and names its content.

Knows the official layout and the cache; knows nothing of what the files mean.
"""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pipeline.config.run import StorageConfig
from pipeline.errors import WeightsError
from pipeline.storage import open_storage
from pipeline.text.support import TEXT_SUPPORT_FILE, TextSupport, parse_text_support, read_text_support
from pipeline.weights.fetching import cache_dir, fetch_files, fill_once, fingerprint_files, list_files

MODEL_FILES = (
    "config.yaml",
    "speakers.yaml",
    TEXT_SUPPORT_FILE,
    "BiCodec/config.yaml",
    "BiCodec/model.safetensors",
    "LLM/config.json",
    "LLM/tokenizer.json",
    "LLM/tokenizer_config.json",
    "LLM/model.safetensors",
    "LLM/model-*.safetensors",
    "LLM/model.safetensors.index.json",
    "wav2vec2-large-xlsr-53/config.json",
    "wav2vec2-large-xlsr-53/preprocessor_config.json",
    "wav2vec2-large-xlsr-53/model.safetensors",
    "wav2vec2-large-xlsr-53/pytorch_model.bin",
)
"""What is fetched, and what makes a difference; all other files of a directory are passed over."""
_FILES_WITHOUT_EFFECT = frozenset({"speakers.yaml", "LLM/tokenizer_config.json"})
_REQUIRED_FILES = ("BiCodec/config.yaml", "BiCodec/model.safetensors", "LLM/config.json", "LLM/tokenizer.json")
_LLM_WEIGHTS = ("LLM/model.safetensors", "LLM/model.safetensors.index.json")
DEMO_VOICE = Path(__file__).parents[1] / "demo_voice"
"""Trained by `jobs.train_demo_voice`; its README.md says from what."""


def resolve_weights(uri: str, *, storage: StorageConfig | None = None) -> Path:
    """Return a complete model directory on this machine, fetching it if need be.

    Several processes may call this at once; one fetches, the others wait for it.

    Args:
        uri: a directory, `demo` (the small voice that comes with the package), `random` (noise of the same format, made
            on the spot), `hf://owner/name` or `hf://owner/name@revision`, or a prefix in an object store.
        storage: how to reach the object store.

    Raises:
        ConfigError: the address is malformed, or the package that it needs is not installed.
        WeightsError: the directory is not there or incomplete, or cannot be fetched.
        StorageError: the object store does not answer.
    """
    if uri == "demo":
        directory = DEMO_VOICE
    elif uri == "random":
        from pipeline.weights.random_weights import RANDOM_NAME, make_random_weights

        directory = fill_once(cache_dir() / RANDOM_NAME, make_random_weights)
    else:
        directory = fetch_files(uri, storage, MODEL_FILES)
    _check_layout(directory, uri)
    return directory


def find_text_support(uri: str, *, storage: StorageConfig | None = None) -> TextSupport:
    """Return what weights were taught to read, without fetching them; of a hub's, what the official ones can.

    Raises:
        WeightsError: the declaration is malformed.
        StorageError: the object store does not answer.
    """
    if uri == "demo":
        return read_text_support(DEMO_VOICE)
    if uri == "random" or uri.startswith("hf://"):
        return TextSupport()
    store = open_storage(uri, storage)
    if store.find(TEXT_SUPPORT_FILE) is None:
        return TextSupport()
    return parse_text_support(store.get(TEXT_SUPPORT_FILE).decode("utf-8", "replace"), f"{uri}/{TEXT_SUPPORT_FILE}")


def fingerprint_weights(weights_dir: str | Path) -> str:
    """Return the SHA-256 of every file that changes what is heard, by name and content.

    Args:
        weights_dir: a model directory.

    Returns:
        64 hexadecimal digits; equal for equal files, wherever they lie.

    Raises:
        WeightsError: a file cannot be read.
    """
    return fingerprint_files(Path(weights_dir), list_files(Path(weights_dir), MODEL_FILES) - _FILES_WITHOUT_EFFECT)


def _check_layout(directory: Path, uri: str) -> None:
    if not os.path.isdir(directory):  # Which has an answer for names of any length, too.
        raise WeightsError(
            f"{uri}: there is no such directory; expected a Spark-TTS model directory, `demo`, `random`, "
            "`hf://owner/name` or an object-store address"
        )
    missing = [name for name in _REQUIRED_FILES if not (directory / name).is_file()]
    if not any((directory / name).is_file() for name in _LLM_WEIGHTS):
        missing.append(_LLM_WEIGHTS[0])
    if missing:
        raise WeightsError(
            f"{uri}: {', '.join(missing)} missing; expected the official layout; point `weights` "
            "at the directory that holds BiCodec and LLM, and copy what is missing"
        )


def check_headers(weights_dir: Path) -> None:
    """Open every file of tensors, whose header says how long it is; raises `WeightsError` for one that is cut short."""
    for path in sorted(weights_dir.rglob("*.safetensors")):
        try:
            with safe_open(path, framework="np"):
                pass
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{path}: not a whole safetensors file ({error}); copy it again") from error
