"""The sentences of a chapter with their times, as WebVTT and as SRT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.printable import without_controls

Cues = Sequence[Mapping[str, Any]]
"""Text, first and last sample of each sentence, as a chapter's JSON has them."""


def write_vtt(cues: Cues, rate: int) -> str:
    """Return WebVTT.

    Args:
        cues: the sentences.
        rate: Hz.
    """
    lines = ["WEBVTT", ""]
    for number, cue in enumerate(cues, 1):
        times = " --> ".join(_time(cue[name], rate, ".") for name in ("start_sample", "end_sample"))
        text = without_controls(str(cue["text"])).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        lines += [str(number), times, text, ""]
    return "\n".join(lines)


def write_srt(cues: Cues, rate: int) -> str:
    """Return SubRip, which players without WebVTT show; it has no way to write `<`, so that it stays as it is.

    Args:
        cues: the sentences.
        rate: Hz.
    """
    lines = []
    for number, cue in enumerate(cues, 1):
        times = " --> ".join(_time(cue[name], rate, ",") for name in ("start_sample", "end_sample"))
        text = without_controls(str(cue["text"])).replace(
            "-->", "->"
        )  # Some readers take it for another sentence's times.
        lines += [str(number), times, text, ""]
    return "\n".join(lines)


def _time(sample: int, rate: int, point: str) -> str:
    milliseconds = (2_000 * sample + rate) // (2 * rate)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1_000:02d}{point}{rest % 1_000:03d}"
