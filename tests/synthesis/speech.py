"""Recordings of people who speak."""

from pathlib import Path

import soundfile

SPEECH = Path(__file__).parents[1] / "fixtures" / "speech"


def read_clip(name):
    samples, rate = soundfile.read(SPEECH / f"{name}.flac", dtype="float32")
    assert rate == 16_000
    return samples
