"""The Triton kernel beside torch's operators, on a GPU or else by Triton's interpreter (see tests/conftest.py)."""

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("triton", reason="the GPU's kernel needs Triton; pip install triton")

from triton.runtime import interpreter

from pipeline.codec import BiCodec, kernels
from pipeline.codec.fused_generator import Activation, Convolution, FusedWaveGenerator, round_products
from pipeline.codec.networks import DecodeNetwork
from pipeline.codec.spans import Spans
from tests.codec.decoding import plain_convolve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
AUDIO_ATOL = 2e-5
MODULES = {
    "dilated": nn.Conv1d(5, 20, 7, dilation=3, padding=9),
    "pointwise": nn.Conv1d(20, 20, 1),
    "one_channel": nn.Conv1d(18, 1, 7, padding=3),
    "transposed": nn.ConvTranspose1d(6, 7, 8, stride=4, padding=2),
    "transposed_by_an_odd_rate": nn.ConvTranspose1d(6, 7, 11, stride=5, padding=3),
    "transposed_with_an_extra_sample": nn.ConvTranspose1d(6, 7, 7, stride=4, padding=1),
}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """So that a short signal has several, with rests on all sides; and products of bfloat16 in the interpreter."""
    monkeypatch.setattr(kernels, "_BLOCK_ROWS", 16)
    monkeypatch.setattr(kernels, "_BLOCK_COLUMNS", {False: 16, True: 16})
    monkeypatch.setattr(kernels, "_BLOCK_INPUTS", {torch.bfloat16: 16, torch.float32: 16})
    create_dot = interpreter.InterpreterBuilder.create_dot

    def widen(handle):
        if handle.dtype.scalar.name != "bf16":
            return handle
        values = (handle.data.astype(np.uint32) << 16).view(np.float32)
        return interpreter.TensorHandle(values, interpreter.tl.float32)

    def create(self, left, right, *others):
        return create_dot(self, widen(left), widen(right), *others)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create)


def make(name, dtype, precision="tf32x3"):
    torch.manual_seed(0)
    module = MODULES[name].requires_grad_(False)
    convolution = Convolution.of(module.to(DEVICE), dtype, precision)
    x_SI = torch.randn(37, module.in_channels, device=DEVICE).to(dtype)
    num_samples = module(x_SI.float().t()[None]).shape[2]
    num_columns = convolution.rate * module.out_channels
    alpha_N = torch.rand(module.out_channels, device=DEVICE).repeat(convolution.rate) + 0.1
    activation = Activation(alpha_N, alpha_N.reciprocal())
    inside_S = (torch.rand(num_samples, device=DEVICE) > 0.3).float()
    stream_SO = torch.randn(num_samples, num_columns // convolution.rate, device=DEVICE)
    return module, convolution, x_SI, activation, inside_S, stream_SO


@pytest.mark.parametrize("name", MODULES)
def test_a_convolution_is_torchs_own(name):
    module, convolution, x_SI, _, _, stream_SO = make(name, torch.float32)
    y_SO = torch.full_like(stream_SO, float("nan"))
    kernels.convolve(x_SI, convolution, y_SO)
    torch.testing.assert_close(y_SO, module(x_SI.t()[None])[0].t(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(("adds", "keeps", "masks"), [(True, True, True), (True, False, True), (False, True, False)])
@pytest.mark.parametrize(
    ("dtype", "y_dtype"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("float32", "bfloat16")]
)
def test_what_surrounds_a_convolution_is_in_the_same_kernel(name, adds, keeps, masks, dtype, y_dtype):
    dtype, y_dtype = getattr(torch, dtype), getattr(torch, y_dtype)
    _, convolution, x_SI, activation, inside_S, stream_SO = make(name, dtype)
    # In the interpreter a number is cut off where a card rounds it.
    atol, rtol = (1e-5, 1e-5) if y_dtype == torch.float32 else (1e-4, 2**-7)
    found, expected = stream_SO.clone(), stream_SO.clone()
    y_SO, expected_SO = (torch.empty_like(stream_SO, dtype=y_dtype) for _ in range(2))
    options = {"adds": adds, "keeps": keeps, "activation": activation, "inside_S": inside_S if masks else None}
    kernels.convolve(x_SI, convolution, y_SO, stream_SO=found, **options)
    plain_convolve(x_SI, convolution, expected_SO, stream_SO=expected, **options)
    torch.testing.assert_close(y_SO, expected_SO, atol=atol, rtol=rtol)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert keeps != torch.equal(found, stream_SO)


def test_a_sine_is_as_exact_as_torchs(monkeypatch):
    """A pointwise convolution that changes nothing, before activations of angles far from zero."""
    monkeypatch.setattr(kernels, "_BLOCK_ROWS", 1_024)
    x_S1 = torch.linspace(-3_000, 3_000, 6_000, device=DEVICE)[:, None]
    module = nn.Conv1d(1, 1, 1, bias=False, device=DEVICE).requires_grad_(False)
    module.weight.fill_(1.0)
    one = torch.ones(1, device=DEVICE)
    y_S1 = torch.empty_like(x_S1)
    kernels.convolve(x_S1, Convolution.of(module, torch.float32, "tf32x3"), y_S1, activation=Activation(one, 1e3 * one))
    squares = (y_S1 - x_S1) / 1e3
    assert (squares - x_S1.double().sin().square()).abs().max() < 5e-6


def test_numbers_are_rounded_to_tf32_and_not_cut_off():
    values = torch.tensor([1.0, 1 + 2**-11, 1 + 2**-11 + 2**-20, -(1 + 2**-11), 3.0e-30, 0.0])
    expected = torch.tensor([1.0, 1 + 2**-10, 1 + 2**-10, -(1 + 2**-10), 3.0e-30, 0.0])
    found = round_products(values, "tf32")
    torch.testing.assert_close(found, expected, atol=0, rtol=2**-11)
    assert torch.equal(found[:4], expected[:4]) and not (found.view(torch.int32) & 0x1FFF).any()
    assert torch.equal(round_products(values, "tf32x3"), values)


def test_activated_numbers_for_products_in_tf32_are_rounded_to_it():
    _, convolution, x_SI, activation, inside_S, stream_SO = make("transposed", torch.float32, "tf32")
    y_SO, expected_SO = torch.empty_like(stream_SO), torch.empty_like(stream_SO)
    kernels.convolve(x_SI, convolution, y_SO, activation=activation, inside_S=inside_S)
    plain_convolve(x_SI, convolution, expected_SO, activation=activation, inside_S=inside_S)
    assert not (y_SO.view(torch.int32) & 0x1FFF).any()
    torch.testing.assert_close(y_SO, expected_SO, atol=1e-5, rtol=2**-10)


@torch.no_grad()
def test_a_waveform_by_the_kernel_is_the_plain_modules(reference, monkeypatch):
    """The whole wave generator, through every way of calling the kernel."""
    monkeypatch.setattr(kernels, "_BLOCK_ROWS", 128)
    module = BiCodec.load(reference / "tiny")._load_network(DecodeNetwork).wave_generator.to(DEVICE)
    features_1CF = torch.randn(1, module.model[0].in_channels, 3, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    expected_S = module(features_1CF)[0]
    spans = Spans.of_items(torch.zeros((1, 3), dtype=torch.int64, device=DEVICE))
    found_S = FusedWaveGenerator(module, torch.float32, "tf32x3", kernels.convolve)(features_1CF, spans)
    torch.testing.assert_close(found_S, expected_S, atol=AUDIO_ATOL, rtol=0)
