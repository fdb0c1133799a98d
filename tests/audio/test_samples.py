"""References come in as the official code hears them; WAV bytes, levels and pauses go out exactly."""

import io
import json
import math
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

from pipeline.audio.samples import (
    Audio,
    join_segments,
    measure,
    normalize_volume,
    prepare_reference,
    read_reference,
    reference_clip,
    resample,
    set_level,
)
from pipeline.errors import SpeakerError

GOLDEN = Path(__file__).parents[1] / "fixtures/reference/golden"
CLIPS = ["speech_long_16k", "speech_short_16k", "stereo_44k", "quiet_16k", "peaky_16k"]
FACTS = json.loads((GOLDEN / "tokenize.json").read_text())
VOLUMES = load_file(GOLDEN / "volume_normalize.safetensors")


def prepare(name):
    loaded = read_reference(GOLDEN / f"clips/{name}.wav", name)
    return prepare_reference(loaded.samples, loaded.sample_rate, name)


@pytest.mark.parametrize("case", sorted(name.removesuffix(".in") for name in VOLUMES if name.endswith(".in")))
def test_volume_equals_the_official_one(case):
    np.testing.assert_allclose(normalize_volume(VOLUMES[f"{case}.in"]), VOLUMES[f"{case}.out"], rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", CLIPS)
def test_prepared_reference_equals_the_official_one(name):
    golden = load_file(GOLDEN / "tokenize.safetensors")
    samples, facts = prepare(name), FACTS[name]
    assert samples.dtype == np.float64
    assert samples.size == facts["samples_16k"]
    assert np.abs(samples).max() == pytest.approx(facts["wav_peak"], abs=1e-9)
    if f"{name}.wav" in golden:
        np.testing.assert_allclose(samples.astype(np.float32), golden[f"{name}.wav"], rtol=0, atol=1e-6)
    else:
        np.testing.assert_allclose(samples[::8].astype(np.float32), golden[f"{name}.wav_every8"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CLIPS)
def test_reference_clip_equals_the_official_one(name):
    clip, facts = reference_clip(prepare(name)), FACTS[name]
    assert clip.size == facts["ref_samples"] == 96_000
    assert clip.sum() == pytest.approx(facts["ref_sum"], abs=1e-3)
    assert np.abs(clip).sum() == pytest.approx(facts["ref_abs_sum"], abs=1e-3)
    np.testing.assert_allclose(clip[:4], facts["ref_first4"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(clip[-4:], facts["ref_last4"], rtol=0, atol=1e-6)


def test_only_the_first_channel_counts():
    loaded = read_reference((GOLDEN / "clips/stereo_44k.wav").read_bytes(), "stereo")
    expected, rate = soundfile.read(GOLDEN / "clips/stereo_44k.wav")
    assert expected.shape[1] == 2 and not np.array_equal(expected[:, 0], expected[:, 1])
    assert loaded.sample_rate == rate == 44_100
    assert np.array_equal(loaded.samples, expected[:, 0])


def encode(samples, rate=16_000, subtype="DOUBLE"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


TONE = 0.1 * np.sin(np.arange(16_000) / 10)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not audio at all", "anna.wav: cannot be read as audio"),
        (b"", "anna.wav: cannot be read as audio"),
        (encode(TONE)[:30], "anna.wav: cannot be read as audio"),
        (encode(np.zeros(0)), "anna.wav: holds no samples"),
        (encode(np.zeros(16_000)), "anna.wav: silent"),
        (encode(np.where(np.arange(16_000) == 7, np.nan, TONE)), "anna.wav: holds NaN or infinite samples"),
        (encode(np.where(np.arange(16_000) == 7, np.inf, TONE)), "anna.wav: holds NaN or infinite samples"),
        (encode(np.where(np.arange(16_000) == 7, 1e30, TONE)), r"anna.wav: a sample of 1e\+30, expected up to 1"),
        (encode(np.resize(TONE, 601 * 100), rate=100), "anna.wav: 601 s long, expected at most 600 s"),
    ],
)
def test_unusable_recordings_are_refused(content, message):
    with pytest.raises(SpeakerError, match=message):
        read_reference(content, "anna.wav")


def test_a_missing_recording_is_named(tmp_path):
    with pytest.raises(SpeakerError, match="anna: cannot be read as audio"):
        read_reference(tmp_path / "gone.wav", "anna")


def test_a_header_that_leads_before_the_start_is_refused_without_a_word_from_the_library(monkeypatch):
    lost = []
    monkeypatch.setattr("sys.unraisablehook", lost.append)
    sink = io.BytesIO()
    soundfile.write(sink, np.zeros(400), 16_000, format="AIFF", subtype="PCM_16")
    with pytest.raises(SpeakerError, match="cannot be read as audio"):
        read_reference(sink.getvalue()[:46], "anna.aiff")
    assert not lost


@pytest.mark.parametrize(("num_samples", "rate"), [(399, 16_000), (1_000, 48_000), (1, 16_000)])
def test_recordings_shorter_than_a_frame_are_refused(num_samples, rate):
    with pytest.raises(SpeakerError, match="samples at 16000 Hz, expected at least 400"):
        prepare_reference(TONE[5 : num_samples + 5], rate, "anna")


def test_the_shortest_recording_is_accepted():
    assert prepare_reference(TONE[:400], 16_000, "anna").size == 400


@pytest.mark.parametrize("shape", [(), (2, 500)])
def test_other_than_one_channel_is_refused(shape):
    with pytest.raises(SpeakerError, match="expected one channel"):
        prepare_reference(np.ones(shape), 16_000, "anna")


def test_resampling_keeps_a_tone_and_equal_rates_keep_every_bit():
    doubled = resample(TONE, 16_000, 32_000)
    expected = 0.1 * np.sin(np.arange(32_000) / 20)
    assert doubled.size == 32_000
    np.testing.assert_allclose(doubled[2_000:-2_000], expected[2_000:-2_000], atol=1e-6)
    assert resample(TONE, 16_000, 16_000) is TONE
    assert resample(TONE.astype(np.float32), 16_000, 24_000).dtype == np.float32


finite_audio = hnp.arrays(np.float32, st.integers(0, 500), elements=st.floats(-2, 2, width=32))


@given(finite_audio, st.sampled_from([8_000, 16_000, 44_100]))
@settings(max_examples=60, deadline=None)
def test_wav_bytes_read_back(samples, rate):
    content = Audio(samples, rate).wav_bytes()
    assert content == Audio(samples.copy(), rate).wav_bytes()
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, rate)
        steps = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    np.testing.assert_allclose(steps / 32_767, np.clip(samples, -1, 1), atol=0.5 / 32_767 + 1e-9)


def test_wav_bytes_are_these():
    """Halves go to the even step, and what is too loud clips."""
    samples = np.array([0.0, 1.0, -1.0, 1.5, -7.0, 0.5 / 32_767, 1.5 / 32_767, -0.5 / 32_767], dtype=np.float64)
    content = Audio(samples.astype(np.float32), 16_000).wav_bytes()
    header = "524946463400000057415645666d74201000000001000100803e0000007d0000020010006461746110000000"
    assert content[:44].hex() == header
    steps = np.frombuffer(content[44:], dtype="<i2")
    assert steps[:5].tolist() == [0, 32_767, -32_767, 32_767, -32_767]
    assert set(np.abs(steps[5:]).tolist()) <= {0, 1, 2}


def test_audio_writes_measures_and_plays(tmp_path):
    audio = Audio(TONE.astype(np.float32), 16_000)
    assert audio.duration_s == 1.0
    audio.write(tmp_path / "tone.wav")
    assert (tmp_path / "tone.wav").read_bytes() == audio.wav_bytes()
    assert soundfile.info(tmp_path / "tone.wav").subtype == "PCM_16"
    assert audio._repr_html_().startswith('<audio controls src="data:audio/wav;base64,UklGR')


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros((2, 3), np.float32), 16_000, "expected 1-D float32"),
        (np.zeros(3), 16_000, "expected 1-D float32, got 1-D float64"),
        (np.zeros(3, np.float32), 0, "positive number of Hz"),
        (np.full(3, np.nan, np.float32), 16_000, "finite"),
    ],
)
def test_impossible_audio_is_refused(samples, rate, message):
    with pytest.raises(ValueError, match=message):
        Audio(samples, rate)


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


def test_writers_import_no_torch():
    code = "import sys, pipeline.audio.samples; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("good", ""),
        ("cut", "cut short"),
        ("constant", "same value"),
        ("slow", "recorded at 8,000"),
        ("dull", "telephone"),
    ],
)
def test_doubtful_recordings_are_warned_of(name, said, caplog):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 32_000)
    spectrum = np.fft.rfft(noise)
    spectrum[len(spectrum) // 2 :] = 0
    dull = np.fft.irfft(spectrum)
    data = {
        "good": lambda: encode(noise, subtype="PCM_16"),
        "cut": lambda: encode(noise, subtype="PCM_16")[:30_001],
        "constant": lambda: encode(np.full(32_000, 0.3), subtype="PCM_16"),
        "slow": lambda: encode(noise, 8_000, "PCM_16"),
        "dull": lambda: encode(dull, subtype="DOUBLE"),
    }[name]()
    read_reference(data, "speaker 'x'")
    assert said in caplog.text and bool(said) == bool(caplog.records)
