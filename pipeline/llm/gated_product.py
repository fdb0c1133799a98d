"""The perceptron's first product with its gate inside, in Triton: for GPUs that are faster with it.

It saves a kernel a layer, and a write and a read of both halves of the product; but it stands in for cuBLAS's product,
which may be faster by more than that. So both are tried at load. What they give is rounded in the same places, and only
tiles that give cuBLAS's very bits may win: which way is taken reaches no token.

Legend of shape suffixes: T tokens of a call, H hidden, I width of the perceptron.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor
from triton.compiler.compiler import max_shared_mem

from pipeline.hardware.gpu import record
from pipeline.llm import kernels

logger = logging.getLogger(__name__)

_NUM_REPLAYS = 5


@dataclass(frozen=True)
class GateTiles:
    """How a program of the product is cut: it has so many rows, and so many columns of either half.

    Args:
        rows: tokens of a program.
        width: columns of each half.
        depth: numbers of a row that are multiplied at a time.
        num_warps: of a program.
        num_stages: depths that are on their way from memory.
    """

    rows: int
    width: int
    depth: int
    num_warps: int
    num_stages: int

    @property
    def shared_bytes(self) -> int:
        """What a program takes of shared memory at most, in bfloat16."""
        return 2 * self.num_stages * (self.rows + 2 * self.width) * self.depth

    def __str__(self) -> str:
        return f"{self.rows} x 2 x {self.width} x {self.depth}"


_ALL_TILES = (GateTiles(128, 128, 64, 8, 4), GateTiles(128, 128, 32, 8, 4), GateTiles(128, 64, 64, 8, 3))
"""All compile without a spill wherever their shared memory fits (tests hold it). The widest ask least of the second
cache; the first is for cards with the shared memory of an H100."""


def list_tiles(shared_bytes: int) -> list[GateTiles]:
    """Return the tiles that fit a card with so much shared memory for a program."""
    return [tiles for tiles in _ALL_TILES if tiles.shared_bytes <= shared_bytes]


def multiply(normed_TH: Tensor, weight: Tensor, tiles: GateTiles) -> Tensor:
    """Return silu(first half) * second half of the product: (T, I) for (T, H) and a weight of (2 I, H)."""
    num_tokens, hidden = normed_TH.shape
    width = len(weight) // 2
    gated_TI = normed_TH.new_empty((num_tokens, width))
    _gated_product[(triton.cdiv(num_tokens, tiles.rows) * triton.cdiv(width, tiles.width),)](
        normed_TH, weight, gated_TI, num_tokens, hidden, width, tiles.rows, tiles.width, tiles.depth,
        num_warps=tiles.num_warps, num_stages=tiles.num_stages,
    )  # fmt: skip
    return gated_TI


@triton.jit
def _gated_product(
    normed, weight, gated, num_tokens, HIDDEN: tl.constexpr, WIDTH: tl.constexpr, TILE_ROWS: tl.constexpr,
    TILE_WIDTH: tl.constexpr, TILE_DEPTH: tl.constexpr,
):  # fmt: skip
    # Programs of the same columns are neighbors, so that a weight is read from memory once.
    num_row_tiles = tl.cdiv(num_tokens, TILE_ROWS)
    row = ((tl.program_id(0) % num_row_tiles) * TILE_ROWS + tl.arange(0, TILE_ROWS)).to(tl.int64)[:, None]
    column = ((tl.program_id(0) // num_row_tiles) * TILE_WIDTH + tl.arange(0, TILE_WIDTH)).to(tl.int64)[None, :]
    depth = tl.arange(0, TILE_DEPTH)
    first = tl.zeros((TILE_ROWS, TILE_WIDTH), tl.float32)
    second = tl.zeros((TILE_ROWS, TILE_WIDTH), tl.float32)
    for start in range(0, HIDDEN, TILE_DEPTH):
        place = start + depth
        values = tl.load(
            normed + row * HIDDEN + place[None, :], mask=(row < num_tokens) & (place < HIDDEN)[None, :], other=0.0
        )
        source = weight + column * HIDDEN + place[:, None]
        is_weight = (column < WIDTH) & (place < HIDDEN)[:, None]
        first = tl.dot(values, tl.load(source, mask=is_weight, other=0.0), first, input_precision="ieee")
        source += WIDTH * HIDDEN
        second = tl.dot(values, tl.load(source, mask=is_weight, other=0.0), second, input_precision="ieee")
    # Rounded where a product that is stored would be, and then as `kernels.gate` does.
    dtype = gated.dtype.element_ty
    wide = first.to(dtype).to(tl.float32)
    activated = (wide / (1.0 + tl.exp(-wide))).to(dtype)
    result = activated.to(tl.float32) * second.to(dtype).to(tl.float32)
    tl.store(gated + row * WIDTH + column, result.to(dtype), mask=(row < num_tokens) & (column < WIDTH))


@dataclass(frozen=True)
class GateTrial:
    """What was found at load.

    Args:
        tiles: of the fastest way; None is cuBLAS's product and a kernel after it.
        seconds: that all layers take, by way; tiles with other bits than cuBLAS's are not among them.
    """

    tiles: GateTiles | None
    seconds: dict[str, float]


def try_tiles(
    weights: Sequence[Tensor],
    num_tokens: int,
    all_tiles: Sequence[GateTiles],
    time_s: Callable[[Callable[[], None]], float],
) -> GateTrial:
    """Find the fastest way that gives cuBLAS's bits in every layer.

    Args:
        weights: (2 I, H), of each layer.
        num_tokens: of the calls that it is asked for.
        all_tiles: to be tried.
        time_s: returns the seconds that a call takes.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (num_tokens, weights[0].shape[1])
    normed_TH = torch.randn(shape, generator=generator, device="cpu").to(weights[0])

    def run(tiles: GateTiles | None) -> None:
        for weight in weights:
            _run(normed_TH, weight, tiles)

    best, seconds = None, {"cuBLAS": time_s(partial(run, None))}
    for tiles in all_tiles:
        is_equal = all(torch.equal(_run(normed_TH, weight, tiles), _run(normed_TH, weight, None)) for weight in weights)
        if is_equal:
            seconds[str(tiles)] = time_s(partial(run, tiles))
            best = tiles if seconds[str(tiles)] == min(seconds.values()) else best
    return GateTrial(best, seconds)


def _run(normed_TH: Tensor, weight: Tensor, tiles: GateTiles | None) -> Tensor:
    return kernels.gate(F.linear(normed_TH, weight)) if tiles is None else multiply(normed_TH, weight, tiles)


def try_on_card(weights: Sequence[Tensor], num_tokens: int) -> GateTrial:
    """Find the fastest way on the GPU that the weights are on, which is the current one, in bfloat16."""
    device = weights[0].device
    shared_bytes = max_shared_mem(torch.cuda.current_device())
    trial = try_tiles(weights, num_tokens, list_tiles(shared_bytes), partial(_time_s, device))
    # What the trial's graphs held goes back to the card.
    torch.cuda.empty_cache()
    logger.info("llm on %s: seconds of the gates of %d tokens: %s", device, num_tokens, trial.seconds)
    return trial


def _time_s(device: torch.device, run: Callable[[], None]) -> float:
    # As a graph, as it runs later: the host launches more slowly than the card computes.
    replay = record(run, device)
    times_ms: list[float] = []
    for _ in range(_NUM_REPLAYS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        replay()
        end.record()
        end.synchronize()
        times_ms.append(begin.elapsed_time(end))
    return min(times_ms) / 1e3
