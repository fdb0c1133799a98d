"""Where and with what a benchmark ran, how fast this machine multiplies, and the clock that everything is read from."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import ConfigError

GFLOP_PER_TOKEN = 0.74
GFLOP_PER_S_OF_CODEC = 58.0
"""Counted at official sizes: the language model with its head cut to legal rows, and the codec for a second."""


def choose_clock(name: str, num_threads: int) -> Callable[[], float]:
    """Return `wall` or `cpu` time; the latter is not disturbed by other processes.

    Raises:
        ConfigError: CPU time of several threads would count those that wait.
    """
    if name == "cpu" and num_threads != 1:
        raise ConfigError(f"--clock cpu with --threads {num_threads}: waiting threads would count; use --threads 1")
    return time.process_time if name == "cpu" else time.perf_counter


def describe_machine(num_threads: int, clock: str) -> dict[str, Any]:
    """Return hardware and versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return {
        "cpu": ", ".join(sorted(models)) or platform.processor(),
        "features": [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": num_threads,
        "clock": clock,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("torch", "transformers", "numpy")},
    }


def measure_product_rate(clock: Callable[[], float], dtype: torch.dtype, num_tries: int = 10) -> float:
    """Return GFLOP/s of the best product of two 1,024 x 1,024 matrices."""
    left, right = torch.randn(2, 1024, 1024).to(dtype)
    best = float("inf")
    for _ in range(num_tries):
        begin = clock()
        torch.mm(left, right)
        best = min(best, clock() - begin)
    return 2 * 1024**3 / best / 1e9


def counted_seconds(num_frames: int, gflops: float) -> float:
    """Return the time that the counted arithmetic of so many frames needs at this rate."""
    return (num_frames * GFLOP_PER_TOKEN + num_frames / 50 * GFLOP_PER_S_OF_CODEC) / gflops
