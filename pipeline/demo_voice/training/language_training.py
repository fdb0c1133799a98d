"""Trains the language model: text, and a voice or a style, to the tokens of speech.

It starts with speech so fast that a phone is a frame or two: reading is learned at a third of the price. The tempo
comes down to that of the voices later on. Two heads are shown, for a while, which word is being said.

Shape suffixes: B batch, T positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.demo_voice.training.corpus import Plan
from pipeline.demo_voice.training.language_model import LanguageModel, Muon, Sizes
from pipeline.demo_voice.training.phonetic_tokens import CODEBOOK_SIZE, NUM_TOKENS, PLACES
from pipeline.demo_voice.training.progress import Training
from pipeline.demo_voice.training.sentences import find_words
from pipeline.demo_voice.training.vocabulary import Vocabulary
from pipeline.demo_voice.training.voices import PITCHES_HZ, STRETCHES, VOICES, global_tokens

_BATCH = 24
_POOL_BATCHES = 16
_PEAK_RATE = 3e-3
_FAST_STRETCH = 0.4
_FAST_UNTIL, _NORMAL_FROM = 0.45, 0.6
_REVIEWED, _REVIEWED_UNTIL = 0.6, 0.85
"""Share of sequences that are fast again later on: what is still missing then is how words are read."""
_GUIDED_UNTIL = 0.6
_GUIDED_LAYERS, _GUIDED_HEADS = (1, 2), 2
_CORRUPTED = 0.06
_JOINED = 0.15
"""Share of sequences that say two sentences: a transcript of a reference and the text, or a paragraph."""
_LONGEST_JOINED = 160
_VOWELS = frozenset("aa ae ah ao aw ax ay eh er ey ih iy ow oy uh uw".split())


@dataclass(frozen=True, eq=False)
class Example:
    """One sequence.

    Attributes:
        ids: (positions,).
        first_answer: position of the first token that the model writes by choice.
        first_semantic: position of the first semantic token.
        spans: (semantic tokens, 2) positions of the word that is said at each, empty between words.
    """

    ids: NDArray[np.int64]
    first_answer: int
    first_semantic: int
    spans: NDArray[np.int64]


class ExampleMaker:
    """Turns plans into sequences of all the grammars.

    Args:
        vocabulary: ids.
        seed: of the choices.
    """

    def __init__(self, vocabulary: Vocabulary, seed: int) -> None:
        self._names = vocabulary
        self._rng = np.random.default_rng(seed)

    def make(self, plan: Plan, progress: float) -> Example:
        """Return a sequence as it befits the state of the training."""
        names, rng = self._names, self._rng
        slow = np.clip((progress - _FAST_UNTIL) / (_NORMAL_FROM - _FAST_UNTIL), 0, 1)
        base = _FAST_STRETCH + (1 - _FAST_STRETCH) * float(slow)
        created = slow > 0 and rng.random() < 0.3
        speed = int(rng.integers(len(STRETCHES))) if created else 2
        tokens = plan.tokenize(base * STRETCHES[speed] * float(np.exp(rng.normal(0, 0.03))))
        text = names.encode_text(plan.text)
        head = [names["task_controllable_tts" if created else "task_tts"], names["start_content"]]
        middle: list[int] = [names["end_content"]]
        first_answer = 0
        if created:
            pitches = PITCHES_HZ[VOICES[plan.voice].gender]
            pitch = int(rng.integers(len(pitches)))
            pitch_hz = pitches[pitch]
            middle += self._style(plan, pitch, speed)
            first_answer = len(head) + len(text) + len(middle) + 1
            middle += self._acoustics(plan, pitch_hz, tokens.size)
            voice = global_tokens(plan.voice, pitch_hz)
        else:
            others = PITCHES_HZ[VOICES[plan.voice].gender]
            pitch_hz = VOICES[plan.voice].pitch_hz if rng.random() < 0.7 else float(rng.choice(others))
            voice = global_tokens(plan.voice, pitch_hz)
        if slow > 0:
            middle += [names["start_global_token"], *names.encode_globals(voice), names["end_global_token"]]
        middle.append(names["start_semantic_token"])
        first_semantic = len(head) + len(text) + len(middle)
        answer = [*(tokens + names["bicodec_semantic_0"]), names["im_end"]]
        ids = np.concatenate([head, text, middle, answer]).astype(np.int64)
        return Example(ids, first_answer or first_semantic, first_semantic, self._spans(plan, tokens, len(head)))

    def join(self, plans: Sequence[Plan]) -> list[Plan]:
        """Return the plans, some of them with another of the same voice behind."""
        joined = []
        for plan in plans:
            other = plans[int(self._rng.integers(len(plans)))]
            together = other.voice == plan.voice and len(plan.text) + len(other.text) < _LONGEST_JOINED
            # A quarter of the others has the same voice.
            joined.append(plan.joined(other) if together and self._rng.random() < 4 * _JOINED else plan)
        return joined

    def _style(self, plan: Plan, pitch: int, speed: int) -> list[int]:
        names = self._names
        gender = ("female", "male").index(VOICES[plan.voice].gender)
        labels = (f"gender_{gender}", f"pitch_label_{pitch}", f"speed_label_{speed}")
        return [names["start_style_label"], *(names[label] for label in labels), names["end_style_label"]]

    def _acoustics(self, plan: Plan, pitch_hz: float, num_frames: int) -> list[int]:
        names = self._names
        mel = round(2595 * np.log10(1 + pitch_hz / 700))
        syllables = sum(phone in _VOWELS for phone in plan.phones) / (num_frames * 0.02)
        values = (f"pitch_value_{mel}", f"speed_value_{int(np.clip(round(syllables), 0, 10))}")
        return [names["start_acoustic_token"], *(names[value] for value in values), names["end_acoustic_token"]]

    def _spans(self, plan: Plan, tokens: NDArray[np.int64], offset: int) -> NDArray[np.int64]:
        """Give each frame the place of its word in the text: frames of a phone are those up to its last one."""
        edges = [
            (offset + len(plan.text[:start].encode()), offset + len(plan.text[:stop].encode()))
            for start, stop in find_words(plan.text)
        ]
        is_last = tokens % PLACES == PLACES - 1
        phone = np.concatenate([[0], np.cumsum(is_last)[:-1]])
        words = plan.words[np.minimum(phone, len(plan.words) - 1)]
        spans = np.array([(0, 0) if word < 0 else edges[word] for word in words])
        assert tokens.max(initial=0) < NUM_TOKENS
        return spans

    def corrupt(self, ids: NDArray[np.int64], first_semantic: int) -> NDArray[np.int64]:
        """Return the ids with some of the history exchanged, so that the model forgives its own mistakes."""
        rng, start = self._rng, self._names["bicodec_semantic_0"]
        spoiled = ids.copy()
        answer = spoiled[first_semantic:-1]
        chosen = rng.random(answer.size) < _CORRUPTED
        near = answer + rng.integers(-PLACES, PLACES + 1, answer.size)
        far = start + rng.integers(0, NUM_TOKENS, answer.size)
        other = np.where(rng.random(answer.size) < 0.6, np.clip(near, start, start + NUM_TOKENS - 1), far)
        answer[chosen] = other[chosen]
        return spoiled


def train_language(folder: Path, plans: Sequence[Plan], minutes: float, device: torch.device) -> LanguageModel:
    """Train for a time, going on where an earlier call was killed.

    Args:
        folder: for checkpoint and log.
        plans: what to learn from.
        minutes: in all.
        device: to train on.

    Returns:
        The network, on the CPU.
    """
    torch.manual_seed(3)
    vocabulary = Vocabulary()
    model = LanguageModel(Sizes(vocabulary.size)).to(device)
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    orthogonal = Muon(matrices, _PEAK_RATE)
    plain = torch.optim.AdamW(others, _PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0)
    training = Training(folder, "language", minutes, {"model": model, "orthogonal": orthogonal, "plain": plain})
    maker = ExampleMaker(vocabulary, training.step + 1)
    rng = np.random.default_rng(training.step + 1)
    families = _legal_rows(vocabulary, device)
    pool: list[list[Example]] = []
    for _ in training.steps():
        if not pool:
            chosen = rng.choice(len(plans), _BATCH * _POOL_BATCHES, replace=False)
            states = _states(training.progress, rng)
            joined = maker.join([plans[i] for i in chosen])
            examples = sorted(
                (maker.make(*pair) for pair in zip(joined, states, strict=False)), key=lambda e: len(e.ids)
            )
            pool = [examples[i : i + _BATCH] for i in range(0, len(examples), _BATCH)]
            rng.shuffle(pool)  # type: ignore[arg-type]
        batch = pool.pop()
        for optimizer in (orthogonal, plain):
            training.set_rate(optimizer, _PEAK_RATE)
        losses = _losses(model, batch, maker, families, guided=training.progress < _GUIDED_UNTIL, device=device)
        loss = losses["semantic"] + 0.2 * losses["guide"] * max(0.0, 1 - training.progress / _GUIDED_UNTIL)
        loss = loss + 0.3 * losses["style"]
        for optimizer in (orthogonal, plain):
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(others, 1.0)
        orthogonal.step()
        plain.step()
        training.log(rate=training.rate(_PEAK_RATE), **{name: value.item() for name, value in losses.items()})
    return model.cpu()


def _states(progress: float, rng: np.random.Generator) -> Iterator[float]:
    """Yield for each sequence without end what progress it is to befit."""
    while True:
        is_review = progress < _REVIEWED_UNTIL and rng.random() < _REVIEWED
        yield min(progress, _FAST_UNTIL) if is_review else progress


def _legal_rows(vocabulary: Vocabulary, device: torch.device) -> list[Tensor]:
    """Return the rows that are legal together: semantics and stops, globals, pitch and speed values."""
    stops = [vocabulary["im_end"], vocabulary["end_semantic_token"]]
    families = [
        [*vocabulary.family("bicodec_semantic", CODEBOOK_SIZE), *stops],
        [*vocabulary.family("bicodec_global")],
        [*vocabulary.family("pitch_value")],
        [*vocabulary.family("speed_value")],
    ]
    return [torch.tensor(family, device=device) for family in families]


def _losses(
    model: LanguageModel,
    batch: Sequence[Example],
    maker: ExampleMaker,
    families: Sequence[Tensor],
    *,
    guided: bool,
    device: torch.device,
) -> dict[str, Tensor]:
    longest = max(len(example.ids) for example in batch)
    input_BT = torch.zeros(len(batch), longest, dtype=torch.int64)
    target_BT = torch.full((len(batch), longest), -1)
    span_B2T = torch.zeros(len(batch), 2, longest, dtype=torch.int64)
    for row, example in enumerate(batch):
        length = len(example.ids)
        input_BT[row, :length] = torch.from_numpy(maker.corrupt(example.ids, example.first_semantic))
        target_BT[row, example.first_answer - 1 : length - 1] = torch.from_numpy(example.ids[example.first_answer :])
        first = example.first_semantic - 1
        span_B2T[row, :, first : first + len(example.spans)] = torch.from_numpy(example.spans.T)
    input_BT, target_BT, span_B2T = input_BT.to(device), target_BT.to(device), span_B2T.to(device)
    hidden_BTD, observed = model(input_BT, _GUIDED_LAYERS if guided else (), _GUIDED_HEADS)
    zero = hidden_BTD.new_zeros(())
    sums, counts = [zero, zero], [0, 0]
    for number, rows in enumerate(families):
        lookup = torch.full((model.sizes.vocab_size + 1,), -1, device=device)
        lookup[rows] = torch.arange(rows.numel(), device=device)
        wanted_BT = lookup[target_BT]
        chosen_BT = wanted_BT >= 0
        if chosen_BT.any():
            logits = model.logits(hidden_BTD[chosen_BT], rows)
            kind = min(number, 1)
            sums[kind] = sums[kind] + functional.cross_entropy(logits, wanted_BT[chosen_BT], reduction="sum")
            counts[kind] += int(chosen_BT.sum())
    guide = zero
    if guided:
        positions = torch.arange(longest, device=device)
        spoken_BT = span_B2T[:, 1] > 0
        inside_BTT = (positions >= span_B2T[:, 0, :, None]) & (positions < span_B2T[:, 1, :, None])
        masses = [(weights * inside_BTT[:, None]).sum(-1) for weights in observed]
        guide = torch.stack([-mass.transpose(1, 2)[spoken_BT].clamp_min(1e-4).log().mean() for mass in masses]).mean()
    return {"semantic": sums[0] / max(counts[0], 1), "style": sums[1] / max(counts[1], 1), "guide": guide}
