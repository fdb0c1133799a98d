import json

import numpy as np
import pytest

from jobs import benchmark
from pipeline.audio.samples import measure
from pipeline.benchmark import quality
from pipeline.benchmark.quality import KINDS, OF_ONE_WORD, JudgedTake, _plan_takes, spoil, summarize, write_sentences
from pipeline.config.run import parse_config
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
    takes = [JudgedTake(0, "whisper", kind, None, "", "", "", None, 0.5, None, 2.0, 1.0) for kind in ("good", *KINDS)]
    takes.append(JudgedTake(0, "whisper", "cut", "cut_short", "", "", "", None, 0.7, None, 2.0, 1.0))
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
    plans = list(_plan_takes(["a", "b", "c", "d"], 160, seed=0))
    assert [plan.kind == "good" for plan in plans] == [True, False] * 80
    for kind in KINDS:
        assert {plan.voice for plan in plans if plan.kind == kind} == {"a", "b", "c", "d"}
    for plan in plans:
        difference = len(plan.said.split()) - len(plan.text.split())
        if plan.kind in OF_ONE_WORD:
            assert difference == (1 if plan.kind == "doubled_word" else -1)
        assert (plan.said == plan.text) == (plan.kind not in (*OF_ONE_WORD, "wrong_text"))
        assert (plan.voice == plan.heard_voice) == (plan.kind != "wrong_voice")
    assert list(_plan_takes(["a", "b", "c", "d"], 60, seed=0)) == plans[:60]


class Voices:
    """Says every text with the same recording, and is its own codec, which compares no voices."""

    names = ("one", "two")
    sample_rate = 16_000

    def __init__(self):
        self.num_said = 0
        self.codec = self

    def prepare_decoding(self):
        pass

    def say(self, lines):
        self.num_said += len(lines)
        return [read_clip("rms_door") for _ in lines]

    def global_tokens(self, voice):
        return ()


@pytest.fixture
def voices(monkeypatch):
    """Takes that are recordings, and judges who look at their length and sound."""
    places = {"weights": "demo", "manifest": "-", "speakers": "-", "output": "-"}
    config, voices = parse_config({**places, "quality": {"asr": "pocketsphinx"}}), Voices()
    monkeypatch.setattr(quality, "open_voices", lambda *_: (voices, {"pocketsphinx": config}))
    monkeypatch.setattr(quality, "load_listening", lambda config: None)
    return voices


def judge(folder, *arguments):
    """Return the exit code of the command, and what it made of its takes."""
    code = benchmark.main(["quality", "--json", str(folder / "table.json"), *arguments])
    table = json.loads((folder / "table.json").read_text())["pocketsphinx"] if code == 0 else {}
    table.pop("cpu_s_per_audio_s", None)
    return code, table


def test_a_measurement_goes_on_behind_the_takes_that_were_judged(voices, tmp_path, capsys):
    _, whole = judge(tmp_path, "--takes", "40")
    each = ("--each", str(tmp_path / "each.jsonl"))
    judge(tmp_path, "--takes", "22", *each)
    lines = (tmp_path / "each.jsonl").read_text().splitlines()
    (tmp_path / "each.jsonl").write_text("\n".join(lines[:-3]))
    voices.num_said = 0
    assert judge(tmp_path, "--takes", "40", *each) == (0, whole)
    assert voices.num_said == 40 - 22 + 3
    assert (whole["clipped"]["takes"], whole["clipped"]["refused"]) == (2, 2)


def test_takes_of_another_measurement_are_not_mixed_in(voices, tmp_path, capsys):
    each = ("--each", str(tmp_path / "each.jsonl"))
    assert judge(tmp_path, "--takes", "2", *each)[0] == 0
    assert judge(tmp_path, "--takes", "2", "--seed", "1", *each)[0] == 2
    assert "measured with another seed; name another file" in capsys.readouterr().err
    (tmp_path / "each.jsonl").write_text("notes")
    assert judge(tmp_path, "--takes", "2", *each)[0] == 2
    assert (tmp_path / "each.jsonl").read_text() == "notes"
