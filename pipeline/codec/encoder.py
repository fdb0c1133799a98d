"""From wav2vec2 features to the latent that the semantic codebook quantizes.

Shape suffixes: B batch, C channels, F frames.

Source: Spark-TTS, arXiv 2503.01710; compared with it by tests/codec/test_encode_parity.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pipeline.codec.vocos import SamplingBlock, VocosBackbone

_SAMPLING_LAYERS = 2


class FeatureEncoder(nn.Module):
    """A backbone, then sampling stages, each followed by a backbone of two blocks, then a projection.

    Items of different lengths go through one by one: nothing here masks padding.

    Args:
        input_channels: channels of the features.
        vocos_dim: channels inside.
        vocos_intermediate_dim: width of the blocks' perceptrons.
        vocos_num_layers: blocks of the first backbone.
        out_channels: channels of the latent.
        sample_ratios: downsampling factor of each sampling stage.
    """

    def __init__(
        self,
        input_channels: int,
        vocos_dim: int,
        vocos_intermediate_dim: int,
        vocos_num_layers: int,
        out_channels: int,
        sample_ratios: Sequence[int],
    ) -> None:
        super().__init__()
        self.encoder = VocosBackbone(input_channels, vocos_dim, vocos_intermediate_dim, vocos_num_layers)
        self.downsample = nn.ModuleList(
            nn.ModuleList(
                [
                    SamplingBlock(vocos_dim, downsample_ratio=ratio),
                    VocosBackbone(vocos_dim, vocos_dim, vocos_intermediate_dim, _SAMPLING_LAYERS),
                ]
            )
            for ratio in sample_ratios
        )
        self.project = nn.Linear(vocos_dim, out_channels)

    def forward(self, features_BCF: Tensor) -> Tensor:
        """Return the latent, (batch, out_channels, frames // product of ratios)."""
        x_BFC = self.encoder(features_BCF)
        for stage in self.downsample:
            resample, backbone = stage.children()
            x_BFC = backbone(resample(x_BFC.transpose(1, 2)))
        latent_BFC: Tensor = self.project(x_BFC)
        return latent_BFC.transpose(1, 2)
