"""What a data set is like: counted night by night, so that a night is counted once and all nights are added up.

The counts of a night are a small table (kind, item, count, seconds); a histogram is such counts by bin, a vocabulary by
word. Knows nothing of stores.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import regex

from pipeline.output.histograms import MEASURES, Histogram, Measure

NIGHT_MEASURES = (*MEASURES, Measure("wer", "Word error rate", "", 0.0, 2.0))
"""Of each row; in `measures` of a snapshot, the duration aside."""
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_GROUPS = {
    "split": "splits",
    "speaker": "speakers",
    "language": "languages",
    "license": "licenses",
    "weights": "weights",
}
REJECTED_BY = ("split", "speaker", "language")
"""Groups of which it is counted how many rows were rejected."""
_REJECTED_KINDS = ("rejected", *(f"rejected_{kind}" for kind in REJECTED_BY))
_REJECTED_ROW = "rejected_row"
"""Of rejected rows that have code and groups in common, as a JSON list; earlier versions counted each for itself."""
_COVERAGE = {"word": "words", "letter": "letters", "trigram": "trigrams"}
_SINGLE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
"""Scripts without spaces, which count by character."""
_WORDS = regex.compile(rf"[{_SINGLE}]|[\p{{L}}\p{{M}}\p{{N}}--[{_SINGLE}]]+(?:['’][\p{{L}}\p{{M}}]+)*", regex.V1)
_LETTERS = regex.compile(r"\p{L}")
COUNTS_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
    ]
)


@dataclass
class NightCounts:
    """The counts of one night, while they are made."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    _histograms: dict[str, Histogram] = field(
        default_factory=lambda: {measure.name: Histogram(measure) for measure in NIGHT_MEASURES}
    )

    def add_rows(self, split: str, rows: pa.Table) -> None:
        """Count accepted rows of a split, given as a snapshot has them."""
        durations = [duration or 0.0 for duration in rows.column("duration").to_pylist()]
        self._add("split", [split] * rows.num_rows, durations)
        for name in ("speaker", "language", "license", "weights"):
            self._add(name, rows.column(name).to_pylist(), durations)
        measures = rows.column("measures").combine_chunks()
        for name, histogram in self._histograms.items():
            values = rows.column("duration") if name == "duration_s" else pc.struct_field(measures, name)
            histogram.add(np.array(pc.cast(values, pa.float64()).drop_null().to_numpy(), np.float64))
        texts = zip(rows.column("spoken_text").to_pylist(), rows.column("text").to_pylist(), strict=True)
        self._add_words(
            Counter(word for pair in texts for word in _WORDS.findall(str(pair[0] or pair[1] or "").casefold()))
        )

    def _add(self, kind: str, items: Iterable[Any], durations: list[float]) -> None:
        for item, duration in zip(items, durations, strict=True):
            key = (kind, str(item or "unknown"))
            self.counts[key] += 1
            self.seconds[key] = self.seconds.get(key, 0.0) + duration

    def _add_words(self, words: Counter[str]) -> None:
        """Count words, and the letters of each different one once: most words of a table are there many times."""
        for word, count in words.items():
            letters = _LETTERS.findall(word)
            padded = f" {''.join(letters)} "
            self.counts["word", word] += count
            for letter in letters:
                self.counts["letter", letter] += count
            for at in range(len(padded) - 2):
                self.counts["trigram", padded[at : at + 3]] += count

    def add_rejected(self, code: str, groups: Mapping[str, Any]) -> None:
        """Count a row that was rejected.

        Args:
            code: why.
            groups: its name in each of `REJECTED_BY`.
        """
        row = [code, *(str(groups[kind] or "unknown") for kind in REJECTED_BY)]
        self.counts[_REJECTED_ROW, json.dumps(row, ensure_ascii=False)] += 1

    def keep_rejected(self, table: pa.Table, without: Collection[str]) -> None:
        """Take over the rejected rows of earlier counts, but for those of some speakers."""
        found = table.filter(pc.is_in(table.column("kind"), pa.array([_REJECTED_ROW, *_REJECTED_KINDS])))
        speaker = 1 + REJECTED_BY.index("speaker")
        for row in found.to_pylist():
            is_his = row["kind"] == _REJECTED_ROW and json.loads(row["item"])[speaker] in without
            if not is_his and (row["kind"] != "rejected_speaker" or row["item"] not in without):
                self.counts[row["kind"], row["item"]] += row["count"]

    def to_table(self) -> pa.Table:
        """Return the counts, sorted: equal counts give equal tables."""
        counts = dict(self.counts)
        for name, histogram in self._histograms.items():
            counts |= {(name, f"{at:04d}"): int(histogram.counts[at]) for at in np.nonzero(histogram.counts)[0]}
        keys = sorted(counts)
        columns = [
            [kind for kind, _ in keys],
            [item for _, item in keys],
            [counts[key] for key in keys],
            # Sums of floats depend on their order; to the millisecond they do not.
            [round(self.seconds.get(key, 0.0), 3) for key in keys],
        ]
        return pa.table(columns, schema=COUNTS_SCHEMA)


def summarize(nights: Mapping[str, pa.Table]) -> dict[str, Any]:
    """Return what `stats.json` says of a data set.

    Args:
        nights: the counts of each.
    """
    names = sorted(nights)
    nights = {name: _count_each_group(nights[name]) for name in names}
    tables = [
        nights[name].append_column("night", pa.array([at] * nights[name].num_rows, pa.int32()))
        for at, name in enumerate(names)
    ]
    empty = COUNTS_SCHEMA.empty_table().append_column("night", pa.array([], pa.int32()))
    every = pa.concat_tables([empty, *tables])
    totals = every.group_by(["kind", "item"]).aggregate([("count", "sum"), ("seconds", "sum"), ("night", "min")])
    totals = totals.sort_by([("kind", "ascending"), ("item", "ascending")])
    by_kind: dict[str, list[dict[str, Any]]] = {}
    wanted = pa.array([*_GROUPS, *_REJECTED_KINDS])
    for row in totals.filter(pc.is_in(totals.column("kind"), wanted)).to_pylist():
        by_kind.setdefault(row["kind"], []).append(row)
    splits = by_kind.get("split", [])
    num_rows, seconds = sum(row["count_sum"] for row in splits), sum(row["seconds_sum"] for row in splits)
    num_rejected = sum(row["count_sum"] for row in by_kind.get("rejected", []))
    growth = _growth(totals, len(names))
    return {
        **_size(num_rows, seconds, num_rejected),
        **{title: _group(by_kind, kind) for kind, title in _GROUPS.items()},
        "rejected": {row["item"]: row["count_sum"] for row in by_kind.get("rejected", [])},
        "nights": {
            name: {**_size_of(nights[name]), **{title: growth[kind][at] for kind, title in _COVERAGE.items()}}
            for at, name in enumerate(names)
        },
        "measures": {found.measure.name: _distribution(found) for found in merge_histograms(nights)},
        "coverage": {title: growth[kind][-1] if names else 0 for kind, title in _COVERAGE.items()},
    }


def _count_each_group(table: pa.Table) -> pa.Table:
    """Return counts of rejected rows by code and by each group, made of those of rows that have all in common."""
    is_joint = pc.equal(table.column("kind"), _REJECTED_ROW)
    found = Counter[tuple[str, str]]()
    for row in table.filter(is_joint).to_pylist():
        for key in zip(_REJECTED_KINDS, json.loads(row["item"]), strict=True):
            found[key] += row["count"]
    columns = [[kind for kind, _ in found], [item for _, item in found], [*found.values()], [0.0] * len(found)]
    return pa.concat_tables([table.filter(pc.invert(is_joint)), pa.table(columns, schema=COUNTS_SCHEMA)])


def _size(num_rows: int, seconds: float, num_rejected: int) -> dict[str, Any]:
    tried = num_rows + num_rejected
    return {
        "num_rows": num_rows,
        "hours": round(seconds / 3600, 6),
        "num_rejected": num_rejected,
        "accepted": round(num_rows / tried, 6) if tried else None,
    }


def _size_of(table: pa.Table) -> dict[str, Any]:
    kinds = table.column("kind")
    splits, rejected = (table.filter(pc.equal(kinds, kind)) for kind in ("split", "rejected"))
    counts = [int(pc.sum(part.column("count")).as_py() or 0) for part in (splits, rejected)]
    return _size(counts[0], float(pc.sum(splits.column("seconds")).as_py() or 0.0), counts[1])


def _group(by_kind: Mapping[str, list[dict[str, Any]]], kind: str) -> dict[str, Any]:
    rejected = {row["item"]: row["count_sum"] for row in by_kind.get(f"rejected_{kind}", [])}
    # An earlier version counted speakers alone: of the other groups it is not known which rows were rejected.
    is_known = kind == "speaker" or sum(rejected.values()) == sum(r["count_sum"] for r in by_kind.get("rejected", []))
    if kind not in REJECTED_BY or not is_known:
        rejected = {}
    found = {}
    for row in _merge_spellings(by_kind.get(kind, [])) if kind == "license" else by_kind.get(kind, []):
        entry = {"num_rows": row["count_sum"], "hours": round(row["seconds_sum"] / 3600, 6)}
        if kind in REJECTED_BY and is_known:
            entry = _size(row["count_sum"], row["seconds_sum"], rejected.pop(row["item"], 0))
        found[row["item"]] = entry
    return found | {item: _size(0, 0.0, count) for item, count in rejected.items()}


def _merge_spellings(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return counts of names that differ in case alone as one, by the spelling that most rows have."""
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: -row["count_sum"]):
        first = found.setdefault(row["item"].casefold(), {**row, "count_sum": 0, "seconds_sum": 0.0})
        for sum_ in ("count_sum", "seconds_sum"):
            first[sum_] += row[sum_]
    return [*found.values()]


def _growth(totals: pa.Table, num_nights: int) -> dict[str, list[int]]:
    """Return how many different items of a kind there are up to each night."""
    found = {}
    for kind in _COVERAGE:
        first = totals.filter(pc.equal(totals.column("kind"), kind)).column("night_min").to_numpy()
        found[kind] = np.cumsum(np.bincount(first, minlength=num_nights)).tolist()
    return found


def merge_histograms(nights: Mapping[str, pa.Table]) -> list[Histogram]:
    """Return the histograms of all nights together, in the order of `NIGHT_MEASURES`.

    Args:
        nights: the counts of each.
    """
    found = [Histogram(measure) for measure in NIGHT_MEASURES]
    for table in nights.values():
        for histogram in found:
            rows = table.filter(pc.equal(table.column("kind"), histogram.measure.name))
            histogram.counts[[int(item) for item in rows.column("item").to_pylist()]] += rows.column("count").to_numpy()
    return found


def _distribution(histogram: Histogram) -> dict[str, float] | None:
    if not histogram.counts.any():
        return None
    return {f"p{round(100 * share):02d}": round(histogram.quantile(share), 3) for share in _QUANTILES}
