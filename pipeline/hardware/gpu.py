"""What both networks ask of a GPU: whether it can be used, graphs that replay a computation, failures of the device.

Knows nothing of what is computed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import ConfigError

_NUM_WARM_UPS = 3
"""Runs before the capture, as torch's documentation asks: libraries choose and compile their kernels in them."""

Record = Callable[[Callable[[], None], torch.device], Callable[[], None]]
"""The type of `record`, for those who let tests put another one in its place."""


def find_device(setting: str, wish: str, num_gpus: float) -> torch.device:
    """Return the device that a setting means on this machine, once it is sure that it can be used.

    Args:
        setting: its name, for messages.
        wish: `auto` (a GPU if there is one, else the CPU) or what torch calls a device.
        num_gpus: that are reserved for this process; `auto` never means the CPU where there are any.

    Raises:
        ConfigError: torch cannot use the GPU that is asked for or reserved, or its kernels cannot be compiled here.
    """
    problem = find_gpu_problem()
    if wish == "auto" and problem is not None and num_gpus > 0:
        raise ConfigError(
            f"{setting}: auto: {num_gpus:g} GPUs are reserved for this process (num_gpus), which cannot use any: "
            f"{problem}; or reserve none to compute on the CPU (replicas.llm.num_gpus and replicas.codec.num_gpus: 0)"
        )
    device = torch.device(wish if wish != "auto" else "cpu" if problem is not None else "cuda")
    if device.type != "cuda":
        return device
    if problem is not None:
        raise ConfigError(f"{setting}: {wish}: {problem}; or compute on the CPU with `{setting}: cpu`")
    if device.index is not None and device.index >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"{setting}: {wish}: this process sees {count} GPU(s), numbered from 0; name one of them")
    _check_kernels(setting, wish)
    return device


def find_gpu_problem() -> str | None:
    """Return why torch can use no GPU in this process and what to do about it, or None if it can use one."""
    if torch.cuda.is_available():
        return None
    problem = find_build_problem()
    if problem is not None:
        return problem
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides all GPUs from this process; unset it, or let Ray reserve a GPU (num_gpus)"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        return f"{reason[:400].rstrip('.')}; `nvidia-smi` shows what the driver sees"
    return "torch sees no GPU; `nvidia-smi` shows what the driver sees"


def find_build_problem() -> str | None:
    """Return why this installation's torch can use no GPU, whatever the machine has, and what to do; else None."""
    if torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return None
    release = torch.__version__.partition("+")[0]
    return (
        f"torch {torch.__version__} is a build for CPUs; install the build for NVIDIA GPUs: `uv pip install "
        f"--reinstall --torch-backend auto torch=={release}`, or on Linux `pip install --force-reinstall "
        f"torch=={release}` from the public index"
    )


def _check_kernels(setting: str, wish: str) -> None:
    """Raise if Triton, which compiles the GPU's kernels, cannot start here."""
    try:
        import triton
    except ImportError as error:
        raise ConfigError(
            f"{setting}: {wish}: the GPU's kernels need Triton, which comes with torch's build for NVIDIA GPUs and "
            f"cannot be opened ({error}); install torch again: `pip install --force-reinstall torch=="
            f"{torch.__version__.partition('+')[0]}`"
        ) from error
    if os.environ.get("TRITON_INTERPRET") == "1":
        return
    try:
        triton.runtime.driver.active.get_current_target()
    except (RuntimeError, AssertionError, OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(
            f"{setting}: {wish}: Triton cannot start ({' '.join(str(error).split())[:300]}); at its first start on a "
            f"machine it compiles a little C, for which {find_compiler_problem() or 'everything seems to be there'}"
        ) from error


def find_compiler_problem() -> str | None:
    """Return what is missing for Triton's first start and how to get it, or None."""
    missing = []
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        missing.append("no C compiler is there: `apt-get install gcc`, or name one in CC")
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not headers.is_file():
        missing.append(f"Python's headers are missing ({headers}): `apt-get install python3-dev`")
    return "; ".join(missing) or None


_CONTEXT_BYTES = 1 << 29
"""What a process takes of a card beside torch's tensors: the driver's context and loaded kernels; about half a GiB."""


def limit_memory(device: torch.device, share: float) -> None:
    """Keep this process's tensors within its share of a card that it has with others.

    cuDNN chooses an algorithm that it finds memory for, and with it the last bits of a result: they must not follow
    from how much the others have taken so far.

    Args:
        device: the card; nothing is done on a CPU.
        share: of its memory; 1 or more, or 0 where none was reserved, is no limit.
    """
    if device.type != "cuda" or not 0.0 < share < 1.0:
        return
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(max(share - _CONTEXT_BYTES / total, share / 2), device)


def record(run: Callable[[], None], device: torch.device, *, is_urgent: bool = False) -> Callable[[], None]:
    """Return a call that does again what `run` does: on CUDA the replay of a graph, elsewhere `run` itself.

    Args:
        run: asks the host nothing, and touches only tensors that stay where they are. It is run some times here. A
            tensor that its last run made stays, too: each replay fills it anew.
        device: where it computes.
        is_urgent: its kernels go before those of other streams, whatever stream it is replayed on.
    """
    if device.type != "cuda":
        return run
    with on_device(device), torch.no_grad():
        # Kernels keep the priority of the stream that they were captured on.
        stream = _make_stream(device, is_urgent=is_urgent)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_NUM_WARM_UPS):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads of the process may use the card meanwhile.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            run()
    return graph.replay


def use_own_stream(device: torch.device, *, is_urgent: bool = False) -> None:
    """Give the calling thread a stream of its own for good: what others ask of the card need not wait for it.

    Args:
        device: the card; nothing is done on a CPU.
        is_urgent: its kernels go before those of other streams.
    """
    if device.type != "cuda":
        return
    # What was loaded was loaded on the stream that all threads share.
    torch.cuda.synchronize(device)
    torch.cuda.set_stream(_make_stream(device, is_urgent=is_urgent))


def _make_stream(device: torch.device, *, is_urgent: bool) -> torch.cuda.Stream:
    return torch.cuda.Stream(device, priority=-1 if is_urgent else 0)  # type: ignore[no-untyped-call]


def on_device(device: torch.device) -> AbstractContextManager[Any]:
    """Make the device torch's current one: streams, graphs and Triton look at nothing else."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


_DEVICE_FAILURE = re.compile(r"CUDA|cuDNN|cuBLAS|CUDNN_STATUS|CUBLAS_STATUS|device-side assert", re.IGNORECASE)


def is_device_failure(error: BaseException) -> bool:
    """Tell whether a failure leaves the process without a device, or short of memory: nothing after it can be trusted.

    A CUDA error stays with its process for good. Libraries raise it as they like, so that its text is looked at, too.
    """
    if isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and _DEVICE_FAILURE.search(str(error)):
        return True
    return error.__cause__ is not None and is_device_failure(error.__cause__)
