"""What a complete checkpoint holds beside the paths of inference: the x-vector head and the feature post-network.

Training drives the codec through them; here they serve to recognize speakers and to hold the port to every number of
the official code. Shape suffixes: B batch, C channels, F frames, D width of the speaker vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.codec.checkpoint import BiCodecConfig
from pipeline.codec.decoder import FeatureDecoder
from pipeline.codec.speaker_encoder import NUM_ECAPA_LAYERS

ATTENTION_CHANNELS = 128  # fixed by the official code, not by its configuration
_SMALLEST_VARIANCE = 1e-7

HEAD_NAMES = {
    "x_vector_head.": "speaker_encoder.speaker_encoder.",
    "postnet.": "postnet.",
}
"""Our names for the heads, and the checkpoint's."""


class AttentiveStatistics(nn.Module):
    """Weighted mean and deviation over time; the weights see each frame beside the plain statistics."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Conv1d(3 * channels, ATTENTION_CHANNELS, kernel_size=1)
        self.linear2 = nn.Conv1d(ATTENTION_CHANNELS, channels, kernel_size=1)

    def forward(self, x_BCF: Tensor) -> Tensor:
        """Return (batch, 2 * channels)."""
        mean_BC1 = x_BCF.mean(dim=2, keepdim=True)
        # Unbiased, unlike the weighted deviation below.
        deviation_BC1 = (x_BCF.var(dim=2, keepdim=True, correction=1) + _SMALLEST_VARIANCE).sqrt()
        context = torch.cat([x_BCF, mean_BC1.expand_as(x_BCF), deviation_BC1.expand_as(x_BCF)], dim=1)
        weights_BCF = torch.softmax(self.linear2(torch.tanh(self.linear1(context))), dim=2)
        mean_BC = (weights_BCF * x_BCF).sum(dim=2)
        variance_BC = (weights_BCF * x_BCF.square()).sum(dim=2) - mean_BC.square()
        return torch.cat([mean_BC, variance_BC.clamp(min=_SMALLEST_VARIANCE).sqrt()], dim=1)


class XVectorHead(nn.Module):
    """The trunk's frame-wise latents to one vector for the speaker."""

    def __init__(self, out_dim: int, context_channels: int) -> None:
        super().__init__()
        self.pool = AttentiveStatistics(context_channels)
        self.bn = nn.BatchNorm1d(2 * context_channels)
        self.linear = nn.Linear(2 * context_channels, out_dim)

    def forward(self, latent_BCF: Tensor) -> Tensor:
        """Return (batch, out_dim)."""
        vector_BD: Tensor = self.linear(self.bn(self.pool(latent_BCF)))
        return vector_BD


class TrainingHeads(nn.Module):
    """Both heads, with the sizes of a configuration."""

    def __init__(self, config: BiCodecConfig) -> None:
        super().__init__()
        speaker = config.speaker_encoder
        self.x_vector_head = XVectorHead(speaker.out_dim, NUM_ECAPA_LAYERS * speaker.trunk_channels)
        self.postnet = FeatureDecoder(**config.postnet.model_dump())

    def predict_features(self, prenet_out_BCF: Tensor) -> Tensor:
        """Return the wav2vec2 features that the prenet's output stands for, (batch, channels, frames)."""
        features_BCF, _ = self.postnet(prenet_out_BCF, None)
        result: Tensor = features_BCF
        return result
