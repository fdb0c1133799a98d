"""Continuous batching over a fixed number of slots: prompts of ids in, semantic tokens out.

The engine knows nothing of text, and leaves all that depends on the device to its runner. A sequence's tokens follow
from its prompt, grammar and seed only: rows never mix, each step runs all slots or as many as are known to change no
row's bits, and the random numbers are a function of (seed, step).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch

from pipeline.errors import ConfigError, WeightsError
from pipeline.llm.eager_runner import EagerRunner
from pipeline.llm.prompt import SpeechVocabulary
from pipeline.llm.qwen2 import Qwen2
from pipeline.llm.requests import AdmittedRequest, Generation, Request
from pipeline.llm.sampling import SamplingParams
from pipeline.llm.scheduler import SlotScheduler


class ModelRunner(Protocol):
    """What moves an engine's sequences on: `EagerRunner` on CPUs, `GraphedRunner` on GPUs.

    Attributes:
        slots: the queue, and which sequence sits where.
        vocabulary: what the ids mean.
    """

    slots: SlotScheduler[AdmittedRequest]
    vocabulary: SpeechVocabulary

    @property
    def model(self) -> Qwen2:
        """The network and its cache."""

    def step(self) -> list[Generation]:
        """Let waiting sequences into free slots and give every sequence one more token.

        Returns:
            the answers that were found to have ended, in the order of their slots.
        """

    def clear(self, slot: int) -> None:
        """Forget what sat in a slot."""


class LLMEngine:
    """Generates speech tokens for many prompts at a time.

    Args:
        runner: the network, its slots, and how they are moved on.
    """

    def __init__(self, runner: ModelRunner) -> None:
        self.runner = runner
        self._slots = runner.slots

    @classmethod
    def load(
        cls,
        weights_dir: str | Path,
        *,
        vocabulary: SpeechVocabulary | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        num_slots: int = 32,
        max_context: int = 2_048,
        sampling: SamplingParams | None = None,
        cache_dtype: torch.dtype | None = None,
    ) -> LLMEngine:
        """Load the language model of a model directory, with the runner made for the device.

        Args:
            weights_dir: the model directory, or its `LLM` folder.
            vocabulary: read from the folder if None.
            device: where to compute.
            dtype: float32 or bfloat16.
            num_slots: sequences decoded together; takes are the same only under the same number.
            max_context: tokens of prompt and answer of one sequence.
            sampling: how tokens are drawn; None is the official way.
            cache_dtype: what keys and values are rounded to; None is `dtype`.

        Raises:
            ConfigError: float16, no slot, or a context that the model was not made for.
            WeightsError: a file is missing or does not fit, or the tokenizer has ids that the network has no row for.
        """
        llm_dir = Path(weights_dir)
        if (llm_dir / "LLM").is_dir():
            llm_dir = llm_dir / "LLM"
        if num_slots < 1 or max_context < 1:
            raise ConfigError(f"llm.slots: {num_slots}, llm.max_context: {max_context}; expected at least 1 of each")
        place = torch.device(device)
        network, runner = _choose_classes(place)
        model = network.load(
            llm_dir,
            device=place,
            dtype=dtype,
            num_slots=num_slots,
            max_context=max_context,
            cache_dtype=cache_dtype,
        )
        vocabulary = vocabulary or SpeechVocabulary.load(llm_dir)
        if vocabulary.highest_id >= model.config.vocab_size:
            raise WeightsError(
                f"the tokenizer has ids up to {vocabulary.highest_id}, the network rows up to "
                f"{model.config.vocab_size - 1}; tokenizer.json and model.safetensors must belong together"
            )
        return cls(runner(model, num_slots, vocabulary, sampling or SamplingParams()))

    @property
    def vocabulary(self) -> SpeechVocabulary:
        """What the ids mean."""
        return self.runner.vocabulary

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.runner.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's arithmetic."""
        return self.runner.model.dtype

    @property
    def num_slots(self) -> int:
        """Sequences decoded together."""
        return self._slots.num_slots

    @property
    def max_context(self) -> int:
        """Tokens of prompt and answer that a sequence may have."""
        return self.runner.model.max_context

    @property
    def num_waiting(self) -> int:
        """Requests that have no slot yet."""
        return self._slots.num_waiting

    @property
    def num_active(self) -> int:
        """Requests in slots."""
        return self._slots.num_active

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return self.num_waiting + self.num_active > 0

    def add(self, request: Request) -> None:
        """Put a request into the queue.

        Raises:
            ValueError: its id is in use, its prompt holds an unknown id, or prompt and longest answer do not fit the
                context.
        """
        sequence = AdmittedRequest.admit(request, self.runner.model.config.vocab_size, self.max_context)
        self._slots.add(request.request_id, sequence)

    def cancel(self, request_id: Hashable) -> None:
        """Forget a request.

        Raises:
            KeyError: no such request is under way.
        """
        slot = self._slots.remove(request_id)
        if slot is not None:
            self.runner.clear(slot)

    @torch.inference_mode()
    def step(self) -> list[Generation]:
        """Let waiting requests into free slots and give every sequence one more token.

        Returns:
            the answers that were found to have ended, in the order of their slots.
        """
        return self.runner.step()

    def generate(self, requests: Iterable[Request]) -> Iterator[Generation]:
        """Answer requests, taken in only as slots become free; yields answers as they end.

        Args:
            requests: any number; may be lazy and endless.

        Raises:
            RuntimeError: other requests are under way.
            ValueError: as `add`.
        """
        if self.has_work:
            raise RuntimeError("the engine has requests under way; finish or cancel them before calling generate()")
        source = iter(requests)
        pending: set[Hashable] = set()
        is_exhausted = False
        try:
            while True:
                while not is_exhausted and len(pending) < self.num_slots:
                    request = next(source, None)
                    if request is None:
                        is_exhausted = True
                        break
                    self.add(request)
                    pending.add(request.request_id)
                if not pending:
                    return
                finished = self.step()
                pending.difference_update(generation.request_id for generation in finished)
                yield from finished
        finally:  # The caller may stop listening at any time.
            for request_id in pending:
                self.cancel(request_id)


def _choose_classes(device: torch.device) -> tuple[type[Qwen2], Callable[[Any, int, Any, Any], ModelRunner]]:
    """Return the network and the runner that are made for a device."""
    if device.type != "cuda":
        return Qwen2, EagerRunner
    # Here, as Triton comes with torch for CUDA.
    try:
        from pipeline.llm.fused_qwen2 import FusedQwen2
        from pipeline.llm.graphed_runner import GraphedRunner
    except ImportError as error:
        raise ConfigError(
            f"llm.device: {device}: the GPU's kernels need Triton, which comes with torch's build for NVIDIA GPUs and "
            f"cannot be opened ({error}); install that build, or use `llm.device: cpu`"
        ) from error
    return FusedQwen2, GraphedRunner
