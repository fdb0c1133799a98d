"""The clock of the GPU's benchmark, which waits for the card, and torch's profiler by kinds of kernels."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from pipeline.benchmark.gpu.workload import GpuWorkload


def time_s(run: Callable[[], Any], load: GpuWorkload) -> float:
    """Return the seconds of a call, with all that the card had to do for it."""
    _settle(load)
    begin = time.perf_counter()
    run()
    _settle(load)
    return time.perf_counter() - begin


def median_s(run: Callable[[], Any], load: GpuWorkload, *, num_tries: int = 20) -> float:
    """Return the median time of a call, in seconds, after one that is not counted."""
    run()
    return statistics.median(time_s(run, load) for _ in range(num_tries if load.is_on_gpu else 1))


def _settle(load: GpuWorkload) -> None:
    if load.is_on_gpu:
        torch.cuda.synchronize()


def share_kernels(run: Callable[[], Any], load: GpuWorkload) -> dict[str, float]:
    """Return the device's time for each kind of kernel in one call, in ms; by torch's own profiler."""
    if not load.is_on_gpu:
        return {}
    from torch.profiler import ProfilerActivity, profile

    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as record:
        run()
        torch.cuda.synchronize()
    kinds = {
        "attention": ("_attend",),
        "sampling": ("_sample",),
        "convolutions": ("_convolve", "conv", "fprop", "implicit"),
        "products": ("_gated_product", "gemm", "nvjet", "cutlass", "xmma", "splitK", "cublas"),
        "copies": ("Memcpy", "Memset"),
    }
    shares = dict.fromkeys([*kinds, "elementwise"], 0.0)
    for event in record.key_averages():
        kind = next((kind for kind, names in kinds.items() if any(name in event.key for name in names)), "elementwise")
        shares[kind] += event.self_device_time_total / 1e3
    return {f"{kind}, ms": time_ms for kind, time_ms in shares.items() if time_ms}
