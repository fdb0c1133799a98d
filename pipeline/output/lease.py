"""One driver at a time: a lease object with an owner, an epoch and a heartbeat.

Knows nothing of what the driver does. Without `If-Match` in the store a takeover is only as good as a read after the
write; `probe_store` tells, and the run says so.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import ConfigError, RunStopped, StorageError
from pipeline.storage import ObjectExists, PreconditionFailed, Storage

logger = logging.getLogger(__name__)
LEASE_PATH = "lease.json"
_held: set[str] = set()
"""Tokens of this process's own leases; one that it could not give back, as the store was away, is nobody's."""


_SEEN_S = 120.0
"""A driver that renewed its lease in so many seconds works; other machines' clocks may differ by some of them."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease."""

    description: str
    is_alive_here: bool | None
    """Whether the process lives; None where it is on another machine."""
    seen_at: float | None
    """Seconds since 1970 when it last renewed the lease, by its own clock."""

    def seems_alive(self, now: float) -> bool:
        """Tell whether it works, as far as can be known from here."""
        if self.is_alive_here is not None:
            return self.is_alive_here
        return self.seen_at is not None and abs(now - self.seen_at) < _SEEN_S


def read_holder(storage: Storage) -> Holder | None:
    """Return who holds the lease of an output, if anybody does."""
    found = _read(storage)
    if found is None:
        return None
    holder = found[0]
    return Holder(_describe_holder(holder), _is_alive_here(holder) if _is_here(holder) else None, holder.get("seen_at"))


class LeaseLost(RunStopped):
    """Another driver took the run over, or this one could not renew its lease in time."""


class Lease:
    """The right to write into one output; renewed by a thread of its own until it is released.

    Pickles: a copy in another process has no thread and asks the store whether the lease still stands.
    """

    def __init__(self, storage: Storage, owner: dict[str, Any], timeout_s: float, etag: str | None) -> None:
        self.owner = owner
        self._storage = storage
        self._timeout_s = timeout_s
        self._etag = etag
        self._heartbeat = 0
        self._lost: str | None = None
        self._confirmed_at = time.monotonic() if etag is not None else float("-inf")
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __reduce__(self) -> tuple[type[Lease], tuple[Storage, dict[str, Any], float, None]]:
        return (Lease, (self._storage, self.owner, self._timeout_s, None))

    @classmethod
    def acquire(cls, storage: Storage, timeout_s: float = 30.0) -> Lease:
        """Become the driver of an output.

        Waits up to `timeout_s` where there is a lease whose owner cannot be asked whether it lives: one whose
        heartbeat stands still for so long, on this machine's own clock, is taken over. A process of this host that is
        dead is taken over at once.

        Raises:
            ConfigError: another driver is alive.
        """
        owner = {**_describe_process(), "token": uuid.uuid4().hex, "epoch": 1, "started_at": time.time()}
        deadline = time.monotonic() + timeout_s
        seen: tuple[str, int] | None = None
        while True:
            found = _read(storage)
            if found is None:
                with suppress(ObjectExists):
                    return cls._take(storage, owner, timeout_s, {"if_absent": True})
                continue
            holder, etag = found
            mark = (str(holder.get("token")), int(holder.get("heartbeat", 0)))
            if _is_dead_here(holder) or (mark == seen and time.monotonic() >= deadline):
                logger.warning("taking over the lease of %s", _describe_holder(holder))
                with suppress(PreconditionFailed):
                    return cls._take(
                        storage, owner | {"epoch": int(holder.get("epoch", 0)) + 1}, timeout_s, {"if_match": etag}
                    )
                continue
            if _is_alive_here(holder) or (seen is not None and mark != seen):
                raise ConfigError(
                    f"{storage.uri}: another driver is at work: {_describe_holder(holder)}; wait for its end, stop it, "
                    "or choose another output"
                )
            seen = mark
            time.sleep(min(1.0, timeout_s / 10))

    @staticmethod
    def refuse_if_held(storage: Storage) -> None:
        """Raise `ConfigError` if a process of this host that is alive drives an output; of others nothing is known."""
        found = _read(storage)
        if found is not None and _is_alive_here(found[0]):
            raise ConfigError(
                f"{storage.uri}: another driver is at work: {_describe_holder(found[0])}; wait for its end"
            )

    @classmethod
    def _take(cls, storage: Storage, owner: dict[str, Any], timeout_s: float, condition: dict[str, Any]) -> Lease:
        etag = storage.put(LEASE_PATH, _to_bytes(owner, 0), **condition)
        lease = cls(storage, owner, timeout_s, etag)
        lease.check_now()
        _held.add(owner["token"])
        lease._thread = threading.Thread(target=lease._keep, name="lease", daemon=True)
        lease._thread.start()
        return lease

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def renew(self) -> None:
        """Show that this driver lives. Raises `LeaseLost` where another one has taken over."""
        with self._lock:
            self._fail_if_lost()
            if self._etag is None:
                raise RuntimeError("only the process that acquired the lease renews it")
            self.check_now()  # The put alone would do, were there no stores that ignore its condition.
            asked_at = time.monotonic()
            try:
                self._etag = self._storage.put(
                    LEASE_PATH, _to_bytes(self.owner, self._heartbeat + 1), if_match=self._etag
                )
            except PreconditionFailed:
                self._lose()
            self._heartbeat += 1
            self._confirmed_at = asked_at

    def renew_if_due(self) -> None:
        """Raise `LeaseLost` if the lease is lost; cheap, as the thread does the renewing."""
        self._fail_if_lost()
        if self._thread is not None and time.monotonic() - self._confirmed_at > self._timeout_s:
            # The thread is stuck or the store is away: someone else may have begun.
            self.renew()

    def check(self) -> None:
        """Raise `LeaseLost` unless this driver may write; asks the store where the last answer is too old."""
        self._fail_if_lost()
        if time.monotonic() - self._confirmed_at > self._timeout_s / 3:
            self.check_now()

    def check_now(self) -> None:
        """Ask the store who holds the lease; raises `LeaseLost` if it is another, or nobody."""
        asked_at = time.monotonic()
        found = _read(self._storage)
        if found is None or found[0].get("token") != self.owner["token"]:
            self._lose()
        self._confirmed_at = asked_at

    def release(self) -> None:
        """Let the next driver begin at once; no error where the lease is lost already."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        _held.discard(self.owner["token"])
        with suppress(StorageError, LeaseLost), self._lock:
            self._fail_if_lost()
            self.check_now()
            self._storage.delete(LEASE_PATH)

    def _keep(self) -> None:
        while not self._stop.wait(self._timeout_s / 4):
            try:
                self.renew()
            except LeaseLost:
                return
            except StorageError as error:
                logger.warning("the lease could not be renewed: %s", error)

    def _lose(self) -> None:
        found = None
        with suppress(StorageError):
            found = _read(self._storage)
        if found:
            problem = f"now held by {_describe_holder(found[0])}"
            outcome = "what is committed is safe, and the driver that holds the lease goes on with the rest"
        else:
            problem = f"as {LEASE_PATH} is gone: somebody moved, renamed or deleted the output, or that file alone"
            outcome = "put the output back where it was"
        self._lost = f"{self._storage.uri}: this driver lost its lease, {problem}; {outcome}"
        self._fail_if_lost()

    def _fail_if_lost(self) -> None:
        if self._lost is not None:
            raise LeaseLost(self._lost)


def _read(storage: Storage) -> tuple[dict[str, Any], str] | None:
    try:
        data, etag = storage.get_with_etag(LEASE_PATH)
    except FileNotFoundError:
        return None
    try:
        holder = json.loads(data)
    except (ValueError, RecursionError):
        holder = None
    return (holder if _is_lease(holder) else {}), etag


def _is_lease(holder: Any) -> bool:
    """Tell whether a lease's numbers are numbers; one that somebody edited has an owner that gave no name."""
    if not isinstance(holder, dict) or (holder.get("boot") and "pid" not in holder):
        return False
    numbers = [holder.get(name, 0) for name in ("pid", "epoch", "heartbeat", "started_at", "seen_at")]
    return all(isinstance(number, int | float) and 0 <= number < 1e11 for number in numbers)


def _to_bytes(owner: dict[str, Any], heartbeat: int) -> bytes:
    return json.dumps({**owner, "heartbeat": heartbeat, "seen_at": time.time()}, indent=1).encode()


def _describe_process() -> dict[str, Any]:
    """Return what tells this process apart from any other, on this host and before a reboot."""
    return {"host": platform.node(), "boot": _boot_id(), "pid": os.getpid(), "pid_started": _process_start(os.getpid())}


def _boot_id() -> str:
    """Name this boot and process namespace: equal only where a process id means the same process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """Return when a process began, in ticks since boot, or nothing where there is no such process."""
    try:
        # The name in parentheses may hold spaces; the start is the 22nd field, the 20th after it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def _is_here(holder: dict[str, Any]) -> bool:
    return bool(holder.get("boot")) and holder["boot"] == _boot_id() and holder.get("host") == platform.node()


def _is_alive_here(holder: dict[str, Any]) -> bool:
    if not _is_here(holder) or _process_start(int(holder["pid"])) != holder.get("pid_started"):
        return False
    return holder["pid"] != os.getpid() or holder.get("token") in _held


def _is_dead_here(holder: dict[str, Any]) -> bool:
    return _is_here(holder) and not _is_alive_here(holder)


def _describe_holder(holder: dict[str, Any]) -> str:
    if "pid" not in holder:
        return "an owner that gave no name"
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(holder.get("started_at", 0))))
    return f"process {holder['pid']} on {holder.get('host')} since {since}, epoch {holder.get('epoch')}"
