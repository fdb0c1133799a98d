from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.errors import ConfigError
from pipeline.llm.sampling import SamplingParams, draw, find_candidates, philox4x32, philox_uniforms

OFFICIAL = SamplingParams()


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, 2**64 - 1, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            0x299F31D0A4093822,
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_words(counter: list[int], key: int, expected: list[int]) -> None:
    words = philox4x32(np.array(counter, dtype=np.uint64)[:, None], key)
    assert words[:, 0].tolist() == expected


def test_uniforms_follow_from_seed_and_step_alone() -> None:
    long = philox_uniforms(7, 1000)
    assert np.array_equal(philox_uniforms(7, 3), long[:3])
    assert not np.array_equal(philox_uniforms(8, 3), long[:3])
    assert np.array_equal(philox_uniforms(2**64 + 7, 3), long[:3])
    assert np.array_equal(philox_uniforms(-1, 3), philox_uniforms(2**64 - 1, 3))
    assert not np.array_equal(philox_uniforms(7 + 2**40, 3), long[:3]), "all 64 bits of the seed count"
    assert long.min() >= 0.0 and long.max() < 1.0
    # Kolmogorov-Smirnov at the 0.1 % level; the seed is fixed, so this cannot flake.
    distance = np.abs(np.sort(long) - np.arange(1, 1001) / 1001).max()
    assert distance < 1.95 / np.sqrt(1000)


def test_candidates_equal_the_official_ones(
    golden_cases: list[dict[str, Any]], golden_tensors: dict[str, Tensor]
) -> None:
    for case in golden_cases:
        expected = case["sampling_t0p8_k50_p0p95"]
        found = find_candidates(golden_tensors[f"{case['name']}.last_logits"][None], OFFICIAL)
        kept = found.probabilities[0] > 0
        assert found.columns[0, kept].tolist() == expected["kept_ids"]
        assert found.probabilities[0, kept].numpy() == pytest.approx(np.array(expected["probs"]), abs=2e-6)


def test_draws_are_distributed_as_the_official_probabilities(
    golden_cases: list[dict[str, Any]], golden_tensors: dict[str, Tensor]
) -> None:
    num_draws = 20_000
    for case in golden_cases:
        expected = case["sampling_t0p8_k50_p0p95"]
        found = find_candidates(golden_tensors[f"{case['name']}.last_logits"][None], OFFICIAL)
        uniforms = torch.from_numpy(philox_uniforms(11, num_draws))
        drawn = draw(
            type(found)(found.columns.expand(num_draws, -1), found.probabilities.expand(num_draws, -1)), uniforms
        )
        counts = torch.bincount(drawn, minlength=14016)
        assert counts.sum() == counts[expected["kept_ids"]].sum(), "nothing but the candidates"
        wanted = np.array(expected["probs"]) * num_draws
        chi_square = ((counts[expected["kept_ids"]].numpy() - wanted) ** 2 / wanted).sum()
        freedom = len(wanted) - 1
        # The 99.9 % quantile by Wilson and Hilferty; the seed is fixed, so this cannot flake.
        assert chi_square < freedom * (1 - 2 / (9 * freedom) + 3.09 * np.sqrt(2 / (9 * freedom))) ** 3


def test_ties_are_in_the_order_of_columns_and_top_k_is_exact() -> None:
    logits = torch.full((1, 1000), -3.0)
    logits[0, [900, 30, 500]] = 2.0
    logits[0, 7] = 5.0
    found = find_candidates(logits, SamplingParams(temperature=1.0, top_k=6, top_p=1.0))
    assert found.columns.tolist() == [[7, 30, 500, 900, 0, 1]]


def test_order_holds_for_all_kinds_of_floats() -> None:
    values = torch.tensor([[-0.0, 0.0, -1e-42, 1e-42, -3e38, 3e38, -1.5, -1.25, 1.25, 1.5]])
    found = find_candidates(values, SamplingParams(temperature=1.0, top_k=10, top_p=1.0))
    assert found.columns.tolist() == [[5, 9, 8, 3, 0, 1, 2, 7, 6, 4]]


def test_zero_temperature_takes_the_best_and_the_lowest_id_among_equals() -> None:
    logits = torch.tensor([[0.0, 4.0, 4.0, -1.0], [9.0, 4.0, 4.0, -1.0]])
    found = find_candidates(logits, SamplingParams(temperature=0.0))
    assert draw(found, torch.tensor([0.999, 0.0], dtype=torch.float64)).tolist() == [1, 0]


@pytest.mark.parametrize("temperature", [1e-320, 1e-3, 5.0])
@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_extremes_draw_a_legal_column(temperature: float, uniform: float) -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    found = find_candidates(logits, SamplingParams(temperature, top_k=50, top_p=1.0))
    assert torch.isfinite(found.probabilities).all()
    column = int(draw(found, torch.tensor([uniform], dtype=torch.float64)))
    assert found.probabilities[0, found.columns[0].tolist().index(column)] > 0


def test_top_p_keeps_at_least_one() -> None:
    found = find_candidates(torch.tensor([[1.0, 0.9, 0.8]]), SamplingParams(1.0, 50, 1e-9))
    assert found.probabilities.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ((-0.1, 50, 0.95), "temperature"),
        ((0.8, 0, 0.95), "top_k"),
        ((0.8, 50, 0.0), "top_p"),
        ((0.8, 50, 1.1), "top_p"),
    ],
)
def test_values_out_of_range_are_refused(values: tuple[float, int, float], place: str) -> None:
    with pytest.raises(ConfigError, match=f"sampling.{place}"):
        SamplingParams(*values)
