"""Random weights are the same everywhere, and give speech of ordinary loudness."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.codec.bicodec import BiCodec
from pipeline.weights.random_weights import make_random_weights
from pipeline.weights.weights import fingerprint_weights


def test_random_weights_are_the_same_every_time(random_weights: str, tmp_path: Path) -> None:
    make_random_weights(tmp_path / "again")
    assert fingerprint_weights(tmp_path / "again") == fingerprint_weights(Path(random_weights))


def test_random_audio_is_neither_silent_nor_clipped(random_weights: str) -> None:
    codec = BiCodec.load(random_weights)
    generator = torch.Generator().manual_seed(3)
    semantic = [torch.randint(0, 8192, (60,), generator=generator) for _ in range(2)]
    for waveform in codec.decode(semantic, torch.randint(0, 4096, (2, 32), generator=generator)):
        assert 0.05 < waveform.square().mean().sqrt() < 0.3 and waveform.abs().max() < 0.95
        assert abs(waveform.mean()) < 1e-3
    noise = 0.1 * torch.randn(16_000, generator=generator)
    tokens = codec.encode(noise, 16_000)
    assert len(tokens.global_tokens) == 32 and len(tokens.semantic_tokens) == 49
