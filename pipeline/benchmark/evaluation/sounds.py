"""What is measured of one sound, or of two: pitch, pace, how far a copy is from its original, whose voice it is."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, WeightsError

Samples = NDArray[np.float32]

RATE = 16_000
"""Hz of all that is measured here: the model's."""
_FRAME, _HOP = 1_024, 256
_NUM_MELS = 80
_MEL_FLOOR = 1e-5
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 500.0
_VOICED = 0.5
"""Of the autocorrelation at the pitch's period against that at none."""
_EDGE_DB = -35.0
"""Against the loud frames: what is under it at the ends is no speech."""


def measure_pitch(samples: Samples) -> float | None:
    """Return the median pitch of the voiced frames in Hz; None where nothing is voiced.

    Args:
        samples: (num_samples,) at `RATE`.
    """
    frames = _cut_frames(samples)
    if not len(frames):
        return None
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(_FRAME)
    spectrum = np.abs(np.fft.rfft(frames, 2 * _FRAME, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, :_FRAME]
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(_FRAME), 2 * _FRAME)) ** 2)[:_FRAME]
    energy = correlation[:, 0]
    # The window makes long periods look weak; its own correlation takes that back.
    relative = correlation / np.maximum(energy[:, None], 1e-12) / (window / window[0])
    first, last = round(RATE / _HIGHEST_HZ), round(RATE / _LOWEST_HZ)
    part = relative[:, first:last]
    best = part.max(axis=1)
    # Of peaks that fit as well, the first: twice the period fits too.
    is_peak = (part[:, 1:-1] >= part[:, :-2]) & (part[:, 1:-1] >= part[:, 2:])
    periods = first + 1 + np.argmax(is_peak & (part[:, 1:-1] >= 0.9 * best[:, None]), axis=1)
    is_voiced = (best > _VOICED) & (energy > 0.05 * energy.max())
    return float(RATE / np.median(periods[is_voiced])) if is_voiced.any() else None


def measure_speech_s(samples: Samples) -> float:
    """Return the seconds between the first and the last sound.

    Args:
        samples: (num_samples,) at `RATE`.
    """
    frames = _cut_frames(samples)
    if not len(frames):
        return 0.0
    level_db = 10 * np.log10((frames.astype(np.float64) ** 2).mean(axis=1) + 1e-10)
    (sounding,) = np.nonzero(level_db > np.percentile(level_db, 90) + _EDGE_DB)
    return float((sounding[-1] - sounding[0] + 1) * _HOP / RATE)


def _cut_frames(samples: Samples) -> NDArray[np.float32]:
    if samples.size < _FRAME:
        return np.zeros((0, _FRAME), np.float32)
    return np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]


def measure_mel_distance(original: Samples, copy: Samples) -> float:
    """Return the mean distance of two sounds of one length in the natural logarithm of their mel spectra."""
    return float(np.abs(_log_mel(original) - _log_mel(copy)).mean())


def _log_mel(samples: Samples) -> NDArray[np.float64]:
    spectrum = np.abs(np.fft.rfft(_cut_frames(samples) * np.hanning(_FRAME), axis=1))
    mel: NDArray[np.float64] = np.log(np.maximum(spectrum @ _mel_filters(), _MEL_FLOOR))
    return mel


@lru_cache(maxsize=1)
def _mel_filters() -> Any:
    from transformers.audio_utils import mel_filter_bank

    return mel_filter_bank(_FRAME // 2 + 1, _NUM_MELS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney")


def measure_stoi(original: Samples, copy: Samples) -> float:
    """Return the short-time objective intelligibility of a copy, 0 to 1, by the package `pystoi`."""
    from pystoi import stoi

    return float(stoi(original, copy, RATE, extended=False))


def measure_pesq(original: Samples, copy: Samples) -> float | None:
    """Return the wide-band PESQ of a copy, 1 to 4.6, by the package `pesq`; None where it finds no speech."""
    import pesq

    try:
        return float(pesq.pesq(RATE, original, copy, "wb"))
    except pesq.NoUtterancesError:
        return None


def has_package(name: str) -> bool:
    """Tell whether an optional package is installed."""
    return find_spec(name) is not None


class SpeakerModel:
    """A WavLM model of `transformers` that turns speech into a vector for the voice (`WavLMForXVector`).

    Args:
        place: its directory.

    Raises:
        ConfigError: it is none.
    """

    def __init__(self, place: str) -> None:
        import torch
        from transformers import AutoFeatureExtractor, WavLMForXVector

        self._torch: Any = torch
        extractors: Any = AutoFeatureExtractor
        models: Any = WavLMForXVector
        try:
            self._extract: Any = extractors.from_pretrained(place, local_files_only=True)
            self._model: Any = models.from_pretrained(place, local_files_only=True).eval()
        except (OSError, ValueError, KeyError, WeightsError) as error:
            raise ConfigError(
                f"--speaker-model {place}: {' '.join(str(error).split()):.200}; expected the directory of a "
                "WavLMForXVector model with its preprocessor_config.json"
            ) from None

    def compare(self, first: Samples, second: Samples) -> float:
        """Return the cosine of two voices' vectors, -1 to 1."""
        vectors = []
        for samples in (first, second):
            inputs = self._extract(samples, sampling_rate=RATE, return_tensors="pt")
            with self._torch.inference_mode():
                vectors.append(self._model(**inputs).embeddings[0])
        return float(self._torch.nn.functional.cosine_similarity(vectors[0], vectors[1], dim=0))
