"""commit_log.py: what is durable, and what verify finds of it."""

from __future__ import annotations

import hashlib
import json
import pickle
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DamagedCommit, StorageError
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.counts_note import COUNTS_PATH
from pipeline.output.records import COMMIT_SCHEMA, audio_path
from pipeline.output.verify import VerifyReport, verify_output
from pipeline.storage import Storage, open_storage
from tests.fakes import FlakyStorage, MemoryStorage
from tests.outputs import begin_run, make_commit, make_rows, make_shard

UNIT = WorkUnit("book/one", 0, 2)


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
    begin_run(storage, [make_shard()])
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
    begun = MemoryStorage()
    begin_run(begun, [make_shard()])
    storage.objects |= begun.objects
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
    assert (summary.num_rows, summary.num_ok) == (60, 40)
    assert summary.rejected == {"no_speech": 20} and summary.audio_s == pytest.approx(60.0)
    assert sum(table.num_rows for table in log.iter_metadata(["row"])) == 60


def test_commits_that_are_as_they_were_are_counted_without_being_opened() -> None:
    storage = MemoryStorage()
    log = CommitLog(storage)
    units = [WorkUnit(shard, first, first + 2) for shard in ("a", "a/b", "c") for first in (0, 3)]
    for unit in units:
        log.commit(unit, make_commit(log, unit, rejected=(1,)))

    def summarize() -> set[str]:
        storage.calls.clear()
        counts = log.summarize()
        opened = {path for operation, path in storage.calls if operation == "get" and path.startswith("metadata/")}
        storage.delete(COUNTS_PATH)
        assert log.summarize() == counts
        return opened

    paths = {log.metadata_path(unit) for unit in units}
    assert summarize() == paths
    assert summarize() == set()
    record = log.read_commit(units[2]).to_pylist()[0]
    log.amend(units[2], [{**record, "status": "rejected", "error_code": "no_speech"}])
    of_its_shard = {log.metadata_path(unit) for unit in units[2:4]}
    assert summarize() == of_its_shard
    storage.delete(log.metadata_path(units[3]))
    assert summarize() == {log.metadata_path(units[2])}
    new = WorkUnit("c", 6, 8)
    log.commit(new, make_commit(log, new))
    assert log.summarize().num_rows == 18
    assert log.summarize(lambda unit_id: unit_id.startswith("a/")).num_rows == 9


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"[]",
        b"{",
        b'{"metadata/book": 1}',
        b'{"metadata/book": ["x", {"num_ok": 1}]}',
        b'{"x": ["", {"rejected": {}, "num_ok": "1"}]}',
    ],
)
def test_a_damaged_note_of_counts_says_nothing(note: bytes) -> None:
    storage = MemoryStorage()
    log = CommitLog(storage)
    unit = WorkUnit("book", 0, 2)
    log.commit(unit, make_commit(log, unit))
    storage.put(COUNTS_PATH, note)
    assert log.summarize().num_rows == 3


def test_success_is_written_last_and_taken_away_before_new_work() -> None:
    storage = MemoryStorage()
    log = CommitLog(storage)
    log.finish({"num_ok": 1})
    assert [path for operation, path in storage.calls if operation == "put"] == ["report.json", "_SUCCESS"]
    assert log.is_finished() and json.loads(storage.get("report.json"))["num_ok"] == 1
    log.clear_success()
    assert not log.is_finished()


def test_verify_finds_missing_changed_and_orphaned(storage: Storage) -> None:
    log = CommitLog(storage)
    begin_run(storage, [make_shard("book"), make_shard()])
    log.commit(UNIT, make_commit(log, UNIT))
    unit = WorkUnit("book", 0, 2)
    log.commit(unit, make_commit(log, unit))
    paths = [
        audio_path("book/one", f"u{row}", hashlib.sha256(f"wav {row}".encode()).hexdigest(), "wav") for row in range(3)
    ]
    assert verify_output(storage) == VerifyReport(num_checked=6)
    storage.delete(paths[0])
    storage.put(paths[1], b"bit rot")
    storage.put("audio/book/one/stray.wav", b"")
    report = verify_output(storage)
    assert (report.missing, report.changed, report.orphaned) == ([paths[0]], [paths[1]], ["audio/book/one/stray.wav"])
    assert not report.is_intact
