"""`--parts overhead`: what a run costs and holds where its networks cost nothing."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

import pytest

from pipeline.benchmark import overhead, processes
from pipeline.benchmark.instant import INSTANT_NETWORKS
from pipeline.cluster.ray_api import count_references
from pipeline.errors import ConfigError


def test_instant_networks_synthesize_every_row_and_leave_few_objects(
    random_weights: str, tmp_path: Path, ray_cluster: object
) -> None:
    before = count_references()
    cost = overhead.run_once(300, tmp_path / "run", random_weights, INSTANT_NETWORKS)
    assert cost.num_utterances == 300 and cost.cpu_s > 0
    # Three units pass fifteen references; those of the last moment may still be on their way.
    deadline = time.monotonic() + 60
    while count_references() > before + 8 and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    assert count_references() <= before + 8


def test_growth_is_what_the_end_holds_more_than_the_middle() -> None:
    pid = os.getpid()

    def sample(second: int, rss_mib: float, num_objects: int) -> tuple[float, dict[int, processes.Usage], int]:
        driver = processes.Usage("python", 1.0, rss_mib, 10, 20)
        writer = processes.Usage("ray::WriterActor.write", 1.0, 50.0, 5, 5)
        return float(second), {pid: driver, -1: writer}, num_objects

    # Start-up counts for nothing, a leak does.
    sizes = [10.0, 60.0, 100.0] + [100.0 + second for second in range(7)]
    growth = overhead.find_growth([sample(second, size, 8) for second, size in enumerate(sizes)])
    assert growth["driver MiB"] == 3.0
    assert {name for name, value in growth.items() if value} == {"driver MiB"}
    assert overhead.find_growth([]) == {}


def test_one_count_says_nothing_of_growth(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two or more different numbers"):
        overhead.measure_overhead([100], tmp_path)
