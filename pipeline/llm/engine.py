"""Continuous batching over a fixed number of slots: prompts of ids in, semantic tokens out.

The engine knows nothing of text. A sequence's tokens follow from its prompt, grammar and seed alone: rows never mix,
each step runs all slots or as many as are known to change no row's bits, and the random numbers are a function of
(seed, step).

Legend of shape suffixes: S rows (the slots, rounded up by the network), R those of them that a step runs, C positions
of a slot, H hidden, V head rows, N positions of one prompt.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import ConfigError, WeightsError
from pipeline.llm.prompt import AnswerGrammar, Family, SpeechVocabulary
from pipeline.llm.qwen2 import Qwen2
from pipeline.llm.sampling import SamplingParams, draw, find_candidates, philox_uniforms
from pipeline.llm.scheduler import SlotScheduler
from pipeline.packed_linear import PackedLinear


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
    opening: tuple[int | Family, ...]
    """The rest of the opening, one entry a step."""
    numbers: dict[Family, list[int]] = field(default_factory=dict)
    """What was chosen in the opening."""

    @property
    def first_semantic(self) -> int:
        """Position of the first semantic token."""
        return len(self.prefix) + len(self.opening)

    @property
    def last_position(self) -> int:
        """Position of the last token that the answer may have."""
        return self.first_semantic + self.request.max_semantic_tokens - 1


class LLMEngine:
    """Generates speech tokens for many prompts at a time.

    Args:
        model: the network and its cache, made for this number of slots.
        num_slots: sequences decoded together at most.
        vocabulary: what the ids mean.
        sampling: how tokens are drawn.

    Raises:
        WeightsError: the tokenizer has ids that the network has no row for.
    """

    def __init__(self, model: Qwen2, num_slots: int, vocabulary: SpeechVocabulary, sampling: SamplingParams) -> None:
        if vocabulary.highest_id >= model.config.vocab_size:
            raise WeightsError(
                f"the tokenizer has ids up to {vocabulary.highest_id}, the network rows up to "
                f"{model.config.vocab_size - 1}; tokenizer.json and model.safetensors must belong together"
            )
        self.vocabulary = vocabulary
        self.sampling = sampling
        self._model = model
        self._scheduler: SlotScheduler[AdmittedRequest] = SlotScheduler(num_slots)
        self._num_semantic = len(vocabulary.semantic_ids)
        self._speech_ids_V = self._as_ids((*vocabulary.semantic_ids, *vocabulary.stop_ids))
        self._speech_head = PackedLinear(model.head_rows(self._speech_ids_V))
        self._family_heads: dict[Family, tuple[Tensor, Tensor]] = {}
        self._can_shrink = model.can_shrink and self._head_can_shrink()
        num_rows, max_context, device = model.num_rows, model.max_context, model.device
        self._rows_S = torch.arange(num_rows, device=device)
        self._hidden_SH = torch.zeros((num_rows, model.config.hidden_size), dtype=model.dtype, device=device)
        self._position_S = torch.zeros(num_rows, dtype=torch.int64, device=device)
        self._last_position_S = torch.zeros(num_rows, dtype=torch.int64, device=device)
        self._is_speaking_S = torch.zeros(num_rows, dtype=torch.bool, device=device)
        # One place more than the cache: the last token of an answer is drawn, but never read back.
        self._uniform_SC = torch.zeros((num_rows, max_context + 1), dtype=torch.float64, device=device)
        self._answer_SC = torch.zeros((num_rows, max_context + 1), dtype=torch.int64, device=device)
        # The host's own copy of the positions: which part of the cache is live must be known without asking the GPU.
        self._positions = np.zeros(num_rows, dtype=np.int64)
        self._is_active = np.zeros(num_rows, dtype=np.int64)
        self._opening_slots: dict[int, Iterator[int | Family]] = {}

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
    ) -> LLMEngine:
        """Load the language model of a model directory; for a GPU, into an engine made for it.

        Args:
            weights_dir: the model directory, or its `LLM` folder.
            vocabulary: read from the folder if None.
            device: where to compute.
            dtype: float32 or bfloat16.
            num_slots: sequences decoded together; takes are the same only under the same number.
            max_context: tokens of prompt and answer of one sequence.
            sampling: how tokens are drawn; None is the official way.

        Raises:
            ConfigError: float16, no slot, or a context that the model was not made for.
            WeightsError: a file is missing or does not fit.
        """
        llm_dir = Path(weights_dir)
        if (llm_dir / "LLM").is_dir():
            llm_dir = llm_dir / "LLM"
        if num_slots < 1 or max_context < 1:
            raise ConfigError(f"llm.slots: {num_slots}, llm.max_context: {max_context}; expected at least 1 of each")
        place = torch.device(device)
        sizes: dict[str, Any] = {"device": place, "dtype": dtype, "num_slots": num_slots, "max_context": max_context}
        if place.type != "cuda":
            model = Qwen2.load(llm_dir, **sizes)
            return cls(model, num_slots, vocabulary or SpeechVocabulary.load(llm_dir), sampling or SamplingParams())
        # Here, as Triton comes with torch for CUDA.
        try:
            from pipeline.llm.fused_qwen2 import FusedQwen2
            from pipeline.llm.graphed_engine import GraphedEngine
        except ImportError as error:
            raise ConfigError(
                f"llm.device: {place}: the GPU's kernels need Triton, which cannot be opened ({error}); "
                "`pip install triton`, or use `llm.device: cpu`"
            ) from error
        fused = FusedQwen2.load(llm_dir, **sizes)
        return GraphedEngine(
            fused, num_slots, vocabulary or SpeechVocabulary.load(llm_dir), sampling or SamplingParams()
        )

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._model.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's arithmetic."""
        return self._model.dtype

    @property
    def num_slots(self) -> int:
        """Sequences decoded together."""
        return self._scheduler.num_slots

    @property
    def max_context(self) -> int:
        """Tokens of prompt and answer that a sequence may have."""
        return self._model.max_context

    @property
    def num_waiting(self) -> int:
        """Requests that have no slot yet."""
        return self._scheduler.num_waiting

    @property
    def num_active(self) -> int:
        """Requests in slots."""
        return self._scheduler.num_active

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
        prompt_ids = tuple(int(token_id) for token_id in request.prompt_ids)
        steps = request.grammar.steps
        num_forced = next((i for i, step in enumerate(steps) if isinstance(step, Family)), len(steps))
        prefix = (*prompt_ids, *(int(step) for step in steps[:num_forced]))
        sequence = AdmittedRequest(request, prefix, steps[num_forced:])
        if not prompt_ids or min(prefix) < 0 or max(prefix) >= self._model.config.vocab_size:
            raise ValueError(
                f"request {request.request_id!r}: expected a prompt of ids in [0, {self._model.config.vocab_size}); "
                "build it with the vocabulary of the same weights"
            )
        if request.max_semantic_tokens < 1:
            raise ValueError(
                f"request {request.request_id!r}: max_semantic_tokens is {request.max_semantic_tokens}; expected 1 or "
                "more"
            )
        needed = sequence.last_position
        if needed > self.max_context:
            raise ValueError(
                f"request {request.request_id!r}: a prompt of {len(prompt_ids)} tokens and an answer of up to "
                f"{request.max_semantic_tokens} semantic ones need {needed} positions; expected at most max_context "
                f"{self.max_context}; shorten the text or raise llm.max_context"
            )
        self._scheduler.add(request.request_id, sequence)

    def cancel(self, request_id: Hashable) -> None:
        """Forget a request.

        Raises:
            KeyError: no such request is under way.
        """
        slot = self._scheduler.remove(request_id)
        if slot is not None:
            self._clear(slot)

    @torch.inference_mode()
    def step(self) -> list[Generation]:
        """Let waiting requests into free slots and give every sequence one more token.

        Returns:
            the answers that ended with it, in the order of their slots.
        """
        for slot, sequence in self._scheduler.allocate():
            self._prefill(slot, sequence)
        if not self.num_active:
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
        if self._opening_slots:
            self._follow_openings(token_R, self._position_S)
        finished = [self._finish(slot) for slot in is_done_R.nonzero().flatten().tolist()]
        if self.num_active:
            num_rows = self._num_rows_to_run()
            num_live = int(self._positions.max()) + 1
            self._hidden_SH[:num_rows] = self._model.decode_step(
                token_R[:num_rows], self._position_S[:num_rows], num_live
            )
            self._positions += self._is_active
            self._position_S += torch.from_numpy(self._is_active).to(self.device)
        return finished

    def draw_tokens(self, hidden_RH: Tensor, uniform_R: Tensor) -> Tensor:
        """Draw a semantic token or a stop for each row: (rows,) int64, columns of the legal rows of the head.

        Args:
            hidden_RH: float32.
            uniform_R: float64 in [0, 1).
        """
        return draw(find_candidates(self._speech_head(hidden_RH), self.sampling), uniform_R)

    def _num_rows_to_run(self) -> int:
        return self._model.rows_to_run(self._scheduler.num_used) if self._can_shrink else self._model.num_rows

    def _head_can_shrink(self) -> bool:
        """Try out whether a row's logits have the same bits however many rows are multiplied."""
        if self._model.shapes.can_shrink is not None:
            return self._model.shapes.can_shrink
        generator = torch.Generator().manual_seed(0)
        rows_SH = torch.randn((self._model.num_rows, self._model.config.hidden_size), generator=generator)
        whole = self._speech_head(rows_SH)
        counts = {self._model.rows_to_run(rows) for rows in range(1, len(rows_SH) + 1)}
        return all(torch.equal(self._speech_head(rows_SH[:count]), whole[:count]) for count in counts)

    def _close_gaps(self) -> None:
        """Move sequences to the front while that lets a step run fewer rows; nothing else about them changes."""
        while self._can_shrink and self._model.rows_to_run(self.num_active) < self._num_rows_to_run():
            source, target = self._scheduler.move_last()
            self._model.copy_row(source, target, int(self._positions[source]))
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
            if source in self._opening_slots:
                self._opening_slots[target] = self._opening_slots[source]
            self._clear(source)

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

    @torch.inference_mode()
    def logits(self, prompt_ids: Sequence[int]) -> Tensor:
        """Return the logits over the whole vocabulary at every position of a prompt; for checks, not for speed.

        Returns:
            (N, vocab_size) float32.

        Raises:
            RuntimeError: requests are under way; the prompt would overwrite one's cache.
        """
        if self.has_work:
            raise RuntimeError("the engine has requests under way; ask for logits while it is idle")
        hidden_NH = self._model.prefill(self._as_ids(prompt_ids), 0)
        return F.linear(hidden_NH.float(), self._model.head_rows())

    def _as_ids(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor(ids, dtype=torch.int64, device=self._model.device)

    def _prefill(self, slot: int, sequence: AdmittedRequest) -> None:
        first, last = len(sequence.prefix), sequence.last_position
        self._hidden_SH[slot] = self._model.prefill(self._as_ids(sequence.prefix), slot)[-1]
        self._position_S[slot] = self._positions[slot] = first
        self._last_position_S[slot] = last
        uniforms = philox_uniforms(sequence.request.seed, last - first + 1)
        self._uniform_SC[slot, first : last + 1] = torch.from_numpy(uniforms).to(self.device)
        self._is_active[slot] = 1
        self._is_speaking_S[slot] = not sequence.opening
        if sequence.opening:
            self._opening_slots[slot] = iter(sequence.opening)

    def _follow_openings(self, token_R: Tensor, position_S: Tensor) -> None:
        """Put the tokens of sequences that do not speak yet in place of what was drawn for them."""
        chosen: dict[Family, tuple[Tensor, list[int]]] = {}
        for slot, opening in list(self._opening_slots.items()):
            sequence, step = self._scheduler[slot], next(opening)
            if isinstance(step, Family):
                if step not in chosen:
                    chosen[step] = self._choose(step, position_S)
                ids_V, numbers = chosen[step]
                sequence.numbers.setdefault(step, []).append(numbers[slot])
                token_R[slot] = ids_V[numbers[slot]]
            else:
                token_R[slot] = step
            if self._positions[slot] + 1 == sequence.first_semantic:
                self._speak(slot)
                del self._opening_slots[slot]

    def _speak(self, slot: int) -> None:
        """From the next token on, one may end the answer."""
        self._is_speaking_S[slot] = True

    def _choose(self, family: Family, position_S: Tensor) -> tuple[Tensor, list[int]]:
        """Draw a member of a family for every slot; all slots, so that the product has its fixed shape."""
        if family not in self._family_heads:
            ids_V = self._as_ids(self.vocabulary.family_ids(family))
            self._family_heads[family] = (ids_V, self._model.head_rows(ids_V))
        ids_V, head_VH = self._family_heads[family]
        uniform_S = self._uniform_SC[self._rows_S, position_S]
        logits = F.linear(self._hidden_SH.float(), head_VH)
        return ids_V, draw(find_candidates(logits, self.sampling), uniform_S).tolist()

    def _finish(self, slot: int) -> Generation:
        sequence = self._scheduler.deallocate(slot)
        columns = self._read_answer(slot, sequence.first_semantic)
        has_stopped = bool(columns[-1] >= self._num_semantic)
        num_steps = int(self._positions[slot]) + 1 - len(sequence.prefix)
        self._clear(slot)
        numbers = sequence.numbers
        global_tokens = numbers.get(Family.GLOBAL)
        return Generation(
            request_id=sequence.request.request_id,
            semantic_tokens=columns[:-1].copy() if has_stopped else columns.copy(),
            global_tokens=None if global_tokens is None else np.array(global_tokens, dtype=np.int64),
            pitch_value=numbers.get(Family.PITCH_VALUE, [None])[-1],
            speed_value=numbers.get(Family.SPEED_VALUE, [None])[-1],
            hit_length_cap=not has_stopped,
            num_steps=num_steps,
        )

    def _read_answer(self, slot: int, first: int) -> NDArray[np.int64]:
        columns: NDArray[np.int64] = self._answer_SC[slot, first : self._positions[slot] + 1].cpu().numpy()
        return columns

    def _clear(self, slot: int) -> None:
        self._opening_slots.pop(slot, None)
        self._is_speaking_S[slot] = False
        self._is_active[slot] = 0
        self._position_S[slot] = self._positions[slot] = 0
