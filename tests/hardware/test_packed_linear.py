from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pipeline.hardware.packed_linear import PackedLinear


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("outputs", "inputs"), [(1152, 896), (97, 42), (1, 7)])
def test_a_packed_product_is_the_product(outputs: int, inputs: int, has_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=generator)
    bias = torch.randn(outputs, generator=generator) if has_bias else None
    linear = PackedLinear(weight.clone(), bias)
    for num_rows in (1, 8, 33):
        rows = torch.randn(num_rows, inputs, generator=generator)
        torch.testing.assert_close(linear(rows), F.linear(rows, weight, bias), atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_row_has_the_same_bits_at_every_place(dtype: torch.dtype, num_threads: int) -> None:
    """Among as many rows: whether their number changes bits is the processor's matter; `Qwen2.can_shrink` asks it."""
    torch.set_num_threads(num_threads)
    generator = torch.Generator().manual_seed(1)
    for outputs, inputs in ((1152, 896), (896, 1216), (333, 60), (97, 42)):
        linear = PackedLinear(torch.randn(outputs, inputs, generator=generator).to(dtype))
        for count in (8, 24, 40, 64):
            rows = torch.randn(count, inputs, generator=generator).to(dtype)
            expected = linear(rows)
            for shift in (3, 7):
                assert torch.equal(linear(rows.roll(shift, 0)), expected.roll(shift, 0))


def test_without_the_operators_the_plain_product_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    weight, rows = torch.randn(5, 4), torch.randn(3, 4)
    linear = PackedLinear(weight)
    assert not linear.is_packed and torch.equal(linear(rows), F.linear(rows, weight))
