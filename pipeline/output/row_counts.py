"""Committed rows counted by outcome: of one commit, which is its receipt, and of a whole output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.figures import apart
from pipeline.config.quality import QualityConfig
from pipeline.errors import RunStopped

COUNTED_COLUMNS = ("status", "error_code", "duration_s", "num_takes")
"""Of a commit, in the order in which `RowCounts.add` takes them."""
_MAX_EXAMPLES = 5


@dataclass
class RowCounts:
    """Rows by outcome.

    Example:
        >>> counts = RowCounts()
        >>> counts.add(["ok", "rejected"], [None, "empty_text"], [1.5, None], [1, None])
        >>> counts.num_rows, counts.rejected
        (2, Counter({'empty_text': 1}))
    """

    num_ok: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """By code."""
    audio_s: float = 0.0
    num_removed: int = 0
    num_takes: int = 0
    """That were made of all rows' segments, good or not."""
    num_ok_with_takes: int = 0
    """Accepted rows of which that is known; older formats do not tell."""

    @property
    def takes_per_row(self) -> float | None:
        """Takes made for each row that was accepted, the price of choosing; None where nobody counted."""
        return self.num_takes / self.num_ok_with_takes if self.num_ok_with_takes else None

    @property
    def num_rows(self) -> int:
        """Rows of any outcome."""
        return self.num_ok + self.rejected.total() + self.num_removed

    def describe(self) -> str:
        """Return the rows by outcome, as `0 accepted, 2 rejected (no_speech 2)`; removed ones where there are any."""
        codes = ", ".join(f"{code} {count:,}" for code, count in sorted(self.rejected.items()))
        text = f"{self.num_ok:,} accepted, {self.rejected.total():,} rejected" + (f" ({codes})" if codes else "")
        return f"{text}, {self.num_removed:,} removed" if self.num_removed else text

    def report(self, num_rows: int) -> dict[str, Any]:
        """Return what `report.json` says of an output with so many rows."""
        rejected = dict(self.rejected.most_common())
        counts = {"num_rows": num_rows, "num_ok": self.num_ok, "num_removed": self.num_removed}
        return {**counts, "rejected": rejected, "audio_s": self.audio_s, "takes_per_row": self.takes_per_row}

    def merge(self, other: RowCounts) -> None:
        """Add the counts of other rows."""
        self.rejected.update(other.rejected)
        for name in ("num_ok", "audio_s", "num_removed", "num_takes", "num_ok_with_takes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def add(
        self,
        statuses: Iterable[Any],
        codes: Iterable[Any],
        durations_s: Iterable[float | None],
        nums_takes: Iterable[int | None],
    ) -> None:
        """Count rows, given as the columns `COUNTED_COLUMNS` of their commit."""
        for status, code, duration_s, num_takes in zip(statuses, codes, durations_s, nums_takes, strict=True):
            self.num_takes += num_takes or 0
            if status == "ok":
                self.num_ok += 1
                self.num_ok_with_takes += num_takes is not None
            elif status == "removed":
                self.num_removed += 1
            else:
                self.rejected[str(code)] += 1
            self.audio_s += duration_s or 0.0


def check_rejected_share(rejected: Counter[str], num_rows: int, quality: QualityConfig) -> None:
    """Raise `RunStopped` if more than `quality.stop_above_rejected` of so many rows are rejected."""
    num_rejected = rejected.total()
    if num_rejected > quality.stop_above_rejected * num_rows:
        reasons = ", ".join(f"{code} {count:,}" for code, count in rejected.most_common(3))
        share, most = apart(num_rejected / max(num_rows, 1), quality.stop_above_rejected, percent=True)
        raise RunStopped(
            f"{num_rejected:,} of {num_rows:,} rows ({share}) were rejected ({reasons}), more than "
            f"quality.stop_above_rejected ({most}); fix the cause or raise the limit, then run the same command again"
        )


@dataclass(frozen=True)
class UnitReceipt:
    """What one commit added to the run."""

    unit_id: str
    num_ok: int
    rejected: Mapping[str, int]
    audio_s: float
    num_retakes: int
    """Takes beyond the first of each segment."""
    committed: bool
    """False if another driver had committed the unit already."""
    examples: Sequence[tuple[str, str, str]] = field(default_factory=tuple)
    """(utterance_id, code, message) of the first few rejections."""
    num_removed: int = 0
    num_kept: int = 0
    """Rows that are counted nowhere else: an earlier commit had them."""

    @classmethod
    def of(
        cls, unit_id: str, records: Sequence[Mapping[str, Any]], *, committed: bool, num_kept: int = 0
    ) -> UnitReceipt:
        """Count the records that were made for a commit, beside those that it kept."""
        counts = RowCounts()
        counts.add(*([record.get(name) for record in records] for name in COUNTED_COLUMNS))
        rejected = (record for record in records if record["status"] == "rejected")
        return cls(
            unit_id=unit_id,
            num_ok=counts.num_ok,
            rejected=dict(counts.rejected),
            audio_s=counts.audio_s,
            num_retakes=sum(max((r.get("num_takes") or 0) - (r.get("num_segments") or 0), 0) for r in records),
            committed=committed,
            num_removed=counts.num_removed,
            examples=tuple(
                (str(record["utterance_id"]), str(record["error_code"]), str(record["error_message"]))
                for record, _ in zip(rejected, range(_MAX_EXAMPLES), strict=False)
            ),
            num_kept=num_kept,
        )
