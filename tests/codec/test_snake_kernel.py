"""The Triton kernel on a GPU, or else by Triton's interpreter (see tests/conftest.py)."""

import pytest
import torch

pytest.importorskip("triton", reason="Triton comes only with torch for CUDA")

from pipeline.codec import kernels
from pipeline.codec.decoder import _snake

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def move(*tensors):
    return [tensor if tensor is None else tensor.to(DEVICE) for tensor in tensors]


@pytest.mark.parametrize("num_samples", [1, 1_024, 1_500])
@pytest.mark.parametrize("masked", [True, False])
def test_snake_equals_torchs_own(num_samples, masked):
    generator = torch.Generator().manual_seed(0)
    x_BCS = torch.randn(2, 3, num_samples, generator=generator) * 10
    alpha_1C1 = torch.rand(1, 3, 1, generator=generator) + 0.1
    inside_B1S = (torch.rand(2, 1, num_samples, generator=generator) > 0.3).float() if masked else None
    arguments = move(x_BCS, alpha_1C1, alpha_1C1.reciprocal(), inside_B1S)
    torch.testing.assert_close(kernels.snake(*arguments), _snake(*arguments), atol=1e-5, rtol=0)


def test_snake_in_bfloat16_is_rounded_once():
    generator = torch.Generator().manual_seed(0)
    x_BCS = torch.randn(1, 4, 300, generator=generator).bfloat16()
    alpha_1C1 = (torch.rand(1, 4, 1, generator=generator) + 0.5).bfloat16()
    found = kernels.snake(*move(x_BCS, alpha_1C1, alpha_1C1.reciprocal(), None)).cpu()
    expected = _snake(x_BCS.float(), alpha_1C1.float(), alpha_1C1.reciprocal().float(), None)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0, rtol=2**-7)


def test_snake_takes_a_signal_whose_channels_lie_last():
    x_BCS = torch.randn(1, 70, 5, generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    alpha_1C1 = torch.full((1, 5, 1), 0.5)
    arguments = move(x_BCS, alpha_1C1, alpha_1C1.reciprocal(), None)
    torch.testing.assert_close(kernels.snake(*arguments), _snake(*arguments), atol=1e-5, rtol=0)
