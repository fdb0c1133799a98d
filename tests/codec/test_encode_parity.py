"""Encoding gives the official code's tokens, and its numbers on the way."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.audio.references import prepare_reference, read_reference, reference_clip
from pipeline.codec import BiCodec
from pipeline.codec.features import _standardize
from pipeline.codec.vocos import SamplingBlock
from pipeline.errors import SpeakerError

CLIPS = ["speech_long_16k", "speech_short_16k", "stereo_44k", "quiet_16k", "peaky_16k"]
FULL_CLIPS = [clip for clip in CLIPS if clip != "stereo_44k"]
MEL_ATOL, FEATURES_ATOL, INNER_ATOL = 1e-6, 1e-4, 5e-5


@pytest.fixture(scope="module")
def prepare(reference):
    def prepare_clip(name: str) -> np.ndarray:
        loaded = read_reference(reference / f"golden/clips/{name}.wav", name)
        return prepare_reference(loaded.samples, loaded.sample_rate, name)

    return prepare_clip


@pytest.fixture(scope="module")
def recordings(reference):
    loaded = {name: read_reference(reference / f"golden/clips/{name}.wav", name) for name in CLIPS}
    return {name: (audio.samples, audio.sample_rate) for name, audio in loaded.items()}


@pytest.fixture(scope="module")
def tokens_of(codec, recordings):
    return {name: codec.encode(*recording) for name, recording in recordings.items()}


@pytest.mark.parametrize("clip", CLIPS)
def test_tokens_equal_the_official_ones(tokens_of, clip_facts, clip):
    tokens = tokens_of[clip]
    assert tokens.semantic_tokens.dtype == tokens.global_tokens.dtype == torch.int64
    assert tokens.semantic_tokens.tolist() == clip_facts[clip]["semantic_tokens"]
    assert tokens.global_tokens.tolist() == clip_facts[clip]["global_tokens"]


def test_a_speaker_needs_no_wav2vec2(tiny_copy, recordings, clip_facts):
    codec = BiCodec.load(tiny_copy)
    tokens = codec.encode_speaker(*recordings["speech_short_16k"])
    assert tokens.tolist() == clip_facts["speech_short_16k"]["global_tokens"]


def test_forms_of_the_same_audio_give_the_same_tokens(codec, recordings, tokens_of):
    samples, rate = recordings["peaky_16k"]
    expected = tokens_of["peaky_16k"].global_tokens
    pcm = np.round(samples * 32768).astype(np.int16)
    forms = [
        torch.from_numpy(samples),
        torch.from_numpy(samples)[None],
        np.stack([samples, samples * 0.1], axis=1),
        np.stack([samples, samples * 0.1]),
        pcm,
    ]
    for form in forms:
        assert torch.equal(codec.encode_speaker(form, rate), expected)


@pytest.mark.parametrize("clip", FULL_CLIPS)
def test_features_equal_the_official_ones(codec, prepare, golden_encode, clip):
    features = codec._speech_features.extract(prepare(clip)).transpose(1, 2)
    torch.testing.assert_close(features, golden_encode[f"{clip}.feats_mix"], atol=FEATURES_ATOL, rtol=0)


def test_hidden_states_equal_the_official_ones(codec, prepare, golden_encode):
    input_values = torch.from_numpy(_standardize(prepare("speech_short_16k")))[None]
    with torch.no_grad():
        states = codec._speech_features.network(input_values, output_hidden_states=True).hidden_states
    for index in (0, 11, 14, 16):
        expected = golden_encode[f"speech_short_16k.hidden_states.{index}"]
        torch.testing.assert_close(states[index], expected, atol=FEATURES_ATOL, rtol=0)


@pytest.mark.parametrize("clip", FULL_CLIPS)
def test_standardized_input_equals_the_official_one(prepare, golden_encode, clip):
    ours = torch.from_numpy(_standardize(prepare(clip)))[None, :256]
    torch.testing.assert_close(ours, golden_encode[f"{clip}.input_values_head256"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("clip", FULL_CLIPS)
def test_semantic_latents_equal_the_official_ones(codec, golden_encode, clip):
    network = codec._semantic_network
    with torch.no_grad():
        latent = network.feature_encoder(golden_encode[f"{clip}.feats_mix"].transpose(1, 2))
        code = network.semantic_search.in_project(latent)
    torch.testing.assert_close(latent, golden_encode[f"{clip}.z"], atol=INNER_ATOL, rtol=0)
    torch.testing.assert_close(code, golden_encode[f"{clip}.z_e"], atol=INNER_ATOL, rtol=0)
    unit = torch.nn.functional.normalize(code.transpose(1, 2), dim=-1)
    codebook = torch.nn.functional.normalize(network.semantic_search.codebook.weight, dim=-1)
    best = (unit @ codebook.T).topk(2, dim=-1).values
    margin = 2 * (best[..., 0] - best[..., 1])
    torch.testing.assert_close(margin, golden_encode[f"{clip}.semantic_margin"], atol=INNER_ATOL, rtol=0)


def test_encoder_stages_equal_the_official_ones(codec, golden_encode):
    encoder = codec._semantic_network.feature_encoder
    clip = "speech_short_16k"
    with torch.no_grad():
        hidden = encoder.encoder(golden_encode[f"{clip}.feats_mix"].transpose(1, 2))
        outputs = [hidden]
        for stage in encoder.downsample:
            resample, backbone = stage.children()
            outputs.append(backbone(resample(outputs[-1].transpose(1, 2))))
    for ours, name in zip(outputs, ("encoder", "downsample.0", "downsample"), strict=True):
        expected = golden_encode[f"{clip}.stage.encoder.{name}"]
        torch.testing.assert_close(ours, expected, atol=INNER_ATOL, rtol=0)


@pytest.mark.parametrize("clip", FULL_CLIPS)
def test_voice_stages_equal_the_official_ones(codec, prepare, golden_encode, clip_facts, clip):
    golden = {name.removeprefix(f"{clip}."): value for name, value in golden_encode.items() if name.startswith(clip)}
    network = codec._speaker_network
    encoder = network.speaker_encoder
    waveform = torch.from_numpy(reference_clip(prepare(clip)).astype(np.float32))[None]
    with torch.no_grad():
        mel = network.mel(waveform)
        context = encoder.trunk(mel)
        latents = encoder.perceiver(context)
        fsq_in = encoder.project_in(latents)
        bounded = encoder.scalars.bound(fsq_in)
        voice = codec._decoder._network.speaker_lookup(encoder.scalars.quantize(fsq_in))
    assert list(mel.shape) == clip_facts[clip]["mel_shape"]
    frames = golden_encode["mel_frames_index"]
    torch.testing.assert_close(mel[..., frames], golden["mel_frames"], atol=MEL_ATOL, rtol=0)
    assert mel.max().item() == pytest.approx(clip_facts[clip]["mel_max"], abs=MEL_ATOL)
    for ours, name in (
        (context.mean(dim=2), "ecapa.latent_mean"),
        (latents, "perceiver_out"),
        (fsq_in, "fsq_in"),
        (bounded, "fsq_bounded"),
        (voice, "d_vector"),
    ):
        if name in golden:
            torch.testing.assert_close(ours, golden[name], atol=INNER_ATOL, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def test_trunk_layers_equal_the_official_ones(codec, prepare, golden_encode):
    clip = "speech_short_16k"
    network = codec._speaker_network
    trunk = network.speaker_encoder.trunk
    waveform = torch.from_numpy(reference_clip(prepare(clip)).astype(np.float32))[None]
    with torch.no_grad():
        mel = network.mel(waveform)
        first = trunk.layer1(mel)
        second = trunk.layer2(first)
        fourth = trunk.layer4(trunk.layer3(second))
        latent = trunk(mel)
    for ours, name in ((first, "layer1"), (second, "layer2"), (fourth, "layer4"), (latent, "latent")):
        expected = golden_encode[f"{clip}.ecapa.{name}.frames0_6"]
        torch.testing.assert_close(ours[..., :6], expected, atol=INNER_ATOL, rtol=0)


@pytest.mark.parametrize("ratio", [2, 3, 4])
@pytest.mark.parametrize("num_frames", [12, 13, 14])
def test_downsampling_is_the_sum_of_a_convolution_and_two_averages(ratio, num_frames):
    torch.manual_seed(ratio)
    block = SamplingBlock(5, downsample_ratio=ratio)
    x = torch.randn(2, 5, num_frames)
    convolution = block.conv_downsampler[1]
    padding = ratio // 2 + ratio % 2
    padded = torch.nn.functional.pad(torch.where(x > 0, x, 0.2 * x), (padding, padding))
    windows = padded.unfold(2, 2 * ratio, ratio)[:, :, : num_frames // ratio]
    learned = (windows * convolution.weight[:, 0, None]).sum(-1) + convolution.bias[:, None]
    averages = x[..., : num_frames // ratio * ratio].unflatten(2, (-1, ratio)).mean(-1)
    torch.testing.assert_close(block(x), learned + 2 * averages, atol=1e-6, rtol=0)


def test_a_checkpoint_of_other_rates_encodes(write_checkpoint, reference, recordings):
    """Ratio 2 halves the semantic frames; residual quantizers multiply the global tokens."""
    model = write_checkpoint(
        {
            "encoder": {"sample_ratios": [2, 1]},
            "prenet": {"sample_ratios": [1, 2]},
            "speaker_encoder": {"token_num": 5, "fsq_levels": [5, 4, 3], "fsq_num_quantizers": 2},
        }
    )
    (model / "wav2vec2-large-xlsr-53").symlink_to(reference / "tiny/wav2vec2-large-xlsr-53")
    codec = BiCodec.load(model)
    tokens = codec.encode(*recordings["speech_short_16k"])
    assert tokens.semantic_tokens.shape == (103 // 2,)
    assert tokens.global_tokens.shape == (codec.num_global_tokens,) == (10,)
    assert int(tokens.global_tokens.max()) < codec.global_codebook_size == 60
    waveform = codec.decode([tokens.semantic_tokens], tokens.global_tokens[None])[0]
    assert waveform.shape == (51 * 640,)
    waveform.mul_(0.5)  # a plain tensor: callers may work on it in place


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(16_000), "audio: silent"),
        (np.zeros(0), "audio: expected|audio: holds no samples"),
        (np.zeros((0, 2)), "audio: expected one channel"),
        (np.full(16_000, np.nan), "audio: holds NaN"),
        (np.ones(100), "expected at least 400"),
        (np.ones(16_000, dtype=np.uint8), "expected floats or signed integers, got uint8"),
        (np.ones((2, 3, 400)), "audio: expected one channel"),
    ],
)
def test_audio_that_holds_no_voice_is_refused(codec, audio, message):
    with pytest.raises(SpeakerError, match=message):
        codec.encode(audio, 16_000)


def test_decoding_imports_no_transformers():
    code = "import sys, pipeline.codec.bicodec; sys.exit('transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
