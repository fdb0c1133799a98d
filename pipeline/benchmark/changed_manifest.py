"""What it takes to bring an output up to date with a manifest that changed: planning, and the takes that are kept.

The output is made by hand, without a clip: nothing here reads one.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cluster.unit_states import UnitPlanner, commit_kept_units
from pipeline.config.manifest import OWN_COLUMNS
from pipeline.config.run import Config, parse_config
from pipeline.manifest.rows import Manifest
from pipeline.output.adoption import drop_former_shards, find_duplicates, list_former_units, plan_adoption
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import Lease
from pipeline.output.records import COMMIT_SCHEMA, hash_input
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardTable
from pipeline.storage import Storage, open_storage
from pipeline.synthesis.take_pool import TakePool

_SPEAKERS = {"bea": 0}
_UNIT_SIZE = 128


def make_output(manifest: str, folder: Path) -> None:
    """Commit every row of a manifest as accepted."""
    storage = open_storage(str(folder))
    record, log = RunRecord(storage), CommitLog(storage)
    opened = Manifest.open(manifest)
    record.begin({"unit_size": _UNIT_SIZE}, {})
    record.write_table(ShardTable().adopt(opened.shards, {}, _SPEAKERS))
    now = datetime.now(UTC)
    for unit in opened.plan(_UNIT_SIZE):
        rows = opened.read_rows(unit, OWN_COLUMNS).to_pylist()
        records = [
            {
                **row,
                "status": "ok",
                "audio_path": f"audio/{unit.shard}/{row['utterance_id']}.000000000000.wav",
                "audio_format": "wav",
                "audio_sha256": "0" * 64,
                "shard": unit.shard,
                "row": number,
                "created_at": now,
                "input_hash": hash_input(row, 0),
            }
            for number, row in enumerate(rows, unit.first_row)
        ]
        log.commit(unit, pa.Table.from_pylist(records, COMMIT_SCHEMA))


def edit_manifest(folder: Path, num_shards: int, every: int) -> int:
    """Edit every n-th text of the first shards; returns how many rows that are."""
    num_edited = 0
    for path in sorted(folder.glob("*.parquet"))[:num_shards]:
        table = pq.read_table(path)
        texts = [f"{text} edited" if at % every == 0 else text for at, text in enumerate(table["text"].to_pylist())]
        num_edited += len(range(0, len(texts), every))
        pq.write_table(table.set_column(1, "text", pa.array(texts)), path, row_group_size=50_000)
    return num_edited


def adopt(manifest: str, folder: Path) -> dict[str, float]:
    """Bring the output up to date, but for the rows that would have to be synthesized; return what that took."""
    storage, took = open_storage(str(folder)), {}

    @contextmanager
    def clock(name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        took[name] = round(time.perf_counter() - begin, 2)

    config = parse_config({"weights": "random", "manifest": manifest, "speakers": "-", "output": str(folder)})
    before_mib = _peak_mib()
    with Lease.acquire(storage, timeout_s=30.0) as lease:
        _adopt(storage, config, lease, clock, took)
    return {**took, "peak_mib": _peak_mib(), "peak_growth_mib": round(_peak_mib() - before_mib, 1)}


def _adopt(storage: Storage, config: Config, lease: Lease, clock: Callable, took: dict[str, float]) -> None:  # type: ignore[type-arg]
    record, log = RunRecord(storage), CommitLog(storage)
    with clock("open_manifest_s"):
        manifest = Manifest.open(config.manifest)
    with clock("plan_s"):
        table = plan_adoption(
            manifest, log, record.read_table(), speakers=_SPEAKERS, enrolled=_SPEAKERS, withdrawn=frozenset()
        )
        record.write_table(table)
        manifest = manifest.of_output({name: shard.revision for name, shard in table.shards.items()}, table.columns)
    with clock("list_commits_s"):
        committed = log.committed()
    with clock("read_takes_to_keep_s"):
        pool = TakePool.read(log, list_former_units(log, table), config)
    planner = UnitPlanner(manifest, find_duplicates(manifest, table), _SPEAKERS, pool)
    left = [unit for unit in manifest.plan(_UNIT_SIZE) if unit.unit_id not in committed]
    with clock("commit_kept_units_s"):
        kept = commit_kept_units(planner, log, lease, iter(left), weights_sha256="0" * 64, is_packed=False)
        num_kept_units = sum(receipt is not None for _, receipt in kept)
    took |= {"takes_to_keep": len(pool), "units_planned": len(left), "units_kept": num_kept_units}
    if num_kept_units == len(left):
        with clock("drop_former_s"):
            drop_former_shards(storage, record, log, lease)


def _peak_mib() -> float:
    return round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1
    )
