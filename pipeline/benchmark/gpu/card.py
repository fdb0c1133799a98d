"""What the card does at most: its ceilings, and how many slots it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from pipeline.benchmark.gpu.clock import median_s
from pipeline.benchmark.gpu.verdict import PartResult
from pipeline.benchmark.gpu.workload import GpuWorkload
from pipeline.benchmark.machine import describe_machine
from pipeline.synthesis.load_networks import count_slots

_STEP_SLOTS = (64, 256, 1_024, 2_048)


@dataclass(frozen=True)
class Ceilings:
    """What the card does at most, measured: reads and writes, and products in each arithmetic."""

    copy_gb_s: float
    tflops: dict[str, float] = field(default_factory=dict)
    """By arithmetic: bfloat16, tf32, float32."""


def measure_machine(load: GpuWorkload) -> tuple[PartResult, Ceilings, list[int]]:
    """Return the machine, its ceilings, and the numbers of slots that a step is measured with."""
    numbers: dict[str, Any] = describe_machine(torch.get_num_threads(), "wall")
    slots = list(load.slots or (8,))
    if load.is_on_gpu:
        free, total = torch.cuda.mem_get_info()
        numbers |= {"memory, GiB": total / 2**30, "free, GiB": free / 2**30}
        numbers |= {"cuDNN": torch.backends.cudnn.version(), "CUDA": torch.version.cuda}  # type: ignore[no-untyped-call]
        if not load.slots:
            most = count_slots(load.sizes_dir, free, torch.bfloat16, load.max_context)
            slots = sorted({min(number, most) for number in _STEP_SLOTS})
    ceilings = _measure_ceilings(load)
    numbers |= {"slots": slots, "copy, GB/s": ceilings.copy_gb_s}
    numbers |= {f"{name}, TFLOP/s": rate for name, rate in ceilings.tflops.items()}
    return PartResult(numbers), ceilings, slots


def _measure_ceilings(load: GpuWorkload) -> Ceilings:
    size = (1 << 30, 8_192) if load.is_on_gpu else (1 << 20, 128)
    source = torch.randn(size[0], device=load.device)
    target = torch.empty_like(source)
    copy_s = median_s(lambda: target.copy_(source), load)
    rates = {}
    allowed = torch.backends.cuda.matmul.allow_tf32
    for name, dtype in (("bfloat16", torch.bfloat16), ("tf32", torch.float32), ("float32", torch.float32)):
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        left, right = (torch.randn(size[1], size[1], device=load.device).to(dtype) for _ in range(2))
        seconds = median_s(lambda left=left, right=right: left @ right, load)  # type: ignore[misc]
        rates[name] = 2 * size[1] ** 3 / seconds / 1e12
    torch.backends.cuda.matmul.allow_tf32 = allowed
    return Ceilings(2 * 4 * size[0] / copy_s / 1e9, rates)
