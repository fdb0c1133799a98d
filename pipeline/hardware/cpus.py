"""How many CPUs this process may use: fewer than the machine has in a container, or where it is tied to some."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def count_cpus(cgroup: Path = _CGROUP) -> int:
    """Return the CPUs that are left to this process, at least 1.

    Args:
        cgroup: where Linux says what a container may take.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _read_quota(cgroup)
    return max(1, count if quota is None else min(count, int(quota + 1e-6)))


def _read_quota(cgroup: Path) -> float | None:
    """Return the CPUs that a container may use at a time, by version 2 of cgroups or by version 1; None for all."""
    try:
        if (cgroup / "cpu.max").is_file():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # `max`, or a system that has no such file.
        return None
