"""Rates, levels and pauses are exact."""

import math

import numpy as np
import pytest

from pipeline.audio.samples import join_segments, measure, resample, set_level
from tests.synthesis.speech import read_clip

TONE = 0.1 * np.sin(np.arange(16_000) / 10)


def test_resampling_keeps_a_tone_and_equal_rates_keep_every_bit():
    doubled = resample(TONE, 16_000, 32_000)
    expected = 0.1 * np.sin(np.arange(32_000) / 20)
    assert doubled.size == 32_000
    np.testing.assert_allclose(doubled[2_000:-2_000], expected[2_000:-2_000], atol=1e-6)
    assert resample(TONE, 16_000, 16_000) is TONE
    assert resample(TONE.astype(np.float32), 16_000, 24_000).dtype == np.float32


def test_segments_join_with_exact_pauses():
    segments = [np.full(10, value, np.float32) for value in (1, 2, 3)]
    joined = join_segments(segments, [0.002, 0.0], 1_000)
    assert joined.dtype == np.float32
    assert joined.tolist() == [1.0] * 10 + [0.0] * 2 + [2.0] * 10 + [3.0] * 10
    assert join_segments(segments[:1], [], 1_000).tolist() == segments[0].tolist()
    assert join_segments([], [], 1_000).size == 0


@pytest.mark.parametrize(("segments", "pauses"), [(2, []), (2, [0.1, 0.1]), (0, [0.1]), (1, [0.1])])
def test_pauses_stand_between_segments(segments, pauses):
    with pytest.raises(ValueError, match="one less than"):
        join_segments([np.zeros(3, np.float32)] * segments, pauses, 1_000)


def rms_dbfs(samples):
    return 10 * math.log10(float(np.mean(samples.astype(np.float64) ** 2)))


def test_level_is_reached_or_limited_by_the_peak():
    tone = TONE.astype(np.float32)
    assert rms_dbfs(set_level(tone, -20)) == pytest.approx(-20, abs=1e-4)
    loud = set_level(tone, -1)
    assert 20 * math.log10(np.abs(loud).max()) == pytest.approx(-1, abs=1e-4)
    assert set_level(tone, -20).dtype == np.float32
    assert not set_level(np.zeros(5, np.float32), -20).any()


def test_measurements():
    tone = np.sqrt(2) * 0.1 * np.sin(2 * np.pi * 100 * np.arange(16_000) / 16_000)
    half_silent = np.concatenate([tone, np.zeros(16_000)]).astype(np.float32)
    stats = measure(half_silent, 16_000)
    assert stats.peak_dbfs == pytest.approx(20 * math.log10(0.1 * math.sqrt(2)), abs=1e-3)
    assert stats.rms_dbfs == pytest.approx(-20 - 10 * math.log10(2), abs=1e-3)
    assert (stats.silence_ratio, stats.clipped_ratio) == (0.5, 0.0)


@pytest.mark.parametrize(("level_dbfs", "silent"), [(-50.1, 1.0), (-49.9, 0.0)])
def test_silence_is_under_minus_50_dbfs(level_dbfs, silent):
    assert measure(np.full(16_000, 10 ** (level_dbfs / 20), np.float32), 16_000).silence_ratio == silent


def test_floors_and_full_scale():
    assert measure(np.zeros(100, np.float32), 16_000).peak_dbfs == -120.0
    assert measure(np.zeros(0, np.float32), 16_000).rms_dbfs == -120.0
    assert measure(np.array([1.0, -1.0, 0.5, 0.0], np.float32), 16_000).clipped_ratio == 0.5


@pytest.mark.parametrize("level", [0.01, 0.3, 1.0])
def test_what_is_cut_off_is_found_at_any_level(level):
    speech = read_clip("rms_door")
    whole = speech / np.abs(speech).max() * np.float32(level * 0.9)
    assert measure(whole, 16_000).clipped_ratio < 0.0002
    assert measure(np.clip(2 * whole, -level, level), 16_000).clipped_ratio > 0.001
