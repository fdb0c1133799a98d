"""How cost grows with the work: whole real runs with networks that answer at once, or with tiny ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.benchmark.instant import INSTANT_NETWORKS
from pipeline.benchmark.processes import ProcessWatch, Usage
from pipeline.cluster.ray_api import count_references
from pipeline.cluster.ray_cluster import ray_cluster
from pipeline.cluster.replica import Networks
from pipeline.config.run import Config, parse_config
from pipeline.errors import ConfigError
from pipeline.llm.prompt import Voice
from pipeline.run.synthesize import synthesize_manifest
from pipeline.storage import open_storage
from pipeline.synthesis.speaker_definitions import SpeakerDefinition
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry

LARGEST_OVERHEAD_MS = 3.0
LARGEST_BEND = 0.1
_TOKENS = tuple(range(32))
_SETTLED = 0.3
"""Share of a run's samples after which caches are full, and nothing may grow any more."""


@dataclass(frozen=True)
class Cost:
    """What one run used."""

    num_utterances: int
    elapsed_s: float
    """From the replicas' start to the last commit."""
    cpu_s: float
    """Of all processes, start-up included."""
    growth: dict[str, float]
    """Of driver and writer, MiB, threads, open files and held objects: most in the last third less most before it."""


def measure_overhead(counts: Sequence[int], folder: Path) -> dict[str, Any]:
    """Synthesize manifests of several lengths with networks that answer at once; see `_measure_runs`."""
    goals = f"cpu at most {LARGEST_OVERHEAD_MS} ms an utterance, no growth"
    return {**_measure_runs(counts, folder, "demo", INSTANT_NETWORKS), "goals": goals}


def measure_scaling(counts: Sequence[int], folder: Path) -> dict[str, Any]:
    """Synthesize manifests of several lengths with tiny random weights; see `_measure_runs`."""
    goals = f"elapsed bend at most {LARGEST_BEND}, no growth"
    return {**_measure_runs(counts, folder, "random", None), "goals": goals}


def _measure_runs(counts: Sequence[int], folder: Path, weights: str, networks: Networks | None) -> dict[str, Any]:
    """Synthesize manifests of several lengths.

    Args:
        counts: utterances of each run, at least two numbers, ascending; their constant costs are separated
            from those of an utterance by the straight line through the first and the last.
        folder: for manifests and outputs.
        weights: of the config.
        networks: instead of the weights' own.

    Raises:
        ConfigError: fewer than two counts, or a run that did not synthesize every row.
    """
    if len(counts) < 2 or sorted(set(counts)) != list(counts):
        raise ConfigError(f"--counts {' '.join(map(str, counts))}: expected two or more different numbers, ascending")
    # One cluster for all: it must outlive those who count its objects, and its start is nobody's cost.
    with ray_cluster():
        costs = [run_once(count, folder / str(count), weights, networks) for count in counts]
    first, last = costs[0], costs[-1]
    span = last.num_utterances - first.num_utterances
    results: dict[str, Any] = {}
    for clock in ("cpu_s", "elapsed_s"):
        slope = (getattr(last, clock) - getattr(first, clock)) / span
        constant = getattr(first, clock) - slope * first.num_utterances
        results[f"{clock.removesuffix('_s')}_ms_per_utterance"] = slope * 1e3
        results[f"{clock.removesuffix('_s')}_constant_s"] = constant
        results[f"{clock.removesuffix('_s')}_bend"] = max(
            abs((getattr(cost, clock) - constant) / (slope * cost.num_utterances) - 1) for cost in costs
        )
    for cost in costs:
        results[f"{cost.num_utterances} utterances"] = f"{cost.elapsed_s:.2f} s, {cost.cpu_s:.2f} s of CPU"
    results |= {f"growth of {name}": value for name, value in last.growth.items()}
    return results


def run_once(num_utterances: int, folder: Path, weights: str, networks: Networks | None) -> Cost:
    """Synthesize a manifest, and take it away again.

    Args:
        num_utterances: of the manifest.
        folder: for manifest and output; must not exist.
        weights: of the config; instant networks use their tokenizer.
        networks: instead of the weights' own.

    Raises:
        ConfigError: a row was not synthesized.
    """
    config = make_run(num_utterances, folder, weights)
    with ProcessWatch(count_objects=count_references) as watch:
        summary = synthesize_manifest(config, networks=networks)
    if summary.num_ok != num_utterances:
        raise ConfigError(f"overhead: {summary.num_ok} of {num_utterances} rows were synthesized: {summary.rejected}")
    shutil.rmtree(folder)
    return Cost(num_utterances, summary.elapsed_s, watch.cpu_s, find_growth(watch.samples))


def make_run(num_utterances: int, folder: Path, weights: str) -> Config:
    """Write a manifest of short utterances and its voice; return the config of its run."""
    folder.mkdir(parents=True)
    rows = {
        "utterance_id": [f"u{number}" for number in range(num_utterances)],
        "text": [f"This is line number {number % 100}, and it is soon over." for number in range(num_utterances)],
        "speaker_id": ["anna"] * num_utterances,
    }
    pq.write_table(pa.table(rows), folder / "manifest.parquet", row_group_size=1_000)
    (folder / "speakers.yaml").write_text(f"- {{speaker_id: anna, global_tokens: {list(_TOKENS)}}}\n")
    raw = {
        "weights": weights,
        "manifest": str(folder / "manifest.parquet"),
        "speakers": str(folder / "speakers.yaml"),
        "output": str(folder / "output"),
        "llm": {"slots": 32},
        # What is measured is speed; a voice that nobody trained fails checks.
        "quality": {"min_pace": 0.0, "max_pace": 10_000.0, "stop_above_rejected": 1.0},
        "replicas": {
            "llm": {"count": 1, "num_cpus": 0.5},
            "codec": {"count": 1, "num_cpus": 0.5},
            "writer": {"count": 1, "num_cpus": 0.25},
        },
    }
    config = parse_config(raw, source="overhead")
    # The voice is there already: enrolling would load the networks that are left out here.
    definition = SpeakerDefinition(speaker_id="anna", global_tokens=_TOKENS)
    speaker = Speaker("anna", Voice(global_tokens=_TOKENS), definition.kind, definition.canonical())
    open_storage(config.output).put("speakers.parquet", SpeakerRegistry([speaker]).to_parquet())
    return config


def find_growth(samples: Sequence[tuple[float, dict[int, Usage], int]]) -> dict[str, float]:
    """Return how much more driver and writer held in the last third of a run than between its start-up and then.

    Args:
        samples: of a `ProcessWatch`; start-up, when caches fill, is left out. Too few of them: nothing.
    """
    held: list[dict[str, float]] = []
    for _, usages, num_objects in samples:
        writer = next((usage for usage in usages.values() if "WriterActor" in usage.title), None)
        driver = usages.get(os.getpid())
        if driver is None or writer is None:
            continue
        both = {"driver": driver, "writer": writer}
        held.append(
            {
                **{f"{name} MiB": usage.rss_mib for name, usage in both.items()},
                **{f"{name} threads": usage.num_threads for name, usage in both.items()},
                **{f"{name} files": usage.num_files for name, usage in both.items()},
                "objects": num_objects,
            }
        )
    settled = held[int(len(held) * _SETTLED) :]
    middle = len(settled) * 2 // 3
    if middle == 0:
        return {}
    return {
        name: max(sample[name] for sample in settled[middle:]) - max(sample[name] for sample in settled[:middle])
        for name in settled[0]
    }
