"""Outputs that cannot be written: the command ends with exit 3 and words, and the same command goes on afterwards."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import jobs.synthesize
from pipeline import verify_output
from pipeline.config.run import StorageConfig
from pipeline.storage import local as local_storage
from pipeline.storage import open_storage
from tests.faulty_store import FaultyProxy
from tests.inline_ray import inline_ray
from tests.runs import make_config, simple_rows, write_shard


@pytest.fixture
def synthesize(tmp_path, random_weights, capfd):
    """Run the command on 12 rows; returns what it printed, after a look at its exit code."""
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 12))

    def synthesize(output, expected_code, **storage):
        config = make_config(tmp_path, random_weights, output=str(output), storage=storage)
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
        with inline_ray():
            code = jobs.synthesize.main(["--config", str(tmp_path / "run.yaml")])
        printed = capfd.readouterr()
        assert code == expected_code, printed.err
        assert "Traceback" not in printed.err + printed.out
        return printed.err

    return synthesize


def check_stopped(output, printed):
    """The end was in order: words, no temporary file, no lease that would hold up the next start."""
    assert "run the same command again" in printed
    assert not list(output.rglob(".tmp-*"))
    assert not (output / "lease.json").exists()


def check_whole(output, settings=None):
    report = verify_output(open_storage(str(output), settings))
    assert (report.num_checked, report.is_intact, report.orphaned) == (12, True, [])


class SmallDisk:
    """Stands for `open` where files are written: once `room` bytes are, none has room any more."""

    def __init__(self, room):
        self.room = room

    def __call__(self, path, mode="r"):
        file = open(path, mode)
        if mode == "xb":
            return SmallFile(self, file)
        return file


class SmallFile:
    def __init__(self, disk, file):
        self.disk, self.file = disk, file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        self.disk.room -= len(data)
        if self.disk.room < 0:
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.file.write(data)


@pytest.mark.parametrize("room", [0, 250_000])
def test_a_full_disk_stops_the_command_and_a_resume_finishes(tmp_path, synthesize, monkeypatch, room):
    disk, output = SmallDisk(room), tmp_path / "output"
    monkeypatch.setattr(local_storage, "open", disk, raising=False)
    printed = synthesize(output, 3)
    assert f"stopped: {output}: put" in printed
    assert "No space left on device; free some space on the disk" in printed
    check_stopped(output, printed)
    disk.room = 1 << 30
    synthesize(output, 0)
    check_whole(output)


@pytest.fixture
def small_mount(tmp_path):
    """A file system of its own with little room."""
    place = tmp_path / "mount"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full_then_read_only_then_repaired(small_mount, synthesize):
    output = small_mount / "output"
    printed = synthesize(output, 3)
    assert "free some space on the disk" in printed
    check_stopped(output, printed)
    subprocess.run(["mount", "-o", "remount,ro", str(small_mount)], check=True)
    printed = synthesize(output, 3)
    assert f"{output} is on a read-only file system; mount it for writing" in printed
    check_stopped(output, printed)
    subprocess.run(["mount", "-o", "remount,rw,size=64m", str(small_mount)], check=True)
    synthesize(output, 0)
    check_whole(output)


@pytest.fixture
def short_waits(monkeypatch):
    monkeypatch.setattr("pipeline.storage.base._FIRST_WAIT_S", 0.005)
    monkeypatch.setattr("pipeline.storage.base._LONGEST_WAIT_S", 0.05)


@pytest.mark.usefixtures("short_waits")
def test_a_store_that_goes_away_in_the_middle_stops_the_command(seaweedfs, synthesize):
    output = seaweedfs.new_uri()
    with FaultyProxy(seaweedfs.endpoint_url, rate=1.0, faults=("slow_down",), calm=40) as proxy:
        printed = synthesize(output, 3, endpoint_url=proxy.url, max_attempts=3, give_up_after_s=0.5)
        assert "failed 12 time(s), last with ClientError" in printed
        assert "run the same command again once the store answers" in printed
        proxy.rate = 0.0
        # The lease could not be given back, but whose it was is known: the next start does not wait.
        synthesize(output, 0, endpoint_url=proxy.url, max_attempts=3)
    check_whole(output, StorageConfig(endpoint_url=seaweedfs.endpoint_url))


def test_the_real_command_says_that_the_store_is_away(tmp_path, random_weights, seaweedfs):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 2))
    with FaultyProxy(seaweedfs.endpoint_url, rate=1.0, faults=("reset", "error_500")) as proxy:
        storage = {"endpoint_url": proxy.url, "max_attempts": 2}
        config = make_config(tmp_path, random_weights, output=seaweedfs.new_uri(), storage=storage)
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
        command = [sys.executable, "-m", "jobs.synthesize", "--config", str(tmp_path / "run.yaml")]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "failed 2 time(s)" in done.stderr
    assert "run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
