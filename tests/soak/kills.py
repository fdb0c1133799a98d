"""Runs that are killed, and what must hold of each once it has ended."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.output.commit_log import CommitLog
from pipeline.output.verify import verify_output
from pipeline.storage import open_storage

DRIVER_POINTS = ("planning", "resume", "enrollment", "first_commit", "driver")
WRITER_POINTS = ("before_commit", "during_commit", "after_commit")
REPLICAS = ("LLMActor", "CodecActor", "WriterActor")
DAEMONS = {
    "raylet": "/raylet/raylet",
    "gcs_server": "/gcs/gcs_server",
    "dashboard_agent": "ray::DashboardAgent",
    "runtime_env_agent": "ray::RuntimeEnvAgent",
    "log_monitor": "_private/log_monitor.py",
    "autoscaler": "autoscaler/_private/monitor.py",
    "dashboard": "dashboard/dashboard.py",
}
"""The processes of a Ray beside its workers, by what `our_processes` finds them with."""
LONGEST_START_S = 1_800.0


@dataclass
class KillReport:
    """What a round of kills came to."""

    kills: Counter[str] = field(default_factory=Counter)
    num_runs: int = 0
    num_starts: int = 0
    most_units_redone: int = 0
    """For one kill: of units begun before it and again after it; the mean, where a start saw several."""
    num_units_redone: int = 0
    max_units_in_flight: int = 0


def rows_of(uri):
    """Return (shard, row, id, hash) of every committed row."""
    rows = []
    for table in CommitLog(open_storage(uri)).iter_metadata(["shard", "row", "utterance_id", "status", "audio_sha256"]):
        rows += [tuple(row.values()) for row in table.to_pylist()]
    return sorted(rows)


def check_output(uri, expected):
    """Every row once, every WAV once and whole, and all as in the undisturbed run."""
    found = rows_of(uri)
    assert len(found) == len(expected), (len(found), len(expected))
    assert found == expected
    report = verify_output(open_storage(uri))
    assert report.is_intact, report
    assert report.orphaned == [], report.orphaned[:5]
    assert not open_storage(uri).exists("lease.json")
    assert CommitLog(open_storage(uri)).is_finished()


def count_commits(uri):
    """How many units of this output are committed."""
    return len(CommitLog(open_storage(uri)).committed())


def our_processes(title, ancestor=None):
    """Ids of the live processes that descend from a process, by default this one, and whose command begins so.

    A title that is a path's end, or a part of it, may stand anywhere in the command.
    """
    ancestor = ancestor or os.getpid()
    parents, titles = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                titles[int(folder.name)] = (folder / "cmdline").read_bytes()
            except OSError:
                continue

    def is_ours(process):
        while process > 1:
            if process == ancestor:
                return True
            process = parents.get(process, 0)
        return False

    def is_meant(name):
        return title.encode() in name if "/" in title else name.startswith(title.encode())

    return [process for process, name in titles.items() if is_meant(name) and is_ours(process)]


class Killer:
    """Runs a config to its end while doing it harm.

    Args:
        config: the run; every run gets an output of its own.
        environment: of the drivers; names the Ray cluster.
        folder: for files of the harness.
        seed: of the random moments.
    """

    def __init__(self, config, environment, folder, seed=0):
        self._config = config
        self._environment = environment
        self._folder = Path(folder)
        self._random = random.Random(seed)
        self._begun_before = set()
        self.report = KillReport()

    def run(self, output, points):
        """Kill at each point, then let the run end; return its exit code.

        A run outlives its replicas but not its driver: `DRIVER_POINTS` are a start each, `driver` at a random moment.
        One start sees the rest: the writer's death at its point, then those of replicas of the kinds in `points` at
        random moments for as long as there is work, then that of the driver while `finishing`.
        """
        path = self._folder / f"run{self.report.num_runs}.yaml"
        raw = self._config.model_copy(update={"output": output}).model_dump(mode="json")
        path.write_text(yaml.safe_dump(raw))
        self.report.num_runs += 1
        self._begun_before = set()
        starts = [[point] for point in points if point in DRIVER_POINTS]
        starts.append([point for point in points if point not in DRIVER_POINTS])
        for harms in starts:
            code = self._start(path, output, harms)
        if code:
            code = self._start(path, output, [])
        if not CommitLog(open_storage(output)).is_finished():
            raise AssertionError(f"exit {code} without the mark")
        return code

    def _start(self, path, output, points):
        report = self.report
        report.num_starts += 1
        marks = {point: self._folder / f"killed{report.num_starts}.{point}" for point in points}
        begun = self._folder / f"begun{report.num_starts}"
        environment = {
            **self._environment,
            "SPARK_TTS_KILL_AT": ",".join(points),
            "SPARK_TTS_KILLED": str(self._folder / f"killed{report.num_starts}"),
            "SPARK_TTS_BEGUN": str(begun),
        }
        command = [sys.executable, "-m", "tests.soak.driver", "--config", str(path)]
        kills = Counter()
        with open(self._folder / "drivers.log", "ab") as log:
            driver = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + LONGEST_START_S
        if "driver" in points:
            self._kill_driver(driver, output, kills, deadline)
        if kinds := [point for point in points if point in REPLICAS]:
            first = [mark for point, mark in marks.items() if point in WRITER_POINTS]
            self._kill_replicas(driver, output, kinds, first, kills, deadline)
        try:
            code = driver.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            driver.kill()
            raise AssertionError(f"a start did not end in {LONGEST_START_S:g} s after kills at {points}") from None
        kills.update(point for point, mark in marks.items() if mark.exists())
        report.kills.update(kills)
        self._count_redone(begun, max(1, kills.total()))
        if code not in (0, -signal.SIGKILL):
            raise AssertionError(f"exit {code} after kills at {points}; see {self._folder}/drivers.log")
        return code

    def _count_redone(self, path, num_kills):
        """Compare the units that were begun twice, by one driver or by two, with how many each kill found in flight."""
        lines = [line.split(" ", 1) for line in path.read_text().splitlines()] if path.exists() else []
        units = [unit_id for _, unit_id in lines]
        begun = set(units)
        redone = max(len(units) - len(begun), len(begun & self._begun_before))
        self._begun_before = begun
        report = self.report
        report.max_units_in_flight = max([report.max_units_in_flight, *(int(limit) for limit, _ in lines)])
        report.num_units_redone += redone
        report.most_units_redone = max(report.most_units_redone, math.ceil(redone / num_kills))
        assert redone <= num_kills * report.max_units_in_flight, (redone, num_kills, report.max_units_in_flight)

    def _kill_driver(self, driver, output, kills, deadline):
        """Kill the driver at a random moment, most often in the middle of its work."""
        self._wait_for(driver, output, count_commits(output) + self._random.randint(0, 8), deadline)
        time.sleep(self._random.uniform(0.0, 0.5))
        if driver.poll() is None:
            driver.kill()
            kills["driver"] += 1

    def _kill_replicas(self, driver, output, kinds, first, kills, deadline):
        """Kill replicas, each kind as often as the others, until the run ends; `first` are marks to wait for."""
        kinds_left = []
        while driver.poll() is None and time.monotonic() < deadline and not all(mark.exists() for mark in first):
            time.sleep(0.05)
        while driver.poll() is None and time.monotonic() < deadline:
            # A unit that is hit again and again would be taken for poison.
            num_between = self.report.max_units_in_flight + self._random.randint(1, 8) if kills or first else 1
            self._wait_for(driver, output, count_commits(output) + num_between, deadline)
            time.sleep(self._random.uniform(0.0, 0.5))
            kinds_left = kinds_left or self._random.sample(kinds, len(kinds))
            victims = our_processes(f"ray::{kinds_left[-1]}")
            if victims and driver.poll() is None:
                with suppress(ProcessLookupError):  # It came to its end by itself.
                    os.kill(self._random.choice(victims), signal.SIGKILL)
                    kills[kinds_left.pop()] += 1

    @staticmethod
    def _wait_for(driver, output, num_commits, deadline):
        while driver.poll() is None and time.monotonic() < deadline and count_commits(output) < num_commits:
            time.sleep(0.3)
