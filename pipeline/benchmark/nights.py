"""What a night of a data set costs around its synthesis: plan, checks of the run, gate, snapshot, by the corpus's size.

Rows are committed by the real writer of commits, with a clip of a tenth of a second, so that nothing is synthesized.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipeline.audio.clips import Audio
from pipeline.benchmark.instant import INSTANT_NETWORKS
from pipeline.config.dataset import NightConfig, parse_night_config
from pipeline.config.manifest import OWN_COLUMNS
from pipeline.config.run import Config
from pipeline.dataset import night as nights
from pipeline.manifest.rows import Manifest
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.records import hash_input, pack_clip
from pipeline.storage import open_storage

_FIRST_NIGHT = "2026-01-01"
_FIRST_ROWS = 64
"""Of the first night, which a real run synthesizes with networks that answer at once."""
_VOICES = ("ada", "bea", "iris")
_WORDS = "boat river house garden window street letter night morning winter bridge water stone bread".split()
_ROWS_PER_FILE = 100_000
_PHASES = ("plan_night", "synthesize_manifest", "measure_night", "read_superseded", "write_snapshot", "publish")


def make_config(folder: Path, **dataset: Any) -> NightConfig:
    """Return the config of a data set in a folder, and write its speakers."""
    folder.mkdir(parents=True, exist_ok=True)
    speakers = [{"speaker_id": name, "global_tokens": [*range(at, at + 32)]} for at, name in enumerate(_VOICES)]
    (folder / "speakers.yaml").write_text(yaml.safe_dump(speakers))
    return parse_night_config(
        {
            "weights": "demo",
            "texts": [{"path": str(folder / "texts/*.parquet"), "name": "news", "language": "en"}],
            "speakers": str(folder / "speakers.yaml"),
            "output": str(folder / "corpus"),
            "unit_size": 512,
            "llm": {"slots": 32},
            "quality": {"min_pace": 0.0, "max_pace": 10_000.0},
            "replicas": {
                "llm": {"count": 1, "num_cpus": 0.5},
                "codec": {"count": 1, "num_cpus": 0.5},
                "writer": {"count": 1, "num_cpus": 0.25},
            },
            "dataset": {
                "name": "benchmark/nights",
                "license": "cc0-1.0",
                "split": {"validation": 0.01, "test": 0.01, "test_speakers": ["iris"]},
                **dataset,
            },
        }
    )


def write_texts(folder: Path, first: int, count: int) -> None:
    """Write texts of some ten words, no two alike; every tenth has a number, which is spelled out."""
    (folder / "texts").mkdir(parents=True, exist_ok=True)
    for start in range(first, first + count, _ROWS_PER_FILE):
        rows = range(start, min(start + _ROWS_PER_FILE, first + count))
        table = pa.table({"id": [f"n{row:09d}" for row in rows], "text": [_text_of(row) for row in rows]})
        pq.write_table(table, folder / f"texts/{start:09d}.parquet")


def _text_of(row: int) -> str:
    num = len(_WORDS)
    words = [_WORDS[row // num**at % num] for at in range(7)]
    number = f" {row % 90 + 10}" if row % 10 == 0 else ""
    return f"The {words[0]} and the {words[1]} by the {' '.join(words[2:])}{number}."


def make_night(folder: Path, night: str, num_new: int) -> dict[str, Any]:
    """Make a night of new texts, the first one with a real run; return seconds by phase, and the process's peak.

    Args:
        folder: of the data set; a new one gets its first night before.
        night: its name.
        num_new: texts.
    """
    config = make_config(folder)
    num_known = sum(pq.read_metadata(path).num_rows for path in sorted(folder.glob("texts/*.parquet")))
    if not num_known:
        write_texts(folder, 0, _FIRST_ROWS)
        nights.make_night(config, _FIRST_NIGHT, networks=INSTANT_NETWORKS)
        num_known = _FIRST_ROWS
    write_texts(folder, num_known, num_new)
    took: dict[str, Any] = {"rows_before": num_known, "rows_new": num_new}
    with _clocks(took), _clock(took, "all"):
        summary = nights.make_night(config, night, networks=INSTANT_NETWORKS)
    for clock in ("s", "cpu_s"):
        took[f"all_{clock}"] = round(took[f"all_{clock}"] - took.pop(f"commit_rows_{clock}"), 2)
    snapshot = summary.snapshot
    if snapshot is None or snapshot.num_rows != num_known + num_new:
        raise RuntimeError(f"{folder}: expected a snapshot of {num_known + num_new:,} rows, got {snapshot}")
    return {**took, "peak_mib": _peak_mib()}


@contextmanager
def _clocks(took: dict[str, Any]) -> Iterator[None]:
    """Time the phases of a night; before its run, commit its rows."""
    originals = {name: getattr(nights, name) for name in _PHASES}

    def clocked(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            if name == "synthesize_manifest":
                with _clock(took, "commit_rows"):
                    commit_rows(arguments[0])
            with _clock(took, name):
                result = call(*arguments, **named)
            took[f"{name}_peak_mib"] = _peak_mib()
            return result

        return timed

    for name, call in originals.items():
        setattr(nights, name, clocked(name, call))
    try:
        yield
    finally:
        for name, call in originals.items():
            setattr(nights, name, call)


@contextmanager
def _clock(took: dict[str, Any], name: str) -> Iterator[None]:
    """Add the seconds of the wall's clock and of all threads on the CPUs."""
    begin, cpu_begin = time.perf_counter(), time.process_time()
    yield
    for key, seconds in (
        (f"{name}_s", time.perf_counter() - begin),
        (f"{name}_cpu_s", time.process_time() - cpu_begin),
    ):
        took[key] = round(took.get(key, 0.0) + seconds, 2)


def commit_rows(config: Config) -> None:
    """Commit every row of the run's manifest that is not committed yet, as accepted."""
    storage = open_storage(config.output, config.storage)
    log, manifest = CommitLog(storage), Manifest.open(config.manifest, config.storage, config.reading)
    done = log.committed()
    clips = [
        Audio(0.3 * np.sin(np.arange(1_600) * step).astype(np.float32), 16_000).encode("flac")
        for step in np.linspace(0.05, 0.2, 16)
    ]
    weights = next(iter(log.iter_metadata(["weights_sha256"])))["weights_sha256"][0].as_py()
    for unit in manifest.plan(config.unit_size):
        if unit.unit_id in done:
            continue
        table = manifest.read_rows(unit)
        now, records = datetime.now(UTC), []
        for number, row in enumerate(table.select([n for n in OWN_COLUMNS if n in table.column_names]).to_pylist()):
            packed, sha256 = pack_clip(row["utterance_id"], clips[number % len(clips)], "flac")
            records.append(
                {
                    **row,
                    "status": "ok",
                    "spoken_text": row["text"],
                    "audio_format": "flac",
                    "audio_sha256": sha256,
                    "weights_sha256": weights,
                    "sample_rate": 16_000,
                    "num_samples": 1_600,
                    "duration_s": 0.1,
                    "shard": unit.shard,
                    "row": unit.first_row + number,
                    "created_at": now,
                    "seed": number,
                    "num_segments": 1,
                    "num_takes": 1,
                    "peak_dbfs": -10.0,
                    "rms_dbfs": -13.0,
                    "silence_ratio": 0.0,
                    "chars_per_s": 15.0,
                    "input_hash": hash_input({**dict.fromkeys(OWN_COLUMNS), **row}, 0),
                    "audio": packed,
                }
            )
        log.commit(unit, build_commit_table(records, table, is_packed=True))


def _peak_mib() -> float:
    return round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1
    )
