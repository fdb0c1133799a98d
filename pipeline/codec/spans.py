"""Where items lie in rows that hold more than one item, or more than an item.

Shape suffixes: B batch, F frames or samples, C channels, N items.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Spans:
    """What the networks must know of items that lie in a row one after another, with gaps between.

    Where a network takes `None` in its place, every row is an item, from its first frame to its last.

    Attributes:
        inside_B1F: (batch, 1, frames) float32, at the rate of the signal that it goes with: 1 where an
            item is, 0 in a gap.
        item_BF: (batch, frames) int64, at the rate of the tokens: whose speaker a frame has, an index of the
            conditions' rows; in gaps any.
    """

    inside_B1F: Tensor
    item_BF: Tensor

    @classmethod
    def of_items(cls, item_BF: Tensor) -> Spans:
        """Return the spans of items.

        Args:
            item_BF: (batch, frames) int64, at the rate of the tokens: the item that a frame belongs to; in gaps -1.
        """
        return cls((item_BF >= 0).to(torch.float32)[:, None, :], item_BF.clamp(min=0))

    def upsample(self, rate: int, extra_samples: int = 0) -> Spans:
        """Return the spans after a convolution that makes `rate` samples of each, and `extra_samples` (0 or 1) more.

        An item's own extra sample lies behind its last one, where the gap begins.
        """
        inside_B1F = _repeat(self.inside_B1F, rate)
        if extra_samples:
            inside_B1F = torch.maximum(functional.pad(inside_B1F, (0, 1)), functional.pad(inside_B1F, (1, 0)))
        return Spans(inside_B1F, self.item_BF)


def zero_outside(x_BCF: Tensor, spans: Spans | None) -> Tensor:
    """Return `x_BCF` (batch, channels, frames or samples) with zeros outside of the items."""
    return x_BCF if spans is None else x_BCF * spans.inside_B1F


def spread(values_NC: Tensor, spans: Spans | None) -> Tensor:
    """Give each frame its item's row: (batch, frames, channels), or (batch, 1, channels) where a row is an item."""
    if spans is None:
        return values_NC[:, None, :]
    return values_NC[_repeat(spans.item_BF, spans.inside_B1F.shape[-1] // spans.item_BF.shape[-1])]


def _repeat(x: Tensor, times: int) -> Tensor:
    """Repeat each entry of the last axis; by views, as `repeat_interleave` may ask the GPU for the length."""
    return x if times == 1 else x[..., None].expand(*x.shape, times).flatten(-2)
