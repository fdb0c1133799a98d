"""Clips, the audio files of a run: their formats, and samples turned into such files and back.

The one place that knows a clip's format: how it is encoded, how its file is called, and what its header says. Knows
nothing of models and imports no torch, so that writers stay small.
"""

from __future__ import annotations

import base64
import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import soundfile
from numpy.typing import NDArray

ClipFormat = Literal["wav", "flac"]
CLIP_FORMATS: tuple[ClipFormat, ...] = get_args(ClipFormat)
FULL_SCALE = 32_767
"""The step of 16-bit PCM that a sample of 1 becomes."""
MAX_WAV_BYTES = (1 << 32) - 64
"""What a WAV can hold: its header counts in 32 bits."""
_MAGIC: dict[bytes, ClipFormat] = {b"RIFF": "wav", b"fLaC": "flac"}
_WAV_HEADER = "<4sI4s4sIHHIIHH4sI"

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class ClipHeader:
    """What a clip says of itself.

    Attributes:
        sample_rate: Hz.
        num_samples: of its one channel.
    """

    sample_rate: int
    num_samples: int


@dataclass(frozen=True, eq=False)
class Audio:
    """A waveform that can be written, measured and, in a notebook, played.

    Attributes:
        samples: (num_samples,) float32, nominally in [-1, 1].
        sample_rate: Hz.
    """

    samples: FloatArray
    sample_rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype != np.float32:
            raise ValueError(
                f"Audio.samples: expected 1-D float32, got {self.samples.ndim}-D {self.samples.dtype}; "
                "pass one channel, samples.astype(np.float32)"
            )
        if self.sample_rate < 1:
            raise ValueError(f"Audio.sample_rate: expected a positive number of Hz, got {self.sample_rate}")
        if not np.isfinite(self.samples).all():
            raise ValueError("Audio.samples: expected finite numbers, found NaN or infinity")

    def __repr__(self) -> str:
        return f"Audio({self.duration_s:.2f} s at {self.sample_rate} Hz)"

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.size / self.sample_rate

    def encode(self, clip_format: ClipFormat = "wav") -> bytes:
        """Return the content of a mono 16-bit file; equal samples give equal bytes.

        A FLAC holds the version of the encoder that made it (libFLAC, part of soundfile): another version may give
        other bytes for the same samples.

        Args:
            clip_format: wav or flac.

        Raises:
            ValueError: the format cannot hold so much audio or, as a FLAC, none at all.
        """
        steps = to_pcm16(self.samples)
        if clip_format == "flac":
            if not steps.size:
                raise ValueError("Audio.samples: a FLAC holds at least one sample, got none; write a WAV")
            sink = io.BytesIO()
            soundfile.write(sink, steps, self.sample_rate, format="FLAC", subtype="PCM_16")
            return sink.getvalue()
        data = steps.tobytes()
        if len(data) > MAX_WAV_BYTES:
            raise ValueError(f"Audio.samples: {len(data):,} bytes, expected at most the {MAX_WAV_BYTES:,} of a WAV")
        return _wav_header(self.sample_rate, len(data)) + data

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a mono 16-bit file in the format that the suffix of its name says: .wav or .flac; whole or not at all.

        Args:
            path: any address that a run's output may have.

        Raises:
            ValueError: any other suffix.
            StorageError: it cannot be written.
        """
        from pipeline.storage import write_bytes  # Loads every setting, which who computes alone does not need.

        write_bytes(os.fspath(path), self.encode(format_of(path)))

    def _repr_html_(self) -> str:
        return f'<audio controls src="{data_uri(self.encode())}"></audio>'


def to_pcm16(samples: NDArray[Any]) -> NDArray[np.int16]:
    """Return samples as 16-bit steps.

    Args:
        samples: (num_samples,) floats; rounded to the nearest of the 65,535 steps, halves to the even one; beyond
            [-1, 1] they clip.
    """
    steps: NDArray[np.int16] = np.rint(np.clip(samples.astype(np.float64), -1.0, 1.0) * FULL_SCALE).astype("<i2")
    return steps


def _wav_header(sample_rate: int, num_bytes: int) -> bytes:
    # RIFF's header by hand: libraries may add chunks with versions or dates.
    byte_rate, pcm, one_channel, frame_bytes, bits = 2 * sample_rate, 1, 1, 2, 16
    layout = (b"fmt ", 16, pcm, one_channel, sample_rate, byte_rate, frame_bytes, bits)
    return struct.pack(_WAV_HEADER, b"RIFF", 36 + num_bytes, b"WAVE", *layout, b"data", num_bytes)


def encoder_versions(clip_format: ClipFormat) -> dict[str, str]:
    """Return the versions that the bytes of a clip depend on; none where this module writes the format by itself."""
    if clip_format == "wav":
        return {}
    found = {"soundfile": soundfile.__version__, "libsndfile": soundfile.__libsndfile_version__}
    # Part of soundfile's own build, or of the system's: only a file that it made tells which.
    return {**found, "libflac": _flac_vendor(Audio(np.zeros(1, np.float32), 16_000).encode("flac"))}


def _flac_vendor(data: bytes) -> str:
    """Return the encoder that a FLAC names in its comment, `reference libFLAC 1.4.3 20230623`."""
    comment, at = 4, 4
    while at + 8 <= len(data):
        kind, size = data[at] & 0x7F, int.from_bytes(data[at + 1 : at + 4], "big")
        if kind == comment:
            length = int.from_bytes(data[at + 4 : at + 8], "little")
            return data[at + 8 : at + 8 + length].decode("utf-8", "replace")
        if data[at] & 0x80:  # The last one.
            break
        at += 4 + size
    return "unknown"


def suffix_of(clip_format: ClipFormat) -> str:
    """Return how the names of a format's files end, the dot included."""
    return f".{clip_format}"


def format_of(path: str | os.PathLike[str]) -> ClipFormat:
    """Return the format that a file's name asks for.

    Raises:
        ValueError: no clip has such a suffix; the message lists those that there are.
    """
    suffix = Path(path).suffix
    for clip_format in CLIP_FORMATS:
        if suffix.lower() == suffix_of(clip_format):
            return clip_format
    known = ", ".join(map(suffix_of, CLIP_FORMATS))
    raise ValueError(f"{os.fspath(path)}: expected a name that ends in one of {known}, found {suffix or 'no suffix'}")


def data_uri(data: bytes) -> str:
    """Return a clip as an address that a web page can hold: `data:audio/wav;base64,...`."""
    clip_format = _MAGIC.get(data[:4], "wav")
    return f"data:audio/{clip_format};base64,{base64.b64encode(data).decode('ascii')}"


def read_header(data: bytes) -> ClipHeader | None:
    """Return what a clip says of itself, or None where it is not a complete mono 16-bit WAV or FLAC.

    A WAV says how many bytes it has. A FLAC does not, so it is decoded.

    Args:
        data: the whole file.
    """
    clip_format = _MAGIC.get(data[:4])
    if clip_format == "wav":
        return _read_wav_header(data)
    return _read_flac_header(data) if clip_format == "flac" else None


def _read_wav_header(data: bytes) -> ClipHeader | None:
    at, rate = 12, None
    if len(data) < 44 or data[8:12] != b"WAVE":
        return None
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"fmt " and size >= 16:
            if at + 16 > len(data):
                return None
            coding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at)
            if (coding, channels, bits) != (1, 1, 16):
                return None
        if name == b"data":
            return ClipHeader(rate, size // 2) if rate is not None and at + size == len(data) else None
        at += size + size % 2
    return None


def _read_flac_header(data: bytes) -> ClipHeader | None:
    try:
        with soundfile.SoundFile(ByteFile(data)) as file:
            if (file.format, file.subtype, file.channels) != ("FLAC", "PCM_16", 1):
                return None
            header = ClipHeader(file.samplerate, file.frames)
            return header if len(file.read(dtype="int16")) == header.num_samples else None
    except (soundfile.SoundFileError, ValueError):
        return None


def decode_clip(data: bytes) -> Audio:
    """Return the first channel of a clip.

    Args:
        data: the whole file.

    Raises:
        ValueError: it cannot be decoded.
    """
    try:
        samples, sample_rate = soundfile.read(ByteFile(data), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(f"not a clip: {describe_failure(error)}") from error
    return Audio(np.ascontiguousarray(samples[:, 0]), sample_rate)


def describe_failure(error: Exception) -> str:
    """Return what libsndfile says; for bytes it names a Python object, which helps nobody."""
    return str(error).rpartition(">: ")[2] or "the file is damaged"


class ByteFile(io.BytesIO):
    """A file of bytes that stays where it is when a damaged header sends libsndfile before its start.

    An exception could not pass through libsndfile: it would be printed as a traceback and forgotten.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a place in the file, or stay where there is none."""
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()
