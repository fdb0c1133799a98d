"""What all pages share: templates, style and script, drawings of histograms, links.

What a manifest says passes Jinja2 with autoescape, or JSON without any `<`, so that it never becomes markup; characters
that nobody sees, and that turn the direction of what follows, are shown as escapes.
"""

from __future__ import annotations

import json
import os
from importlib.resources import files
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
from markupsafe import Markup

from pipeline.config.printable import in_script, printable
from pipeline.output.histograms import Histogram
from pipeline.output.progress import format_duration
from pipeline.storage import Storage

_SHARED = "pipeline.output.report"
_NUM_BARS = 50
_PLOT_WIDTH, _PLOT_HEIGHT = 500, 100


def render_page(package: str, template: str, **values: Any) -> bytes:
    """Return a page.

    Args:
        package: that has the template; those that all pages share are found from everywhere.
        template: its file's name.
        values: of its variables.
    """
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_show,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: _read(package, name) or _read(_SHARED, name)),
    )
    environment.filters["duration"] = format_duration
    # Ours, and no template: braces mean something else in scripts and styles.
    environment.globals["asset"] = lambda name: Markup(_read(_SHARED, name) or "")
    return environment.get_template(template).render(**values).encode("utf-8", "replace")


def _show(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # No `Markup`, which is ours.


def _read(package: str, name: str) -> str | None:
    file = files(package) / name
    return file.read_text(encoding="utf-8") if file.is_file() else None


def to_script(value: Any) -> str:
    """Return a value as JSON that may stand in a script of a page, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # No text ends the script or opens a comment; the separators of `in_script` end a line in older JavaScript.
    return in_script(text.replace("<", "\\u003c"))


def link_to(store: Storage, path: str, page: Storage) -> str | None:
    """Return how a page in the folder `page` names an object; None where a browser could not follow."""
    scheme, _, place = store.uri_of(path).rpartition("://")
    page_scheme, _, folder = page.uri.rpartition("://")
    if scheme != page_scheme or (scheme and place.split("/")[0] != folder.split("/")[0]):
        return None
    # A stored name may itself hold percent signs: quoted once more, a browser asks for just that name.
    return quote(os.path.relpath(place, folder))


def draw_plot(histogram: Histogram) -> dict[str, Any]:
    """Return the bars of a drawing 500 wide and 100 high, and what is said beside it."""
    measure, summary = histogram.measure, histogram.summary()
    plot: dict[str, Any] = {"title": measure.title, "unit": measure.unit, "summary": summary, "bars": []}
    plot["judges"] = histogram.judges
    used = np.nonzero(histogram.counts)[0]
    if summary is None:
        return plot
    first, last = int(used[0]), int(used[-1])
    step = -(-(last - first + 1) // _NUM_BARS)
    sums = [int(histogram.counts[at : at + step].sum()) for at in range(first, last + 1, step)]
    low, high = histogram.limits()
    edges = [measure.low + (first + index * step) * histogram.bin_width for index in range(len(sums) + 1)]
    labels = [f"{left:.1f} to {right:.1f}" for left, right in pairwise(edges)]
    is_odd = [not low <= (left + right) / 2 <= high for left, right in pairwise(edges)]
    plot["bars"] = draw_bars(sums, labels, is_odd)
    plot["range"] = f"{edges[0]:.1f} to {edges[-1]:.1f}"
    return plot


def draw_bars(counts: list[int], labels: list[str], is_odd: list[bool]) -> list[dict[str, Any]]:
    """Return bars for a drawing 500 wide and 100 high.

    Args:
        counts: one for each bar, from left to right.
        labels: what each counts.
        is_odd: whether it is to be marked, if it counts anything.
    """
    bars = []
    for index, (count, label, odd) in enumerate(zip(counts, labels, is_odd, strict=True)):
        # However few, they are to be seen.
        height = max(_PLOT_HEIGHT * count / max(counts), 2.0) if count else 0.0
        bars.append(
            {
                "x": round(_PLOT_WIDTH * index / len(counts), 2),
                "width": round(0.9 * _PLOT_WIDTH / len(counts), 2),
                "y": round(_PLOT_HEIGHT - height, 2),
                "height": round(height, 2),
                "label": f"{label}: {count:,}",
                "is_outlier": bool(count) and odd,
            }
        )
    return bars
