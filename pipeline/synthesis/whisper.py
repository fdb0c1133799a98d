"""Whisper through the package `faster-whisper`: what is heard in a take follows from the take, the model, the hardware.

Takes come in batches, and none may change what is heard in another: every product over several takes has a fixed
shape, and each take is decoded by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.recording_quality import measure_levels
from pipeline.audio.samples import resample
from pipeline.errors import ConfigError, UtteranceError
from pipeline.synthesis.recognition import Heard
from pipeline.synthesis.weighing import MIN_WORDS, Weights, find_changes, find_gaps
from pipeline.text import normalize_text

_SAMPLE_RATE = 16_000
_MIN_SAMPLES = 1_600
_WINDOW_S = 30
"""What the model hears at once, however short the take is."""
_FRAME_SAMPLES = 320
"""Of a frame that the encoder returns."""
_MARGIN_FRAMES = 25
"""Of the silence behind a take, which belongs to its end."""
_PAUSE_DB = 30.0
"""Under the loud frames."""
_LEAST_PROB = 1e-30
_NO_BRACKETS = str.maketrans(dict.fromkeys("()[]<>", " "))
_GPU_BATCH, _GPU_DECODERS = 16, 4
"""Takes that a GPU encodes at once, and takes that it decodes side by side, each by itself. On a CPU a batch saves
nothing (0 % at 8 takes)."""
_SILENT_SHARE, _DOUBTFUL_LOG_PROB = 0.6, -1.0
"""From where on the model's own doubts make it no speech; both as OpenAI set them."""


class Whisper:
    """Whisper, with a model of the user's choice, at temperature 0 and with nothing carried over.

    Args:
        folder: the model as CTranslate2 reads it.
        device: `cpu` or `cuda`.
        num_threads: of the CPU.
        name: of the model, for messages.
        batch_size: takes encoded at once; none fits the device.
    """

    hears_gaps = True

    def __init__(
        self, folder: Path, device: str, num_threads: int, name: str = "", batch_size: int | None = None
    ) -> None:
        from faster_whisper import WhisperModel
        from opencc import OpenCC
        from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

        is_cpu = device == "cpu"
        # int8 in float32's place on a CPU: half the time, and as many words right.
        dtype = "int8" if is_cpu else "float16"
        num_decoders = 1 if is_cpu else _GPU_DECODERS
        self._model = WhisperModel(
            str(folder), device=device, compute_type=dtype, cpu_threads=num_threads, num_workers=num_decoders
        )
        self._name = name or folder.name
        self._batch_size = batch_size or (1 if is_cpu else _GPU_BATCH)
        self._decoders = ThreadPoolExecutor(num_decoders, thread_name_prefix="whisper")
        self._tokenizers: dict[str, Any] = {}
        self._fold_english: Any = EnglishTextNormalizer({})
        self._simplify: Any = OpenCC("t2s").convert
        (self._silence,) = self._encode([np.zeros(_MIN_SAMPLES, np.float32)])
        self.languages = frozenset(self._model.supported_languages)
        packages = ("faster-whisper", "ctranslate2", "opencc")
        self.environment = {"dtype": dtype, **{package: version(package) for package in packages}}

    def recognize(self, samples: NDArray[np.float32], sample_rate: int, language: str) -> str:
        """Return words as people write them, with digits and punctuation; none for less than a tenth of a second."""
        (heard,) = self.recognize_all([samples], sample_rate, [language])
        return heard.text

    def recognize_all(
        self,
        clips: Sequence[NDArray[np.float32]],
        sample_rate: int,
        languages: Sequence[str],
        texts: Sequence[str] | None = None,
    ) -> Iterator[Heard]:
        """Yield what is said in each of several takes, as `recognize` does, and weigh what each should say.

        Texts without spaces between their words are not weighed, nor those of takes longer than a window.
        """
        texts = [""] * len(clips) if texts is None else texts
        for language in dict.fromkeys(languages):
            if language not in self.languages:
                known = ", ".join(sorted(self.languages)[:5]) + (" and others" if len(self.languages) > 5 else "")
                raise ConfigError(
                    f"quality.asr_model: {self._name} does not know the language {language!r}, only {known}; take a "
                    "model of several languages, such as large-v3"
                )
        for start in range(0, len(clips), self._batch_size):
            batch = slice(start, start + self._batch_size)
            resampled = [resample(clip, sample_rate, _SAMPLE_RATE) for clip in clips[batch]]
            yield from self._hear(resampled, languages[batch], texts[batch])

    def _hear(
        self, clips: Sequence[NDArray[np.float32]], languages: Sequence[str], texts: Sequence[str]
    ) -> list[Heard]:
        heard = [Heard("")] * len(clips)
        usual = []
        for at, clip in enumerate(clips):
            if clip.size > _WINDOW_S * _SAMPLE_RATE:
                heard[at] = Heard(self._hear_long(clip, languages[at]))
            elif clip.size >= _MIN_SAMPLES:
                usual.append(at)
        encoded = self._encode([clips[at] for at in usual]) if usual else []
        takes = ([of[at] for at in usual] for of in (clips, languages, texts))
        for at, found in zip(usual, self._decoders.map(self._hear_one, encoded, *takes), strict=True):
            heard[at] = found
        return heard

    def _hear_one(self, encoded: Any, clip: NDArray[np.float32], language: str, text: str) -> Heard:
        heard, words = self._decode(encoded, language), text.split()
        if not heard or len(words) < MIN_WORDS:
            return Heard(heard)
        num_frames = clip.size // _FRAME_SAMPLES + _MARGIN_FRAMES
        missing, extra = find_gaps(
            words,
            find_changes(words, heard),
            lambda texts: self._weigh(encoded, num_frames, texts, language),
            lambda texts: self._weigh(self._silence, num_frames, texts, language),
            _find_sounding(clip),
        )
        return Heard(heard, missing, extra)

    def _weigh(self, encoded: Any, num_frames: int, texts: Sequence[Sequence[str]], language: str) -> list[Weights]:
        """Return how several texts lie in a take, of which so many frames are more than padding."""
        from ctranslate2 import Device, StorageView

        tokenizer, _, _ = self._prepare(language)
        frames = np.asarray(encoded.to_device(Device.cpu))[:, :num_frames]
        spelled = [[tokenizer.encode(f" {word}") for word in words] for words in texts]
        found = self._model.model.align(
            StorageView.from_array(np.repeat(frames, len(texts), axis=0)),
            tokenizer.sot_sequence,
            [[*chain(*tokens)] for tokens in spelled],
            [2 * frames.shape[1]] * len(texts),
        )
        return [_read_alignment(one, tokens) for one, tokens in zip(found, spelled, strict=True)]

    def _encode(self, clips: Sequence[NDArray[np.float32]]) -> list[Any]:
        """Return what the encoder makes of each take, computed in one shape however many there are."""
        from ctranslate2 import Device, StorageView
        from faster_whisper.audio import pad_or_trim

        extract = self._model.feature_extractor
        features = np.zeros((self._batch_size, self._model.model.n_mels, extract.nb_max_frames), np.float32)
        for place, clip in enumerate(clips):
            # The extractor adds a frame at the end, which is none of the take's.
            features[place] = pad_or_trim(extract(clip)[:, :-1], extract.nb_max_frames)
        encoded = self._model.encode(features)
        if self._batch_size == 1:
            return [encoded]
        rows = np.asarray(encoded.to_device(Device.cpu))
        return [StorageView.from_array(np.ascontiguousarray(rows[at : at + 1])) for at in range(len(clips))]

    def _decode(self, encoded: Any, language: str) -> str:
        tokenizer, prompt, suppressed = self._prepare(language)
        (found,) = self._model.model.generate(
            encoded,
            [prompt],
            beam_size=5,
            max_length=self._model.max_length,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=suppressed,
        )
        tokens = found.sequences_ids[0]
        log_prob = found.scores[0] * len(tokens) / (len(tokens) + 1)
        if found.no_speech_prob > _SILENT_SHARE and log_prob < _DOUBTFUL_LOG_PROB:
            return ""
        return str(tokenizer.decode(tokens)).strip()

    def _prepare(self, language: str) -> tuple[Any, list[int], list[int]]:
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_suppressed_tokens

        if language not in self._tokenizers:
            is_multilingual = self._model.model.is_multilingual
            tokenizer = Tokenizer(self._model.hf_tokenizer, is_multilingual, task="transcribe", language=language)
            prompt = self._model.get_prompt(tokenizer, [], without_timestamps=True)
            self._tokenizers[language] = tokenizer, prompt, [*get_suppressed_tokens(tokenizer, [-1])]
        found: tuple[Any, list[int], list[int]] = self._tokenizers[language]
        return found

    def _hear_long(self, clip: NDArray[np.float32], language: str) -> str:
        """Hear more than one window, one after the other; no take of a run is so long."""
        segments, _ = self._model.transcribe(
            clip, language=language, temperature=0.0, condition_on_previous_text=False, without_timestamps=True
        )
        return " ".join(segment.text.strip() for segment in segments)

    def fold(self, text: str, language: str) -> str:
        """Return English by Whisper's own rules; Chinese in simplified characters, its numbers in words."""
        if language == "en":
            # Those rules take what is in brackets for remarks of a transcriber and leave it out; here it is spoken.
            return str(self._fold_english(text.translate(_NO_BRACKETS)))
        if language == "zh":
            simple = str(self._simplify(text))
            try:
                return normalize_text(simple, language="zh").text
            except UtteranceError:
                return simple  # Nothing that could be spoken.
        return text


def _read_alignment(found: Any, spelled: Sequence[Sequence[int]]) -> Weights:
    """Return what an alignment of tokens says of the words that they spell."""
    firsts = np.cumsum([0, *map(len, spelled[:-1])])
    log_probs = np.log(np.maximum(found.text_token_probs, _LEAST_PROB))
    tokens, frames = np.array(found.alignments).T
    starts = frames[np.searchsorted(tokens, firsts)]
    return Weights(np.add.reduceat(log_probs, firsts), starts)


def _find_sounding(clip: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which frames of a take are no pauses."""
    levels_db = measure_levels(clip[: clip.size // _FRAME_SAMPLES * _FRAME_SAMPLES].reshape(-1, _FRAME_SAMPLES))
    sounding: NDArray[np.bool_] = levels_db > np.percentile(levels_db, 90) - _PAUSE_DB
    return sounding
