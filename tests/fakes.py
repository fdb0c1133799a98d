"""Fakes at the project's real seams."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

from pipeline.config.run import StorageConfig
from pipeline.storage import ObjectExists, ObjectInfo, PreconditionFailed, Storage, TransientError


class MemoryStorage(Storage):
    """Objects in a dict. Counts calls and bytes read; can ignore conditions, as some stores do."""

    def __init__(self, settings: StorageConfig | None = None, *, honors_conditions: bool = True) -> None:
        super().__init__("memory://store", settings or StorageConfig(max_attempts=3))
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.calls: list[tuple[str, str]] = []
        self.num_bytes_read = 0
        self._honors_conditions = honors_conditions
        self._lock = threading.Lock()
        self._num_puts = 0

    def _note(self, operation: str, path: str) -> None:
        self.calls.append((operation, path))

    def _put(self, path: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        with self._lock:
            self._note("put", path)
            found = self.objects.get(path)
            if self._honors_conditions:
                if if_absent and found is not None:
                    raise ObjectExists(path)
                if if_match is not None and (found is None or found[1] != if_match):
                    raise PreconditionFailed(path)
            self._num_puts += 1
            self.objects[path] = (data, f"v{self._num_puts}")
            return self.objects[path][1]

    def _get(self, path: str) -> tuple[bytes, str]:
        with self._lock:
            self._note("get", path)
            if path not in self.objects:
                raise FileNotFoundError(path)
            return self.objects[path]

    def _find(self, path: str) -> ObjectInfo | None:
        found = self.objects.get(path)
        return None if found is None else ObjectInfo(path, len(found[0]), found[1])

    def _delete(self, path: str) -> None:
        self._note("delete", path)
        self.objects.pop(path, None)

    def _list_page(self, prefix: str, token: str | None) -> tuple[list[ObjectInfo], None]:
        self._note("list", prefix)
        found = [ObjectInfo(path, len(data), etag) for path, (data, etag) in sorted(self.objects.items())]
        return [info for info in found if info.path.startswith(prefix)], None

    def _read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        self._note("read", info.path)
        self.num_bytes_read += stop - start
        data, etag = self._get(info.path)
        if etag != info.etag:
            raise PreconditionFailed(info.path)
        return data[start:stop]

    def __reduce__(self) -> Any:
        raise TypeError("a MemoryStorage lives in one process")


class FlakyStorage(MemoryStorage):
    """Fails on chosen calls, counted from 1: transiently, or with any other error; before or after the effect."""

    def __init__(
        self,
        fail_on: Collection[int],
        *,
        error: Exception | None = None,
        after_effect: bool = False,
        settings: StorageConfig | None = None,
    ) -> None:
        super().__init__(settings)
        self._fail_on = fail_on
        self._error = error
        self._after_effect = after_effect

    def _fail_if_due(self) -> None:
        if len(self.calls) in self._fail_on:
            raise self._error or TransientError from ConnectionResetError("connection reset by fake")

    def _note(self, operation: str, path: str) -> None:
        super()._note(operation, path)
        if not self._after_effect:
            self._fail_if_due()

    def _put(self, path: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        etag = super()._put(path, data, if_absent, if_match)
        if self._after_effect:
            self._fail_if_due()
        return etag
