"""Hear which words a take says, and compare them with its text; knows nothing of voices, takes or thresholds.

A recognizer is whatever has the three members of `Recognizer`; a new one is a class and its line in `RECOGNIZERS`.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.samples import resample
from pipeline.config.extras import name_extra
from pipeline.config.run import Config
from pipeline.errors import ConfigError, WeightsError
from pipeline.weights.recognizers import fingerprint_whisper, knows_english_only, resolve_whisper

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:'[^\W_\u3400-\u9fff]+)*")
"""A word of letters and digits, or one Chinese character."""
_MAX_MISHEARD = 0.3
"""Share of other wrong words up to which a missing one tells: in what is hardly understood words go astray."""
_SOME = 0.4
"""Share of its letters up to which a stretch counts as missing."""
_MIN_EXTRA_LETTERS = 5
"""Of words that the text does not have; shorter ones are often breath, or a sound between two words."""
_MIN_REPEATED_LETTERS = 7
"""Of words heard twice running; shorter ones are too often two mishearings that happen to agree."""


@dataclass(frozen=True)
class Heard:
    """What a recognizer makes of one take."""

    text: str
    """What is said."""
    num_missing_words: int | None = None
    """Words of the take's text that were not said, whatever is in `text`; None where no texts were weighed."""
    num_extra_words: int | None = None
    """Words said that the take's text does not have; likewise."""


class Recognizer(Protocol):
    """Turns speech into words. What it returns must follow from the samples alone, not from what it heard before."""

    @property
    def languages(self) -> frozenset[str]:
        """Codes of the languages that it knows."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What equal results depend on, beside model, device and threads: `dtype`, and versions of packages."""

    @property
    def hears_gaps(self) -> bool:
        """Whether it gets so many words right that one that it does not hear at all was hardly said."""

    def recognize(self, samples: NDArray[np.float32], sample_rate: int, language: str) -> str:
        """Return what is said.

        Args:
            samples: (num_samples,) in [-1, 1].
            sample_rate: Hz.
            language: that is spoken, one of `languages`.

        Raises:
            ConfigError: it does not know the language.
        """

    def recognize_all(
        self,
        clips: Sequence[NDArray[np.float32]],
        sample_rate: int,
        languages: Sequence[str],
        texts: Sequence[str] | None = None,
    ) -> Iterator[Heard]:
        """Yield what is said in each of several takes, in their order, as soon as it is known.

        Args:
            clips: (num_samples,) each.
            sample_rate: Hz.
            languages: of each.
            texts: what each should say, spelled out; none if that is not known.
        """

    def fold(self, text: str, language: str) -> str:
        """Return a text, spoken or heard, in the form in which the two are compared."""


class PocketSphinx:
    """The recognizer of the package `pocketsphinx`, with the English model that it brings along."""

    languages = frozenset({"en"})
    hears_gaps = False
    _SAMPLE_RATE = 16_000
    _MIN_SAMPLES = 1_600

    def __init__(self) -> None:
        from pocketsphinx import Decoder

        # With `batch` the cepstral mean is that of the take; `live` would bring along that of the takes before it.
        self._decoder: Any = Decoder(samprate=self._SAMPLE_RATE, cmn="batch", loglevel="FATAL")
        self._turn = Lock()
        self.environment = {"dtype": "int16", "pocketsphinx": version("pocketsphinx")}

    def recognize(self, samples: NDArray[np.float32], sample_rate: int, language: str = "en") -> str:
        """Return lower-case words; none for less than a tenth of a second."""
        mono = resample(samples, sample_rate, self._SAMPLE_RATE)
        if mono.size < self._MIN_SAMPLES:
            return ""
        steps = np.rint(np.clip(mono, -1.0, 1.0) * 32_767).astype("<i2")
        with self._turn:  # Takes of several units are heard at once.
            return self._hear(steps.tobytes())

    def recognize_all(
        self,
        clips: Sequence[NDArray[np.float32]],
        sample_rate: int,
        languages: Sequence[str],
        texts: Sequence[str] | None = None,
    ) -> Iterator[Heard]:
        """Yield what is said in each of several takes, in their order, whatever they should say."""
        for samples, language in zip(clips, languages, strict=True):
            yield Heard(self.recognize(samples, sample_rate, language))

    def _hear(self, steps: bytes) -> str:
        # Its front end keeps noise levels from one utterance to the next; this makes it as good as new.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(steps, full_utt=True)
        finally:
            self._decoder.end_utt()  # A decoder within an utterance would refuse the next one.
        hypothesis = self._decoder.hyp()
        return str(hypothesis.hypstr) if hypothesis is not None else ""

    def fold(self, text: str, language: str) -> str:
        """Return the text: it writes words, as the spoken text does."""
        return text


RECOGNIZERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "pocketsphinx": (("pocketsphinx", "rapidfuzz"), "asr"),
    "whisper": (("faster_whisper", "opencc", "rapidfuzz"), "whisper"),
}
"""By the name that `quality.asr` gives them: what each imports, and the extra that brings it."""


def check_recognizer(name: str) -> None:
    """See whether a recognizer can be loaded, without loading it.

    Args:
        name: a key of `RECOGNIZERS`, or `none`.

    Raises:
        ConfigError: what it needs is not installed.
    """
    if name == "none":
        return
    modules, extra = RECOGNIZERS[name]
    for needed in modules:
        if find_spec(needed) is None:
            raise ConfigError(
                f"quality.asr: {name} needs the package {needed}, which is not installed; "
                f"{name_extra(extra)} on every machine of the run, or set quality.asr to none"
            )


def fingerprint_recognizer(config: Config) -> str | None:
    """Return the SHA-256 of the recognizer's model; None where it has none of its own.

    Raises:
        ConfigError: a package is not installed, or all rows are in a language that the model does not know.
        WeightsError, StorageError: the model is not there.
    """
    check_recognizer(config.quality.asr)
    model, language = config.quality.asr_model, config.text.language
    if model is None:
        return None
    folder = resolve_whisper(model, config.storage)
    if language not in ("auto", "en") and knows_english_only(folder):
        raise ConfigError(
            f"quality.asr_model: {model} knows English only, but text.language is {language!r}; take a model of several"
            " languages, such as large-v3"
        )
    return fingerprint_whisper(folder)


def load_recognizer(
    config: Config, device: str = "cpu", num_threads: int = 1, sha256: str | None = None
) -> Recognizer | None:
    """Load the recognizer that a config asks for; None where it asks for none.

    Args:
        config: `quality.asr` and `quality.asr_model` apply.
        device: `cpu` or `cuda`.
        num_threads: on a CPU.
        sha256: what the model must be, by `fingerprint_recognizer`; none takes any.

    Raises:
        ConfigError: what it needs is not installed.
        WeightsError: the model is not there, or is another one.
        StorageError: the store of the model does not answer.
    """
    name, model = config.quality.asr, config.quality.asr_model
    check_recognizer(name)
    if name == "none":
        return None
    if name == "pocketsphinx":
        return PocketSphinx()
    assert model is not None
    folder = resolve_whisper(model, config.storage)
    found = fingerprint_whisper(folder)
    if sha256 not in (None, found):
        raise WeightsError(
            f"quality.asr_model: {folder} on {socket.gethostname()}: sha256 {found[:12]}, but the run has "
            f"{str(sha256)[:12]}; copy the same files to every machine"
        )
    from pipeline.synthesis.whisper import Whisper

    return Whisper(folder, device, num_threads, name=model)


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
    num_missing_words: int | None = None
    """Words that were not said; None where the recognizer is no judge of it."""
    num_extra_words: int | None = None
    """Words said that the text does not have; likewise."""


def compare_with_text(text: str, heard: str, *, with_gaps: bool = False) -> Reading:
    """Count the errors of what was heard, by the least number of insertions, deletions and replacements.

    Args:
        text: what was to be said, spelled out.
        heard: what the recognizer made of it.
        with_gaps: count words that are missing or too many, which is told apart from mishearing only by a recognizer
            that gets most words right.
    """
    from rapidfuzz.distance import Levenshtein

    words, heard_words = split_words(text), split_words(heard)
    letters, heard_letters = "".join(words), "".join(heard_words)
    num_errors = Levenshtein.distance(words, heard_words)
    missing, extra = _count_missing(words, heard_words), _count_extra(words, heard_words)
    if num_errors - missing - extra > _MAX_MISHEARD * len(words):
        missing = extra = 0
    return Reading(
        num_words=len(words),
        num_word_errors=num_errors,
        num_letters=len(letters),
        num_letter_errors=Levenshtein.distance(letters, heard_letters),
        num_letters_heard=len(heard_letters),
        repeated=_find_repetition(words, heard_words),
        num_missing_words=missing if with_gaps else None,
        num_extra_words=extra if with_gaps else None,
    )


def _count_missing(words: Sequence[str], heard: Sequence[str]) -> int:
    """Count words in whose place nothing was heard: fewer words than there should be, and few letters of them."""
    return sum(
        len(expected) - len(found)
        for expected, found, _ in _differences(words, heard)
        if len(found) < len(expected) and len("".join(found)) <= _SOME * len("".join(expected))
    )


def _count_extra(words: Sequence[str], heard: Sequence[str]) -> int:
    """Count words heard where the text has none; short ones only if they repeat a neighbor.

    Where a word is misheard as two nothing is counted: "repaired" is often heard as "or repair".
    """
    count = 0
    for expected, found, at in _differences(words, heard):
        neighbors = {*heard[max(at - len(found), 0) : at], *heard[at + len(found) : at + 2 * len(found)]}
        if not expected and (len("".join(found)) >= _MIN_EXTRA_LETTERS or neighbors & {*found}):
            count += len(found)
    return count


def _differences(words: Sequence[str], heard: Sequence[str]) -> Iterator[tuple[list[str], list[str], int]]:
    """Yield each stretch that was heard otherwise: its words, those heard, and where among these it begins."""
    from rapidfuzz.distance import Levenshtein

    expected: list[str] = []
    found: list[str] = []
    at = 0
    for op in [*Levenshtein.opcodes(words, heard), None]:
        if op is not None and op.tag != "equal":  # A replacement beside a deletion is one mishearing.
            if not expected and not found:
                at = op.dest_start
            expected += words[op.src_start : op.src_end]
            found += heard[op.dest_start : op.dest_end]
        elif expected or found:
            yield expected, found, at
            expected, found = [], []


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
