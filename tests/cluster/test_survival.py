"""Short versions of the soak: kills at named points, frozen drivers, signals."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipeline import enroll_speakers, synthesize_manifest
from pipeline.output.lease import LEASE_PATH, Lease
from pipeline.output.verify import verify_output
from pipeline.storage import open_storage
from tests.inline_ray import inline_ray
from tests.outputs import put_foreign_lease
from tests.runs import SMALL, make_config, simple_rows, write_shard
from tests.soak.kills import (
    DAEMONS,
    DRIVER_POINTS,
    WRITER_POINTS,
    Killer,
    check_output,
    count_commits,
    our_processes,
    rows_of,
)
from tests.soak.world import QUICK_DEATH

ROOT = Path(__file__).parents[2]
ZOMBIE = """
import sys, time
from pipeline.output.lease import Lease
from pipeline.storage import open_storage
storage = open_storage(sys.argv[1])
lease = Lease.acquire(storage, timeout_s=1)
for number in range(100_000):
    lease.check()
    storage.put(f"zombie/{number}", b"")
    time.sleep(0.01)
"""


def environment_of(ray_cluster):
    return {**os.environ, "RAY_ADDRESS": ray_cluster.get_runtime_context().gcs_address}


def test_kills_at_named_points_change_nothing(tmp_path, random_weights, ray_cluster):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 19))
    write_shard(tmp_path / "manifest" / "single.parquet", simple_rows(30, 1))
    config = make_config(tmp_path, random_weights)
    with inline_ray():
        synthesize_manifest(config.model_copy(update={"output": str(tmp_path / "calm")}))
        enroll_speakers(config)
    expected = rows_of(str(tmp_path / "calm"))
    killer = Killer(config, environment_of(ray_cluster), tmp_path)
    points = ("planning", "first_commit", "before_commit", "finishing")
    assert set(points) <= {*DRIVER_POINTS, *WRITER_POINTS, "finishing"}
    assert killer.run(config.output, points) == 0
    assert dict(killer.report.kills) == dict.fromkeys(points, 1)
    assert 0 < killer.report.most_units_redone <= killer.report.max_units_in_flight
    check_output(config.output, expected)


def test_a_signal_ends_a_run_in_order_and_the_same_command_goes_on(tmp_path, random_weights, ray_cluster):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 200))
    config = make_config(tmp_path, random_weights, replicas={**SMALL, "one_process": True})
    with inline_ray():
        enroll_speakers(config)
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "jobs.synthesize", "--config", str(path)]
    output = Path(config.output)

    def commits():
        return {path: path.stat().st_mtime_ns for path in output.glob("metadata/**/*.parquet")}

    for number in (signal.SIGTERM, signal.SIGINT):
        before = commits()
        driver = subprocess.Popen(command, env=environment_of(ray_cluster), stderr=subprocess.PIPE, text=True, cwd=ROOT)
        deadline = time.monotonic() + 300
        while len(commits()) <= len(before):
            assert driver.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        if number == signal.SIGTERM:
            # The second driver learns who is at work, and leaves.
            second = subprocess.run(command, env=environment_of(ray_cluster), capture_output=True, text=True, cwd=ROOT)
            assert second.returncode == 2
            named = re.search(r"another driver is at work: process (\d+)", second.stderr)
            assert named is not None, second.stderr
            # The command's child does the work; see jobs/guard.py.
            assert int(Path(f"/proc/{named[1]}/stat").read_text().rpartition(")")[2].split()[1]) == driver.pid
        driver.send_signal(number)
        _, printed = driver.communicate(timeout=300)
        assert driver.returncode == 130, printed
        assert "run the same command again" in printed
        # Lines of replicas are Ray's: Python may print an exit that came in the middle of a callback.
        assert "Traceback" not in "".join(line for line in printed.splitlines(True) if " pid=" not in line)
        assert not list(output.rglob(".tmp-[0-9a-f]*"))
        assert not (output / LEASE_PATH).exists()
        # The same command went on, and left what was committed as it was.
        assert before.items() <= commits().items()


NUM_SLOW_ROWS = 1_600
"""At 100 a second: more than is done before a death is noticed."""
DEADLY = ("gcs_server", "dashboard_agent", "runtime_env_agent", "raylet")


def test_no_death_of_a_part_of_ray_looks_like_an_end(tmp_path, random_weights):
    """Ray ends its driver from C++ with exit code 1, which meant that the run had finished.

    One run loses a part of its own Ray in each start, and in the last those that it can do without.
    """
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, NUM_SLOW_ROWS))
    config = make_config(
        tmp_path,
        random_weights,
        unit_size=20,
        audio={"layout": "packed"},
        replicas={**SMALL, "one_process": True},
        storage={"lease_timeout_s": 1.0},
    )
    with inline_ray():
        enroll_speakers(config)
    path, output = tmp_path / "run.yaml", Path(config.output)
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "tests.soak.world_driver", "synthesize", "--config", str(path)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | QUICK_DEATH

    def run(*victims):
        before = count_commits(str(output))
        driver = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=environment
        )
        while driver.poll() is None and count_commits(str(output)) <= before:
            time.sleep(0.1)
        for victim in victims:
            (process,) = our_processes(DAEMONS[victim], driver.pid)
            os.kill(process, signal.SIGKILL)
        printed, _ = driver.communicate(timeout=300)
        return driver.returncode, printed

    for victim in DEADLY:
        code, printed = run(victim)
        assert code == 3, (victim, printed)
        assert "run the same command again" in printed
        assert not (output / "_SUCCESS").exists()
        assert len(rows_of(config.output)) < NUM_SLOW_ROWS
    code, printed = run(*(name for name in DAEMONS if name not in DEADLY))
    assert code == 0, printed
    assert (output / "_SUCCESS").exists()
    assert [row for _, row, *_ in rows_of(config.output)] == [*range(NUM_SLOW_ROWS)]
    report = verify_output(open_storage(config.output))
    assert report.is_intact and report.num_checked == NUM_SLOW_ROWS
    assert not (output / LEASE_PATH).exists()


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(first):
    script = (
        "import time\nfrom jobs.console import run_command\n"
        "def work():\n    try:\n        print('at work', flush=True); time.sleep(3_600)\n"
        "    finally:\n        print('stopping', flush=True); time.sleep(3_600)\n"
        "run_command(work)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout.readline() == "at work\n"
    process.send_signal(first)
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 130


def test_a_driver_frozen_past_its_lease_writes_nothing_more(tmp_path):
    storage = open_storage(str(tmp_path / "store"))
    zombie = subprocess.Popen(
        [sys.executable, "-c", ZOMBIE, storage.uri], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        while not storage.exists("zombie/20"):
            assert zombie.poll() is None
            time.sleep(0.05)
        os.kill(zombie.pid, signal.SIGSTOP)
        # As if seen from another machine, where nobody can tell that the process is only asleep.
        put_foreign_lease(storage)
        with Lease.acquire(storage, timeout_s=1):
            before = sum(1 for _ in storage.list("zombie/"))
            os.kill(zombie.pid, signal.SIGCONT)
            _, printed = zombie.communicate(timeout=300)
            after = sum(1 for _ in storage.list("zombie/"))
        assert b"lost its lease" in printed
        # It may have been stopped between its check and one put, and that put is carried out.
        assert after - before <= 1
    finally:
        zombie.kill()
        zombie.wait()


def test_clocks_an_hour_apart_change_nothing(tmp_path, monkeypatch):
    storage = open_storage(str(tmp_path / "store"))
    for skew_s in (3_600, -3_600):
        with Lease.acquire(storage, timeout_s=30) as lease:
            monkeypatch.setattr(time, "time", lambda skew_s=skew_s, real=time.time: real() + skew_s)
            lease.check_now()
            lease.renew()
            monkeypatch.undo()
