"""What this process and those that it started use while something runs, as Linux shows in /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_MIB = 2**20


@dataclass(frozen=True)
class Usage:
    """One process at one moment."""

    title: str
    """Its command line's first word; Ray's actors name their class there."""
    cpu_s: float
    """User and system time since it began."""
    rss_mib: float
    num_threads: int
    num_files: int


def read_usage(pid: int) -> Usage | None:
    """Return what a process uses, or None where it has ended."""
    folder = Path(f"/proc/{pid}")
    try:
        # The name in parentheses may hold spaces; what follows it is counted from field 3 on.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode("utf-8", "replace")
        num_files = len(os.listdir(folder / "fd"))
    except OSError:
        return None
    ticks, page_mib = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE") / _MIB
    cpu_s = (int(fields[11]) + int(fields[12])) / ticks
    return Usage(title, cpu_s, int(fields[21]) * page_mib, int(fields[17]), num_files)


def list_tree(root: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


class ProcessWatch:
    """Samples this process and its descendants in a thread while a `with` block runs.

    Args:
        interval_s: between samples.
        count_objects: asked at every sample; what it counts is compared with growth, too.
    """

    def __init__(self, interval_s: float = 0.5, count_objects: Callable[[], int] = lambda: 0) -> None:
        self._interval_s = interval_s
        self._count_objects = count_objects
        self._began: dict[int, float] = {}
        self._last: dict[int, Usage] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="process-watch", daemon=True)
        self.samples: list[tuple[float, dict[int, Usage], int]] = []
        """Monotonic seconds, usage of this process and of Ray's actors, number of objects."""

    def __enter__(self) -> ProcessWatch:
        found = ((pid, read_usage(pid)) for pid in list_tree(os.getpid()))
        self._began = {pid: usage.cpu_s for pid, usage in found if usage is not None}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    @property
    def cpu_s(self) -> float:
        """CPU time of all processes within the block; of one that ended, up to its last sample."""
        return sum(usage.cpu_s - self._began.get(pid, 0.0) for pid, usage in self._last.items())

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._sample()

    def _sample(self) -> None:
        found = {pid: usage for pid in list_tree(os.getpid()) if (usage := read_usage(pid)) is not None}
        self._last |= found
        # Of the others only the CPU time is asked for: what is kept here must not look like growth of the driver.
        kept = {pid: usage for pid, usage in found.items() if pid == os.getpid() or "Actor" in usage.title}
        self.samples.append((time.monotonic(), kept, self._count_objects()))
