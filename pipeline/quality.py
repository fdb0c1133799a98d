"""Judge a take: good enough, or why not. Thresholds come from `quality` in the config; knows nothing of networks."""

from __future__ import annotations

import math

from pipeline.audio import AudioStats
from pipeline.config import QualityConfig
from pipeline.errors import RejectionCode
from pipeline.takes import Rejection

FRAME_RATE = 50
MAX_TRAINED_TOKENS = 1_500
"""The longest answers in training; past 30 s the model has nothing to go by (Spark-TTS, SparkVox data preparation)."""
EDGE_SILENCE_S = 1.0
"""Lead-in, tail and a breath that even one word may have around it; keeps short texts from counting as slow."""


def length_cap(estimated_s: float, quality: QualityConfig) -> int:
    """Return the most semantic tokens that a segment may take.

    Args:
        estimated_s: expected speaking time in seconds.
        quality: `length_cap_factor` and `length_cap_extra_s` apply.
    """
    seconds = estimated_s * quality.length_cap_factor + quality.length_cap_extra_s
    return max(1, min(math.ceil(seconds * FRAME_RATE), MAX_TRAINED_TOKENS))


def judge_tokens(num_tokens: int, hit_length_cap: bool, estimated_s: float, quality: QualityConfig) -> Rejection | None:
    """Judge a take before it is decoded, by its length alone; return None if it is plausible.

    Args:
        num_tokens: semantic tokens of the take, 50 a second.
        hit_length_cap: whether generation was ended by the cap, not by the model.
        estimated_s: expected speaking time in seconds.
        quality: thresholds.
    """
    duration_s = num_tokens / FRAME_RATE
    if hit_length_cap:
        return Rejection(
            RejectionCode.HIT_LENGTH_CAP,
            f"no end after {duration_s:.2f} s of speech where about {estimated_s:.2f} s were expected",
        )
    if num_tokens == 0:
        return Rejection(RejectionCode.NO_SPEECH, f"no speech at all where about {estimated_s:.2f} s were expected")
    if duration_s < estimated_s / quality.max_pace:
        return Rejection(
            RejectionCode.TOO_FAST,
            f"{duration_s:.2f} s of speech is {estimated_s / duration_s:.2f} times the expected pace "
            f"(quality.max_pace is {quality.max_pace:g})",
        )
    if quality.min_pace > 0 and duration_s > estimated_s / quality.min_pace + EDGE_SILENCE_S:
        return Rejection(
            RejectionCode.TOO_SLOW,
            f"{duration_s:.2f} s of speech is {estimated_s / duration_s:.2f} times the expected pace "
            f"(quality.min_pace is {quality.min_pace:g})",
        )
    return None


def judge_audio(stats: AudioStats, quality: QualityConfig) -> Rejection | None:
    """Judge a decoded take by its sound; return None if it is good enough."""
    if stats.silence_ratio > quality.max_silence_ratio:
        return Rejection(
            RejectionCode.MOSTLY_SILENCE,
            f"{stats.silence_ratio:.0%} of the frames are silent (quality.max_silence_ratio is "
            f"{quality.max_silence_ratio:.0%})",
        )
    if stats.clipped_ratio > quality.max_clipped_ratio:
        return Rejection(
            RejectionCode.CLIPPED,
            f"{stats.clipped_ratio:.1%} of the samples are at full scale (quality.max_clipped_ratio is "
            f"{quality.max_clipped_ratio:.1%})",
        )
    return None
