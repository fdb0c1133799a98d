"""The whole recipe, step after step; each is left out where its result is there already."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch

from pipeline.demo_voice.training.codec_training import train_decoder
from pipeline.demo_voice.training.corpus import Plan, Recording, load, plan_utterances, render_utterances, save
from pipeline.demo_voice.training.encoder_training import train_semantic_encoder, train_speaker_encoder
from pipeline.demo_voice.training.export import export
from pipeline.demo_voice.training.language_training import train_language
from pipeline.demo_voice.training.plots import plot_logs
from pipeline.storage import write_bytes

_PART = 2_000


@dataclass(frozen=True)
class Preset:
    """How much of everything.

    Attributes:
        device: to train on.
        num_plans: utterances for the language model.
        num_recordings: utterances for the codec.
        minutes: of training in all.
        shares: of the minutes for decoder, semantic encoder, speaker encoder and language model.
    """

    device: str
    num_plans: int
    num_recordings: int
    minutes: float
    shares: tuple[float, float, float, float] = (0.27, 0.2, 0.02, 0.51)

    def adjusted(self, device: str | None, minutes: float | None) -> Preset:
        """Return the preset with what the user chose."""
        return replace(self, device=device or self.device, minutes=minutes or self.minutes)


PRESETS = {
    "cpu": Preset("cpu", 48_000, 3_000, 300.0),
    "gpu": Preset("cuda", 120_000, 8_000, 20.0),
}


def make_demo_voice(output: Path, work: Path, preset: Preset, *, measure: bool) -> None:
    """Make corpus, networks and model directory.

    Args:
        output: the model directory.
        work: corpus, checkpoints and logs; a second call with the same folder goes on.
        preset: how much of everything.
        measure: write `figures.json` beside the weights; an hour or so of CPU.
    """
    work.mkdir(parents=True, exist_ok=True)
    device = torch.device(preset.device)
    minutes = [share * preset.minutes for share in preset.shares]
    recordings = cast("list[Recording]", _make_corpus(work, "recordings", preset.num_recordings))
    plans = cast("list[Plan]", _make_corpus(work, "plans", preset.num_plans))
    print(f"corpus: {len(recordings):,} recordings, {len(plans):,} plans")
    decoder = train_decoder(work, recordings, minutes[0], device)
    codebook = decoder.semantic_lookup.codebook.weight.detach().cpu()
    front, encoder = train_semantic_encoder(work, recordings, codebook, minutes[1], device)
    speaker = train_speaker_encoder(work, recordings, minutes[2], device)
    language = train_language(work, plans, minutes[3], device)
    export(output, decoder, encoder, speaker, front, language)
    plot_logs(work, work / "training.png")
    if measure:
        from pipeline.demo_voice.training.measure import measure_all

        report = json.dumps(measure_all(output, work / "measure"), indent=1)
        write_bytes(str(output / "figures.json"), f"{report}\n".encode())


def _make_corpus(work: Path, kind: str, count: int) -> Sequence[Plan | Recording]:
    """Make parts in parallel, each whole or absent, and read them all."""
    parts = [(work / f"{kind}-{start:07d}.pkl", min(_PART, count - start), start) for start in range(0, count, _PART)]
    missing = [part for part in parts if not part[0].exists()]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, max(len(missing), 1))) as pool:
        for path in pool.map(_make_part, [kind] * len(missing), *zip(*missing, strict=True)) if missing else ():
            print(f"corpus: {path}", flush=True)
    return [item for path, _, _ in parts for item in load(path)]


def _make_part(kind: str, path: Path, count: int, seed: int) -> Path:
    if kind == "plans":
        save(path, plan_utterances(count, seed + 1))
    else:
        save(path, render_utterances(count, seed))
    return path
