"""The language model: prompts in, semantic tokens out, for a fixed number of sequences at a time.

`prompt.py` writes prompts and says what answers look like. `engine.py` is the interface: it queues requests and hands
out slots (`scheduler.py`), and has a runner move the sequences on: `eager_runner.py` with `qwen2.py` on CPUs,
`graphed_runner.py` with `fused_qwen2.py` and `kernels.py` on GPUs. May import `packed_linear`, `gpu` and `errors`; of
a run, its settings, audio or Ray it knows nothing.

The names are imported when they are first used: who writes prompts or names voices loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.llm.engine import LLMEngine
    from pipeline.llm.requests import Generation, Request
    from pipeline.llm.sampling import SamplingParams

_HOMES = {"Generation": "requests", "LLMEngine": "engine", "Request": "requests", "SamplingParams": "sampling"}
__all__ = ["Generation", "LLMEngine", "Request", "SamplingParams"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
