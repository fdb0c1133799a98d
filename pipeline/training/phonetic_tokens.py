"""Semantic tokens with a meaning: a phone, the place of the frame in it, and a pitch step relative to the voice.

A codebook learned from sound alone leaves a small language model guessing at every frame. Here it decides once for each
phone (which, how long, how high) and the frames follow, and the wave generator knows what it is to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.training.flite import FRAME_SECONDS, TRACK_SECONDS

VOICED = (
    "aa ae ah ao aw ax ay b d dh eh er ey g ih iy jh l m n ng ow oy r uh uw v w y z zh".split()
)  # fmt: skip
UNVOICED = "pau ch f hh k p s sh t th".split()
PLACES = 3
"""First frame of a phone, frames inside, last frame; a phone of one frame is a last one."""
FIRST, INSIDE, LAST = range(PLACES)
PITCH_STEPS = 5
STEP_SEMITONES = 1.6
CODEBOOK_SIZE = 512

_PHONE_OFFSET = {
    **{phone: index * PLACES * PITCH_STEPS for index, phone in enumerate(VOICED)},
    **{phone: len(VOICED) * PLACES * PITCH_STEPS + index * PLACES for index, phone in enumerate(UNVOICED)},
}
NUM_TOKENS = len(VOICED) * PLACES * PITCH_STEPS + len(UNVOICED) * PLACES


@dataclass(frozen=True)
class PitchContour:
    """Rounds a predicted pitch to steps around a voice's own pitch, one for each voiced phone.

    Attributes:
        predicted_hz: the center of what is predicted.
        rendered_hz: the center of what is to be heard.
    """

    predicted_hz: float
    rendered_hz: float

    def steps(self, phones: list[str], ends: NDArray[np.float64], f0: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return (phones,) int64 in [0, PITCH_STEPS); unvoiced phones repeat their left neighbor's."""
        times = (np.arange(f0.size) + 0.5) * TRACK_SECONDS
        owner = np.searchsorted(ends, times)
        middle = PITCH_STEPS // 2
        steps = np.full(len(phones), middle)
        last = middle
        for index, phone in enumerate(phones):
            voiced = f0[(owner == index) & (f0 > 0)]
            if phone in _PHONE_OFFSET and phone in VOICED and voiced.size:
                semitones = 12 * np.log2(np.exp(np.log(voiced).mean()) / self.predicted_hz)
                last = int(np.clip(round(semitones / STEP_SEMITONES) + middle, 0, PITCH_STEPS - 1))
            steps[index] = last
        return steps

    def __call__(self, phones: list[str], ends: NDArray[np.float64], f0: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the track to render: steps joined by straight lines between the middles of voiced phones."""
        steps = self.steps(phones, ends, f0)
        starts = np.concatenate([[0.0], ends[:-1]])
        keep = np.array([phone in VOICED for phone in phones])
        if not keep.any():
            return f0
        times = (np.arange(f0.size) + 0.5) * TRACK_SECONDS
        semitones = (steps[keep] - PITCH_STEPS // 2) * STEP_SEMITONES
        line = np.interp(times, (starts + ends)[keep] / 2, semitones)
        return np.where(f0 > 0, self.rendered_hz * 2 ** (line / 12), 0).astype(np.float32)


def tokenize_phones(phones: list[str], ends: NDArray[np.float64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (frames,) semantic tokens; every phone gets a frame at least, so frames may exceed the duration a little."""
    edges = np.maximum.accumulate(np.round(ends / FRAME_SECONDS).astype(int))
    tokens: list[int] = []
    start = 0
    for phone, step, edge in zip(phones, steps, edges, strict=True):
        count = max(int(edge) - start, 1)
        start += count
        name = phone if phone in _PHONE_OFFSET else "pau"
        pitch = int(step) * PLACES if name in VOICED else 0
        base = _PHONE_OFFSET[name] + pitch
        tokens += [base + FIRST, *[base + INSIDE] * (count - 2), base + LAST][-count:]
    return np.array(tokens)


def phone_of(token: int) -> str:
    """Return the phone that a token stands for."""
    voiced_tokens = len(VOICED) * PLACES * PITCH_STEPS
    if token < voiced_tokens:
        return VOICED[token // (PLACES * PITCH_STEPS)]
    return UNVOICED[min((token - voiced_tokens) // PLACES, len(UNVOICED) - 1)]
