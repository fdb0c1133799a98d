"""Recordings that were not made here, as they are and spoiled: the limits lie between both."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.audio.recording_quality import RecordingQuality, describe_faults, find_unusable, measure_recording
from pipeline.audio.references import read_reference

ROOT = Path(__file__).parents[2]
CLIPS = [
    *(ROOT / "tests/fixtures/speech").glob("*.flac"),
    *(ROOT / "docs/audio").glob("*.flac"),
    ROOT / "tests/fixtures/reference/golden/clips/speech_long_16k.wav",
]


def read(path):
    samples, rate = soundfile.read(path, always_2d=True)
    return samples[:, 0], rate


def faults(samples, rate):
    return [fault for fault in describe_faults(measure_recording(samples, rate)) if "s long" not in fault]


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_good_recordings_have_no_fault_and_spoiled_ones_have_theirs(path):
    samples, rate = read(path)
    peak, power = np.abs(samples).max(), np.sqrt(np.mean(samples**2))
    assert faults(samples, rate) == []
    assert faults(0.01 * samples, rate) == []  # Whatever the level.
    noise = np.random.default_rng(0).normal(0, power, samples.size)
    assert faults(samples + 0.1 * noise, rate) == []  # 20 dB under the speech: heard, but bearable.
    (said,) = faults(samples + 0.32 * noise, rate)
    assert "above what is heard behind it, expected 20 or more" in said
    for share, level in ((0.7, 1.0), (0.5, 0.3)):
        (said,) = faults(np.clip(samples, -share * peak, share * peak) * level, rate)
        assert "cut off at the peak" in said
    (said,) = faults(np.concatenate([samples, np.zeros(2 * samples.size)]), rate)
    assert "is silence, expected 60% at most" in said


def test_length_is_said(tmp_path):
    samples, rate = read(CLIPS[0])
    soundfile.write(tmp_path / "short.wav", samples[: 2 * rate] * 0.5, rate)
    assert "2.0 s long, expected 3 to 30 s; record more" in read_reference(tmp_path / "short.wav", "ada").doubts
    (said,) = describe_faults(measure_recording(np.tile(samples, 20), rate))
    assert "only its first six make the voice" in said


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_what_is_no_model_of_a_voice_is_told_apart_from_what_is_poor(path):
    samples, rate = read(path)
    peak = np.abs(samples).max()

    def judge(samples):
        return find_unusable(measure_recording(samples, rate))

    assert judge(samples) is None
    assert judge(np.clip(samples, -0.7 * peak, 0.7 * peak)) is None  # Poor, but a voice.
    assert "of the samples are cut off at the peak, expected 10% at" in judge(np.clip(samples, -0.1 * peak, 0.1 * peak))
    assert "of 0.8 s is silence), expected 1 s or more; record 3 to 30 s" in judge(samples[: rate * 4 // 5])
    assert "s of speech" in judge(np.concatenate([samples[: rate // 2], np.zeros(8 * rate)]))


def test_what_just_misses_a_limit_is_not_rounded_onto_it():
    def unusable(speech_s, clipped):
        return find_unusable(RecordingQuality(2.0, 40.0, clipped, 1 - speech_s / 2.0))

    assert unusable(0.98, 0.0).startswith("holds 0.98 s of speech (51% of 2.0 s is silence), expected 1 s or more")
    assert unusable(2.0, 0.102).startswith("10.2% of the samples are cut off at the peak, expected 10% at most")
    faults = describe_faults(RecordingQuality(2.96, 19.8, 0.00051, 0.602))
    assert [fault.partition(";")[0] for fault in faults] == [
        "2.96 s long, expected 3 to 30 s",
        "speech is 19.8 dB above what is heard behind it, expected 20 or more",
        "0.051% of the samples are cut off at the peak, expected 0.05% at most",
        "60.2% is silence, expected 60% at most",
    ]
