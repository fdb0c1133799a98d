"""How far an output is, read from the output alone: no Ray, no weights, no manifest."""

from __future__ import annotations

from typing import Any

from pipeline.commit_log import CommitLog
from pipeline.config import StorageConfig
from pipeline.storage import open_storage


def read_status(output: str, endpoint_url: str | None = None) -> dict[str, Any]:
    """Count what an output holds.

    Args:
        output: a folder or an object-store prefix.
        endpoint_url: S3 endpoint for other stores than AWS.

    Returns:
        `state` (`finished` or `unfinished`), `num_rows`, `num_units` of the whole run, `num_committed_rows`,
        `num_committed_units`, `num_ok`, `num_rejected`, `rejected` (count by code) and `audio_s`.

    Raises:
        ConfigError: there is no run here.
        StorageError: the store does not answer.
    """
    log = CommitLog(open_storage(output, StorageConfig(endpoint_url=endpoint_url)))
    run = log.read_run()
    unit_size = run["pinned"]["unit_size"]
    done = log.summarize()
    return {
        "state": "finished" if log.is_finished() else "unfinished",
        "num_rows": run["num_rows"],
        "num_units": sum(-(-shard["num_rows"] // unit_size) for shard in run["shards"].values()),
        "num_committed_rows": done.num_rows,
        "num_committed_units": done.num_units,
        "num_ok": done.num_ok,
        "num_rejected": done.num_rejected,
        "rejected": dict(done.rejected_by_code),
        "audio_s": done.audio_seconds,
    }
