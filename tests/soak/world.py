"""Things that change under a run: its input, its output, and the processes of its own Ray.

Each case is one harm at a random moment of a run, then the same command again with things as they were. After each end,
rows are compared with those of runs in peace: by text and hash, as the networks answer by the prompt.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from pipeline.output.verify import verify_output
from pipeline.storage import open_storage
from tests.outputs import put_foreign_lease
from tests.runs import make_config, simple_rows, write_shard
from tests.soak.kills import DAEMONS, count_commits, our_processes

ROOT = Path(__file__).parents[2]
NUM_CASES, NUM_ROWS, UNIT_SIZE = 200, 80, 4
LONGEST_S = 300.0
_IN_FULL = {0: True, 1: True, 2: False, 3: False}
QUICK_DEATH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "2",
}
"""Variables of a Ray that does not wait a minute before it takes a part of itself for dead."""


def _shard(folder):
    return folder / "manifest" / "b.parquet"


def replace_shard(folder, output):
    """Other texts under the same ids."""
    write_shard(folder / "new.parquet", other_rows())
    os.replace(folder / "new.parquet", _shard(folder))


def truncate_shard(folder, output):
    """Half of it is left."""
    os.truncate(_shard(folder), _shard(folder).stat().st_size // 2)


def append_to_shard(folder, output):
    """More bytes at its end."""
    with open(_shard(folder), "ab") as file:
        file.write(b"more")


def remove_shard(folder, output):
    """It is gone."""
    _shard(folder).unlink()


def edit_speakers(folder, output):
    """A voice is defined otherwise; this run has its voices."""
    (folder / "speakers.yaml").write_text("- {speaker_id: anna, gender: male}\n- {speaker_id: carl, gender: male}\n")


def edit_weights(folder, output):
    """A file of the weights is touched in its content; replicas have loaded theirs."""
    with open(folder / "weights" / "LLM" / "config.json", "a") as file:
        file.write("\n")


def edit_commit(folder, output):
    """A commit's bytes are others'."""
    next(output.glob("metadata/**/*.parquet")).write_bytes(b"nothing of ours")


def delete_commit(folder, output):
    """A commit is gone."""
    next(output.glob("metadata/**/*.parquet")).unlink()


def steal_lease(folder, output):
    """Another driver holds the lease."""
    put_foreign_lease(open_storage(str(output)))


CHANGES = {
    function.__name__: function
    for function in (
        replace_shard, truncate_shard, append_to_shard, remove_shard, edit_speakers, edit_weights, edit_commit,
        delete_commit, steal_lease,
    )
}  # fmt: skip
STOPPED = "raylet_stopped"
MARK = "SPARK_TTS_SOAK_CASE"
"""In the environment of all that a case starts, so that it is seen what is left behind."""
HARMS = (*CHANGES, *DAEMONS, STOPPED)


def other_rows():
    """The second shard's rows with other texts."""
    return [{**row, "text": f"Other words stand here, {row['utterance_id'][1:]}."} for row in simple_rows(40, 40)]


class World:
    """Runs cases in a folder.

    Args:
        folder: for manifests, outputs, logs.
        weights: copied, as they are edited.
        cluster_address: of a Ray for the runs whose Ray is not harmed.
    """

    def __init__(self, folder, weights, cluster_address):
        self.folder = folder
        self.address = cluster_address
        self.weights = weights
        self._put_back()
        self.expected = self._run_in_peace("calm")
        write_shard(_shard(folder), other_rows())
        others = self._run_in_peace("other")
        self.texts = {(row[2], row[3]): row[4] for row in [*self.expected, *others]}
        assert len({*self.texts.values()}) == len(self.texts), "audio does not tell which text it is of"
        self._put_back()

    def _put_back(self):
        write_shard(self.folder / "manifest" / "a.parquet", simple_rows(0, 40))
        write_shard(_shard(self.folder), simple_rows(40, 40))
        weights = self.folder / "weights"
        shutil.rmtree(weights, ignore_errors=True)
        shutil.copytree(self.weights, weights)
        replicas = {stage: {"count": 1, "num_cpus": 0.25} for stage in ("llm", "codec", "writer")}
        config = make_config(
            self.folder, str(weights), unit_size=UNIT_SIZE, replicas=replicas, storage={"lease_timeout_s": 2.0}
        )
        self.settings = config.model_dump(mode="json")

    def _run_in_peace(self, name):
        assert self.start(name).wait(LONGEST_S) == 0, self.printed()
        return self.rows(name)

    def rows(self, name):
        """(shard, row, id, text, hash) of every row that can be read."""
        columns = ["shard", "row", "utterance_id", "text", "audio_sha256"]
        rows = []
        for path in (self.folder / name).glob("metadata/**/*.parquet"):
            with suppress(Exception):  # One that was edited is no Parquet.
                rows += [tuple(row.values()) for row in pq.read_table(path, columns=columns).to_pylist()]
        return sorted(rows)

    def start(self, name, *, own_ray=False):
        """Start a driver in a process of its own."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**self.settings, "output": str(self.folder / name)}))
        return self._start("synthesize", "--config", str(path), own_ray=own_ray)

    def _start(self, *arguments, own_ray=False):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": self.address, MARK: str(self.folder)}
        if own_ray:
            del environment["RAY_ADDRESS"]
            environment |= QUICK_DEATH
        with open(self.folder / "log", "wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.soak.world_driver", *arguments],
                cwd=ROOT, env=environment, stdout=log, stderr=log,
            )  # fmt: skip

    def printed(self):
        """The last driver's last words."""
        return (self.folder / "log").read_text(errors="replace")[-3_000:]

    def run(self, harm, name, moment):
        """One case; returns the exit code of the start that was harmed."""
        driver = self.start(name, own_ray=harm not in CHANGES)
        wanted, deadline = 1 + int(moment * 10), time.monotonic() + LONGEST_S
        while driver.poll() is None and count_commits(str(self.folder / name)) < wanted:
            assert time.monotonic() < deadline, self.printed()
            time.sleep(0.02)
        if driver.poll() is None:
            self._harm(harm, name, driver)
        code = driver.wait(LONGEST_S)
        self._check_end(harm, name, code)
        self._put_back()
        if harm == "edit_commit":  # By hand, behind the run's back: verify finds it.
            repair = self._start("verify", str(self.folder / name), "--repair")
            assert repair.wait(LONGEST_S) == 0, self.printed()
        assert self.start(name).wait(LONGEST_S) == 0, self.printed()
        assert self.rows(name) == self.expected, (len(self.rows(name)), code, self.printed())
        assert (self.folder / name / "_SUCCESS").exists()
        report = verify_output(open_storage(str(self.folder / name)))
        assert report.is_intact, report
        return code

    def _harm(self, harm, name, driver):
        if harm in CHANGES:
            CHANGES[harm](self.folder, self.folder / name)
            return
        (victim, *_) = our_processes(DAEMONS.get(harm, DAEMONS["raylet"]), driver.pid)
        os.kill(victim, signal.SIGKILL if harm in DAEMONS else signal.SIGSTOP)
        if harm == STOPPED:
            time.sleep(5.0)
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)

    def _check_end(self, harm, name, code):
        output = self.folder / name
        assert code in _IN_FULL, (code, self.printed())
        assert (output / "_SUCCESS").exists() == _IN_FULL[code], (code, self.printed())
        # A replica that Ray ends may say where it was; those lines have its process id.
        own = "".join(line for line in self.printed().splitlines(keepends=True) if "pid=" not in line)
        assert "Traceback" not in own or (harm in DAEMONS and code == 3), own
        rows = self.rows(name)
        assert len({row[:2] for row in rows}) == len(rows), "a row is there twice"
        for row in rows:
            assert self.texts[row[2], row[3]] == row[4], f"text and audio of {row[2]} do not belong together"
        if _IN_FULL[code]:
            assert [row[:3] for row in rows] == [row[:3] for row in self.expected], "the mark, but not every row"
        deadline = time.monotonic() + LONGEST_S
        while own := _marked(str(self.folder)):
            assert time.monotonic() < deadline, f"left behind: {own}"
            time.sleep(0.1)


def _marked(value):
    """Ids and commands of the processes that a case started and that still run; workers of another Ray have no mark."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and f"{MARK}={value}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder.name, (folder / "cmdline").read_bytes()[:100]))
    return found


def check_world(folder, weights, cluster_address, num_cases=NUM_CASES, seed=0):
    """Do random harm to as many runs, one after the other."""
    world, order, codes = World(folder, weights, cluster_address), random.Random(seed), Counter()
    harms = []
    for number in range(num_cases):
        harms = harms or order.sample(HARMS, len(HARMS))  # Every kind as often as the others.
        harm, moment = harms.pop(), order.random()
        began = time.monotonic()
        code = world.run(harm, f"case{number}", moment)
        codes[harm, code] += 1
        print(f"world: {number} {harm} at {moment:.2f}: exit {code}, {time.monotonic() - began:.0f} s", flush=True)
        shutil.rmtree(folder / f"case{number}")
    print(f"world: {num_cases} cases: {dict(codes)}", flush=True)
