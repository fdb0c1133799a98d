"""Files of a model that lie in a folder, an object store or on a hub: fetched once into a cache, named by content.

Knows nothing of what the files mean.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from io import BufferedReader
from pathlib import Path

from filelock import FileLock

from pipeline.config.extras import need_extra
from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError, WeightsError
from pipeline.storage import open_storage

_HUB_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?/?")
_CHUNK_BYTES = 8 << 20
_OLD_NS = 2 * 10**9
_digests: dict[tuple[int, ...], str] = {}
"""SHA-256 of files that this process has read, by what tells a version of a file from every other."""


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


def fetch_files(uri: str, storage: StorageConfig | None, patterns: Sequence[str]) -> Path:
    """Return a directory on this machine with the files that a pattern names; it need not be complete.

    Args:
        uri: a directory, `hf://owner/name` or `hf://owner/name@revision`, or a prefix in an object store.
        storage: how to reach the object store.
        patterns: of names relative to the address.

    Raises:
        ConfigError: the address is malformed, or a package is not installed.
        WeightsError: the files cannot be fetched.
        StorageError: the object store does not answer.
    """
    if uri.startswith("hf://"):
        return _fetch_from_hub(uri, patterns)
    if "://" in uri and not uri.startswith("file://"):
        return _fetch_from_store(uri, storage, patterns)
    return Path(open_storage(uri, storage).uri)


def fingerprint_files(directory: Path, names: Iterable[str]) -> str:
    """Return the SHA-256 of files by name and content, 64 hexadecimal digits.

    Raises:
        WeightsError: a file cannot be read.
    """
    combined = hashlib.sha256()
    try:
        for name in sorted(names):
            with open(directory / name, "rb") as file:
                combined.update(f"{name}\0{_digest(file)}\n".encode())
    except OSError as error:
        raise WeightsError(f"{error.filename}: cannot be read ({error.strerror}); copy the file again") from error
    return combined.hexdigest()


def _digest(file: BufferedReader) -> str:
    """Return a file's SHA-256; gigabytes are not read anew at each step of a command."""
    found = os.fstat(file.fileno())
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    digest = _digests.get(identity) or hashlib.file_digest(file, "sha256").hexdigest()
    # Clocks of file systems tick slowly: another version that is written now could have the same time.
    if time.time_ns() - found.st_ctime_ns > _OLD_NS:
        _digests[identity] = digest
    return digest


def list_files(directory: Path, patterns: Sequence[str]) -> set[str]:
    """Return the files under a directory that a pattern names, relative to it."""
    return {path.relative_to(directory).as_posix() for pattern in patterns for path in directory.glob(pattern)}


def fill_once(target: Path, fill: Callable[[Path], None]) -> Path:
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


def _fetch_from_hub(uri: str, patterns: Sequence[str]) -> Path:
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
        raise ConfigError(need_extra(uri, "huggingface_hub", "hub")) from error
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


def _fetch_from_store(uri: str, settings: StorageConfig | None, patterns: Sequence[str]) -> Path:
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

    return fill_once(cache_dir() / "store" / hashlib.sha256(identity.encode()).hexdigest()[:32], download)
