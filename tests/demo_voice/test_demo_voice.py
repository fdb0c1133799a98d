"""From text to ear: the demo voice, the whole chain, and a recognizer that has to understand what was said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import Synthesizer
from pipeline.synthesis import stages, takes
from pipeline.synthesis.recognition import PocketSphinx, compare_with_text
from pipeline.weights.weights import resolve_weights

pytest.importorskip("pocketsphinx", reason="the extra `asr` brings the recognizer")

UTTERANCES = (
    "The weather is nice this morning. My brother lives in a small town near the sea.",
    "Please close the door when you leave. The train was late again today.",
    "There is a lot of work to do this week. The water in the lake is very cold.",
    "She is learning how to play the piano. Her father works in a large office in the city.",
    "The road to the village is closed. The cat is asleep under the chair.",
    "The bridge over the river is very old. Everything was quiet in the early morning.",
)
"""Two sentences each, cut into two segments; none of them was trained on."""
WORST_WER = 0.3
"""Of a whole chain; a broken one is worse. How the voice fares on more sentences is in its README.md."""


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    return Synthesizer.load("demo", settings={"llm": {"slots": 12}, "text": {"max_segment_chars": 50}})


def word_error_rate(synthesizer: Synthesizer, utterances: tuple[str, ...] = UTTERANCES) -> float:
    speakers = synthesizer.speakers
    rows = [
        {"utterance_id": str(index), "text": text, "speaker_id": speakers[index % len(speakers)]}
        for index, text in enumerate(utterances)
    ]
    results = list(synthesizer.speak_many(rows, on_error="return"))
    recognizer = PocketSphinx()
    readings = [
        compare_with_text(text, recognizer.recognize(getattr(result, "samples", np.zeros(0, np.float32)), 16_000))
        for text, result in zip(utterances, results, strict=True)
    ]
    return sum(reading.num_word_errors for reading in readings) / sum(reading.num_words for reading in readings)


def test_the_demo_voice_is_understood(synthesizer):
    assert word_error_rate(synthesizer) < WORST_WER


def _without_mask(monkeypatch: pytest.MonkeyPatch, synthesizer: Synthesizer) -> None:
    model = synthesizer._engine.runner.model
    monkeypatch.setattr(model, "_positions_C", torch.zeros_like(model._positions_C))


def _with_half_a_prompt(monkeypatch: pytest.MonkeyPatch, synthesizer: Synthesizer) -> None:
    whole = stages.build_prompt

    def build(vocabulary: Any, text: str, *args: Any, **options: Any) -> Any:
        return whole(vocabulary, text[: len(text) // 4], *args, **options)

    monkeypatch.setattr(stages, "build_prompt", build)


def _without_the_last_segment(monkeypatch: pytest.MonkeyPatch, synthesizer: Synthesizer) -> None:
    whole = takes.split_into_segments
    monkeypatch.setattr(takes, "split_into_segments", lambda *args, **options: whole(*args, **options)[:-1])


@pytest.mark.parametrize("break_it", [_without_mask, _with_half_a_prompt, _without_the_last_segment])
def test_a_broken_chain_is_not_understood(synthesizer, monkeypatch, break_it):
    break_it(monkeypatch, synthesizer)
    assert word_error_rate(synthesizer, UTTERANCES[:3]) > WORST_WER


def test_a_text_without_a_mark_at_its_end_ends(synthesizer):
    """Without one the voice babbled on: see `needs_end_mark`."""
    texts = ("the rabbit hole went straight on like", "she had plenty of time as she went down", "hello there", "yes")
    rows = [
        {"utterance_id": "x", "text": text, "speaker_id": speaker, "seed": seed}
        for text in texts for speaker in synthesizer.speakers for seed in range(2)
    ]  # fmt: skip
    with_marks = [{**row, "text": f"{row['text']}."} for row in rows]
    durations_s = [
        [getattr(result, "duration_s", 0.0) for result in synthesizer.speak_many(some, on_error="return")]
        for some in (rows, with_marks)
    ]
    assert durations_s[0] == durations_s[1] and min(durations_s[0]) > 0


def test_a_voice_created_slow_is_not_too_slow():
    synthesizer = Synthesizer.load("demo")
    synthesizer.add_speaker("slow", gender="female", pitch="moderate", speed="very_low")
    text = "The storm passed at last, and the boats came home one by one."
    rows = [{"utterance_id": "x", "text": text, "speaker_id": "slow", "seed": seed} for seed in range(6)]
    results = synthesizer.speak_many(rows, on_error="return")
    assert [str(result) for result in results if isinstance(result, Exception)] == []


def test_four_voices_come_with_it(synthesizer):
    assert synthesizer.speakers == ["ada", "iris", "angus", "ross"]
    size = sum(path.stat().st_size for path in Path(resolve_weights("demo")).rglob("*"))
    assert size < 30e6
