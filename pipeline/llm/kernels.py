"""The GPU's kernels, in Triton: what lies between the matrix products of a step, each as one read and one write.

Every program computes one row (or one tile of one sequence), in an order that depends on nothing else, so that a
row's bits follow from that row. Sums are in float32, results in the tensors' own dtype. Triton's interpreter runs all
of it on a CPU, which is how the tests compare it with the plain network.

Legend of shape suffixes: T tokens of a call, S slots, H hidden, K key-value heads, G query heads of one key-value head,
D head size, C positions of a slot's cache, V head rows, I width of the perceptron, N tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from pipeline.llm.sampling import SamplingParams

NOT_LIVE = -1
"""A token's position where there is no token: nothing is stored for it."""

PROMPT_TILE_TOKENS = {torch.bfloat16: 16, torch.float32: 8}
"""Tokens of a prompt that share a read of its keys. In float32 half as many: the products run in registers there, and
twice the rows would spill (15,784 bytes of stack a thread) and want more shared memory than most cards have."""


@dataclass(frozen=True)
class _AttentionShape:
    """How a program of the attention kernel is cut; all compile without a spill for sm_80 to sm_120 (tests hold it)."""

    block_positions: int
    num_warps: int


_STEP_ATTENTION = _AttentionShape(block_positions=64, num_warps=4)
_PROMPT_ATTENTION = {
    torch.bfloat16: _AttentionShape(block_positions=64, num_warps=8),
    torch.float32: _AttentionShape(block_positions=32, num_warps=8),
}


@dataclass(frozen=True)
class Tiles:
    """Which tokens attend to which slot's cache.

    Args:
        first_token_N: (N,) int32, index of a tile's first token among the call's.
        num_tokens_N: (N,) int32, consecutive tokens of one sequence; 0 skips the tile.
        slot_N: (N,) int32, whose cache.
        first_position_N: (N,) int32, position of the first token.
        size: tokens that a tile may have.
    """

    first_token_N: Tensor
    num_tokens_N: Tensor
    slot_N: Tensor
    first_position_N: Tensor
    size: int


def add_and_norm(hidden_TH: Tensor, update_TH: Tensor | None, weight_H: Tensor, eps: float) -> Tensor:
    """Add an update to the hidden states in place, and return them with their root mean square normed."""
    normed_TH = torch.empty_like(hidden_TH)
    width = hidden_TH.shape[1]
    has_update = update_TH is not None
    _add_and_norm[(len(hidden_TH),)](
        hidden_TH, update_TH if has_update else hidden_TH, weight_H, normed_TH, eps, has_update, width,
        triton.next_power_of_2(width),
    )  # fmt: skip
    return normed_TH


@triton.jit
def _add_and_norm(
    hidden, update, weight, normed, eps, HAS_UPDATE: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr
):
    columns = tl.arange(0, BLOCK)
    is_live = columns < WIDTH
    offsets = tl.program_id(0).to(tl.int64) * WIDTH + columns
    values = tl.load(hidden + offsets, mask=is_live, other=0.0)
    if HAS_UPDATE:
        # Rounded to the dtype before it is squared, as what is stored is what the next layer adds to.
        values = (values.to(tl.float32) + tl.load(update + offsets, mask=is_live, other=0.0).to(tl.float32)).to(
            values.dtype
        )
        tl.store(hidden + offsets, values, mask=is_live)
    wide = values.to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(wide * wide, axis=0) / WIDTH + eps)
    weights = tl.load(weight + columns, mask=is_live, other=0.0)
    result = weights.to(tl.float32) * (wide * scale).to(values.dtype).to(tl.float32)
    tl.store(normed + offsets, result.to(values.dtype), mask=is_live)


def gate(gate_up_TX: Tensor) -> Tensor:
    """Return silu(first half) * second half: (T, I) for (T, 2 I)."""
    width = gate_up_TX.shape[1] // 2
    gated_TI = gate_up_TX.new_empty((len(gate_up_TX), width))
    block = min(triton.next_power_of_2(width), 1024)
    _gate[(len(gate_up_TX), triton.cdiv(width, block))](gate_up_TX, gated_TI, width, block)
    return gated_TI


@triton.jit
def _gate(gate_up, gated, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    is_live = columns < WIDTH
    first = tl.load(gate_up + row * 2 * WIDTH + columns, mask=is_live, other=0.0)
    second = tl.load(gate_up + row * 2 * WIDTH + WIDTH + columns, mask=is_live, other=0.0)
    wide = first.to(tl.float32)
    activated = (wide / (1.0 + tl.exp(-wide))).to(first.dtype)
    result = activated.to(tl.float32) * second.to(tl.float32)
    tl.store(gated + row * WIDTH + columns, result.to(first.dtype), mask=is_live)


@dataclass(frozen=True)
class Rotation:
    """The rotary positions' tables, each (C, D), in the tensors' dtype: both halves of a row are the same."""

    cos_CD: Tensor
    sin_CD: Tensor


def store(
    heads_TX: Tensor, rotation: Rotation, position_T: Tensor, slot_T: Tensor, keys: Tensor, values: Tensor, num_kv: int
) -> None:
    """Put the keys, rotated to their positions, and the values of prompts into the cache.

    Args:
        heads_TX: (T, (K * G + 2 K) * D), what the projection gave: queries, keys, values.
        rotation: for all positions.
        position_T: (T,) int64; `NOT_LIVE` stores nothing.
        slot_T: (T,) int32.
        keys: (S * K, C, D), of one layer.
        values: likewise.
        num_kv: K.
    """
    max_context, head_dim = keys.shape[1:]
    num_heads = heads_TX.shape[1] // head_dim - 2 * num_kv
    _store[(len(heads_TX),)](
        heads_TX, rotation.cos_CD, rotation.sin_CD, position_T, slot_T, keys, values, max_context, num_heads, num_kv,
        head_dim, triton.next_power_of_2(num_kv), triton.next_power_of_2(head_dim),
    )  # fmt: skip


@triton.jit
def _store(
    heads, cos, sin, position, slot, keys, values, max_context,
    NUM_HEADS: tl.constexpr, NUM_KV: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK_KV: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    place = tl.load(position + token).to(tl.int64)
    if place >= 0:
        head = tl.arange(0, BLOCK_KV)[:, None]
        column = tl.arange(0, BLOCK_D)[None, :]
        is_live = (head < NUM_KV) & (column < HEAD_DIM)
        source = heads + (token * (NUM_HEADS + 2 * NUM_KV) + NUM_HEADS + head) * HEAD_DIM + column
        row = tl.load(slot + token).to(tl.int64) * NUM_KV + head
        target = (row * max_context + place) * HEAD_DIM + column
        _put(keys + target, _turn(source, cos, sin, place, column, is_live, HEAD_DIM), is_live)
        _put(values + target, tl.load(source + NUM_KV * HEAD_DIM, mask=is_live, other=0.0), is_live)


@triton.jit
def _turn(source, cos, sin, place, column, is_live, HEAD_DIM: tl.constexpr):
    """Load heads and rotate them: each column with the one half a head away."""
    is_first = column < HEAD_DIM // 2
    own = tl.load(source, mask=is_live, other=0.0)
    partner = tl.load(source + tl.where(is_first, HEAD_DIM // 2, -(HEAD_DIM // 2)), mask=is_live, other=0.0)
    turn = place * HEAD_DIM + column
    cosine = tl.load(cos + turn, mask=is_live, other=0.0).to(tl.float32)
    sine = tl.load(sin + turn, mask=is_live, other=0.0).to(tl.float32)
    across = tl.where(is_first, -partner.to(tl.float32), partner.to(tl.float32))
    return (own.to(tl.float32) * cosine + across * sine).to(own.dtype)


@triton.jit
def _put(place, numbers, is_live):
    """Store into the cache, in its dtype."""
    dtype = place.dtype.element_ty
    if dtype == tl.float8e4nv:
        numbers = _round_to_float8(numbers.to(tl.float32))
    tl.store(place, numbers.to(dtype), mask=is_live)


@triton.jit
def _round_to_float8(wide):
    """Round to the nearest of e4m3's numbers, ties to even, as torch does; whoever converts the result, it is exact."""
    wide = tl.minimum(tl.maximum(wide, -448.0), 448.0)
    # Three bits of the fraction are left; below 2^-6, steps of 2^-9, as float32 has them about 1.5 * 2^14.
    bits = wide.to(tl.int32, bitcast=True)
    rounded = ((bits + 0x7FFFF + ((bits >> 20) & 1)) & -0x100000).to(tl.float32, bitcast=True)
    return tl.where(tl.abs(wide) < 0.015625, (wide + 24576.0) - 24576.0, rounded)


def attend(heads_TX: Tensor, rotation: Rotation, keys: Tensor, values: Tensor, tiles: Tiles, num_kv: int) -> Tensor:
    """Rotate queries and attend to the live positions of each tile's slot, reading no others.

    One kernel for decoding (tiles of one token), where it puts the token's own key and value into the cache first, and
    for prompts (tiles of many), where tiles need each other's, which `store` has put there.

    Args:
        heads_TX: (T, (K * G + 2 K) * D), what the projection gave: queries, keys, values.
        rotation: for all positions.
        keys: (S * K, C, D), of one layer.
        values: likewise.
        tiles: who attends to what; a token sees its own position and those before it.
        num_kv: K.

    Returns:
        (T, K * G * D); zeros for tokens of no tile.
    """
    max_context, head_dim = keys.shape[1:]
    num_groups = heads_TX.shape[1] // (head_dim * num_kv) - 2
    attended_TX = heads_TX.new_zeros((len(heads_TX), num_kv * num_groups * head_dim))
    # A matrix unit's product has 16 rows and columns at least.
    num_rows = max(16, triton.next_power_of_2(tiles.size * num_groups))
    block_d = max(16, triton.next_power_of_2(head_dim))
    shape = _STEP_ATTENTION if tiles.size == 1 else _PROMPT_ATTENTION[heads_TX.dtype]
    _attend[(len(tiles.slot_N), num_kv)](
        heads_TX, rotation.cos_CD, rotation.sin_CD, keys, values, attended_TX, tiles.first_token_N, tiles.num_tokens_N,
        tiles.slot_N, tiles.first_position_N, max_context, head_dim**-0.5, tiles.size == 1, num_kv, num_groups,
        head_dim, num_rows, block_d, shape.block_positions, num_warps=shape.num_warps, num_stages=3,
    )  # fmt: skip
    return attended_TX


@triton.jit
def _attend(
    heads, cos, sin, keys, values, attended, first_token, num_tokens, slot, first_position, max_context, scale,
    STORES: tl.constexpr, NUM_KV: tl.constexpr, NUM_GROUPS: tl.constexpr, HEAD_DIM: tl.constexpr,
    NUM_ROWS: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_POSITIONS: tl.constexpr,
):  # fmt: skip
    tile, kv_head = tl.program_id(0), tl.program_id(1)
    count = tl.load(num_tokens + tile)
    begin = tl.load(first_position + tile).to(tl.int32)
    if (count > 0) & (begin >= 0):
        # Row m is query head m % G of token m // G.
        row = tl.arange(0, NUM_ROWS)
        token = row // NUM_GROUPS
        column = tl.arange(0, BLOCK_D)
        is_live = (token < count)[:, None] & (column < HEAD_DIM)[None, :]
        place = tl.load(first_token + tile).to(tl.int64) + token
        head = place * (NUM_GROUPS + 2) * NUM_KV + kv_head * NUM_GROUPS + row % NUM_GROUPS
        asked = heads + head[:, None] * HEAD_DIM + column[None, :]
        queries = _turn(asked, cos, sin, (begin + token)[:, None], column[None, :], is_live, HEAD_DIM)
        queries = (queries.to(tl.float32) * scale).to(queries.dtype)
        cache = (tl.load(slot + tile).to(tl.int64) * NUM_KV + kv_head) * max_context
        if STORES:
            first = tl.load(first_token + tile).to(tl.int64) * (NUM_GROUPS + 2) * NUM_KV
            own = heads + (first + NUM_GROUPS * NUM_KV + kv_head) * HEAD_DIM + column
            target = (cache + begin) * HEAD_DIM + column
            is_column = column < HEAD_DIM
            _put(keys + target, _turn(own, cos, sin, begin, column, is_column, HEAD_DIM), is_column)
            _put(values + target, tl.load(own + NUM_KV * HEAD_DIM, mask=is_column, other=0.0), is_column)
            tl.debug_barrier()  # Other threads read them below.
        highest = tl.full((NUM_ROWS,), float("-inf"), tl.float32)
        total = tl.zeros((NUM_ROWS,), tl.float32)
        result = tl.zeros((NUM_ROWS, BLOCK_D), tl.float32)
        # Whole blocks from position 0 on: one that a row sees nothing of multiplies by one and adds zeros, so that a
        # row's bits do not depend on the tile that it shares.
        for start in range(0, begin + count, BLOCK_POSITIONS):
            position = start + tl.arange(0, BLOCK_POSITIONS)
            is_read = (position < begin + count)[:, None] & (column < HEAD_DIM)[None, :]
            source = (cache + position)[:, None] * HEAD_DIM + column[None, :]
            block_keys = tl.load(keys + source, mask=is_read, other=0.0).to(queries.dtype)
            scores = tl.dot(queries, tl.trans(block_keys), input_precision="ieee")
            scores = tl.where(position[None, :] <= (begin + token)[:, None], scores, float("-inf"))
            new_highest = tl.maximum(highest, tl.max(scores, axis=1))
            weights = tl.exp(scores - new_highest[:, None])
            shrink = tl.exp(highest - new_highest)
            total = total * shrink + tl.sum(weights, axis=1)
            block_values = tl.load(values + source, mask=is_read, other=0.0).to(queries.dtype)
            result = result * shrink[:, None]
            result += tl.dot(weights.to(block_values.dtype), block_values, input_precision="ieee")
            highest = new_highest
        head = (place * NUM_KV + kv_head) * NUM_GROUPS + row % NUM_GROUPS
        answer = attended + head[:, None] * HEAD_DIM + column[None, :]
        tl.store(answer, (result / total[:, None]).to(queries.dtype), mask=is_live)


@dataclass(frozen=True)
class SlotState:
    """What the device knows of its sequences, one entry a slot; `sample` moves it on.

    Args:
        position_S: (S,) int64, where the newest token will stand.
        last_position_S: (S,) int64, where the answer's last token may stand.
        is_active_S: (S,) int32; becomes 0 when a sequence has ended.
        is_speaking_S: (S,) int32, whether a token may end the answer.
        uniform_SC: (S, C + 1) float64 in [0, 1), the random number of each position.
        column_S: (S,) int32, what was drawn: columns of the legal rows of the head.
        token_S: (S,) int64, the same as token ids.
        step_position_S: (S,) int64, where those tokens stand; `NOT_LIVE` where the sequence has ended.
    """

    position_S: Tensor
    last_position_S: Tensor
    is_active_S: Tensor
    is_speaking_S: Tensor
    uniform_SC: Tensor
    column_S: Tensor
    token_S: Tensor
    step_position_S: Tensor

    @classmethod
    def empty(cls, num_slots: int, num_places: int, device: torch.device) -> SlotState:
        """Return the state of slots that hold nothing yet, with random numbers for so many positions."""

        def zeros(dtype: torch.dtype) -> Tensor:
            return torch.zeros(num_slots, dtype=dtype, device=device)

        return cls(
            position_S=zeros(torch.int64),
            last_position_S=zeros(torch.int64),
            is_active_S=zeros(torch.int32),
            is_speaking_S=zeros(torch.int32),
            uniform_SC=torch.zeros((num_slots, num_places), dtype=torch.float64, device=device),
            column_S=zeros(torch.int32),
            token_S=zeros(torch.int64),
            step_position_S=torch.full((num_slots,), NOT_LIVE, device=device),
        )


def sample(
    logits_SV: Tensor, speech_ids_V: Tensor, num_semantic: int, params: SamplingParams, state: SlotState
) -> None:
    """Draw a token for each slot and move the state on, in one pass over the logits.

    The rules are those of `pipeline.llm.sampling`, ties and float64 included.

    Args:
        logits_SV: (S, V) float32, over the legal tokens.
        speech_ids_V: (V,) int64, their ids.
        num_semantic: columns from here on end an answer.
        params: how to draw.
        state: moved on in place.
    """
    num_columns = logits_SV.shape[1]
    assert num_columns < 1 << 16, "two counts of columns share a number"
    k = 1 if params.temperature == 0.0 else min(params.top_k, num_columns)
    block_k = max(2, triton.next_power_of_2(k))
    candidates_SK = torch.empty((len(logits_SV), block_k), dtype=torch.int64, device=logits_SV.device)
    settings = _sampling_settings(params, logits_SV.device)
    _sample[(len(logits_SV),)](
        logits_SV, settings, speech_ids_V, state.position_S, state.last_position_S, state.is_active_S,
        state.is_speaking_S, state.uniform_SC, state.column_S, state.token_S, state.step_position_S, candidates_SK,
        num_columns, state.uniform_SC.shape[1], num_semantic, k, triton.next_power_of_2(num_semantic),
        max(2, triton.next_power_of_2(num_columns - num_semantic)), block_k, num_warps=8,
    )  # fmt: skip


_settings: dict[tuple[SamplingParams, torch.device], Tensor] = {}


def _sampling_settings(params: SamplingParams, device: torch.device) -> Tensor:
    """Return (temperature, mass that top-p leaves out) as float64, which a kernel's plain arguments cannot be."""
    key = (params, device)
    if key not in _settings:
        numbers = (params.temperature or 1.0, 1.0 - params.top_p)
        _settings[key] = torch.tensor(numbers, dtype=torch.float64, device=device)
    return _settings[key]


@triton.jit
def _sample(
    logits, settings, speech_ids, position, last_position, is_active, is_speaking, uniform, column_out, token_out,
    step_position, candidates, num_columns, num_places, num_semantic, k, BLOCK_SEMANTIC: tl.constexpr,
    BLOCK_STOPS: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    slot = tl.program_id(0).to(tl.int64)
    # The stops apart: with them, a block would be twice as wide.
    column = tl.arange(0, BLOCK_SEMANTIC)
    stop = num_semantic + tl.arange(0, BLOCK_STOPS)
    order = _order(logits + slot * num_columns, column, column < num_semantic)
    stop_order = _order(logits + slot * num_columns, stop, stop < num_columns)
    # The k-th largest logit, bit by bit from the highest on: the largest number that k logits reach.
    lowest = tl.zeros((), tl.uint32)
    for bit in range(32):
        higher = lowest | (tl.full((), 1, tl.uint32) << (31 - bit))
        reach = tl.sum((order >= higher).to(tl.int32), axis=0) + tl.sum((stop_order >= higher).to(tl.int32), axis=0)
        lowest = tl.where(reach >= k, higher, lowest)
    # Those above it, and of its equals the lower columns; each gets a place in their order of columns. One sum counts
    # both kinds, in the two halves of a number.
    kinds = ((order > lowest).to(tl.int32) << 16) + (order == lowest).to(tl.int32)
    stop_kinds = ((stop_order > lowest).to(tl.int32) << 16) + (stop_order == lowest).to(tl.int32)
    num_semantic_kinds = tl.sum(kinds, axis=0)
    num_equal = k - ((num_semantic_kinds + tl.sum(stop_kinds, axis=0)) >> 16)
    rows = candidates + slot * BLOCK_K
    _keep(rows, order, column, kinds, tl.cumsum(kinds, axis=0), num_equal)
    _keep(rows, stop_order, stop, stop_kinds, num_semantic_kinds + tl.cumsum(stop_kinds, axis=0), num_equal)
    tl.debug_barrier()  # One thread reads what another one wrote.
    rank = tl.arange(0, BLOCK_K)
    nothing: tl.constexpr = -0x7FFFFFFFFFFFFFFF
    chosen = tl.sort(tl.load(rows + rank, mask=rank < k, other=nothing), descending=True)
    is_kept = rank < k
    top = (chosen >> 32).to(tl.int32)
    logit = (top ^ ((top >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True).to(tl.float64)
    logit = tl.where(is_kept, logit, float("-inf"))
    weights = tl.exp((logit - tl.max(logit, axis=0)) / tl.load(settings))
    weights = tl.where(is_kept, weights, 0.0)
    probabilities = weights / tl.sum(weights, axis=0)
    tail = tl.cumsum(probabilities, axis=0, reverse=True)
    probabilities = tl.where((tail <= tl.load(settings + 1)) & (rank > 0), 0.0, probabilities)
    probabilities = probabilities / tl.sum(probabilities, axis=0)
    cumulative = tl.cumsum(probabilities, axis=0)
    place = tl.load(position + slot)
    number = tl.load(uniform + slot * num_places + place)
    is_passed = is_kept & (cumulative <= number * tl.max(cumulative, axis=0))
    # The product may round up to the total; then the last candidate that has any probability is meant.
    drawn = tl.minimum(tl.sum(is_passed.to(tl.int32), axis=0), tl.sum((probabilities > 0.0).to(tl.int32), axis=0) - 1)
    key = tl.max(tl.where(rank == drawn, chosen, nothing), axis=0)
    drawn_column = (0xFFFFFFFF - (key & 0xFFFFFFFF)).to(tl.int32)
    tl.store(column_out + slot, drawn_column)
    tl.store(token_out + slot, tl.load(speech_ids + drawn_column))
    has_ended = (drawn_column >= num_semantic) | (place >= tl.load(last_position + slot))
    has_ended = has_ended & (tl.load(is_speaking + slot) != 0)
    goes_on = (tl.load(is_active + slot) != 0) & (has_ended == 0)
    tl.store(is_active + slot, goes_on.to(tl.int32))
    tl.store(step_position + slot, tl.where(goes_on, place, -1))
    tl.store(position + slot, tl.where(goes_on, place + 1, place))


@triton.jit
def _order(row, column, is_there):
    """Return numbers above 0 that compare as a row's logits do; 0 where there is no column."""
    values = tl.load(row + column, mask=is_there, other=0.0)
    values = tl.where(values == 0.0, 0.0, values)  # -0.0 is no other number.
    bits = values.to(tl.int32, bitcast=True)
    order = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.uint32, bitcast=True) ^ 0x80000000
    return tl.where(is_there, order, 0)


@triton.jit
def _keep(rows, order, column, kinds, counts, num_equal):
    """Store the candidates among some columns, as numbers that compare as their logits do, the lower column first."""
    place = (counts >> 16) + tl.minimum(counts & 0xFFFF, num_equal) - 1
    is_kept = (kinds >= 0x10000) | ((kinds == 1) & ((counts & 0xFFFF) <= num_equal))
    # Below 2^63, as no logit is a NaN with all bits set.
    keys = (order.to(tl.int64) - 0x80000000) * 0x100000000 + (0xFFFFFFFF - column.to(tl.int64))
    tl.store(rows + place, keys, mask=is_kept)
