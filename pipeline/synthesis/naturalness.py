"""How natural a take sounds: DNSMOS P.835, a network's guess of what people would say; knows nothing of texts."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.samples import resample
from pipeline.config.extras import need_extra
from pipeline.errors import ConfigError

_SAMPLE_RATE = 16_000
_WINDOW_S = 9.01
"""What the network hears at once; a second lies between the starts of two windows."""
_MODEL = "dnsmos_models/sig_bak_ovr.onnx"
_OVERALL = (-0.06766283, 1.11546468, 0.04602535)
"""The polynomial that the package maps the network's third output with."""


class Dnsmos:
    """The overall score (OVRL) of the DNSMOS model that the package `speechmos` brings along.

    The package itself is not imported: its module needs librosa, for another of its scores.

    Args:
        num_threads: of the CPU.

    Raises:
        ConfigError: a package is not installed.
    """

    def __init__(self, num_threads: int = 1) -> None:
        check_naturalness()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
        self._session: Any = onnxruntime.InferenceSession(
            str(_find_package() / _MODEL), options, providers=["CPUExecutionProvider"]
        )
        self.environment = {package: version(package) for package in ("speechmos", "onnxruntime")}

    def rate(self, samples: NDArray[np.float32], sample_rate: int) -> float | None:
        """Return how natural a take sounds, from 1 (bad) to 5 (excellent); None for no sample at all.

        A take that is shorter than the network's window is heard again and again, as in the package.
        """
        clip = np.clip(resample(samples, sample_rate, _SAMPLE_RATE), -1.0, 1.0).astype(np.float32)
        if not clip.size:
            return None
        size = int(_WINDOW_S * _SAMPLE_RATE)
        while clip.size < size:
            clip = np.concatenate([clip, clip])
        # The package's own sums, in floats: some windows come out a sample short and do not count.
        spans = (
            slice(start * _SAMPLE_RATE, int((start + _WINDOW_S) * _SAMPLE_RATE))
            for start in range(max(clip.size // _SAMPLE_RATE - 9, 1))
        )
        windows = [clip[span] for span in spans if clip[span].size == size]
        # One by one: what is heard of a window must not depend on its neighbors.
        raw = [float(self._session.run(None, {"input_1": window[None]})[0][0][2]) for window in windows]
        return float(np.mean(np.polyval(_OVERALL, raw)))


def check_naturalness() -> None:
    """See whether the score can be computed, without loading anything.

    Raises:
        ConfigError: a package is not installed.
    """
    for package in ("speechmos", "onnxruntime"):
        if find_spec(package) is None:
            raise ConfigError(
                f"{need_extra('quality.naturalness: dnsmos', package, 'naturalness')}, on every machine of the run, or "
                "set quality.naturalness to none"
            )


def _find_package() -> Path:
    found = find_spec("speechmos")
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0])
