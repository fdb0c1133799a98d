"""Measures the check of takes: takes as they are and takes spoiled on purpose, judged as a run judges them.

The takes are a checkpoint's own, or those of flite, a small synthesizer that speaks clearly enough to be the measure
of what a recognizer can do. The text is everyday English, put together from parts. Several recognizers judge the same
takes.
"""

from __future__ import annotations

import io
import math
import subprocess
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.audio.clips import Audio
from pipeline.audio.samples import resample
from pipeline.codec import BiCodec
from pipeline.config.run import Config, parse_config
from pipeline.errors import ConfigError
from pipeline.synthesis.enrollment import enroll_from_file
from pipeline.synthesis.listening_stage import load_listening
from pipeline.synthesis.load_networks import load_codec, load_engine
from pipeline.synthesis.quality import FRAME_RATE, judge_tokens
from pipeline.synthesis.recognition import check_recognizer
from pipeline.synthesis.stages import AudioStage
from pipeline.synthesis.synthesizer import Synthesizer
from pipeline.synthesis.takes import Take
from pipeline.text import estimate_seconds, read_text_support
from pipeline.weights.weights import resolve_weights

Samples = NDArray[np.float32]

KINDS = (
    "cut",
    "repeated",
    "silent",
    "wrong_text",
    "wrong_voice",
    "dropped_word",
    "doubled_word",
    "noise",
    "clipped",
    "half_speed",
)
OF_ONE_WORD = ("dropped_word", "doubled_word")
_SUBJECTS = (
    "My sister/The old teacher/Our neighbor/A young doctor/The bus driver/His brother/Her mother/The new manager"
)
_VERBS = "bought/found/carried/cleaned/forgot/painted/opened/lost/remembered/watched/repaired"
_OBJECTS = (
    "a red bicycle/the kitchen window/two bottles of milk/an old picture/the garden gate/a box of apples/"
    "the last letter/some fresh bread/a pair of shoes/the wooden table/a long story/the front door"
)
_ENDS = (
    "in the morning/before lunch/near the station/after the rain/at the market/on the way home/behind the house/"
    "during the winter/because it was cheap/while we were waiting/in a small town/without any help"
)
_CHUNK = 16
"""Takes spoken together: some slots' worth, few enough that the first results come soon."""
_MISREADING, _SPOILING = 1, 2
"""What else the chances of a take follow from, beside seed and number."""
_FLITE_VOICES = ("slt", "rms", "awb")
_REFERENCE = "The quick train to the coast leaves at seven, and there is nobody else who knows the way to the harbor."


class Voices(Protocol):
    """Who speaks the takes."""

    @property
    def names(self) -> Sequence[str]:
        """Ids of the voices."""

    @property
    def codec(self) -> BiCodec:
        """Encodes a voice, so that two can be compared."""

    def say(self, lines: Sequence[tuple[str, str]]) -> Sequence[Samples | None]:
        """Return the sound of (text, voice) pairs at the codec's rate; None for what cannot be said."""

    def global_tokens(self, voice: str) -> tuple[int, ...]:
        """Return what the voice is enrolled as."""


class CheckpointVoices:
    """The voices of a checkpoint, spoken by its own networks and judged by nobody."""

    def __init__(self, config: Config, speakers: str | None) -> None:
        weights_dir = resolve_weights(config.weights, storage=config.storage)
        self._registry = enroll_from_file(config, weights_dir, speakers)
        self.names = list(self._registry)
        self.codec = load_codec(config, weights_dir)
        engine, support = load_engine(config, weights_dir), read_text_support(weights_dir)
        self._synthesizer = Synthesizer(config, engine, self.codec, self._registry, support)

    def say(self, lines: Sequence[tuple[str, str]]) -> Sequence[Samples | None]:
        """Return the sound of (text, voice) pairs; None where every take ran on to the length cap, or the like."""
        rows = [
            {"utterance_id": f"{voice}: {text}", "text": text, "speaker_id": voice, "language": "en"}
            for text, voice in lines
        ]
        spoken = self._synthesizer.speak_many(rows, on_error="return")
        return [audio.samples if isinstance(audio, Audio) else None for audio in spoken]

    def global_tokens(self, voice: str) -> tuple[int, ...]:
        """Return what the voice is enrolled as."""
        return self._registry[voice].voice.global_tokens or ()


class FliteVoices:
    """Voices of the program flite, enrolled by the checkpoint's encoder from a sentence of each."""

    names = _FLITE_VOICES

    def __init__(self, config: Config) -> None:
        self.codec = load_codec(config, resolve_weights(config.weights, storage=config.storage))
        references = self.say([(_REFERENCE, voice) for voice in self.names])
        rate = self.codec.sample_rate
        self._tokens = {
            voice: tuple(self.codec.encode_speaker(samples, rate).tolist())
            for voice, samples in zip(self.names, references, strict=True)
        }

    def say(self, lines: Sequence[tuple[str, str]]) -> list[Samples]:
        """Return the sound of (text, voice) pairs."""
        return [self._say_one(text, voice) for text, voice in lines]

    def _say_one(self, text: str, voice: str) -> Samples:
        try:
            wav = subprocess.run(
                ["flite", "-voice", voice, "-t", text, "-o", "/dev/stdout"], check=True, capture_output=True
            ).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConfigError(f"--source flite: {error}; install flite, or use --source checkpoint") from None
        samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
        resampled: Samples = resample(samples, rate, self.codec.sample_rate)
        return resampled

    def global_tokens(self, voice: str) -> tuple[int, ...]:
        """Return what the voice is enrolled as."""
        return self._tokens[voice]


def open_voices(
    source: str, weights: str, speakers: str | None, recognizers: Mapping[str, str | None], settings: Mapping[str, Any]
) -> tuple[Voices, dict[str, Config]]:
    """Load who speaks, and the settings to judge with.

    Args:
        source: `checkpoint` or `flite`.
        weights: as in a config; with flite only its speaker encoder is used.
        speakers: of the checkpoint; none takes those beside the weights.
        recognizers: as `quality.asr` names them, with the model of those that need one.
        settings: of `quality`, where they are not the defaults.

    Returns:
        Who speaks, and the config of each recognizer.

    Raises:
        SynthesisError: a setting, the weights or the speakers are wrong.
    """
    places = {"weights": weights, "speakers": speakers or "-", "manifest": "-", "output": "-"}
    configs = {
        asr: parse_config({**places, "quality": {"asr": asr, "asr_model": model, **settings}}, source="benchmark")
        for asr, model in recognizers.items()
    }
    for asr in configs:
        check_recognizer(asr)
    # What is measured must not be chosen: its own takes are judged by nobody but their length.
    quiet = parse_config(places, source="benchmark")
    voices: Voices = FliteVoices(quiet) if source == "flite" else CheckpointVoices(quiet, speakers)
    if len(voices.names) < 2:
        raise ConfigError("a wrong voice needs two voices; give --speakers a file with more")
    return voices, configs


@dataclass(frozen=True)
class JudgedTake:
    """What one recognizer and the limits made of one take of the measurement."""

    number: int
    """Of the take, from 0."""
    recognizer: str
    kind: str
    """`good`, or one of `KINDS`."""
    code: str | None
    """Why it was refused; None if it passed."""
    text: str
    said: str
    voice: str
    heard: str | None
    wer: float | None
    similarity: float | None
    audio_s: float
    cpu_s: float
    """Of the judging."""


def judge_takes(
    voices: Voices, configs: Mapping[str, Config], num_takes: int, seed: int = 0, known: Container[int] = ()
) -> Iterator[JudgedTake]:
    """Judge takes one after the other, a good and a spoiled one by turns, the kinds in turn, by each recognizer.

    A take follows from seed and number alone, so that a measurement can go on where another one ended. One that cannot
    be said is left out.

    Args:
        voices: who speaks.
        configs: what each recognizer judges by.
        num_takes: in all.
        seed: of texts and spoiling.
        known: numbers of takes that were judged before, and are left out.
    """
    stages = {asr: AudioStage(config, voices.codec, load_listening(config)) for asr, config in configs.items()}
    plans = [plan for plan in _plan_takes(voices.names, num_takes, seed) if plan.number not in known]
    for start in range(0, len(plans), _CHUNK):
        chunk = plans[start : start + _CHUNK]
        spoken = voices.say([(plan.said, plan.heard_voice) for plan in chunk])
        for plan, samples in zip(chunk, spoken, strict=True):
            if samples is None:
                continue
            spoiled = spoil(samples, plan.kind, np.random.default_rng([seed, plan.number, _SPOILING]))
            for asr, stage in stages.items():
                tokens = voices.global_tokens(plan.voice)
                yield _judge_one(asr, stage, configs[asr], plan, spoiled, tokens)


@dataclass(frozen=True)
class _Plan:
    number: int
    kind: str
    text: str
    said: str
    voice: str
    heard_voice: str


def _plan_takes(names: Sequence[str], num_takes: int, seed: int) -> Iterator[_Plan]:
    texts = write_sentences(2 * num_takes, np.random.default_rng(seed))
    for number in range(num_takes):
        turn = number // 2
        kind = KINDS[turn % len(KINDS)] if number % 2 else "good"
        # Every kind gets every voice, also where the number of one divides that of the other.
        voice, next_voice = (names[(turn + turn // len(KINDS) + step) % len(names)] for step in (0, 1))
        text, other = texts[2 * number : 2 * number + 2]
        said = _misread(text, kind, other, np.random.default_rng([seed, number, _MISREADING]))
        yield _Plan(number, kind, text, said, voice, next_voice if kind == "wrong_voice" else voice)


def _misread(text: str, kind: str, other: str, rng: np.random.Generator) -> str:
    """Return what is said in the place of a text: what a model that loses its place says."""
    if kind == "wrong_text":
        return other
    if kind not in OF_ONE_WORD:
        return text
    words = text.split()
    at = int(rng.integers(1, len(words) - 1))  # First and last word carry a capital and a full stop.
    return " ".join([*words[:at], *([words[at]] * 2 if kind == "doubled_word" else []), *words[at + 1 :]])


def _judge_one(
    recognizer: str, stage: AudioStage, config: Config, plan: _Plan, samples: Samples, tokens: tuple[int, ...]
) -> JudgedTake:
    duration_s = samples.size / stage.sample_rate
    num_frames = max(round(duration_s * FRAME_RATE), 1)
    take = Take(0, 0, np.zeros(num_frames, np.int32), tokens, "sentence", plan.text, "en")
    started = time.process_time()
    audio = stage.judge(take, samples)
    cpu_s = time.process_time() - started
    rejection = judge_tokens(num_frames, False, estimate_seconds(plan.text, "en"), config.quality) or audio.rejection
    hearing = audio.hearing
    reading = None if hearing is None else hearing.reading
    return JudgedTake(
        number=plan.number,
        recognizer=recognizer,
        kind=plan.kind,
        code=None if rejection is None else str(rejection.code),
        text=plan.text,
        said=plan.said,
        voice=plan.heard_voice,
        heard=None if hearing is None else hearing.heard,
        wer=None if reading is None else reading.num_word_errors / reading.num_words,
        similarity=None if hearing is None else hearing.similarity,
        audio_s=duration_s,
        cpu_s=cpu_s,
    )


def write_sentences(count: int, rng: np.random.Generator) -> list[str]:
    """Return sentences of 6 to 15 words, no two alike."""
    parts = [part.split("/") for part in (_SUBJECTS, _VERBS, _OBJECTS, _ENDS)]
    order = rng.permutation(math.prod(map(len, parts)))[:count]
    picked = zip(*np.unravel_index(order, [len(part) for part in parts]), strict=True)
    return [" ".join(part[at] for part, at in zip(parts, places, strict=True)) + "." for places in picked]


def spoil(samples: Samples, kind: str, rng: np.random.Generator) -> Samples:
    """Do harm to a take.

    `cut` drops the last 25 to 60 %. `repeated` says a stretch of 30 to 60 % twice. `silent` makes everything silent, or
    a stretch of 40 to 70 %, with equal chances. `noise` adds white noise 0 to 15 dB under the speech. `clipped` cuts
    off what is over 20 to 60 % of the peak, and half of these takes are brought to full scale. `half_speed` says it in
    twice the time, with the pitch kept or halved. The other kinds have another sound from the start.

    Args:
        samples: (num_samples,).
        kind: `good`, or one of `KINDS`.
        rng: for the amounts.
    """
    size = samples.size
    if kind == "cut":
        return samples[: round(size * rng.uniform(0.4, 0.75))]
    if kind == "repeated":
        length = round(size * rng.uniform(0.3, 0.6))
        end = rng.integers(length, size + 1)
        return np.concatenate([samples[:end], samples[end - length :]])
    if kind == "silent":
        spoiled = samples.copy()
        length = size if rng.random() < 0.5 else round(size * rng.uniform(0.4, 0.7))
        start = rng.integers(0, size - length + 1)
        spoiled[start : start + length] = 0
        return spoiled
    if kind == "noise":
        rms = math.sqrt(float(np.mean(samples.astype(np.float64) ** 2)))
        scale = rms * 10 ** (-rng.uniform(0.0, 15.0) / 20)
        return samples + rng.normal(0.0, scale, size).astype(np.float32)
    if kind == "clipped":
        limit = float(np.abs(samples).max()) * rng.uniform(0.2, 0.6)
        scale = limit if rng.random() < 0.5 else 1.0
        return (np.clip(samples, -limit, limit) / scale).astype(np.float32)
    if kind == "half_speed":
        return _stretch(samples) if rng.random() < 0.5 else resample(samples, 1, 2)
    return samples


def _stretch(samples: Samples) -> Samples:
    """Say it in twice the time at the same pitch: windows overlap, each from where it fits the one before best."""
    hop, seek = 320, 160
    window = np.hanning(2 * hop + 1)[:-1].astype(np.float32)
    padded = np.concatenate([samples, np.zeros(4 * hop + 2 * seek, np.float32)])
    stretched = np.zeros(2 * samples.size + 2 * hop, np.float32)
    at = 0
    for start in range(0, 2 * samples.size - hop, hop):
        if start:
            wanted = padded[at + hop : at + 3 * hop]
            first = max(start // 2 - seek, 0)
            at = first + int(np.correlate(padded[first : start // 2 + seek + 2 * hop], wanted, "valid").argmax())
        stretched[start : start + 2 * hop] += window * padded[at : at + 2 * hop]
    return stretched[: 2 * samples.size]


def summarize(takes: Sequence[JudgedTake]) -> dict[str, Any]:
    """Return how many of each kind were refused and why, and what judging costs, for one recognizer's verdicts."""
    result: dict[str, Any] = {}
    for kind in ("good", *KINDS):
        chosen = [take for take in takes if take.kind == kind]
        codes = Counter(take.code for take in chosen if take.code is not None)
        result[kind] = {
            "takes": len(chosen),
            "refused": codes.total(),
            "codes": dict(codes.most_common()),
            "wer": _spread([take.wer for take in chosen]),
            "similarity": _spread([take.similarity for take in chosen]),
        }
    for name, kinds in (("spoiled", KINDS), ("of_one_word", OF_ONE_WORD)):
        result[name] = {count: sum(result[kind][count] for kind in kinds) for count in ("takes", "refused")}
    heard_s = sum(take.audio_s for take in takes)
    result["cpu_s_per_audio_s"] = sum(take.cpu_s for take in takes) / heard_s if takes else None
    return result


def _spread(values: Sequence[float | None]) -> dict[str, float]:
    """Return the 5th, 50th and 95th percentile of what is known."""
    known = [value for value in values if value is not None]
    if not known:
        return {}
    return {f"p{at}": round(float(np.percentile(known, at)), 3) for at in (5, 50, 95)}
