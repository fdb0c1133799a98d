"""Whether a night is good enough to be published: what is measured of its rows, and what the limits say of that.

All that any limit is judged by is measured and kept, whatever the limits are, so that others need no new synthesis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.config.dataset import GateConfig
from pipeline.config.figures import apart
from pipeline.errors import RunStopped
from pipeline.output.commit_log import CommitLog, map_ahead
from pipeline.output.run_record import RunRecord
from pipeline.storage import Storage

MEASURES = (
    "wer",
    "cer",
    "speaker_similarity",
    "duration_s",
    "chars_per_s",
    "silence_ratio",
    "rms_dbfs",
    "peak_dbfs",
)
"""Of accepted rows; their distributions are kept."""
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_COLUMNS = ("status", "error_code", "speaker_id", "language", "split", *MEASURES)
_GROUPS = {"speakers": "speaker_id", "languages": "language", "splits": "split"}


@dataclass
class Measured:
    """What there is of a night."""

    num_rows: int = 0
    num_accepted: int = 0
    num_removed: int = 0
    """Withdrawn since; they are neither accepted nor rejected."""
    audio_s: float = 0.0
    rejected: Counter[str] = field(default_factory=Counter)
    """By reason."""
    groups: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """`speakers`, `languages`, `splits`: of each name `rows`, `accepted` and `hours`."""
    distributions: dict[str, dict[str, float]] = field(default_factory=dict)
    """Of each measure the number of rows that have it, and percentiles."""

    @property
    def share_accepted(self) -> float | None:
        """Share of the rows that were accepted; None where none was judged."""
        judged = self.num_accepted + self.rejected.total()
        return self.num_accepted / judged if judged else None

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {
            "num_rows": self.num_rows,
            "num_accepted": self.num_accepted,
            "num_removed": self.num_removed,
            "num_rejected": self.rejected.total(),
            "share_accepted": self.share_accepted,
            "hours": self.audio_s / 3_600,
            "rejected": dict(sorted(self.rejected.items())),
            **self.groups,
            "distributions": self.distributions,
        }


def measure_night(output: Storage, night: str) -> Measured:
    """Measure the rows of a night; reads its commits only, and no clips.

    Memory: eight bytes for each measure of each row.

    Raises:
        RunStopped: some of its rows are not committed.
        DamagedCommit: a commit cannot be read.
    """
    shard = RunRecord(output).read_shards().get(night)
    log, measured = CommitLog(output), Measured()
    values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in MEASURES}
    units = log.list_shard(night, shard.revision) if shard is not None else iter(())
    for table in map_ahead(lambda unit: log.read_commit(unit, _COLUMNS), units):
        _add(measured, table, values)
    expected = shard.num_rows if shard is not None else 0
    if measured.num_rows != expected:
        raise RunStopped(
            f"{output.uri}: {measured.num_rows:,} rows of night {night} are committed, expected {expected:,}; run the "
            "same command again"
        )
    for name, pieces in values.items():
        known = np.concatenate([*pieces, np.empty(0)])
        if len(known):
            found = np.percentile(known, _PERCENTILES)
            marks = {f"p{mark:02d}": round(float(value), 4) for mark, value in zip(_PERCENTILES, found, strict=True)}
            measured.distributions[name] = {"num": len(known), "mean": round(float(known.mean()), 4), **marks}
    return measured


def _add(measured: Measured, table: pa.Table, values: Mapping[str, list[NDArray[np.float64]]]) -> None:
    is_ok = pc.equal(table["status"], "ok")
    accepted = table.filter(is_ok)
    measured.num_rows += table.num_rows
    measured.num_accepted += accepted.num_rows
    measured.audio_s += pc.sum(accepted["duration_s"]).as_py() or 0.0
    for status, code in zip(table["status"].to_pylist(), table["error_code"].to_pylist(), strict=True):
        measured.num_removed += status == "removed"
        if status == "rejected":
            measured.rejected[str(code)] += 1
    for title, column in _GROUPS.items():
        group = measured.groups.setdefault(title, {})
        rows = zip(table[column].to_pylist(), table["status"].to_pylist(), table["duration_s"].to_pylist(), strict=True)
        for name, status, seconds in rows:
            if status != "removed":
                part = group.setdefault(str(name or "unknown"), {"rows": 0, "accepted": 0, "hours": 0.0})
                part["rows"] += 1
                part["accepted"] += status == "ok"
                part["hours"] += (seconds or 0.0) / 3_600
    for name in MEASURES:
        found = np.asarray(accepted[name].cast(pa.float64()).drop_null().to_numpy(), np.float64)
        values[name].append(found[np.isfinite(found)])


def judge_night(measures: Mapping[str, Any], gate: GateConfig) -> list[str]:
    """Return what keeps a night from being published; empty where nothing does.

    Args:
        measures: as `Measured.to_json` returns them.
        gate: the limits.
    """
    return [problem for name, limit in gate.limits().items() for problem in _judge(measures, name, limit)]


def _judge(measures: Mapping[str, Any], name: str, limit: float) -> Iterator[str]:
    if name == "min_accepted":
        share = measures["share_accepted"]
        if share is not None and share < limit:
            rejected = sorted(measures["rejected"].items(), key=lambda item: -item[1])[:4]
            reasons = ", ".join(f"{code} {count:,}" for code, count in rejected)
            found, least = apart(share, limit, 1, percent=True)
            yield f"accepted: {found} of the rows, at least {least} wanted ({reasons})"
    elif name == "min_hours":
        if measures["hours"] < limit:
            found, least = apart(measures["hours"], limit, 3)
            yield f"hours: {found} of accepted audio, at least {least} wanted"
    elif name == "min_speaker_accepted":
        for speaker, part in sorted(measures.get("speakers", {}).items()):
            share = part["accepted"] / part["rows"]
            if share < limit:
                found, least = apart(share, limit, 1, percent=True)
                yield f"speaker {speaker}: {found} of {part['rows']:,} rows accepted, at least {least} wanted"
    else:
        yield from _judge_distribution(measures, name, limit)


_DISTRIBUTIONS = {
    "max_wer_p95": ("wer", "p95", "word error rate", 1),
    "max_cer_p95": ("cer", "p95", "letter error rate", 1),
    "min_similarity_p05": ("speaker_similarity", "p05", "likeness of the voice", -1),
}


def _judge_distribution(measures: Mapping[str, Any], name: str, limit: float) -> Iterator[str]:
    measure, mark, title, sign = _DISTRIBUTIONS[name]
    found = measures["distributions"].get(measure)
    if not measures["num_accepted"]:
        return
    if found is None:
        yield f"{title}: not known of any row, as nobody listened; {name} cannot be judged"
    elif sign * found[mark] > sign * limit:
        value, bound = apart(found[mark], limit, 3)
        wanted = f"at {'most' if sign > 0 else 'least'} {bound} wanted"
        yield f"{title}: {value} at {mark} of {found['num']:,} rows, {wanted}"
