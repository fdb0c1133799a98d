"""From an address to a store: which kind it is, whether it can be written to, and what it promises."""

from __future__ import annotations

import errno
import os
import re
import uuid
from contextlib import suppress
from pathlib import Path

from pipeline.config.figures import apart
from pipeline.config.run import StorageConfig
from pipeline.config.secrets import has_credentials, is_signed, redact, without_signature
from pipeline.errors import ConfigError, StorageError
from pipeline.storage.base import ObjectExists, PreconditionFailed, Storage, StorePromises, check_path


def check_apart(name: str, uri: str, outer: str, outer_uri: str, reason: str, settings: StorageConfig) -> None:
    """Refuse a place that is another one, or lies in it.

    Args:
        name: of the setting or option that gives the place, for messages.
        uri: the place.
        outer: what the other one is.
        outer_uri: the other one.
        reason: why they must be apart.
        settings: of the stores.

    Raises:
        ConfigError: it lies there, or no store has such an address.
    """
    inner, around = (_real_address(open_storage(place, settings).uri).rstrip("/") for place in (uri, outer_uri))
    if f"{inner}/".startswith(f"{around}/"):
        raise ConfigError(f"{name}: {uri} lies in the {outer} {outer_uri}, {reason}; name a place beside it")


def _real_address(uri: str) -> str:
    """Return where a local folder is, whatever links lead to it."""
    return uri if "://" in uri else os.path.realpath(uri)


def check_writable(name: str, uri: str, settings: StorageConfig) -> None:
    """Refuse an address that nothing can be written to, as far as that shows without writing.

    Args:
        name: of the setting or option that gives it, for messages.
        uri: the address.
        settings: of the store.

    Raises:
        ConfigError: no store has such an address, or it is no folder that this user may write to.
        StorageError: it is on a file system that is read-only.
    """
    storage = open_storage(uri, settings)
    if "://" in storage.uri:
        return
    path = Path(storage.uri)
    existing = next(folder for folder in (path, *path.parents) if os.path.exists(folder))
    if existing.is_dir() and os.statvfs(existing).f_flag & os.ST_RDONLY:
        # Disks become so by themselves, after an error: then this is an output to go on with.
        raise StorageError(f"{name}: {uri}: {existing} is on a read-only file system; mount it for writing")
    problem = _find_problem(path, existing)
    if problem is not None:
        raise ConfigError(f"{name}: {uri}: {problem}; name another folder")


def _find_problem(path: Path, existing: Path) -> str | None:
    """Return why a folder cannot be made or written to, as far as that shows; `existing` is how far it is there."""
    if not existing.is_dir():
        return f"{existing} is not a folder"
    if not os.access(existing, os.W_OK):
        return f"{existing} cannot be written to"
    for part in (existing / name for name in path.relative_to(existing).parts):
        if os.path.islink(part):  # False for a name that is too long, of which below.
            return f"{part} is a link to {os.readlink(part)!r}, where nothing is"
    longest = os.pathconf(existing, "PC_NAME_MAX")
    if any(len(os.fsencode(name)) > longest for name in path.relative_to(existing).parts):
        return f"a name in it is longer than {longest} bytes"
    try:
        # Folders that a kernel shows, such as /proc, hold what it likes and nothing else.
        is_real = os.statvfs(existing).f_blocks > 0 or os.statvfs(existing).f_files > 0
    except OSError:
        return None
    return None if is_real else f"{existing} is of a file system that holds no files of yours"


def split_uri(uri: str) -> tuple[str, str]:
    """Split the address of one object into its folder's address and its name."""
    folder, _, name = uri.rstrip("/").rpartition("/")
    if folder.endswith(":/") or folder.endswith(":"):
        raise ConfigError(f"{uri}: expected the address of one object, found a whole bucket")
    if name in ("", ".", ".."):
        raise ConfigError(f"{uri}: expected the address of one file, found a folder")
    try:
        check_path(name)
    except ValueError:
        raise ConfigError(f"{uri!a}: ends with no name that every store can hold; rename that file") from None
    return folder or ("/" if uri.startswith("/") else "."), name


def open_storage(uri: str, settings: StorageConfig | None = None) -> Storage:
    """Open a folder or a prefix of a store; nothing is read or created yet.

    Args:
        uri: a local path, `file://`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
        settings: retries, endpoint, region.

    Raises:
        ConfigError: an unknown kind of store, or one whose client is not installed.
    """
    settings = settings or StorageConfig()
    for address in (uri, settings.endpoint_url or ""):
        if has_credentials(address):
            # It would be part of every address that is written.
            raise ConfigError(
                f"{redact(address)}: credentials in an address; take them out and set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY (or the store's own variables)"
            )
    if "://" in uri and is_signed(uri):
        raise ConfigError(
            f"{without_signature(uri)}: a signed address, which stands for one object for a while; name the place "
            "itself, and give the store's credentials by its own variables"
        )
    if settings.endpoint_url and not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", settings.endpoint_url):
        raise ConfigError(
            f"storage.endpoint_url: {redact(settings.endpoint_url)}: expected http://HOST:PORT or https://HOST"
        )
    scheme = uri.partition("://")[0] if "://" in uri else "file"
    if scheme == "file":
        from pipeline.storage.local import LocalStorage

        return LocalStorage(uri, settings)
    if scheme in ("s3", "s3a"):
        from pipeline.storage.s3 import S3Storage

        return S3Storage(uri, settings)
    if scheme in ("gs", "az"):
        from pipeline.storage.cloud import open_cloud_storage

        return open_cloud_storage(uri, settings)
    raise ConfigError(f"{uri}: unknown kind of store {scheme!r}; expected a path, s3://, gs:// or az://")


def read_bytes(uri: str, settings: StorageConfig | None = None) -> bytes:
    """Read one file from anywhere: a path, any URI of `open_storage`, or an address of a host in `storage.allow_http`.

    Raises:
        FileNotFoundError: there is none.
        ConfigError: it is larger than `storage.limits.max_file_mb`, or its host is not listed.
        StorageError: the store does not answer or refuses.
    """
    settings = settings or StorageConfig()
    if uri.lower().startswith(("http://", "https://")):
        from pipeline.storage.web import read_web

        return read_web(uri, settings)
    folder, name = split_uri(uri)
    storage = open_storage(folder, settings)
    info = storage.find(name)
    if info is None:
        raise FileNotFoundError(errno.ENOENT, "no such file", uri)
    limit_mb = settings.limits.max_file_mb
    if info.size > limit_mb * 1_000_000:
        found, most = apart(info.size / 1e6, limit_mb, 2)
        raise ConfigError(
            f"{uri}: {found} MB, more than storage.limits.max_file_mb ({most}); give a smaller file, or raise it"
        )
    with storage.open_input(info) as file:
        return bytes(file.read())


def write_bytes(uri: str, data: bytes, settings: StorageConfig | None = None) -> None:
    """Write one file anywhere: a path or any URI of `open_storage`; whole or not at all, as `Storage.put` does.

    Raises:
        ConfigError: no store has such an address.
        StorageError: it cannot be written.
    """
    folder, name = split_uri(uri)
    open_storage(folder, settings).put(name, data)


def probe_store(storage: Storage) -> StorePromises:
    """Put, read, list and delete an object of our own, to see what the store honors."""
    # No folder of its own: on a disk it would stay behind.
    path = f"_probe-{uuid.uuid4().hex}"
    etag = storage.put(path, b"first")
    try:
        try:
            read_after_write = storage.get(path) == b"first"
        except FileNotFoundError:
            read_after_write = False
        list_after_write = any(info.path == path for info in storage.list("_probe-"))
        conditional_put = False
        with suppress(ObjectExists):
            storage.put(path, b"second", if_absent=True)
            return StorePromises(False, read_after_write, list_after_write)
        storage.put(path, b"third", if_match=etag)
        try:
            storage.put(path, b"fourth", if_match=etag)
        except PreconditionFailed:
            conditional_put = True
        return StorePromises(conditional_put, read_after_write, list_after_write)
    finally:
        storage.delete(path)
