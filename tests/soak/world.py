"""Things that change under a run: its input, its output, its disk, the clock, and the processes of its own Ray.

Each case is one harm at a random moment of a run, then the same command again with things as they were. After each end,
rows are compared with those of runs in peace: by text and hash, as the networks answer by the prompt.

Most runs whose files are harmed happen in this process, with Ray's calls but without its processes: a start of those
costs twenty times as much as such a run. Every fourth of them, and all others, are commands in processes of their own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import yaml

import jobs.synthesize
import jobs.verify
from pipeline.output.verify import verify_output
from pipeline.storage import open_storage
from pipeline.synthesis.speakers import SpeakerRegistry
from tests.inline_ray import InlineRay, inline_ray
from tests.outputs import put_foreign_lease
from tests.runs import make_config, simple_rows, write_shard
from tests.soak import world_driver
from tests.soak.kills import DAEMONS, count_commits, our_processes

ROOT = Path(__file__).parents[2]
NUM_CASES, NUM_ROWS, UNIT_SIZE = 200, 80, 4
LONGEST_S = 1_800.0
_IN_FULL = {0: True, 1: True, 2: False, 3: False}
QUICK_DEATH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "2",
}
"""Variables of a Ray that does not wait a minute before it takes a part of itself for dead."""
_DISK_BYTES = 64 << 20
_MONTH_S = 30 * 24 * 3_600
LEXICON = "line: line\nwords: words\n"


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


def rewrite_shard(folder, output):
    """It is written over in its place, as long as before, and its time is set back."""
    before = _shard(folder).stat()
    write_shard(folder / "new.parquet", other_rows())
    data = bytearray(_shard(folder).read_bytes())
    other = (folder / "new.parquet").read_bytes()
    data[4 : min(len(data), len(other)) - 8] = other[4 : min(len(data), len(other)) - 8]
    with open(_shard(folder), "r+b") as file:
        file.write(data)
    os.utime(_shard(folder), ns=(before.st_atime_ns, before.st_mtime_ns))


def shard_becomes_folder(folder, output):
    """A folder has its name."""
    _shard(folder).unlink()
    _shard(folder).mkdir()


def touch_shard(folder, output):
    """The same bytes in another file: nothing has changed."""
    shutil.copy(_shard(folder), folder / "copy")
    os.replace(folder / "copy", _shard(folder))


def edit_speakers(folder, output):
    """A voice is defined otherwise; this run has its voices."""
    (folder / "speakers.yaml").write_text("- {speaker_id: anna, gender: male}\n- {speaker_id: carl, gender: male}\n")


def edit_lexicon(folder, output):
    """Words are to be said otherwise; this run has read its lexicon."""
    (folder / "lexicon.yaml").write_text("line: lime\nwords: wards\n")


def edit_config(folder, output):
    """Another voice's pitch, another seed; this run has read its config."""
    path = folder / f"{output.name}.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "seed": 7, "unit_size": 9}))


def edit_weights(folder, output):
    """A file of the weights is touched in its content; replicas have loaded theirs."""
    with open(folder / "weights" / "LLM" / "config.json", "a") as file:
        file.write("\n")


def replace_voices(folder, output):
    """The output's voices are others under the same names."""
    path = output / "speakers.parquet"
    data = path.read_bytes()
    voices = SpeakerRegistry.from_parquet(data)
    swapped = [replace(voices["anna"], voice=voices["carl"].voice), replace(voices["carl"], voice=voices["anna"].voice)]
    (folder / "voices").write_bytes(voices.add(swapped).to_parquet())
    os.replace(folder / "voices", path)
    return lambda: path.write_bytes(data)


def edit_commit(folder, output):
    """A commit's bytes are others'."""
    next(output.glob("metadata/**/*.parquet")).write_bytes(b"nothing of ours")


def delete_commit(folder, output):
    """A commit is gone."""
    next(output.glob("metadata/**/*.parquet")).unlink()


def steal_lease(folder, output):
    """Another driver holds the lease."""
    put_foreign_lease(open_storage(str(output)))


def move_output(folder, output):
    """The output's folder gets another name, until the run has ended."""
    moved = output.with_name(f"{output.name}-moved")
    output.rename(moved)

    def undo():
        shutil.rmtree(output, ignore_errors=True)
        moved.rename(output)

    return undo


def fill_disk(folder, output):
    """Nothing can be written any more; this case's output has a disk of its own."""
    filler = output / "_filler"
    with suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    return filler.unlink


CHANGES = {
    function.__name__: function
    for function in (
        replace_shard, truncate_shard, append_to_shard, remove_shard, rewrite_shard, shard_becomes_folder, touch_shard,
        edit_speakers, edit_lexicon, edit_config, edit_weights, replace_voices, edit_commit, delete_commit, steal_lease,
        move_output, fill_disk,
    )
}  # fmt: skip
STOPPED = "raylet_stopped"
CLOCKS = {"clock_forward": _MONTH_S, "clock_back": -_MONTH_S}
"""By how many seconds it jumps."""
MARK = "SPARK_TTS_SOAK_CASE"
"""In the environment of all that a case starts, so that it is seen what is left behind."""
HARMS = (*CHANGES, *DAEMONS, STOPPED, *CLOCKS)
_HARMLESS = {
    *("touch_shard", "edit_speakers", "edit_lexicon", "edit_config", "edit_weights", *CLOCKS),
    *("log_monitor", "autoscaler", "dashboard"),
}
"""A run outlives these; all others stop it, exit 3."""


def other_rows():
    """The second shard's rows with other texts."""
    return [{**row, "text": f"Other words stand here, {row['utterance_id'][1:]}."} for row in simple_rows(40, 40)]


class TidyRay(InlineRay):
    """Ends what an end by force leaves to the operating system: threads that still write for a run that is over."""

    def __init__(self):
        super().__init__()
        self._actors = []

    def kill(self, actor, no_restart=True):
        super().kill(actor)
        self._actors.append(actor)

    def tidy(self):
        for actor in self._actors:
            actor.threads.shutdown(wait=True)


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
        shutil.rmtree(self.folder / "manifest", ignore_errors=True)
        write_shard(self.folder / "manifest" / "a.parquet", simple_rows(0, 40))
        write_shard(_shard(self.folder), simple_rows(40, 40))
        weights = self.folder / "weights"
        shutil.rmtree(weights, ignore_errors=True)
        shutil.copytree(self.weights, weights)
        (self.folder / "lexicon.yaml").write_text(LEXICON)
        config = make_config(
            self.folder,
            str(weights),
            unit_size=UNIT_SIZE,
            text={"lexicon": str(self.folder / "lexicon.yaml")},
            replicas={stage: {"count": 1, "num_cpus": 0.25} for stage in ("llm", "codec", "writer")},
            storage={"lease_timeout_s": 2.0},
        )
        self.settings = config.model_dump(mode="json")

    def _run_in_peace(self, name):
        assert self._call("synthesize", "--config", self._write_config(name)) == 0, self.printed()
        return self.rows(name)

    def rows(self, name):
        """(shard, row, id, text, hash) of every row that can be read."""
        columns = ["shard", "row", "utterance_id", "text", "audio_sha256"]
        rows = []
        for path in (self.folder / name).glob("metadata/**/*.parquet"):
            with suppress(Exception):  # One that was edited is no Parquet.
                rows += [tuple(row.values()) for row in pq.read_table(path, columns=columns).to_pylist()]
        return sorted(rows)

    def _write_config(self, name):
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**self.settings, "output": str(self.folder / name)}))
        return str(path)

    def _call(self, command, *arguments):
        """Run a command in this process; return its exit code."""
        module, handlers = TidyRay(), logging.root.handlers[:]
        logging.root.handlers.clear()  # So that the command logs to where it prints.
        try:
            with (
                open(self.folder / "log", "w") as log,
                contextlib.redirect_stdout(log),
                contextlib.redirect_stderr(log),
            ):
                with world_driver.using(world_driver.NETWORKS), inline_ray(module):
                    code = {"synthesize": jobs.synthesize, "verify": jobs.verify}[command].main(list(arguments))
                module.tidy()
        finally:
            logging.root.handlers[:] = handlers
        return code

    def _start(self, *arguments, **variables):
        """Start a command in a process of its own; a variable that is None is taken out of the environment."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": self.address, MARK: str(self.folder)}
        environment |= variables
        with open(self.folder / "log", "wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.soak.world_driver", *arguments],
                cwd=ROOT, stdout=log, stderr=log,
                env={name: value for name, value in environment.items() if value is not None},
            )  # fmt: skip

    def _start_with_own_ray(self, harm, config):
        variables = {"RAY_ADDRESS": None, **QUICK_DEATH}
        if harm in CLOCKS:
            (self.folder / "clock").write_text("0")
            variables["SOAK_CLOCK"] = str(self.folder / "clock")
            places = [str(Path(__file__).parent / "clock"), os.environ.get("PYTHONPATH", "")]
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, places))
        return self._start("synthesize", "--config", config, **variables)

    def printed(self):
        """The last driver's last words."""
        return (self.folder / "log").read_text(errors="replace")[-3_000:]

    def run(self, harm, name, moment, *, in_processes, loses_replica=False):
        """One case; returns the exit code of the start that was harmed.

        Args:
            harm: which.
            name: of the case.
            moment: from 0, the first commit, to 1, half of them.
            in_processes: commands run in processes of their own; without it, in this one, which daemons are not in.
            loses_replica: with that, a replica is killed beside the harm, so that one starts after it.
        """
        config, output = self._write_config(name), self.folder / name
        self._codes = {0}
        with _small_disk(output) if harm == "fill_disk" else contextlib.nullcontext():
            if in_processes:
                driver = self._start("synthesize", "--config", config) if harm in CHANGES else None
                driver = driver or self._start_with_own_ray(harm, config)
                undo = self._harm_when_due(harm, name, moment, driver.poll, driver.pid, loses_replica)
                code = driver.wait(LONGEST_S)
            else:
                code, undo = self._call_and_harm(harm, name, moment, config)
            self._check_end(harm, name, code)
            if undo is not None:
                undo()
            self._put_back()
            call = self._call_in_process if in_processes else self._call
            if harm == "edit_commit":  # By hand, behind the run's back: verify finds it.
                assert call("verify", str(output), "--repair") == 0, self.printed()
            assert call("synthesize", "--config", self._write_config(name)) == 0, self.printed()
            assert self.rows(name) == self.expected, (len(self.rows(name)), code, self.printed())
            assert (output / "_SUCCESS").exists()
            report = verify_output(open_storage(str(output)))
            assert report.is_intact, report
        return code

    def _call_in_process(self, *arguments):
        return self._start(*arguments).wait(LONGEST_S)

    def _call_and_harm(self, harm, name, moment, config):
        has_ended, undo = threading.Event(), []

        def act():
            undo.append(self._harm_when_due(harm, name, moment, lambda: has_ended.is_set() or None))

        thread = threading.Thread(target=act)
        thread.start()
        try:
            code = self._call("synthesize", "--config", config)
        finally:
            has_ended.set()
            thread.join()
        return code, undo[0]

    def _harm_when_due(self, harm, name, moment, has_ended, pid=None, loses_replica=False):
        """Wait for so many commits, then do it; returns how it is undone, if it must be."""
        wanted, deadline = 1 + int(moment * 10), time.monotonic() + LONGEST_S
        while has_ended() is None and count_commits(str(self.folder / name)) < wanted:
            assert time.monotonic() < deadline, self.printed()
            time.sleep(0.02)
        if has_ended() is not None:
            return None
        self._codes = {0} if harm in _HARMLESS else {3}
        if harm == "delete_commit":
            self._codes = {0, 3}  # One that goes while it is put, before its folder is synced, is put again.
        if harm in CHANGES:
            undo = CHANGES[harm](self.folder, self.folder / name)
            if loses_replica:
                if harm == "edit_weights":
                    self._codes = {2}  # A replica that starts now has none to load.
                for victim in our_processes("ray::LLMActor"):
                    with suppress(ProcessLookupError):
                        os.kill(victim, signal.SIGKILL)
            return undo
        if harm in CLOCKS:
            (self.folder / "clock").write_text(str(CLOCKS[harm]))
            return None
        (victim, *_) = our_processes(DAEMONS.get(harm, DAEMONS["raylet"]), pid)
        os.kill(victim, signal.SIGKILL if harm in DAEMONS else signal.SIGSTOP)
        if harm == STOPPED:
            self._codes = {0, 3}  # Ray may not have noticed.
            time.sleep(5.0)
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)
        return None

    def _check_end(self, harm, name, code):
        places = [self.folder / name, self.folder / f"{name}-moved"]
        assert code in self._codes, (code, self._codes, self.printed())
        assert any((place / "_SUCCESS").exists() for place in places) == _IN_FULL[code], (code, self.printed())
        # A replica that Ray ends may say where it was; those lines have its process id.
        own = "".join(line for line in self.printed().splitlines(keepends=True) if "pid=" not in line)
        assert "Traceback" not in own or (harm in DAEMONS and code == 3), own
        rows = sorted({row for place in places for row in self.rows(place.name)})
        assert len({row[:2] for row in rows}) == len(rows), "a row is there twice"
        for row in rows:
            assert self.texts[row[2], row[3]] == row[4], f"text and audio of {row[2]} do not belong together"
        if _IN_FULL[code]:
            assert [row[:3] for row in rows] == [row[:3] for row in self.expected], "the mark, but not every row"
        deadline = time.monotonic() + LONGEST_S
        while own := _marked(str(self.folder)):
            assert time.monotonic() < deadline, f"left behind: {own}"
            time.sleep(0.1)


@contextlib.contextmanager
def _small_disk(place):
    """Mount a file system of its own with little room."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _marked(value):
    """Ids and commands of the processes that a case started and that still run; workers of another Ray have no mark."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and f"{MARK}={value}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder.name, (folder / "cmdline").read_bytes()[:100]))
    return found


def list_harms(folder):
    """Return the harms that this machine allows; says which ones it does not."""
    harms = list(HARMS)
    try:
        with _small_disk(folder / "disk"):
            pass
    except (OSError, subprocess.CalledProcessError):
        print("world: no disk is filled, as file systems cannot be mounted here", flush=True)
        harms.remove("fill_disk")
    return harms


def check_world(folder, weights, cluster_address, num_cases=NUM_CASES, seed=0, only=()):
    """Do random harm to as many runs, one after the other; `only` names harms to choose from."""
    world, order, codes = World(folder, weights, cluster_address), random.Random(seed), Counter()
    possible = [harm for harm in list_harms(folder) if not only or harm in only]
    harms, num_changes = [], 0
    for number in range(num_cases):
        harms = harms or order.sample(possible, len(possible))  # Every kind as often as the others.
        harm, moment = harms.pop(), order.random()
        num_changes += harm in CHANGES
        in_processes = harm not in CHANGES or num_changes % 4 == 0
        loses_replica = in_processes and harm in CHANGES and order.random() < 0.5
        began = time.monotonic()
        code = world.run(harm, f"case{number}", moment, in_processes=in_processes, loses_replica=loses_replica)
        codes[harm, code] += 1
        where = "in processes" if in_processes else "in threads"
        more = ", a replica killed" if loses_replica else ""
        took = f"{time.monotonic() - began:.0f} s {where}{more}"
        print(f"world: {number} {harm} at {moment:.2f}: exit {code}, {took}", flush=True)
        shutil.rmtree(folder / f"case{number}")
    print(f"world: {num_cases} cases: {dict(codes)}", flush=True)
