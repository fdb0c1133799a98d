"""The heads that inference never uses give the official code's numbers too."""

import pytest
import torch

from pipeline.audio.references import prepare_reference, read_reference, reference_clip
from pipeline.codec.checkpoint import expected_shapes
from pipeline.codec.networks import checkpoint_shapes
from tests.codec.training_heads import HEAD_NAMES, TrainingHeads

INNER_ATOL = 5e-5


@pytest.fixture(scope="module")
def heads(codec):
    with torch.device("meta"):
        network = TrainingHeads(codec.config)
    codec._checkpoint.load(network, HEAD_NAMES)
    return network


@pytest.mark.parametrize("clip", ["speech_long_16k", "speech_short_16k", "quiet_16k", "peaky_16k"])
def test_x_vectors_equal_the_official_ones(codec, heads, reference, golden_encode, clip):
    loaded = read_reference(reference / f"golden/clips/{clip}.wav", clip)
    waveform = reference_clip(prepare_reference(loaded.samples, loaded.sample_rate, clip))
    network = codec._speaker_network
    with torch.inference_mode():
        mel = network.mel(torch.from_numpy(waveform).float()[None])
        latent = network.speaker_encoder.trunk(mel)
        pooled = heads.x_vector_head.pool(latent)
        vector = heads.x_vector_head(latent)
    torch.testing.assert_close(vector, golden_encode[f"{clip}.x_vector"], atol=INNER_ATOL, rtol=0)
    if f"{clip}.ecapa.pool" in golden_encode:
        torch.testing.assert_close(pooled, golden_encode[f"{clip}.ecapa.pool"], atol=INNER_ATOL, rtol=0)
    if f"{clip}.ecapa.latent_mean" in golden_encode:
        mean = latent.mean(dim=2)
        torch.testing.assert_close(mean, golden_encode[f"{clip}.ecapa.latent_mean"], atol=INNER_ATOL, rtol=0)


def test_predicted_features_equal_the_official_ones(codec, heads, golden_encode):
    clip = "speech_short_16k"
    network = codec._decoder._network
    semantic = golden_encode[f"{clip}.semantic_tokens"]
    speaker = golden_encode[f"{clip}.global_tokens"].long()
    with torch.inference_mode():
        condition = network.speaker_lookup(speaker)
        prenet_out, _ = network.prenet(network.semantic_lookup(semantic), condition)
        features = heads.predict_features(prenet_out)
    torch.testing.assert_close(features, golden_encode[f"{clip}.forward.pred_feat"], atol=INNER_ATOL, rtol=0)


def test_the_heads_are_the_rest_of_the_checkpoint(codec):
    with torch.device("meta"):
        shapes = expected_shapes(TrainingHeads(codec.config), HEAD_NAMES)
    _, optional = checkpoint_shapes(codec.config)
    buffers = {"quantizer.cluster_size", "mel_transformer.spectrogram.window", "mel_transformer.mel_scale.fb"}
    counters = {name for name in optional if name.endswith("num_batches_tracked")}
    assert shapes.keys() | counters == optional.keys() - buffers
    assert all(optional[name] == shape for name, shape in shapes.items() if name in optional)
