"""`report.html`: a run to look at and listen to, one file without network.

One pass over the commits; memory is bounded by what `pipeline.output.status` keeps and by capped lists. Text passes
Jinja2 with autoescape, so that what a manifest says never becomes markup.
"""

from __future__ import annotations

import heapq
import json
import math
import os
from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pyarrow as pa

from pipeline.audio.clips import data_uri, decode_clip
from pipeline.config.run import StorageConfig
from pipeline.errors import DamagedCommit
from pipeline.manifest.rows import safe_file_name
from pipeline.output.clip_reader import ClipReader
from pipeline.output.histograms import Histogram
from pipeline.output.progress import format_duration
from pipeline.output.status import Survey, survey_output
from pipeline.storage import Storage, open_storage, split_uri

REPORT_NAME = "report.html"
MAX_REJECTED, MAX_DOUBTFUL = 300, 16
FOLDER_FILE = "folder.json"
"""In the folder of a book whose chapters lie elsewhere: `{"folder": ...}`."""
PLAYABLE = ("mp3", "opus", "flac", "wav")
"""Formats of a chapter's player, the smallest first."""
_KEPT_AT_EACH_END = 8
_MAX_TEXT = 240
_MAX_CLIP_BYTES, _MAX_EMBEDDED_BYTES = 700_000, 4_000_000
_NUM_BARS = 50
_PLOT_WIDTH, _PLOT_HEIGHT = 500, 100
_WAVE_WIDTH = 200
_COLUMNS = ("utterance_id", "speaker_id", "text", "error_message", "audio_path", "wer", "shard", "take", "row")


class _Lines:
    """The lines that a person should look at, of all that pass by."""

    def __init__(self, histograms: Mapping[str, Histogram]) -> None:
        self._histograms = histograms
        self._extremes: dict[str, list[tuple[float, str, int, dict[str, Any]]]] = {}
        self.rejected: list[dict[str, Any]] = []

    def visit(self, unit_id: str, table: pa.Table) -> None:
        """Look at one commit."""
        for row in table.to_pylist():
            row["unit_id"] = unit_id
            row["text"] = str(row.get("text") or "")[:_MAX_TEXT]
            if row["status"] == "removed":
                continue
            if row["status"] != "ok":
                if len(self.rejected) < MAX_REJECTED:
                    self.rejected.append(row)
                continue
            for name in (*self._histograms, "wer", "take"):
                value = row.get(name)
                if value is not None and math.isfinite(value):
                    self._keep(f"{name} high", float(value), row)
                    if name in self._histograms:
                        self._keep(f"{name} low", -float(value), row)

    def _keep(self, end: str, value: float, row: dict[str, Any]) -> None:
        heap = self._extremes.setdefault(end, [])
        # Shard and row decide between equals: the report does not depend on the order of a listing.
        heapq.heappush(heap, (value, str(row["shard"]), int(row["row"]), row))
        if len(heap) > _KEPT_AT_EACH_END:
            heapq.heappop(heap)

    def doubtful(self) -> list[dict[str, Any]]:
        """Return the spoken lines that are least like the others, the worst first, with what is odd about them."""
        rows = {(row["shard"], row["row"]): row for heap in self._extremes.values() for *_, row in heap}
        judged = [(*self._judge(row), row) for row in rows.values()]
        judged.sort(key=lambda entry: (-entry[0], str(entry[2]["shard"]), entry[2]["row"]))
        return [{**row, "why": why} for _, why, row in judged[:MAX_DOUBTFUL]]

    def _judge(self, row: Mapping[str, Any]) -> tuple[float, str]:
        score, reasons = 0.0, []
        for name, histogram in self._histograms.items():
            value = row.get(name)
            if value is None or not math.isfinite(value):
                continue
            measure, middle = histogram.measure, histogram.quantile(0.5)
            score += abs(value - middle) / histogram.spread
            low, high = histogram.limits()
            if not low <= value <= high:
                reasons.append(f"{measure.title.lower()} {value:.1f} {measure.unit}, median {middle:.1f}")
        if row.get("wer"):
            score += 5 * row["wer"]
            reasons.append(f"word error rate {row['wer']:.2f}")
        if row.get("take"):
            score += row["take"]
            reasons.append(f"take {row['take'] + 1}")
        return score, "; ".join(reasons) or "far from the rest"


def write_report(
    output: str,
    destination: str | None = None,
    *,
    chapters: str | None = None,
    settings: StorageConfig | None = None,
    survey: Survey | None = None,
) -> str:
    """Write a page about a run, at any moment of it.

    Args:
        output: of the run: a folder or an object-store prefix.
        destination: address of the page; none is `report.html` in the output.
        chapters: where `jobs.assemble` put the chapters, for their players.
        settings: how to reach the store.
        survey: an empty one, for who wants to see what it counts.

    Returns:
        the page's address.

    Raises:
        ConfigError: there is no run here.
        StorageError: a store does not answer.
    """
    source = open_storage(output, settings)
    survey = survey or Survey()
    lines = _Lines(survey.histograms)
    status = survey_output(source, survey, _COLUMNS, lines.visit)
    folder, name = (output, REPORT_NAME) if destination is None else split_uri(destination)
    target = open_storage(folder, settings)
    if chapters is not None:
        _add_players(status["books"], open_storage(chapters, settings), target)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["duration"] = format_duration
    template = environment.from_string((files("pipeline.output") / "report.html.j2").read_text(encoding="utf-8"))
    page = template.render(
        title=source.uri,
        status=status,
        plots=[draw_plot(histogram) for histogram in survey.histograms.values()],
        rejected=lines.rejected,
        doubtful=_add_sound(source, target, lines.doubtful()),
    )
    target.put(name, page.encode("utf-8", "replace"))
    return target.uri_of(name)


def draw_plot(histogram: Histogram) -> dict[str, Any]:
    """Return the bars of a drawing 500 wide and 100 high, and what is said beside it."""
    measure, summary = histogram.measure, histogram.summary()
    plot: dict[str, Any] = {"title": measure.title, "unit": measure.unit, "summary": summary, "bars": []}
    used = np.nonzero(histogram.counts)[0]
    if summary is None:
        return plot
    first, last = int(used[0]), int(used[-1])
    step = -(-(last - first + 1) // _NUM_BARS)
    sums = [int(histogram.counts[at : at + step].sum()) for at in range(first, last + 1, step)]
    low, high = histogram.limits()
    for index, count in enumerate(sums):
        left = measure.low + (first + index * step) * histogram.bin_width
        right = left + step * histogram.bin_width
        # However few, they are to be seen.
        height = max(_PLOT_HEIGHT * count / max(sums), 2.0) if count else 0.0
        plot["bars"].append(
            {
                "x": round(_PLOT_WIDTH * index / len(sums), 2),
                "width": round(0.9 * _PLOT_WIDTH / len(sums), 2),
                "y": round(_PLOT_HEIGHT - height, 2),
                "height": round(height, 2),
                "label": f"{left:.1f} to {right:.1f}: {count:,}",
                "is_outlier": bool(count) and not low <= (left + right) / 2 <= high,
            }
        )
    plot["range"] = f"{measure.low + first * histogram.bin_width:.1f} to {right:.1f}"
    return plot


def _link(store: Storage, path: str, page: Storage) -> str | None:
    """Return how a page in the folder `page` names an object; None where a browser could not follow."""
    scheme, _, place = store.uri_of(path).rpartition("://")
    page_scheme, _, folder = page.uri.rpartition("://")
    if scheme != page_scheme or (scheme and place.split("/")[0] != folder.split("/")[0]):
        return None
    # A stored name may itself hold percent signs: quoted once more, a browser asks for just that name.
    return quote(os.path.relpath(place, folder))


def _add_players(books: list[dict[str, Any]], made: Storage, page: Storage) -> None:
    names = {info.path for info in made.list()}
    for book in books:
        folder = _folder_of(made, safe_file_name(book["book_id"]), names)
        for chapter in book["chapters"]:
            stem = f"{folder}/{chapter['chapter']:03d}"
            found = next((f"{stem}.{suffix}" for suffix in PLAYABLE if f"{stem}.{suffix}" in names), None)
            if found is not None:
                chapter["link"], chapter["place"] = _link(made, found, page), made.uri_of(found)


def _folder_of(made: Storage, name: str, files: set[str]) -> str:
    """Return where a book's chapters lie: in a folder of its id, or in the one that this folder names."""
    if f"{name}/{FOLDER_FILE}" not in files:
        return name
    try:
        return str(json.loads(made.get(f"{name}/{FOLDER_FILE}"))["folder"])
    except (ValueError, KeyError, TypeError):
        return name


def _add_sound(source: Storage, page: Storage, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add waveform and sound: short clips within the page, as long as there is room; other files as links."""
    left, clips = _MAX_EMBEDDED_BYTES, ClipReader(source)
    for row in rows:
        path = row["audio_path"]
        row["link"], row["wave"] = _link(source, path, page) if path is not None else None, ""
        try:
            data = clips.read(row["unit_id"], row)
            samples = decode_clip(data).samples
        except (FileNotFoundError, DamagedCommit, ValueError):
            row["link"], row["why"] = None, f"{row['why']}; its clip is missing or damaged: run jobs.verify"
            continue
        tops = [float(np.abs(part).max(initial=0.0)) for part in np.array_split(samples, _WAVE_WIDTH)]
        # Its shape is what is looked at; its level is said in words.
        scale = 20 / max(*tops, 1e-3)
        row["wave"] = " ".join(f"M{at},{20 - scale * top:.1f}V{20 + scale * top:.1f}" for at, top in enumerate(tops))
        if len(data) <= min(left, _MAX_CLIP_BYTES):
            left -= len(data)
            row["link"] = data_uri(data)
        elif path is None:
            row["why"] += f"; too long to be played here, packed in {clips.address(row['unit_id'], row)}"
    return rows
