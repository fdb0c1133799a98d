"""The demo's voices, and the global tokens that stand for them.

Of a voice's 32 global tokens the first ones name the timbre and the others its pitch, in small steps, so that a pitch
between two voices, or a voice nobody trained, still has tokens that mean it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_TOKENS = 32
NUM_PITCH_TOKENS = 8
LEVELS = (4,) * 6
LOWEST_HZ, HIGHEST_HZ = 65.0, 320.0
PITCHES_HZ = {"female": (150.0, 200.0, 200.0, 250.0, 300.0), "male": (100.0, 100.0, 150.0, 150.0, 200.0)}
"""Of the pitch labels very_low to very_high: multiples of the frame rate, see phonetic_tokens.PitchContour."""
STRETCHES = (1.45, 1.2, 1.0, 0.84, 0.7)
"""Of the speed labels very_low to very_high."""


@dataclass(frozen=True)
class DemoVoice:
    """One voice.

    Attributes:
        name: under which the checkpoint ships it.
        gender: female or male, as the style label says it.
        source: flite's name of the voice that it is made from.
        warp: of its spectrum; see FliteVoice.
        predicted_hz: center of the source's own pitch.
        pitch_hz: the pitch that is rendered, where no other is asked for.
    """

    name: str
    gender: str
    source: str
    warp: float
    predicted_hz: float
    pitch_hz: float


VOICES = (
    DemoVoice("ada", "female", "slt", 0.0, 168.0, 200.0),
    DemoVoice("iris", "female", "rms", -0.06, 100.0, 250.0),
    DemoVoice("angus", "male", "awb", 0.0, 127.0, 150.0),
    DemoVoice("ross", "male", "rms", 0.0, 100.0, 100.0),
)


def global_tokens(voice: int, pitch_hz: float) -> NDArray[np.int64]:
    """Return the (32,) global tokens of a voice at a pitch."""
    digits = voice_digits(voice, pitch_hz)
    basis = np.cumprod([1, *LEVELS[:-1]])
    return (digits * basis).sum(axis=1)


def voice_digits(voice: int, pitch_hz: float) -> NDArray[np.int64]:
    """Return (32, 6) levels: what the finite scalars of the speaker encoder should round to."""
    timbre = np.random.default_rng([11, voice]).integers(0, LEVELS[0], (NUM_TOKENS - NUM_PITCH_TOKENS, len(LEVELS)))
    height = np.log(pitch_hz / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ)
    cells = NUM_PITCH_TOKENS * len(LEVELS)
    stagger = (np.arange(cells) + 0.5) / cells - 0.5
    top = LEVELS[0] - 1
    pitch = np.clip(np.round(np.clip(height, 0, 1) * top + stagger), 0, top).astype(np.int64)
    return np.concatenate([timbre, pitch.reshape(NUM_PITCH_TOKENS, len(LEVELS))])
