"""Measures a voice as papers do: cloning, the codec's copy, control by labels, naturalness, speed.

Each part gives lines of one table. What cannot be measured, for want of a package, a model or a recording, stays in
the table with the reason.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pipeline.audio.clips import Audio
from pipeline.audio.references import read_reference
from pipeline.audio.samples import resample
from pipeline.benchmark.evaluation import published
from pipeline.benchmark.evaluation.control import measure_control
from pipeline.benchmark.evaluation.figures import Figure, not_measured, summarize_mean, summarize_ratio
from pipeline.benchmark.evaluation.lists import Item, read_list, take_some
from pipeline.benchmark.evaluation.sounds import (
    RATE,
    Samples,
    SpeakerModel,
    has_package,
    measure_mel_distance,
    measure_pesq,
    measure_stoi,
)
from pipeline.benchmark.quality import write_sentences
from pipeline.codec import BiCodec
from pipeline.config.extras import need_extra
from pipeline.config.run import Config, parse_config
from pipeline.errors import ConfigError, SpeakerError, UtteranceError
from pipeline.llm.prompt import Voice
from pipeline.storage import read_bytes
from pipeline.synthesis.enrollment import VOICE_SENTENCES, Enroller, enroll_from_file
from pipeline.synthesis.listening import compare_voices
from pipeline.synthesis.load_networks import load_codec, load_engine
from pipeline.synthesis.naturalness import Dnsmos, check_naturalness
from pipeline.synthesis.recognition import compare_with_text, load_recognizer
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry
from pipeline.synthesis.synthesizer import Synthesizer
from pipeline.text import read_text_support
from pipeline.weights.weights import resolve_weights

logger = logging.getLogger(__name__)

_MAX_PROMPT_S = 20
_OWN_ITEMS = 40
_MAX_COPIES = 40
_NUM_LATENCIES = 5


@dataclass(frozen=True)
class Request:
    """What to evaluate, and by which judges."""

    weights: str
    speakers: str | None = None
    list: str | None = None
    """None speaks everyday sentences in clones of the weights' own voices."""
    count: int | None = None
    """Of the list, spread evenly; None takes all."""
    language: str = "en"
    asr: str = "none"
    asr_model: str | None = None
    speaker_model: str | None = None
    """Directory of a WavLM x-vector model."""
    num_control_texts: int = 2
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of a run."""


class Bench:
    """The networks, loaded once, and the voices of an evaluation."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.config = _configure(request, {})
        weights_dir = resolve_weights(request.weights)
        self.support = read_text_support(weights_dir)
        spoken = self.config.text.languages or self.support.languages
        if request.language not in spoken:
            raise ConfigError(
                f"--language {request.language}: these weights speak {', '.join(spoken)}; name one of them, or set "
                "text.languages to what they were taught"
            )
        self.own = (
            enroll_from_file(self.config, weights_dir, request.speakers)
            if request.speakers or (weights_dir / "speakers.yaml").is_file()
            else SpeakerRegistry()
        )
        self.engine, self.codec = load_engine(self.config, weights_dir), load_codec(self.config, weights_dir)
        self.enroller = Enroller(self.config, weights_dir, self.engine, self.codec)
        self.weights_dir = weights_dir

    def synthesizer(self, voices: Sequence[Speaker] = (), **quality: Any) -> Synthesizer:
        """Return a synthesizer of the own voices and these."""
        config = _configure(self.request, quality) if quality else self.config
        return Synthesizer(config, self.engine, self.codec, self.own.add(voices), self.support)


def _configure(request: Request, quality: Mapping[str, Any]) -> Config:
    raw = {key: value for key, value in request.settings.items()}
    raw["quality"] = {**raw.get("quality", {}), **quality}
    places = {"weights": request.weights, "speakers": request.speakers or "-", "manifest": "-", "output": "-"}
    return parse_config({**raw, **places}, source="evaluate")


@dataclass
class _Spoken:
    item: Item
    samples: Samples
    """Empty where there is no audio."""
    prompt: Samples | None


def evaluate(request: Request) -> list[Figure]:
    """Measure everything that can be measured; return the lines of the table.

    Raises:
        SynthesisError: a setting, the list, the weights or a model is wrong.
    """
    judges = _load_judges(request)
    items = None if request.list is None else read_list(request.list, parse_storage(request))
    bench = Bench(request)
    items, prompts = _find_prompts(bench, items)
    voices = [speaker for speaker, _ in prompts.values()]
    logger.info("%d utterances in %d voices", len(items), len(voices) or len(bench.own))
    spoken, figures = _speak(bench, items, prompts)
    figures += _judge_words(spoken, request, judges)
    figures += _judge_voices(bench.codec, spoken, request, judges)
    figures.append(_judge_naturalness(spoken))
    recordings = [samples for _, samples in prompts.values()] or [one.samples for one in spoken if one.samples.size]
    logger.info("codec: %d recordings to tokens and back", min(len(recordings), _MAX_COPIES))
    own = "of sounds that the codec itself made: recordings of people fare worse" if request.list is None else ""
    figures += _judge_copies(bench.codec, recordings[:_MAX_COPIES], judges, own)
    logger.info("control: voices by gender, pitch and speed")
    figures += measure_control(
        bench.enroller,
        lambda made: bench.synthesizer(made, min_pace=0.1, max_pace=10.0),
        write_sentences(request.num_control_texts, np.random.default_rng(1)),
    )
    figures.append(_measure_latency(bench, items[0], voices))
    return figures


def parse_storage(request: Request) -> Any:
    """Return how the list and its recordings are reached."""
    return _configure(request, {}).storage


@dataclass
class _Judges:
    recognizer: Any
    speaker_model: SpeakerModel | None


def _load_judges(request: Request) -> _Judges:
    config = _configure(request, {"asr": request.asr, "asr_model": request.asr_model})
    recognizer = load_recognizer(config)
    if recognizer is not None and request.language not in recognizer.languages:
        raise ConfigError(f"--asr {request.asr}: does not know {request.language!r}; give a model of that language")
    return _Judges(recognizer, None if request.speaker_model is None else SpeakerModel(request.speaker_model))


def _find_prompts(bench: Bench, items: Sequence[Item] | None) -> tuple[list[Item], dict[str, tuple[Speaker, Samples]]]:
    """Return what is spoken, and by speaker id the voices to clone with their recordings."""
    prompts: dict[str, tuple[Speaker, Samples]] = {}
    if items is None:
        return _clone_own_voices(bench, prompts), prompts
    chosen = take_some(items, bench.request.count)
    with_text = bench.config.llm.use_reference_text
    spoken = []
    for item in chosen:
        if item.prompt_audio is None:
            spoken.append(item)
            continue
        speaker_id = f"{item.prompt_audio}|{item.prompt_text or ''}"
        if speaker_id not in prompts:
            prompts[speaker_id] = _enroll(bench, item, speaker_id, with_text)
        spoken.append(Item(item.name, item.text, item.prompt_audio, item.prompt_text, speaker_id))
    return spoken, prompts


def _enroll(bench: Bench, item: Item, speaker_id: str, with_text: bool) -> tuple[Speaker, Samples]:
    assert item.prompt_audio is not None
    try:
        data = read_bytes(item.prompt_audio, bench.config.storage)
    except FileNotFoundError:
        raise SpeakerError(f"{item.name}: {item.prompt_audio}: there is no such file; correct the list") from None
    if with_text and item.prompt_text is None:
        raise SpeakerError(
            f"{item.name}: has no text of its prompt, which llm.use_reference_text needs; write what it says, or "
            "set llm.use_reference_text=false"
        )
    recording = read_reference(data, item.name)
    text = item.prompt_text if with_text else None
    tokens, semantic = bench.enroller.encode_reference(recording, item.name, with_semantic=text is not None)
    voice = Voice(
        global_tokens=tuple(tokens),
        reference_text=text,
        reference_semantic_tokens=None if semantic is None else tuple(semantic),
    )
    samples = resample(recording.samples.astype(np.float32), recording.sample_rate, RATE)[: _MAX_PROMPT_S * RATE]
    return Speaker(speaker_id, voice, "reference", speaker_id), samples


def _clone_own_voices(bench: Bench, prompts: dict[str, tuple[Speaker, Samples]]) -> list[Item]:
    """Without a list, each of the weights' voices says a sentence that a clone is made from."""
    if not len(bench.own):
        raise ConfigError("--list: needed, as these weights have no voices of their own and no --speakers is given")
    sentence = VOICE_SENTENCES.get(bench.request.language, VOICE_SENTENCES["en"])
    rows = [{"utterance_id": name, "text": sentence, "speaker_id": name} for name in bench.own]
    for name, audio in zip(bench.own, bench.synthesizer().speak_many(rows, on_error="return"), strict=True):
        if isinstance(audio, UtteranceError):
            raise SpeakerError(f"speaker {name!r} cannot say the sentence to clone from: {audio}")
        tokens = tuple(bench.codec.encode_speaker(audio.samples, audio.sample_rate).tolist())
        samples = resample(audio.samples, audio.sample_rate, RATE)
        prompts[f"clone of {name}"] = Speaker(f"clone of {name}", Voice(global_tokens=tokens), "given", name), samples
    texts = write_sentences(bench.request.count or _OWN_ITEMS, np.random.default_rng(0))
    clones = list(prompts)
    return [Item(f"{at:04d}", text, speaker_id=clones[at % len(clones)]) for at, text in enumerate(texts)]


def _speak(
    bench: Bench, items: Sequence[Item], prompts: Mapping[str, tuple[Speaker, Samples]]
) -> tuple[list[_Spoken], list[Figure]]:
    synthesizer = bench.synthesizer([speaker for speaker, _ in prompts.values()])
    rows = [
        {
            "utterance_id": item.name,
            "text": item.text,
            "speaker_id": item.speaker_id or next(iter(bench.own), ""),
            "language": bench.request.language,
        }
        for item in items
    ]
    started = time.perf_counter()
    spoken = []
    for item, result in zip(items, synthesizer.speak_many(rows, on_error="return"), strict=True):
        prompt = prompts[item.speaker_id][1] if item.speaker_id is not None and item.speaker_id in prompts else None
        if isinstance(result, Audio):
            samples = resample(result.samples, result.sample_rate, RATE).astype(np.float32)
        else:
            logger.warning("%s: %s", item.name, result)
            samples = np.zeros(0, np.float32)
        spoken.append(_Spoken(item, samples, prompt))
    elapsed_s = time.perf_counter() - started
    audio_s = sum(one.samples.size for one in spoken) / RATE
    missing = summarize_mean("utterances without audio", [float(not one.samples.size) for one in spoken])
    name = "real-time factor"
    if not audio_s:
        return spoken, [missing, not_measured(name, "nothing was spoken", published.REAL_TIME_FACTOR)]
    note = f"{audio_s:.0f} s of audio together, on {bench.codec.device.type}, loading apart"
    factor = Figure(name, elapsed_s / audio_s, count=len(spoken), note=note, published=published.REAL_TIME_FACTOR)
    return spoken, [missing, factor]


def _judge_words(spoken: Sequence[_Spoken], request: Request, judges: _Judges) -> list[Figure]:
    is_chinese = request.language == "zh"
    name = "character error rate" if is_chinese else "word error rate"
    beside = published.WORDS.get(request.language, ())
    if judges.recognizer is None:
        return [not_measured(name, "nobody listens; give --asr and --asr-model", beside)]
    errors, sizes, rates = [], [], []
    for one in spoken:
        heard = judges.recognizer.recognize(one.samples, RATE, request.language)
        fold = judges.recognizer.fold
        reading = compare_with_text(fold(one.item.text, request.language), fold(heard, request.language))
        if reading.num_words:
            errors.append(float(reading.num_word_errors))
            sizes.append(float(reading.num_words))
            rates.append(reading.num_word_errors / reading.num_words)
    note = f"by {request.asr} {request.asr_model or ''}".rstrip() + "; an utterance without audio is all wrong"
    return [
        summarize_ratio(name, errors, sizes, note=f"errors over all words, {note}", published=beside),
        summarize_mean(f"{name}, mean of utterances", rates, note="what benchmarks average"),
    ]


def _judge_voices(codec: BiCodec, spoken: Sequence[_Spoken], request: Request, judges: _Judges) -> list[Figure]:
    pairs = [(one.prompt, one.samples) for one in spoken if one.prompt is not None and one.samples.size >= RATE]
    beside = published.SPEAKER.get(request.language, ())
    name = "speaker similarity"
    figures = [
        summarize_mean(
            f"{name}, codec",
            [found for pair in pairs if (found := _compare_by_codec(codec, *pair)) is not None],
            note="the codec's own speaker tokens, prompt and take: 1 equal, 0 as by chance",
        )
    ]
    if judges.speaker_model is None:
        reason = "no model; give --speaker-model, a WavLM x-vector model of transformers"
        return [*figures, not_measured(f"{name}, x-vector", reason, beside)]
    cosines = [judges.speaker_model.compare(*pair) for pair in pairs]
    return [*figures, summarize_mean(f"{name}, x-vector", cosines, note="cosine", published=beside)]


def _compare_by_codec(codec: BiCodec, first: Samples, second: Samples) -> float | None:
    try:
        tokens = [codec.encode_speaker(samples, RATE).numpy() for samples in (first, second)]
    except SpeakerError:
        return None  # Silence has no voice; the words tell on it.
    return compare_voices(tokens[0], tokens[1], codec.global_levels)


def _judge_naturalness(spoken: Sequence[_Spoken]) -> Figure:
    name = "naturalness, DNSMOS overall"
    try:
        check_naturalness()
    except ConfigError:
        return not_measured(name, need_extra("it", "speechmos", "naturalness"))
    rater = Dnsmos()
    scores = [rater.rate(one.samples, RATE) for one in spoken if one.samples.size]
    return summarize_mean(name, [score for score in scores if score is not None], note="1 to 5")


def _judge_copies(codec: BiCodec, recordings: Sequence[Samples], judges: _Judges, note: str) -> list[Figure]:
    measured: dict[str, list[float]] = {}
    for original, copy in (_copy(codec, samples) for samples in recordings):
        found: dict[str, float | None] = {
            "mel distance": measure_mel_distance(original, copy),
            "speaker similarity": _compare_by_codec(codec, original, copy),
            "STOI": measure_stoi(original, copy) if has_package("pystoi") else None,
            "PESQ, wide band": measure_pesq(original, copy) if has_package("pesq") else None,
            "speaker similarity, x-vector": judges.speaker_model.compare(original, copy)
            if judges.speaker_model
            else None,
        }
        for name, value in found.items():
            if value is not None:
                measured.setdefault(name, []).append(value)
    missing = {
        "STOI": need_extra("it", "pystoi", "evaluate"),
        "PESQ, wide band": "the package pesq is not installed: pip install pesq builds it, which takes a C compiler",
        "speaker similarity, x-vector": "no model; give --speaker-model",
    }
    return [
        summarize_mean(
            f"codec: {name}",
            measured[name],
            note=note,
            published=published.RECONSTRUCTION if name == "STOI" else (),
        )
        if name in measured
        else not_measured(f"codec: {name}", missing.get(name, "there is no recording"))
        for name in ("STOI", "PESQ, wide band", "mel distance", "speaker similarity", "speaker similarity, x-vector")
    ]


def _copy(codec: BiCodec, samples: Samples) -> tuple[Samples, Samples]:
    """Return a recording and what the codec makes of it, of one length and level."""
    tokens = codec.encode(samples, RATE)
    (copy,) = codec.decode([tokens.semantic_tokens], tokens.global_tokens[None])
    made = copy.numpy()
    size = min(samples.size, made.size)
    original, made = samples[:size].astype(np.float32), made[:size]
    # The encoder brings recordings to one volume, which is no fault of the copy.
    powers = [float(np.mean(sound.astype(np.float64) ** 2)) for sound in (original, made)]
    gain = (powers[0] / max(powers[1], 1e-12)) ** 0.5
    return original, (made * gain).astype(np.float32)


def _measure_latency(bench: Bench, item: Item, voices: Sequence[Speaker]) -> Figure:
    """Time a sentence alone, in an engine of one slot: from the text to the audio of the first segment."""
    config = _configure(bench.request, {})
    config = config.model_copy(update={"llm": config.llm.model_copy(update={"slots": 1})})
    engine = load_engine(config, bench.weights_dir)
    synthesizer = Synthesizer(config, engine, bench.codec, bench.own.add(voices), bench.support)
    speaker = item.speaker_id or next(iter(bench.own))
    times = []
    with torch.inference_mode():
        for attempt in range(_NUM_LATENCIES + 1):
            started = time.perf_counter()
            synthesizer.speak(VOICE_SENTENCES["en"], speaker=speaker, seed=attempt, language="en")
            times.append(time.perf_counter() - started)
    return summarize_mean(
        "first segment's latency",
        times[1:],  # The first call warms up.
        unit="s",
        note=f"text to audio of one segment, alone, on {bench.codec.device.type}",
        published=published.LATENCY,
    )
