"""commit_log.py and lease.py: what is durable, what a resume may change, who may write."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, DamagedCommit, StorageError
from pipeline.manifest.rows import Shard, WorkUnit
from pipeline.output.commit_log import COMMIT_SCHEMA, CommitLog, build_commit_table
from pipeline.output.lease import LEASE_PATH, Lease, LeaseLost
from pipeline.output.run_record import format_run
from pipeline.output.verify import VerifyReport, verify_output
from pipeline.storage import ObjectInfo, Storage, open_storage
from tests.fakes import FlakyStorage, MemoryStorage

UNIT = WorkUnit("book/one", 0, 2)


SHARD_RECORD = {"num_rows": 6, "fingerprint": "f"}


def make_shard(name: str = "book/one", num_rows: int = 6, fingerprint: str = "f") -> Shard:
    return Shard(name, name, num_rows, fingerprint, ObjectInfo(name, 1, ""))


def make_rows(unit: WorkUnit, **columns: Any) -> pa.Table:
    rows = range(unit.first_row, unit.last_row + 1)
    names = {
        "utterance_id": [f"u{row}" for row in rows],
        "text": ["Hi."] * len(rows),
        "speaker_id": ["bea"] * len(rows),
    }
    return pa.table({**names, **columns})


def make_commit(log: CommitLog, unit: WorkUnit, rejected: tuple[int, ...] = ()) -> pa.Table:
    """Put a unit's WAVs and return its metadata, as a writer does."""
    records: list[dict[str, Any]] = []
    for row in range(unit.first_row, unit.last_row + 1):
        record = {"utterance_id": f"u{row}", "shard": unit.shard, "row": row, "created_at": datetime.now(UTC)}
        if row in rejected:
            record |= {"status": "rejected", "error_code": "no_speech", "error_message": "silence"}
        else:
            _, sha256 = log.put_audio(unit.shard, f"u{row}", f"wav {row}".encode())
            record |= {"status": "ok", "audio_sha256": sha256, "duration_s": 1.5, "seed": 2**63 - 1}
        records.append(record)
    return build_commit_table(records, make_rows(unit))


def test_a_table_that_is_no_commit_is_named(storage: Storage) -> None:
    log = CommitLog(storage)
    table = make_commit(log, UNIT)
    others = (
        table.drop_columns(["text"]),
        table.set_column(3, "status", pa.array([1, 2, 3])),
        table.append_column("row", table.column("row")),
        pa.table({"x": [1]}),
    )
    for other in others:
        sink = pa.BufferOutputStream()
        pq.write_table(other, sink)
        storage.put(log.metadata_path(UNIT), sink.getvalue().to_pybytes())
        with pytest.raises(DamagedCommit, match="its columns are not those of a commit"):
            log.read_commit(UNIT, ["row"])


@pytest.mark.parametrize("damage", ["cut", "page", "footer", "empty"])
def test_a_damaged_commit_is_named(storage: Storage, damage: str) -> None:
    log = CommitLog(storage)
    log.commit(UNIT, make_commit(log, UNIT))
    path = log.metadata_path(UNIT)
    data = bytearray(storage.get(path))
    places = {"page": slice(4, 40), "footer": slice(len(data) - 60, len(data) - 8)}
    if damage in places:
        data[places[damage]] = b"\xff" * len(data[places[damage]])
    storage.put(path, bytes(data[: {"cut": 100, "empty": 0}.get(damage)]))
    with pytest.raises(DamagedCommit, match=r"not a readable commit .*jobs\.verify --repair"):
        log.read_commit(UNIT)


def test_commit_is_readable_and_final(storage: Storage) -> None:
    log = CommitLog(storage)
    table = make_commit(log, UNIT, rejected=(1,))
    assert log.committed() == set()
    assert log.commit(UNIT, table)
    assert not log.commit(UNIT, make_commit(log, UNIT))
    assert log.read_commit(UNIT).equals(table)
    assert log.committed() == {UNIT.unit_id} == {"book/one/000000000-000000002"}
    with pytest.raises(FileNotFoundError):
        log.read_commit(WorkUnit("book/one", 3, 5))


def test_one_of_two_committers_wins(storage: Storage) -> None:
    tables = [make_commit(CommitLog(storage), UNIT, rejected=(row,)) for row in range(3)]
    won: list[int] = []

    def commit(index: int) -> None:
        if pickle.loads(pickle.dumps(CommitLog(storage))).commit(UNIT, tables[index]):
            won.append(index)

    threads = [threading.Thread(target=commit, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert CommitLog(storage).read_commit(UNIT).equals(tables[won[0]])


def test_partial_commit_is_our_own_mistake() -> None:
    log = CommitLog(MemoryStorage())
    table = make_commit(log, UNIT)
    with pytest.raises(ValueError, match="every row"):
        log.commit(UNIT, table.slice(1))


def test_crash_before_the_commit_leaves_the_unit_undone(storage: Storage) -> None:
    log = CommitLog(storage)
    log.begin({"unit_size": 3}, {}, [make_shard()])
    make_commit(log, UNIT)
    assert log.committed() == set()
    report = verify_output(storage)
    assert len(report.orphaned) == 3 and report.is_intact


@pytest.mark.parametrize("crash_at", [1, 2, 3, 4])
def test_crash_at_any_put_commits_nothing_and_a_second_try_heals(crash_at: int) -> None:
    storage = FlakyStorage({crash_at}, error=StorageError("the process died here"))
    log = CommitLog(storage)
    with pytest.raises(StorageError):
        log.commit(UNIT, make_commit(log, UNIT))
    assert log.committed() == set()
    assert log.commit(UNIT, make_commit(log, UNIT))
    storage.objects["run.json"] = (format_run({"unit_size": 3}, {"book/one": SHARD_RECORD}, [], {}), "v")
    report = verify_output(storage)
    assert (report.num_checked, report.missing, report.changed, report.orphaned) == (3, [], [], [])


def test_metadata_reads_as_one_dataset(tmp_path: Path) -> None:
    log = CommitLog(open_storage(str(tmp_path)))
    log.commit(UNIT, make_commit(log, UNIT))
    log.commit(WorkUnit("lang%3Den", 0, 0), make_commit(log, WorkUnit("lang%3Den", 0, 0), rejected=(0,)))
    table = pq.read_table(tmp_path / "metadata")
    assert table.schema.names == COMMIT_SCHEMA.names and table.num_rows == 4


def test_passed_through_columns_that_collide_are_prefixed() -> None:
    rows = make_rows(
        WorkUnit("s", 0, 0), seed=[1], language=["en"], status=["draft"], manifest_status=[5], nested=[{"a": [1]}]
    )
    record = {"status": "ok", "shard": "s", "row": 0, "seed": 7}
    table = build_commit_table([record], rows)
    assert table.schema.names == [
        *COMMIT_SCHEMA.names,
        "language",
        "manifest_manifest_status",
        "manifest_status",
        "nested",
    ]
    (row,) = table.to_pylist()
    assert (row["status"], row["manifest_manifest_status"], row["manifest_status"]) == ("ok", "draft", 5)
    assert row["seed"] == 7 and row["nested"] == {"a": [1]}


def test_summary_counts_every_commit(storage: Storage) -> None:
    log = CommitLog(storage)
    for first in range(0, 60, 3):
        unit = WorkUnit("book/one", first, first + 2)
        log.commit(unit, make_commit(log, unit, rejected=(first,)))
    summary = log.summarize()
    assert (summary.num_units, summary.num_rows, summary.num_ok) == (20, 60, 40)
    assert summary.rejected_by_code == {"no_speech": 20} and summary.audio_seconds == pytest.approx(60.0)
    assert sum(table.num_rows for table in log.iter_metadata(["row"])) == 60


def test_success_is_written_last_and_taken_away_before_new_work() -> None:
    storage = MemoryStorage()
    log = CommitLog(storage)
    log.finish({"num_ok": 1})
    assert [path for operation, path in storage.calls if operation == "put"] == ["report.json", "_SUCCESS"]
    assert log.is_finished() and json.loads(storage.get("report.json"))["num_ok"] == 1
    log.clear_success()
    assert not log.is_finished()


def test_same_settings_resume_and_starts_are_bounded(storage: Storage) -> None:
    log = CommitLog(storage)
    for number in range(25):
        log.begin({"unit_size": 3, "text.language": "en", "top_p": 0.95}, {"number": number}, [make_shard()])
    run = log.read_run()
    assert [start["number"] for start in run["starts"]] == list(range(5, 25))
    assert run["shards"] == {"book/one": {"num_rows": 6, "fingerprint": "f"}} and run["num_rows"] == 6


def test_resume_with_other_settings_lists_every_difference(storage: Storage) -> None:
    log = CommitLog(storage)
    log.begin({"seed": 1, "unit_size": 128, "gone": None}, {}, [make_shard()])
    with pytest.raises(ConfigError) as caught:
        log.begin({"seed": 2, "unit_size": 128, "new": "x"}, {}, [make_shard()])
    message = str(caught.value)
    for part in ("seed: 1 → 2", "gone: null → (absent)", 'new: (absent) → "x"', "choose another output"):
        assert part in message
    assert "unit_size" not in message and len(log.read_run()["starts"]) == 1


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        ([], "missing from the manifest"),
        ([make_shard(num_rows=5)], "6 rows → 5 rows"),
        ([make_shard(num_rows=7)], "add rows as new shards"),
        ([make_shard(fingerprint="g")], "content f... → g..."),
    ],
)
def test_changed_shards_are_refused(shards: list[Shard], said: str) -> None:
    log = CommitLog(MemoryStorage())
    log.begin({"unit_size": 3}, {}, [make_shard()])
    with pytest.raises(ConfigError, match=said):
        log.begin({"unit_size": 3}, {}, shards)


def test_new_shards_are_added() -> None:
    log = CommitLog(MemoryStorage())
    log.begin({"unit_size": 3}, {}, [make_shard()])
    log.begin({"unit_size": 3}, {}, [make_shard(), make_shard("two", 3)])
    assert log.read_run()["num_rows"] == 9


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"format_version": 99, "pinned": {}, "shards": {}}', "upgrade"),
        (b'{"other": 1}', "not a run"),
        (b"[1]", "not a run"),
        (b"{", "not a run"),
        (b"[" * 100_000, "not a run"),
        (format_run({}, {}, [], {}), "pinned.unit_size: Field required"),
        (format_run({"unit_size": 0}, {}, [], {}), "pinned.unit_size: Input should be greater"),
        (format_run({"unit_size": "3"}, {}, [], {}), "pinned.unit_size: Input should be a valid integer"),
        (format_run({"unit_size": 3}, {"../s": SHARD_RECORD}, [], {}), "shards.*not a relative path"),
        (format_run({"unit_size": 3}, {}, {}, {}), "starts: Input should be a valid list"),
    ],
)
def test_foreign_run_files_are_refused(data: bytes, said: str) -> None:
    storage = MemoryStorage()
    storage.put("run.json", data)
    with pytest.raises(ConfigError, match=said):
        CommitLog(storage).begin({"unit_size": 3}, {}, [])


def test_commits_of_an_unknown_run_are_refused() -> None:
    log = CommitLog(MemoryStorage())
    log.commit(UNIT, make_commit(log, UNIT))
    with pytest.raises(ConfigError, match=r"no run\.json"):
        log.begin({"unit_size": 3}, {}, [make_shard()])


def test_verify_finds_missing_changed_and_orphaned(storage: Storage) -> None:
    log = CommitLog(storage)
    log.begin({"unit_size": 3}, {}, [make_shard("book"), make_shard()])
    log.commit(UNIT, make_commit(log, UNIT))
    unit = WorkUnit("book", 0, 2)
    log.commit(unit, make_commit(log, unit))
    paths = [
        log.audio_path("book/one", f"u{row}", hashlib.sha256(f"wav {row}".encode()).hexdigest()) for row in range(3)
    ]
    assert verify_output(storage) == VerifyReport(num_checked=6)
    storage.delete(paths[0])
    storage.put(paths[1], b"bit rot")
    storage.put("audio/book/one/stray.wav", b"")
    report = verify_output(storage)
    assert (report.missing, report.changed, report.orphaned) == ([paths[0]], [paths[1]], ["audio/book/one/stray.wav"])
    assert not report.is_intact


def test_live_driver_on_this_host_is_refused_at_once(storage: Storage) -> None:
    with Lease.acquire(storage, timeout_s=30), pytest.raises(ConfigError, match=rf"process {os.getpid()} on"):
        Lease.acquire(storage, timeout_s=30)
    with Lease.acquire(storage, timeout_s=30) as lease:
        assert lease.owner["epoch"] == 1
    assert not storage.exists(LEASE_PATH)


def put_foreign_lease(storage: Storage, heartbeat: int = 3) -> None:
    holder = {"host": "elsewhere", "boot": "b", "pid": 1, "pid_started": "1", "token": "t", "epoch": 4}
    storage.put(LEASE_PATH, json.dumps({**holder, "heartbeat": heartbeat, "started_at": 0}).encode())


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


def test_heartbeat_that_moves_is_respected() -> None:
    storage = MemoryStorage()
    put_foreign_lease(storage)
    timer = threading.Timer(0.3, put_foreign_lease, (storage, 4))
    timer.start()
    with pytest.raises(ConfigError, match="process 1 on elsewhere since 1970"):
        Lease.acquire(storage, timeout_s=5)
    timer.join()


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
    with Lease.acquire(storage, timeout_s=1) as lease:
        first = json.loads(storage.get(LEASE_PATH))["heartbeat"]
        deadline = time.monotonic() + 10
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
    with pytest.raises(LeaseLost, match="nobody"):
        lease.check_now()


def test_lease_works_without_conditional_puts() -> None:
    storage = MemoryStorage(honors_conditions=False)
    with Lease.acquire(storage, timeout_s=30) as lease:
        lease.renew()
        put_foreign_lease(storage)
        with pytest.raises(LeaseLost):
            lease.renew()
