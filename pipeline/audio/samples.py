"""Audio as numbers: read a reference, bring it to one rate and level, join segments, measure, make WAV bytes.

Knows nothing of models: it imports no torch, so that writers stay small.
"""

from __future__ import annotations

import base64
import io
import logging
import math
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from pipeline.errors import SpeakerError

logger = logging.getLogger(__name__)

MODEL_SAMPLE_RATE = 16_000
MIN_REFERENCE_SAMPLES = 400  # at 16 kHz: the first frame of wav2vec2
MAX_REFERENCE_S = 600.0
SILENCE_DBFS = -120.0
_SILENT_FRAME_DBFS = -50.0
_FRAME_S = 0.02
# Floats on the scale of 32-bit integers still pass; what is beyond is damage, and its squares overflow.
_LOUDEST_REFERENCE_PEAK = 2.0**32
_SILENT_REFERENCE_PEAK = 1e-4
_TELEPHONE_RATE = 8_000
_NO_TREBLE = 1e-6
"""Share of the power, -60 dB: recordings of speech have more above 4 kHz, resampled telephone calls less."""
_FULL_SCALE = 32_767

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LoadedAudio:
    """What a file holds.

    Attributes:
        samples: (num_samples,) float64, the first channel, nominally in [-1, 1].
        sample_rate: Hz.
    """

    samples: DoubleArray
    sample_rate: int


@dataclass(frozen=True)
class AudioStats:
    """How loud audio is.

    Attributes:
        peak_dbfs: largest sample; -120 stands for digital silence.
        rms_dbfs: root mean square over everything, with the same floor.
        silence_ratio: share of 20 ms frames under -50 dBFS.
        clipped_ratio: share of samples at full scale.
    """

    peak_dbfs: float
    rms_dbfs: float
    silence_ratio: float
    clipped_ratio: float


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

    def wav_bytes(self) -> bytes:
        """Return a mono PCM 16 WAV file; equal samples give equal bytes.

        Values are rounded to the nearest of the 65,535 steps, halves to the even one; beyond [-1, 1] they clip.
        """
        steps = np.rint(np.clip(self.samples.astype(np.float64), -1.0, 1.0) * _FULL_SCALE).astype("<i2")
        data = steps.tobytes()
        # RIFF's header by hand: libraries may add chunks with versions or dates.
        header = struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF",
            36 + len(data),
            b"WAVE",
            b"fmt ",
            16,
            1,
            1,
            self.sample_rate,
            self.sample_rate * 2,
            2,
            16,
            b"data",
            len(data),
        )
        return header + data

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a mono PCM 16 WAV file."""
        Path(path).write_bytes(self.wav_bytes())

    def _repr_html_(self) -> str:
        encoded = base64.b64encode(self.wav_bytes()).decode("ascii")
        return f'<audio controls src="data:audio/wav;base64,{encoded}"></audio>'


def read_reference(source: bytes | str | os.PathLike[str], name: str) -> LoadedAudio:
    """Decode a recording of a voice (WAV, FLAC, OGG, MP3, ...).

    Args:
        source: the file's content, or its local path.
        name: what messages call it.

    Raises:
        SpeakerError: it cannot be decoded, or is empty, silent, longer than ten minutes, or not finite.
    """
    try:
        with soundfile.SoundFile(_Bytes(source) if isinstance(source, bytes) else os.fspath(source)) as file:
            rate, num_frames = file.samplerate, file.frames
            if num_frames > MAX_REFERENCE_S * rate:
                raise _too_long(name, num_frames / rate)
            samples = file.read(dtype="float64", always_2d=True)[:, 0]
            # libsndfile reads what is there; its log tells of a header that promised more. One that was written
            # before the length was known promises the most that there can be.
            promised = re.search(r"(?:data|SSND) : (\d+) \(should be", file.extra_info)
            is_cut = samples.size < num_frames or (promised is not None and int(promised[1]) < 0xFFFF0000)
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        # For bytes the library names a Python object, which tells nobody anything.
        reason = str(error).rpartition(">: ")[2]
        raise SpeakerError(
            f"{name}: cannot be read as audio: {reason}; give a WAV, FLAC, OGG or MP3 file of 3 to 30 s of speech"
        ) from error
    _check_samples(samples, rate, name)
    for doubt in (["the file is cut short"] if is_cut else []) + find_doubts(samples, rate):
        logger.warning("%s: %s; the voice may not be as expected", name, doubt)
    return LoadedAudio(np.ascontiguousarray(samples), rate)


class _Bytes(io.BytesIO):
    """A file of bytes that stays where it is when a damaged header sends libsndfile before its start.

    An exception could not pass through libsndfile: it would be printed as a traceback and forgotten.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def find_doubts(samples: DoubleArray, sample_rate: int) -> list[str]:
    """Say what makes a recording a poor model of a voice, although it can be used.

    Args:
        samples: (num_samples,) of any level.
        sample_rate: Hz.
    """
    if np.ptp(samples) < _SILENT_REFERENCE_PEAK:
        return ["every sample has the same value, so there is no speech in it"]
    if sample_rate <= _TELEPHONE_RATE:
        return [
            f"recorded at {sample_rate:,} Hz, expected 16,000 or more: nothing above {sample_rate // 2:,} Hz is in it"
        ]
    # Half a minute tells it.
    power = np.abs(np.fft.rfft(samples[: 30 * sample_rate])) ** 2
    above = power[int(len(power) * _TELEPHONE_RATE / sample_rate * 1.05) :]
    if above.sum() < _NO_TREBLE * power[1:].sum():
        return [f"nothing above {_TELEPHONE_RATE // 2:,} Hz is in it, as if from a telephone"]
    return []


def prepare_reference(
    samples: NDArray[Any], sample_rate: int, name: str, to_rate: int = MODEL_SAMPLE_RATE, normalize: bool = True
) -> DoubleArray:
    """Check a voice and bring it to the rate and volume that BiCodec was trained on.

    Args:
        samples: (num_samples,) floats in [-1, 1].
        sample_rate: Hz.
        name: what messages call it.
        to_rate: Hz of the result.
        normalize: bring it to the common volume.

    Raises:
        SpeakerError: as for `read_reference`, or fewer than 400 samples are left at `to_rate`.
    """
    _check_samples(samples, sample_rate, name)
    resampled = resample(samples.astype(np.float64), sample_rate, to_rate)
    if resampled.size < MIN_REFERENCE_SAMPLES:
        raise SpeakerError(
            f"{name}: {resampled.size} samples at {to_rate} Hz, expected at least {MIN_REFERENCE_SAMPLES}; "
            "give 3 to 30 s of speech"
        )
    return normalize_volume(resampled) if normalize else resampled


def _check_samples(samples: NDArray[Any], sample_rate: int, name: str) -> None:
    if samples.ndim != 1 or sample_rate < 1:
        raise SpeakerError(
            f"{name}: expected one channel at a positive rate, got shape {samples.shape} at {sample_rate} Hz"
        )
    if samples.size == 0:
        raise SpeakerError(f"{name}: holds no samples; give 3 to 30 s of speech")
    if samples.size > MAX_REFERENCE_S * sample_rate:
        raise _too_long(name, samples.size / sample_rate)
    if not np.isfinite(samples).all():
        raise SpeakerError(f"{name}: holds NaN or infinite samples; export the recording again")
    peak = float(np.abs(samples).max())
    if peak < _SILENT_REFERENCE_PEAK:
        raise SpeakerError(
            f"{name}: silent (peak {peak:.1g}, expected at least {_SILENT_REFERENCE_PEAK:g}); "
            "give speech in the first channel"
        )
    if peak > _LOUDEST_REFERENCE_PEAK:
        raise SpeakerError(
            f"{name}: a sample of {peak:.1g}, expected up to 1 at full scale; export the recording again"
        )


def _too_long(name: str, duration_s: float) -> SpeakerError:
    return SpeakerError(
        f"{name}: {duration_s:.0f} s long, expected at most {MAX_REFERENCE_S:.0f} s; cut out 3 to 30 s of speech"
    )


def resample(samples: NDArray[Any], from_rate: int, to_rate: int) -> NDArray[Any]:
    """Return (num_samples,) at another rate (soxr, very high quality), in the dtype given; equal rates copy nothing."""
    if from_rate == to_rate:
        return samples
    resampled: NDArray[Any] = soxr.resample(samples, from_rate, to_rate, quality="VHQ")
    return resampled


def normalize_volume(samples: DoubleArray, target: float = 0.2) -> DoubleArray:
    """Bring speech to a common volume.

    Peaks under 0.1 are raised to 0.1 (a peak under 0.001 by 100 at most). Then the mean of the loudest samples,
    from the 90th to the 99th percentile of those over 0.01, is brought to `target` by a gain of 0.1 to 10; with ten
    such samples or fewer nothing more happens. A peak over 1 is brought down to 1 at the end.

    Args:
        samples: (num_samples,) float64.
        target: amplitude.

    Source: the official code of Spark-TTS; held to it by tests/test_audio.py.
    """
    magnitudes = np.sort(np.abs(samples))
    if magnitudes[-1] < 0.1:
        samples = samples / max(magnitudes[-1], 1e-3) * 0.1
    # From the magnitudes before the peak was raised, as in the official code.
    significant = magnitudes[magnitudes > 0.01]
    count = significant.size
    if count <= 10:
        return samples
    volume = np.mean(significant[int(0.9 * count) : int(0.99 * count)])
    samples = samples * np.clip(target / volume, 0.1, 10)
    peak = np.abs(samples).max()
    return samples / peak if peak > 1 else samples


def reference_clip(samples: DoubleArray, num_samples: int = 6 * MODEL_SAMPLE_RATE) -> DoubleArray:
    """Return exactly `num_samples`: the beginning of a long recording, or a short one repeated."""
    repeats = -(-num_samples // samples.size)
    return np.tile(samples, repeats)[:num_samples]


def join_segments(segments: Sequence[FloatArray], pauses_s: Sequence[float], sample_rate: int) -> FloatArray:
    """Return all segments in a row, with silence between them.

    Args:
        segments: 1-D float32 each.
        pauses_s: seconds of silence after each segment but the last.
        sample_rate: Hz.
    """
    if len(pauses_s) != max(len(segments) - 1, 0):
        raise ValueError(f"pauses_s: expected one less than {len(segments)} segments, got {len(pauses_s)}")
    parts: list[FloatArray] = []
    for index, segment in enumerate(segments):
        parts.append(segment)
        if index < len(pauses_s):
            parts.append(np.zeros(round(pauses_s[index] * sample_rate), dtype=np.float32))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def set_level(samples: FloatArray, target_rms_dbfs: float, max_peak_dbfs: float = -1.0) -> FloatArray:
    """Bring audio to a level; less where its peak would pass the limit. Digital silence stays as it is.

    Args:
        samples: (num_samples,) float32.
        target_rms_dbfs: level over everything, silence included.
        max_peak_dbfs: highest peak allowed.
    """
    magnitudes = np.abs(samples.astype(np.float64))
    peak = float(magnitudes.max(initial=0.0))
    if peak == 0.0:
        return samples
    rms = math.sqrt(float(np.mean(magnitudes**2)))
    gain = min(10 ** (target_rms_dbfs / 20) / rms, 10 ** (max_peak_dbfs / 20) / peak)
    return (samples * gain).astype(np.float32)


def measure(samples: FloatArray, sample_rate: int) -> AudioStats:
    """Measure level, silence and clipping.

    Args:
        samples: (num_samples,) float32; without any sample all of it counts as silence.
        sample_rate: Hz.
    """
    if samples.size == 0:
        return AudioStats(SILENCE_DBFS, SILENCE_DBFS, silence_ratio=1.0, clipped_ratio=0.0)
    magnitudes = np.abs(samples.astype(np.float64))
    power = magnitudes**2
    frame_starts = np.arange(0, samples.size, max(round(_FRAME_S * sample_rate), 1))
    frame_sizes = np.diff(frame_starts, append=samples.size)
    frame_power = np.add.reduceat(power, frame_starts) / frame_sizes
    return AudioStats(
        peak_dbfs=_to_dbfs(float(magnitudes.max())),
        rms_dbfs=_to_dbfs(math.sqrt(float(power.mean()))),
        silence_ratio=float(np.mean(frame_power < 10 ** (_SILENT_FRAME_DBFS / 10))),
        clipped_ratio=float(np.mean(magnitudes >= _FULL_SCALE / 32_768)),
    )


def _to_dbfs(amplitude: float) -> float:
    return max(20 * math.log10(amplitude), SILENCE_DBFS) if amplitude > 0 else SILENCE_DBFS
