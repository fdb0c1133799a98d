"""One interface to local disk and object stores: whole objects in, whole objects out, with compare-and-swap.

Knows nothing of audio, manifests or commits. Objects are built in memory and put by a single request: a stream that
is cut short by an exception would leave a partial object that looks complete.
"""

from __future__ import annotations

import io
import mimetypes
import os
import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from pipeline.config.run import StorageConfig
from pipeline.config.secrets import redact
from pipeline.errors import ObjectChanged, StorageError, StoreRefused
from pipeline.storage.pace import Pace

Result = TypeVar("Result")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 20.0
_THROTTLED_PATIENCE = 4
"""Times the tries of a request that the store would take later: giving it up wastes all that its unit has put."""


def content_type(path: str) -> str:
    """Return as what a store hands out an object: without it, a browser saves a report instead of showing it."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


class ObjectExists(Exception):
    """`if_absent` was asked for and the object is there."""


class PreconditionFailed(Exception):
    """`if_match` was asked for and the object is another one by now, or gone."""


class TransientError(Exception):
    """A request failed in a way that may pass; the cause says how."""


class Throttled(TransientError):
    """The store asks for fewer requests."""


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

    _read_ahead = 1 << 16
    """Bytes of a Parquet footer that one request usually covers."""

    def __init__(self, uri: str, settings: StorageConfig) -> None:
        self.uri = uri
        self.settings = settings
        self._pace = Pace()

    def __reduce__(self) -> tuple[type[Storage], tuple[str, StorageConfig]]:
        return (type(self), (self.uri, self.settings))

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
        """Yield every object, at any depth, whose path starts with `prefix`; streams, in no particular order.

        Raises:
            StorageError: also for an object whose name no other method takes.
        """
        if prefix:
            check_path(prefix.rstrip("/"))
        token: str | None = None
        while True:
            page, token = self._retry("list", prefix, lambda at=token: self._list_page(prefix, at))  # type: ignore[misc]
            for info in page:
                yield self._check_name(info)
            if token is None:
                return

    def _check_name(self, info: ObjectInfo) -> ObjectInfo:
        try:
            check_path(info.path)
        except ValueError:
            raise StoreRefused(
                f"{self.uri}: holds {info.path!a}, whose name has an empty part, `.`, `..`, a backslash, a drive "
                "letter, or is not UTF-8; rename that object, or move it elsewhere"
            ) from None
        return info

    def delete_temporary(self) -> int:
        """Remove what interrupted writes left, where a store leaves anything; returns how much there was."""
        return 0

    def uri_of(self, path: str) -> str:
        """Return where others find the object: an absolute path, or a URI."""
        return f"{self.uri.rstrip('/')}/{check_path(path)}"

    def open_input(self, info: ObjectInfo, *, read_ahead: int | None = None) -> pa.NativeFile:
        """Open an object for random access, as Parquet readers want.

        Every read, here or later, raises `ObjectChanged` once the object is no longer the one that `info` names.

        Args:
            info: of the object.
            read_ahead: bytes that a request asks for at least; None takes what suits files of which most is read.
        """
        check_path(info.path)
        read_ahead = self._read_ahead if read_ahead is None else read_ahead
        raw = RangeFile(info.size, lambda start, stop: self._read_unchanged(info, start, stop), read_ahead)
        return pa.PythonFile(raw, mode="r")

    def pin(self, info: ObjectInfo) -> ObjectInfo:
        """Return the object as one that must not change while it is in use.

        Reads of it then also fail after changes that `etag` does not show, as where a file was rewritten in its place
        and its time set back. They may fail, too, where only its owner or name changed: compare it by content then.

        Raises:
            ObjectChanged: the object is no longer the one that `info` names.
        """
        return info

    def content_hash(self, info: ObjectInfo) -> str:
        """Return a text that is equal for equal content, as cheaply as the store can tell.

        Raises:
            ObjectChanged: the object is no longer the one that `info` names.
        """
        return info.etag

    def _read_unchanged(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        try:
            data = self._retry("read", info.path, lambda: self._read_range(info, start, stop))
        except (PreconditionFailed, FileNotFoundError) as error:
            raise self._changed(info.path, is_gone=isinstance(error, FileNotFoundError)) from error
        if len(data) != stop - start:
            raise self._changed(info.path)
        return data

    def _changed(self, path: str, *, is_gone: bool = False) -> ObjectChanged:
        return ObjectChanged(
            f"{self.uri_of(path)}: was {'deleted' if is_gone else 'replaced or rewritten'} while it was in use; put it "
            "back as it was, then run the same command again"
        )

    def _retry(self, operation: str, path: str, call: Callable[[], Result]) -> Result:
        wait_s = _FIRST_WAIT_S
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._pace.request():
                    result = call()
                self._pace.speed_up()
                return result
            except TransientError as error:
                max_attempts = self.settings.max_attempts
                if isinstance(error, Throttled):
                    self._pace.slow_down()
                    max_attempts *= _THROTTLED_PATIENCE
                if attempt >= max_attempts:
                    cause = error.__cause__ or error
                    raise StorageError(
                        f"{self.uri}: {operation} {path!r} failed {attempt} time(s), last with {describe_cause(cause)}"
                        "; what is committed is safe: run the same command again once the store answers"
                    ) from cause
            # Full jitter: replicas that failed together do not come back together.
            time.sleep(random.uniform(0, wait_s))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _refuse(self, operation: str, path: str, cause: BaseException, remedy: str) -> StorageError:
        return StoreRefused(f"{self.uri}: {operation} {path!r}: {describe_cause(cause)}; {remedy}")

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
    def _read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        """Read a stretch of this very object; `PreconditionFailed` if it is another one, by its etag, by now."""


class RangeFile(io.RawIOBase):
    """A seekable file over ranged reads; keeps the last stretch, as Parquet footers are read in small steps.

    Args:
        size: of the file, in bytes.
        read_range: returns the bytes from the first place up to the second.
        read_ahead: bytes that a small read takes at least, backward.
    """

    def __init__(self, size: int, read_range: Callable[[int, int], bytes], read_ahead: int) -> None:
        self._size, self._read_range, self._read_ahead, self._at = size, read_range, read_ahead, 0
        self._kept_at, self._kept = 0, b""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that any place can be read."""
        return True

    def tell(self) -> int:
        """Return the place of the next read."""
        return self._at

    def size(self) -> int:
        """Return the size in bytes."""
        return self._size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the place of the next read."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, all that are left by default."""
        stop = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if self._at >= stop:
            return b""
        start, kept_stop = self._at, self._kept_at + len(self._kept)
        self._at = stop
        if not (self._kept_at <= start and stop <= kept_stop):
            wanted = start
            if (
                stop - start < self._read_ahead
            ):  # Read-ahead goes backward: the end of the file is what is read in steps.
                wanted = max(0, min(start, stop - self._read_ahead))
            data = self._read_range(wanted, stop)
            if stop - wanted > 2 * self._read_ahead:
                return data
            self._kept_at, self._kept = wanted, data
        return self._kept[start - self._kept_at : stop - self._kept_at]


def check_path(path: str) -> str:
    """Return the path if it stays inside the root; raise `ValueError` if not."""
    parts = path.split("/")
    is_text = not re.search("[\0\ud800-\udfff]", path)  # File names that are not UTF-8 come with surrogates.
    if not is_text or any(part in ("", ".", "..") for part in parts) or re.search(r"^[A-Za-z]:|\\", path):
        raise ValueError(f"{path!r} is not a relative path inside the store's root")
    return path


def describe_cause(error: BaseException) -> str:
    """Return class and message on one line, without anything that looks like a signed query or a secret."""
    text = " ".join(str(error).split())
    text = redact(re.sub(r"\?\S+", "?...", text))
    text = re.sub(r"(?i)(key)([\w-]*\s*[=:]\s*)\S+", r"\1\2...", text)
    return f"{type(error).__name__}: {text:.300}" if text else type(error).__name__
