"""Where the weights are: turns `weights` of a config into a complete local model directory, and names its content.

Knows the official layout and the cache; knows nothing of what the files mean.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError, WeightsError
from pipeline.storage import open_storage
from pipeline.text.support import TEXT_SUPPORT_FILE, TextSupport, parse_text_support, read_text_support

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
_HUB_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?/?")
_CHUNK_BYTES = 8 << 20
DEMO_VOICE = Path(__file__).parents[1] / "demo_voice"
"""Trained by `jobs.train_demo_voice`; its README.md says from what."""


def cache_dir() -> Path:
    """Return where fetched weights are kept: `SPARK_TTS_CACHE`, or a folder in the user's cache.

    Raises:
        ConfigError: there is neither.
    """
    configured = os.environ.get("SPARK_TTS_CACHE")
    if configured:
        return Path(configured)
    try:
        return Path.home() / ".cache" / "spark-tts-batch"
    except RuntimeError:
        raise ConfigError("weights: this user has no home folder to keep them in; set SPARK_TTS_CACHE to one") from None


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

        directory = _fill_once(cache_dir() / RANDOM_NAME, make_random_weights)
    elif uri.startswith("hf://"):
        directory = fetch_from_hub(uri, MODEL_FILES)
    elif "://" in uri and not uri.startswith("file://"):
        directory = fetch_from_store(uri, storage, MODEL_FILES)
    else:
        directory = Path(open_storage(uri, storage).uri)
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


def fingerprint_files(directory: Path, names: Iterable[str]) -> str:
    """Return the SHA-256 of files by name and content, 64 hexadecimal digits.

    Raises:
        WeightsError: a file cannot be read.
    """
    combined = hashlib.sha256()
    try:
        for name in sorted(names):
            with open(directory / name, "rb") as file:
                combined.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    except OSError as error:
        raise WeightsError(f"{error.filename}: cannot be read ({error.strerror}); copy the file again") from error
    return combined.hexdigest()


def list_files(directory: Path, patterns: Sequence[str]) -> set[str]:
    """Return the files under a directory that a pattern names, relative to it."""
    return {path.relative_to(directory).as_posix() for pattern in patterns for path in directory.glob(pattern)}


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


def _fill_once(target: Path, fill: Callable[[Path], None]) -> Path:
    """Make a directory that is either absent or complete, however many processes make it at the same time."""
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if target.is_dir():
                return target
            shutil.rmtree(partial, ignore_errors=True)  # what a killed process has left
            partial.mkdir()
            fill(partial)
            partial.rename(target)
    except OSError as error:
        raise WeightsError(
            f"{target}: cannot be written ({error.strerror or error}); free some space, or set SPARK_TTS_CACHE to "
            "another folder"
        ) from error
    return target


def fetch_from_hub(uri: str, patterns: Sequence[str]) -> Path:
    """Fetch a repository's files that a pattern names; returns their directory.

    Raises:
        ConfigError: the address is malformed, or huggingface_hub is not installed.
        WeightsError: they cannot be fetched.
    """
    match = _HUB_ADDRESS.fullmatch(uri)
    if match is None:
        raise ConfigError(f"{uri}: expected hf://owner/name or hf://owner/name@revision")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise ConfigError(
            f"{uri}: the package huggingface_hub is not installed; run pip install 'spark-tts-batch[hub]'"
        ) from error
    try:
        directory = snapshot_download(
            match[1], revision=match[2], allow_patterns=list(patterns), cache_dir=cache_dir() / "hub"
        )
    except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:
        raise WeightsError(
            f"{uri}: cannot be fetched ({' '.join(str(error).split()):.300}); check the name and the network, or "
            "download the files and give their directory"
        ) from error
    return Path(directory)


def fetch_from_store(uri: str, settings: StorageConfig | None, patterns: Sequence[str]) -> Path:
    """Fetch the objects under an address that a pattern names; returns their directory.

    Raises:
        WeightsError: there are none, or they cannot be written here.
        StorageError: the object store does not answer.
    """
    store = open_storage(uri, settings)
    wanted = (info for info in store.list() if any(fnmatchcase(info.path, pattern) for pattern in patterns))
    objects = sorted(wanted, key=lambda info: info.path)
    if not objects:
        raise WeightsError(f"{uri}: no model files under this address; expected some of: {', '.join(patterns)}")
    # Changed objects have other etags, so what is cached under this name never goes stale.
    identity = "\n".join([uri, *(f"{info.path}\0{info.size}\0{info.etag}" for info in objects)])

    def download(partial: Path) -> None:
        for info in objects:
            path = partial / info.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with store.open_input(info) as source, open(path, "wb") as target:
                while chunk := source.read(_CHUNK_BYTES):
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())  # The folder gets its name next, and is never looked at again.

    return _fill_once(cache_dir() / "store" / hashlib.sha256(identity.encode()).hexdigest()[:32], download)
