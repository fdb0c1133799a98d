"""A measured figure with its 95 % interval, what others published beside it, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

_RESAMPLES = 2_000
_QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class Published:
    """What somebody else says of the official weights. Nobody ran it here."""

    value: str
    source: str


@dataclass(frozen=True)
class Figure:
    """One line of the table: measured, or why not."""

    name: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    """The 95 % interval; none where there is a single measurement."""
    count: int = 0
    """Of what was measured: utterances, recordings, pairs."""
    reason: str = ""
    """Why it was not measured."""
    note: str = ""
    """How it was measured, where that is not the name alone."""
    published: tuple[Published, ...] = field(default=())


def not_measured(name: str, reason: str, published: tuple[Published, ...] = ()) -> Figure:
    """Return a line that says why there is no figure."""
    return Figure(name, None, reason=reason, published=published)


def summarize_mean(
    name: str, values: Sequence[float], *, unit: str = "", note: str = "", published: tuple[Published, ...] = ()
) -> Figure:
    """Return the mean of some values with its interval.

    Args:
        name: of the figure.
        values: of independent utterances or recordings; none at all makes it not measured.
        unit: for the table.
        note: how they were measured.
        published: by others.
    """
    return summarize_ratio(name, values, [1.0] * len(values), unit=unit, note=note, published=published)


def summarize_ratio(
    name: str,
    parts: Sequence[float],
    wholes: Sequence[float],
    *,
    unit: str = "",
    note: str = "",
    published: tuple[Published, ...] = (),
) -> Figure:
    """Return the sum of some values over that of others, as errors over words, with its interval.

    The interval is the bootstrap's, over utterances, with a fixed seed: equal measurements give an equal interval.
    """
    if not len(parts) or not sum(wholes):
        return not_measured(name, "there is nothing that it could be measured on", published)
    part, whole = np.asarray(parts, float), np.asarray(wholes, float)
    picks = np.random.default_rng(0).integers(part.size, size=(_RESAMPLES, part.size))
    sums = whole[picks].sum(axis=1)
    ratios = part[picks].sum(axis=1)[sums > 0] / sums[sums > 0]
    low, high = (float(edge) for edge in np.quantile(ratios, _QUANTILES))
    return Figure(name, float(part.sum() / whole.sum()), unit, low, high, part.size, note=note, published=published)


def format_table(figures: Sequence[Figure]) -> list[str]:
    """Return the lines of the table; published figures stand under the measured one."""
    width = max(len(figure.name) for figure in figures)
    lines = []
    for figure in figures:
        if figure.value is None:
            lines.append(f"{figure.name:{width}}  not measured: {figure.reason}")
        else:
            interval = "" if figure.low is None else f" ({_format(figure.low)} to {_format(figure.high)})"
            unit = f" {figure.unit}" if figure.unit else ""
            note = f"; {figure.note}" if figure.note else ""
            lines.append(f"{figure.name:{width}}  {_format(figure.value)}{interval}{unit}, n = {figure.count}{note}")
        lines += [
            f"{'':{width}}    published, not run here: {found.value} ({found.source})" for found in figure.published
        ]
    return lines


def _format(value: float | None) -> str:
    assert value is not None
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return the table as JSON holds it."""
    return [asdict(figure) for figure in figures]
