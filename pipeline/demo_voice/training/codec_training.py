"""Trains the decoding half of the codec: from phonetic tokens and a voice to sound.

Shape suffixes: B batch, F frames, S samples, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.codec.decoder import Snake
from pipeline.codec.networks import DecodeNetwork
from pipeline.codec.speaker_encoder import MelSpectrogram
from pipeline.codec.vocos import ConditionedLayerNorm, ConvNeXtBlock
from pipeline.demo_voice.training.corpus import Recording
from pipeline.demo_voice.training.phonetic_tokens import make_codebook
from pipeline.demo_voice.training.progress import Training
from pipeline.demo_voice.training.sizes import bicodec_config
from pipeline.demo_voice.training.wave_losses import Discriminators, SpectralLoss, deceive_losses, judge_loss

_CONTEXT_FRAMES = 64
_WAVE_FRAMES = 24
_MARGIN_FRAMES = 2
_SAMPLES = 320
_BATCH = 4
_WAVES_FROM, _ADVERSARIAL_FROM = 0.22, 0.8
_FEATURE_BATCH = 8
_LOW_BINS, _MELS = 96, 80
_PEAK_RATE, _JUDGE_RATE = 2e-3, 4e-4


def initialize(network: nn.Module) -> None:
    """Give values to the parameters that the inference code leaves empty."""
    for module in network.modules():
        if isinstance(module, Snake):
            nn.init.ones_(module.alpha)
        elif isinstance(module, ConvNeXtBlock):
            nn.init.constant_(module.gamma, 0.2)
        elif isinstance(module, ConditionedLayerNorm):
            for linear, bias in ((module.scale, 1.0), (module.shift, 0.0)):
                nn.init.normal_(linear.weight, std=0.02)
                nn.init.constant_(linear.bias, bias)


class SpectrumHead(nn.Module):
    """Reads log spectra off the prenet's output: cheap steps that teach it what to say before there is a wave."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mel = MelSpectrogram(16_000, 1024, 640, _SAMPLES, 0.0, None, _MELS)
        self.linear = nn.Linear(channels, _LOW_BINS + _MELS)

    def forward(self, features_BCF: Tensor, waveform_BS: Tensor) -> Tensor:
        """Return the mean distance to the spectra of the sound: low bins, which show the pitch, and mel bands."""
        mel_BMF = self.mel(waveform_BS)
        window = torch.hann_window(1024, device=waveform_BS.device)
        spectrum = torch.stft(waveform_BS, 1024, _SAMPLES, 1024, window, return_complex=True).abs()
        target_BFM = torch.cat([spectrum[:, :_LOW_BINS], mel_BMF], dim=1).clamp_min(1e-3).log().transpose(1, 2)
        predicted_BFM = self.linear(features_BCF.transpose(1, 2))
        # A frame's tokens are about its middle; the spectra stand at its edges.
        middle_BFM = (target_BFM[:, :-1] + target_BFM[:, 1:]) / 2
        return (predicted_BFM - middle_BFM).abs().mean()


class Batches:
    """Random stretches of recordings."""

    def __init__(self, recordings: Sequence[Recording], seed: int) -> None:
        self._recordings = [item for item in recordings if item.tokens.size >= _CONTEXT_FRAMES]
        self._rng = np.random.default_rng(seed)
        lengths = np.array([item.tokens.size for item in self._recordings])
        self._weights = lengths / lengths.sum()

    def next(self, count: int, num_frames: int) -> tuple[Tensor, Tensor, Tensor, int]:
        """Return tokens (B, F), global tokens (B, 1, 32), samples (B, S) of the inner frames, and their first frame.

        Args:
            count: B.
            num_frames: inner frames.
        """
        inner = int(self._rng.integers(0, _CONTEXT_FRAMES - num_frames + 1))
        tokens, voices, waves = [], [], []
        for index in self._rng.choice(len(self._recordings), count, p=self._weights):
            item = self._recordings[index]
            start = int(self._rng.integers(0, item.tokens.size - _CONTEXT_FRAMES + 1))
            tokens.append(item.tokens[start : start + _CONTEXT_FRAMES])
            voices.append(item.global_tokens[None])
            first = (start + inner) * _SAMPLES
            waves.append(item.waveform[first : first + num_frames * _SAMPLES] / np.float32(32_768))
        return (
            torch.from_numpy(np.stack(tokens)),
            torch.from_numpy(np.stack(voices)),
            torch.from_numpy(np.stack(waves)),
            inner,
        )


def train_decoder(folder: Path, recordings: Sequence[Recording], minutes: float, device: torch.device) -> DecodeNetwork:
    """Train for a time, going on where an earlier call was killed.

    Args:
        folder: for checkpoint and log.
        recordings: what to learn from.
        minutes: in all.
        device: to train on.

    Returns:
        The network, on the CPU.
    """
    torch.manual_seed(7)
    network = DecodeNetwork(bicodec_config())
    initialize(network)
    # The codes stay where they are put, so that the encoder can be trained to find them beside the decoder.
    network.semantic_lookup.codebook = nn.Embedding.from_pretrained(make_codebook(), freeze=True)
    judges, spectral = Discriminators().to(device), SpectralLoss().to(device)
    network.to(device)
    head = SpectrumHead(network.prenet.linear.out_features).to(device)
    maker = torch.optim.AdamW(
        [*network.parameters(), *head.parameters()], lr=_PEAK_RATE, betas=(0.8, 0.99), weight_decay=1e-3
    )
    critic = torch.optim.AdamW(judges.parameters(), lr=_JUDGE_RATE, betas=(0.8, 0.99), weight_decay=1e-3)
    states = {"network": network, "head": head, "judges": judges, "maker": maker, "critic": critic}
    training = Training(folder, "decoder", minutes, states)
    batches = Batches(recordings, training.step + 1)
    for _ in training.steps():
        training.set_rate(maker, _PEAK_RATE)
        with_waves = training.progress >= _WAVES_FROM
        batch = batches.next(*((_BATCH, _WAVE_FRAMES) if with_waves else (_FEATURE_BATCH, _CONTEXT_FRAMES)))
        tokens_BF, voices_B1N, target_BS = (tensor.to(device) for tensor in batch[:3])
        features_BCF, _ = network.make_features(tokens_BF, voices_B1N)
        values: dict[str, Tensor] = {}
        if not with_waves:
            loss = values["spectrum"] = head(features_BCF, target_BS)
        else:
            inner_BCF = features_BCF[..., batch[3] : batch[3] + _WAVE_FRAMES]
            generated_BS = network.wave_generator(inner_BCF)
            edge = _MARGIN_FRAMES * _SAMPLES
            generated_BS, heard_BS = generated_BS[:, edge:-edge], target_BS[:, edge:-edge]
            values["linear"], values["mel"], values["phased"] = spectral(generated_BS, heard_BS)
            values["spectrum"] = head(inner_BCF, target_BS)
            loss = values["linear"] + 2 * values["mel"] + 2 * values["phased"] + 0.5 * values["spectrum"]
            if training.progress >= _ADVERSARIAL_FROM:
                loss = loss + _play(judges, critic, generated_BS, heard_BS, values)
        maker.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        maker.step()
        training.log(rate=training.rate(_PEAK_RATE), **{name: value.item() for name, value in values.items()})
    return network.cpu()


def _play(
    judges: Discriminators,
    critic: torch.optim.Optimizer,
    generated_BS: Tensor,
    target_BS: Tensor,
    values: dict[str, Tensor],
) -> Tensor:
    """Teach the judges once, and return what the generator loses against them."""
    values["judge"] = judge_loss(judges(target_BS), judges(generated_BS.detach()))
    critic.zero_grad(set_to_none=True)
    values["judge"].backward()
    critic.step()
    judges.requires_grad_(False)
    with torch.no_grad():
        real = judges(target_BS)
    values["passing"], values["matching"] = deceive_losses(real, judges(generated_BS))
    judges.requires_grad_(True)
    return 0.1 * values["passing"] + 2 * values["matching"]
