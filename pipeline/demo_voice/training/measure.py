"""What the demo voice is worth: words understood, voices distinguished, styles followed, sentences ended.

Everything is synthesized by `synthesize_manifest`, as a user would; sources are rendered by flite.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf
import torch
import yaml
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from pipeline import BiCodec, CommitLog, synthesize_manifest
from pipeline.config.run import parse_config
from pipeline.config.yaml_reader import read_yaml
from pipeline.demo_voice.training.corpus import render
from pipeline.demo_voice.training.flite import SAMPLE_RATE, FliteVoice
from pipeline.demo_voice.training.sentences import EVERYDAY, UNTRAINED_WORDS, make_sentences
from pipeline.demo_voice.training.voices import VOICES
from pipeline.storage import open_storage
from pipeline.synthesis.recognition import PocketSphinx, Recognizer, split_words

LEVELS = ("very_low", "low", "moderate", "high", "very_high")
_BOOTSTRAP = 2000
_REFERENCE_TEXT = "The quick train to the coast leaves at seven."
_TRANSCRIPT_SENTENCES = 20
_STYLE_TEXTS = (
    "We waited for an hour, but nobody came. The old man sat down and began to talk.",
    *(f"{EVERYDAY[number]} {EVERYDAY[number + 1]}" for number in range(0, 10, 2)),
)


@dataclass(frozen=True)
class ErrorRate:
    """Word error rate of a set of sentences with its 95 % interval by bootstrap over sentences."""

    rate: float
    low: float
    high: float
    words: int

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, Sequence[str]]]) -> ErrorRate:
        """Compare texts with what was heard."""
        errors = np.array([Levenshtein.distance(split_words(text), heard) for text, heard in pairs])
        sizes = np.array([len(split_words(text)) for text, _ in pairs])
        picks = np.random.default_rng(0).integers(len(pairs), size=(_BOOTSTRAP, len(pairs)))
        rates = errors[picks].sum(1) / sizes[picks].sum(1)
        low, high = np.quantile(rates, [0.025, 0.975])
        return cls(float(errors.sum() / sizes.sum()), float(low), float(high), int(sizes.sum()))


def synthesize_sentences(
    weights: Path,
    folder: Path,
    rows: Sequence[tuple[str, str]],
    speakers: Mapping[str, Any],
    llm: Mapping[str, Any] | None = None,
) -> list[tuple[dict[str, Any], NDArray[np.float32]]]:
    """Synthesize (text, speaker) rows with the whole pipeline; return metadata and audio in order.

    Args:
        weights: model directory.
        folder: for manifest and output; resumes what is there.
        rows: what to synthesize; a rejected one has empty audio.
        speakers: definitions by name.
        llm: settings beyond the slots.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"{index:05d}" for index in range(len(rows))]
    table = pa.table({"utterance_id": ids, "text": [row[0] for row in rows], "speaker_id": [row[1] for row in rows]})
    (folder / "manifest").mkdir(exist_ok=True)
    if not (folder / "manifest" / "rows.parquet").exists():
        pq.write_table(table, folder / "manifest" / "rows.parquet")
    definitions = [{"speaker_id": name, **definition} for name, definition in speakers.items()]
    (folder / "speakers.yaml").write_text(yaml.safe_dump(definitions), encoding="utf-8")
    settings = {
        "weights": str(weights),
        "manifest": str(folder / "manifest"),
        "speakers": str(folder / "speakers.yaml"),
        "output": str(folder / "output"),
        "unit_size": 100,
        "llm": {"slots": 32, **(llm or {})},
        "replicas": {
            "llm": {"count": 1, "num_cpus": 1},
            "codec": {"count": 1, "num_cpus": 0.5},
            "writer": {"count": 1, "num_cpus": 0.25},
        },
    }
    synthesize_manifest(parse_config(settings, source="measure"))
    log = CommitLog(open_storage(str(folder / "output")))
    found = {record["utterance_id"]: record for table in log.iter_metadata() for record in table.to_pylist()}
    return [(found[name], _read_audio(folder / "output", found[name])) for name in ids]


def _read_audio(output: Path, record: Mapping[str, Any]) -> NDArray[np.float32]:
    if not record["audio_path"]:
        return np.zeros(0, np.float32)
    samples: NDArray[np.float32] = sf.read(output / record["audio_path"], dtype="float32")[0]
    return samples


def measure_words(weights: Path, folder: Path) -> dict[str, Any]:
    """Return word error rates of source, codec and text to speech for each voice, and keep the audio in `folder`."""
    codec = BiCodec.load(weights)
    speakers = _read_speakers(weights)
    texts = [*EVERYDAY, *UNTRAINED_WORDS]
    rows = [(text, voice.name) for voice in VOICES for text in texts]
    spoken = synthesize_sentences(weights, folder / "words", rows, speakers)
    waveforms: dict[str, list[NDArray[Any]]] = {"source": [], "codec": [], "speech": [audio for _, audio in spoken]}
    for number, voice in enumerate(VOICES):
        flite = FliteVoice(voice.source, voice.warp)
        for text in texts:
            source = render(flite, number, text, 1.0, voice.pitch_hz).waveform / np.float32(32_768)
            tokens = codec.encode(source, SAMPLE_RATE)
            waveforms["source"].append(source)
            waveforms["codec"].append(codec.decode([tokens.semantic_tokens], tokens.global_tokens[None])[0].numpy())
    heard = {name: list(zip(texts * len(VOICES), _hear(clips), strict=True)) for name, clips in waveforms.items()}
    report: dict[str, Any] = {}
    for number, voice in enumerate(VOICES):
        first, last = number * len(texts), (number + 1) * len(texts)
        everyday = first + len(EVERYDAY)
        report[voice.name] = {
            part: {name: ErrorRate.of(pairs[chosen]).__dict__ for name, pairs in heard.items()}
            for part, chosen in (("everyday", slice(first, everyday)), ("untrained", slice(everyday, last)))
        }
    return report


def _hear(waveforms: Sequence[NDArray[Any]]) -> list[list[str]]:
    """Return the words of each, heard on all cores."""
    with ProcessPoolExecutor(os.cpu_count(), initializer=_load_recognizer) as pool:
        return list(pool.map(_recognize, waveforms, chunksize=10))


_recognizer: Recognizer
"""Of a process of the pool."""


def _load_recognizer() -> None:
    global _recognizer
    _recognizer = PocketSphinx()


def _recognize(waveform: NDArray[Any]) -> list[str]:
    return split_words(_recognizer.recognize(waveform, SAMPLE_RATE, "en"))


def _read_speakers(weights: Path) -> dict[str, Any]:
    speakers: dict[str, Any] = read_yaml((weights / "speakers.yaml").read_bytes(), "speakers.yaml")
    return speakers


def measure_transcripts(weights: Path, folder: Path) -> dict[str, Any]:
    """Return word error rates of voices that were enrolled from a rendered clip with its transcript."""
    folder.mkdir(parents=True, exist_ok=True)
    speakers = {}
    for number, voice in enumerate(VOICES):
        flite = FliteVoice(voice.source, voice.warp)
        clip = folder / f"{voice.name}.wav"
        sf.write(clip, render(flite, number, _REFERENCE_TEXT, 1.0, voice.pitch_hz).waveform, SAMPLE_RATE)
        speakers[f"like-{voice.name}"] = {"reference_audio": str(clip), "reference_text": _REFERENCE_TEXT}
    rows = [(text, name) for name in speakers for text in EVERYDAY[:_TRANSCRIPT_SENTENCES]]
    spoken = synthesize_sentences(weights, folder / "referenced", rows, speakers, llm={"use_reference_text": True})
    heard = _hear([audio for _, audio in spoken])
    pairs = [(text, words) for (text, _), words in zip(rows, heard, strict=True)]
    size = _TRANSCRIPT_SENTENCES
    return {
        name: ErrorRate.of(pairs[index * size : (index + 1) * size]).__dict__ for index, name in enumerate(speakers)
    }


def measure_endings(weights: Path, folder: Path, count: int) -> dict[str, Any]:
    """Synthesize sentences of 1 to 25 words; return the share rejected, and how duration follows the text."""
    speakers = _read_speakers(weights)
    texts = _sentences_of_all_lengths(count)
    rows = [(text, VOICES[index % len(VOICES)].name) for index, text in enumerate(texts)]
    spoken = synthesize_sentences(weights, folder / "endings", rows, speakers)
    synthesized = [
        (row[0], audio.size / SAMPLE_RATE) for row, (_, audio) in zip(rows, spoken, strict=True) if audio.size
    ]
    characters, seconds = (np.array(values) for values in zip(*((len(t), s) for t, s in synthesized), strict=True))
    retaken = sum((record["take"] or 0) > 0 for record, _ in spoken)
    codes = [record["error_code"] for record, _ in spoken if record["error_code"]]
    return {
        "sentences": count,
        "rejected": len(codes),
        "codes": sorted(set(codes)),
        "retaken": retaken,
        "correlation": float(np.corrcoef(characters, seconds)[0, 1]),
    }


def _sentences_of_all_lengths(count: int) -> list[str]:
    words = [word for text in EVERYDAY for word in text.split()]
    rng = np.random.default_rng(25)
    texts = []
    source = make_sentences(999_331)
    for index in range(count):
        wanted = index % 25 + 1
        sentence: list[str] = []
        while len(sentence) < wanted:
            sentence += next(source).split() if wanted > 3 else [str(rng.choice(words))]
        texts.append(" ".join(sentence[:wanted]).rstrip(",.;!?").capitalize() + ".")
    return texts


def measure_styles(weights: Path, folder: Path) -> dict[str, Any]:
    """Return median pitch and pace of created voices over the levels of pitch and of speed, for both genders."""
    speakers = {
        f"{gender}-{name}-{level}": {"gender": gender, name: level}
        for gender in ("female", "male")
        for name in ("pitch", "speed")
        for level in LEVELS
    }
    rows = [(text, name) for name in speakers for text in _STYLE_TEXTS]
    spoken = [audio for _, audio in synthesize_sentences(weights, folder / "styles", rows, speakers)]
    num_words = sum(len(text.split()) for text in _STYLE_TEXTS)
    report: dict[str, Any] = {}
    for number, name in enumerate(speakers):
        audio = np.concatenate(spoken[number * len(_STYLE_TEXTS) : (number + 1) * len(_STYLE_TEXTS)])
        report[name] = {"median_f0_hz": median_pitch(audio), "words_per_s": num_words / _seconds(audio)}
    return report


def _seconds(audio: NDArray[np.float32]) -> float:
    return max(audio.size / SAMPLE_RATE, 1e-3)


def median_pitch(waveform: NDArray[np.float32], lowest_hz: float = 60, highest_hz: float = 400) -> float:
    """Return the median fundamental of the voiced frames in Hz, by autocorrelation of 40 ms frames; 0 without any."""
    size, hop = 640, 160
    found = []
    for start in range(0, waveform.size - size, hop):
        frame = waveform[start : start + size] - waveform[start : start + size].mean()
        if np.sqrt(np.square(frame).mean()) < 0.02:
            continue
        spectrum = np.fft.rfft(frame * np.hanning(size), 2 * size)
        correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:size]
        correlation /= np.fft.irfft(np.abs(np.fft.rfft(np.hanning(size), 2 * size)) ** 2)[:size] + 1e-9
        first, last = int(SAMPLE_RATE / highest_hz), int(SAMPLE_RATE / lowest_hz)
        highest = correlation[first:last].max()
        if highest > 0.5 * correlation[0]:
            # Two and three periods fit as well as one, and better where only they are a whole number of samples.
            peaks = (correlation[first:last] > 0.85 * highest) & (
                correlation[first:last]
                >= np.maximum(correlation[first - 1 : last - 1], correlation[first + 1 : last + 1])
            )
            found.append(SAMPLE_RATE / (first + int(np.argmax(peaks))))
    return float(np.median(found)) if found else 0.0


def measure_voices(
    weights: Path, folder: Path, embed: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> dict[str, Any]:
    """Compare what `measure_words` synthesized with sources of all voices; and enroll each voice from a rendered clip.

    Args:
        weights: model directory.
        folder: as given to `measure_words`.
        embed: from (samples,) to a speaker embedding of length one.
    """
    texts = [*EVERYDAY, *UNTRAINED_WORDS]
    log = CommitLog(open_storage(str(folder / "words" / "output")))
    found = {record["utterance_id"]: record for table in log.iter_metadata() for record in table.to_pylist()}
    codec = BiCodec.load(weights)
    sources, generated, nearest = [], [], {}
    shipped = {name: torch.tensor(voice["global_tokens"]) for name, voice in _read_speakers(weights).items()}
    for number, voice in enumerate(VOICES):
        flite = FliteVoice(voice.source, voice.warp)
        clips = [
            render(flite, number, text, 1.0, voice.pitch_hz).waveform / np.float32(32_768) for text in texts[30:36]
        ]
        sources.append(embed(np.concatenate(clips)))
        own = [_read_audio(folder / "words" / "output", found[f"{number * len(texts) + i:05d}"]) for i in range(6)]
        generated.append(embed(np.concatenate(own)))
        tokens = codec.encode_speaker(np.concatenate(clips[:2]), SAMPLE_RATE)
        agreement = {name: float((tokens == other).float().mean()) for name, other in shipped.items()}
        nearest[voice.name] = max(agreement, key=lambda name: agreement[name])
    similarity = np.array(generated) @ np.array(sources).T
    names = [voice.name for voice in VOICES]
    return {
        "similarity": {name: dict(zip(names, row.round(3).tolist(), strict=True))
                       for name, row in zip(names, similarity, strict=True)},
        "nearest": nearest,
    }  # fmt: skip


def measure_all(weights: Path, folder: Path) -> dict[str, Any]:
    """Measure everything; speakers by resemblyzer where it is installed.

    Args:
        weights: model directory.
        folder: for outputs; what is there is taken as it is.
    """
    report = {
        "words": measure_words(weights, folder),
        "endings": measure_endings(weights, folder, 1_000),
        "styles": measure_styles(weights, folder),
        "transcripts": measure_transcripts(weights, folder / "transcripts"),
    }
    try:
        from resemblyzer import VoiceEncoder
    except ImportError:
        return report
    encoder = VoiceEncoder("cpu", verbose=False)
    return {**report, "voices": measure_voices(weights, folder, encoder.embed_utterance)}
