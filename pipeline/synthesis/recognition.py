"""Hear which words a take says, and compare them with its text; knows nothing of voices, takes or thresholds.

A recognizer is whatever has `languages` and `recognize`; a new one is a class and its line in `RECOGNIZERS`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.samples import resample
from pipeline.errors import ConfigError

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:'[^\W_\u3400-\u9fff]+)*")
"""A word of letters and digits, or one Chinese character."""
_MIN_REPEATED_LETTERS = 7
"""Of words heard twice running; shorter ones are too often two mishearings that happen to agree."""


class Recognizer(Protocol):
    """Turns speech into words. What it returns must follow from the samples alone, not from what it heard before."""

    @property
    def languages(self) -> frozenset[str]:
        """Codes of the languages that it knows."""

    def recognize(self, samples: NDArray[np.float32], sample_rate: int) -> str:
        """Return what is said.

        Args:
            samples: (num_samples,) in [-1, 1].
            sample_rate: Hz.
        """


class PocketSphinx:
    """The recognizer of the package `pocketsphinx`, with the English model that it brings along."""

    languages = frozenset({"en"})
    _SAMPLE_RATE = 16_000
    _MIN_SAMPLES = 1_600

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        # With `batch` the cepstral mean is that of the take; `live` would bring along that of the takes before it.
        self._decoder: Any = Decoder(samprate=self._SAMPLE_RATE, cmn="batch", loglevel="FATAL")

    def recognize(self, samples: NDArray[np.float32], sample_rate: int) -> str:
        """Return lower-case words; none for less than a tenth of a second."""
        mono = resample(samples, sample_rate, self._SAMPLE_RATE)
        if mono.size < self._MIN_SAMPLES:
            return ""
        steps = np.rint(np.clip(mono, -1.0, 1.0) * 32_767).astype("<i2")
        # Its front end keeps noise levels from one utterance to the next; this makes it as good as new.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(steps.tobytes(), full_utt=True)
        finally:
            self._decoder.end_utt()  # A decoder within an utterance would refuse the next one.
        hypothesis = self._decoder.hyp()
        return str(hypothesis.hypstr) if hypothesis is not None else ""


@dataclass(frozen=True)
class _Engine:
    make: Callable[[], Recognizer]
    module: str
    """What it imports, from the extra `asr`."""


RECOGNIZERS: Mapping[str, _Engine] = {"pocketsphinx": _Engine(PocketSphinx, "pocketsphinx")}
"""By the name that `quality.asr` gives them."""


def check_recognizer(name: str) -> None:
    """See whether a recognizer can be loaded, without loading it.

    Args:
        name: a key of `RECOGNIZERS`, or `none`.

    Raises:
        ConfigError: what it needs is not installed.
    """
    if name == "none":
        return
    for module in (RECOGNIZERS[name].module, "rapidfuzz"):
        if find_spec(module) is None:
            raise ConfigError(
                f"quality.asr: {name} needs the package {module}, which is not installed; "
                "pip install 'spark-tts-batch[asr]' on every machine of the run, or set quality.asr: none"
            )


def load_recognizer(name: str) -> Recognizer:
    """Load a recognizer.

    Args:
        name: a key of `RECOGNIZERS`.

    Raises:
        ConfigError: what it needs is not installed.
    """
    check_recognizer(name)
    return RECOGNIZERS[name].make()


@dataclass(frozen=True)
class Reading:
    """How what was heard differs from what was to be said. Letters are those of all words, without spaces."""

    num_words: int
    """Of the text, as the other counts without "heard" in their name."""
    num_word_errors: int
    num_letters: int
    num_letter_errors: int
    num_letters_heard: int
    repeated: str
    """Words that were heard more often than the text has them; empty if there are none."""


def compare_with_text(text: str, heard: str) -> Reading:
    """Count the errors of what was heard, by the least number of insertions, deletions and replacements.

    Args:
        text: what was to be said, spelled out.
        heard: what the recognizer made of it.
    """
    from rapidfuzz.distance import Levenshtein

    words, heard_words = split_words(text), split_words(heard)
    letters, heard_letters = "".join(words), "".join(heard_words)
    return Reading(
        num_words=len(words),
        num_word_errors=Levenshtein.distance(words, heard_words),
        num_letters=len(letters),
        num_letter_errors=Levenshtein.distance(letters, heard_letters),
        num_letters_heard=len(heard_letters),
        repeated=_find_repetition(words, heard_words),
    )


def split_words(text: str) -> list[str]:
    """Return the words of a text in a form that two spellings of the same words share: no case, signs or accents."""
    folded = unicodedata.normalize("NFKD", text.replace("’", "'")).casefold()
    return _WORD.findall("".join(character for character in folded if not unicodedata.combining(character)))


def _find_repetition(words: Sequence[str], heard: Sequence[str]) -> str:
    """Return the first two words running that were heard more often than the text has them, if any."""
    expected = Counter(pairwise(words))
    for pair, count in Counter(pairwise(heard)).items():
        if count > max(expected[pair], 1) and len("".join(pair)) >= _MIN_REPEATED_LETTERS:
            return " ".join(pair)
    return ""
