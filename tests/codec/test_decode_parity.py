"""Decoding gives the official code's numbers, from the lookup to the last sample."""

import pytest
import torch
from torch import nn

from pipeline.codec.quantizer import FiniteScalars
from pipeline.codec.vocos import PlainLayerNorm

AUDIO_ATOL = 2e-5
INNER_ATOL = 5e-5


@pytest.mark.parametrize("case", ["len1", "len7", "len50", "len173", "batch3x16", "corners"])
@pytest.mark.parametrize("way", ["codec", "pack_codec"])
def test_waveform_equals_the_official_one(request, way, golden_decode, case):
    codec = request.getfixturevalue(way)
    waveforms = codec.decode(
        list(golden_decode[f"{case}.semantic_tokens"]), golden_decode[f"{case}.global_tokens"].squeeze(1)
    )
    expected = golden_decode[f"{case}.wav"].squeeze(1)
    assert torch.stack(waveforms).shape == expected.shape
    torch.testing.assert_close(torch.stack(waveforms), expected, atol=AUDIO_ATOL, rtol=0)


def test_global_tokens_may_keep_the_official_quantizer_axis(codec, golden_decode):
    semantic = list(golden_decode["batch3x16.semantic_tokens"])
    with_axis = codec.decode(semantic, golden_decode["batch3x16.global_tokens"])
    without = codec.decode(semantic, golden_decode["batch3x16.global_tokens"].squeeze(1))
    assert all(torch.equal(a, b) for a, b in zip(with_axis, without, strict=True))


@pytest.fixture(scope="module")
def stages(pack_codec, golden_decode):
    """Every module's output for the case `len7`, by its name in the checkpoint."""
    network = pack_codec._decoder.decoder._network
    outputs: dict[str, torch.Tensor] = {}
    upstream = {"prenet": network.prenet, "decoder": network.wave_generator}

    def record(name: str, module: nn.Module):
        def hook(_module, _inputs, output):
            outputs[name] = output[0] if isinstance(output, tuple) else output

        return module.register_forward_hook(hook)

    handles = [
        record(f"{root}.{name}", module)
        for root, parent in upstream.items()
        for name, module in parent.named_modules()
        if name
    ]
    handles += [record("semantic", network.semantic_lookup), record("speaker", network.speaker_lookup)]
    handles += [record("prenet", network.prenet)]
    with torch.no_grad():
        network(golden_decode["len7.semantic_tokens"].long(), golden_decode["len7.global_tokens"].long())
    for handle in handles:
        handle.remove()
    return outputs


@pytest.mark.parametrize(
    "stage",
    [
        "prenet.linear_pre",
        "prenet.downsample.0.0",
        "prenet.vocos_backbone",
        "prenet.vocos_backbone.embed",
        "prenet.vocos_backbone.norm",
        "prenet.vocos_backbone.convnext.0",
        *(f"decoder.model.{index}" for index in range(7)),
    ],
)
def test_stage_equals_the_official_one(stages, golden_decode, stage):
    torch.testing.assert_close(stages[stage], golden_decode[f"len7.stage.{stage}"], atol=INNER_ATOL, rtol=0)


@pytest.mark.parametrize("index", [0, 1])
def test_sampling_stage_equals_the_official_one(stages, golden_decode, index):
    ours = stages[f"prenet.downsample.{index}.1"]
    torch.testing.assert_close(ours, golden_decode[f"len7.stage.prenet.downsample.{index}"], atol=INNER_ATOL, rtol=0)


@pytest.mark.parametrize(("ours", "official"), [("semantic", "z_q"), ("speaker", "d_vector"), ("prenet", "prenet_out")])
def test_latents_equal_the_official_ones(stages, golden_decode, ours, official):
    torch.testing.assert_close(stages[ours], golden_decode[f"len7.{official}"], atol=INNER_ATOL, rtol=0)


def test_finite_scalars_equal_the_official_ones(codec, golden_decode):
    lookup = codec._decoder._network.speaker_lookup
    codes = lookup.scalars.dequantize(golden_decode["len7.global_tokens"])
    assert torch.equal(codes, golden_decode["len7.fsq_codes"])
    projected = lookup.project_out(codes)
    torch.testing.assert_close(projected, golden_decode["len7.fsq_projected"], atol=INNER_ATOL, rtol=0)


@pytest.mark.parametrize(("levels", "num_quantizers"), [([4] * 6, 1), ([8, 5, 3], 1), ([5, 4, 7, 2], 1), ([3, 3], 3)])
def test_every_global_id_survives_the_round_trip(levels, num_quantizers):
    scalars = FiniteScalars(levels, num_quantizers)
    size = int(torch.tensor(levels).prod())
    ids = torch.arange(size)[None, None].repeat(1, num_quantizers, 1)
    if num_quantizers > 1:
        ids[:, 1:] = size // 2
    codes = scalars.dequantize(ids)
    # Undo the squashing, so that quantizing sees what it would have squashed to these codes.
    half = (scalars.levels_D - 1) * 1.001 / 2
    offset = torch.where(scalars.levels_D % 2 == 0, 0.5, 0.0)
    values = torch.atanh((codes * (scalars.levels_D // 2) + offset) / half) - torch.atanh(offset / half)
    assert torch.equal(scalars.quantize(values)[:, 0], ids[:, 0])


def test_layer_norm_epsilon_is_the_official_one():
    """With 1e-5 in its place the audio moves by 3.7e-5 only: too little for a wide tolerance to notice."""
    assert PlainLayerNorm(4).eps == 1e-6


def test_decode_loads_the_decode_parameters_alone(codec, golden_decode, reference):
    from pipeline.codec import BiCodec

    fresh = BiCodec.load(reference / "tiny")
    fresh.decode(list(golden_decode["len1.semantic_tokens"]), golden_decode["len1.global_tokens"].squeeze(1))
    assert not {"_semantic_network", "_speaker_network", "_speech_features"} & set(vars(fresh))
