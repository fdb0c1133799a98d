"""What a take depends on beside its text, voice, seed, weights and settings: the process that makes it.

Equal bytes are promised in equal environments. Every replica describes its own, the output keeps them, and a replica
in another one is reported or refused (`replicas.on_mismatch`).
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

_VERSIONS = {
    "llm": ("torch", "tokenizers", "numpy", "num2words", "cn2an", "regex", "lingua-language-detector"),
    "codec": ("torch", "numpy"),
    "writer": ("numpy", "soxr"),
}
# What they compile is part of the networks, on a CPU and on a GPU.
_COMPILERS: dict[bool, dict[str, tuple[str, ...]]] = {
    False: {"codec": ("numba", "llvmlite")},
    True: {"llm": ("triton",), "codec": ("triton",)},
}
_ARITHMETIC = {
    False: {"llm": 4, "codec": 3, "writer": 1},
    True: {"llm": 6, "codec": 4},
}
"""Of our own code, by stage, on CPUs and on GPUs: whoever changes a take's bits, be it the last ones only, or how texts
are read, raises the number."""


def describe_environment(stage: str, dtype: str, num_threads: int, gpu: str | None = None) -> dict[str, Any]:
    """Return what must be equal for equal bytes, as JSON can hold it.

    Args:
        stage: llm, codec or writer.
        dtype: of the network's arithmetic.
        num_threads: of torch; sums may be cut into as many parts.
        gpu: its model, as torch gives it; None where the network runs on the CPU.
    """
    on_gpu = gpu is not None
    return {
        "hardware": gpu or _name_cpu(),
        "dtype": dtype,
        "threads": num_threads,
        "arithmetic": _ARITHMETIC[on_gpu].get(stage, 1),
        **{name: version(name) for name in (*_VERSIONS.get(stage, ()), *_COMPILERS[on_gpu].get(stage, ()))},
    }


def _name_cpu() -> str:
    """Return the model as Linux gives it, since libraries choose their code by it; elsewhere the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = sorted({line.partition(":")[2].strip() for line in lines if line.startswith("model name")})
    return ", ".join(models) or platform.processor() or platform.machine()
