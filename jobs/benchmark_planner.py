"""Measure planning: make a manifest of many rows, plan it in a process of its own, print time and peak memory.

python -m jobs.benchmark_planner --rows 1000000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_WORDS = (
    "the train leaves at seven so please be near the station early and bring what you need for the long way".split()
)
_ROW_GROUP = 50_000


def make_manifest(folder: Path, num_rows: int, num_shards: int) -> None:
    """Write shards of texts of about 150 characters, no two alike."""
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    """Plan as a run does, ids included, and say what it took."""
    from pipeline.manifest.rows import Manifest

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0."""
    parser = argparse.ArgumentParser(prog="python -m jobs.benchmark_planner", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--unit-size", type=int, default=128)
    parser.add_argument("--manifest", help="plan this one in this process instead of making one")
    options = parser.parse_args(arguments)
    if options.manifest:
        print(json.dumps(plan(options.manifest, options.unit_size)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make_manifest(Path(folder), options.rows, options.shards)
        # A process of its own, so that making the manifest does not count.
        command = [sys.executable, "-m", "jobs.benchmark_planner", f"--manifest={folder}"]
        return subprocess.run([*command, f"--unit-size={options.unit_size}"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
