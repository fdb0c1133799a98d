"""Convolutions in fewer multiplications, for CPUs.

Neighboring outputs of one channel pair are a product of polynomials, and a product is known from its values at as many
points as it has coefficients: with a kernel of 7, ten outputs from sixteen points (fifteen numbers and infinity) take
16 multiplications instead of 70. Between the channels, these are sixteen plain matrix products; before and after lie
sums with small constants.

Rounding costs more than in the plain way: a convolution's error lies 85 to 92 dB below its result instead of 130
(float32). bfloat16 would lose 25 to 30 dB of the 50 or so that it has, so that these convolutions stay in float32 where
the codec's other products are in bfloat16.

Source: S. Winograd, Arithmetic Complexity of Computations (1980); the points were searched for the least rounding, as
in Barabasz et al., arXiv 1803.10986.

Shape suffixes: N rows in or out, T tiles (of M * dilation rows), P points, M outputs of a tile, K taps, I and O
channels in and out.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from pipeline.codec.cpu_kernels import SnakeParameters, from_points, to_points
from pipeline.hardware.packed_linear import PackedLinear

_FINITE_POINTS = tuple(
    map(Fraction, ("0", "1", "-1", "2", "-2", "1/2", "-1/2", "1/4", "-4", "3/2", "-3/4", "-1/4", "4", "3/4", "-3/2"))
)
_OUTPUTS = {2: 5, 3: 6, 7: 10}
"""Of a tile, by taps. More save little and round more: for 7 taps, each two more cost some 8 dB (measured)."""
_LEAST_CHANNELS = {2: 256, 3: 128, 7: 64}
"""With fewer, by taps, the sums take longer than the saved products (measured)."""
_LEAST_CHANNELS_TO_PACK = 256
"""With fewer, one batched product is faster than a call for each point (measured)."""
_ROWS = 256
"""Of one point in a stretch: with fewer, products pack their weights too often, with more, all waits for memory."""


def is_faster(weight_OIK: Tensor) -> bool:
    """Return whether this way pays and keeps the audio, for a convolution with this weight."""
    output_channels, input_channels, num_taps = weight_OIK.shape
    if num_taps not in _OUTPUTS or weight_OIK.dtype != torch.float32:
        return False
    return min(input_channels, output_channels) >= _LEAST_CHANNELS[num_taps]


class WinogradConvolution:
    """A convolution without padding over rows whose channels lie last.

    Args:
        weight_OIK: as `nn.Conv1d` has it.
        bias_O: added to every row.
        dilation: rows from tap to tap.
    """

    def __init__(self, weight_OIK: Tensor, bias_O: Tensor, dilation: int) -> None:
        self.output_channels, _, self.num_taps = weight_OIK.shape
        self.dilation = dilation
        self.reach = (self.num_taps - 1) * dilation
        self.step = _OUTPUTS[self.num_taps] * dilation
        # An odd number of groups: with an even one, a tile's points lie so far apart that they share the cache's sets.
        self.stretch = (_ROWS // dilation - 1 | 1) * self.step if dilation < _ROWS else self.step
        inputs_PP, weights_PK, outputs_MP = _transforms(self.num_taps)
        self._inputs_PP = inputs_PP.to(weight_OIK).numpy()
        self._outputs_MP = outputs_MP.to(weight_OIK).numpy()
        # In float64, as the weights are transformed once and used ever after.
        weight_IOK = weight_OIK.transpose(0, 1).contiguous().double()
        weights_IO = ((weight_IOK @ weights_K).to(weight_OIK) for weights_K in weights_PK)
        self._packed: list[PackedLinear] = []
        self._weight_PIO = torch.empty(0)
        if min(weight_OIK.shape[:2]) >= _LEAST_CHANNELS_TO_PACK:
            self._packed = [PackedLinear(weight_IO.t()) for weight_IO in weights_IO]
        else:
            self._weight_PIO = torch.stack(list(weights_IO))
        self._bias_O = bias_O.numpy()

    def __call__(self, x_NI: Tensor, snake: SnakeParameters, y_NO: Tensor) -> None:
        """Write (N - reach, O), activated, for (N, I), both contiguous; N - reach must be a multiple of `step`."""
        num_points = len(self._inputs_PP)
        num_rows = len(y_NO) // _OUTPUTS[self.num_taps]
        points_PTI = x_NI.new_empty(num_points, num_rows, x_NI.shape[1])
        to_points(x_NI, self._inputs_PP, _OUTPUTS[self.num_taps], self.dilation, points_PTI)
        products_PTO = x_NI.new_empty(num_points, num_rows, self.output_channels)
        if self._packed:
            for point, multiply in enumerate(self._packed):
                products_PTO[point] = multiply(points_PTI[point])
        else:
            torch.bmm(points_PTI, self._weight_PIO, out=products_PTO)
        from_points(products_PTO, self._outputs_MP, self.dilation, self._bias_O, snake, y_NO)


def _transforms(num_taps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what takes inputs to points (P, P), taps to points (P, K), and products to outputs (M, P); in float64.

    A correlation is the transpose of a product of polynomials, so that inputs are interpolated and outputs evaluated.
    """
    num_outputs = _OUTPUTS[num_taps]
    points = _FINITE_POINTS[: num_outputs + num_taps - 2]
    outputs = [
        [point**power for point in points] + [Fraction(power == num_outputs - 1)] for power in range(num_outputs)
    ]
    weights, inputs = [], []
    for index, point in enumerate(points):
        others = points[:index] + points[index + 1 :]
        scale = Fraction(1)
        for other in others:
            scale *= point - other
        weights.append([point**power / scale for power in range(num_taps)])
        inputs.append([*_from_roots(others), Fraction(0)])
    weights.append([Fraction(power == num_taps - 1) for power in range(num_taps)])  # The point at infinity.
    inputs.append(_from_roots(points))
    inputs_PP, weights_PK, outputs_MP = (
        torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)
        for rows in (inputs, weights, outputs)
    )
    # Powers of two bring each point's three factors near one, and cost no bit.
    input_scale_P1 = torch.exp2(inputs_PP.abs().sum(1, keepdim=True).log2().round())
    weight_scale_P1 = torch.exp2(weights_PK.norm(dim=1, keepdim=True).log2().round())
    return (
        inputs_PP / input_scale_P1,
        weights_PK / weight_scale_P1,
        outputs_MP * (input_scale_P1 * weight_scale_P1).t(),
    )


def _from_roots(roots: tuple[Fraction, ...]) -> list[Fraction]:
    """Return the coefficients of the product of all (x - root), lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients
