"""What spelling out and cutting cost a sentence, beside the speech that it becomes."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from pipeline.text import normalize_text, split_into_segments

LARGEST_PROSE_MS = 0.2
_ROUNDS = 5
_NUMBERS = (
    "In 1984 Dr. Smith paid $3.50 for 2 eggs at 5:30 p.m. on March 5, and met him on Main St. near the U.S. embassy.",
    "Chapter XII of vol. 3 gives 1/4 cup, 12.5% and 3,4 or 5 kg; call 555-0142 before 7.30 p.m. on Jan. 3.",
)


def measure_text(book: Path) -> dict[str, Any]:
    """Normalize and cut the sentences of a book, and some that are full of numbers; CPU time, the best of rounds.

    Args:
        book: a plain text.

    Returns:
        Milliseconds of CPU a sentence of prose and one of numbers, the first as a share of its bound and of the speech.
    """
    sentences = re.findall(r"[^.!?]+[.!?]", " ".join(book.read_text(encoding="utf-8").split()))
    prose = [sentence.strip() for sentence in sentences if not re.search(r"\d", sentence)][:500]
    spoken_s = sum(part.estimated_s for sentence in prose for part in _segment(sentence)) / len(prose)
    prose_ms, numbers_ms = _measure(prose), _measure(list(_NUMBERS) * 20)
    return {
        "prose_ms": round(prose_ms, 3),
        "prose_share_of_bound": round(prose_ms / LARGEST_PROSE_MS, 2),
        "prose_share_of_speech": round(prose_ms / 1_000 / spoken_s, 6),
        "numbers_ms": round(numbers_ms, 3),
        "numbers_over_prose": round(numbers_ms / prose_ms, 1),
        "goals": f"a sentence of prose at most {LARGEST_PROSE_MS} ms",
    }


def _segment(sentence: str) -> list[Any]:
    normalized = normalize_text(sentence)
    return list(split_into_segments(normalized.text, normalized.language))


def _measure(sentences: list[str]) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        for sentence in sentences:
            normalize_text(sentence)
        rounds.append((time.process_time() - start) / len(sentences) * 1_000)
    return min(rounds)
