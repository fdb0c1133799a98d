"""The GPU's kernels give what the plain arithmetic gives: on a GPU, or else by Triton's interpreter (see conftest)."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton", reason="the GPU's kernels need Triton; pip install triton")

from pipeline.llm import kernels
from pipeline.llm.sampling import SamplingParams, draw, find_candidates

pytestmark = pytest.mark.usefixtures("on_the_gpu")

# bfloat16: the interpreter rounds toward zero, so that a digit may differ; it cannot multiply bfloat16 matrices at all.
TOLERANCES = {torch.float32: 2e-6, torch.bfloat16: 2**-6}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("has_update", [True, False])
def test_add_and_norm(dtype: torch.dtype, has_update: bool) -> None:
    hidden, update, weight = (torch.randn(shape).to(dtype) for shape in ((3, 40), (3, 40), (40,)))
    expected_sum = hidden + update if has_update else hidden.clone()
    scale = torch.rsqrt(expected_sum.float().square().mean(-1, keepdim=True) + 1e-6)
    normed = kernels.add_and_norm(hidden, update if has_update else None, weight, 1e-6)
    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(hidden, expected_sum, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(
        normed, weight * (expected_sum.float() * scale).to(dtype), atol=2 * tolerance, rtol=2 * tolerance
    )


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_gate(dtype: torch.dtype) -> None:
    gate_up = torch.randn(3, 2 * 1_100).to(dtype)
    first, second = gate_up.chunk(2, dim=-1)
    expected = torch.nn.functional.silu(first) * second
    torch.testing.assert_close(kernels.gate(gate_up), expected, atol=TOLERANCES[dtype], rtol=TOLERANCES[dtype])


def make_rotation(context: int, head_dim: int) -> kernels.Rotation:
    angles = torch.arange(context)[:, None] * torch.rand(head_dim // 2)
    angles = torch.cat((angles, angles), dim=-1)
    return kernels.Rotation(angles.cos(), angles.sin())


def rotate(heads: torch.Tensor, rotation: kernels.Rotation, positions: torch.Tensor) -> torch.Tensor:
    """(T, heads, D) rotated to their positions."""
    first, second = heads.chunk(2, dim=-1)
    cos, sin = rotation.cos_CD[positions, None], rotation.sin_CD[positions, None]
    return heads * cos + torch.cat((-second, first), dim=-1) * sin


def test_a_step_stores_its_token_and_reads_the_live_positions_of_each_slot_alone() -> None:
    num_kv, groups, head_dim, context = 2, 3, 8, 160
    keys, values = torch.randn(2, 3 * num_kv, context, head_dim)
    positions = torch.tensor([5, 130, kernels.NOT_LIVE])
    for slot, position in enumerate(positions.tolist()):
        for cache in (keys, values):
            cache.view(3, num_kv, context, head_dim)[slot, :, max(position, 0) :] = float("nan")
    rotation = make_rotation(context, head_dim)
    heads = torch.randn(3, num_kv * (groups + 2), head_dim)
    slots = torch.arange(3, dtype=torch.int32)
    tiles = kernels.Tiles(slots, torch.ones_like(slots), slots, positions, size=1)
    found = kernels.attend(heads.flatten(1), rotation, keys, values, tiles, num_kv).view(3, num_kv, groups, head_dim)
    assert not found[2].any() and keys[2 * num_kv :].isnan().all()
    turned = rotate(heads, rotation, positions.clamp(min=0))
    for slot in range(2):
        end = int(positions[slot]) + 1
        for head in range(num_kv):
            row = slot * num_kv + head
            torch.testing.assert_close(keys[row, end - 1], turned[slot, num_kv * groups + head])
            torch.testing.assert_close(values[row, end - 1], heads[slot, num_kv * (groups + 1) + head])
            assert keys[row, end:].isnan().all()
            query = turned[slot, head * groups : (head + 1) * groups] * head_dim**-0.5
            weights = (query @ keys[row, :end].t()).softmax(-1)
            torch.testing.assert_close(found[slot, head], weights @ values[row, :end])


def test_a_prompt_attends_as_its_tokens_would_one_by_one() -> None:
    """Equal bits are checked on a GPU (`jobs.benchmark gpu`): here numpy multiplies, whose bits follow its shapes."""
    num_kv, groups, head_dim, num_tokens = 1, 2, 16, 70
    rotation = make_rotation(128, head_dim)
    keys, values = torch.zeros(2, 4 * num_kv, 128, head_dim)
    heads = torch.randn(num_tokens, num_kv * (groups + 2) * head_dim)
    positions = torch.arange(num_tokens)
    slots = torch.full((num_tokens,), 2, dtype=torch.int32)
    kernels.store(heads, rotation, positions, slots, keys, values, num_kv)
    stored = rotate(heads.view(num_tokens, -1, head_dim), rotation, positions)[:, groups]
    torch.testing.assert_close(keys[2, :num_tokens], stored)
    assert not keys[[0, 1, 3]].any() and not keys[2, num_tokens:].any()
    first = torch.arange(0, num_tokens, 16, dtype=torch.int32)
    counts = (num_tokens - first).clamp(max=16)
    whole = kernels.attend(
        heads, rotation, keys, values, kernels.Tiles(first, counts, slots[: len(first)], first, 16), num_kv
    )
    tokens = torch.tensor([0, 15, 16, 63, 64, 69], dtype=torch.int32)
    ones = torch.ones_like(tokens)
    for size in (16, 1):
        tiles = kernels.Tiles(tokens, ones, slots[: len(tokens)], tokens, size)
        isolated = kernels.attend(heads, rotation, keys, values, tiles, num_kv)
        torch.testing.assert_close(isolated[tokens.long()], whole[tokens.long()])


@pytest.mark.parametrize("size", [1, 16])
def test_a_cache_in_float8_holds_and_gives_what_was_rounded(size: int) -> None:
    """A step and a tile of a prompt; what is too large for float8 is its largest number."""
    num_kv, groups, head_dim, context = 2, 2, 16, 32
    rotation = make_rotation(context, head_dim)
    heads = torch.randn(size, num_kv * (groups + 2) * head_dim)
    heads[0, -1], heads[0, -2] = 1e4, -1e4
    positions = torch.arange(5, 5 + size)
    slots = torch.zeros(size, dtype=torch.int32)
    first = slots[:1]
    tiles = kernels.Tiles(first, first + size, first, positions[:1].int(), size)
    earlier = torch.randn(2, num_kv, context, head_dim).to(torch.float8_e4m3fn)
    narrow, wide = earlier.clone(), earlier.float()
    kernels.store(heads, rotation, positions, slots, narrow[0], narrow[1], num_kv)
    kernels.store(heads, rotation, positions, slots, wide[0], wide[1], num_kv)
    wide = wide.clamp(-448, 448).to(torch.float8_e4m3fn)
    assert torch.equal(narrow.float(), wide.float())
    assert narrow[1, -1, 5, -2:].tolist() == [-448, 448]
    found = kernels.attend(heads, rotation, narrow[0], narrow[1], tiles, num_kv)
    # In float32 a step would put its own numbers in, which are not rounded: as a prompt it reads them.
    kept = wide.float()
    tiles = kernels.Tiles(first, first + size, first, positions[:1].int(), 16)
    torch.testing.assert_close(found, kernels.attend(heads, rotation, kept[0], kept[1], tiles, num_kv))


def test_float8_is_rounded_as_torch_rounds_it() -> None:
    """Halfway between all neighbors, just below and just above, and beyond the last number."""
    numbers = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    middle = (numbers[1:] + numbers[:-1]) / 2
    below, above = (torch.nextafter(middle, torch.full_like(middle, end)) for end in (-torch.inf, torch.inf))
    tried = torch.cat([middle, below, above, torch.tensor([447.0, 448.0, 449.0, 464.0, 1e30])])
    tried = torch.cat([tried, -tried])
    num_tokens, head_dim = 24, 32
    heads = torch.nn.functional.pad(tried, (0, num_tokens * head_dim - len(tried))).view(num_tokens, head_dim)
    keys, values = torch.zeros(2, 1, num_tokens, head_dim, dtype=torch.float8_e4m3fn)
    positions, slots = torch.arange(num_tokens), torch.zeros(num_tokens, dtype=torch.int32)
    heads_of_all = torch.cat([torch.zeros(num_tokens, 2 * head_dim), heads], dim=1)
    kernels.store(heads_of_all, make_rotation(num_tokens, head_dim), positions, slots, keys, values, num_kv=1)
    expected = heads.clamp(-448, 448).to(torch.float8_e4m3fn)
    assert torch.equal(values[0].float(), expected.float())


def test_a_token_that_is_none_is_not_stored() -> None:
    keys, values = torch.zeros(2, 2, 16, 8)
    heads, slots = torch.randn(3, 4 * 8), torch.tensor([1, 0, 1], dtype=torch.int32)
    positions = torch.tensor([3, kernels.NOT_LIVE, kernels.NOT_LIVE])
    kernels.store(heads, make_rotation(16, 8), positions, slots, keys, values, num_kv=1)
    assert values[1, 3].all() and values.count_nonzero() == 8 and keys.count_nonzero() == 8


def make_state(positions: torch.Tensor, last_positions: torch.Tensor, uniforms: torch.Tensor) -> kernels.SlotState:
    state = kernels.SlotState.empty(*uniforms.shape, uniforms.device)
    state.position_S.copy_(positions)
    state.last_position_S.copy_(last_positions)
    state.uniform_SC.copy_(uniforms)
    return state


@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(temperature=0.0), SamplingParams(1.5, 7, 0.5)])
@pytest.mark.parametrize("num_stops", [1, 2])
def test_sampling_draws_what_the_plain_rules_draw(params: SamplingParams, num_stops: int) -> None:
    num_slots, num_columns = 5, 8_192 + num_stops
    logits = torch.randn(num_slots, num_columns) * 3
    logits[0] = 0.0
    logits[0, ::2] = -0.0
    logits[1, 5:9] = 20.0
    logits[2] = logits[2].round()
    ids = torch.arange(num_columns) + 100
    uniforms = torch.rand(num_slots, 20, dtype=torch.float64)
    positions = torch.tensor([0, 3, 4, 5, 7])
    state = make_state(positions, torch.tensor([10, 3, 10, 10, 10]), uniforms)
    state.is_active_S[:4] = 1
    state.is_speaking_S[:] = 1
    kernels.sample(logits, ids, 8_192, params, state)
    expected = draw(find_candidates(logits, params), uniforms[torch.arange(num_slots), positions])
    assert state.column_S.tolist() == expected.tolist()
    assert torch.equal(state.token_S, expected + 100)
    # The second has reached its last position; the last was not active.
    assert state.is_active_S.tolist() == [1, 0, 1, 1, 0]
    assert state.position_S.tolist() == [1, 3, 5, 6, 7]
    assert state.step_position_S.tolist() == [0, -1, 4, 5, -1]


@pytest.mark.parametrize("top_k", [1, 5, 11, 12, 50])
def test_candidates_among_equals_are_the_lower_columns(top_k: int) -> None:
    """Few different logits, so that the last candidate has equals on both sides of the stops' border."""
    num_slots, num_semantic, num_columns = 6, 11, 13
    logits = torch.randint(-1, 2, (num_slots, num_columns)).float()
    logits[:, -1] = torch.tensor([3.0, 1.0]).repeat(num_slots // 2)
    uniforms = torch.rand(num_slots, 1, dtype=torch.float64)
    nothing = torch.zeros(num_slots, dtype=torch.int64)
    params = SamplingParams(1.0, top_k, 1.0) if top_k != 5 else SamplingParams(0.0, top_k, 1.0)
    state = make_state(nothing, nothing + 10, uniforms)
    kernels.sample(logits, torch.arange(num_columns), num_semantic, params, state)
    assert state.column_S.tolist() == draw(find_candidates(logits, params), uniforms[:, 0]).tolist()


def test_a_stop_ends_only_a_sequence_that_speaks() -> None:
    logits = torch.zeros(2, 10)
    logits[:, 9] = 5.0
    state = kernels.SlotState.empty(2, 11, logits.device)
    state.last_position_S[:] = 10
    state.is_active_S[:] = 1
    state.is_speaking_S[0] = 1
    kernels.sample(logits, torch.arange(10), 9, SamplingParams(temperature=0.0), state)
    assert state.is_active_S.tolist() == [0, 1]
