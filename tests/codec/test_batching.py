"""No item's audio depends on its neighbors, at the reference's sizes and at others."""

import pytest
import torch
from torch.nn import functional

from pipeline.codec import BiCodec, fused_generator, packed_generator
from pipeline.codec import vocos as vocos_module
from tests.codec import decoding
from tests.codec.decoding import AUDIO_ATOL, OTHER_SIZES, decode_each, largest_difference, make_tokens

LENGTHS = (5, 48, 1, 31, 40)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3)])
def test_items_of_a_pack_equal_each_in_isolation(codec, pack_codec, order):
    semantic, voices = make_tokens(codec, LENGTHS)
    isolated = decode_each(codec, semantic, voices)
    assert len(pack_codec._decoder.decoder.fill(LENGTHS).places) == len(LENGTHS)
    together = pack_codec.decode([semantic[row] for row in order], voices[list(order)])
    assert largest_difference(together, [isolated[row] for row in order]) <= AUDIO_ATOL


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_neighbors_change_no_bit(reference, dtype, either_way):
    codec = either_way(BiCodec.load(reference / "tiny", dtype=dtype))
    semantic, voices = make_tokens(codec, (5, 32, 1, 31, 20, 17, 32, 2))
    expected = codec.decode(semantic, voices)
    for shift in (1, 6):
        order = [(row + shift) % 8 for row in range(8)]
        moved = codec.decode([semantic[row] for row in order], voices[order])
        assert all(torch.equal(waveform, expected[row]) for row, waveform in zip(order, moved, strict=True))
    for row in (0, 5):
        assert torch.equal(codec.decode([semantic[row]], voices[row : row + 1])[0], expected[row])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_cpu_neighbors_change_no_bit(reference, dtype):
    codec = BiCodec.load(reference / "tiny", dtype=dtype)
    semantic, voices = make_tokens(codec, LENGTHS)
    isolated = decode_each(codec, semantic, voices)
    assert largest_difference(codec.decode(semantic, voices), isolated) == 0.0


@pytest.mark.parametrize("stretch_floats", [1, 3_000, 1 << 16])
def test_stretches_of_any_length_give_the_same_audio(reference, monkeypatch, stretch_floats):
    expected_codec = BiCodec.load(reference / "tiny")
    semantic, voices = make_tokens(expected_codec, LENGTHS if stretch_floats > 1 else (5, 1))
    expected = expected_codec.decode(semantic, voices)
    monkeypatch.setattr(packed_generator, "_STRETCH_FLOATS", stretch_floats)
    codec = BiCodec.load(reference / "tiny")
    assert largest_difference(codec.decode(semantic, voices), expected) <= AUDIO_ATOL


def test_without_onednn_the_plain_convolutions_give_the_same_audio(reference, monkeypatch):
    expected_codec = BiCodec.load(reference / "tiny")
    semantic, voices = make_tokens(expected_codec, LENGTHS)
    expected = expected_codec.decode(semantic, voices)
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    codec = BiCodec.load(reference / "tiny")
    assert codec._decoder._generate._first._packed is None
    assert largest_difference(codec.decode(semantic, voices), expected) <= AUDIO_ATOL


_CONVOLVE = decoding.plain_convolve


def convolve_unmasked(*arguments, inside_S=None, **options):
    _CONVOLVE(*arguments, **options)


UNMASKED = {
    "prenet": (vocos_module, "zero_outside", lambda x, spans: x),
    "entrance": (fused_generator, "zero_outside", lambda x, spans: x),
    "activation": (decoding, "plain_convolve", convolve_unmasked),
}


@pytest.mark.parametrize("name", UNMASKED)
def test_without_the_masks_neighbors_are_heard(codec, pack_codec, monkeypatch, name):
    semantic, voices = make_tokens(codec, (20, 48))
    isolated = decode_each(codec, semantic, voices)
    monkeypatch.setattr(*UNMASKED[name])
    assert largest_difference(pack_codec.decode(semantic, voices), isolated) > 1e-3


def test_poison_behind_every_mask_is_never_heard(pack_codec, monkeypatch):
    """What a convolution computes outside of the items is thrown away, be it ever so large."""
    semantic, voices = make_tokens(pack_codec, (20, 48))
    expected = pack_codec.decode(semantic, voices)

    def poison(x, inside):
        return (x + 1e6 * (1 - inside)) * inside

    def poison_stream(*arguments, inside_S=None, stream_SO=None, **options):
        _CONVOLVE(*arguments, inside_S=inside_S, stream_SO=stream_SO, **options)
        if stream_SO is not None:
            stream_SO[inside_S == 0] = 1e6

    for module in (vocos_module, fused_generator):
        monkeypatch.setattr(module, "zero_outside", lambda x, spans: poison(x, spans.inside_B1F))
    monkeypatch.setattr(decoding, "plain_convolve", poison_stream)
    assert largest_difference(pack_codec.decode(semantic, voices), expected) == 0.0


@pytest.mark.parametrize("name", OTHER_SIZES)
def test_other_sizes_equal_a_plain_reading_of_the_checkpoint(write_checkpoint, name, either_way):
    """Batched decoding against an unbatched decoder written a second time, straight from the tensors' names."""
    codec = either_way(BiCodec.load(write_checkpoint(OTHER_SIZES[name])))
    semantic, voices = make_tokens(codec, (9, 23, 1, 14))
    together = codec.decode(semantic, voices)
    expected = [PlainDecoder(codec).decode(tokens, voices[row]) for row, tokens in enumerate(semantic)]
    assert [waveform.numel() for waveform in together] == [len(t) * codec.samples_per_frame for t in semantic]
    assert largest_difference(together, expected) <= AUDIO_ATOL
    assert all(0.005 < waveform.std() and waveform.abs().max() < 0.999 for waveform in together[:2])


def test_a_stage_whose_kernel_leaves_an_extra_sample_is_decoded_as_in_isolation(write_checkpoint, either_way):
    codec = either_way(BiCodec.load(write_checkpoint({"decoder": {"rates": [3, 2], "kernel_sizes": [6, 5]}})))
    semantic, voices = make_tokens(codec, (9, 23))
    assert codec.samples_per_frame == 6
    isolated = decode_each(codec, semantic, voices)
    assert largest_difference(codec.decode(semantic, voices), isolated) <= AUDIO_ATOL
    plain = PlainDecoder(codec).decode(semantic[0], voices[0])
    assert (isolated[0] - plain[: isolated[0].numel()]).abs().max() <= AUDIO_ATOL


class PlainDecoder:
    """The official decoding, unbatched and unmasked, from the checkpoint's tensors only."""

    def __init__(self, codec):
        from safetensors.torch import load_file

        self.config = codec.config
        self.tensors = load_file(codec._checkpoint.path)

    def decode(self, semantic, voice):
        config, get = self.config, self.tensors.__getitem__
        x = get("quantizer.codebook.weight")[semantic].T[None]
        if "quantizer.out_project.bias" in self.tensors:
            x = functional.conv1d(x, self.weight("quantizer.out_project"), get("quantizer.out_project.bias"))
        speaker = self.speaker(voice)
        x = self.linear("prenet.linear_pre", x.transpose(1, 2)).transpose(1, 2)
        for index, ratio in enumerate(config.prenet.sample_ratios):
            stage = f"prenet.downsample.{index}"
            x = self.backbone(f"{stage}.1", self.upsample(f"{stage}.0.de_conv_upsampler.1", x, ratio), None)
        condition = None if config.prenet.condition_dim is None else speaker
        x = self.backbone("prenet.vocos_backbone", x, condition)
        x = self.linear("prenet.linear", x.transpose(1, 2)).transpose(1, 2)
        x = (x.tanh() if config.prenet.use_tanh_at_final else x) + speaker[..., None]
        return self.generate(x)

    def speaker(self, voice):
        config = self.config.speaker_encoder
        codes = torch.zeros(config.token_num, len(config.fsq_levels))
        for position, token in enumerate(voice.tolist()):
            quantizer, latent = divmod(position, config.token_num)
            for axis, levels in enumerate(config.fsq_levels):
                token, digit = divmod(token, levels)
                codes[latent, axis] += (digit - levels // 2) / (levels // 2) * (levels - 1.0) ** -quantizer
        if "speaker_encoder.quantizer.project_out.weight" in self.tensors:
            codes = self.linear("speaker_encoder.quantizer.project_out", codes)
        return self.linear("speaker_encoder.project", codes.T.reshape(1, -1))

    def generate(self, x):
        decoder = self.config.decoder
        x = self.conv("decoder.model.0", x, padding=3)
        for index, (rate, kernel) in enumerate(zip(decoder.rates, decoder.kernel_sizes, strict=True), start=1):
            block = f"decoder.model.{index}.block"
            weight, bias = self.weight(f"{block}.1"), self.tensors[f"{block}.1.bias"]
            x = self.snake(f"{block}.0", x)
            x = functional.conv_transpose1d(x, weight, bias, stride=rate, padding=(kernel - rate) // 2)
            for unit, dilation in ((2, 1), (3, 3), (4, 9)):
                inner = f"{block}.{unit}.block"
                y = self.conv(f"{inner}.1", self.snake(f"{inner}.0", x), padding=3 * dilation, dilation=dilation)
                x = x + self.conv(f"{inner}.3", self.snake(f"{inner}.2", y))
        last = len(decoder.rates) + 1
        x = self.conv(f"decoder.model.{last + 1}", self.snake(f"decoder.model.{last}", x), padding=3)
        return x.tanh().flatten()

    def upsample(self, name, x, ratio):
        if ratio == 1:
            return 3 * x
        channels, odd = x.shape[1], ratio % 2
        learned = functional.conv_transpose1d(
            functional.leaky_relu(x, 0.2),
            self.tensors[f"{name}.weight"],
            self.tensors[f"{name}.bias"],
            stride=ratio,
            padding=ratio // 2 + odd,
            output_padding=odd,
            groups=channels,
        )
        repeated = torch.stack([x] * ratio, dim=-1).flatten(2)
        return 3 * repeated + 2 * learned

    def backbone(self, name, x, condition):
        x = self.plain_conv(f"{name}.embed", x)
        x = self.norm(f"{name}.norm", x.transpose(1, 2), condition).transpose(1, 2)
        layers = {key.split(".convnext.")[1].split(".")[0] for key in self.tensors if f"{name}.convnext." in key}
        for index in range(len(layers)):
            block = f"{name}.convnext.{index}"
            y = self.plain_conv(f"{block}.dwconv", x, groups=x.shape[1]).transpose(1, 2)
            y = self.linear(f"{block}.pwconv1", self.norm(f"{block}.norm", y, condition))
            y = self.tensors[f"{block}.gamma"] * self.linear(f"{block}.pwconv2", functional.gelu(y))
            x = x + y.transpose(1, 2)
        return self.norm(f"{name}.final_layer_norm", x.transpose(1, 2), None).transpose(1, 2)

    def norm(self, name, x, condition):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-6).sqrt()
        if condition is None:
            return x * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]
        return x * self.linear(f"{name}.scale", condition) + self.linear(f"{name}.shift", condition)

    def linear(self, name, x):
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def plain_conv(self, name, x, groups=1):
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return functional.conv1d(x, weight, bias, padding=3, groups=groups)

    def conv(self, name, x, **options):
        return functional.conv1d(x, self.weight(name), self.tensors[f"{name}.bias"], **options)

    def weight(self, name):
        return torch._weight_norm(self.tensors[f"{name}.weight_v"], self.tensors[f"{name}.weight_g"], 0)

    def snake(self, name, x):
        alpha = self.tensors[f"{name}.alpha"]
        return x + torch.sin(alpha * x) ** 2 / (alpha + 1e-9)


@pytest.mark.parametrize(
    ("lengths", "voices", "message"),
    [
        ([3, 0], (2, 32), r"semantic_tokens\[1\]: expected \(num_frames,\)"),
        ([3, 4], (1, 32), "one row of global tokens for each item"),
        ([3], (1, 31), "expected shape"),
        ([3], (32,), "expected shape"),
    ],
)
def test_wrong_numbers_of_tokens_are_refused(codec, lengths, voices, message):
    semantic = [torch.zeros(length, dtype=torch.int64) for length in lengths]
    with pytest.raises(ValueError, match=message):
        codec.decode(semantic, torch.zeros(voices, dtype=torch.int64))


@pytest.mark.parametrize(("semantic", "voice"), [(8192, 0), (-1, 0), (0, 4096), (0, -1)])
def test_tokens_outside_their_codebook_are_refused(codec, semantic, voice):
    """The official code silently reads -1 as an all-zero voice."""
    with pytest.raises(ValueError, match="outside its codebook"):
        codec.decode([torch.tensor([0, semantic])], torch.full((1, 32), voice))


def test_tokens_must_be_integers(codec):
    with pytest.raises(ValueError, match="expected int64 tokens"):
        codec.decode([torch.zeros(3)], torch.zeros(1, 32, dtype=torch.int64))


def test_nothing_decodes_to_nothing(codec):
    assert codec.decode([], torch.zeros(0, 32, dtype=torch.int64)) == []
