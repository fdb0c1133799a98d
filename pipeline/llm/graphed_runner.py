"""The runner for GPUs: steps that never wait for the host, prompts read in packs, both replayed as CUDA graphs.

The device moves its sequences on by itself: it draws a token for every slot, notices which answers end with it, and
runs the network. The host only reads what was drawn, a few steps later, so that there is always a step to compute; a
sequence that has ended in the meantime stands still. Prompts are read in packs of one fixed number of tokens, taken
from as many sequences as wait. What a sequence is given follows from its own prompt, grammar and seed: rows never mix,
and every call has one shape.

Without a GPU the same code runs, unrecorded, through Triton's interpreter: for tests.

Legend of shape suffixes: S slots (rounded up), T tokens of a pack, H hidden, V head rows, N tiles, C positions.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.hardware.gpu import Record, on_device, record
from pipeline.llm import kernels
from pipeline.llm.fused_qwen2 import FusedQwen2
from pipeline.llm.kernels import NOT_LIVE, SlotState, Tiles
from pipeline.llm.prompt import SpeechVocabulary
from pipeline.llm.requests import AdmittedRequest, Generation, Openings
from pipeline.llm.sampling import SamplingParams, philox_uniforms
from pipeline.llm.scheduler import SlotScheduler

logger = logging.getLogger(__name__)

_record = partial(record, is_urgent=True)
"""Steps are short and wait for each other: a codec beside them fills what they leave of the card."""

_STEPS_AHEAD = 2
"""Steps that are on their way to the GPU while the host reads an older one: as many each sequence runs too long."""
_STEPS_TO_WAIT = 4
"""Steps for which prompts wait for a full pack."""


@dataclass
class _Reading:
    """A prompt on its way into the cache."""

    slot: int
    sequence: AdmittedRequest
    num_read: int = 0


@dataclass(frozen=True)
class _Launched:
    """A step whose tokens the host has not read yet."""

    column_S: Tensor
    """In memory that the GPU writes to; valid once `is_there` has been waited for."""
    is_there: torch.cuda.Event | None
    epochs: NDArray[np.int64]
    """Which sequence sat in each slot, see `GraphedRunner._epochs`."""
    is_speaking: NDArray[np.bool_]
    """Whether its token may have ended the answer."""


class GraphedRunner:
    """Runs sequences on a GPU, a few steps ahead of what the host knows of them.

    Args:
        model: the network and its cache, made for this number of slots.
        num_slots: sequences decoded together at most.
        vocabulary: what the ids mean.
        sampling: how tokens are drawn.
        pack_tokens: of prompts, in one call; a multiple of 16.
        record: what makes graphs of a step and of a pack.
    """

    def __init__(
        self,
        model: FusedQwen2,
        num_slots: int,
        vocabulary: SpeechVocabulary,
        sampling: SamplingParams,
        *,
        pack_tokens: int = 1_024,
        record: Record = _record,
    ) -> None:
        self.model = model
        self.slots: SlotScheduler[AdmittedRequest] = SlotScheduler(num_slots)
        self.vocabulary = vocabulary
        self._sampling = sampling
        self._openings = Openings(model, vocabulary, sampling)
        self._num_semantic = len(vocabulary.semantic_ids)
        num_rows, device = model.num_rows, model.device
        self._device = device
        # One place more than the cache: the last token of an answer is drawn, but never read back.
        self._state = SlotState.empty(num_rows, model.max_context + 1, device)
        self._hidden_SH = torch.zeros((num_rows, model.config.hidden_size), dtype=model.dtype, device=device)
        self._speech_ids_V = torch.tensor(vocabulary.speech_ids, device=device)
        self._speech_head_VH = model.head_rows(self._speech_ids_V)
        if self._has_mixed_product():
            self._speech_head_VH = self._speech_head_VH.to(model.dtype)
        self._slot_S = torch.arange(num_rows, dtype=torch.int32, device=device)
        self._one_S = torch.ones_like(self._slot_S)
        # The host's copy of what the device knows, as of the last step that was read.
        self._positions = np.zeros(num_rows, dtype=np.int64)
        self._last_positions = np.zeros(num_rows, dtype=np.int64)
        self._is_speaking = np.zeros(num_rows, dtype=bool)
        self._answers = np.zeros((num_rows, model.max_context + 1), dtype=np.int32)
        self._epochs = np.zeros(num_rows, dtype=np.int64)
        """A number that no other sequence had before, for each slot; 0 where nothing is decoded."""
        self._last_epoch = 0
        self._launched: deque[_Launched] = deque()
        self._to_read: deque[_Reading] = deque()
        self._steps_waited = 0
        self._pack = _Pack.empty(pack_tokens, model.tile_tokens, device)
        with on_device(device), torch.inference_mode():
            for num_tokens in sorted({num_rows, pack_tokens}):
                model.try_gate(num_tokens)
            # No slot is active yet, so that running these changes nothing.
            self._run_step = record(self._step_all, device)
            self._run_pack = record(self._read_pack, device)
            self._warn_if_places_differ()

    def step(self) -> list[Generation]:
        """Let waiting sequences into free slots and give every sequence one more token.

        Returns:
            the answers that were found to have ended, in the order of their slots.
        """
        with on_device(self._device):
            self._to_read.extend(_Reading(slot, sequence) for slot, sequence in self.slots.allocate())
            self._read_prompts()
            if self._openings:
                return self._step_with_openings()
            if self._epochs.any():
                self._run_step()
                self._launched.append(self._fetch())
            if self._launched and (len(self._launched) > _STEPS_AHEAD or not self._epochs.any()):
                return self._collect(self._launched.popleft())
            return []

    def clear(self, slot: int) -> None:
        """Forget what sat in a slot."""
        self._openings.remove(slot)
        self._epochs[slot] = 0
        self._state.is_active_S[slot] = 0
        self._to_read = deque(reading for reading in self._to_read if reading.slot != slot)

    def _step_all(self) -> None:
        """Draw for every slot and run the network: all of a step, without a word from the host."""
        self._draw_all()
        self._advance_all()

    def _draw_all(self) -> None:
        if self._speech_head_VH.dtype == torch.float32:
            logits_SV = F.linear(self._hidden_SH.float(), self._speech_head_VH)
        else:
            logits_SV = torch.mm(self._hidden_SH, self._speech_head_VH.t(), out_dtype=torch.float32)
        kernels.sample(logits_SV, self._speech_ids_V, self._num_semantic, self._sampling, self._state)

    def _advance_all(self) -> None:
        state = self._state
        tiles = Tiles(self._slot_S, self._one_S, self._slot_S, state.step_position_S, size=1)
        hidden_SH = self.model.run_tokens(state.token_S, state.step_position_S, self._slot_S, tiles)
        self._hidden_SH.copy_(hidden_SH)

    def _has_mixed_product(self) -> bool:
        """Return whether bfloat16 can be multiplied into float32: as exact as float32 weights, which hold the same."""
        if self.model.dtype == torch.float32 or self.model.device.type != "cuda":
            return False
        try:
            torch.mm(self._hidden_SH, self._hidden_SH.t(), out_dtype=torch.float32)
        except (RuntimeError, TypeError):
            return False
        return True

    def _fetch(self) -> _Launched:
        """Ask for what was drawn last, without waiting for it."""
        if self._device.type != "cuda":
            return _Launched(self._state.column_S.clone(), None, self._epochs.copy(), self._is_speaking.copy())
        column_S = torch.empty_like(self._state.column_S, device="cpu", pin_memory=True)
        column_S.copy_(self._state.column_S, non_blocking=True)
        is_there = torch.cuda.Event()  # type: ignore[no-untyped-call]
        is_there.record()
        return _Launched(column_S, is_there, self._epochs.copy(), self._is_speaking.copy())

    def _collect(self, launched: _Launched) -> list[Generation]:
        """Read a step: note its tokens, and end the answers that ended with it."""
        if launched.is_there is not None:
            launched.is_there.synchronize()
        columns = launched.column_S.numpy()
        slots = np.flatnonzero((launched.epochs == self._epochs) & (self._epochs > 0))
        positions, drawn = self._positions[slots], columns[slots]
        self._answers[slots, positions] = drawn
        is_last = (drawn >= self._num_semantic) | (positions >= self._last_positions[slots])
        has_ended = launched.is_speaking[slots] & is_last
        self._positions[slots[~has_ended]] += 1
        return [self._finish(int(slot)) for slot in slots[has_ended]]

    def _step_with_openings(self) -> list[Generation]:
        """Take a step whose tokens the host has a say in: some sequences do not speak yet. Rare: created voices."""
        finished = []
        while self._launched:
            finished += self._collect(self._launched.popleft())
        if not self._openings or not self._epochs.any():
            return finished
        self._draw_all()
        launched, state = self._fetch(), self._state
        position_S = state.step_position_S.clamp(min=0)
        uniform_S = state.uniform_SC.gather(1, position_S[:, None]).squeeze(1)
        for slot in self._openings.follow(state.token_S, self._hidden_SH, uniform_S):
            self._is_speaking[slot] = True
            state.is_speaking_S[slot] = 1
        self._advance_all()
        return finished + self._collect(launched)

    def _finish(self, slot: int) -> Generation:
        sequence = self.slots.deallocate(slot)
        self.clear(slot)
        columns = self._answers[slot, sequence.first_semantic : self._positions[slot] + 1].astype(np.int64)
        return sequence.finish(columns, self._num_semantic)

    def _read_prompts(self) -> None:
        """Read prompts while they fill packs; the rest after a while, or when there is nothing else to do."""
        num_tokens = len(self._pack.ids_T)
        while self._to_read:
            waiting = sum(len(reading.sequence.prefix) - reading.num_read for reading in self._to_read)
            is_idle = not self._epochs.any()
            if waiting < num_tokens and not is_idle and self._steps_waited < _STEPS_TO_WAIT:
                self._steps_waited += 1
                return
            self._steps_waited = 0
            self._start(self._fill_pack())

    def _fill_pack(self) -> list[tuple[_Reading, int]]:
        """Lay the oldest prompts into the pack and read them; return those that are complete, with their last token."""
        num_tokens, num_tiles, tile_tokens = len(self._pack.ids_T), self._pack.num_tiles, self._pack.tiles.size
        parts: list[_Part] = []
        complete, filled, tiles = [], 0, 0
        while self._to_read and filled < num_tokens and tiles < num_tiles:
            reading = self._to_read[0]
            prefix, first = reading.sequence.prefix, reading.num_read
            count = min(len(prefix) - first, num_tokens - filled, (num_tiles - tiles) * tile_tokens)
            parts.append(_Part(prefix[first : first + count], reading.slot, first))
            filled, tiles, reading.num_read = filled + count, tiles - (-count // tile_tokens), first + count
            if reading.num_read == len(prefix):
                complete.append((self._to_read.popleft(), filled - 1))
        self._run_parts(parts)
        return complete

    def _run_parts(self, parts: Sequence[_Part]) -> None:
        """Put parts of prompts into the pack, one after another, and run it."""
        num_tokens, num_tiles, tile_tokens = len(self._pack.ids_T), self._pack.num_tiles, self._pack.tiles.size
        ids = np.zeros(num_tokens, dtype=np.int64)
        positions = np.full(num_tokens, NOT_LIVE, dtype=np.int64)
        slots = np.zeros(num_tokens, dtype=np.int32)
        table = np.zeros((num_tiles, 4), dtype=np.int32)
        filled, tile = 0, 0
        for part in parts:
            count = len(part.ids)
            place = slice(filled, filled + count)
            ids[place], slots[place] = part.ids, part.slot
            positions[place] = np.arange(part.first, part.first + count)
            for start in range(0, count, tile_tokens):
                table[tile] = filled + start, min(tile_tokens, count - start), part.slot, part.first + start
                tile += 1
            filled += count
        for target, values in zip(self._pack.inputs, (ids, positions, slots, *table.T), strict=True):
            target.copy_(self._to_device(values), non_blocking=True)
        self._run_pack()

    def _read_pack(self) -> None:
        pack = self._pack
        pack.hidden_TH = self.model.run_tokens(pack.ids_T, pack.position_T, pack.slot_T, pack.tiles)

    def _start(self, complete: list[tuple[_Reading, int]]) -> None:
        """Let sequences speak whose prompts have been read."""
        if not complete:
            return
        num_places = max(reading.sequence.last_position for reading, _ in complete) + 1
        uniforms = np.zeros((len(complete), num_places))
        for row, (reading, _) in enumerate(complete):
            slot, sequence = reading.slot, reading.sequence
            first, last = len(sequence.prefix), sequence.last_position
            uniforms[row, first : last + 1] = philox_uniforms(sequence.request.seed, last - first + 1)
            self._positions[slot], self._last_positions[slot] = first, last
            self._is_speaking[slot] = not sequence.opening
            self._openings.add(slot, sequence)
            self._last_epoch += 1
            self._epochs[slot] = self._last_epoch
        slots = np.array([reading.slot for reading, _ in complete])
        slot_N = self._to_device(slots)
        state = self._state
        state.position_S[slot_N] = self._to_device(self._positions[slots])
        state.last_position_S[slot_N] = self._to_device(self._last_positions[slots])
        state.is_speaking_S[slot_N] = self._to_device(self._is_speaking[slots].astype(np.int32))
        state.is_active_S[slot_N] = 1
        state.uniform_SC[slot_N, :num_places] = self._to_device(uniforms)
        assert self._pack.hidden_TH is not None
        self._hidden_SH[slot_N] = self._pack.hidden_TH[self._to_device(np.array([last for _, last in complete]))]

    def _to_device(self, values: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        if self._device.type != "cuda":
            return tensor
        # From pinned memory, so that the copy does not wait for the steps before it.
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _warn_if_places_differ(self) -> None:
        """Try out whether a row's bits depend on its place; reproducible takes rest on their not doing so."""
        num_rows = self.model.num_rows
        ids_S = torch.full((num_rows,), int(self._speech_ids_V[0]), device=self._device)
        hidden_SH = self.model.decode_step(ids_S, torch.zeros_like(ids_S))
        if torch.equal(hidden_SH, hidden_SH[:1].expand_as(hidden_SH)) and self._is_pack_even():
            return
        logger.warning(
            "llm on %s: equal rows come out unequal, so that a take may depend on its place in the batch; use "
            "llm.slots: 1, or other hardware, where reproducible takes matter",
            self._device,
        )

    def _is_pack_even(self) -> bool:
        """Return whether a prompt's hidden states are the same bits at both ends of a pack, with others between."""
        size, num_rows, max_context = self._pack.tiles.size, self.model.num_rows, self.model.max_context
        if num_rows < 2:
            return True
        pack_tokens = len(self._pack.ids_T)
        # A few tiles and a half, at places that no kernel works on as one.
        count = min(3 * size + size // 2, (pack_tokens - 1) // 2, max_context)
        num_between = min(pack_tokens - 2 * count, max_context) if num_rows > 2 else 0
        generator = torch.Generator().manual_seed(0)
        numbers = torch.randint(self.model.config.vocab_size, (count + num_between,), generator=generator).tolist()
        first, between = numbers[:count], numbers[count:]
        parts = [_Part(first, 0, 0), *([_Part(between, 2, 0)] if between else []), _Part(first, 1, 0)]
        self._run_parts(parts)
        hidden_TH, second = self._pack.hidden_TH, count + num_between
        assert hidden_TH is not None
        return torch.equal(hidden_TH[:count], hidden_TH[second : second + count])


@dataclass(frozen=True)
class _Part:
    """Tokens of one prompt that are read together."""

    ids: Sequence[int]
    slot: int
    first: int
    """Position of the first of them."""


@dataclass
class _Pack:
    """Tokens of many prompts, one after another, in tensors that stay where they are."""

    ids_T: Tensor
    position_T: Tensor
    slot_T: Tensor
    tiles: Tiles
    hidden_TH: Tensor | None = None
    """What came out of the last call."""

    @classmethod
    def empty(cls, num_tokens: int, tile_tokens: int, device: torch.device) -> _Pack:
        """Return a pack without a token."""
        # Twice the tiles of one long prompt: the last tile of each prompt is seldom full.
        num_tiles = 2 * -(-num_tokens // tile_tokens)
        columns = torch.zeros((4, num_tiles), dtype=torch.int32, device=device).unbind()
        tiles = Tiles(columns[0], columns[1], columns[2], columns[3], size=tile_tokens)
        return cls(
            ids_T=torch.zeros(num_tokens, dtype=torch.int64, device=device),
            position_T=torch.full((num_tokens,), NOT_LIVE, device=device),
            slot_T=torch.zeros(num_tokens, dtype=torch.int32, device=device),
            tiles=tiles,
        )

    @property
    def num_tiles(self) -> int:
        """Tiles that a call may have."""
        return len(self.tiles.slot_N)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors that a call reads."""
        tiles = self.tiles
        return (
            self.ids_T,
            self.position_T,
            self.slot_T,
            tiles.first_token_N,
            tiles.num_tokens_N,
            tiles.slot_N,
            tiles.first_position_N,
        )
