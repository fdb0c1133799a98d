"""The convolution in fewer multiplications is the plain one, up to a rounding far below what can be heard."""

import pytest
import torch
from torch.nn import functional

from pipeline.codec import BiCodec, packed_generator, winograd
from pipeline.codec.cpu_kernels import SnakeParameters
from pipeline.codec.winograd import WinogradConvolution


def error_db(values, expected):
    return 10 * torch.log10((values - expected).square().mean() / expected.square().mean()).item()


def make_weights(num_taps, dtype=torch.float32, channels=(40, 24)):
    generator = torch.Generator().manual_seed(num_taps)
    input_channels, output_channels = channels
    weight = torch.randn(output_channels, input_channels, num_taps, generator=generator, dtype=torch.float64)
    return (weight / (input_channels * num_taps) ** 0.5).to(dtype), torch.randn(output_channels, dtype=dtype)


def run(convolution, x):
    y = torch.empty(len(x) - convolution.reach, convolution.output_channels, dtype=x.dtype)
    convolution(x, SnakeParameters.nothing(convolution.output_channels), y)
    return y


def plain(x, weight, bias, dilation):
    return functional.conv1d(x.double().t()[None], weight.double(), bias.double(), dilation=dilation)[0].t()


@pytest.mark.parametrize("dilation", [1, 3, 9])
@pytest.mark.parametrize("num_taps", sorted(winograd._OUTPUTS))
def test_equals_the_plain_convolution(num_taps, dilation):
    weight, bias = make_weights(num_taps)
    convolution = WinogradConvolution(weight, bias, dilation)
    for num_tiles in (1, 4):
        x = torch.randn(num_tiles * convolution.step + convolution.reach, 40)
        assert error_db(run(convolution, x), plain(x, weight, bias, dilation)) < -85


@pytest.mark.parametrize("num_taps", sorted(winograd._OUTPUTS))
def test_is_exact_but_for_rounding(num_taps):
    """In float64 nothing is left of the difference, so that it is no approximation."""
    weight, bias = make_weights(num_taps, torch.float64)
    convolution = WinogradConvolution(weight, bias, 3)
    x = torch.randn(2 * convolution.step + convolution.reach, 40, dtype=torch.float64)
    assert error_db(run(convolution, x), plain(x, weight, bias, 3)) < -250


def test_a_loud_neighborhood_drowns_no_quiet_one():
    """Rounding stays with the tile that it comes from: rows away from a click keep their precision."""
    weight, bias = make_weights(7)
    convolution = WinogradConvolution(weight, torch.zeros_like(bias), 9)
    x = torch.randn(4 * convolution.step + convolution.reach, 40) * 1e-3
    x[:54] *= 1e6
    y = run(convolution, x)[convolution.step :]
    expected = plain(x, weight, torch.zeros_like(bias), 9)[convolution.step :]
    assert error_db(y, expected) < -85


def test_as_many_threads_as_there_are_change_no_bit():
    weight, bias = make_weights(7, channels=(96, 96))
    convolution = WinogradConvolution(weight, bias, 3)
    x = torch.randn(40 * convolution.step + convolution.reach, 96)
    threads = torch.get_num_threads()
    try:
        results = []
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append(run(convolution, x))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


@pytest.mark.parametrize(
    ("shape", "dtype", "faster"),
    [
        ((96, 96, 7), torch.float32, True),
        ((96, 96, 7), torch.bfloat16, False),
        ((16, 96, 7), torch.float32, False),
        ((96, 16, 7), torch.float32, False),
        ((512, 512, 5), torch.float32, False),
    ],
)
def test_is_taken_where_it_pays_and_keeps_the_audio(shape, dtype, faster):
    assert winograd.is_faster(torch.zeros(shape, dtype=dtype)) is faster


@pytest.mark.parametrize("rows", [1, 40, 256])
def test_audio_stays_within_80_db_of_the_plain_way(reference, monkeypatch, rows):
    plainly = BiCodec.load(reference / "tiny")
    generator = torch.Generator().manual_seed(0)
    semantic = [torch.randint(plainly.semantic_codebook_size, (n,), generator=generator) for n in (1, 2, 11)]
    voices = torch.randint(plainly.global_codebook_size, (3, plainly.num_global_tokens), generator=generator)
    expected = plainly.decode(semantic, voices)
    monkeypatch.setattr(winograd, "_LEAST_CHANNELS", dict.fromkeys(winograd._OUTPUTS, 1))
    monkeypatch.setattr(winograd, "_ROWS", rows)
    monkeypatch.setattr(packed_generator, "_STRETCH_FLOATS", rows * 1_024)
    codec = BiCodec.load(reference / "tiny")
    stages = codec._decoder._generate._stages
    assert all(isinstance(unit._convolve, WinogradConvolution) for stage in stages for unit in stage._units)
    assert {stage._upsample.num_taps for stage in stages} == {2, 3}
    waveforms = codec.decode(semantic, voices)
    assert all(error_db(ours, its) < -80 for ours, its in zip(waveforms, expected, strict=True))
