import numpy as np
import pytest

from pipeline.audio.samples import measure
from pipeline.benchmark.quality import KINDS, OF_ONE_WORD, JudgedTake, _plan_takes, spoil, summarize, write_sentences
from pipeline.synthesis.listening import trace_contour
from tests.synthesis.speech import read_clip


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
    takes = [JudgedTake("whisper", kind, None, "", "", "", None, 0.5, None, 2.0, 1.0) for kind in ("good", *KINDS)]
    takes.append(JudgedTake("whisper", "cut", "cut_short", "", "", "", None, 0.7, None, 2.0, 1.0))
    summary = summarize(takes)
    assert summary["cut"]["refused"] == 1
    assert summary["cut"]["codes"] == {"cut_short": 1}
    assert summary["good"]["refused"] == 0
    assert summary["spoiled"] == {"takes": 11, "refused": 1}
    assert summary["of_one_word"] == {"takes": 2, "refused": 0}
    assert summary["cpu_s_per_audio_s"] == 0.5


@pytest.mark.parametrize("seed", range(4))
def test_noise_clipping_and_half_speed_leave_the_rest_as_it_is(seed):
    speech, rng = read_clip("rms_door"), np.random.default_rng(seed)
    assert trace_contour(spoil(speech, "noise", rng), 16_000).background_db > -22
    assert measure(spoil(speech, "clipped", rng), 16_000).clipped_ratio > 0.001
    slow = spoil(speech, "half_speed", rng)
    assert slow.size == pytest.approx(2 * speech.size, abs=1)
    assert slow.std() == pytest.approx(speech.std(), rel=0.1)


def test_good_and_spoiled_takes_alternate_and_every_kind_gets_every_voice():
    plans = list(_plan_takes(["a", "b", "c", "d"], 160, np.random.default_rng(0)))
    assert [plan.kind == "good" for plan in plans] == [True, False] * 80
    for kind in KINDS:
        assert {plan.voice for plan in plans if plan.kind == kind} == {"a", "b", "c", "d"}
    for plan in plans:
        difference = len(plan.said.split()) - len(plan.text.split())
        if plan.kind in OF_ONE_WORD:
            assert difference == (1 if plan.kind == "doubled_word" else -1)
        assert (plan.said == plan.text) == (plan.kind not in (*OF_ONE_WORD, "wrong_text"))
        assert (plan.voice == plan.heard_voice) == (plan.kind != "wrong_voice")
