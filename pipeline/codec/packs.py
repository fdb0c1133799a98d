"""Packs: rows of one fixed length in which items lie one after another. Which item goes where; no tensors here.

An item is a take's semantic tokens. What a pack costs does not follow from what lies in it, so that the fewest packs
are the fastest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.codec.checkpoint import BiCodecConfig
from pipeline.codec.decoder import RESIDUAL_DILATIONS


@dataclass(frozen=True)
class Place:
    """Where an item lies in its pack.

    Attributes:
        item: its index.
        start: its first frame in the pack.
        num_frames: its length.
    """

    item: int
    start: int
    num_frames: int


@dataclass(frozen=True)
class Pack:
    """A row to decode.

    Attributes:
        num_frames: the row's length.
        places: from the first frame on.
    """

    num_frames: int
    places: tuple[Place, ...]


def fill_pack(lengths: Sequence[int], pack_frames: int, gap_frames: int, max_items: int) -> Pack:
    """Return a pack of the first item and of as many of the others as have room, in their order.

    Packs filled one after another with what is left, the longest first, are few: under a tenth is padding.

    Args:
        lengths: frames of each item, in the order in which they are wanted; one at least.
        pack_frames: of a pack. If the first item is longer, it gets a pack of its own, of its length rounded up to a
            multiple of it.
        gap_frames: at least so many frames between two items.
        max_items: of a pack.
    """
    if lengths[0] > pack_frames:
        return Pack(-(-lengths[0] // pack_frames) * pack_frames, (Place(0, 0, lengths[0]),))
    places: list[Place] = []
    start = 0
    for item, num_frames in enumerate(lengths):
        if start + num_frames <= pack_frames:
            places.append(Place(item, start, num_frames))
            start += num_frames + gap_frames
            if len(places) == max_items:
                break
    return Pack(pack_frames, tuple(places))


def find_gap(config: BiCodecConfig) -> int:
    """Return the frames between two items at which no convolution that sees one of them sees the other, too.

    Every convolution is given zeros outside of the items, so that what it takes from a neighbor does not reach the next
    one: a gap has to be as wide as the widest of them reaches to one side, not as all of them together. A reach counts
    at the rate where the convolution works, where a frame is many samples. There an item may have grown into the gap:
    some stages make one sample more of it than its length times their rate.
    """
    rate, grown = 1, 0
    gap = 3  # A kernel of 7 at the rate of the tokens: the prenet's entrance.
    for ratio in config.prenet.sample_ratios:
        # Twice as wide as its step, with half a step (rounded up) cut off: never more than the next frame.
        gap = max(gap, _to_frames(1, rate))
        rate *= ratio
    for step, kernel_size in zip(config.decoder.rates, config.decoder.kernel_sizes, strict=True):
        # A frame reaches half of what the kernel has more than the step, to each side of its own samples.
        overhang = -(-(kernel_size - step) // 2)
        gap = max(gap, _to_frames(-(-overhang // step) + grown, rate))
        rate, grown = rate * step, grown * step + (kernel_size - step) % 2
        gap = max(gap, _to_frames(3 * max(RESIDUAL_DILATIONS) + grown, rate))
    return gap


def _to_frames(num_samples: int, rate: int) -> int:
    return -(-num_samples // rate)
