"""Whether somebody works on an output now, since when, and how the last start ended otherwise."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import Holder, read_holder
from pipeline.output.run_record import Run
from pipeline.storage import Storage

State = Literal["running", "finished", "failed", "sampled", "interrupted"]


@dataclass(frozen=True)
class Activity:
    """What an output's lease, its mark and the record of its last start say together.

    Attributes:
        state: `running`: a driver holds the lease. `finished`: every row is committed, and the mark is there. `failed`:
            the last start was stopped by an error. `sampled`: it ended as `limit` says. `interrupted`: it was stopped
            from outside, or died.
        driver: who holds the lease, or held it last.
        started_at: of the last start, in seconds since 1970; None where nothing began.
        problem: what stopped the last start.
    """

    state: State
    driver: str | None
    started_at: float | None
    problem: str | None


def read_activity(storage: Storage, run: Run) -> Activity:
    """Find out what goes on in an output, whose record says `run`.

    A driver on another machine is taken for one that works as long as it renewed its lease in the last two minutes, by
    this machine's clock and its own.

    Raises:
        StorageError: the store does not answer.
    """
    start = run.starts[-1] if run.starts else {}
    holder = read_holder(storage)
    at = start.get("at")
    started_at = datetime.fromisoformat(at).timestamp() if isinstance(at, str) else None
    problem = str(start["failed"]) if "failed" in start else None
    return Activity(_find_state(storage, holder, start), holder.description if holder else None, started_at, problem)


def _find_state(storage: Storage, holder: Holder | None, start: dict[str, object]) -> State:
    if holder is not None and holder.seems_alive(time.time()):
        return "running"
    if CommitLog(storage).is_finished():
        return "finished"
    if "failed" in start:
        return "failed"
    return "sampled" if start.get("is_sample") else "interrupted"
