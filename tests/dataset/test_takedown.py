"""A speaker or a text is taken out of a corpus: nothing of it is found in any byte, and nothing brings it back."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import jobs.remove
import jobs.verify
from pipeline import read_output
from pipeline.dataset.listing import iter_data_files, list_snapshots, read_snapshot
from pipeline.dataset.snapshot import write_snapshot
from pipeline.dataset.takedown import finish_takedown, plan_takedown, take_down
from pipeline.dataset.tar_files import tar_paths, write_tar
from pipeline.errors import ConfigError, StoreRefused
from pipeline.output.lease import Lease
from pipeline.output.tombstones import Tombstones
from pipeline.storage import open_storage
from tests.dataset.corpora import NIGHTS, all_hashes, make_night, run_night
from tests.run.test_changing_manifest import Deadly

REASON = "withdrew his consent"


def traces_of(config, speaker="ross"):
    """What must not be found afterwards: frames of his clips, his texts, the tokens of his voice."""
    columns = ["utterance_id", "speaker_id", "audio"]
    clips = [r["audio"]["bytes"] for r in read_output(config.run.output, columns) if r["speaker_id"] == speaker]
    voices = pq.read_table(Path(config.run.output) / "speakers.parquet").to_pylist()
    tokens = [row["global_tokens"] for row in voices if row["speaker_id"] == speaker]
    # Comments differ between output and snapshots; the sound is the same.
    return [clip[-400:] for clip in clips], tokens


def snapshot_rows(config, night):
    storage = open_storage(config.corpus)
    return [row for _, place in iter_data_files(storage, night) for row in pq.read_table(place).to_pylist()]


def check_gone(config, sounds, ids):
    for path, data in all_hashes(config, "").items():
        assert not any(sound in data for sound in sounds), path
    for night in list_snapshots(open_storage(config.corpus)):
        assert not ids & {row["id"] for row in snapshot_rows(config, night)}
    for path in Path(config.corpus).glob("manifest/*.parquet"):
        assert not [row for row in pq.read_table(path).to_pylist() if row["utterance_id"] in ids and row["text"]]
    voices = pq.read_table(Path(config.run.output) / "speakers.parquet").column("speaker_id").to_pylist()
    assert "ross" not in voices


def check_listed(config):
    """Every snapshot's list of files is true, and nothing else is there."""
    storage = open_storage(config.corpus)
    listed = set()
    for night in list_snapshots(storage):
        snapshot = read_snapshot(storage, night)
        assert snapshot.num_rows == len(snapshot_rows(config, night)) == sum(file.num_rows for file in snapshot.files)
        listed |= snapshot.paths()
    assert {info.path for info in storage.list("snapshots/")} - {"snapshots/seen.json"} == listed


def test_a_speaker_leaves_output_manifests_and_every_snapshot(config, capsys):
    before = {night: snapshot_rows(config, night) for night in NIGHTS}
    sounds, _ = traces_of(config)
    ids = {row["id"] for row in before[NIGHTS[2]] if row["speaker"] == "ross"}
    assert len(sounds) == len(ids) == 12
    arguments = [config.corpus, "--speakers", "ross", "--reason", REASON]
    unchanged = all_hashes(config, "")
    assert jobs.remove.main([*arguments, "--dry-run"]) == 0
    assert all_hashes(config, "") == unchanged
    capsys.readouterr()
    assert jobs.remove.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "12 row(s) of 5 data file(s) removed" in printed and ", ".join(NIGHTS) in printed
    check_gone(config, sounds, ids)
    check_listed(config)
    assert jobs.verify.main([config.corpus]) == 1
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("changed_shard")]
    assert len(found) == 3 and all("jobs.remove empties rows of manifests" in line for line in found)
    for number, night in enumerate(NIGHTS, start=1):
        kept = [row for row in before[night] if row["speaker"] != "ross"]
        assert sorted(snapshot_rows(config, night), key=str) == sorted(kept, key=str)
        folder = Path(config.corpus) / "snapshots" / night
        removed = pq.read_table(folder / "removed.parquet").to_pylist()
        assert len(removed) == 4 * number and {row["reason"] for row in removed} == {REASON}
        files = json.loads((folder / "files.json").read_text())
        assert files["revision"] == 1 and len(files["withdrawn"]) > 0
        stats = json.loads((folder / "stats.json").read_text())
        assert "ross" not in stats["speakers"] and stats["num_rows"] == 8 * number
        assert "| ross |" not in (folder / "README.md").read_text()
    assert json.loads((Path(config.corpus) / "latest.json").read_text())["revision"] == 1
    after = all_hashes(config, "")
    assert jobs.remove.main(arguments) == 0
    assert {path for path, data in all_hashes(config, "").items() if after.get(path) != data} <= {"output/report.json"}


def test_the_next_night_lists_the_files_that_are_left_and_brings_nobody_back(config):
    take_down(open_storage(config.corpus), [], ["ross"], REASON)
    kept = {file.path for file in read_snapshot(open_storage(config.corpus), NIGHTS[2]).files}
    rows = make_night("2026-11-30", 300, 4)
    run_night(config, "2026-11-30", rows)
    summary = write_snapshot(config.corpus, "2026-11-30", config)
    assert summary.num_rows == 24 + 3 and summary.num_left == 0
    assert kept < {file.path for file in read_snapshot(open_storage(config.corpus), "2026-11-30").files}
    assert not [row for row in snapshot_rows(config, "2026-11-30") if row["speaker"] == "ross"]


def test_a_row_leaves_by_its_id_and_others_keep_their_files(config):
    gone = "news-0001-iris"
    before = {file.path for file in read_snapshot(open_storage(config.corpus), NIGHTS[2]).files}
    takedown = take_down(open_storage(config.corpus), [gone], [], REASON)
    assert (takedown.num_rows, takedown.num_files, takedown.snapshots) == (1, 1, list(NIGHTS))
    after = {file.path for file in read_snapshot(open_storage(config.corpus), NIGHTS[2]).files}
    assert len(before - after) == len(after - before) == 1
    assert gone not in {row["id"] for row in snapshot_rows(config, NIGHTS[0])}
    check_listed(config)


def test_snapshots_with_files_of_their_own_for_a_night_are_counted(config):
    storage = open_storage(config.corpus)
    shutil.rmtree(Path(config.corpus) / "snapshots" / NIGHTS[1])
    shutil.rmtree(Path(config.corpus) / "snapshots" / NIGHTS[2])
    write_snapshot(config.corpus, NIGHTS[1], config, excluded=[NIGHTS[0]])
    write_snapshot(config.corpus, NIGHTS[2], config)
    first, last = (read_snapshot(storage, night).nights[NIGHTS[0]] for night in (NIGHTS[0], NIGHTS[2]))
    assert first.content == last.content and not {*first.files} & {*last.files}
    planned = plan_takedown(storage, ["news-0001-iris"], [])
    assert (planned.num_rows, planned.num_files, planned.snapshots) == (1, 2, [NIGHTS[0], NIGHTS[2]])


def test_a_row_that_only_an_old_snapshot_has_is_known(config):
    """The manifest has no such row any more, nor has the output."""
    rows = make_night(NIGHTS[0], 0, 12)
    run_night(config, NIGHTS[0], rows[1:])
    assert not [r for r in read_output(config.run.output) if r["utterance_id"] == rows[0]["utterance_id"]]
    takedown = take_down(open_storage(config.corpus), [rows[0]["utterance_id"]], [], REASON)
    assert takedown.num_rows == 1 and takedown.removal.rows.num_rows == 0
    assert rows[0]["utterance_id"] not in {row["id"] for row in snapshot_rows(config, NIGHTS[2])}


def test_a_wrong_id_changes_nothing(config, capsys):
    before = all_hashes(config, "")
    command = [config.corpus, "--speakers", "rosa", "--ids", "news-0001-iris", "ross", "--reason", REASON]
    assert jobs.remove.main(command) == 2
    printed = capsys.readouterr().err
    assert "speaker 'rosa'" in printed and "utterance 'ross'" in printed and "nothing was removed" in printed
    assert all_hashes(config, "") == before


def test_a_takedown_that_is_killed_anywhere_is_completed(config, monkeypatch):
    sounds, _ = traces_of(config)
    ids = {row["id"] for row in snapshot_rows(config, NIGHTS[2]) if row["speaker"] == "ross"}
    storage = open_storage(config.corpus)
    # As the takedown of the output itself is tested elsewhere, this is killed in what follows it.
    deadly = Deadly(monkeypatch, config.corpus)
    for num_kills in range(30):
        deadly.left, deadly.after = 2 + 3 * num_kills, bool(num_kills % 2)
        try:
            take_down(storage, [], ["ross"], REASON)
            break
        except StoreRefused:
            deadly.left = None
            assert Tombstones.read(open_storage(config.run.output)).ids("speaker") <= {"ross"}
    deadly.left = None
    assert 3 <= num_kills < 29
    check_gone(config, sounds, ids)
    check_listed(config)
    removed = pq.read_table(Path(config.corpus) / "snapshots" / NIGHTS[2] / "removed.parquet").to_pylist()
    assert len(removed) == 12 == len({row["id"] for row in removed})


def test_a_night_ends_a_takedown_that_was_cut_short(config, monkeypatch):
    storage = open_storage(config.corpus)
    with monkeypatch.context() as patch, pytest.raises(StoreRefused):
        deadly = Deadly(patch, config.corpus)
        deadly.left = 12
        take_down(storage, [], ["ross"], REASON)
    sounds = [row["audio"]["bytes"][-400:] for row in snapshot_rows(config, NIGHTS[2]) if row["speaker"] == "ross"]
    with Lease.acquire(storage) as lease:
        finish_takedown(storage, lease)
    check_gone(config, sounds, {row["id"] for row in snapshot_rows(config, NIGHTS[2]) if row["speaker"] == "ross"})
    check_listed(config)


def test_what_an_unfinished_snapshot_left_goes_too(config):
    stray = Path(config.corpus) / "snapshots" / "2026-11-30" / "data" / "train-2026-11-30-00000-0123456789ab.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"his clips")
    (Path(config.corpus) / "report.html").write_bytes(b"his clips")
    take_down(open_storage(config.corpus), [], ["ross"], REASON)
    assert not stray.exists() and not (Path(config.corpus) / "report.html").exists()


def test_tar_files_are_made_again_without_him(config):
    storage = open_storage(config.corpus)
    for file in read_snapshot(storage, NIGHTS[2]).files:
        write_tar(storage, storage, file.path)
    sounds, _ = traces_of(config)
    take_down(storage, [], ["ross"], REASON)
    for path, data in all_hashes(config, "").items():
        assert not any(sound in data for sound in sounds), path
    assert all(storage.exists(tar_paths(file.path)[0]) for file in read_snapshot(storage, NIGHTS[2]).files)


def test_nobody_takes_down_while_a_night_is_at_work(config):
    storage = open_storage(config.corpus)
    with Lease.acquire(storage), pytest.raises(ConfigError, match="another driver is at work"):
        take_down(storage, [], ["ross"], REASON)
