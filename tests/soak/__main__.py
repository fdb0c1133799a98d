"""Run parts of the soak: `python -m tests.soak [--minutes 60] [--parts kills storage ...]`; prints the figures."""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pipeline.storage
import pipeline.storage.s3
from pipeline import synthesize_manifest
from pipeline.config.run import StorageConfig
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_log import CommitLog
from pipeline.output.verify import verify_output
from pipeline.storage import open_storage
from tests.faulty_store import FAULTS, FaultyProxy
from tests.outputs import begin_run, make_commit, make_shard
from tests.runs import make_config, simple_rows, write_shard
from tests.soak.bad_input import check_all
from tests.soak.cluster import check_cluster
from tests.soak.kills import DRIVER_POINTS, REPLICAS, WRITER_POINTS, Killer, check_output, rows_of
from tests.soak.nodes import check_nodes
from tests.soak.world import HARMS, NUM_CASES, check_world

PARTS = ("bad_input", "storage", "kills", "nodes", "cluster", "world")
NUM_FAULTS, UNIT_SIZE = 10_000, 12


class Soak:
    """The fixtures of the tests, and time that runs out."""

    def __init__(self, minutes, seed, num_cases, harms):
        self.minutes, self.seed, self.num_cases, self.harms = minutes, seed, num_cases, harms

    def write_manifest(self, folder, num_rows):
        """Eight shards of rows of two syllables each, no two alike; one shard has a single row."""
        syllables = [consonant + vowel for consonant in "bdfghjklmnprstvz" for vowel in "aeiou"]
        rows = simple_rows(0, num_rows)
        for row, (first, second) in zip(rows, itertools.product(syllables, repeat=2), strict=False):
            row["text"] = f"{first.title()} {second}."
        per_shard = -(-(num_rows - 1) // 7)
        for shard, first in enumerate(range(1, num_rows, per_shard)):
            write_shard(folder / "manifest" / f"s{shard}.parquet", rows[first : first + per_shard])
        write_shard(folder / "manifest" / "single.parquet", rows[:1])

    def kills(self, seaweedfs, ray_cluster, random_weights, folder, deadline, num_rows):
        """Kill drivers and replicas while there is time for a run; each must end as an undisturbed one."""
        self.write_manifest(folder, num_rows)
        uri = seaweedfs.new_uri()
        config = make_config(folder, random_weights, output=f"{uri}/calm", unit_size=8)
        synthesize_manifest(config)
        expected = rows_of(f"{uri}/calm")
        environment = {**os.environ, "RAY_ADDRESS": ray_cluster.get_runtime_context().gcs_address}
        killer = Killer(config, environment, folder, self.seed)
        order = random.Random(self.seed)
        longest_s = 0.0
        while not killer.report.num_runs or time.monotonic() + longest_s < deadline:
            began = time.monotonic()
            output = f"{uri}/run{killer.report.num_runs}"
            writer_point = WRITER_POINTS[killer.report.num_runs % len(WRITER_POINTS)]
            driver_points = order.sample(DRIVER_POINTS, len(DRIVER_POINTS))
            killer.run(output, (*driver_points, writer_point, *REPLICAS, "finishing"))
            check_output(output, expected)
            longest_s = max(longest_s, time.monotonic() - began)
            report = killer.report
            print(f"kills: {report.kills.total()} in {report.num_runs} runs: {dict(report.kills)}", flush=True)
            print(
                f"{report.num_units_redone} units done again, at most {report.most_units_redone} for a kill; "
                f"{report.max_units_in_flight} may be in flight",
                flush=True,
            )

    def faulty_run(self, seaweedfs, random_weights, folder):
        """Voice over a line that fails every eighth request, and compare with a run over a good one."""
        self.write_manifest(folder, 300)
        uri = seaweedfs.new_uri()
        config = make_config(folder, random_weights, output=f"{uri}/calm", unit_size=4)
        synthesize_manifest(config)
        with FaultyProxy(seaweedfs.endpoint_url, rate=0.125, seed=self.seed) as proxy:
            settings = {"output": f"{uri}/run", "storage": {"endpoint_url": proxy.url, "max_attempts": 15}}
            synthesize_manifest(make_config(folder, random_weights, unit_size=4, **settings))
            print(f"storage: a whole run over {proxy.num_faults} faults: {dict(proxy.counts)}", flush=True)
        check_output(f"{uri}/run", rows_of(f"{uri}/calm"))

    def storage(self, seaweedfs, minutes):
        """Commit over a line that fails every fourth request, until there were faults enough or time is up."""
        pipeline.storage.base._FIRST_WAIT_S, pipeline.storage.base._LONGEST_WAIT_S = 0.005, 0.1
        pipeline.storage.s3._READ_TIMEOUT_S = 0.4
        deadline, num_wavs, counts = time.monotonic() + 60 * minutes, 0, Counter()
        shards = [make_shard(f"s{number}", 96) for number in range(8)]
        while time.monotonic() < deadline and counts.total() < NUM_FAULTS:
            uri = seaweedfs.new_uri()
            faults, seed = (*FAULTS, "silence"), self.seed + num_wavs
            with FaultyProxy(seaweedfs.endpoint_url, rate=0.25, seed=seed, faults=faults) as proxy:
                settings = StorageConfig(endpoint_url=proxy.url, max_attempts=15)
                storage = open_storage(uri, settings)
                log = CommitLog(storage)
                begin_run(storage, shards, unit_size=UNIT_SIZE)

                def commit_shard(shard, uri=uri, settings=settings):
                    """As a writer of its own would."""
                    log = CommitLog(open_storage(uri, settings))
                    for first in range(0, shard.num_rows, UNIT_SIZE):
                        unit = WorkUnit(shard.name, first, first + UNIT_SIZE - 1)
                        assert log.commit(unit, make_commit(log, unit))

                with ThreadPoolExecutor(len(shards)) as writers:
                    list(writers.map(commit_shard, shards))
                log.finish({})
                assert verify_output(storage).is_intact
                counts += proxy.counts
                del counts["none"]
            report = verify_output(open_storage(uri))
            num_rows = sum(shard.num_rows for shard in shards)
            assert (report.num_checked, report.is_intact, report.orphaned) == (num_rows, True, [])
            num_wavs += num_rows
        print(f"storage: {counts.total():,} faults, {num_wavs:,} WAVs, none lost or twice: {dict(counts)}", flush=True)


def test_soak(request, seaweedfs, tmp_path):
    """Run as a test, so that the fixtures are those of the tests."""
    soak, parts, num_rows = request.config.soak
    deadline = time.monotonic() + 60 * soak.minutes
    if "bad_input" in parts:
        check_all(10_000, soak.seed, make_folder(tmp_path, "bad_input"))
    if "cluster" in parts:
        pytest.importorskip("prometheus_client", reason="install the cluster extra: pip install -e '.[cluster]'")
        check_cluster(make_folder(tmp_path, "cluster"), request.getfixturevalue("random_weights"))
    if "world" in parts:
        address = request.getfixturevalue("ray_cluster").get_runtime_context().gcs_address
        weights = request.getfixturevalue("random_weights")
        check_world(make_folder(tmp_path, "world"), weights, address, soak.num_cases, soak.seed, soak.harms)
    if "nodes" in parts:
        address = request.getfixturevalue("ray_cluster").get_runtime_context().gcs_address
        check_nodes(make_folder(tmp_path, "nodes"), request.getfixturevalue("random_weights"), address)
    if "storage" in parts:
        request.getfixturevalue("ray_cluster")
        soak.faulty_run(seaweedfs, request.getfixturevalue("random_weights"), make_folder(tmp_path, "storage"))
        minutes = (deadline - time.monotonic()) / 60
        soak.storage(seaweedfs, minutes / 2 if "kills" in parts else minutes)
    if "kills" in parts:
        cluster, weights = request.getfixturevalue("ray_cluster"), request.getfixturevalue("random_weights")
        soak.kills(seaweedfs, cluster, weights, make_folder(tmp_path, "kills"), deadline, num_rows)


def make_folder(parent, name):
    """A folder for a part, which would take another's shards for its own."""
    folder = parent / name
    folder.mkdir()
    return folder


class _Settings:
    def __init__(self, soak):
        self._soak = soak

    def pytest_configure(self, config):
        config.soak = self._soak


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Do harm to runs for a while.")
    parser.add_argument("--minutes", type=float, default=60.0, help="for all parts together")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["bad_input", "nodes", "storage", "kills"])
    parser.add_argument("--rows", type=int, default=2_000, help="utterances of a run that is killed")
    parser.add_argument("--cases", type=int, default=NUM_CASES, help="of the part `world`, which ends with them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--harms", nargs="+", choices=HARMS, default=[], help="only these of the part `world`")
    options = parser.parse_args()
    soak = Soak(options.minutes, options.seed, options.cases, options.harms)
    settings = _Settings((soak, options.parts, options.rows))
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(Path(__file__)), "-s", "-p", "no:cacheprovider", f"--basetemp={folder}/soak"]
        return pytest.main(arguments, plugins=[settings])


if __name__ == "__main__":
    sys.exit(main())
