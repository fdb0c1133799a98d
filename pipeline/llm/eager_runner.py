"""The runner for CPUs: a prompt at a time, then steps that run as few rows as change no row's bits.

Legend of shape suffixes: S rows (the slots, rounded up by the network), R those of them that a step runs, C positions
of a slot, H hidden, V head rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.hardware.packed_linear import PackedLinear
from pipeline.llm.prompt import SpeechVocabulary
from pipeline.llm.qwen2 import Qwen2
from pipeline.llm.requests import AdmittedRequest, Generation, Openings
from pipeline.llm.sampling import SamplingParams, draw, find_candidates, philox_uniforms
from pipeline.llm.scheduler import SlotScheduler


class EagerRunner:
    """Runs sequences step by step; the host knows every token before the next step begins.

    Args:
        model: the network and its cache, made for this number of slots.
        num_slots: sequences decoded together at most.
        vocabulary: what the ids mean.
        sampling: how tokens are drawn.
    """

    def __init__(self, model: Qwen2, num_slots: int, vocabulary: SpeechVocabulary, sampling: SamplingParams) -> None:
        self.model = model
        self.slots: SlotScheduler[AdmittedRequest] = SlotScheduler(num_slots)
        self.vocabulary = vocabulary
        self._sampling = sampling
        self._openings = Openings(model, vocabulary, sampling)
        self._num_semantic = len(vocabulary.semantic_ids)
        num_rows, max_context, device = model.num_rows, model.max_context, model.device
        self._speech_ids_V = torch.tensor(vocabulary.speech_ids, device=device)
        self._speech_head = PackedLinear(model.head_rows(self._speech_ids_V))
        self._can_shrink = model.can_shrink and self._head_can_shrink()
        self._rows_S = torch.arange(num_rows, device=device)
        self._hidden_SH = torch.zeros((num_rows, model.config.hidden_size), dtype=model.dtype, device=device)
        self._position_S = torch.zeros(num_rows, dtype=torch.int64, device=device)
        self._last_position_S = torch.zeros(num_rows, dtype=torch.int64, device=device)
        self._is_speaking_S = torch.zeros(num_rows, dtype=torch.bool, device=device)
        # One place more than the cache: the last token of an answer is drawn, but never read back.
        self._uniform_SC = torch.zeros((num_rows, max_context + 1), dtype=torch.float64, device=device)
        self._answer_SC = torch.zeros((num_rows, max_context + 1), dtype=torch.int64, device=device)
        # The host's own copy of the positions: which part of the cache is live must be known without asking the device.
        self._positions = np.zeros(num_rows, dtype=np.int64)
        self._is_active = np.zeros(num_rows, dtype=np.int64)

    def step(self) -> list[Generation]:
        """Let waiting sequences into free slots and give every sequence one more token.

        Returns:
            the answers that ended with it, in the order of their slots.
        """
        for slot, sequence in self.slots.allocate():
            self._prefill(slot, sequence)
        if not self.slots.num_active:
            return []
        self._close_gaps()
        num_rows = self._num_rows_to_run()
        hidden_RH, position_R = self._hidden_SH[:num_rows].float(), self._position_S[:num_rows]
        uniform_R = self._uniform_SC[self._rows_S[:num_rows], position_R]
        column_R = self.draw_tokens(hidden_RH, uniform_R)
        token_R = self._speech_ids_V[column_R]
        self._answer_SC[self._rows_S[:num_rows], position_R] = column_R
        is_stop_R = column_R >= self._num_semantic
        is_done_R = self._is_speaking_S[:num_rows] & (is_stop_R | (position_R >= self._last_position_S[:num_rows]))
        if self._openings:
            uniform_S = self._uniform_SC[self._rows_S, self._position_S]
            for slot in self._openings.follow(token_R, self._hidden_SH, uniform_S):
                self._is_speaking_S[slot] = True
        finished = [self._finish(slot) for slot in is_done_R.nonzero().flatten().tolist()]
        if self.slots.num_active:
            num_rows = self._num_rows_to_run()
            num_live = int(self._positions.max()) + 1
            self._hidden_SH[:num_rows] = self.model.decode_step(
                token_R[:num_rows], self._position_S[:num_rows], num_live
            )
            self._positions += self._is_active
            self._position_S += torch.from_numpy(self._is_active).to(self.model.device)
        return finished

    def clear(self, slot: int) -> None:
        """Forget what sat in a slot."""
        self._openings.remove(slot)
        self._is_speaking_S[slot] = False
        self._is_active[slot] = 0
        self._position_S[slot] = self._positions[slot] = 0

    def draw_tokens(self, hidden_RH: Tensor, uniform_R: Tensor) -> Tensor:
        """Draw a semantic token or a stop for each row: (rows,) int64, columns of the legal rows of the head.

        Args:
            hidden_RH: float32.
            uniform_R: float64 in [0, 1).
        """
        return draw(find_candidates(self._speech_head(hidden_RH), self._sampling), uniform_R)

    def _num_rows_to_run(self) -> int:
        return self.model.rows_to_run(self.slots.num_used) if self._can_shrink else self.model.num_rows

    def _head_can_shrink(self) -> bool:
        """Try out whether a row's logits have the same bits however many rows are multiplied."""
        if self.model.shapes.can_shrink is not None:
            return self.model.shapes.can_shrink
        generator = torch.Generator().manual_seed(0)
        rows_SH = torch.randn((self.model.num_rows, self.model.config.hidden_size), generator=generator)
        whole = self._speech_head(rows_SH)
        counts = {self.model.rows_to_run(rows) for rows in range(1, len(rows_SH) + 1)}
        return all(torch.equal(self._speech_head(rows_SH[:count]), whole[:count]) for count in counts)

    def _close_gaps(self) -> None:
        """Move sequences to the front while that lets a step run fewer rows; nothing else about them changes."""
        while self._can_shrink and self.model.rows_to_run(self.slots.num_active) < self._num_rows_to_run():
            source, target = self.slots.move_last()
            self.model.copy_row(source, target, int(self._positions[source]))
            for state in (
                self._hidden_SH,
                self._position_S,
                self._last_position_S,
                self._is_speaking_S,
                self._uniform_SC,
                self._answer_SC,
                self._positions,
                self._is_active,
            ):
                state[target] = state[source]
            self._openings.move(source, target)
            self.clear(source)

    def _prefill(self, slot: int, sequence: AdmittedRequest) -> None:
        first, last = len(sequence.prefix), sequence.last_position
        prefix = torch.tensor(sequence.prefix, device=self.model.device)
        self._hidden_SH[slot] = self.model.prefill(prefix, slot)[-1]
        self._position_S[slot] = self._positions[slot] = first
        self._last_position_S[slot] = last
        uniforms = philox_uniforms(sequence.request.seed, last - first + 1)
        self._uniform_SC[slot, first : last + 1] = torch.from_numpy(uniforms).to(self.model.device)
        self._is_active[slot] = 1
        self._is_speaking_S[slot] = not sequence.opening
        self._openings.add(slot, sequence)

    def _finish(self, slot: int) -> Generation:
        sequence = self.slots.deallocate(slot)
        columns = self._answer_SC[slot, sequence.first_semantic : self._positions[slot] + 1].cpu().numpy()
        self.clear(slot)
        return sequence.finish(columns, self._num_semantic)
