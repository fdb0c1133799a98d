"""BiCodec's three networks, one for each thing it is loaded for, and the names of their tensors in a checkpoint.

Shape suffixes: B batch, F frames, Q residual quantizers, N global tokens of one quantizer, S samples, C channels, I
items, which are the rows where there are no spans.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from pipeline.codec.checkpoint import BiCodecConfig, Shape, derived_shapes, expected_shapes, unused_shapes
from pipeline.codec.decoder import FeatureDecoder, WaveGenerator
from pipeline.codec.encoder import FeatureEncoder
from pipeline.codec.quantizer import SemanticLookup, SemanticSearch
from pipeline.codec.spans import Spans, spread
from pipeline.codec.speaker_encoder import MelSpectrogram, SpeakerEncoder, SpeakerLookup

# Our names for the networks' parts, and the checkpoint's.
UPSTREAM_NAMES = {
    "semantic_lookup.": "quantizer.",
    "semantic_search.": "quantizer.",
    "feature_encoder.": "encoder.",
    "speaker_lookup.project_out.": "speaker_encoder.quantizer.project_out.",
    "speaker_lookup.project.": "speaker_encoder.project.",
    "speaker_encoder.trunk.": "speaker_encoder.speaker_encoder.",
    "speaker_encoder.perceiver.": "speaker_encoder.perceiver_sampler.",
    "speaker_encoder.project_in.": "speaker_encoder.quantizer.project_in.",
    "prenet.": "prenet.",
    "wave_generator.": "decoder.",
}


class DecodeNetwork(nn.Module):
    """Everything between tokens and samples, in float32."""

    def __init__(self, config: BiCodecConfig) -> None:
        super().__init__()
        quantizer, speaker = config.quantizer, config.speaker_encoder
        self.semantic_lookup = SemanticLookup(quantizer.input_dim, quantizer.codebook_size, quantizer.codebook_dim)
        self.speaker_lookup = SpeakerLookup(
            speaker.out_dim, speaker.latent_dim, speaker.token_num, speaker.fsq_levels, speaker.fsq_num_quantizers
        )
        self.prenet = FeatureDecoder(**config.prenet.model_dump())
        decoder = config.decoder
        self.wave_generator = WaveGenerator(
            decoder.input_channel, decoder.channels, decoder.rates, decoder.kernel_sizes
        )

    def forward(self, semantic_tokens_BF: Tensor, global_tokens_IQN: Tensor) -> Tensor:
        """Return (batch, samples); each row is an item."""
        features_BCF, _ = self.make_features(semantic_tokens_BF, global_tokens_IQN)
        waveform_BS: Tensor = self.wave_generator(features_BCF)
        return waveform_BS

    def make_features(
        self, semantic_tokens_BF: Tensor, global_tokens_IQN: Tensor, spans: Spans | None = None
    ) -> tuple[Tensor, Spans | None]:
        """Return the wave generator's input (batch, channels, frames), and the items' spans at its rate."""
        latent_BCF = self.semantic_lookup(semantic_tokens_BF)
        speaker_IC = self.speaker_lookup(global_tokens_IQN)
        features_BCF, spans = self.prenet(latent_BCF, speaker_IC, spans)
        return features_BCF + spread(speaker_IC, spans).transpose(1, 2), spans


class SemanticNetwork(nn.Module):
    """Wav2vec2 features to semantic tokens."""

    def __init__(self, config: BiCodecConfig) -> None:
        super().__init__()
        quantizer = config.quantizer
        self.feature_encoder = FeatureEncoder(**config.encoder.model_dump())
        self.semantic_search = SemanticSearch(quantizer.input_dim, quantizer.codebook_size, quantizer.codebook_dim)

    def forward(self, features_BCF: Tensor) -> Tensor:
        """Return (batch, frames) int64."""
        tokens_BF: Tensor = self.semantic_search(self.feature_encoder(features_BCF))
        return tokens_BF


class SpeakerNetwork(nn.Module):
    """A reference clip to global tokens."""

    def __init__(self, config: BiCodecConfig) -> None:
        super().__init__()
        speaker = config.speaker_encoder
        self.mel = MelSpectrogram(**config.mel_params.model_dump())
        self.speaker_encoder = SpeakerEncoder(
            speaker.input_dim,
            speaker.latent_dim,
            speaker.token_num,
            speaker.fsq_levels,
            speaker.fsq_num_quantizers,
            speaker.trunk_channels,
        )

    def forward(self, waveform_BS: Tensor) -> Tensor:
        """Return (batch, Q, N) int64."""
        tokens_BQN: Tensor = self.speaker_encoder(self.mel(waveform_BS))
        return tokens_BQN


# All networks are built for it: half of the time that a codec takes to load, and some processes load one many times.
@lru_cache(maxsize=4)
def checkpoint_shapes(config: BiCodecConfig) -> tuple[Mapping[str, Shape], Mapping[str, Shape]]:
    """Return names and shapes that a configuration's checkpoint must hold, and those that it may."""
    required: dict[str, Shape] = {}
    with torch.device("meta"):
        for network in (DecodeNetwork(config), SemanticNetwork(config), SpeakerNetwork(config)):
            required |= expected_shapes(network, UPSTREAM_NAMES)
    counters = {name: shape for name, shape in required.items() if name.endswith("num_batches_tracked")}
    optional = {**counters, **unused_shapes(config), **derived_shapes(config)}
    return {name: shape for name, shape in required.items() if name not in counters}, optional
