"""Numbers as messages show them: what was found beside its limit, never rounded so that the two contradict."""

from __future__ import annotations

import math

_MOST_DECIMALS = 9


def apart(value: float, limit: float, decimals: int = 0, *, percent: bool = False) -> tuple[str, str]:
    """Return a number and its limit as texts that show which of the two is larger: `0.98` and `1`, not `1.0` and `1`.

    Args:
        value: what was found; written with as many decimals as it takes.
        limit: what it is compared with; written whole.
        decimals: of the number, at least.
        percent: both are shares; write them so.
    """
    scale, unit = (100.0, "%") if percent else (1.0, "")
    value, limit = value * scale, limit * scale
    shown = f"{limit:,.{_MOST_DECIMALS}g}{unit}"
    if not math.isfinite(value):
        return f"{value}{unit}", shown
    written = float(shown.removesuffix(unit).replace(",", ""))
    while decimals < _MOST_DECIMALS and _order(round(value, decimals), written) != _order(value, limit):
        decimals += 1
    return f"{value:,.{decimals}f}{unit}", shown


def _order(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)
