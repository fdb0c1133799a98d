"""What planning takes: a manifest of many rows, and a plan of it."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.manifest.rows import Manifest

_WORDS = (
    "the train leaves at seven so please be near the station early and bring what you need for the long way".split()
)
_ROW_GROUP = 50_000


def make_manifest(folder: Path, num_rows: int, num_shards: int) -> None:
    """Write shards of texts of about 150 characters, no two alike."""
    schema = pa.schema([("utterance_id", pa.string()), ("text", pa.string()), ("speaker_id", pa.string())])
    for shard in range(num_shards):
        with pq.ParquetWriter(folder / f"shard-{shard:04d}.parquet", schema) as writer:
            first, last = (num_rows * at // num_shards for at in (shard, shard + 1))
            for start in range(first, last, _ROW_GROUP):
                rows = range(start, min(start + _ROW_GROUP, last))
                texts = [" ".join([*(_WORDS[(row >> at) % len(_WORDS)] for at in range(30)), str(row)]) for row in rows]
                ids = [f"book-{row % 997:03d}-{row:09d}" for row in rows]
                writer.write_table(pa.table([ids, texts, ["bea"] * len(ids)], schema=schema))


def plan(uri: str, unit_size: int) -> dict[str, float]:
    """Plan as a run does, ids included, and return what that took."""
    begin = time.perf_counter()
    manifest = Manifest.open(uri)
    num_units = sum(1 for _ in manifest.plan(unit_size))
    num_duplicates = sum(map(len, manifest.find_duplicates().values()))
    seconds = time.perf_counter() - begin
    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return {
        "rows": manifest.num_rows,
        "units": num_units,
        "duplicates": num_duplicates,
        "seconds": round(seconds, 3),
        "peak_rss_mib": round(peak_rss, 1),
    }
