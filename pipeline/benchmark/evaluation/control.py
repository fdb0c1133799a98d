"""Whether voices follow their labels: gender, pitch and speed, as arXiv 2503.01710 controls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any, get_args

from pipeline.audio.clips import Audio
from pipeline.benchmark.evaluation.figures import Figure, not_measured, summarize_mean
from pipeline.benchmark.evaluation.sounds import measure_pitch, measure_speech_s
from pipeline.errors import SynthesisError
from pipeline.manifest.rows import hash_seed
from pipeline.synthesis.enrollment import Enroller
from pipeline.synthesis.speaker_definitions import Level
from pipeline.synthesis.speakers import Speaker
from pipeline.synthesis.synthesizer import Synthesizer
from pipeline.text.pace import count_syllables

_LEVELS: tuple[str, ...] = get_args(Level)
_GENDERS = ("female", "male")
_BOUNDARY_HZ = 165.0
"""Between the medians of women's and men's speech, about 210 and 120 Hz."""
_NAMES = ("control: gender", "control: pitch", "control: speed")


def measure_control(
    enroller: Enroller, make_synthesizer: Callable[[Sequence[Speaker]], Synthesizer], texts: Sequence[str]
) -> list[Figure]:
    """Let the language model make up voices by label, and measure what they sound like.

    Gender is right if the median pitch of a voice of moderate pitch is on its side of 165 Hz. Pitch and speed are right
    for a pair of labels if the higher one is higher, or faster, on the same text; equal counts half.

    Args:
        enroller: makes up voices.
        make_synthesizer: speaks by them.
        texts: that each voice says.
    """
    try:
        voices = [_create(enroller, *labels) for labels in _plan_labels()]
    except SynthesisError as error:
        reason = f"these weights were not taught it ({' '.join(str(error).split()):.120})"
        return [not_measured(name, reason) for name in _NAMES]
    rows = [
        {"utterance_id": f"{voice.speaker_id}|{at}", "text": text, "speaker_id": voice.speaker_id, "language": "en"}
        for voice in voices
        for at, text in enumerate(texts)
    ]
    spoken = make_synthesizer(voices).speak_many(rows, on_error="return")
    found: dict[tuple[str, ...], tuple[float | None, float | None]] = {}
    for row, result in zip(rows, spoken, strict=True):
        if isinstance(result, Audio):
            speech_s = measure_speech_s(result.samples)
            syllables = sum(count_syllables(word.strip(".")) for word in row["text"].split())
            key = tuple(row["utterance_id"].split("|"))
            found[key] = measure_pitch(result.samples), syllables / speech_s if speech_s else None
    genders = [
        float((pitch > _BOUNDARY_HZ) == (gender == "female"))
        for (gender, level, speed, _), (pitch, _) in found.items()
        if level == speed == "moderate" and pitch is not None
    ]
    return [
        summarize_mean(_NAMES[0], genders, note="share of takes on their side of 165 Hz, at moderate pitch"),
        summarize_mean(_NAMES[1], list(_order(found, 1, 0)), note="share of pairs of labels in the right order"),
        summarize_mean(_NAMES[2], list(_order(found, 2, 1)), note="share of pairs of labels in the right order"),
    ]


def _plan_labels() -> list[tuple[str, str, str]]:
    by_pitch = [(gender, level, "moderate") for gender in _GENDERS for level in _LEVELS]
    by_speed = [(gender, "moderate", level) for gender in _GENDERS for level in _LEVELS if level != "moderate"]
    return by_pitch + by_speed


def _create(enroller: Enroller, gender: str, pitch: str, speed: str) -> Speaker:
    name = "|".join((gender, pitch, speed))
    voice = enroller.create_voice(gender, pitch, speed, "en", hash_seed(0, name))
    return Speaker(name, voice, "created", name)


def _order(found: dict[tuple[str, ...], Any], axis: int, measure: int) -> Iterator[float]:
    """Yield for each pair of labels along an axis whether the measure is in their order."""
    other = 3 - axis
    for gender in _GENDERS:
        texts = {key[3] for key in found}
        for text in sorted(texts):
            values = []
            for level in _LEVELS:
                key = [gender, "", "", text]
                key[axis], key[other] = level, "moderate"
                values.append(found.get(tuple(key), (None, None))[measure])
            for low, high in combinations([value for value in values if value is not None], 2):
                yield 0.5 if low == high else float(high > low)
