"""The training data: planned utterances for the language model, rendered ones for the codec."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.demo_voice.training.flite import Analysis, FliteVoice
from pipeline.demo_voice.training.phonetic_tokens import PitchContour, tokenize_phones
from pipeline.demo_voice.training.sentences import find_words, make_sentences, spoken_form
from pipeline.demo_voice.training.voices import PITCHES_HZ, VOICES, global_tokens
from pipeline.storage import write_bytes

_PEAK = 0.9


@dataclass(frozen=True, eq=False)
class Plan:
    """An utterance that nobody has rendered: at any tempo its tokens follow from it.

    Attributes:
        text: what is said.
        voice: index in VOICES.
        phones, words, ends, steps: (phones,) as in Analysis and PitchContour.
    """

    text: str
    voice: int
    phones: list[str]
    words: NDArray[np.int64]
    ends: NDArray[np.float64]
    steps: NDArray[np.int64]

    def tokenize(self, stretch: float) -> NDArray[np.int64]:
        """Return (frames,) semantic tokens."""
        return tokenize_phones(self.phones, self.ends * stretch, self.steps)

    def joined(self, following: Plan) -> Plan:
        """Return both said by this plan's voice, one after the other."""
        words = np.where(following.words < 0, -1, following.words + len(find_words(self.text)))
        return Plan(
            f"{self.text} {following.text}",
            self.voice,
            [*self.phones, *following.phones],
            np.concatenate([self.words, words]),
            np.concatenate([self.ends, following.ends + self.ends[-1]]),
            np.concatenate([self.steps, following.steps]),
        )


@dataclass(frozen=True, eq=False)
class Recording:
    """A rendered utterance with its tokens.

    Attributes:
        text: what is said.
        voice: index in VOICES.
        pitch_hz: center of its pitch.
        tokens: (frames,) semantic tokens.
        global_tokens: (32,).
        waveform: (frames * 320,) int16.
    """

    text: str
    voice: int
    pitch_hz: float
    tokens: NDArray[np.int64]
    global_tokens: NDArray[np.int64]
    waveform: NDArray[np.int16]


def plan_utterances(count: int, seed: int) -> list[Plan]:
    """Plan utterances of all voices in turn; those whose words cannot be distinguished in the text are left out."""
    voices = [FliteVoice(voice.source, voice.warp) for voice in VOICES]
    plans: list[Plan] = []
    for index, text in enumerate(make_sentences(seed)):
        number = index % len(VOICES)
        analysis = voices[number].analyze(spoken_form(text), 1.0)
        if analysis.words.max(initial=-1) + 1 == len(find_words(text)):
            contour = PitchContour(VOICES[number].predicted_hz, VOICES[number].pitch_hz)
            steps = contour.steps(analysis.phones, analysis.ends, analysis.f0)
            plans.append(Plan(text, number, analysis.phones, analysis.words, analysis.ends, steps))
        if len(plans) == count:
            break
    return plans


def render(voice: FliteVoice, number: int, text: str, stretch: float, pitch_hz: float) -> Recording:
    """Render one utterance at a tempo and a pitch, and cut it into frames."""
    contour = PitchContour(VOICES[number].predicted_hz, pitch_hz)
    spoken = spoken_form(text)
    plain = voice.analyze(spoken, stretch)
    steps = contour.steps(plain.phones, plain.ends, plain.f0)
    analysis: Analysis = voice.analyze(spoken, stretch, contour)
    tokens = tokenize_phones(analysis.phones, analysis.ends, steps)
    waveform = np.zeros(tokens.size * 320, np.float32)
    size = min(waveform.size, analysis.waveform.size)
    waveform[:size] = analysis.waveform[:size]
    waveform *= min(1.0, _PEAK / max(float(np.abs(waveform).max()), 1e-6)) * 0.7
    samples = np.round(waveform * 32_767).astype(np.int16)
    return Recording(text, number, pitch_hz, tokens, global_tokens(number, pitch_hz), samples)


def render_utterances(count: int, seed: int) -> list[Recording]:
    """Render utterances of all voices in turn, each at a pitch and a tempo of its own around the voice's."""
    rng = np.random.default_rng(seed)
    voices = [FliteVoice(voice.source, voice.warp) for voice in VOICES]
    recordings = []
    for index, text in enumerate(itertools.islice(make_sentences(seed), count)):
        number = index % len(VOICES)
        others = PITCHES_HZ[VOICES[number].gender]
        pitch_hz = VOICES[number].pitch_hz if rng.random() < 0.5 else float(rng.choice(others))
        stretch = float(np.exp(rng.normal(0, 0.15)))
        recordings.append(render(voices[number], number, text, stretch, pitch_hz))
    return recordings


def save(path: Path, items: list[Plan] | list[Recording]) -> None:
    """Write a part of the corpus; whole or not at all."""
    write_bytes(str(path), pickle.dumps(items))


def load(path: Path) -> list[Plan] | list[Recording]:
    """Read what `save` wrote; our own files only."""
    with open(path, "rb") as file:
        items: list[Plan] | list[Recording] = pickle.load(file)
    return items
