"""Small outputs made by hand: shards, commits, leases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipeline.manifest.rows import Shard
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import LEASE_PATH
from pipeline.output.run_record import RunRecord
from pipeline.storage import ObjectInfo, Storage


def make_shard(name: str = "book/one", num_rows: int = 6, fingerprint: str = "f") -> Shard:
    return Shard(name, name, num_rows, fingerprint, ObjectInfo(name, 1, ""))


def make_rows(unit: WorkUnit, **columns: Any) -> pa.Table:
    rows = range(unit.first_row, unit.last_row + 1)
    names = {
        "utterance_id": [f"u{row}" for row in rows],
        "text": ["Hi."] * len(rows),
        "speaker_id": ["bea"] * len(rows),
    }
    return pa.table({**names, **columns})


def make_commit(log: CommitLog, unit: WorkUnit, rejected: tuple[int, ...] = ()) -> pa.Table:
    """Put a unit's WAVs and return its metadata, as a writer does."""
    records: list[dict[str, Any]] = []
    for row in range(unit.first_row, unit.last_row + 1):
        record = {"utterance_id": f"u{row}", "shard": unit.shard, "row": row, "created_at": datetime.now(UTC)}
        if row in rejected:
            record |= {"status": "rejected", "error_code": "no_speech", "error_message": "silence"}
        else:
            path, sha256 = log.put_audio(unit.shard, f"u{row}", f"wav {row}".encode(), "wav")
            record |= {"status": "ok", "audio_path": path, "audio_format": "wav", "audio_sha256": sha256}
            record |= {"duration_s": 1.5, "seed": 2**63 - 1}
        records.append(record)
    return build_commit_table(records, make_rows(unit))


def put_foreign_lease(storage: Storage, heartbeat: int = 3) -> None:
    holder = {"host": "elsewhere", "boot": "b", "pid": 1, "pid_started": "1", "token": "t", "epoch": 4}
    storage.put(LEASE_PATH, json.dumps({**holder, "heartbeat": heartbeat, "started_at": 0}).encode())


def begin_run(storage: Storage, shards: Sequence[Shard] = (), *, unit_size: int = 3, **config: Any) -> RunRecord:
    """Record a run over these shards, as a first start does; `config` is what it says of its config."""
    record = RunRecord(storage)
    record.begin({"unit_size": unit_size}, {"config": config} if config else {})
    record.write_table(record.read_table().adopt(shards, {}, {}))
    return record
