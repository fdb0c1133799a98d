"""What an engine is asked, what it answers, and the bookkeeping of answers under way that both runners share.

Legend of shape suffixes: S rows, R those of them that a step runs, H hidden, V head rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.llm.prompt import AnswerGrammar, Family, SpeechVocabulary
from pipeline.llm.qwen2 import Qwen2
from pipeline.llm.sampling import SamplingParams, draw, find_candidates


@dataclass(frozen=True)
class Request:
    """One sequence to generate.

    Args:
        request_id: comes back with the answer; no two requests under way share one.
        prompt_ids: token ids of the prompt.
        grammar: what the answer looks like.
        seed: 64 bits; taken modulo 2**64.
        max_semantic_tokens: the answer ends here if it has not ended before.
    """

    request_id: Hashable
    prompt_ids: Sequence[int]
    grammar: AnswerGrammar
    seed: int
    max_semantic_tokens: int


@dataclass(frozen=True)
class Generation:
    """One finished answer.

    Args:
        request_id: of its request.
        semantic_tokens: (num_frames,) numbers in [0, 8192); empty if the answer stopped at once.
        global_tokens: (32,) numbers in [0, 4096) of a voice created by this answer, else None.
        pitch_value: mel, of a created voice.
        speed_value: syllables a second, of a created voice.
        hit_length_cap: it had to be ended, so that speech is missing.
        num_steps: engine steps it took.
    """

    request_id: Hashable
    semantic_tokens: NDArray[np.int64]
    global_tokens: NDArray[np.int64] | None
    pitch_value: int | None
    speed_value: int | None
    hit_length_cap: bool
    num_steps: int


@dataclass
class AdmittedRequest:
    """A request and what is known of its answer."""

    request: Request
    prefix: tuple[int, ...]
    """Prompt and the forced tokens that open the answer: all that is known before the first step."""
    opening: deque[int | Family]
    """What is left of the opening, one entry a step; empty once the sequence speaks."""
    first_semantic: int
    """Position of the first semantic token."""
    numbers: dict[Family, list[int]] = field(default_factory=dict)
    """What was chosen in the opening."""

    @classmethod
    def admit(cls, request: Request, vocab_size: int, max_context: int) -> AdmittedRequest:
        """Check a request against the network that is to answer it.

        Raises:
            ValueError: its prompt holds an unknown id, or prompt and longest answer do not fit the context.
        """
        prompt_ids = tuple(int(token_id) for token_id in request.prompt_ids)
        steps = request.grammar.steps
        num_forced = next((i for i, step in enumerate(steps) if isinstance(step, Family)), len(steps))
        prefix = (*prompt_ids, *(int(step) for step in steps[:num_forced]))
        sequence = cls(request, prefix, deque(steps[num_forced:]), len(prompt_ids) + len(steps))
        if not prompt_ids or min(prefix) < 0 or max(prefix) >= vocab_size:
            raise ValueError(
                f"request {request.request_id!r}: expected a prompt of ids in [0, {vocab_size}); build it with the "
                "vocabulary of the same weights"
            )
        if request.max_semantic_tokens < 1:
            raise ValueError(
                f"request {request.request_id!r}: max_semantic_tokens is {request.max_semantic_tokens}; expected 1 or "
                "more"
            )
        needed = sequence.last_position
        if needed > max_context:
            raise ValueError(
                f"request {request.request_id!r}: a prompt of {len(prompt_ids)} tokens and an answer of up to "
                f"{request.max_semantic_tokens} semantic ones need {needed} positions; expected at most max_context "
                f"{max_context}; shorten the text or raise llm.max_context"
            )
        return sequence

    @property
    def last_position(self) -> int:
        """Position of the last token that the answer may have."""
        return self.first_semantic + self.request.max_semantic_tokens - 1

    def finish(self, columns: NDArray[np.int64], num_semantic: int) -> Generation:
        """Return the answer.

        Args:
            columns: what was drawn since the first semantic token; from `num_semantic` on, they are stops.
            num_semantic: size of the semantic codebook.
        """
        has_stopped = bool(columns[-1] >= num_semantic)
        global_tokens = self.numbers.get(Family.GLOBAL)
        return Generation(
            request_id=self.request.request_id,
            semantic_tokens=columns[:-1].copy() if has_stopped else columns.copy(),
            global_tokens=None if global_tokens is None else np.array(global_tokens, dtype=np.int64),
            pitch_value=self.numbers.get(Family.PITCH_VALUE, [None])[-1],
            speed_value=self.numbers.get(Family.SPEED_VALUE, [None])[-1],
            hit_length_cap=not has_stopped,
            num_steps=self.first_semantic - len(self.prefix) + len(columns),
        )


class Openings:
    """The sequences in slots that do not speak yet.

    Args:
        model: whose head to use.
        vocabulary: what the ids mean.
        sampling: how tokens are drawn.
    """

    def __init__(self, model: Qwen2, vocabulary: SpeechVocabulary, sampling: SamplingParams) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._sampling = sampling
        self._sequences: dict[int, AdmittedRequest] = {}
        self._heads: dict[Family, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._sequences)

    def add(self, slot: int, sequence: AdmittedRequest) -> None:
        """Take in what came into a slot, if it has an opening."""
        if sequence.opening:
            self._sequences[slot] = sequence

    def remove(self, slot: int) -> None:
        """Forget what sat in a slot."""
        self._sequences.pop(slot, None)

    def move(self, source: int, target: int) -> None:
        """Follow what moved to another slot."""
        if source in self._sequences:
            self._sequences[target] = self._sequences.pop(source)

    def follow(self, token_R: Tensor, hidden_SH: Tensor, uniform_S: Tensor) -> list[int]:
        """Put the tokens of openings in place of what was drawn for their slots.

        Args:
            token_R: ids, changed in place.
            hidden_SH: of all rows, so that the products have their fixed shape.
            uniform_S: float64 in [0, 1).

        Returns:
            the slots whose openings end with this token; from the next one on, a token may end their answers.
        """
        chosen: dict[Family, tuple[Tensor, list[int]]] = {}
        speaking = []
        for slot, sequence in self._sequences.items():
            step = sequence.opening.popleft()
            if isinstance(step, Family):
                if step not in chosen:
                    chosen[step] = self._choose(step, hidden_SH, uniform_S)
                ids_V, numbers = chosen[step]
                sequence.numbers.setdefault(step, []).append(numbers[slot])
                token_R[slot] = ids_V[numbers[slot]]
            else:
                token_R[slot] = step
            if not sequence.opening:
                speaking.append(slot)
        for slot in speaking:
            del self._sequences[slot]
        return speaking

    def _choose(self, family: Family, hidden_SH: Tensor, uniform_S: Tensor) -> tuple[Tensor, list[int]]:
        """Return a family's ids, and the number that is drawn from it for every row."""
        if family not in self._heads:
            ids_V = torch.tensor(self._vocabulary.family_ids(family), device=self._model.device)
            self._heads[family] = (ids_V, self._model.head_rows(ids_V))
        ids_V, head_VH = self._heads[family]
        logits_SV = F.linear(hidden_SH.float(), head_VH)
        return ids_V, draw(find_candidates(logits_SV, self._sampling), uniform_S).tolist()
