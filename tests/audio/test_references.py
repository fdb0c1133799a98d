"""References come in as the official code hears them; what cannot be a voice is refused, what is doubtful reported."""

import io
import json
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from pipeline.audio.references import normalize_volume, prepare_reference, read_reference, reference_clip
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
        (
            encode(np.resize(TONE, 601 * 1_000), rate=1_000, subtype="PCM_16"),
            "anna.wav: 601 s long, expected at most 600 s",
        ),
    ],
)
def test_unusable_recordings_are_refused(content, message):
    with pytest.raises(SpeakerError, match=message):
        read_reference(content, "anna.wav")


def _say(data, place, number, size, order="little"):
    return data[:place] + number.to_bytes(size, order) + data[place + size :]


def _encode_flac(num_frames):
    """A FLAC file of a second that says it has so many frames; 0 stands for nobody knows."""
    sink = io.BytesIO()
    soundfile.write(sink, TONE, 16_000, format="FLAC")
    data = sink.getvalue()
    found = int.from_bytes(data[18:26], "big")
    return _say(data, 18, found >> 36 << 36 | num_frames, 8, "big")


WAV = encode(TONE, subtype="PCM_16")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_say(WAV, 24, 0, 4), "cannot be read as audio"),
        (_say(WAV, 24, 1, 4), "a sample rate of 1 Hz, expected 1,000 to 768,000"),
        (_say(WAV, 24, 2**31 - 1, 4), "a sample rate of 2,147,483,647 Hz, expected 1,000 to 768,000"),
        (_say(WAV, 22, 0, 2), "cannot be read as audio"),
        (_say(WAV, 22, 65_535, 2), "cannot be read as audio"),
        (encode(TONE[5:6]), None),
        (_encode_flac(0), "does not say how long it is"),
        (_encode_flac(1), "silent"),
        (_encode_flac(2**36 - 1), "s long, expected at most 600 s"),
        (_encode_flac(16_000 * 599), "cannot be read as audio"),
    ],
)
def test_a_header_that_lies_is_refused(content, message):
    with pytest.raises(SpeakerError, match=f"anna: .*{message or 'expected at least 400'}"):
        loaded = read_reference(content, "anna")
        prepare_reference(loaded.samples, loaded.sample_rate, "anna")


@pytest.mark.parametrize("num_bytes", [2**32 - 16, 2**31 - 1, 16_000 * 2 * 599])
def test_no_more_is_read_than_is_there(num_bytes):
    """4 GB by the header."""
    place = WAV.index(b"data") + 4
    assert read_reference(_say(WAV, place, num_bytes, 4), "anna").samples.size == TONE.size


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
def test_doubtful_recordings_are_told(name, said):
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
    found = read_reference(data, "speaker 'x'").doubts
    doubts = [text for text in found if "s long" not in text and "heard behind it" not in text]
    assert said in "; ".join(found) and bool(said) == bool(doubts)  # A tone of two seconds is short, and has no pause.


def _lie(at, kind, value):
    data = bytearray(encode(np.random.default_rng(0).uniform(-0.5, 0.5, 64_000), subtype="PCM_16"))
    struct.pack_into(kind, data, at, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("rate", lambda: _lie(24, "<I", 44_100)),
        ("channels", lambda: _lie(22, "<H", 2)),
        ("bits", lambda: _lie(34, "<H", 24)),
        ("length", lambda: _lie(40, "<I", 10**9)),
    ],
)
def test_a_header_that_lies_is_doubted(name, lie):
    """A voice was made of a recording that was said to be of 44.1 kHz, and was not."""
    said = "cut short" if name == "length" else "contradicts itself"
    assert any(said in doubt for doubt in read_reference(lie(), "x").doubts)


@pytest.mark.parametrize("kind", ["MP3", "OGG"])
def test_a_compressed_recording_that_is_cut_short_is_doubted(kind, tmp_path):
    """The rest of an MP3 came out as silence, and that of an Ogg file was missing, without a word."""
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).uniform(-0.5, 0.5, 160_000), 16_000, format=kind)
    whole = file.getvalue()
    picture = b"ID3\x04\x00\x00" + bytes([0, 0, 40, 0]) + bytes(40 << 7) if kind == "MP3" else b""
    for data, is_cut in ((whole, False), (whole[: len(whole) * 3 // 4], True)):
        (tmp_path / "x").write_bytes(picture + data)
        for source in (data, picture + data, str(tmp_path / "x")):
            assert ("the file is cut short" in read_reference(source, "x").doubts) == is_cut


@pytest.mark.parametrize(
    ("rate", "channels", "seconds", "said"),
    [
        (655_350, 1, 100, r"65,535,000 samples at 655,350 Hz, expected at most 57,600,000"),
        (8_000, 1, 601, "601 s long"),
    ],
)
def test_audio_bombs_are_refused(rate, channels, seconds, said):
    """Silence packs to nothing."""
    with pytest.raises(SpeakerError, match=f"x: {said}"):
        read_reference(_pack(rate, channels, seconds), "x")


def test_a_thousand_channels_take_the_memory_of_one():
    data = _pack(16_000, 1_000, 20, "WAV")
    tracemalloc.start()
    try:
        samples = read_reference(data, "x").samples
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert samples.shape == (320_000,)
    assert peak < 64_000_000  # All channels as numbers take 2,560 MB.


def _pack(rate, channels, seconds, file_format="FLAC"):
    sink = io.BytesIO()
    with soundfile.SoundFile(sink, "w", rate, channels, format=file_format, subtype="PCM_16") as file:
        for second in range(seconds):
            file.write(np.full((rate, channels), 5_000 + second % 2, np.int16))
    return sink.getvalue()
