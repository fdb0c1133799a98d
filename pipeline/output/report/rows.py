"""All rows of a run for its page: kept on disk while the commits pass, then judged and cut into scripts.

A row can be judged once all were counted. Its commit is read once: what the page needs waits in a temporary file.
"""

from __future__ import annotations

import heapq
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.config.figures import apart
from pipeline.config.quality import QualityConfig
from pipeline.output.histograms import Histogram
from pipeline.output.records import COMMIT_SCHEMA
from pipeline.output.report.data import PageData

OUTLIER, WRONG_WORDS, RETAKEN, NOTED, REDONE = 1, 2, 4, 8, 16
"""Why a row is doubtful, as bits of the page's column `flags`; the last one says that a redo replaced its take."""
MAX_DOUBTFUL = 16
MAX_REDONE = 500
MAX_SPEAKERS, MAX_LANGUAGES = 2_000, 200
_ROWS_IN_SCRIPT, _CHARS_IN_SCRIPT = 5_000, 2_000_000
_MAX_TEXT, _MAX_ID = 4_000, 200
# Of a commit, and as the page calls it.
_NAMES = {
    "utterance_id": "id",
    "speaker_id": "speaker",
    "language": "language",
    "status": "status",
    "error_code": "code",
    "error_message": "message",
    "text": "text",
    "spoken_text": "spoken",
    "recognized_text": "heard",
    "quality_note": "note",
    "audio_path": "path",
    "audio_sha256": "sha256",
    "duration_s": "seconds",
    "chars_per_s": "rate",
    "rms_dbfs": "level",
    "peak_dbfs": "peak",
    "silence_ratio": "silence",
    "wer": "wer",
    "cer": "cer",
    "speaker_similarity": "similarity",
    "naturalness": "naturalness",
    "seed": "seed",
    "take": "take",
    "num_takes": "takes",
    "shard": "shard",
    "row": "row",
    "created_at": "made",
}
ROW_COLUMNS = tuple(_NAMES)
_SCHEMA = pa.schema([COMMIT_SCHEMA.field(name) for name in ROW_COLUMNS])
_OF_TAKES = (
    *("seconds", "rate", "level", "peak", "silence", "wer", "cer"),
    *("similarity", "naturalness", "seed", "take", "note", "made"),
)
"""What is compared of two takes."""
_TEXTS = ("spoken", "heard", "note", "message", "text")
_IDS = ("id", "speaker", "language", "code")


class RowSpool:
    """Rows of all commits in a file on this machine's disk, deleted with it; memory holds their units' ids."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()
        self._writer = pa.ipc.new_file(self._file, _SCHEMA)
        self._units: list[str] = []

    def __enter__(self) -> RowSpool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, unit_id: str, table: pa.Table) -> None:
        """Keep the rows of a commit."""
        batches = table.select(_SCHEMA.names).cast(_SCHEMA).combine_chunks().to_batches()
        for batch in batches:
            self._writer.write_batch(batch)
            self._units.append(unit_id)

    def end(self) -> None:
        """Note that no more come."""
        self._writer.close()

    def read(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield unit ids with their rows, in the order of ids; may be called again."""
        self._file.seek(0)
        reader = pa.ipc.open_file(self._file)
        for index in sorted(range(len(self._units)), key=self._units.__getitem__):
            yield self._units[index], reader.get_batch(index)


class Judge:
    """Says of a row that was spoken why somebody should listen to it; of most rows, nothing."""

    def __init__(self, histograms: Mapping[str, Histogram], quality: QualityConfig) -> None:
        self._measures = [
            (_NAMES[name], histogram, *histogram.limits(), histogram.quantile(0.5), histogram.spread)
            for name, histogram in histograms.items()
        ]
        self._limits = [(name, quality.limit(f"max_{name}")) for name in ("wer", "cer")]
        self._num_first_takes = quality.num_first_takes

    def judge(self, row: Mapping[str, Any]) -> tuple[int, float, str]:
        """Return flags, how doubtful the row is, and the reasons; zeros and an empty text where nothing is."""
        flags, score, reasons = 0, 0.0, []
        for name, histogram, low, high, middle, spread in self._measures:
            value = row[name]
            if value is not None and not low <= value <= high:
                measure = histogram.measure
                flags |= OUTLIER
                score += abs(value - middle) / spread
                found, _ = apart(value, low if value < low else high, 1)
                reasons.append(f"{measure.title.lower()} {found} {measure.unit}, median {middle:.1f}")
        for name, limit in self._limits:
            if row[name] is not None and row[name] > limit:
                flags |= WRONG_WORDS
                score += 5 * row[name]
                found, most = apart(row[name], limit, 2)
                reasons.append(f"{name.upper()} {found}, limit {most}")
        if row["take"] is not None and row["take"] >= self._num_first_takes:
            flags |= RETAKEN
            score += row["take"]
            reasons.append(f"take {row['take'] + 1}")
        if row["note"]:
            flags |= NOTED
            score += 1
            reasons.append(row["note"])
        return flags, score, "; ".join(reasons)


def read_quality(start: Mapping[str, Any]) -> QualityConfig:
    """Return `quality` as the record of a start has it; what this version does not know is left out."""
    config = start.get("config")
    found = config.get("quality") if isinstance(config, dict) else None
    try:
        known = {name: value for name, value in (found or {}).items() if name in QualityConfig.model_fields}
        return QualityConfig.model_validate(known)
    except (ValidationError, AttributeError):
        return QualityConfig()


@dataclass
class SpeakerCounts:
    """What the rows of one speaker came to."""

    num_rows: int = 0
    num_ok: int = 0
    num_rejected: int = 0
    num_doubtful: int = 0
    audio_s: float = 0.0
    _sums: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row of the page."""
        self.num_rows += 1
        self.num_ok += row["status"] == "ok"
        self.num_rejected += row["status"] == "rejected"
        self.num_doubtful += bool(row["flags"])
        self.audio_s += row["seconds"] or 0.0
        for name in ("rate", "level", "wer"):
            if row[name] is not None:
                total = self._sums.setdefault(name, [0.0, 0.0])
                total[0] += row[name]
                total[1] += 1

    def mean(self, name: str) -> float | None:
        """Return the mean of rate, level or wer; None where nothing was measured."""
        total, count = self._sums.get(name, (0.0, 0.0))
        return total / count if count else None


class RowPages:
    """The rows of a page on their way into its data; counts by speaker, language and time on the way."""

    def __init__(self, judge: Judge, data: PageData) -> None:
        self._judge, self._data = judge, data
        self._columns: dict[str, list[Any]] = {}
        self._num_chars = 0
        self.num_rows = 0
        self.num_doubtful = 0
        self.speakers: dict[str, SpeakerCounts] = {}
        self.other_speakers = SpeakerCounts()
        self.languages: Counter[str] = Counter()
        self._doubtful: list[tuple[float, int]] = []
        self.redone: dict[int, tuple[str, int]] = {}
        """Unit and row of the first 500 rows by number whose take was replaced, if that is at hand."""

    @property
    def doubtful(self) -> list[int]:
        """Numbers of the most doubtful rows, the worst first."""
        return [-number for _, number in sorted(self._doubtful, reverse=True)]

    def add(self, unit_id: str, batch: pa.RecordBatch, replaced: Mapping[int, Mapping[str, Any]]) -> None:
        """Add the rows of a commit, with the records of takes that were replaced, by row."""
        columns = {_NAMES[name]: _plain(name, column) for name, column in zip(ROW_COLUMNS, batch, strict=True)}
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            self._compare(unit_id, row, replaced.get(row["row"]))
            self._add_row(unit_id, row)
        if len(self._columns.get("id", ())) >= _ROWS_IN_SCRIPT or self._num_chars >= _CHARS_IN_SCRIPT:
            self.flush()

    def _compare(self, unit_id: str, row: dict[str, Any], former: Mapping[str, Any] | None) -> None:
        """Note the take before, where it is another one: the last redo may have been cut short before its commit."""
        sha256, row["before"] = row.pop("sha256"), None
        if former is None or row["status"] == "removed" or former["audio_sha256"] == sha256:
            return
        record = pa.RecordBatch.from_pylist([{name: former[name] for name in ROW_COLUMNS}], _SCHEMA)
        values = {_NAMES[name]: _plain(name, column)[0] for name, column in zip(ROW_COLUMNS, record, strict=True)}
        row["before"] = {"unit": unit_id, **{name: values[name] for name in _OF_TAKES if values[name] is not None}}
        if len(self.redone) < MAX_REDONE:
            self.redone[self.num_rows] = (unit_id, row["row"])

    def _add_row(self, unit_id: str, row: dict[str, Any]) -> None:
        for name, most in (*((name, _MAX_TEXT) for name in _TEXTS), *((name, _MAX_ID) for name in _IDS)):
            if row[name] is not None:
                row[name] = row[name] if len(row[name]) <= most else f"{row[name][:most]} …"
                self._num_chars += len(row[name])
        if row["spoken"] == row["text"]:
            row["spoken"] = None
        # Where its clip is, if it is no file.
        row["unit"] = unit_id if row["status"] == "ok" and row["path"] is None else None
        row["flags"], score, row["why"] = self._judge.judge(row) if row["status"] == "ok" else (0, 0.0, "")
        row["why"] = row["why"] or None
        if row["flags"]:
            self.num_doubtful += 1
            heapq.heappush(self._doubtful, (score, -self.num_rows))
            if len(self._doubtful) > MAX_DOUBTFUL:
                heapq.heappop(self._doubtful)
        self._count(row)
        row["flags"] |= REDONE if row["before"] else 0
        for name, value in row.items():
            self._columns.setdefault(name, []).append(value)
        self.num_rows += 1

    def _count(self, row: Mapping[str, Any]) -> None:
        language = row["language"] or ""
        if language in self.languages or len(self.languages) < MAX_LANGUAGES:
            self.languages[language] += 1
        speaker = row["speaker"] or ""
        if speaker in self.speakers or len(self.speakers) < MAX_SPEAKERS:
            self.speakers.setdefault(speaker, SpeakerCounts()).add(row)
        else:
            self.other_speakers.add(row)

    def flush(self) -> None:
        """Hand over what is left."""
        if self._columns:
            count = len(self._columns["id"])
            # What no row has is left out.
            columns = {name: values for name, values in self._columns.items() if any(v is not None for v in values)}
            self._data.add("rows", columns, first=self.num_rows - count, count=count)
        self._columns, self._num_chars = {}, 0


def _plain(name: str, column: pa.Array) -> list[Any]:
    """Return a column as JSON may hold it: numbers rounded, none that is not finite; seeds, which are long, as text."""
    if pa.types.is_timestamp(column.type):
        return [None if value is None else round(value / 1e6) for value in pc.cast(column, pa.int64()).to_pylist()]
    values: list[Any] = column.to_pylist()
    if name == "seed":
        return [None if value is None else str(value) for value in values]
    if pa.types.is_floating(column.type):
        return [round(value, 3) if value is not None and math.isfinite(value) else None for value in values]
    return values


class Times:
    """When rows were made, counted in slots of equal length."""

    NUM_SLOTS = 60

    def __init__(self) -> None:
        self._first, self._last = math.inf, -math.inf
        self._counts = np.zeros(self.NUM_SLOTS, np.int64)

    def see(self, table: pa.Table) -> None:
        """Widen the range to the rows of a commit; all are seen before the first is counted."""
        times = _seconds(table["created_at"])
        if len(times):
            self._first, self._last = min(self._first, times.min()), max(self._last, times.max())

    def count(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a commit."""
        times = _seconds(batch.column("created_at"))
        if len(times):
            self._counts += np.histogram(times, self.NUM_SLOTS, self._range())[0]

    def _range(self) -> tuple[float, float]:
        return self._first, max(self._last, self._first + 1.0)

    def slots(self) -> list[tuple[float, int]]:
        """Return when each slot begins, in seconds since 1970, with its rows; none where no row has a time."""
        if not self._counts.any():
            return []
        starts = np.linspace(*self._range(), self.NUM_SLOTS + 1)
        return [(float(start), int(count)) for start, count in zip(starts, self._counts, strict=False)]


def _seconds(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    seconds: NDArray[np.float64] = pc.cast(column, pa.int64()).drop_null().to_numpy() / 1e6
    return seconds
