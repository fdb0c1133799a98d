"""A local or mounted folder behind the same interface as the object stores; reached through `open_storage` only."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

import pyarrow as pa

from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError, StorageError, StoreRefused
from pipeline.storage.base import ObjectExists, ObjectInfo, PreconditionFailed, Storage, TransientError

_TEMPORARY = ".tmp-"
"""Prefix of files that are being written; a crash may leave some, and listings never show them."""
_LOCK_FILE = ".tmp-lock"
_PINNED = "@"
"""Before what only a pinned file's etag has."""


class LocalStorage(Storage):
    """A folder. Writes are durable (file and folder are synced) and atomic."""

    _read_ahead = 0  # A read costs little, and each one looks whether the file is still the same.

    def __init__(self, uri: str, settings: StorageConfig) -> None:
        path = os.path.expanduser(uri.removeprefix("file://"))
        if path.startswith("~"):
            raise ConfigError(f"{uri}: no home folder is known for {path.partition('/')[0]!r}; write the whole path")
        super().__init__(os.path.abspath(path), settings)
        self._root = Path(self.uri)

    def open_input(self, info: ObjectInfo, *, read_ahead: int | None = None) -> pa.NativeFile:
        """Open a file for random access."""
        self._read_unchanged(info, 0, 0)
        return super().open_input(info, read_ahead=read_ahead)

    def pin(self, info: ObjectInfo) -> ObjectInfo:
        """Add when the file's entry on the disk was changed last, which nobody can set back."""
        pinned: list[ObjectInfo] = []

        def attempt() -> None:
            with self._explained("read", info.path), self._open_unchanged(info) as file:
                pinned.append(replace(info, etag=_local_etag(os.fstat(file.fileno()), is_pinned=True)))

        try:
            self._retry("read", info.path, attempt)
        except (PreconditionFailed, FileNotFoundError) as error:
            raise self._changed(info.path, is_gone=isinstance(error, FileNotFoundError)) from error
        return pinned[-1]

    def content_hash(self, info: ObjectInfo) -> str:
        """Return the sha256 of the bytes, all of which are read."""

        # Not the time stamp: a manifest that was copied or touched is still the same manifest.
        def attempt() -> str:
            with self._explained("read", info.path), self._open_unchanged(info) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        try:
            return self._retry("read", info.path, attempt)
        except (PreconditionFailed, FileNotFoundError) as error:
            raise self._changed(info.path, is_gone=isinstance(error, FileNotFoundError)) from error

    def delete_temporary(self) -> int:
        """Remove the files of writes that were killed; only for one who knows that nobody writes now."""
        stale = [path for path in self._walk("", "", {}, temporary=True) if path.path != _LOCK_FILE]
        for info in stale:
            self.delete(info.path)
        return len(stale)

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
            remedy = {
                errno.ENOSPC: "free some space on the disk",
                errno.EDQUOT: "raise the quota or free some space",
                errno.EROFS: "the file system is read-only: choose another folder",
                errno.EACCES: "fix the permissions or choose another folder",
            }.get(error.errno or 0, "fix it or choose another folder")
            raise self._refuse(operation, path, error, remedy) from error

    def _refuse_no_file(self, operation: str, path: str) -> None:
        """A pipe would be waited for without end, and no file takes a folder's place."""
        with suppress(FileNotFoundError, NotADirectoryError):
            mode = os.stat(self._root / path).st_mode
            if not stat.S_ISREG(mode):
                found = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
                raise StoreRefused(f"{self.uri}: {operation} {path!r}: expected a file, found {found}; move it away")

    def _open(self, operation: str, path: str) -> BufferedReader:
        self._refuse_no_file(operation, path)
        try:
            return open(self._root / path, "rb")
        except FileNotFoundError:
            if os.path.islink(self._root / path):
                raise StoreRefused(
                    f"{self.uri}: {operation} {path!r}: a link to {os.readlink(self._root / path)!r}, where nothing "
                    "is; remove the link, or bring back what it leads to"
                ) from None
            raise

    def _put(self, path: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        target = self._root / path
        with self._explained("put", path):
            self._refuse_no_file("put", path)
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
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = folder.parent
        try:
            for new in reversed(missing):
                with suppress(FileExistsError):
                    new.mkdir()
                _sync_folder(new.parent)
        except (FileNotFoundError, NotADirectoryError) as error:
            # Not a missing object: a file, or something that holds no files, is in the way.
            raise self._refuse("make the folder", str(new), error, "choose another folder") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        path = self._root / _LOCK_FILE
        while True:
            # Not through a link that somebody put there.
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            with open(handle, "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # Whoever held it before took the file away at the end: then this is a lock on nothing.
                if not _is_same_file(file.fileno(), path):
                    continue
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return

    def _get(self, path: str) -> tuple[bytes, str]:
        try:
            with self._explained("get", path), self._open("get", path) as file:
                etag = _local_etag(os.fstat(file.fileno()))
                data = file.read()
                if _local_etag(os.fstat(file.fileno())) != etag:  # Nothing of ours writes into a file that has a name.
                    raise TransientError from OSError(errno.EAGAIN, "somebody writes into the file")
                return data, etag
        except StorageError:
            if os.path.isdir(self._root / path):
                raise FileNotFoundError(errno.ENOENT, "a folder, no object", f"{self.uri}/{path}") from None
            raise

    def _find(self, path: str) -> ObjectInfo | None:
        try:
            with self._explained("head", path):
                found = os.stat(self._root / path)
        except FileNotFoundError:
            return None
        return None if stat.S_ISDIR(found.st_mode) else ObjectInfo(path, found.st_size, _local_etag(found))

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError), self._explained("delete", path):
            os.unlink(self._root / path)

    def _list_page(self, prefix: str, token: str | None) -> tuple[Iterator[ObjectInfo], None]:
        folder = prefix.rpartition("/")[0]
        return self._walk(folder, prefix, {}), None

    def _walk(
        self, folder: str, prefix: str, seen: dict[tuple[int, int], str], *, temporary: bool = False
    ) -> Iterator[ObjectInfo]:
        """Yield the files below a folder, those behind links to folders included, or the temporary files alone."""
        try:
            with self._explained("list", folder):
                self._refuse_second_visit(folder, seen)
                entries = sorted(os.scandir(self._root / folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            self._refuse_dead_link(folder)
            return
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not path.startswith(prefix[: len(path)]):
                continue
            if os.path.isdir(entry.path):
                if not (entry.is_symlink() and self._is_listed_anyway(path, prefix)):
                    yield from self._walk(path, prefix, seen, temporary=temporary)
            elif path.startswith(prefix) and entry.name.startswith(_TEMPORARY) == temporary:
                with suppress(FileNotFoundError):  # Deleted since it was listed.
                    yield self._describe(entry, path)

    def _refuse_dead_link(self, folder: str) -> None:
        """A disk that is not there is no empty folder: what is on it would be taken for lost."""
        for place in (path := self._root / folder, *path.parents):
            if os.path.islink(place):
                if not os.path.exists(place):
                    raise StoreRefused(
                        f"{self.uri}: {place} is a link to {os.readlink(place)!r}, where nothing is; bring that back, "
                        "or remove the link"
                    )
                return

    def _describe(self, entry: os.DirEntry[str], path: str) -> ObjectInfo:
        """Describe a file; a link that leads nowhere is listed, too, so that whoever reads it is told."""
        with self._explained("list", path):
            try:
                found = entry.stat()
            except OSError:
                found = entry.stat(follow_symlinks=False)
                if not stat.S_ISLNK(found.st_mode):
                    raise
            return ObjectInfo(path, found.st_size, _local_etag(found))

    def _refuse_second_visit(self, folder: str, seen: dict[tuple[int, int], str]) -> None:
        """Links that lead in a circle have no end, and a file that is listed under two names would be taken for two."""
        found = os.stat(self._root / folder)
        first = seen.setdefault((found.st_dev, found.st_ino), folder)
        if first != folder:
            raise StoreRefused(
                f"{self.uri}: {folder!r} and {first or '.'!r} are the same folder by way of a link; remove the link"
            )

    def _is_listed_anyway(self, path: str, prefix: str) -> bool:
        """Tell whether a link to a folder leads to where this listing comes by itself."""
        root, target = (f"{os.path.realpath(place)}/" for place in (self._root, self._root / path))
        inside = target.removeprefix(root)
        return target.startswith(root) and (inside.startswith(prefix) or prefix.startswith(inside))

    def _read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        with self._explained("read", info.path), self._open_unchanged(info) as file:
            file.seek(start)
            return file.read(stop - start)

    @contextmanager
    def _open_unchanged(self, info: ObjectInfo) -> Iterator[BufferedReader]:
        """Open the file that `info` names, by its name anew for each read: one that was renamed over it is another."""

        def check() -> None:
            if _local_etag(os.fstat(file.fileno()), is_pinned=_PINNED in info.etag) != info.etag:
                raise PreconditionFailed(info.path)

        with self._open("read", info.path) as file:
            check()
            yield file
            check()  # Somebody may have written into it meanwhile.


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _local_etag(found: os.stat_result, *, is_pinned: bool = False) -> str:
    # Every write makes a new file, so the inode tells apart two of the same size within one tick of the clock.
    etag = f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"
    # The last change of the entry also moves when a link is made to the file, as a backup may.
    return f"{etag}{_PINNED}{found.st_ctime_ns:x}" if is_pinned else etag
