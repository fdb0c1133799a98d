"""How far an output is and what it holds, read from the output alone: no Ray, no weights, no manifest.

One pass over the commits, in columns; memory is bounded by the bins of three histograms and one record a chapter.
`jobs.status` and the report say the same, as both come from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config.run import StorageConfig
from pipeline.errors import DamagedCommit
from pipeline.manifest.units import count_units
from pipeline.output.activity import Activity, read_activity
from pipeline.output.commit_log import CommitLog
from pipeline.output.histograms import MEASURES, Histogram
from pipeline.output.row_counts import COUNTED_COLUMNS, RowCounts
from pipeline.output.run_record import RunRecord
from pipeline.storage import Storage, open_storage

MAX_CHAPTERS = 3_000
_MAX_TITLE = 240
_COUNTED = (*COUNTED_COLUMNS, "created_at")
_MAX_DAMAGED = 20
_BOOK = ("book_id", "book_title", "chapter", "chapter_title")


@dataclass
class _Chapter:
    book_title: str
    title: str
    num_rows: int = 0
    num_rejected: int = 0
    num_removed: int = 0
    audio_s: float = 0.0


class Survey:
    """What one pass over the commits of an output counts."""

    def __init__(self) -> None:
        self.since: float | None = None
        """Rows that were committed later, in seconds since 1970, are counted apart."""
        self.num_rows_since = 0
        self.last_commit: float | None = None
        self.histograms = {measure.name: Histogram(measure) for measure in MEASURES}
        self.num_units = 0
        self.counts = RowCounts()
        self.num_damaged = 0
        self.damaged: list[str] = []
        """What is wrong with the first of the commits that cannot be read."""
        self._chapters: dict[tuple[str, int], _Chapter] = {}
        self._num_rows_left_out = 0

    def note_damage(self, error: DamagedCommit) -> None:
        """Count a commit that cannot be read."""
        self.num_damaged += 1
        if len(self.damaged) < _MAX_DAMAGED:
            self.damaged.append(str(error))

    def visit(self, table: pa.Table) -> None:
        """Count one commit."""
        is_ok = pc.equal(table["status"], "ok")
        spoken = table.filter(is_ok)
        self.num_units += 1
        self.counts.add(*(table[name].to_pylist() for name in COUNTED_COLUMNS))
        self._visit_times(table)
        for name, histogram in self.histograms.items():
            if name in spoken.column_names:
                histogram.add(spoken[name].cast(pa.float64()).drop_null().to_numpy())
        self._visit_chapters(table, is_ok, pc.equal(table["status"], "removed"))

    def _visit_times(self, table: pa.Table) -> None:
        if self.since is None or "created_at" not in table.column_names:
            return
        times = pc.cast(table["created_at"], pa.int64()).drop_null().to_numpy() / 1e6
        self.num_rows_since += int((times >= self.since).sum())
        self.last_commit = max(self.last_commit or 0.0, float(times.max(initial=0.0)))

    def _visit_chapters(self, table: pa.Table, is_ok: pa.ChunkedArray, is_removed: pa.ChunkedArray) -> None:
        # Other manifests may have columns of these names that mean something else.
        if not all(name in table.column_names for name in _BOOK) or not pa.types.is_integer(table["chapter"].type):
            return
        table = table.append_column("is_ok", is_ok.cast(pa.int64()))
        table = table.append_column("is_removed", is_removed.cast(pa.int64()))
        aggregated = table.group_by(["book_id", "chapter"], use_threads=False).aggregate(
            [("book_title", "first"), ("chapter_title", "first"), ("is_ok", "sum"), ("is_ok", "count"),
             ("is_removed", "sum"), ("duration_s", "sum")]
        )  # fmt: skip
        for row in aggregated.to_pylist():
            if row["book_id"] is None or row["chapter"] is None:
                continue
            key = (str(row["book_id"]), int(row["chapter"]))
            if key not in self._chapters and len(self._chapters) >= MAX_CHAPTERS:
                self._num_rows_left_out += row["is_ok_count"]
                continue
            book_title, title = (
                str(row[f"{name}_first"] or "")[:_MAX_TITLE] for name in ("book_title", "chapter_title")
            )
            chapter = self._chapters.setdefault(key, _Chapter(book_title, title))
            chapter.num_rows += row["is_ok_count"]
            chapter.num_removed += row["is_removed_sum"]
            chapter.num_rejected += row["is_ok_count"] - row["is_ok_sum"] - row["is_removed_sum"]
            chapter.audio_s += row["duration_s_sum"] or 0.0

    def books(self) -> list[dict[str, Any]]:
        """Return what is committed of each book, with its chapters in order."""
        books: dict[str, dict[str, Any]] = {}
        for (book_id, number), chapter in sorted(self._chapters.items()):
            counts = {
                "num_rows": chapter.num_rows,
                "num_rejected": chapter.num_rejected,
                "num_removed": chapter.num_removed,
                "audio_s": round(chapter.audio_s, 3),
            }
            book = books.setdefault(
                book_id, {"book_id": book_id, "title": chapter.book_title, **dict.fromkeys(counts, 0), "chapters": []}
            )
            book["chapters"].append({"chapter": number, "title": chapter.title, **counts})
            for name, value in counts.items():
                book[name] += value
        return list(books.values())

    def summary(self) -> dict[str, Any]:
        """Return what was counted."""
        return {
            "num_committed_rows": self.counts.num_rows,
            "num_committed_units": self.num_units,
            "num_damaged_commits": self.num_damaged,
            "damaged": self.damaged,
            "num_ok": self.counts.num_ok,
            "num_rejected": self.counts.rejected.total(),
            "num_removed": self.counts.num_removed,
            "rejected": dict(self.counts.rejected.most_common()),
            "audio_s": self.counts.audio_s,
            "takes_per_row": self.counts.takes_per_row,
            "measures": {name: histogram.summary() for name, histogram in self.histograms.items()},
            "books": self.books(),
            "num_rows_of_other_chapters": self._num_rows_left_out,
        }


def read_status(output: str, endpoint_url: str | None = None) -> dict[str, Any]:
    """Count what an output holds.

    Args:
        output: a folder or an object-store prefix.
        endpoint_url: S3 endpoint for other stores than AWS.

    Returns:
        `state` (see `Activity`), with `driver`, `started_at` (ISO), `problem`, and while it runs `rows_per_hour` of
        this start and `left_s`; `num_rows`, `num_units` of the whole run, `num_committed_rows`,
        `num_committed_units`, `num_ok`, `num_rejected`, `num_removed`, `rejected` (count by code), `audio_s`,
        `takes_per_row` (takes made for each accepted row);
        `num_damaged_commits`, which are counted nowhere else, and in `damaged` what is wrong with the first of them;
        `measures` (of duration, rate and level: median, limits, outliers), and of a catalogue `books` with their
        chapters.

    Raises:
        ConfigError: there is no run here.
        StorageError: the store does not answer.
    """
    return survey_output(open_storage(output, StorageConfig(endpoint_url=endpoint_url)), Survey())


def survey_output(
    storage: Storage, survey: Survey, columns: Sequence[str] = (), visit: Callable[[str, pa.Table], None] | None = None
) -> dict[str, Any]:
    """Count what an output holds, and show every commit to somebody who wants to see more of it.

    Args:
        storage: the output.
        survey: an empty one; filled.
        columns: what `visit` wants to see beside what is counted.
        visit: called with every unit's id and commit, so that other numbers are of the same moment.

    Returns:
        what `read_status` returns.

    Raises:
        ConfigError: there is no run here.
        StorageError: the store does not answer.
    """
    log, record = CommitLog(storage), RunRecord(storage)
    run, shards = record.read(), record.read_table()
    activity = read_activity(storage, run)
    survey.since = activity.started_at
    counted = (*_COUNTED, *survey.histograms, *_BOOK)
    names = list(dict.fromkeys([*counted, *columns]))
    for unit_id, table in log.iter_commits(names, shards.holds, survey.note_damage):
        survey.visit(table)
        if visit is not None:
            visit(unit_id, table)
    num_rows = sum(shard.num_rows for shard in shards.shards.values())
    return {
        **_describe_activity(activity, survey, num_rows),
        "num_rows": num_rows,
        "num_units": count_units((shard.num_rows for shard in shards.shards.values()), run.unit_size),
        **survey.summary(),
    }


def _describe_activity(activity: Activity, survey: Survey, num_rows: int) -> dict[str, Any]:
    found: dict[str, Any] = {"state": activity.state, "driver": activity.driver, "problem": activity.problem}
    found["started_at"] = found["rows_per_hour"] = found["left_s"] = None
    if activity.started_at is not None:
        found["started_at"] = datetime.fromtimestamp(activity.started_at, UTC).isoformat()
        if activity.state == "running" and survey.num_rows_since and survey.last_commit:
            # Loading is part of it, so that this is what a start has come to so far.
            rate = survey.num_rows_since / max(survey.last_commit - activity.started_at, 1.0)
            found["rows_per_hour"] = rate * 3_600
            found["left_s"] = max(0, num_rows - survey.counts.num_rows) / rate
    return found
