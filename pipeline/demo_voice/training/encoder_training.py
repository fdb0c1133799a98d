"""Trains the encoding half of the codec: sound back to the tokens that it was made from.

The wav2vec2 front end is convolutions only: its transformer layers add nothing, as their outputs' weights are zero.

Shape suffixes: B batch, S samples, F frames, C channels, N global tokens, D dimensions of a code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Wav2Vec2Config, Wav2Vec2Model

from pipeline.codec.networks import SemanticNetwork, SpeakerNetwork
from pipeline.demo_voice.training.codec_training import initialize
from pipeline.demo_voice.training.corpus import Recording
from pipeline.demo_voice.training.phonetic_tokens import NUM_TOKENS, flatten_pitch
from pipeline.demo_voice.training.progress import Training
from pipeline.demo_voice.training.sizes import FEATURES, bicodec_config
from pipeline.demo_voice.training.voices import voice_digits

_BATCH, _FRAMES, _SAMPLES = 8, 120, 320
_CLIP_FRAMES = 300
_PEAK_RATE = 1.5e-3
_SHARPNESS = 40.0
"""Of the softmax over the cosines between a latent and the codebook: codes of one phone are .9 alike."""


class FrontEnd(nn.Module):
    """The wav2vec2 model whose transformer layers do nothing; float32."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Wav2Vec2Model(Wav2Vec2Config(**FEATURES))
        for layer in self.network.encoder.layers:
            for linear in (layer.attention.out_proj, layer.feed_forward.output_dense):
                nn.init.zeros_(linear.weight)
                nn.init.zeros_(linear.bias)
            layer.requires_grad_(False)

    def forward(self, waveform_BS: Tensor) -> Tensor:
        """Return (batch, channels, frames), the same as the mean of the three hidden states."""
        centered = waveform_BS - waveform_BS.mean(1, keepdim=True)
        standard_BS = centered / (centered.square().mean(1, keepdim=True) + 1e-7).sqrt()
        extracted = self.network.feature_extractor(standard_BS).transpose(1, 2)
        hidden_BFC, _ = self.network.feature_projection(extracted)
        hidden_BFC = hidden_BFC + self.network.encoder.pos_conv_embed(hidden_BFC)
        result: Tensor = hidden_BFC.transpose(1, 2)
        return result


def _disturb(waveform_BS: Tensor, rng: np.random.Generator) -> Tensor:
    """Change level and color a little, and add noise: recordings are not as clean as what we render."""
    gains = torch.from_numpy(np.exp(rng.normal(0, 0.5, len(waveform_BS)))).float()[:, None]
    levels = torch.from_numpy(10 ** rng.uniform(-4, -2, len(waveform_BS))).float()[:, None]
    tilt = float(rng.uniform(-0.3, 0.3))
    colored = waveform_BS + tilt * functional.pad(waveform_BS, (1, 0))[:, :-1]
    return colored * gains + levels * torch.randn_like(waveform_BS) * waveform_BS.std()


def train_semantic_encoder(
    folder: Path, recordings: Sequence[Recording], codebook: Tensor, minutes: float, device: torch.device
) -> tuple[FrontEnd, SemanticNetwork]:
    """Train front end, encoder and search against the decoder's own codebook.

    Args:
        folder: for checkpoint and log.
        recordings: what to learn from.
        codebook: (codes, dims) as the decoder uses it; stays as it is.
        minutes: in all.
        device: to train on.

    Returns:
        The networks, on the CPU.
    """
    torch.manual_seed(5)
    front, network = FrontEnd(), SemanticNetwork(bicodec_config())
    initialize(network)
    with torch.no_grad():
        network.semantic_search.codebook.weight.copy_(codebook)
    network.semantic_search.codebook.requires_grad_(False)
    both = nn.ModuleList([front, network]).to(device)
    parameters = [parameter for parameter in both.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=_PEAK_RATE, weight_decay=1e-3)
    training = Training(folder, "encoder", minutes, {"both": both, "optimizer": optimizer})
    rng = np.random.default_rng(training.step + 1)
    usable = [item for item in recordings if item.tokens.size > _FRAMES]
    directions_KD = functional.normalize(codebook[:NUM_TOKENS].to(device), dim=-1)
    # One constant pitch is rendered: no sound distinguishes a phone's steps, and any of them will do.
    sound_K = torch.from_numpy(flatten_pitch(np.arange(NUM_TOKENS))).to(device)
    alike_KK = (sound_K[:, None] == sound_K).float().log()
    for _ in training.steps():
        training.set_rate(optimizer, _PEAK_RATE)
        waves, targets = [], []
        for index in rng.integers(len(usable), size=_BATCH):
            item = usable[index]
            start = int(rng.integers(item.tokens.size - _FRAMES + 1))
            waves.append(item.waveform[start * _SAMPLES : (start + _FRAMES) * _SAMPLES] / np.float32(32_768))
            targets.append(flatten_pitch(item.tokens[start : start + _FRAMES - 1]))
        features_BCF = front(_disturb(torch.from_numpy(np.stack(waves)), rng).to(device))
        latent_BCF = network.feature_encoder(features_BCF)
        codes_BFD = functional.normalize(network.semantic_search.in_project(latent_BCF).transpose(1, 2), dim=-1)
        logits_BFK = _SHARPNESS * codes_BFD @ directions_KD.T
        target_BF = torch.from_numpy(np.stack(targets)).to(device)
        loss = (logits_BFK.logsumexp(-1) - (logits_BFK + alike_KK[target_BF]).logsumexp(-1)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        training.log(loss=loss.item(), right=float((sound_K[logits_BFK.argmax(-1)] == target_BF).float().mean()))
    return front.cpu().eval(), network.cpu().eval()


def train_speaker_encoder(
    folder: Path, recordings: Sequence[Recording], minutes: float, device: torch.device
) -> SpeakerNetwork:
    """Train the speaker encoder to write the global tokens that the voices were given.

    Args:
        folder: for checkpoint and log.
        recordings: what to learn from.
        minutes: in all.
        device: to train on.

    Returns:
        The network, on the CPU.
    """
    torch.manual_seed(6)
    network = SpeakerNetwork(bicodec_config()).to(device)
    encoder = network.speaker_encoder
    nn.init.normal_(encoder.perceiver.latents)
    nn.init.ones_(encoder.perceiver.norm.gamma)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_PEAK_RATE, weight_decay=1e-3)
    training = Training(folder, "speaker", minutes, {"network": network, "optimizer": optimizer})
    rng = np.random.default_rng(training.step + 1)
    half_width_D = encoder.scalars.levels_D // 2
    for _ in training.steps():
        training.set_rate(optimizer, _PEAK_RATE)
        waves, digits = [], []
        for index in rng.integers(len(recordings), size=_BATCH):
            item = recordings[index]
            # A repeated clip is what a short reference becomes, too.
            repeated = np.resize(item.waveform, max(item.waveform.size, _CLIP_FRAMES * _SAMPLES))
            start = int(rng.integers(repeated.size - _CLIP_FRAMES * _SAMPLES + 1))
            waves.append(repeated[start : start + _CLIP_FRAMES * _SAMPLES] / np.float32(32_768))
            digits.append(voice_digits(item.voice, item.pitch_hz))
        mel_BMF = network.mel(_disturb(torch.from_numpy(np.stack(waves)), rng).to(device))
        values_BND = encoder.project_in(encoder.perceiver(encoder.trunk(mel_BMF)))
        wanted_BND = torch.from_numpy(np.stack(digits)).to(device) - half_width_D
        bounded_BND = encoder.scalars.bound(values_BND)
        loss = (bounded_BND - wanted_BND).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        training.log(loss=loss.item(), right=float((bounded_BND.round() == wanted_BND).float().mean()))
    return network.cpu().eval()


def features_state(front: FrontEnd) -> dict[str, Any]:
    """Return the front end's tensors by their names in a checkpoint."""
    renamed = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = {}
    for name, tensor in front.network.state_dict().items():
        for ours, official in renamed.items():
            name = name.replace(ours, official)
        state[name] = tensor
    return state
