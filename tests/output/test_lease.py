"""lease.py: who may write."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.manifest.units import WorkUnit
from pipeline.output.lease import LEASE_PATH, Lease, LeaseLost
from pipeline.storage import Storage, open_storage
from tests.fakes import MemoryStorage
from tests.outputs import put_foreign_lease

UNIT = WorkUnit("book/one", 0, 2)


def test_live_driver_on_this_host_is_refused_at_once(storage: Storage) -> None:
    with Lease.acquire(storage, timeout_s=30), pytest.raises(ConfigError, match=rf"process {os.getpid()} on"):
        Lease.acquire(storage, timeout_s=30)
    with Lease.acquire(storage, timeout_s=30) as lease:
        assert lease.owner["epoch"] == 1
    assert not storage.exists(LEASE_PATH)


def test_heartbeat_that_stands_still_is_taken_over(storage: Storage) -> None:
    put_foreign_lease(storage)
    began = time.monotonic()
    with Lease.acquire(storage, timeout_s=1) as lease:
        assert time.monotonic() - began >= 1 and lease.owner["epoch"] == 5


@pytest.mark.parametrize(
    "change",
    [{"heartbeat": "x"}, {"heartbeat": float("inf")}, {"pid": "x"}, {"epoch": None}, {"started_at": 1e300}, None],
)
def test_a_lease_of_nonsense_has_an_owner_without_a_name(change: dict[str, Any] | None, caplog: Any) -> None:
    storage = MemoryStorage()
    put_foreign_lease(storage)
    holder = json.loads(storage.get(LEASE_PATH))
    storage.put(LEASE_PATH, b"[" * 100_000 if change is None else json.dumps({**holder, **change}).encode())
    with Lease.acquire(storage, timeout_s=0.1):
        assert "an owner that gave no name" in caplog.text


def test_heartbeat_that_moves_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    put_foreign_lease(storage)
    # The holder is at work while this driver waits.
    monkeypatch.setattr(time, "sleep", lambda seconds: put_foreign_lease(storage, 4))
    with pytest.raises(ConfigError, match="process 1 on elsewhere since 1970"):
        Lease.acquire(storage, timeout_s=30)


def test_dead_process_of_this_host_is_taken_over_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import os, sys; from pipeline.storage import open_storage; from pipeline.output.lease import Lease\n"
        "Lease.acquire(open_storage(sys.argv[1])); os._exit(9)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root)
    assert done.returncode == 9

    def wait(seconds: float) -> None:
        raise AssertionError("there was no need to wait")

    monkeypatch.setattr(time, "sleep", wait)
    with Lease.acquire(open_storage(str(tmp_path))) as lease:
        assert lease.owner["epoch"] == 2


def test_lease_renews_itself(storage: Storage) -> None:
    with Lease.acquire(storage, timeout_s=3) as lease:
        first = json.loads(storage.get(LEASE_PATH))["heartbeat"]
        deadline = time.monotonic() + 120
        while json.loads(storage.get(LEASE_PATH))["heartbeat"] == first and time.monotonic() < deadline:
            time.sleep(0.05)
        assert json.loads(storage.get(LEASE_PATH))["heartbeat"] > first
        lease.renew_if_due()


def test_driver_that_lost_its_lease_stops_and_spares_the_new_one(storage: Storage) -> None:
    with Lease.acquire(storage, timeout_s=30) as lease:
        writer = pickle.loads(pickle.dumps(lease))
        writer.check()
        put_foreign_lease(storage)
        with pytest.raises(LeaseLost, match="elsewhere"):
            lease.renew()
        with pytest.raises(LeaseLost):
            lease.renew_if_due()
        with pytest.raises(LeaseLost):
            pickle.loads(pickle.dumps(lease)).check()
        with pytest.raises(LeaseLost):
            writer.check_now()
    assert json.loads(storage.get(LEASE_PATH))["host"] == "elsewhere"


def test_writer_stops_once_the_driver_released() -> None:
    lease = Lease.acquire(MemoryStorage(), timeout_s=30)
    lease.release()
    with pytest.raises(LeaseLost, match=r"as lease\.json is gone: somebody moved, renamed or deleted the output"):
        lease.check_now()


def test_lease_works_without_conditional_puts() -> None:
    storage = MemoryStorage(honors_conditions=False)
    with Lease.acquire(storage, timeout_s=30) as lease:
        lease.renew()
        put_foreign_lease(storage)
        with pytest.raises(LeaseLost):
            lease.renew()
