"""What Numba compiles is the plain arithmetic, up to the last bits of float32."""

import numpy as np
import pytest
import torch

from pipeline.codec.cpu_kernels import SnakeParameters, add_rows, apply_snake, from_points, to_points


def draw_snake(num_channels):
    generator = np.random.default_rng(0)
    alpha = generator.uniform(0.05, 20.0, num_channels).astype(np.float32)
    return SnakeParameters(alpha, (1 / alpha).astype(np.float32))


def activate(x, snake):
    x = x.double().numpy()
    return torch.from_numpy(x + snake.inverse_C * np.sin(snake.alpha_C.astype(np.float64) * x) ** 2)


@pytest.mark.parametrize("num_channels", [1, 24, 300])
@pytest.mark.parametrize("loudness", [1e-4, 1.0, 50.0])
def test_snake(num_channels, loudness):
    snake, x = draw_snake(num_channels), loudness * torch.randn(40, num_channels)
    y = torch.empty_like(x)
    apply_snake(x, snake, y)
    # An angle has as many digits as its float32, so that the sine of a large one has fewer.
    largest_angle = float((x.abs() * torch.from_numpy(snake.alpha_C)).max())
    wave_error = torch.from_numpy(snake.inverse_C) * 2e-7 * max(largest_angle, 1.0)
    assert ((y - activate(x, snake)).abs() <= wave_error + 2e-7 * x.abs()).all()
    apply_snake(x, snake, x)
    assert torch.equal(x, y)


def test_snake_of_what_is_no_sound():
    """Too large for its angle to mean anything: the squared sine is still one of 0 to 1; what is no number stays so."""
    snake = SnakeParameters(np.full(5, 7.0, np.float32), np.ones(5, np.float32))
    x = torch.tensor([[1e6, -3e9, 1e30, float("nan"), 0.0]])
    y = torch.empty_like(x)
    apply_snake(x, snake, y)
    assert ((y - x)[0, :3] >= 0).all() and ((y - x)[0, :3] <= 1).all()
    assert y[0, 3].isnan() and y[0, 4] == 0


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("num_channels", [5, 300])
def test_points(dilation, num_channels):
    """A tile's rows lie `dilation` apart, and as many tiles lie in each other; to and from the points by matrices."""
    num_tiles, num_outputs, num_points = 4, 2, 5
    to_matrix, from_matrix = torch.randn(num_points, num_points), torch.randn(num_outputs, num_points)
    x = torch.randn((num_tiles * num_outputs + num_points - num_outputs) * dilation, num_channels)
    points = torch.empty(num_points, num_tiles * dilation, num_channels)
    to_points(x, to_matrix.numpy(), num_outputs, dilation, points)
    snake, bias = draw_snake(num_channels), torch.randn(num_channels)
    y = torch.empty(num_tiles * num_outputs * dilation, num_channels)
    from_points(points, from_matrix.numpy(), dilation, bias.numpy(), snake, y)
    for tile in range(num_tiles):
        for phase in range(dilation):
            first = tile * num_outputs * dilation + phase
            rows = x[first : first + num_points * dilation : dilation]
            expected = to_matrix @ rows
            row = tile * dilation + phase
            torch.testing.assert_close(points[:, row], expected, atol=2e-5, rtol=1e-5)
            outputs = activate(from_matrix @ points[:, row] + bias, snake).float()
            mine = y[first : first + num_outputs * dilation : dilation]
            torch.testing.assert_close(mine, outputs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("num_channels", [3, 300])
def test_results_are_rounded_to_bfloat16_as_torch_does(num_channels):
    snake = SnakeParameters.nothing(num_channels)
    # Halfway between two of them, too, on both sides of an even one; what is too large; what is no number.
    bits = torch.tensor([0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x7FC00000, 0x7F800001, 0x00000001], dtype=torch.int32)
    x = torch.randn(7, num_channels)
    x.flatten()[: len(bits)] = bits.view(torch.float32)
    y = torch.empty_like(x, dtype=torch.bfloat16)
    apply_snake(x, snake, y)
    torch.testing.assert_close(y, x.bfloat16(), rtol=0, atol=0, equal_nan=True)
    points = torch.randn(2, 7, num_channels)
    both = [torch.empty(7, num_channels, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    for y in both:
        from_points(points, np.ones((1, 2), np.float32), 1, np.ones(num_channels, np.float32), snake, y)
    assert torch.equal(both[0].bfloat16(), both[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_are_added(dtype):
    x, y = torch.randn(7, 300).to(dtype), torch.randn(7, 300)
    expected = y + x.float()
    add_rows(x, y)
    assert torch.equal(y, expected)
