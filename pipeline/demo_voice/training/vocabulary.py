"""The demo's tokenizer: bytes without merges, and the control tokens of the Spark-TTS prompt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.demo_voice.training.phonetic_tokens import CODEBOOK_SIZE
from pipeline.weights.random_weights import FAMILIES, describe_tokenizer, number_tokens


class Vocabulary:
    """Ids of everything that a prompt or an answer may hold."""

    def __init__(self) -> None:
        self.bytes, self.ids = number_tokens({**FAMILIES, "bicodec_semantic": CODEBOOK_SIZE})

    @property
    def size(self) -> int:
        """Rows of the embedding, a multiple of 64."""
        return -(-(len(self.bytes) + len(self.ids)) // 64) * 64

    def tokenizer_json(self) -> dict[str, Any]:
        """Return the content of tokenizer.json."""
        return describe_tokenizer(self.bytes, self.ids)

    def __getitem__(self, name: str) -> int:
        """Return the id of `<|name|>`."""
        return self.ids[f"<|{name}|>"]

    def family(self, name: str, count: int | None = None) -> range:
        """Return the ids of a numbered family."""
        start = self.ids[f"<|{name}_0|>"]
        size = count if count is not None else sum(key.startswith(f"<|{name}_") for key in self.ids)
        return range(start, start + size)

    @cached_property
    def _byte_ids(self) -> NDArray[np.int64]:
        # The printable stand-in of each byte, in the order of the bytes, as byte-level BPE defines it.
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        stand_in = {byte: chr(byte) for byte in printable}
        others = [byte for byte in range(256) if byte not in stand_in]
        stand_in |= {byte: chr(256 + index) for index, byte in enumerate(others)}
        return np.array([self.bytes[stand_in[byte]] for byte in range(256)])

    def encode_text(self, text: str) -> NDArray[np.int64]:
        """Return an id for each byte."""
        return self._byte_ids[list(text.encode())]

    def encode_globals(self, tokens: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ids of global tokens."""
        return np.asarray(tokens) + self["bicodec_global_0"]
