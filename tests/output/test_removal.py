"""What was withdrawn is gone, wherever it was, and whatever is killed meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import jobs.remove
from pipeline import read_status
from pipeline.errors import ConfigError
from pipeline.llm.prompt import Voice
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import Lease
from pipeline.output.records import AUDIO_COLUMN, pack_clip
from pipeline.output.removal import plan_removal, read_ids, remove_rows
from pipeline.output.tombstones import REMOVED_PATH, Tombstones
from pipeline.output.verify import verify_output
from pipeline.storage import Storage, open_storage
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry
from tests.fakes import MemoryStorage
from tests.outputs import begin_run, make_shard

SPEAKERS = ("anna", "ross")
NUM_ROWS = 6
REASON = "withdrew his consent"
ROSS_TOKENS = tuple(range(700, 732))


def clip_of(row: int) -> bytes:
    return f"the sound of row {row}".encode() * 20


def speaker_of(row: int) -> str:
    return SPEAKERS[row % 2]


def make_output(storage: Storage, layout: str) -> None:
    """Two committed units of three rows, every second one by ross; takes that nobody names; voices and pages."""
    log = CommitLog(storage)
    begin_run(storage, [make_shard("s", NUM_ROWS)])
    for first in (0, 3):
        unit, records = WorkUnit("s", first, first + 2), []
        for row in range(first, first + 3):
            record: dict[str, Any] = {
                "utterance_id": f"u{row}",
                "speaker_id": speaker_of(row),
                "shard": "s",
                "row": row,
            }
            record |= {"text": f"text of {row}", "spoken_text": f"spoken {row}", "status": "ok", "duration_s": 2.0}
            if layout == "packed":
                record[AUDIO_COLUMN], sha256 = pack_clip(f"u{row}", clip_of(row), "wav")
            else:
                record["audio_path"], sha256 = log.put_audio("s", f"u{row}", clip_of(row), "wav")
                log.put_audio("s", f"u{row}", b"an earlier take: " + clip_of(row), "wav")
            records.append(record | {"audio_sha256": sha256, "audio_format": "wav"})
        rows = pa.table(
            {
                "utterance_id": [record["utterance_id"] for record in records],
                "original": [f"as printed: {record['text']}" for record in records],
                "book_id": ["book"] * 3,
                "book_title": ["Book"] * 3,
                "chapter": [1] * 3,
                "chapter_title": ["One"] * 3,
            }
        )
        log.commit(unit, build_commit_table(records, rows, is_packed=layout == "packed"))
    log.put_audio("s", "unfinished", b"of a unit that was cut short: " + clip_of(1), "wav")
    voices = [Speaker(name, Voice(global_tokens=tokens), "given", "{}") for name, tokens in
              (("anna", tuple(range(32))), ("ross", ROSS_TOKENS))]  # fmt: skip
    storage.put("speakers.parquet", SpeakerRegistry(voices).to_parquet())
    storage.put("report.html", b"<p>text of 1</p>")
    storage.put("report-data/rows-0000-0123456789ab.js", b"text of 1")
    log.finish(log.summarize().report(NUM_ROWS))


def content_of(storage: Storage) -> bytes:
    """All bytes of an output, those of Parquet files as they are and as they read."""
    parts = []
    for info in storage.list():
        data = storage.get(info.path)
        parts += [info.path.encode(), data]
        if info.path.endswith(".parquet"):
            for row in pq.read_table(pa.BufferReader(data)).to_pylist():
                parts += [repr(row).encode(), *(value["bytes"] for value in row.values() if _is_clip(value))]
    return b"\n".join(parts)


def _is_clip(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.get("bytes"))


def check_that_ross_is_gone(storage: Storage) -> None:
    content = content_of(storage)
    for row in range(NUM_ROWS):
        is_left = speaker_of(row) == "anna"
        for trace in (clip_of(row), f"text of {row}".encode(), f"spoken {row}".encode()):
            assert (trace in content) == is_left, trace
    assert repr(list(ROSS_TOKENS)).encode() not in content and b"earlier take" not in content
    assert b"cut short" not in content
    rows = [row for table in CommitLog(storage).iter_metadata() for row in table.to_pylist()]
    for row in rows:
        if row["speaker_id"] == "ross":
            kept = {name for name, value in row.items() if value is not None}
            assert kept == {"utterance_id", "speaker_id", "status", "removed_reason", "shard", "row", "created_at",
                            "book_id", "book_title", "chapter", "chapter_title"}  # fmt: skip
            assert (row["status"], row["removed_reason"]) == ("removed", REASON)
        else:
            assert row["status"] == "ok" and row["original"] == f"as printed: {row['text']}"
    assert len(rows) == NUM_ROWS
    report = verify_output(storage, check_hashes=False)
    assert report.is_intact and report.orphaned == [] and report.num_checked == 3
    assert storage.exists("_SUCCESS") and not storage.exists("_REPAIRING") and not storage.exists("lease.json")
    summary = json.loads(storage.get("report.json"))
    assert (summary["num_rows"], summary["num_ok"], summary["num_removed"], summary["audio_s"]) == (6, 3, 3, 6.0)
    assert Tombstones.read(storage).is_carried_out


@pytest.mark.parametrize("layout", ["files", "packed"])
def test_nothing_is_left_of_a_speaker(storage: Storage, layout: str) -> None:
    make_output(storage, layout)
    before = plan_removal(storage, (), ["ross"])
    removal = remove_rows(storage, (), ["ross"], REASON)
    assert removal == before and removal.is_complete
    assert (removal.rows.num_ok, removal.rows.audio_s, removal.speakers) == (3, 6.0, ["ross"])
    assert removal.books == {"book"}
    check_that_ross_is_gone(storage)
    again = remove_rows(storage, (), ["ross"], "another reason")
    assert (again.rows.num_ok, again.rows.num_removed, again.speakers) == (0, 3, [])
    check_that_ross_is_gone(storage)


class Killed(BaseException):
    pass


class DyingStorage(MemoryStorage):
    """Dies at one of its operations, before or after it has had its effect, and answers nothing from then on."""

    dies_at = 0
    is_carried_out = False

    def _die_if_due(self, *, is_done: bool) -> None:
        if self.dies_at and (
            len(self.calls) > self.dies_at or (len(self.calls) == self.dies_at and is_done == self.is_carried_out)
        ):
            raise Killed

    def _note(self, operation: str, path: str) -> None:
        super()._note(operation, path)
        self._die_if_due(is_done=False)

    def _put(self, *arguments: Any) -> str:
        etag = super()._put(*arguments)
        self._die_if_due(is_done=True)
        return etag

    def _delete(self, path: str) -> None:
        super()._delete(path)
        self._die_if_due(is_done=True)

    def __reduce__(self) -> Any:
        raise TypeError


@pytest.mark.parametrize("layout", ["files", "packed"])
def test_a_removal_that_is_killed_at_any_change_is_ended_by_the_same_command(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The lease's own thread would count, and die, too.
    monkeypatch.setattr(Lease, "_keep", lambda lease: None)
    calm = DyingStorage()
    make_output(calm, layout)
    objects = dict(calm.objects)
    calm.calls.clear()
    remove_rows(calm, (), ["ross"], REASON)
    # A death at a read leaves what the death before the next change leaves.
    changes = [number for number, (operation, _) in enumerate(calm.calls, 1) if operation in ("put", "delete")]
    num_deaths = num_certain = 0
    for number, dies_at in enumerate(changes):
        storage = DyingStorage()
        storage.objects = dict(objects)
        # Each other death comes after the operation's effect; those that do in one layout come before it in the other.
        storage.dies_at, storage.is_carried_out = dies_at, (number % 2 == 0) == (layout == "files")
        num_certain += not storage.is_carried_out
        try:
            remove_rows(storage, (), ["ross"], REASON)
        except Killed:
            num_deaths += 1
        storage.dies_at = 0
        storage.objects.pop("lease.json", None)  # Its holder is dead.
        if REMOVED_PATH in storage.objects and storage.objects[REMOVED_PATH] != objects.get(REMOVED_PATH):
            # From the first tombstone on, an audit says what is left, or there is nothing.
            left = verify_output(storage, check_hashes=False)
            assert left.is_intact or left.not_removed
        remove_rows(storage, (), ["ross"], REASON)
        check_that_ross_is_gone(storage)
    assert num_certain < num_deaths == len(changes)


def test_a_wrong_id_changes_nothing_and_is_named(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    storage = open_storage(str(tmp_path))
    make_output(storage, "files")
    before = content_of(storage)
    with pytest.raises(ConfigError, match=r"2 of the ids .* nothing was removed:\n  utterance 'U1'\n  speaker 'Ross'"):
        remove_rows(storage, ["u1", "U1"], ["anna", "Ross"], REASON)
    assert content_of(storage) == before
    command = [str(tmp_path), "--ids", "u1", "nobody", "--reason", REASON]
    assert jobs.remove.main(command) == 2
    assert "utterance 'nobody'" in capsys.readouterr().err
    assert jobs.remove.main([*command, "--dry-run"]) == 2
    with Lease.acquire(storage), pytest.raises(ConfigError, match="another driver is at work"):
        remove_rows(storage, ["u1"], (), REASON)
    assert content_of(storage) == before


def test_ids_are_removed_from_a_file_after_a_dry_run(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    storage = open_storage(str(tmp_path / "output"))
    make_output(storage, "packed")
    before = content_of(storage)
    (tmp_path / "ids.txt").write_text("u1\n\n u2 \nu1\n")
    command = [str(tmp_path / "output"), "--ids", str(tmp_path / "ids.txt"), "u4", "--reason", REASON]
    assert jobs.remove.main([*command, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "2 id(s) from" in printed and "3 row(s) would be removed: 3 with 6.0 s of audio, 0 rejected" in printed
    assert content_of(storage) == before
    assert jobs.remove.main(command) == 0
    assert "3 row(s) removed: 3 with 6.0 s of audio" in capsys.readouterr().out
    status = read_status(str(tmp_path / "output"))
    assert (status["num_ok"], status["num_removed"], status["num_rejected"], status["state"]) == (3, 3, 0, "finished")
    assert status["books"][0]["num_removed"] == 3 and status["books"][0]["num_rejected"] == 0
    content = content_of(storage)
    assert not any(clip_of(row) in content for row in (1, 2, 4)) and clip_of(3) in content
    # The speakers of these rows still speak.
    assert repr(list(ROSS_TOKENS)).encode() in content


def test_tombstones_that_are_lost_are_missed(storage: Storage) -> None:
    make_output(storage, "packed")
    remove_rows(storage, ["u4"], (), REASON)
    storage.delete(REMOVED_PATH)
    report = verify_output(storage, check_hashes=False)
    assert report.no_tombstones == ["metadata/s/000000003-000000005.parquet"] and not report.is_intact


def test_a_twin_of_a_removed_row_keeps_its_audio(storage: Storage) -> None:
    """Names of files come from ids: a duplicate that another speaker has must not take the first one's clip along."""
    make_output(storage, "files")
    log, unit = CommitLog(storage), WorkUnit("s", 3, 5)
    twin = {"utterance_id": "u0", "speaker_id": "ross", "shard": "s", "row": 5, "status": "rejected"}
    assert log.amend(unit, [{**twin, "error_code": "duplicate_id", "text": "text of 0"}])
    remove_rows(storage, (), ["ross"], REASON)
    assert clip_of(0) in content_of(storage) and verify_output(storage, check_hashes=False).is_intact


def test_where_a_commit_is_damaged_the_rest_is_removed_and_the_command_says_so(tmp_path: Any) -> None:
    storage = open_storage(str(tmp_path))
    make_output(storage, "files")
    (tmp_path / "metadata/s/000000000-000000002.parquet").unlink()
    assert jobs.remove.main([str(tmp_path), "--speakers", "ross", "--reason", REASON]) == 1
    content = content_of(storage)
    assert clip_of(3) not in content and clip_of(5) not in content and clip_of(0) in content
    assert not storage.exists("_SUCCESS") and not Tombstones.read(storage).is_carried_out


@pytest.mark.parametrize(
    ("data", "found"),
    [(b"\xef\xbb\xbfa\r\nb b\n\na", ["a", "b b"]), (b"\xff\xfe", None), (b"PAR1", None), (b" \n", None)],
)
def test_lists_of_ids_are_read_or_refused(data: bytes, found: list[str] | None) -> None:
    if found is not None:
        assert read_ids(data, "ids.txt") == found
        return
    with pytest.raises(ConfigError, match=r"ids\.txt: .*expected"):
        read_ids(data, "ids.txt")


def test_damaged_tombstones_stop_whoever_would_synthesize() -> None:
    storage = MemoryStorage()
    storage.put(REMOVED_PATH, b"PAR1")
    with pytest.raises(ConfigError, match=r"removed\.parquet: damaged"):
        Tombstones.read(storage)
