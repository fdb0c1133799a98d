"""A linear layer whose weight is laid out once for the processor it runs on.

Knows nothing of what it is part of.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_ROWS_TO_PACK_FOR = 32
"""oneDNN asks for how many rows it packs; the layout was the same for 8, 32 and 64, and serves every number."""


class PackedLinear:
    """Rows of features times a fixed weight.

    On a CPU the weight goes into oneDNN's blocked layout: at 32 rows of a 4,864 x 2 by 896 product that is 1.5 times as
    fast as packing it anew at each call, which a plain product does. Elsewhere, and where this torch cannot, the plain
    product is used; what was chosen never changes between two calls.

    Args:
        weight: (outputs, inputs); not needed afterwards.
        bias: (outputs,).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._bias = bias
        self._weight = weight
        self.is_packed = False
        packed = _pack(weight)
        if packed is not None:
            self._weight, self.is_packed = packed, True

    @property
    def plain_weight(self) -> Tensor:
        """The weight as it was given, of a layer that is not packed."""
        assert not self.is_packed
        return self._weight

    def __call__(self, rows: Tensor) -> Tensor:
        """Return (rows, outputs) for (rows, inputs)."""
        if self.is_packed:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, "none", [], "")
            return product
        return F.linear(rows, self._weight, self._bias)


def _pack(weight: Tensor) -> Tensor | None:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    try:
        # The operators that torch's own compiler emits for frozen weights; private, so they are tried, not trusted.
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS_TO_PACK_FOR)
        torch.ops.mkldnn._linear_pointwise(weight.new_zeros(1, weight.shape[1]), packed, None, "none", [], "")
    except (AttributeError, NotImplementedError, RuntimeError):
        return None
    return packed
