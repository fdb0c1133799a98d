"""Clips: equal samples give equal bytes in each format, and a header is believed only if the clip is whole."""

import errno
import hashlib
import io
import os
import re
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

from pipeline.audio.clips import (
    CLIP_FORMATS,
    Audio,
    ClipHeader,
    data_uri,
    decode_clip,
    encoder_versions,
    format_of,
    read_header,
    suffix_of,
)
from pipeline.errors import StorageError

TONE = 0.1 * np.sin(np.arange(16_000) / 10)


finite_audio = hnp.arrays(np.float32, st.integers(0, 500), elements=st.floats(-2, 2, width=32))


@given(finite_audio, st.sampled_from([8_000, 16_000, 44_100]))
@settings(max_examples=60)
def test_wav_bytes_read_back(samples, rate):
    content = Audio(samples, rate).encode()
    assert content == Audio(samples.copy(), rate).encode()
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, rate)
        steps = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    np.testing.assert_allclose(steps / 32_767, np.clip(samples, -1, 1), atol=0.5 / 32_767 + 1e-9)


def test_wav_bytes_are_these():
    """Halves go to the even step, and what is too loud clips."""
    samples = np.array([0.0, 1.0, -1.0, 1.5, -7.0, 0.5 / 32_767, 1.5 / 32_767, -0.5 / 32_767], dtype=np.float64)
    content = Audio(samples.astype(np.float32), 16_000).encode()
    header = "524946463400000057415645666d74201000000001000100803e0000007d0000020010006461746110000000"
    assert content[:44].hex() == header
    steps = np.frombuffer(content[44:], dtype="<i2")
    assert steps[:5].tolist() == [0, 32_767, -32_767, 32_767, -32_767]
    assert set(np.abs(steps[5:]).tolist()) <= {0, 1, 2}


def test_wav_bytes_are_those_of_every_earlier_output():
    """Replay and repair compare clips with the hashes in older outputs."""
    samples = (np.arange(-500, 500) / 400).astype(np.float32)
    digest = hashlib.sha256(b"".join(Audio(samples, rate).encode() for rate in (8_000, 16_000, 48_000)))
    assert digest.hexdigest() == "7c05e5410fe4cf6b80f7bca30331d1f2e13b59cb122e61a7ecc7ce587f5e3cb1"


@given(finite_audio.filter(len), st.sampled_from([8_000, 16_000, 44_100, 96_000]))
@settings(max_examples=60)
def test_a_flac_holds_what_the_wav_holds(samples, rate):
    audio = Audio(samples, rate)
    flac, wav = audio.encode("flac"), audio.encode("wav")
    assert flac == audio.encode("flac")
    assert np.array_equal(decode_clip(flac).samples, decode_clip(wav).samples)
    assert read_header(flac) == read_header(wav) == ClipHeader(rate, samples.size)


def test_a_flac_without_a_sample_is_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        Audio(np.zeros(0, np.float32), 16_000).encode("flac")


@pytest.mark.parametrize("clip_format", CLIP_FORMATS)
def test_a_header_is_believed_only_if_all_samples_are_there(clip_format):
    audio = Audio((TONE[:1_000]).astype(np.float32), 22_050)
    data = audio.encode(clip_format)
    assert read_header(data) == ClipHeader(22_050, 1_000)
    assert [read_header(data[:size]) for size in (0, 3, 4, 20, 43, 60, len(data) // 2, len(data) - 1)] == [None] * 8


@pytest.mark.parametrize("clip_format", ["wav", "flac"])
@pytest.mark.parametrize(("shape", "subtype"), [((100, 2), "PCM_16"), ((100,), "PCM_24")])
def test_a_header_of_other_than_one_channel_of_16_bits_is_refused(clip_format, shape, subtype):
    sink = io.BytesIO()
    soundfile.write(sink, np.full(shape, 0.1), 16_000, format=clip_format, subtype=subtype)
    assert read_header(sink.getvalue()) is None


def test_damaged_headers_are_no_headers():
    data = Audio(np.zeros(100, np.float32), 16_000).encode()
    for damaged in (data + b"x", b"RIFF", b"RIFF" + bytes(40), data[:12] + b"fmt \x10\0\0\0" + bytes(26), b"OggS" * 20):
        assert read_header(damaged) is None
    with pytest.raises(ValueError, match="not a clip"):
        decode_clip(b"no audio")


def test_the_suffix_decides_the_format(tmp_path):
    """An .mp3 was a WAV under a false name."""
    audio = Audio(TONE.astype(np.float32), 16_000)
    for clip_format in CLIP_FORMATS:
        path = tmp_path / f"tone{suffix_of(clip_format).upper()}"
        audio.write(path)
        assert path.read_bytes() == audio.encode(clip_format)
        assert soundfile.info(path).format.lower() == format_of(path) == clip_format
        assert data_uri(path.read_bytes()).startswith(f"data:audio/{clip_format};base64,")
    for name in ("tone.mp3", "tone", "tone.wav.part"):
        with pytest.raises(ValueError, match=rf"{name}: expected a name that ends in one of \.wav, \.flac"):
            audio.write(tmp_path / name)
        assert not (tmp_path / name).exists()


def test_a_clip_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """It was written in place: a full disk left half a file, and a link led the write elsewhere."""
    audio, path = Audio(TONE.astype(np.float32), 16_000), tmp_path / "tone.wav"
    (tmp_path / "elsewhere.wav").write_bytes(b"another's")
    path.symlink_to("elsewhere.wav")
    audio.write(path)
    assert not path.is_symlink()
    assert (tmp_path / "elsewhere.wav").read_bytes() == b"another's"

    def fail(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=r"No space left on device; free some space"):
        Audio(audio.samples[:8], 16_000).write(path)
    assert path.read_bytes() == audio.encode()
    assert sorted(os.listdir(tmp_path)) == ["elsewhere.wav", "tone.wav"]


def test_audio_writes_measures_and_plays(tmp_path):
    audio = Audio(TONE.astype(np.float32), 16_000)
    assert audio.duration_s == 1.0
    audio.write(tmp_path / "tone.wav")
    assert (tmp_path / "tone.wav").read_bytes() == audio.encode()
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


def test_writers_import_no_torch():
    code = "import sys, pipeline.audio.samples; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_flac_names_its_encoder_and_a_wav_depends_on_none():
    assert encoder_versions("wav") == {}
    found = encoder_versions("flac")
    assert re.fullmatch(r"reference libFLAC \d+\.\d+\.\d+ \d{8}", found["libflac"])
    assert found["libsndfile"] == soundfile.__libsndfile_version__ and found["soundfile"] == soundfile.__version__
