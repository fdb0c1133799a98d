"""DNSMOS from the package's own model, without the module that needs librosa."""

import importlib.util

import numpy as np
import pytest

from pipeline.config.run import parse_config
from pipeline.errors import ConfigError, RejectionCode
from pipeline.synthesis import naturalness
from pipeline.synthesis.listening import Contour, Hearing
from pipeline.synthesis.listening_stage import check_listening
from pipeline.synthesis.naturalness import Dnsmos
from pipeline.synthesis.quality import judge_hearing
from tests.synthesis.speech import read_clip

pytest.importorskip("speechmos", reason="has the model; part of the extra `naturalness`")
pytest.importorskip("onnxruntime", reason="part of the extra `naturalness`")


def config_of(**quality):
    return parse_config({"weights": "demo", "manifest": "-", "speakers": "-", "output": "-", "quality": quality})


def test_speech_is_more_natural_than_noise_and_the_score_is_the_packages():
    rater, clip = Dnsmos(), read_clip("rms_door")
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    speech = rater.rate(clip, 16_000)
    # What `speechmos.dnsmos` 0.0.1.1 gives as `ovrl_mos` for this clip.
    assert speech == pytest.approx(3.2765, abs=0.01)
    assert rater.rate(read_clip("slt_door"), 16_000) == pytest.approx(2.3364, abs=0.003)
    assert rater.rate(noise, 16_000) < 1.5 < speech
    assert rater.rate(clip, 16_000) == speech
    assert rater.rate(np.zeros(0, np.float32), 16_000) is None


def test_a_take_below_the_limit_is_unnatural():
    hearing = Hearing(Contour(0.1, -50.0), None, None, None, None, 2.4)
    assert judge_hearing(hearing, config_of(naturalness="dnsmos").quality) is None
    rejection = judge_hearing(hearing, config_of(naturalness="dnsmos", min_naturalness=2.5).quality)
    assert rejection.code == RejectionCode.UNNATURAL
    assert "naturalness 2.40 of 5 (quality.min_naturalness is 2.5)" in rejection.message


def test_a_missing_package_stops_before_work_and_names_the_fix(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(naturalness, "find_spec", lambda name: None if name == "speechmos" else find_spec(name))
    check_listening(config_of())
    with pytest.raises(ConfigError, match=r"needs the package speechmos.*\[naturalness\]"):
        check_listening(config_of(naturalness="dnsmos"))
