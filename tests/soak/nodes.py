"""Nodes that die under a run, and processes that stand still: the coordinator hears of it from a real Ray.

Each harm is done to a run of its own, whose output must be that of an undisturbed run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from pipeline.storage import open_storage
from tests.outputs import put_foreign_lease
from tests.runs import make_config, simple_rows, write_shard
from tests.soak.kills import check_output, count_commits, our_processes, rows_of

ROOT = Path(__file__).parent.parent.parent
NUM_ROWS, UNIT_SIZE = 600, 4
LEASE_S = 5.0
HANG_S = 15.0
LONGEST_S = 600.0
BACKLOG = 3


def check_nodes(folder, weights, cluster_address):
    """Run once in peace on a cluster that is there, then once for each harm."""
    write_shard(folder / "manifest" / "a.parquet", simple_rows(0, NUM_ROWS))
    config = make_config(
        folder,
        weights,
        unit_size=UNIT_SIZE,
        storage={"lease_timeout_s": LEASE_S},
        replicas={
            "hang_timeout_s": HANG_S,
            **{stage: {"count": count, "num_cpus": 0.25} for stage, count in (("llm", 2), ("codec", 1), ("writer", 1))},
        },
    )
    calm = start(folder, config, "calm", cluster_address)
    assert calm.wait(LONGEST_S) == 0, output_of(folder)
    expected = rows_of(str(folder / "calm"))
    assert len(expected) == NUM_ROWS
    kill_nodes(folder, config, expected)
    for title in ("LLMActor", "CodecActor", "WriterActor"):
        freeze_replica(folder, config, cluster_address, title, expected)
    freeze_driver(folder, config, cluster_address, expected)


def kill_nodes(folder, config, expected, num_kills=4):
    """Two nodes with a pair of networks each, and one writer that does not keep up, so that audio waits on both.

    Either node dies in turn, with the audio that waits there, and is replaced.
    """
    from ray.cluster_utils import Cluster

    num_killed = 0
    replicas = config.replicas
    codec = replicas.codec.model_copy(update={"count": 2})
    config = config.model_copy(update={"replicas": replicas.model_copy(update={"codec": codec})})
    slow = folder / "slow"
    slow.write_text("0")
    begin = len(output_of(folder, whole=True))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
        driver = start(folder, config, "nodes", cluster.address, module="tests.soak.driver", SPARK_TTS_SLOW=str(slow))
        while driver.poll() is None and num_killed < num_kills:
            wait_for_commits(driver, folder / "nodes", 5)
            wait_for_backlog(driver, slow)
            if driver.poll() is None:
                cluster.remove_node(workers.pop(0), allow_graceful=False)
                num_killed += 1
                workers.append(cluster.add_node(num_cpus=1))
        slow.unlink()
        assert driver.wait(LONGEST_S) == 0, output_of(folder)
    finally:
        cluster.shutdown()
    check_output(str(folder / "nodes"), expected)
    words = output_of(folder, whole=True)[begin:]
    num_lost = len(re.findall(r"lost its place \(\S*(?:Object|Owner)\S*\)", words))
    num_gone = len(re.findall(r"lost its place", words)) - num_lost
    assert num_killed
    assert num_lost, words[-3_000:]
    print(
        f"nodes: {num_killed} of a cluster of three died under one run, each with its replicas; units done again: "
        f"{num_lost} whose audio was lost, {num_gone} whose replica was",
        flush=True,
    )


def freeze_replica(folder, config, address, title, expected):
    """A replica that stands still is noticed after `hang_timeout_s`, ended and replaced."""
    output = folder / f"frozen-{title}"
    driver = start(folder, config, output.name, address)
    wait_for_commits(driver, output, 5)
    victim = our_processes(f"ray::{title}")[-1]
    os.kill(victim, signal.SIGSTOP)
    began = time.monotonic()
    assert driver.wait(LONGEST_S) == 0, output_of(folder)
    assert not Path(f"/proc/{victim}").exists(), "a replica stood still and nobody ended it"
    check_output(str(output), expected)
    print(f"frozen: a {title} stood still; the run ended whole {time.monotonic() - began:.0f} s later", flush=True)


def freeze_driver(folder, config, address, expected):
    """A driver that stands still loses its lease to another; woken, it writes nothing and leaves with exit 3."""
    output = folder / "frozen-driver"
    first = start(folder, config, output.name, address)
    wait_for_commits(first, output, 5)
    os.kill(first.pid, signal.SIGSTOP)
    # As if seen from another machine, where nobody can tell that the process is only asleep.
    put_foreign_lease(open_storage(str(output)))
    second = start(folder, config, output.name, address)
    try:
        wait_for_commits(second, output, 5)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert second.wait(LONGEST_S) == 0, output_of(folder)
    assert first.wait(LONGEST_S) == 3, output_of(folder)
    check_output(str(output), expected)
    print("frozen: a driver stood still, another finished its run; woken, it left with exit 3", flush=True)


def start(folder, config, name, address, module="jobs.synthesize", **environment):
    """Start a driver in a process of its own."""
    path = folder / f"{name}.yaml"
    raw = config.model_copy(update={"output": str(folder / name)}).model_dump(mode="json")
    path.write_text(yaml.safe_dump(raw))
    with open(folder / "drivers.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module, "--config", str(path)],
            env={**os.environ, "RAY_ADDRESS": address, **environment}, stdout=log, stderr=log, cwd=ROOT,
        )  # fmt: skip


def wait_for_commits(driver, output, num_more):
    """Wait until so many units more are committed, or the driver has ended."""
    wanted, deadline = count_commits(str(output)) + num_more, time.monotonic() + LONGEST_S
    while driver.poll() is None and count_commits(str(output)) < wanted:
        assert time.monotonic() < deadline, "no progress"
        time.sleep(0.1)


def wait_for_backlog(driver, slow):
    """Wait until some units wait for a writer, or the driver has ended."""
    deadline = time.monotonic() + LONGEST_S
    while driver.poll() is None and int(slow.read_text()) < BACKLOG:
        assert time.monotonic() < deadline, "the writer keeps up"
        time.sleep(0.1)


def output_of(folder, *, whole=False):
    """Return the drivers' last words, or all of them."""
    return (folder / "drivers.log").read_text(errors="replace")[0 if whole else -3_000 :]
