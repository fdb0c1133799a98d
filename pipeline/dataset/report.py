"""`report.html` of a corpus: how it grew, and what is in its last snapshot; one file without network.

All numbers were counted when nights were judged and snapshots written: the page costs the same however large the corpus
is. It holds no texts. Ids pass Jinja2 with autoescape.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.dataset.card import NOT_STATED, describe_consent
from pipeline.dataset.corpus import Corpus, NightRecord
from pipeline.dataset.listing import STATS_NAME, find_latest, read_snapshot
from pipeline.dataset.snapshot import read_counts
from pipeline.dataset.statistics import merge_histograms
from pipeline.output.pages import REPORT_NAME
from pipeline.output.report.page import draw_plot, render_page

_GROUPS = ("splits", "speakers", "languages", "licenses")
_MOST_OF_A_GROUP = 2_000
_COVERAGE = ("words", "letters", "trigrams")


def write_corpus_report(corpus: Corpus, nights: list[NightRecord]) -> str:
    """Write the page about a corpus; return its address.

    Args:
        corpus: whose.
        nights: what became of each.

    Raises:
        StorageError: the store does not answer.
    """
    latest = find_latest(corpus.storage)
    snapshot = read_snapshot(corpus.storage, latest) if latest is not None else None
    stats: dict[str, Any] = {}
    plots: list[dict[str, Any]] = []
    if snapshot is not None:
        stats = json.loads(corpus.storage.get(f"{snapshot.folder}/{STATS_NAME}"))
        histograms = merge_histograms(read_counts(corpus.storage, snapshot))
        plots = [draw_plot(histogram) for histogram in histograms if histogram.counts.any()]
    groups = [
        {"title": title, "rows": [_row_of_group(name, part) for name, part in _largest(stats.get(title, {}))]}
        for title in _GROUPS
    ]
    page = render_page(
        "pipeline.dataset",
        "report.html.j2",
        title=corpus.storage.uri,
        snapshot=None if snapshot is None else snapshot.night,
        stats=stats,
        nights=[_row_of_night(record, stats.get("nights", {}).get(record.night, {})) for record in reversed(nights)],
        groups=groups,
        plots=plots,
    )
    corpus.storage.put(REPORT_NAME, page)
    return corpus.storage.uri_of(REPORT_NAME)


def _largest(group: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(group.items(), key=lambda item: (-item[1]["hours"], item[0]))[:_MOST_OF_A_GROUP]


def _row_of_group(name: str, part: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "num_rows": part["num_rows"],
        "seconds": part["hours"] * 3_600,
        "accepted": part.get("accepted"),
        "license": part.get("license") or NOT_STATED,
        "consent": describe_consent(part),
    }


def _row_of_night(record: NightRecord, stats: dict[str, Any]) -> dict[str, Any]:
    plan, measures, gate = record.plan or {}, record.measures or {}, record.gate or {}
    left_out = plan.get("left_out", {})
    return {
        "night": record.night,
        "state": record.state,
        "problems": gate.get("problems", []),
        "num_texts": plan.get("num_texts", 0),
        "num_corrected": plan.get("num_corrected", 0),
        "num_returned": plan.get("num_returned", 0),
        "left_out": ", ".join(f"{reason} {count:,}" for reason, count in left_out.items()),
        "num_rows": measures.get("num_rows", 0),
        "accepted": measures.get("share_accepted"),
        "seconds": measures.get("hours", 0.0) * 3_600,
        "wer": measures.get("distributions", {}).get("wer", {}).get("p95"),
        **{name: stats.get(name, 0) for name in _COVERAGE},
    }
