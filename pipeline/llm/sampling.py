"""From logits to tokens: temperature, top-k, top-p, and one random number that is a function of seed and step.

There is no generator state anywhere: what is drawn does not depend on what else is drawn, or in which order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import ConfigError

_MASK = np.uint64(0xFFFFFFFF)
_PHILOX_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_PHILOX_WEYL = (0x9E3779B9, 0xBB67AE85)
_PHILOX_ROUNDS = 10


@dataclass(frozen=True)
class SamplingParams:
    """How a token is drawn; the defaults are the official ones.

    Args:
        temperature: divides the logits; 0 takes the most likely token (greedy).
        top_k: candidates kept at most.
        top_p: the smallest set of candidates whose probability reaches this is kept.

    Raises:
        ConfigError: a value is out of range.
    """

    temperature: float = 0.8
    top_k: int = 50
    top_p: float = 0.95

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise ConfigError(f"sampling.temperature: {self.temperature}; expected a finite number of 0 or more")
        if self.top_k < 1:
            raise ConfigError(f"sampling.top_k: {self.top_k}; expected at least 1")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"sampling.top_p: {self.top_p}; expected a number above 0 and up to 1")


@dataclass(frozen=True)
class Candidates:
    """What may be drawn, most likely first.

    Args:
        columns: (rows, k) int64, columns of the logits; ties are in ascending order.
        probabilities: (rows, k) float64, 0 for what top-p leaves out; a row sums to 1.
    """

    columns: Tensor
    probabilities: Tensor


def find_candidates(logits: Tensor, params: SamplingParams) -> Candidates:
    """Apply temperature, top-k and top-p in this order.

    Args:
        logits: (rows, columns) float32, over the legal tokens in ascending order of preference among equals.
        params: what to keep.

    Source: the order and the meaning of the limits are those of the transformers library, which the official code
    uses; but exactly k candidates survive top-k where the library keeps all that tie with the last.
    """
    k = 1 if params.temperature == 0.0 else min(params.top_k, logits.shape[-1])
    columns = _top_columns(logits, k)
    if k == 1:
        return Candidates(columns, torch.ones(columns.shape, dtype=torch.float64, device=logits.device))
    # float64 for these few numbers: sums do not depend on their order in any digit that could matter.
    kept = logits.gather(-1, columns).double()
    probabilities = torch.softmax((kept - kept[:, :1]) / params.temperature, dim=-1)
    tail = probabilities.flip(-1).cumsum(-1).flip(-1)
    is_left_out = tail <= 1.0 - params.top_p
    is_left_out[:, 0] = False
    probabilities = probabilities.masked_fill(is_left_out, 0.0)
    return Candidates(columns, probabilities / probabilities.sum(-1, keepdim=True))


def _top_columns(logits: Tensor, k: int) -> Tensor:
    """Return the columns of the k largest logits, by (logit descending, column ascending).

    `topk` promises no order among equals, so the column becomes part of the number that is compared.
    """
    bits = (logits.float() + 0.0).view(torch.int32)  # + 0.0 makes -0.0 equal to 0.0
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers that compare as the floats do
    preference = 0xFFFFFFFF - torch.arange(logits.shape[-1], device=logits.device)
    keys = ordered.long().mul_(1 << 32).add_(preference)
    top = keys.topk(k, dim=-1).values
    return 0xFFFFFFFF - (top & 0xFFFFFFFF)


def draw(candidates: Candidates, uniforms: Tensor) -> Tensor:
    """Choose one candidate a row by inverting its cumulative distribution.

    Args:
        candidates: of `rows` rows.
        uniforms: (rows,) float64 in [0, 1).

    Returns:
        (rows,) int64, columns of the logits.
    """
    cumulative = candidates.probabilities.cumsum(-1)
    position = (cumulative <= uniforms[:, None] * cumulative[:, -1:]).sum(-1, keepdim=True)
    # The product may round up to the total; then the last candidate that has any probability is meant.
    last = (candidates.probabilities > 0).sum(-1, keepdim=True) - 1
    return candidates.columns.gather(-1, torch.minimum(position, last)).squeeze(-1)


def philox_uniforms(seed: int, num_steps: int) -> NDArray[np.float64]:
    """Return the random numbers of a sequence: number i is a function of (seed, i).

    Args:
        seed: taken modulo 2**64.
        num_steps: how many.

    Returns:
        (num_steps,) float64 in [0, 1), multiples of 2**-53.
    """
    counters = np.zeros((4, num_steps), dtype=np.uint64)
    counters[0] = np.arange(num_steps, dtype=np.uint64)
    words = philox4x32(counters, seed % (1 << 64))
    integers = ((words[0] >> np.uint64(5)) << np.uint64(26)) | (words[1] >> np.uint64(6))
    uniforms: NDArray[np.float64] = np.multiply(integers, 2.0**-53, dtype=np.float64)
    return uniforms


def philox4x32(counters: NDArray[np.uint64], key: int) -> NDArray[np.uint64]:
    """Mix counters into random words.

    Computed on the CPU for every device, so that the numbers are the same everywhere.

    Args:
        counters: (4, n), each below 2**32.
        key: below 2**64.

    Returns:
        (4, n), each below 2**32.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Philox4x32 with 10 rounds.
    """
    shift = np.uint64(32)
    c0, c1, c2, c3 = counters
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(_PHILOX_ROUNDS):
        product0 = _PHILOX_MULTIPLIERS[0] * c0
        product1 = _PHILOX_MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (product1 >> shift) ^ c1 ^ np.uint64(k0),
            product1 & _MASK,
            (product0 >> shift) ^ c3 ^ np.uint64(k1),
            product0 & _MASK,
        )
        k0 = (k0 + _PHILOX_WEYL[0]) & 0xFFFFFFFF
        k1 = (k1 + _PHILOX_WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3])
