"""What in a record must follow from the rest of it: whoever edits one of these by hand contradicts the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CONTRADICTION_COLUMNS = (
    "status",
    "text",
    "sample_rate",
    "num_samples",
    "duration_s",
    "take",
    "num_segments",
    "num_semantic_tokens",
    "chars_per_s",
    "wer",
    "cer",
    "speaker_similarity",
    "naturalness",
    "segments",
)
_FLOAT32 = 1e-6
"""Of a value that is stored in 32 bits, to which it may be off."""


def find_contradictions(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a row's record, as text.

    Args:
        record: `CONTRADICTION_COLUMNS` of it; those that an older format does not have are null, and not looked at.
    """
    expected = dict(_from_segments(record)) | (dict(_from_audio(record)) if record["status"] == "ok" else {})
    for name, value in expected.items():
        found = record[name]
        is_equal = (
            math.isclose(found, value, rel_tol=_FLOAT32, abs_tol=_FLOAT32)
            if found is not None and value is not None
            else found is value
        )
        if not is_equal:
            yield f"{name} {found!r:.40}, but {value!r:.40} follows from the rest of its record"


def _from_audio(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if record["num_samples"] and record["sample_rate"]:
        duration_s = record["num_samples"] / record["sample_rate"]
        yield "duration_s", duration_s
        if record["text"] is not None:
            yield "chars_per_s", len(record["text"]) / duration_s


def _from_segments(record: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    segments = record["segments"]
    if segments is None:
        return
    if record["status"] == "ok":
        yield "num_segments", len(segments)
        yield "num_semantic_tokens", sum(_values(segments, "num_semantic_tokens"))
    yield "take", max(_values(segments, "take"), default=0)
    for name, errors, counted in (
        ("wer", "num_word_errors", "num_words"),
        ("cer", "num_letter_errors", "num_letters"),
    ):
        total = sum(_values(segments, counted))
        yield name, sum(_values(segments, errors)) / total if total else None
    yield "speaker_similarity", _least(segments, "similarity")
    yield "naturalness", _least(segments, "naturalness")


def _least(segments: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return min(_values(segments, name), default=None)


def _values(segments: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [segment[name] for segment in segments if segment[name] is not None]
