"""A model directory loads whole and fitting, or not at all, with one class of error that says where and what."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from pipeline.benchmark import OFFICIAL_SIZES
from pipeline.codec import BiCodec
from pipeline.codec.checkpoint import BiCodecConfig, derived_shapes, read_config
from pipeline.codec.features import SpeechFeatures
from pipeline.codec.networks import DecodeNetwork, checkpoint_shapes
from pipeline.errors import ConfigError, WeightsError


@pytest.fixture(scope="module")
def official(reference):
    return json.loads((reference / "bicodec-official-keys.json").read_text())


def test_official_configuration_gives_the_official_tensors(official):
    config = read_config(OFFICIAL_SIZES / "BiCodec/config.yaml")
    assert config == BiCodecConfig.model_validate(official["config"])
    required, optional = checkpoint_shapes(config)
    ours = {name: shape for name, shape in {**required, **optional}.items() if name not in derived_shapes(config)}
    assert ours == {name: tuple(tensor["shape"]) for name, tensor in official["tensors"].items()}
    assert len(ours) == 840
    left_out = official["state_dict_but_not_in_published_file"]
    assert derived_shapes(config) == {name: tuple(tensor["shape"]) for name, tensor in left_out.items()}


def test_decoding_holds_the_official_number_of_parameters(official):
    with torch.device("meta"):
        network = DecodeNetwork(BiCodecConfig.model_validate(official["config"]))
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    folded_away = sum(
        tensor["shape"][0]
        for name, tensor in official["tensors"].items()
        if name.endswith("weight_g") and "in_project" not in name
    )
    assert num_parameters + folded_away == official["parameter_counts"]["needed_for_detokenize_only"]["parameters"]


def test_properties_follow_the_configuration(codec):
    assert (codec.sample_rate, codec.samples_per_frame, codec.num_global_tokens) == (16_000, 320, 32)
    assert (codec.semantic_codebook_size, codec.global_codebook_size) == (8192, 4096)


def test_the_bicodec_folder_itself_loads(tiny_copy):
    assert BiCodec.load(tiny_copy / "BiCodec").samples_per_frame == 320


def rewrite(model, change):
    path = model / "BiCodec/model.safetensors"
    tensors = load_file(path)
    change(tensors)
    path.unlink()
    save_file(tensors, path)


def delete(name):
    return lambda tensors: tensors.pop(name)


def put(name, tensor):
    return lambda tensors: tensors.update({name: tensor})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (delete("decoder.model.0.bias"), r"decoder\.model\.0\.bias: missing, expected shape \[48\]"),
        (delete("encoder.project.weight"), r"encoder\.project\.weight: missing"),
        (delete("decoder.model.0.weight_g"), r"decoder\.model\.0\.weight_g: missing"),
        (put("decoder.model.0.weight", torch.zeros(48, 36, 7)), r"decoder\.model\.0\.weight: unexpected"),
        (put("prenet.linear.bias", torch.zeros(35)), r"prenet\.linear\.bias: expected shape \[36\], found \[35\]"),
        (put("postnet.linear.bias", torch.zeros(35)), r"postnet\.linear\.bias: expected shape \[32\], found \[35\]"),
        (put("prenet.linear.bias", torch.full((36,), torch.nan)), r"prenet\.linear\.bias: holds NaN"),
        (put("prenet.linear.bias", torch.full((36,), torch.inf)), r"prenet\.linear\.bias: holds NaN or inf"),
        (put("prenet.linear.bias", torch.zeros(36, dtype=torch.int64)), r"expected floating-point"),
        (put("decoder.model.0.weight_v", torch.zeros(48, 36, 7)), r"decoder\.model\.0\.weight_v: holds NaN"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tiny_copy, change, message):
    rewrite(tiny_copy, change)
    with pytest.raises(WeightsError, match=message) as refusal:
        BiCodec.load(tiny_copy).prepare_decoding()
    assert str(tiny_copy / "BiCodec/model.safetensors") in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        put("mel_transformer.spectrogram.window", torch.zeros(640)),
        put("mel_transformer.mel_scale.fb", torch.zeros(513, 128)),
        delete("quantizer.cluster_size"),
        delete("speaker_encoder.speaker_encoder.layer1.bn.num_batches_tracked"),
        put("speaker_encoder.speaker_encoder.layer1.bn.num_batches_tracked", torch.tensor(7)),
        delete("speaker_encoder.speaker_encoder.linear.weight"),
    ],
)
def test_tensors_that_inference_does_not_need_may_come_or_go(tiny_copy, golden_decode, change):
    rewrite(tiny_copy, change)
    codec = BiCodec.load(tiny_copy)
    tokens, voice = golden_decode["len7.semantic_tokens"], golden_decode["len7.global_tokens"]
    expected = golden_decode["len7.wav"].flatten()
    torch.testing.assert_close(codec.decode(list(tokens), voice)[0], expected, atol=2e-5, rtol=0)
    assert codec._speaker_network is not None


@pytest.mark.parametrize("keep", [0, 5, 1000, 200_000])
def test_half_a_weight_file_is_refused(tiny_copy, keep):
    path = tiny_copy / "BiCodec/model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"model\.safetensors: not a complete safetensors file"):
        BiCodec.load(tiny_copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"audio_tokenizer: [", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"- 1", "expected a mapping"),
        (b"other: 1", "audio_tokenizer"),
        (b"audio_tokenizer: 3", "audio_tokenizer"),
    ],
)
def test_a_broken_configuration_is_refused(tiny_copy, content, message):
    (tiny_copy / "BiCodec/config.yaml").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        BiCodec.load(tiny_copy)


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        ("decoder", {"rates": [8, 5, 4]}, "same number of entries"),
        ("decoder", {"kernel_sizes": [4, 11, 8, 4]}, "must not be below"),
        ("decoder", {"channels": 8}, "cannot be halved 4 times"),
        ("decoder", {"channels": "many"}, r"audio_tokenizer\.decoder\.channels"),
        ("decoder", {"rates": [0, 5, 4, 2]}, r"audio_tokenizer\.decoder\.rates\.0"),
        ("prenet", {"out_channels": 35}, r"prenet\.out_channels is 35, but decoder\.input_channel is 36"),
        ("prenet", {"condition_dim": 35}, r"prenet\.condition_dim is 35"),
        ("prenet", {"vocos_dim": 48}, r"prenet\.downsample\.0\.1.*: expected shape \[48\], found \[32\]"),
        ("prenet", {"speling": 1}, r"audio_tokenizer\.prenet\.speling"),
        ("encoder", {"out_channels": 41}, r"encoder\.out_channels is 41"),
        ("speaker_encoder", {"fsq_levels": [4, 1]}, r"fsq_levels\.1"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(tiny_copy, part, settings, message):
    path = tiny_copy / "BiCodec/config.yaml"
    content = yaml.safe_load(path.read_text())
    content["audio_tokenizer"][part].update(settings)
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(WeightsError, match=message):
        BiCodec.load(tiny_copy)


@pytest.mark.parametrize("missing", ["config.yaml", "model.safetensors"])
def test_a_missing_file_is_named(tiny_copy, missing):
    (tiny_copy / "BiCodec" / missing).unlink()
    with pytest.raises(WeightsError, match=re.escape(f"BiCodec/{missing}")):
        BiCodec.load(tiny_copy)


def test_a_missing_directory_says_what_was_expected(tmp_path):
    with pytest.raises(WeightsError, match="no BiCodec folder; expected a Spark-TTS model directory"):
        BiCodec.load(tmp_path / "nowhere")


def test_float16_is_refused(reference):
    with pytest.raises(ConfigError, match="float16 gives garbage"):
        BiCodec.load(reference / "tiny", dtype=torch.float16)


def test_the_models_own_configuration_rules_the_reference_clip(tiny_copy):
    (tiny_copy / "config.yaml").write_text("ref_segment_duration: 3\nother: 1\n")
    assert BiCodec.load(tiny_copy)._reference.clip_samples == 48_000
    (tiny_copy / "config.yaml").write_text("ref_segment_duration: -1\n")
    with pytest.raises(WeightsError, match=r"config\.yaml: ref_segment_duration"):
        BiCodec.load(tiny_copy)


def test_encoding_leaves_the_decoder_on_disk(reference, golden_encode):
    codec = BiCodec.load(reference / "tiny")
    codec.encode(golden_encode["speech_short_16k.wav"], 16_000)
    assert "_decoder" not in vars(codec)
    codec.prepare_decoding()
    assert "_decoder" in vars(codec)


def test_importing_the_codec_imports_no_settings_and_no_other_part():
    command = "import sys, pipeline.codec.bicodec; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True, text=True).stdout.split()
    parts = {name.split(".")[1] for name in found if name.startswith("pipeline.")}
    assert {"codec", "errors"} <= parts <= {"codec", "audio", "config", "errors", "hardware"}
    settings = {name for name in found if name.startswith("pipeline.config.")}
    assert settings == {"pipeline.config.extras", "pipeline.config.figures", "pipeline.config.yaml_reader"}


def test_encoding_without_wav2vec2_says_what_is_missing(tiny_copy, golden_encode):
    codec = BiCodec.load(tiny_copy)
    with pytest.raises(WeightsError, match=r"wav2vec2-large-xlsr-53/config\.json: cannot read"):
        codec.encode(golden_encode["speech_short_16k.wav"], 16_000)


@pytest.fixture
def features_copy(reference, tmp_path):
    return shutil.copytree(reference / "tiny/wav2vec2-large-xlsr-53", tmp_path / "wav2vec2")


def load_features(directory):
    return SpeechFeatures.load(directory, torch.device("cpu"))


def test_the_published_pickle_of_the_pretraining_class_loads(features_copy, codec, golden_encode):
    path = features_copy / "model.safetensors"
    weights = {f"wav2vec2.{name}": tensor for name, tensor in load_file(path).items()}
    weights |= {"quantizer.codevectors": torch.zeros(1), "project_hid.bias": torch.zeros(1)}
    weights |= {"project_q.weight": torch.zeros(1), "wav2vec2.encoder.layers.23.final_layer_norm.bias": torch.zeros(1)}
    path.unlink()
    torch.save(weights, features_copy / "pytorch_model.bin")
    waveform = golden_encode["speech_short_16k.wav"].numpy()
    expected = codec._speech_features.extract(waveform)
    assert torch.equal(load_features(features_copy).extract(waveform), expected)


def test_official_wav2vec2_names_are_all_known(reference):
    from transformers import Wav2Vec2Model

    from pipeline.codec import features

    config = features._read_config(OFFICIAL_SIZES / "wav2vec2-large-xlsr-53/config.json")
    published = json.loads((reference / "wav2vec2-official-keys.json").read_text())["tensors"]
    with torch.device("meta"):
        network = Wav2Vec2Model(config)
        # One shared zero stands for each tensor, so that the test costs no memory.
        weights = {name: torch.zeros((), device="cpu").expand(shape) for name, shape in published.items()}
    features._fill(network, weights, reference)
    assert len(network.encoder.layers) == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (delete("encoder.layers.3.attention.k_proj.weight"), r"encoder\.layers\.3\.attention\.k_proj\.weight: missing"),
        (put("encoder.layers.3.extra", torch.zeros(1)), r"encoder\.layers\.3\.extra: unexpected"),
        (put("encoder.layers.3.layer_norm.bias", torch.zeros(31)), r"expected shape \[32\], found \[31\]"),
        (put("encoder.layers.3.layer_norm.bias", torch.full((32,), torch.nan)), r"layer_norm\.bias: holds NaN"),
    ],
)
def test_wav2vec2_weights_that_do_not_fit_are_refused(features_copy, change, message):
    path = features_copy / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    path.unlink()
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=message):
        load_features(features_copy)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "not a wav2vec2 configuration"),
        ("config.json", b"{}", "not a wav2vec2 configuration"),
        ("config.json", b'{"num_hidden_layers": 12}', "expected at least 16, found 12"),
        ("model.safetensors", b"\x00", "cannot be read"),
        ("pytorch_model.bin", b"not a pickle", "cannot be read"),
        ("pytorch_model.bin", b"", "cannot be read"),
    ],
)
def test_broken_wav2vec2_files_are_refused(features_copy, name, content, message):
    if name == "pytorch_model.bin":
        (features_copy / "model.safetensors").unlink()
    (features_copy / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        load_features(features_copy)


def test_wav2vec2_without_weights_is_refused(features_copy):
    (features_copy / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no model\.safetensors and no pytorch_model\.bin"):
        load_features(features_copy)


def test_a_pickle_that_runs_code_is_refused(features_copy, tmp_path):
    class Malice:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    (features_copy / "model.safetensors").unlink()
    torch.save({"wav2vec2.x": Malice()}, features_copy / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_features(features_copy)
    assert not (tmp_path / "owned").exists()
