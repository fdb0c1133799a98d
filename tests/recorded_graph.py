"""A CUDA graph on the CPU: what was computed once is computed again in the same memory, and nothing else.

A replay takes the tensors of the recording, wherever the program's names point by now, and writes where the recording
wrote. So what a graph would get wrong on a card, a tensor that was replaced or a number that has changed since, comes
out wrong here, too; and what a capture refuses, a question to the host, is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_ASKS_THE_HOST = {"aten._local_scalar_dense", "aten.nonzero", "aten.lift_fresh", "aten.equal"}


class RecordedGraph(TorchDispatchMode):
    """What `pipeline.hardware.gpu.record` makes on a card.

    Attributes:
        threads: those that have replayed it.
    """

    def __init__(self, run: Callable[[], None], device: torch.device) -> None:
        super().__init__()
        run()  # As the warm-ups do.
        self.threads: set[int] = set()
        self._calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []
        self._is_in_kernel = False
        from triton.runtime.interpreter import InterpretedFunction

        launch = InterpretedFunction.run

        def note(kernel: Any, *args: Any, **options: Any) -> None:
            self._calls.append((launch, (kernel, *args), options, None))
            self._is_in_kernel = True
            launch(kernel, *args, **options)
            self._is_in_kernel = False

        with patch.object(InterpretedFunction, "run", note), self:
            run()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if str(func.overloadpacket) in _ASKS_THE_HOST and not self._is_in_kernel:
            raise RuntimeError(f"{func} asks the host, which no graph can")
        result = func(*args, **(kwargs or {}))
        if not self._is_in_kernel:
            self._calls.append((func, args, kwargs or {}, result))
        return result

    def __call__(self) -> None:
        """Replay."""
        self.threads.add(threading.get_ident())
        for call, args, kwargs, recorded in self._calls:
            result = call(*args, **kwargs)
            for old, new in zip(tree_leaves(recorded), tree_leaves(result), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)
