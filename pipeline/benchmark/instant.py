"""Networks that answer at once, so that a whole run costs what is around them and nothing else.

Every process of a run imports this, those without a network, too: torch is imported where it is used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.cluster.replica import Networks
from pipeline.config.run import Config
from pipeline.llm.prompt import SpeechVocabulary

NUM_FRAMES = 25
"""Of every answer: half a second, so that reading, checking and writing audio are in the measure."""
_SAMPLES_PER_FRAME = 320
_CODEBOOK_SIZE = 8_192

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.codec import DecodedItem
    from pipeline.llm import Generation, Request


class InstantEngine:
    """Answers every request in its first step; knows the real vocabulary, so that prompts are built as ever."""

    def __init__(self, vocabulary: SpeechVocabulary, num_slots: int) -> None:
        import torch

        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.vocabulary = vocabulary
        self.num_slots = num_slots
        self._waiting: deque[Request] = deque()

    @property
    def num_active(self) -> int:
        """Slots in use."""
        return min(len(self._waiting), self.num_slots)

    def add(self, request: Request) -> None:
        """Queue a request."""
        self._waiting.append(request)

    def step(self) -> list[Generation]:
        """Return an answer for as many requests as there are slots."""
        return [self._answer(self._waiting.popleft()) for _ in range(self.num_active)]

    def _answer(self, request: Request) -> Generation:
        from pipeline.llm import Generation

        tokens = np.full(NUM_FRAMES, request.seed % _CODEBOOK_SIZE, np.int64)
        return Generation(request.request_id, tokens, None, None, None, hit_length_cap=False, num_steps=1)


class InstantCodec:
    """Returns a tone whose loudness follows from the tokens."""

    sample_rate = 16_000
    num_global_tokens = 32
    global_codebook_size = 4_096

    def __init__(self) -> None:
        import torch

        self.device, self.dtype = torch.device("cpu"), torch.float32
        self._tone_S = torch.sin(torch.arange(NUM_FRAMES * _SAMPLES_PER_FRAME) * 0.05)

    def prepare_decoding(self) -> None:
        """Load nothing."""

    def decode_each(self, semantic_tokens: Sequence[Tensor], global_tokens: Tensor) -> Iterator[DecodedItem]:
        """Yield (num_frames * 320,) for each item; the arguments are those of the real one."""
        from pipeline.codec import DecodedItem

        for index, tokens in enumerate(semantic_tokens):
            yield DecodedItem(index, self._tone_S * (0.1 + 0.5 * float(tokens[0]) / _CODEBOOK_SIZE))


def _make_engine(config: Config, weights_dir: Path) -> InstantEngine:
    return InstantEngine(
        SpeechVocabulary.load(weights_dir / "LLM"), 32 if config.llm.slots == "auto" else config.llm.slots
    )


def _make_codec(config: Config, weights_dir: Path) -> InstantCodec:
    return InstantCodec()


INSTANT_NETWORKS = Networks(_make_engine, _make_codec)
