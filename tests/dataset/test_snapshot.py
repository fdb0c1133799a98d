"""Snapshots of a corpus that grows: complete, never changed, and the same whenever and however often they are begun."""

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from pipeline import read_output
from pipeline.audio.clips import decode_clip
from pipeline.dataset import snapshot as snapshot_module
from pipeline.dataset.data_files import DataWriter, read_rows
from pipeline.dataset.listing import iter_data_files, list_snapshots, read_snapshot
from pipeline.dataset.rows import ROW_SCHEMA, SplitRows, clip_comments
from pipeline.dataset.snapshot import write_snapshot
from pipeline.dataset.statistics import COUNTS_SCHEMA, NightCounts, summarize
from pipeline.errors import ConfigError, DamagedCommit, StoreRefused
from pipeline.storage import open_storage
from tests.dataset.corpora import (
    NIGHTS,
    all_hashes,
    files_of,
    make_config,
    make_night,
    put_night,
    run_night,
)
from tests.run.test_changing_manifest import Deadly


def folder_of(config, night):
    return Path(config.corpus) / "snapshots" / night


def rows_of(config, night):
    """The rows of a snapshot by split, with the columns that a file has."""
    found = {}
    for split, address in iter_data_files(open_storage(config.corpus), night):
        found.setdefault(split, []).extend(pq.read_table(address).to_pylist())
    return found


def ids_of(config, night):
    return {row["id"] for rows in rows_of(config, night).values() for row in rows}


def test_a_snapshot_has_all_that_was_accepted_with_its_split_license_and_sound(pristine):
    rows = rows_of(pristine, NIGHTS[2])
    assert {split: len(found) for split, found in rows.items()} == {"train": 30, "validation": 3, "test": 3}
    columns = ["utterance_id", "text", "speaker_id", "duration_s", "seed", "split", "night", "audio", "rms_dbfs"]
    output = {row["utterance_id"]: row for row in read_output(pristine.run.output, columns)}
    for split, found in rows.items():
        for row in found:
            origin = output.pop(row["id"])
            assert (row["text"], row["speaker"], row["duration"]) == (
                origin["text"],
                origin["speaker_id"],
                origin["duration_s"],
            )
            assert (split, row["night"], row["seed"]) == (origin["split"], origin["night"], origin["seed"])
            assert row["license"] == ["cc-by-4.0", "CC0-1.0"][int(row["id"].split("-")[1]) % 2]
            assert row["measures"]["rms_dbfs"] == origin["rms_dbfs"] and row["spoken_text"]
            data = row["audio"]["bytes"]
            assert np.array_equal(decode_clip(data).samples, decode_clip(origin["audio"]["bytes"]).samples)
            with soundfile.SoundFile(io.BytesIO(data)) as file:
                assert "Synthetic" in file.comment and file.license == row["license"] and row["weights"]
    assert output == {}


def test_every_listed_file_is_there_with_its_hash_and_nothing_else_is(pristine):
    storage = open_storage(pristine.corpus)
    assert list_snapshots(storage) == list(NIGHTS)
    listed = set()
    for night in NIGHTS:
        snapshot = read_snapshot(storage, night)
        for file in snapshot.files:
            data = storage.get(file.path)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
            assert pq.read_metadata(io.BytesIO(data)).num_rows == file.num_rows
        for name, facts in snapshot.described.items():
            data = storage.get(f"{snapshot.folder}/{name}")
            assert facts == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        assert {*snapshot.described} == {"README.md", "stats.json", "removed.parquet"}
        listed |= snapshot.paths()
    assert {info.path for info in storage.list("snapshots/")} == listed | {"snapshots/seen.json"}
    latest = json.loads(storage.get("latest.json"))
    files = storage.get(f"{latest['snapshot']}/files.json")
    assert latest["night"] == NIGHTS[2] and latest["files_sha256"] == hashlib.sha256(files).hexdigest()


def test_files_of_nights_that_did_not_change_are_listed_where_they_are(pristine):
    first, last = files_of(pristine, NIGHTS[0]), files_of(pristine, NIGHTS[2])
    assert len(first) == 3 and len(last) == 9 and set(first) < set(last)
    assert len(list(folder_of(pristine, NIGHTS[2]).glob("data/*"))) == 3


def test_a_night_reads_no_clips_and_no_rows_of_nights_that_did_not_change(config, monkeypatch):
    read = []
    real = snapshot_module._SnapshotWriter._read

    def note(writer, info, *, clips):
        read.append((info.path, clips))
        return real(writer, info, clips=clips)

    monkeypatch.setattr(snapshot_module._SnapshotWriter, "_read", note)
    run_night(config, "2026-11-30", make_night("2026-11-30", 300, 4))
    # A copy's files have other time stamps: their rows are looked at once more, and found to be the same.
    assert write_snapshot(config.corpus, "2026-11-30", config).num_new_files == 2
    assert sum(clips for _, clips in read) == 1 and len(read) == 11
    read.clear()
    run_night(config, "2026-12-01", make_night("2026-12-01", 400, 4))
    write_snapshot(config.corpus, "2026-12-01", config)
    assert {path for path, _ in read} == {"metadata/2026-12-01/000000000-000000003.parquet"}


def test_a_complete_snapshot_stays_whatever_becomes_of_the_corpus(config):
    before = all_hashes(config)
    rows = make_night(NIGHTS[2], 200, 12)
    rows[0]["text"] = "Something else is said here."
    run_night(config, NIGHTS[2], rows)
    assert write_snapshot(config.corpus, NIGHTS[2], config).num_rows == 36
    assert all_hashes(config) == before


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_snapshot_that_is_killed_at_any_change_comes_to_the_same_hashes(config, pristine, monkeypatch, after):
    shutil.rmtree(folder_of(config, NIGHTS[2]))
    (Path(config.corpus) / "latest.json").write_bytes(
        json.dumps({"night": NIGHTS[1], "snapshot": f"snapshots/{NIGHTS[1]}"}).encode()
    )
    deadly = Deadly(monkeypatch, config.corpus)
    for num_kills in range(20):
        # What was written stays, so that each call has less to change than the one before.
        deadly.left, deadly.after = num_kills + 1, after
        try:
            write_snapshot(config.corpus, NIGHTS[2], config)
            break
        except StoreRefused:
            deadly.left = None
            latest = json.loads((Path(config.corpus) / "latest.json").read_bytes())
            assert latest["night"] == NIGHTS[1] or read_snapshot(open_storage(config.corpus), NIGHTS[2]) is not None
    assert num_kills >= 3
    wanted, found = all_hashes(pristine), all_hashes(config)
    del wanted["seen.json"], found["seen.json"]
    assert found == wanted
    latest = [(Path(world.corpus) / "latest.json").read_bytes() for world in (pristine, config)]
    assert latest[0] == latest[1]


def test_what_an_interrupted_snapshot_wrote_of_other_rows_is_swept(config):
    shutil.rmtree(folder_of(config, NIGHTS[2]))
    stray = folder_of(config, NIGHTS[2]) / "data" / "train-2026-11-29-00000-0123456789ab.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"of rows that were synthesized again since")
    write_snapshot(config.corpus, NIGHTS[2], config)
    assert not stray.exists()


def test_latest_moves_forward_only(config):
    assert write_snapshot(config.corpus, NIGHTS[0], config).num_rows == 12
    assert json.loads((Path(config.corpus) / "latest.json").read_bytes())["night"] == NIGHTS[2]


def test_a_corrected_row_leaves_the_next_snapshot_and_is_listed(config):
    """Its night's files are written once more; the earlier snapshots keep what they have."""
    before = {night: rows_of(config, night) for night in NIGHTS}
    rows = make_night(NIGHTS[0], 0, 12)
    old = rows.pop(0)
    put_night(config, NIGHTS[0], rows)
    again = [{**old, "utterance_id": f"{old['utterance_id']}-v2", "version": 2, "text": "It was wrong before."}]
    again += make_night("2026-11-30", 300, 3)
    run_night(config, "2026-11-30", again)
    summary = write_snapshot(config.corpus, "2026-11-30", config)
    assert (summary.num_rows, summary.num_left) == (39, 1)
    ids = ids_of(config, "2026-11-30")
    assert old["utterance_id"] not in ids and again[0]["utterance_id"] in ids
    removed = pq.read_table(folder_of(config, "2026-11-30") / "removed.parquet").to_pylist()
    assert removed == [{"id": old["utterance_id"], "night": NIGHTS[0], "left_in": "2026-11-30", "reason": "corrected"}]
    assert {night: rows_of(config, night) for night in NIGHTS} == before
    # Validation and test of that night are as they were.
    names = {path.name for path in files_of(config, "2026-11-30")}
    assert {path.name for path in files_of(config, NIGHTS[0]) if not path.name.startswith("train")} < names
    run_night(config, "2026-12-01", make_night("2026-12-01", 400, 1))
    assert write_snapshot(config.corpus, "2026-12-01", config).num_left == 0
    assert pq.read_table(folder_of(config, "2026-12-01") / "removed.parquet").to_pylist() == removed


def test_a_night_that_failed_stays_out_until_it_is_let_in(config):
    for night, first in (("2026-11-30", 300), ("2026-12-01", 400)):
        run_night(config, night, make_night(night, first, 2))
    excluded = write_snapshot(config.corpus, "2026-12-01", config, excluded={"2026-11-30"})
    assert excluded.num_rows == 38
    assert "2026-11-30" not in json.loads((folder_of(config, "2026-12-01") / "stats.json").read_text())["nights"]


def test_a_night_that_is_not_at_its_end_is_refused(config):
    run_night(config, "2026-11-30", make_night("2026-11-30", 300, 8))
    (Path(config.run.output) / "metadata/2026-11-30/000000004-000000007.parquet").unlink()
    with pytest.raises(ConfigError, match=r"4 of the 8 rows of 2026-11-30 are synthesized"):
        write_snapshot(config.corpus, "2026-11-30", config)
    assert json.loads((Path(config.corpus) / "latest.json").read_bytes())["night"] == NIGHTS[2]


def test_a_clip_that_is_not_the_committed_one_is_refused(config):
    run_night(config, "2026-11-30", make_night("2026-11-30", 300, 1))
    path = Path(config.run.output) / "metadata/2026-11-30/000000000-000000000.parquet"
    data = bytearray(path.read_bytes())
    data[data.index(b"fLaC") + 300] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedCommit, match="'news-0300-ada': its clip is not the committed one"):
        write_snapshot(config.corpus, "2026-11-30", config)


def test_the_card_is_what_hubs_read(pristine):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard.load(folder_of(pristine, NIGHTS[2]) / "README.md")
    data = card.data.to_dict()
    assert data["license"] == "cc-by-4.0" and data["language"] == ["en"] and "synthetic-speech" in data["tags"]
    sizes = {split["name"]: split["num_examples"] for split in data["dataset_info"]["splits"]}
    assert sizes == {"train": 30, "validation": 3, "test": 3}
    (config,) = data["configs"]
    for entry in config["data_files"]:
        for path in entry["path"]:
            assert (folder_of(pristine, NIGHTS[2]) / path).is_file()
    ross = "| ross | 12 | 0.0017 | 100.0% | not stated | nobody's voice |"
    for word in (ross, "| en | 36 |", "CC0-1.0", "Limits", "synthetic speech", "no license on record: 3 of 3."):
        assert word in card.text


def test_what_others_wrote_is_no_markup_in_the_card(tmp_path, random_weights):
    config = make_config(tmp_path, random_weights, license="My *own* | license\n---\nevil: 1")
    run_night(config, NIGHTS[0], make_night(NIGHTS[0], 0, 1))
    write_snapshot(config.corpus, NIGHTS[0], config)
    text = (folder_of(config, NIGHTS[0]) / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "other" and "evil" not in front
    assert "My \\*own\\* \\| license" in text and "License: My \\*own" in text
    assert clip_comments(None, "own\x1b[2J\n")["LICENSE"] == "own [2J"


def test_nights_and_numbers_of_the_statistics(pristine):
    stats = json.loads((folder_of(pristine, NIGHTS[2]) / "stats.json").read_text())
    assert stats["num_rows"] == 36 and stats["accepted"] == 1.0 and stats["hours"] == pytest.approx(0.005, abs=1e-6)
    assert stats["speakers"]["ross"]["num_rows"] == 12 and stats["languages"]["en"]["num_rows"] == 36
    assert [stats["nights"][night]["num_rows"] for night in NIGHTS] == [12, 12, 12]
    words = [stats["nights"][night]["words"] for night in NIGHTS]
    assert words == sorted(words) and words[-1] == stats["coverage"]["words"] == 10
    assert 0.49 < stats["measures"]["duration_s"]["p50"] < 0.52


def test_what_was_rejected_counts_in_each_group_until_its_speaker_is_taken_down():
    counts = NightCounts()
    counts.add_rejected("too_slow", {"split": "test", "speaker": "ross", "language": None})
    counts.add_rejected("cut_short", {"split": "train", "speaker": "ada", "language": "en"})
    stats = summarize({NIGHTS[0]: counts.to_table()})
    assert stats["rejected"] == {"cut_short": 1, "too_slow": 1} and stats["nights"][NIGHTS[0]]["num_rejected"] == 2
    assert [stats[group] for group in ("splits", "speakers", "languages")] == [
        {name: {"num_rows": 0, "hours": 0.0, "num_rejected": 1, "accepted": 0.0} for name in names}
        for names in (("test", "train"), ("ada", "ross"), ("en", "unknown"))
    ]
    left = NightCounts()
    left.keep_rejected(counts.to_table(), {"ross"})
    stats = summarize({NIGHTS[0]: left.to_table()})
    assert stats["num_rejected"] == 1 and stats["rejected"] == {"cut_short": 1}
    assert [list(stats[group]) for group in ("splits", "speakers", "languages")] == [["train"], ["ada"], ["en"]]


def test_an_earlier_version_noted_the_speakers_of_rejected_rows_alone():
    old = pa.table([["rejected", "rejected_speaker"], ["too_slow", "ross"], [1, 1], [0.0, 0.0]], schema=COUNTS_SCHEMA)
    stats = summarize({NIGHTS[0]: old})
    assert stats["speakers"]["ross"]["accepted"] == 0.0 and stats["splits"] == stats["languages"] == {}


def test_licenses_that_differ_in_case_are_one():
    rows = [("license", "CC0-1.0", 3, 6.0), ("license", "MIT", 1, 1.0), ("license", "cc0-1.0", 1, 2.0)]
    stats = summarize({NIGHTS[0]: pa.table([*map(list, zip(*rows, strict=True))], schema=COUNTS_SCHEMA)})
    assert {name: found["num_rows"] for name, found in stats["licenses"].items()} == {"CC0-1.0": 4, "MIT": 1}


def test_damage_of_a_list_of_files_is_named(config):
    path = folder_of(config, NIGHTS[1]) / "files.json"
    path.write_text(path.read_text().replace("../2026-11-27/data", "../../../etc"))
    with pytest.raises(ConfigError, match=r"2026-11-28/files.json: not the list of a snapshot's files .*leads out"):
        read_snapshot(open_storage(config.corpus), NIGHTS[1])


def test_files_of_earlier_nights_that_are_lost_or_cut_are_refused(config):
    shutil.rmtree(folder_of(config, NIGHTS[2]))
    data, counts = files_of(config, NIGHTS[1])[0], next(folder_of(config, NIGHTS[0]).glob("counts/*"))
    before = all_hashes(config)
    for path, damage in ((data, b"cut"), (data, None), (counts, None)):
        kept = path.read_bytes()
        path.unlink() if damage is None else path.write_bytes(damage)
        with pytest.raises(DamagedCommit, match=rf"{path}: .*, though .*/files\.json lists it.*; put back a copy"):
            write_snapshot(config.corpus, NIGHTS[2], config)
        path.write_bytes(kept)
    assert all_hashes(config) == before
    assert write_snapshot(config.corpus, NIGHTS[2], config).num_rows == 36


def test_files_have_half_to_five_quarters_of_their_size(tmp_path):
    storage, rng = open_storage(str(tmp_path)), np.random.default_rng(0)
    writer = DataWriter(storage, "snapshots/n", "n", 4e6, {"train": 1_000.0, "test": 30.0})
    for start in range(0, 1_000, 50):
        clips = [rng.bytes(20_000) for _ in range(50)]
        names = [f"u{at}" for at in range(start, start + 50)]
        rows = {"id": names, "duration": [1.0] * 50, "clip_sha256": ["0" * 64] * 50}
        table = pa.table({field.name: pa.array(rows.get(field.name, [None] * 50), field.type) for field in ROW_SCHEMA})
        writer.add("train", SplitRows(table, clips))
    writer.add("test", SplitRows(table.slice(0, 30), clips[:30]))
    files = writer.finish()
    assert [file.num_rows for file in files] == [30, 200, 200, 200, 200, 200]
    assert all(2e6 <= file.size <= 5e6 for file in files[1:])
    groups = pq.read_metadata(tmp_path / files[1].path)
    assert [groups.row_group(group).num_rows for group in range(groups.num_row_groups)] == [100, 100]
    found = [
        row["id"] for file in files[1:] for table in read_rows(storage, file.path, ["id"]) for row in table.to_pylist()
    ]
    assert found == [f"u{at}" for at in range(1_000)]
