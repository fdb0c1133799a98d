"""One door to local disk and object stores: whole objects in, whole objects out, with compare-and-swap.

Knows nothing of audio, manifests or commits. Objects are built in memory and put by a single request: a stream that
is cut short by an exception would leave a partial object that looks complete.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import re
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from pipeline.config import StorageConfig
from pipeline.errors import ConfigError, StorageError

Result = TypeVar("Result")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 20.0
_TEMPORARY = ".tmp-"
"""Prefix of files that are being written; a crash may leave some, and listings never show them."""
_LOCK_FILE = ".tmp-lock"
_READ_AHEAD = 1 << 16
"""Bytes of a Parquet footer that one request usually covers."""


class ObjectExists(Exception):
    """`if_absent` was asked for and the object is there."""


class PreconditionFailed(Exception):
    """`if_match` was asked for and the object is another one by now, or gone."""


class TransientError(Exception):
    """A request failed in a way that may pass; the cause says how."""


@dataclass(frozen=True)
class ObjectInfo:
    """An object in a listing. `path` is relative to the store's root; `etag` changes whenever the object does."""

    path: str
    size: int
    etag: str


@dataclass(frozen=True)
class StorePromises:
    """What a store was seen to honor."""

    conditional_put: bool
    read_after_write: bool
    list_after_write: bool


class Storage(ABC):
    """Objects under one root, by relative path. Thread-safe; pickles as its URI and settings.

    Every method may raise `StorageError` (after retries, or at once where retrying cannot help) and `ValueError` (a
    path that would leave the root).
    """

    def __init__(self, uri: str, settings: StorageConfig) -> None:
        self.uri = uri
        self.settings = settings

    def __reduce__(self) -> tuple[Callable[..., Storage], tuple[str, StorageConfig]]:
        return (open_storage, (self.uri, self.settings))

    def put(self, path: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write an object, all of it or nothing.

        Args:
            path: relative to the root.
            data: the whole object.
            if_absent: refuse to replace anything.
            if_match: replace only the object that has this etag.

        Returns:
            the new etag.

        Raises:
            ObjectExists, PreconditionFailed: the condition does not hold; nothing was written.
        """
        if if_absent and if_match is not None:
            raise ValueError("if_absent and if_match exclude each other")
        attempts = 0

        def attempt() -> str:
            nonlocal attempts
            attempts += 1
            try:
                return self._put(check_path(path), data, if_absent, if_match)
            except (ObjectExists, PreconditionFailed):
                # An earlier attempt may have been carried out although its answer was lost: then the object is ours.
                if attempts > 1:
                    with suppress(FileNotFoundError):
                        found, etag = self._get(path)
                        if found == data:
                            return etag
                raise

        return self._retry("put", path, attempt)

    def get(self, path: str) -> bytes:
        """Read an object. Raises `FileNotFoundError` where there is none."""
        return self.get_with_etag(path)[0]

    def get_with_etag(self, path: str) -> tuple[bytes, str]:
        """Read an object and the etag that `put(if_match=...)` wants."""
        return self._retry("get", path, lambda: self._get(check_path(path)))

    def find(self, path: str) -> ObjectInfo | None:
        """Return what a listing would say of one object, or None where there is none."""
        return self._retry("head", path, lambda: self._find(check_path(path)))

    def exists(self, path: str) -> bool:
        """Tell whether there is an object at exactly this path."""
        return self.find(path) is not None

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is no error."""
        self._retry("delete", path, lambda: self._delete(check_path(path)))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield every object, at any depth, whose path starts with `prefix`; streams, in no particular order."""
        if prefix:
            check_path(prefix.rstrip("/"))
        token: str | None = None
        while True:
            page, token = self._retry("list", prefix, lambda at=token: self._list_page(prefix, at))  # type: ignore[misc]
            yield from page
            if token is None:
                return

    def uri_of(self, path: str) -> str:
        """Return where others find the object: an absolute path, or a URI."""
        return f"{self.uri.rstrip('/')}/{check_path(path)}"

    def open_input(self, info: ObjectInfo) -> pa.NativeFile:
        """Open an object for random access, as Parquet readers want; a read fails once the object has changed."""
        check_path(info.path)
        raw = _RangeFile(
            info.size,
            lambda start, stop: self._retry("read", info.path, lambda: self._read_range(info, start, stop)),
        )
        return pa.PythonFile(raw, mode="r")

    def content_hash(self, info: ObjectInfo) -> str:
        """Return a text that is equal for equal content, as cheaply as the store can tell."""
        return info.etag

    def _retry(self, operation: str, path: str, call: Callable[[], Result]) -> Result:
        wait_s = _FIRST_WAIT_S
        for attempt in range(1, self.settings.max_attempts + 1):
            try:
                return call()
            except TransientError as error:
                if attempt == self.settings.max_attempts:
                    cause = error.__cause__ or error
                    raise StorageError(
                        f"{self.uri}: {operation} {path!r} failed {attempt} time(s), last with {describe_cause(cause)}; "
                        "what is committed is safe: run the same command again once the store answers"
                    ) from cause
            # Full jitter: replicas that failed together do not come back together.
            time.sleep(random.uniform(0, wait_s))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        raise AssertionError("max_attempts is at least 1")

    def _refuse(self, operation: str, path: str, cause: BaseException, way_out: str) -> StorageError:
        return StorageError(f"{self.uri}: {operation} {path!r}: {describe_cause(cause)}; {way_out}")

    @abstractmethod
    def _put(self, path: str, data: bytes, if_absent: bool, if_match: str | None) -> str: ...

    @abstractmethod
    def _get(self, path: str) -> tuple[bytes, str]: ...

    @abstractmethod
    def _find(self, path: str) -> ObjectInfo | None: ...

    @abstractmethod
    def _delete(self, path: str) -> None: ...

    @abstractmethod
    def _list_page(self, prefix: str, token: str | None) -> tuple[Any, str | None]: ...

    @abstractmethod
    def _read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes: ...


class LocalStorage(Storage):
    """A folder. Writes are durable (file and folder are synced) and atomic."""

    def __init__(self, uri: str, settings: StorageConfig) -> None:
        super().__init__(os.path.abspath(os.path.expanduser(uri.removeprefix("file://"))), settings)
        self._root = Path(self.uri)

    def open_input(self, info: ObjectInfo) -> pa.NativeFile:
        with self._explained("open", info.path):
            return pa.OSFile(str(self._root / info.path))

    def content_hash(self, info: ObjectInfo) -> str:
        # Not the time stamp: a manifest that was copied or touched is still the same manifest.
        with self._explained("read", info.path), open(self._root / info.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def _explained(self, operation: str, path: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(errno.ENOENT, "no such object", f"{self.uri}/{path}") from error
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno in (errno.EINTR, errno.EAGAIN, errno.ESTALE, errno.ETIMEDOUT, errno.EIO):
                raise TransientError from error
            way_out = {
                errno.ENOSPC: "free some space on the disk",
                errno.EDQUOT: "raise the quota or free some space",
                errno.EROFS: "the file system is read-only: choose another folder",
                errno.EACCES: "mend the permissions or choose another folder",
            }.get(error.errno or 0, "mend it or choose another folder")
            raise self._refuse(operation, path, error, way_out) from error

    def _put(self, path: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        target = self._root / path
        with self._explained("put", path):
            self._make_folder(target.parent)
            temporary = target.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
            try:
                with open(temporary, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if if_absent:
                    self._link(temporary, target)
                elif if_match is not None:
                    with self._locked():
                        found = self._find(path)
                        if found is None or found.etag != if_match:
                            raise PreconditionFailed(path)
                        os.replace(temporary, target)
                else:
                    os.replace(temporary, target)
                _sync_folder(target.parent)
                return _local_etag(os.stat(target))
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)

    @staticmethod
    def _link(temporary: Path, target: Path) -> None:
        """Give the file its name unless somebody has it; a rename would overwrite."""
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise ObjectExists(str(target)) from None

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            with suppress(FileExistsError):
                new.mkdir()
            _sync_folder(new.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        with open(self._root / _LOCK_FILE, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _get(self, path: str) -> tuple[bytes, str]:
        with self._explained("get", path), open(self._root / path, "rb") as file:
            return file.read(), _local_etag(os.fstat(file.fileno()))

    def _find(self, path: str) -> ObjectInfo | None:
        try:
            with self._explained("head", path):
                found = os.stat(self._root / path)
        except FileNotFoundError:
            return None
        is_folder = (found.st_mode & 0o170000) == 0o040000
        return None if is_folder else ObjectInfo(path, found.st_size, _local_etag(found))

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError), self._explained("delete", path):
            os.unlink(self._root / path)

    def _list_page(self, prefix: str, token: str | None) -> tuple[Iterator[ObjectInfo], None]:
        folder = prefix.rpartition("/")[0]
        return (info for info in self._walk(folder) if info.path.startswith(prefix)), None

    def _walk(self, folder: str) -> Iterator[ObjectInfo]:
        try:
            with self._explained("list", folder):
                entries = sorted(os.scandir(self._root / folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(path)
            elif not entry.name.startswith(_TEMPORARY):
                with suppress(FileNotFoundError):  # Deleted since it was listed.
                    found = entry.stat()
                    yield ObjectInfo(path, found.st_size, _local_etag(found))

    def _read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        with self._explained("read", info.path), open(self._root / info.path, "rb") as file:
            return os.pread(file.fileno(), stop - start, start)


class S3Storage(Storage):
    """An S3 bucket or a prefix in it, or any store that speaks S3 (`storage.endpoint_url`)."""

    _TRANSIENT = frozenset({"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "RequestTimeTooSkewed",
                            "ConditionalRequestConflict", "OperationAborted", "InternalError", "ServiceUnavailable"})  # fmt: skip

    def __init__(self, uri: str, settings: StorageConfig) -> None:
        super().__init__(uri.rstrip("/"), settings)
        self._bucket, _, prefix = self.uri.partition("://")[2].partition("/")
        if not self._bucket:
            raise ConfigError(f"{uri}: expected s3://BUCKET/PREFIX")
        self._prefix = f"{prefix}/" if prefix else ""
        self._lock = threading.Lock()
        self._made: Any = None

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = _make_s3_client(self.settings)
            return self._made

    def _call(self, operation: str, path: str, **arguments: Any) -> Any:
        """Send one request and sort its failure: transient, refused for good, or an answer of its own."""
        import botocore.exceptions as failures

        try:
            return getattr(self._client, operation)(Bucket=self._bucket, **arguments)
        except failures.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in ("NoSuchKey", "404", "NotFound") or (status == 404 and code != "NoSuchBucket"):
                raise FileNotFoundError(errno.ENOENT, "no such object", f"{self.uri}/{path}") from error
            if status == 412 or code == "PreconditionFailed":
                raise PreconditionFailed(path) from error
            if status >= 500 or status in (408, 409, 429) or code in self._TRANSIENT:
                raise TransientError from error
            way_out = {
                "NoSuchBucket": "create the bucket or mend its name",
                "AccessDenied": "give these credentials the right to list, read, write and delete here",
            }.get(code, "check the credentials, the region and storage.endpoint_url")
            raise self._refuse(operation, path, error, way_out) from error
        except (failures.NoCredentialsError, failures.PartialCredentialsError, failures.ParamValidationError) as error:
            raise self._refuse(operation, path, error, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
        except (failures.BotoCoreError, OSError) as error:
            raise TransientError from error

    def _put(self, path: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        conditions = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match is not None else {}
        try:
            answer = self._call("put_object", path, Key=self._prefix + path, Body=data, **conditions)
        except PreconditionFailed as error:
            raise (ObjectExists(path) if if_absent else error) from error
        except FileNotFoundError as error:  # How some stores answer If-Match on an object that is gone.
            raise PreconditionFailed(path) from error
        return str(answer["ETag"])

    def _get(self, path: str) -> tuple[bytes, str]:
        answer = self._call("get_object", path, Key=self._prefix + path)
        return self._read_body(answer), str(answer["ETag"])

    def _read_body(self, answer: Any) -> bytes:
        import botocore.exceptions as failures

        try:
            return bytes(answer["Body"].read())
        except (failures.BotoCoreError, OSError) as error:  # The connection broke in the middle.
            raise TransientError from error

    def _find(self, path: str) -> ObjectInfo | None:
        try:
            answer = self._call("head_object", path, Key=self._prefix + path)
        except FileNotFoundError:
            return None
        return ObjectInfo(path, answer["ContentLength"], str(answer["ETag"]))

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._call("delete_object", path, Key=self._prefix + path)

    def _list_page(self, prefix: str, token: str | None) -> tuple[list[ObjectInfo], str | None]:
        more = {"ContinuationToken": token} if token else {}
        answer = self._call("list_objects_v2", prefix, Prefix=self._prefix + prefix, **more)
        skip = len(self._prefix)
        found = [
            ObjectInfo(item["Key"][skip:], item["Size"], str(item["ETag"]))
            for item in answer.get("Contents", ())
            if not item["Key"].endswith("/")  # Markers that browsers put for "folders".
        ]
        return found, answer.get("NextContinuationToken")

    def _read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        key = self._prefix + info.path
        try:
            answer = self._call("get_object", info.path, Key=key, Range=f"bytes={start}-{stop - 1}", IfMatch=info.etag)
        except PreconditionFailed as error:
            raise self._refuse("read", info.path, error, "the object was replaced while it was in use") from error
        return self._read_body(answer)


def _make_s3_client(settings: StorageConfig) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise ConfigError("s3:// needs an extra package; run: pip install 'spark-tts-batch[s3]'") from error

    endpoint_url = settings.endpoint_url or os.environ.get("AWS_ENDPOINT_URL")
    config = Config(
        connect_timeout=10,
        read_timeout=60,
        # The retries are ours: they end in a StorageError that says what to do.
        retries={"total_max_attempts": 1},
        max_pool_connections=max(16, 2 * settings.upload_threads),
        # Checksums that only AWS knows make other stores refuse the put.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if endpoint_url else None,
    )
    # A session of its own: the default one is not thread-safe while it makes clients.
    return boto3.session.Session().client(
        "s3", endpoint_url=endpoint_url, region_name=settings.region or os.environ.get("AWS_REGION"), config=config
    )


class _RangeFile(io.RawIOBase):
    """A seekable file over ranged reads; keeps the last stretch, as Parquet footers are read in small steps."""

    def __init__(self, size: int, read_range: Callable[[int, int], bytes]) -> None:
        self._size, self._read_range, self._at = size, read_range, 0
        self._kept_at, self._kept = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        return self._size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if self._at >= stop:
            return b""
        start, kept_stop = self._at, self._kept_at + len(self._kept)
        self._at = stop
        if not (self._kept_at <= start and stop <= kept_stop):
            wanted = start
            if stop - start < _READ_AHEAD:  # Read-ahead goes backward: the end of the file is what is read in steps.
                wanted = max(0, min(start, stop - _READ_AHEAD))
            data = self._read_range(wanted, stop)
            if stop - wanted > 2 * _READ_AHEAD:
                return data
            self._kept_at, self._kept = wanted, data
        return self._kept[start - self._kept_at : stop - self._kept_at]


def check_path(path: str) -> str:
    """Return the path if it stays inside the root; raise `ValueError` if not."""
    parts = path.split("/")
    if not path or "\0" in path or any(part in ("", ".", "..") for part in parts) or re.match(r"^[A-Za-z]:|\\", path):
        raise ValueError(f"{path!r} is not a relative path inside the store's root")
    return path


def split_uri(uri: str) -> tuple[str, str]:
    """Split the address of one object into its folder's address and its name."""
    folder, _, name = uri.rstrip("/").rpartition("/")
    if folder.endswith(":/") or folder.endswith(":"):
        raise ConfigError(f"{uri}: expected the address of one object, found a whole bucket")
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
    scheme = uri.partition("://")[0] if "://" in uri else "file"
    if scheme == "file":
        return LocalStorage(uri, settings)
    if scheme in ("s3", "s3a"):
        return S3Storage(uri, settings)
    if scheme in ("gs", "az"):
        from pipeline.cloud_storage import open_cloud_storage

        return open_cloud_storage(uri, settings)
    raise ConfigError(f"{uri}: unknown kind of store {scheme!r}; expected a path, s3://, gs:// or az://")


def read_bytes(uri: str, settings: StorageConfig | None = None) -> bytes:
    """Read one file from anywhere: a path or any URI of `open_storage`, or `https://`.

    Raises:
        FileNotFoundError: there is none.
        StorageError: the store does not answer or refuses.
    """
    if uri.startswith(("http://", "https://")):
        return _read_web(uri)
    folder, name = split_uri(uri)
    return open_storage(folder, settings).get(name)


def _read_web(uri: str) -> bytes:
    import smart_open

    try:
        with smart_open.open(uri, "rb", transport_params={"timeout": 60}) as file:
            return bytes(file.read())
    except OSError as error:
        raise StorageError(f"{uri.partition('?')[0]}: {describe_cause(error)}; download the file first") from error


def probe_store(storage: Storage) -> StorePromises:
    """Put, read, list and delete an object of our own, to see what the store honors."""
    path = f"_probe/{uuid.uuid4().hex}"
    etag = storage.put(path, b"first")
    try:
        try:
            read_after_write = storage.get(path) == b"first"
        except FileNotFoundError:
            read_after_write = False
        list_after_write = any(info.path == path for info in storage.list("_probe/"))
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


def describe_cause(error: BaseException) -> str:
    """Return class and message on one line, without anything that looks like a signed query or a secret."""
    text = " ".join(str(error).split())
    text = re.sub(r"\?\S+", "?...", text)
    text = re.sub(r"(?i)(secret|token|signature|key|password)([\w-]*\s*[=:]\s*)\S+", r"\1\2...", text)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _local_etag(found: os.stat_result) -> str:
    # Every write makes a new file, so the inode tells apart two of the same size within one tick of the clock.
    return f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"
