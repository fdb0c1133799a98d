"""Recordings as phones and browsers make them."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.audio import references
from pipeline.audio.references import read_reference
from pipeline.errors import SpeakerError

av = pytest.importorskip("av")
SPEECH = Path(__file__).parents[1] / "fixtures/speech/slt_door.flac"


def encode(container: str, codec: str, rate: int, layout: str = "mono") -> bytes:
    samples, own_rate = soundfile.read(SPEECH, dtype="float32")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = own_rate
        resampler = av.AudioResampler(stream.format, layout, rate, frame_size=stream.codec_context.frame_size)
        for ready in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(ready))
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "codec", "rate", "layout"),
    [
        ("ipod", "aac", 44_100, "stereo"),
        ("adts", "aac", 16_000, "mono"),
        ("webm", "libopus", 48_000, "mono"),
        ("ogg", "libopus", 48_000, "mono"),
        ("mp3", "libmp3lame", 44_100, "stereo"),
    ],
)
def test_the_sound_is_that_of_the_flac_file(container, codec, rate, layout, tmp_path):
    data, expected = encode(container, codec, rate, layout), soundfile.read(SPEECH)[0]
    loaded = read_reference(data, "him")
    assert loaded.sample_rate == rate and not any("damaged" in doubt for doubt in loaded.doubts)
    assert loaded.samples.size / rate == pytest.approx(expected.size / soundfile.info(SPEECH).samplerate, abs=0.2)
    level = np.sqrt(np.mean(expected**2)) * (0.5**0.5 if layout == "stereo" else 1)  # Two channels share the power.
    assert np.sqrt(np.mean(loaded.samples**2)) == pytest.approx(level, rel=0.1)
    (path := tmp_path / "recording").write_bytes(data)
    np.testing.assert_array_equal(read_reference(path, "him").samples, loaded.samples)


@pytest.mark.parametrize("kind", ["cut", "zeroed"])
def test_a_webm_that_cannot_be_read_to_its_end_is_doubted(kind):
    """The decoder stopped there, without a word."""
    data = encode("webm", "libopus", 48_000)
    middle = len(data) // 2
    harmed = data[:middle] + (bytes(900) + data[middle + 900 :] if kind == "zeroed" else b"")
    assert any(
        "s can be read: the file is cut short or damaged" in doubt for doubt in read_reference(harmed, "x").doubts
    )


def test_what_is_no_audio_is_refused():
    with pytest.raises(SpeakerError, match=r"him: cannot be read as audio: .* M4A"):
        read_reference(b"\0\0\0\x20ftypM4A " + bytes(100), "him")
    with pytest.raises(SpeakerError, match="him: cannot be read as audio"):
        read_reference(encode("ipod", "aac", 16_000)[:2_000], "him")


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(references, "find_spec", lambda name: None if name == "av" else find(name))
    with pytest.raises(SpeakerError, match=r"him: M4A, WebM or AAC needs the package av, .* -e '\.\[recordings\]'"):
        read_reference(encode("webm", "libopus", 48_000), "him")
