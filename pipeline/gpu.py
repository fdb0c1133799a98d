"""What both networks ask of a GPU: graphs that replay a fixed computation, and which failures end a process.

Knows nothing of what is computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

_NUM_WARM_UPS = 3
"""Runs before the capture, as torch's documentation asks: libraries choose and compile their kernels in them."""

Record = Callable[[Callable[[], None], torch.device], Callable[[], None]]
"""The type of `record`, for those who let tests put another one in its place."""


def record(run: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return a call that does again what `run` does: on CUDA the replay of a graph, elsewhere `run` itself.

    Args:
        run: asks the host nothing, and touches only tensors that stay where they are. It is run some times here. A
            tensor that its last run made stays, too: each replay fills it anew.
        device: where it computes.
    """
    if device.type != "cuda":
        return run
    with on_device(device), torch.no_grad():
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_NUM_WARM_UPS):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads of the process may use the card meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            run()
    return graph.replay


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
