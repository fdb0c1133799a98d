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


def plan_packs(lengths: Sequence[int], pack_frames: int, gap_frames: int, max_items: int) -> list[Pack]:
    """Put each item into the first pack with room for it, longest first; equal lengths always give equal packs.

    Args:
        lengths: frames of each item.
        pack_frames: of a pack. A longer item gets a pack of its own, of its length rounded up to a multiple of it.
        gap_frames: at least so many frames between two items.
        max_items: of a pack.

    Returns:
        Packs of `pack_frames` in the order in which they were begun, after those of longer items.
    """
    packs: list[list[Place]] = []
    long_packs = []
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        num_frames = lengths[item]
        if num_frames > pack_frames:
            rounded = -(-num_frames // pack_frames) * pack_frames
            long_packs.append(Pack(rounded, (Place(item, 0, num_frames),)))
            continue
        for places in packs:
            start = places[-1].start + places[-1].num_frames + gap_frames
            if start + num_frames <= pack_frames and len(places) < max_items:
                places.append(Place(item, start, num_frames))
                break
        else:
            packs.append([Place(item, 0, num_frames)])
    return long_packs + [Pack(pack_frames, tuple(places)) for places in packs]


def find_gap(config: BiCodecConfig) -> int:
    """Return the frames between two items at which no convolution that sees one of them sees the other, too.

    Every convolution is given zeros outside of the items, so that what it hears of a neighbor does not reach the next
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
