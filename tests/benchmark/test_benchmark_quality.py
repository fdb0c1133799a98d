import numpy as np
import pytest

from pipeline.benchmark.quality import KINDS, JudgedTake, spoil, summarize, write_sentences


def test_sentences_differ_and_follow_from_the_seed():
    sentences = write_sentences(300, np.random.default_rng(1))
    assert len(set(sentences)) == 300
    assert sentences == write_sentences(300, np.random.default_rng(1))
    assert all(6 <= len(sentence.split()) <= 15 for sentence in sentences)


@pytest.mark.parametrize(
    ("kind", "shortest", "longest", "silent"),
    [("good", 1.0, 1.0, 0.0), ("cut", 0.4, 0.75, 0.0), ("repeated", 1.3, 1.6, 0.0), ("silent", 1.0, 1.0, 0.4)],
)
def test_takes_are_spoiled_by_as_much_as_is_said(kind, shortest, longest, silent):
    take = np.ones(1_000, np.float32)
    for seed in range(20):
        spoiled = spoil(take, kind, np.random.default_rng(seed))
        assert shortest <= spoiled.size / take.size <= longest
        assert np.mean(spoiled == 0) >= silent
    assert take.all()


def test_the_summary_counts_what_was_refused():
    takes = [JudgedTake(kind, None, "", None, 0.5, None, 2.0, 1.0) for kind in ("good", *KINDS)]
    takes.append(JudgedTake("cut", "cut_short", "", None, 0.7, None, 2.0, 1.0))
    summary = summarize(takes)
    assert summary["cut"]["refused"] == 1
    assert summary["cut"]["codes"] == {"cut_short": 1}
    assert summary["good"]["refused"] == 0
    assert summary["spoiled"] == {"takes": 6, "refused": 1}
    assert summary["cpu_s_per_audio_s"] == 0.5
