"""Judge a take: good enough, or why not. Thresholds come from `quality` in the config; knows nothing of networks.

A take is judged three times: by its length, by its sound, and, where somebody listens (`quality.asr`,
`quality.naturalness`), by what is heard in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pipeline.audio.samples import AudioStats
from pipeline.config.figures import apart
from pipeline.config.quality import QualityConfig
from pipeline.errors import RejectionCode
from pipeline.synthesis.listening import Contour, Hearing
from pipeline.synthesis.recognition import Reading
from pipeline.synthesis.takes import Rejection

FRAME_RATE = 50
MAX_TRAINED_TOKENS = 1_500
"""The longest answers in training; past 30 s the model has nothing to go by (Spark-TTS, SparkVox data preparation)."""
EDGE_SILENCE_S = 1.0
"""Lead-in, tail and a breath that even one word may have around it; keeps short texts from counting as slow."""
SLACK_LETTERS = 3
"""Letters of one misheard word: what every limit on letters forgives, as one word is all that some texts have."""
MIN_WORDS_FOR_WER = 4
"""In shorter texts one misheard word is too large a share."""
ABRUPT_END_DB = -20.0
"""Measured: speech that ends by itself is under -40 dB at its end, most that is cut off is over -20 dB."""


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
        pace, limit = apart(estimated_s / duration_s, quality.max_pace, 2)
        return Rejection(
            RejectionCode.TOO_FAST,
            f"{duration_s:.2f} s of speech is {pace} times the expected pace (quality.max_pace is {limit})",
        )
    if quality.min_pace > 0 and duration_s > estimated_s / quality.min_pace + EDGE_SILENCE_S:
        pace, limit = apart(estimated_s / duration_s, quality.min_pace, 2)
        return Rejection(
            RejectionCode.TOO_SLOW,
            f"{duration_s:.2f} s of speech is {pace} times the expected pace (quality.min_pace is {limit})",
        )
    return None


def judge_audio(stats: AudioStats, quality: QualityConfig) -> Rejection | None:
    """Judge a decoded take by its sound; return None if it is good enough."""
    if stats.silence_ratio > quality.max_silence_ratio:
        share, limit = apart(stats.silence_ratio, quality.max_silence_ratio, percent=True)
        return Rejection(
            RejectionCode.MOSTLY_SILENCE, f"{share} of the frames are silent (quality.max_silence_ratio is {limit})"
        )
    if stats.clipped_ratio > quality.max_clipped_ratio:
        share, limit = apart(stats.clipped_ratio, quality.max_clipped_ratio, 2, percent=True)
        return Rejection(
            RejectionCode.CLIPPED,
            f"{share} of the samples are cut off at the same level (quality.max_clipped_ratio is {limit})",
        )
    return None


def judge_hearing(hearing: Hearing, quality: QualityConfig) -> Rejection | None:
    """Judge a take by what was heard in it; return None if it is good enough, or nothing could be judged."""
    pause_s = hearing.contour.longest_pause_s
    if pause_s > quality.max_pause_s:
        pause, limit = apart(pause_s, quality.max_pause_s, 2)
        return Rejection(RejectionCode.LONG_PAUSE, f"a pause of {pause} s (quality.max_pause_s is {limit})")
    background_db = hearing.contour.background_db
    if background_db is not None and background_db > quality.max_background_db:
        distance, limit = apart(-background_db, abs(quality.max_background_db))
        return Rejection(
            RejectionCode.NOISY,
            f"its quietest moments are {distance} dB under its loud ones (quality.max_background_db is -{limit})",
        )
    if hearing.reading is not None:
        rejection = _judge_reading(hearing.reading, hearing.contour.end_db, quality)
        if rejection is not None:
            return Rejection(rejection.code, f"{rejection.message}; heard {hearing.heard or 'nothing'!r:.120}")
    if hearing.similarity is not None and hearing.similarity < quality.min_similarity:
        likeness, limit = apart(hearing.similarity, quality.min_similarity, 2)
        return Rejection(
            RejectionCode.WRONG_VOICE,
            f"the voice is {likeness} like the one asked for, of 1 (quality.min_similarity is {limit})",
        )
    if hearing.naturalness is not None and hearing.naturalness < quality.min_naturalness:
        rating, limit = apart(hearing.naturalness, quality.min_naturalness, 2)
        return Rejection(RejectionCode.UNNATURAL, f"naturalness {rating} of 5 (quality.min_naturalness is {limit})")
    return None


def _judge_reading(reading: Reading, end_db: float, quality: QualityConfig) -> Rejection | None:
    num_letters, num_heard = reading.num_letters, reading.num_letters_heard
    # What ends in the middle of a sound has lost something as soon as a word is missing.
    min_heard = 1.0 if end_db > ABRUPT_END_DB else quality.min_heard
    if num_heard < min_heard * num_letters - SLACK_LETTERS:
        return Rejection(
            RejectionCode.CUT_SHORT,
            f"{num_heard} letters heard where the text has {num_letters}"
            + (" and an end in the middle of a sound" if end_db > ABRUPT_END_DB else "")
            + f" (quality.min_heard is {quality.min_heard:g})",
        )
    if reading.repeated or num_heard > SLACK_LETTERS + quality.max_heard * num_letters:
        again = f", {reading.repeated!r} more than once" if reading.repeated else ""
        return Rejection(
            RejectionCode.REPEATED,
            f"{num_heard} letters heard where the text has {num_letters}{again} "
            f"(quality.max_heard is {quality.max_heard:g})",
        )
    return _judge_errors(reading, quality) or _judge_gaps(reading, quality)


def _judge_errors(reading: Reading, quality: QualityConfig) -> Rejection | None:
    """Judge how many words and letters were heard otherwise; names what is beyond its limit alone."""
    wer = reading.num_word_errors / reading.num_words
    cer = max(reading.num_letter_errors - SLACK_LETTERS, 0) / max(reading.num_letters, 1)
    max_wer, max_cer = quality.limit("max_wer"), quality.limit("max_cer")
    problems = []
    if reading.num_words >= MIN_WORDS_FOR_WER and wer > max_wer:
        found, most = apart(wer, max_wer, 2)
        problems.append(f"word error rate {found} (quality.max_wer is {most})")
    if cer > max_cer:
        found, most = apart(cer, max_cer, 2)
        problems.append(f"letter error rate {found}, {SLACK_LETTERS} letters forgiven (quality.max_cer is {most})")
    return Rejection(RejectionCode.WRONG_WORDS, ", ".join(problems)) if problems else None


def _judge_gaps(reading: Reading, quality: QualityConfig) -> Rejection | None:
    """Judge words that were not said, or said where the text has none."""
    missing, extra = reading.num_missing_words, reading.num_extra_words
    if missing is None or extra is None or reading.num_words < MIN_WORDS_FOR_WER:
        return None
    for number, limit, how in (
        (missing, quality.max_missing, "of the text not said (quality.max_missing"),
        (extra, quality.max_extra, "said that the text does not have (quality.max_extra"),
    ):
        if number > limit * reading.num_words:
            return Rejection(RejectionCode.WRONG_WORDS, f"{number} of {reading.num_words} words {how} is {limit:g})")
    return None


_LIMITS_OF = {
    RejectionCode.TOO_FAST: ("max_pace",),
    RejectionCode.TOO_SLOW: ("min_pace",),
    RejectionCode.MOSTLY_SILENCE: ("max_silence_ratio",),
    RejectionCode.CLIPPED: ("max_clipped_ratio",),
    RejectionCode.NOISY: ("max_background_db",),
    RejectionCode.LONG_PAUSE: ("max_pause_s",),
    RejectionCode.CUT_SHORT: ("min_heard",),
    RejectionCode.REPEATED: ("max_heard",),
    RejectionCode.WRONG_WORDS: ("max_wer", "max_cer", "max_missing", "max_extra"),
    RejectionCode.WRONG_VOICE: ("min_similarity",),
    RejectionCode.UNNATURAL: ("min_naturalness",),
}
"""By which limits a take is rejected with a code."""


def is_judged_otherwise(record: Mapping[str, Any], before: Mapping[str, float], quality: QualityConfig) -> bool:
    """Tell whether other limits may change the verdict on a committed row.

    An accepted row is judged again by what is on record of its segments; commits of older formats have nothing, and
    their rows stay. A rejected one may pass if the limit that it failed is looser, since its takes are gone.

    Args:
        record: `status`, `error_code` and `segments` of its commit.
        before: the limits that it was judged by, see `QualityConfig.limits`.
        quality: the limits of today.
    """
    if record["status"] == "ok":
        return any(_judge_segment(segment, quality) is not None for segment in record["segments"] or ())
    limits, now = _LIMITS_OF.get(record["error_code"], ()), quality.limits()
    before = {**now, **before}  # Some limits are younger than some outputs.
    return any(now[name] > before[name] if name.startswith("max") else now[name] < before[name] for name in limits)


def _judge_segment(measures: Mapping[str, Any], quality: QualityConfig) -> Rejection | None:
    rejection = judge_tokens(measures["num_semantic_tokens"], False, measures["estimated_s"], quality)
    if rejection is None and measures["silence_ratio"] is not None:
        rejection = judge_audio(AudioStats(0.0, 0.0, measures["silence_ratio"], measures["clipped_ratio"]), quality)
    if rejection is None and measures["longest_pause_s"] is not None:
        names = [found.name for found in fields(Reading)]
        reading = None if measures["num_words"] is None else Reading(*(measures[name] for name in names))
        contour = Contour(measures["longest_pause_s"], measures["end_db"], measures["background_db"])
        hearing = Hearing(contour, None, reading, measures["similarity"], None, measures["naturalness"])
        rejection = judge_hearing(hearing, quality)
    return rejection
