"""Damage in the middle of MP3 and Ogg recordings is named, although their decoders pass over it."""

import io

import numpy as np
import pytest
import soundfile

from pipeline.audio.recording_damage import CUT, find_damage
from pipeline.audio.references import read_reference
from pipeline.errors import SpeakerError

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 96_000)


def encode_as(kind, subtype=None, samples=NOISE, rate=16_000):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


FILES = {"mp3": encode_as("MP3"), "vorbis": encode_as("OGG", "VORBIS"), "opus": encode_as("OGG", "OPUS")}
MP3 = FILES["mp3"]
TAG = b"TAG".ljust(128, b"x")
PICTURE = b"ID3\x04\x00\x00" + bytes([0, 0, 40, 0]) + bytes(40 << 7)
APE = b"APETAGEX" + (2_000).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(16) + bytes(64)


def kind_of(name):
    return "MP3" if name == "mp3" else "OGG"


def pages_of(data):
    pages, at = [], 0
    while at < len(data):
        num_sizes = data[at + 26]
        size = 27 + num_sizes + sum(data[at + 27 : at + 27 + num_sizes])
        pages.append(data[at : at + size])
        at += size
    return pages


@pytest.mark.parametrize("name", FILES)
def test_no_byte_of_a_recording_changes_unseen(name):
    """A sample of all bytes behind the first frame, whose bytes are partly anyone's."""
    data = FILES[name]
    assert find_damage(data, kind_of(name)) is None
    for at in range(1_000, len(data), len(data) // 60):
        assert find_damage(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :], kind_of(name)) is not None, at


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["zeroed", "cut out", "inserted", "twice", "behind"])
def test_other_damage_in_the_middle_is_seen(name, harm):
    data, middle = FILES[name], len(FILES[name]) // 2
    harmed = {
        "zeroed": data[:middle] + bytes(300) + data[middle + 300 :],
        "cut out": data[:middle] + data[middle + 301 :],
        "inserted": data[:middle] + b"something else" * 9 + data[middle:],
        "twice": data + data,
        "behind": data + b"something else" * 9,
    }[harm]
    assert "damaged" in find_damage(harmed, kind_of(name))


@pytest.mark.parametrize("name", ["vorbis", "opus"])
def test_a_page_that_is_missing_or_moved_is_seen(name):
    pages = pages_of(FILES[name])
    for at in range(2, len(pages) - 1):
        assert "is due" in find_damage(b"".join(pages[:at] + pages[at + 1 :]), "OGG")
    assert "is due" in find_damage(b"".join(pages[:3] + pages[2:]), "OGG")
    assert "another recording begins" in find_damage(b"".join(pages + pages), "OGG")


@pytest.mark.parametrize("name", FILES)
def test_a_recording_that_ends_within_a_page_or_frame_is_cut(name):
    data = FILES[name]
    for at in (len(data) - 1, len(data) * 2 // 3):
        assert find_damage(data[:at], kind_of(name)) == CUT


@pytest.mark.parametrize("data", [PICTURE + MP3 + TAG, MP3 + APE + TAG, MP3 + b"LYRICSBEGIN and so on", APE + MP3])
def test_tags_are_no_damage(data):
    assert find_damage(data, "MP3") is None


@pytest.mark.parametrize("data", [MP3 + TAG + MP3, MP3 + PICTURE + MP3, MP3 + MP3, MP3 + APE + TAG + PICTURE + MP3])
def test_a_second_mp3_behind_the_first_is_seen(data):
    """The decoder took the first one's length, and dropped the second."""
    assert "another recording begins there" in find_damage(data, "MP3")


def test_an_mp3_of_another_rate_behind_the_first_is_seen():
    other = encode_as("MP3", samples=NOISE[:44_100], rate=44_100)
    plain = MP3[288:]  # Without the first frame, which tells of all others.
    assert find_damage(plain, "MP3") is None
    assert "another rate" in find_damage(plain + other, "MP3")
    assert find_damage(b"", "MP3") is None and "no frame" in find_damage(b"junk" + plain, "MP3")


@pytest.mark.parametrize("name", FILES)
def test_a_voice_of_a_damaged_recording_is_doubted(name, tmp_path):
    """A bit that is turned over in the middle: the decoder reads on, without what was there."""
    data, at = FILES[name], len(FILES[name]) // 2
    harmed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    (tmp_path / "x").write_bytes(harmed)
    for source in (harmed, tmp_path / "x"):
        try:
            assert any("checksum" in doubt for doubt in read_reference(source, "x").doubts)
        except SpeakerError as error:  # Noise that no recording holds.
            assert "export the recording again" in str(error)
    assert not any("damaged" in doubt for doubt in read_reference(data, "x").doubts)
