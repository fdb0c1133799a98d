"""Where a recognizer's model is: turns `quality.asr_model` into a complete local directory, and names its content."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.config.run import StorageConfig
from pipeline.errors import WeightsError
from pipeline.weights.fetching import cache_dir, fetch_files, fingerprint_files, list_files

WHISPER_FILES = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")
"""Of a Whisper model as CTranslate2 reads it."""
_REQUIRED_FILES = ("config.json", "model.bin", "tokenizer.json")
_MULTILINGUAL_TOKENS = 51_865
"""Fewest of a model of several languages, as OpenAI's and CTranslate2's code has it."""


def resolve_whisper(model: str, storage: StorageConfig) -> Path:
    """Return a complete model directory on this machine, fetching it if need be.

    Args:
        model: a name that faster-whisper knows (`tiny.en`, `large-v3`), a directory, `hf://owner/name` or a prefix in
            an object store.
        storage: how to reach the object store.

    Raises:
        ConfigError: the address is malformed, or a package is not installed.
        WeightsError: the directory is not there or incomplete, or cannot be fetched.
        StorageError: the object store does not answer.
    """
    from faster_whisper import available_models

    if model in available_models() and not Path(model).exists():
        directory = _fetch_by_name(model)
    else:
        directory = fetch_files(model, storage, WHISPER_FILES)
    missing = [name for name in _REQUIRED_FILES if not (directory / name).is_file()]
    if missing:
        raise WeightsError(
            f"quality.asr_model: {model}: {', '.join(missing)} missing; expected a Whisper model as CTranslate2 reads "
            f"it: its directory, its address, or one of the names {', '.join(available_models())}"
        )
    return directory


def fingerprint_whisper(directory: Path) -> str:
    """Return the SHA-256 of every file of a model, by name and content.

    Raises:
        WeightsError: a file cannot be read.
    """
    return fingerprint_files(directory, list_files(directory, WHISPER_FILES))


def knows_english_only(directory: Path) -> bool:
    """Tell whether a model knows no other language, by the size of its vocabulary."""
    files = sorted(directory.glob("vocabulary.*"))
    if not files:
        return False  # Not to be told before it is loaded.
    text = files[0].read_text(encoding="utf-8")
    num_tokens = len(json.loads(text)) if files[0].suffix == ".json" else text.count("\n")
    return num_tokens < _MULTILINGUAL_TOKENS


def _fetch_by_name(model: str) -> Path:
    from faster_whisper import download_model

    try:
        return Path(download_model(model, cache_dir=str(cache_dir() / "hub")))
    except (OSError, ValueError, RuntimeError) as error:
        problem = " ".join(str(error).split())
        raise WeightsError(
            f"quality.asr_model: {model}: cannot be fetched ({problem:.300}); check the network, or download the "
            "model and give its directory"
        ) from error
