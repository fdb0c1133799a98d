"""Semantic tokens with a meaning: a phone, the place of the frame in it, and a pitch step relative to the voice.

A codebook learned from sound alone leaves a small language model guessing at every frame. Here it decides once for each
phone (which, how long, how high) and the frames follow, and the wave generator knows what it is to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.demo_voice.training.flite import FRAME_SECONDS, TRACK_SECONDS

VOICED = (
    "aa ae ah ao aw ax ay b d dh eh er ey g ih iy jh l m n ng ow oy r uh uw v w y z zh".split()
)  # fmt: skip
UNVOICED = "pau ch f hh k p s sh t th".split()
PLACES = 3
"""First frame of a phone, frames inside, last frame; a phone of one frame is a last one."""
FIRST, INSIDE, LAST = range(PLACES)
PITCH_STEPS = 5
STEP_SEMITONES = 1.6
CODEBOOK_SIZE, CODE_DIM = 512, 16

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
        """Return the track to render: one pitch, voiced or not by whole frames.

        A pitch that is a multiple of the frame rate, begun at the start of a frame, has its pulses at the same places
        in every frame. So small a wave generator, trained for so short a time, can learn places; it cannot learn to
        keep the phase of a pitch that glides.
        """
        size = round(FRAME_SECONDS / TRACK_SECONDS)
        padded = np.pad(f0, (0, -f0.size % size))
        voiced = (padded.reshape(-1, size) > 0).sum(axis=1) >= size / 2
        return np.where(np.repeat(voiced, size)[: f0.size], self.rendered_hz, 0).astype(np.float32)


def tokenize_phones(phones: list[str], ends: NDArray[np.float64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (frames,) semantic tokens; every phone gets a frame at least, whatever its duration."""
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


def flatten_pitch(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tokens with the middle pitch step in place of their own, of the same shape."""
    size = PLACES * PITCH_STEPS
    flat = tokens - tokens % size + PITCH_STEPS // 2 * PLACES + tokens % PLACES
    return np.where(tokens < len(VOICED) * size, flat, tokens)


def make_codebook() -> Tensor:
    """Return (CODEBOOK_SIZE, CODE_DIM) codes: a direction for the phone, and a smaller part for place and pitch.

    Tokens that sound alike lie together, so that an encoder's slips are small ones. The rows beyond the tokens in use
    point away from all of them.
    """
    generator = torch.Generator().manual_seed(41)
    directions = torch.randn(len(_PHONE_OFFSET), CODE_DIM - 4, generator=generator, dtype=torch.float64)
    for _ in range(300):
        # Pushed apart, as so few dimensions leave random directions close to each other.
        directions = torch.nn.functional.normalize(directions, dim=1)
        closeness = (directions @ directions.T).fill_diagonal_(-1)
        directions = directions - 0.1 * torch.softmax(8 * closeness, dim=1) @ directions
    directions = torch.nn.functional.normalize(directions, dim=1)
    codebook = torch.zeros(CODEBOOK_SIZE, CODE_DIM, dtype=torch.float64)
    codebook[:, -1] = -3.0
    for index, phone in enumerate(_PHONE_OFFSET):
        for pitch in range(PITCH_STEPS if phone in VOICED else 1):
            height = (pitch - PITCH_STEPS // 2) / 2 if phone in VOICED else 0.0
            for place in range(PLACES):
                row = _PHONE_OFFSET[phone] + pitch * PLACES + place
                codebook[row, :-4] = 2 * directions[index]
                codebook[row, -4] = 0.7 * height
                codebook[row, -3 + place] = 0.7
    return codebook.float()
