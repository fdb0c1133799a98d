"""Comments of FLACs, read by libsndfile and FFmpeg; the sound stays as it is."""

import io

import av
import numpy as np
import pytest
import soundfile

from pipeline.audio.clips import Audio, decode_clip, read_header
from pipeline.audio.flac_comments import with_comments

SAMPLES = np.sin(np.arange(16_000, dtype=np.float32) * 0.05)


@pytest.fixture
def flac():
    return Audio(SAMPLES, 16_000).encode("flac")


def tags_of(data):
    with av.open(io.BytesIO(data)) as file:
        return dict(file.metadata)


def test_comments_are_read_by_others_and_the_sound_is_the_same(flac):
    data = with_comments(flac, {"LICENSE": "cc-by-4.0", "COMMENT": "Synthetic: äöü 中文", "WEIGHTS": "sha256:ab"})
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.license, file.comment) == ("cc-by-4.0", "Synthetic: äöü 中文")
    assert {"LICENSE": "cc-by-4.0", "WEIGHTS": "sha256:ab"}.items() <= tags_of(data).items()
    assert np.array_equal(decode_clip(data).samples, decode_clip(flac).samples)
    assert read_header(data) == read_header(flac)


def test_comments_take_the_place_of_those_before_and_the_encoder_stays(flac):
    data = with_comments(with_comments(flac, {"LICENSE": "old", "COMMENT": "x" * 500}), {"LICENSE": "new"})
    assert tags_of(data)["LICENSE"] == "new" and "comment" not in {name.lower() for name in tags_of(data)}
    assert b"reference libFLAC" in data and with_comments(data, {"LICENSE": "new"}) == data


def test_comments_of_a_file_with_other_blocks(flac):
    """Padding in front of the frames stays, whichever block says that it is the last one."""
    size = int.from_bytes(flac[5:8], "big")
    info, rest = flac[4 : 8 + size], flac[8 + size :]
    padded = flac[:4] + info + b"\x01" + (100).to_bytes(3, "big") + bytes(100) + rest
    data = with_comments(padded, {"LICENSE": "l"})
    assert bytes(100) in data and np.array_equal(decode_clip(data).samples, decode_clip(flac).samples)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"fLaC", b"fLaC\x00\x00\x00\x22abc"])
def test_what_is_no_flac_is_refused(data):
    with pytest.raises(ValueError, match=r"FLAC"):
        with_comments(data, {"LICENSE": "l"})


def test_comments_that_no_flac_holds_are_refused(flac):
    with pytest.raises(ValueError, match="16,777,215"):
        with_comments(flac, {"COMMENT": "x" * (1 << 24)})
