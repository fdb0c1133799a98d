"""Recordings of voices: read, checked, and brought to the rate and volume that BiCodec was trained on."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.audio.clips import ByteFile, describe_failure
from pipeline.audio.recording_damage import CUT, find_damage
from pipeline.audio.recording_quality import RecordingQuality, describe_faults, measure_recording
from pipeline.audio.samples import resample
from pipeline.config.extras import need_extra
from pipeline.config.figures import apart
from pipeline.errors import SpeakerError

MODEL_SAMPLE_RATE = 16_000
MIN_REFERENCE_SAMPLES = 400
"""At 16 kHz: the first frame of wav2vec2."""
MAX_REFERENCE_S = 600.0
_MAX_REFERENCE_FRAMES = round(MAX_REFERENCE_S * 96_000)
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000
_UNKNOWN_FRAMES = 1 << 62
_BLOCK_SAMPLES = 1 << 20
_HEAD_BYTES = 16
_AAC = (b"\xf1", b"\xf9")
"""Second bytes of a raw AAC frame; those of MP3 differ, which libsndfile reads."""
# Floats on the scale of 32-bit integers still pass; what is beyond is damage, and its squares overflow.
_LOUDEST_REFERENCE_PEAK = 2.0**32
_SILENT_REFERENCE_PEAK = 1e-4
_TELEPHONE_RATE = 8_000
_NO_TREBLE = 1e-6
"""Share of the power, -60 dB: recordings of speech have more above 4 kHz, resampled telephone calls less."""

DoubleArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LoadedAudio:
    """What a file holds.

    Attributes:
        samples: (num_samples,) float64, the first channel, nominally in [-1, 1].
        sample_rate: Hz.
        quality: what was measured of it.
        doubts: what makes it a poor model of a voice, although it can be used.
    """

    samples: DoubleArray
    sample_rate: int
    quality: RecordingQuality
    doubts: tuple[str, ...] = ()


def read_reference(source: bytes | str | os.PathLike[str], name: str) -> LoadedAudio:
    """Decode a recording of a voice (WAV, FLAC, OGG, MP3, ...).

    Args:
        source: the file's content, or its local path.
        name: what messages call it.

    Raises:
        SpeakerError: it cannot be decoded, or is empty, silent, longer than ten minutes, or not finite.
    """
    data = source if isinstance(source, bytes) else None
    if data is None:
        try:
            with open(os.fspath(source), "rb") as handle:
                head = handle.read(_HEAD_BYTES)
        except (OSError, TypeError, ValueError) as error:
            raise _unreadable(name, error) from error
    if needs_pyav(head if data is None else data):
        samples, rate, promised_s = _decode_with_pyav(source, name)
        _check_samples(samples, rate, name)
        found_s = samples.size / rate
        is_whole = found_s > promised_s * 0.99 - 0.1  # Containers count what an encoder puts before and behind.
        lost = f"only {found_s:.1f} of {promised_s:.1f} s can be read: the file is cut short or damaged"
        return _judge(samples, rate, *([] if is_whole else [lost]))
    try:
        with soundfile.SoundFile(ByteFile(source) if isinstance(source, bytes) else os.fspath(source)) as file:
            rate, num_frames = file.samplerate, file.frames
            _check_header(rate, num_frames, name)
            if num_frames > MAX_REFERENCE_S * rate:
                raise _too_long(name, num_frames / rate)
            if num_frames > _MAX_REFERENCE_FRAMES:
                raise SpeakerError(
                    f"{name}: {num_frames:,} samples at {rate:,} Hz, expected at most {_MAX_REFERENCE_FRAMES:,}; cut "
                    "out 3 to 30 s of speech, at 48,000 Hz or less"
                )
            samples = _read_first_channel(file)
            doubts = _doubt_header(file.extra_info)
            damage = find_damage(source if isinstance(source, bytes) else Path(source).read_bytes(), file.format)
            doubts = [CUT] * (samples.size < num_frames) + ([damage] if damage else []) + doubts
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise _unreadable(name, error) from error
    _check_samples(samples, rate, name)
    return _judge(np.ascontiguousarray(samples), rate, *dict.fromkeys(doubts))


def _doubt_header(log: str) -> list[str]:
    """Return what is wrong with a recording by libsndfile's log, which reads what is there whatever the header says."""
    # A header that was written before the length was known promises the most that there can be.
    promised = re.search(r"(?:data|SSND) : (\d+) \(should be", log)
    is_cut = (promised is not None and int(promised[1]) < 0xFFFF0000) or "lacks an end-of-stream bit" in log
    facts = {name: int(value) for name, value in re.findall(r"(Channels|Block Align|Bit Width) +: (\d+)", log)}
    is_plain = re.search(r"Format +: 0x[13] ", log) is not None
    is_odd = re.search(r"Bytes/sec +: \d+ \(should be", log) is not None
    if is_plain and len(facts) == 3:
        is_odd |= facts["Block Align"] * 8 != facts["Channels"] * facts["Bit Width"]
    return [
        *([CUT] if is_cut else []),
        *(["its header contradicts itself, so that rate, channels or bits may be wrong; export it again"] * is_odd),
    ]


def _judge(samples: DoubleArray, rate: int, *doubts: str) -> LoadedAudio:
    quality = measure_recording(samples, rate)
    return LoadedAudio(samples, rate, quality, (*doubts, *find_doubts(samples, rate), *describe_faults(quality)))


def needs_pyav(head: bytes) -> bool:
    """Tell whether a recording is in a container that libsndfile does not know: MP4 (M4A), WebM, raw AAC."""
    return head[4:8] == b"ftyp" or head[:4] == b"\x1aE\xdf\xa3" or (head[:1] == b"\xff" and head[1:2] in _AAC)


def _decode_with_pyav(source: bytes | str | os.PathLike[str], name: str) -> tuple[DoubleArray, int, float]:
    """Decode the first channel of a file with PyAV, ten minutes at most.

    Returns:
        Samples, rate, and the seconds that the file promises (0 if it does not say).
    """
    if find_spec("av") is None:
        raise SpeakerError(
            f"{need_extra(f'{name}: M4A, WebM or AAC', 'av', 'recordings')}; or give WAV, FLAC, OGG or MP3"
        )
    import av

    pieces, num_samples = [], 0
    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source), mode="r") as container:
            if not container.streams.audio:
                raise SpeakerError(f"{name}: holds no audio; give 3 to 30 s of speech")
            stream = container.streams.audio[0]
            rate = int(stream.rate)
            _check_header(rate, 0, name)
            resampler = av.AudioResampler(format="dblp", rate=rate)
            promised_s = 0.0
            # A film may be longer than its sound, and the length of raw AAC is a guess.
            if len(container.streams) == 1 and container.format.name != "aac":
                promised_s = (container.duration or 0) / av.time_base
            for frame in container.decode(stream):
                for planar in resampler.resample(frame):
                    pieces.append(planar.to_ndarray()[0].astype(np.float64))
                    num_samples += pieces[-1].size
                if num_samples > MAX_REFERENCE_S * rate:
                    raise _too_long(name, num_samples / rate)
    except (av.FFmpegError, OSError, ValueError, TypeError, IndexError) as error:
        raise SpeakerError(
            f"{name}: cannot be read as audio: {str(error)[:120]}; give a WAV, FLAC, OGG, MP3 or M4A file of 3 to 30 s "
            "of speech"
        ) from None
    return (np.concatenate(pieces) if pieces else np.zeros(0)), rate, promised_s


def _unreadable(name: str, error: Exception) -> SpeakerError:
    return SpeakerError(
        f"{name}: cannot be read as audio: {describe_failure(error)}; give a WAV, FLAC, OGG or MP3 file of 3 to "
        "30 s of speech"
    )


def _check_header(rate: int, num_frames: int, name: str) -> None:
    """Refuse what no recording is: libsndfile believes a header."""
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise SpeakerError(
            f"{name}: a sample rate of {rate:,} Hz, expected {_LOWEST_RATE:,} to {_HIGHEST_RATE:,}; export the "
            "recording again"
        )
    if num_frames >= _UNKNOWN_FRAMES:
        raise SpeakerError(f"{name}: does not say how long it is, as if streamed; export the recording again")


def _read_first_channel(file: soundfile.SoundFile) -> DoubleArray:
    """Read block by block: a file of a few kilobytes may have a thousand channels of silence."""
    samples = np.empty(max(0, file.frames))
    num_read = 0
    for block in file.blocks(max(1, _BLOCK_SAMPLES // file.channels), dtype="float64", always_2d=True):
        samples[num_read : num_read + len(block)] = block[:, 0]
        num_read += len(block)
    return samples[:num_read]


def find_doubts(samples: DoubleArray, sample_rate: int) -> list[str]:
    """Return what makes a recording a poor model of a voice, although it can be used.

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
    # Half a minute is enough.
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
        found, least = apart(peak, _SILENT_REFERENCE_PEAK)
        raise SpeakerError(
            f"{name}: silent (peak {found}, expected at least {least}); give speech in the first channel"
        )
    if peak > _LOUDEST_REFERENCE_PEAK:
        raise SpeakerError(
            f"{name}: a sample of {peak:.1g}, expected up to 1 at full scale; export the recording again"
        )


def _too_long(name: str, duration_s: float) -> SpeakerError:
    found, most = apart(duration_s, MAX_REFERENCE_S)
    return SpeakerError(f"{name}: {found} s long, expected at most {most} s; cut out 3 to 30 s of speech")


def normalize_volume(samples: DoubleArray, target: float = 0.2) -> DoubleArray:
    """Bring speech to a common volume.

    Peaks under 0.1 are raised to 0.1 (a peak under 0.001 by 100 at most). Then the mean of the loudest samples,
    from the 90th to the 99th percentile of those over 0.01, is brought to `target` by a gain of 0.1 to 10; with ten
    such samples or fewer nothing more happens. A peak over 1 is brought down to 1 at the end.

    Args:
        samples: (num_samples,) float64.
        target: amplitude.

    Source: the official code of Spark-TTS; compared with it by tests/audio/test_references.py.
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
