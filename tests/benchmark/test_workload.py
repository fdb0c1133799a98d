"""Lengths of a workload's utterances."""

from __future__ import annotations

import pytest

from pipeline.benchmark.workload import draw_lengths


def test_lengths_follow_the_stated_distribution() -> None:
    for num_utterances in (3, 64, 1_000):
        lengths = draw_lengths(num_utterances, 0, shortest_s=2.0, mean_s=6.0, longest_s=20.0)
        assert min(lengths) >= 100 and max(lengths) <= 1_000
        assert sum(lengths) / len(lengths) == pytest.approx(300, rel=0.01)
    with pytest.raises(ValueError, match="mean_s is 30"):
        draw_lengths(3, 0, shortest_s=2.0, mean_s=30.0, longest_s=20.0)
