"""The gate inside its product gives what product and gate give, and is taken only where it is faster and as exact."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

pytest.importorskip("triton", reason="the GPU's kernels need Triton; pip install triton")

from pipeline.llm import gated_product
from pipeline.llm.gated_product import GateTiles, list_tiles, multiply, try_tiles

pytestmark = pytest.mark.usefixtures("on_the_gpu")

WIDE, NARROW = GateTiles(32, 32, 16, 4, 2), GateTiles(16, 16, 32, 4, 2)


# Sizes that no tile divides, that one holds, and that all divide.
@pytest.mark.parametrize(("num_tokens", "hidden", "width"), [(37, 40, 24), (3, 16, 16), (64, 32, 64)])
@pytest.mark.parametrize("tiles", [WIDE, NARROW], ids=str)
def test_the_product_is_gated(tiles: GateTiles, num_tokens: int, hidden: int, width: int) -> None:
    rows, weight = (torch.randn(size, hidden) for size in (num_tokens, 2 * width))
    first, second = (rows @ weight.t()).chunk(2, dim=-1)
    expected = torch.nn.functional.silu(first) * second
    torch.testing.assert_close(multiply(rows, weight, tiles), expected, atol=1e-5, rtol=1e-5)


def make_weights() -> list[torch.Tensor]:
    """Of two layers; eighths, whose sums are exact, so that any order of adding gives the same bits."""
    torch.manual_seed(1)
    return [torch.randint(-8, 9, (2 * 24, 16)) / 8 for _ in range(2)]


def try_with(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> gated_product.GateTrial:
    """Try both tiles on exact numbers, where cuBLAS's way and those of the tiles that are timed take so long."""
    monkeypatch.setattr(torch, "randn", lambda shape, **options: torch.randint(-8, 9, shape, **options) / 8)
    left = iter(seconds)

    def time_s(run: Callable[[], None]) -> float:
        run()
        return next(left)

    return try_tiles(make_weights(), 20, [WIDE, NARROW], time_s)


@pytest.mark.parametrize(
    ("seconds", "fastest"), [([3.0, 2.0, 1.0], NARROW), ([3.0, 1.0, 2.0], WIDE), ([1.0, 2.0, 3.0], None)]
)
def test_the_fastest_way_is_taken(
    seconds: list[float], fastest: GateTiles | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = try_with(seconds, monkeypatch)
    assert trial.tiles == fastest
    assert trial.seconds == dict(zip(["cuBLAS", str(WIDE), str(NARROW)], seconds, strict=True))


def test_tiles_with_other_bits_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast they are, and if they differ in one number of the last layer only."""
    weights = make_weights()
    right = multiply

    def drift(rows: torch.Tensor, weight: torch.Tensor, tiles: GateTiles) -> torch.Tensor:
        gated = right(rows, weight, tiles)
        if tiles == NARROW and torch.equal(weight, weights[-1]):
            gated[-1, -1] = torch.nextafter(gated[-1, -1], torch.full_like(gated[-1, -1], torch.inf))
        return gated

    monkeypatch.setattr(gated_product, "multiply", drift)
    trial = try_with([3.0, 2.0, 1.0], monkeypatch)
    assert trial.tiles == WIDE
    assert str(NARROW) not in trial.seconds


def test_a_card_is_tried_with_the_tiles_that_fit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(gated_product, "max_shared_mem", lambda device: 99 << 10)
    monkeypatch.setattr(gated_product, "_time_s", lambda device, run: 1.0)
    asked = []
    monkeypatch.setattr(gated_product, "multiply", lambda rows, weight, tiles: asked.append(tiles) or weight[:0])
    assert gated_product.try_on_card(make_weights(), 5) == gated_product.GateTrial(None, {"cuBLAS": 1.0})
    assert asked == list_tiles(99 << 10)


def test_tiles_fit_the_shared_memory_of_the_card() -> None:
    large, small = list_tiles(227 << 10), list_tiles(99 << 10)
    assert len(large) > len(small) > 0
    assert all(tiles.shared_bytes <= 99 << 10 for tiles in small)
    assert list_tiles(48 << 10) == []
