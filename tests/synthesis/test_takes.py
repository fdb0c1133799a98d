import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.run import AudioConfig
from pipeline.errors import RejectionCode
from pipeline.manifest.rows import Utterance
from pipeline.synthesis.takes import (
    Rejection,
    SegmentAudio,
    finish_audio,
    hash_seed,
    next_takes,
    segment_seed,
    utterance_seed,
)


def segment(index, *, take=0, boundary="sentence", num_samples=1_600, rejection=None):
    samples = np.full(num_samples, 0.1 * (index + 1), dtype=np.float32)
    return SegmentAudio(index, take, num_samples // 320, boundary, samples, rejection)


def test_seeds_are_the_same_on_every_machine():
    """The numbers are pinned: a change of them changes every take of every run."""
    assert hash_seed(0, "alice-01") == 6486789904676094308
    assert segment_seed(7, 0, 0) == 7927022125559101636


def test_the_manifest_seed_comes_first():
    assert utterance_seed(Utterance("a", "t", "s", seed=5), 0) == 5
    assert utterance_seed(Utterance("a", "t", "s"), 0) == hash_seed(0, "a")
    assert utterance_seed(Utterance("a", "t", "s"), 1) != utterance_seed(Utterance("a", "t", "s"), 0)


@given(st.lists(st.one_of(st.integers(0, 2**63), st.text()), max_size=4), st.lists(st.text(), max_size=4))
def test_different_parts_give_different_seeds(left, right):
    assert 0 <= hash_seed(*left) < 2**63
    assert (hash_seed(*left) == hash_seed(*right)) == (left == right)


def test_only_failed_takes_with_a_next_one_are_taken_again():
    failed = Rejection(RejectionCode.CLIPPED, "loud")
    heard = [(3, segment(0)), (3, segment(1, rejection=failed)), (4, segment(0, take=2, rejection=failed))]
    assert next_takes(heard, max_takes=3) == {3: {1: 1}}
    assert next_takes(heard, max_takes=1) == {}


@pytest.mark.parametrize(("boundary", "pause_s"), [("clause", 0.1), ("sentence", 0.25), ("paragraph", 0.6)])
def test_segments_are_joined_with_the_pause_of_their_boundary(boundary, pause_s):
    audio = finish_audio([segment(0, boundary=boundary), segment(1)], 16_000, AudioConfig())
    pause = round(pause_s * 16_000)
    assert len(audio.samples) == 1_600 + pause + 1_600
    assert np.all(audio.samples[1_600 : 1_600 + pause] == 0)
    assert audio.samples[0] == np.float32(0.1)
    assert audio.samples[-1] == np.float32(0.2)


def test_other_rates_are_resampled_and_levels_met():
    audio = finish_audio([segment(0, num_samples=32_000)], 16_000, AudioConfig(sample_rate=8_000, target_rms_dbfs=-20))
    assert audio.sample_rate == 8_000
    assert len(audio.samples) == 16_000
    assert abs(20 * np.log10(np.sqrt(np.mean(audio.samples**2))) + 20) < 0.1
