"""verify.py and repair.py: damage is found by name, and repaired row by row."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

import jobs.redo
import jobs.verify
from pipeline import repair_output, sweep_output, synthesize_manifest, verify_output
from pipeline.audio.clips import Audio
from pipeline.errors import ConfigError
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import Lease
from pipeline.output.verify import Audit
from pipeline.run import synthesize
from pipeline.run.repair import Selection, choose_config, redo_rows
from pipeline.storage import open_storage
from pipeline.synthesis.speakers import SpeakerRegistry
from tests.fakes import MemoryStorage
from tests.inline_ray import inline_ray
from tests.outputs import begin_run
from tests.runs import audio_hashes, check_audio, make_config, read_metadata, simple_rows, write_shard


@pytest.fixture(scope="module", autouse=True)
def without_processes():
    """Nobody is killed here: replicas are threads, which start at once."""
    with inline_ray():
        yield


@pytest.fixture(scope="module")
def pristine(tmp_path_factory, random_weights, without_processes):
    """A finished run that is only copied."""
    tmp_path = tmp_path_factory.mktemp("pristine")
    bad = [{"utterance_id": "empty", "text": "", "speaker_id": "anna"}]
    write_shard(tmp_path / "manifest" / "a.parquet", [*simple_rows(0, 9), *bad])
    write_shard(tmp_path / "manifest" / "b.parquet", simple_rows(20, 2))
    config = make_config(tmp_path, random_weights)
    synthesize_manifest(config)
    return config


@pytest.fixture
def output(pristine, tmp_path):
    """A copy of the run, with the config that says so."""
    shutil.copytree(pristine.output, tmp_path / "output")
    return pristine.model_copy(update={"output": str(tmp_path / "output")})


def wav_of(config, utterance_id):
    (found,) = Path(config.output).glob(f"audio/*/{utterance_id}.*.wav")
    return found


def commit_files(config):
    root = Path(config.output) / "metadata"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.parquet")}


def test_repair_puts_back_exactly_what_was_damaged(output):
    before, commits = audio_hashes(output.output), commit_files(output)
    wav_of(output, "u001").unlink()
    changed = wav_of(output, "u021")
    changed.write_bytes(changed.read_bytes()[:-7])
    untouched = {path: path.stat().st_mtime_ns for path in Path(output.output).glob("audio/*/u00[02-9].*.wav")}
    report = verify_output(open_storage(output.output))
    assert [Path(path).name.partition(".")[0] for path in report.missing + report.changed] == ["u001", "u021"]
    assert repair_output(output).num_rows == 2
    assert verify_output(open_storage(output.output)) == type(report)(num_checked=11)
    assert audio_hashes(output.output) == before
    # The bytes are those of the commits, so that nothing else had to change.
    assert commit_files(output) == commits
    assert untouched == {path: path.stat().st_mtime_ns for path in untouched}
    assert (Path(output.output) / "_SUCCESS").exists()


def test_repair_makes_lost_and_broken_commits_again(output):
    before = audio_hashes(output.output)
    first, second, *_ = sorted((Path(output.output) / "metadata").rglob("*.parquet"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:100])
    report = verify_output(open_storage(output.output))
    assert (len(report.uncommitted), len(report.damaged_commits), report.is_intact) == (1, 1, False)
    assert repair_output(output).num_rows == 8
    assert verify_output(open_storage(output.output)).is_intact
    assert audio_hashes(output.output) == before


def test_a_repair_that_is_killed_is_made_good_by_the_next(output, monkeypatch):
    before = audio_hashes(output.output)
    commit = Path(output.output) / "metadata/a/000000000-000000003.parquet"
    commit.write_bytes(commit.read_bytes()[:500])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(synthesize, "synthesize_units", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        repair_output(output)
    assert not commit.exists() and not (Path(output.output) / "_SUCCESS").exists()
    assert len(verify_output(open_storage(output.output)).uncommitted) == 1
    with pytest.raises(ConfigError, match="uncommitted, so that orphaned audio may be its own"):
        sweep_output(open_storage(output.output))
    assert repair_output(output).num_rows == 4
    assert verify_output(open_storage(output.output)).is_intact
    assert audio_hashes(output.output) == before and (Path(output.output) / "_SUCCESS").exists()
    assert not (Path(output.output) / "_REPAIRING").exists()


def test_a_commit_in_the_place_of_another_is_damage(output):
    """As a mistaken copy leaves it: the file is whole, its rows are another shard's or another unit's."""
    before, commits = audio_hashes(output.output), commit_files(output)
    root = Path(output.output) / "metadata"
    (root / "a/000000008-000000009.parquet").replace(root / "b/000000000-000000001.parquet")
    shutil.copy(root / "a/000000000-000000003.parquet", root / "a/000000004-000000007.parquet")
    report = verify_output(open_storage(output.output))
    assert (len(report.damaged_commits), len(report.uncommitted)) == (2, 1)
    assert repair_output(output).num_rows == 8
    assert verify_output(open_storage(output.output)).is_intact
    assert audio_hashes(output.output) == before and commit_files(output).keys() == commits.keys()


def test_commits_of_no_unit_are_named_and_left_alone(output):
    before, root = audio_hashes(output.output), Path(output.output) / "metadata"
    wav_of(output, "u001").unlink()
    shutil.copytree(root / "a", root / "c")
    shutil.copy(root / "a/000000000-000000003.parquet", root / "a/000000099-000000102.parquet")
    report = verify_output(open_storage(output.output))
    assert (len(report.stray_commits), report.damaged_commits, len(report.missing)) == (4, [], 1)
    assert repair_output(output).num_rows == 1
    assert len(verify_output(open_storage(output.output)).stray_commits) == 4
    shutil.rmtree(root / "c")
    (root / "a/000000099-000000102.parquet").unlink()
    assert verify_output(open_storage(output.output)).is_intact and audio_hashes(output.output) == before


def test_repair_replaces_the_commit_where_the_bytes_come_out_otherwise(output):
    """Another kind of hardware gives other bytes: here the commit names bytes that nobody can make."""
    unit = WorkUnit("a", 0, 3)
    log = CommitLog(open_storage(output.output))
    (row,) = [row for row in log.read_commit(unit).to_pylist() if row["row"] == 2]
    other = Audio(samples=__import__("numpy").zeros(160, "float32"), sample_rate=16_000).encode()
    path, sha256 = log.put_audio("a", "u002", other, "wav")
    assert log.amend(unit, [{**row, "audio_sha256": sha256, "num_samples": 160, "audio_path": path}])
    open_storage(output.output).delete(path)
    others = {name: data for name, data in commit_files(output).items() if "000000000" not in name}
    assert repair_output(output).num_rows == 1
    assert verify_output(open_storage(output.output)).is_intact
    check_audio(output.output, read_metadata(output.output))
    assert {name: data for name, data in commit_files(output).items() if "000000000" not in name} == others


def test_redo_with_the_next_take_changes_the_chosen_row_alone(output):
    before = audio_hashes(output.output)
    selection = Selection(ids={"u003"})
    assert redo_rows(output, selection).num_rows == 1
    assert audio_hashes(output.output) == before
    assert redo_rows(output, selection, next_take=True).num_rows == 1
    after = audio_hashes(output.output)
    assert {name for name in before if before[name] != after[name]} == {"u003"}
    assert {row["utterance_id"]: row["take"] for row in read_metadata(output.output)}["u003"] == 1
    check_audio(output.output, read_metadata(output.output))
    # The old take is nobody's now; a row that is lost after a redo comes back as redone.
    wav_of_new = next(r["audio_path"] for r in read_metadata(output.output) if r["utterance_id"] == "u003")
    assert sweep_output(open_storage(output.output)) == 2, "its file, and what was kept of it to compare"
    (Path(output.output) / wav_of_new).unlink()
    repair_output(output)
    assert audio_hashes(output.output) == after


@pytest.mark.parametrize("folder", ["audio", "audio/a"])
def test_a_sweep_keeps_audio_that_lies_behind_a_link(output, tmp_path, folder):
    """The link was taken for an orphan: 29 WAVs were gone."""
    (tmp_path / "other-disk").mkdir()
    place = Path(output.output) / folder
    place.rename(tmp_path / "other-disk" / "moved")
    place.symlink_to(tmp_path / "other-disk" / "moved")
    storage = open_storage(output.output)
    orphan = f"{folder}/orphan.wav" if folder.endswith("a") else f"{folder}/a/orphan.wav"
    storage.put(orphan, b"")
    assert verify_output(storage).orphaned == [orphan]
    assert sweep_output(storage) == 1
    report = verify_output(storage)
    assert (report.num_checked, report.is_intact, report.orphaned) == (11, True, [])


def test_the_commands_repair_sweep_and_redo(output, capsys):
    wav_of(output, "u004").unlink()
    stray = Path(output.output) / "audio" / "a" / "stray.wav"
    stray.write_bytes(b"")
    left = Path(output.output) / "audio" / "a" / ".tmp-left"
    left.write_bytes(b"half")
    assert jobs.verify.main([output.output]) == 1
    assert "missing\taudio/a/u004." in capsys.readouterr().out
    assert jobs.verify.main([output.output, "--repair", "--sweep"]) == 0
    assert not stray.exists() and not left.exists()
    assert "1 row(s) synthesized again: 1 accepted, 0 rejected; checking again" in capsys.readouterr().out
    assert jobs.redo.main([output.output, "--ids", "u004"]) == 0
    assert "1 row(s) synthesized again: 1 accepted, 0 rejected\n" in capsys.readouterr().out
    assert jobs.redo.main([output.output, "--ids", "nobody", "u004"]) == 2
    assert "nobody; nothing was changed" in capsys.readouterr().err


def test_rows_that_are_rejected_again_are_reported_and_are_exit_code_1(output, capsys):
    """`2 row(s) synthesized again`, it said, exit 0, and both were rejected as before."""
    assert jobs.redo.main([output.output, "--ids", "empty", "u001"]) == 1
    assert "2 row(s) synthesized again: 1 accepted, 1 rejected (empty_text 1)\n" in capsys.readouterr().out
    (Path(output.output) / "metadata" / next(name for name in commit_files(output) if "a/000000008" in name)).unlink()
    assert jobs.verify.main([output.output, "--repair"]) == 1
    printed = capsys.readouterr().out
    assert "2 row(s) synthesized again: 1 accepted, 1 rejected (empty_text 1); checking again\n" in printed
    assert "11 clip(s) checked: all as committed" in printed


def test_nothing_is_swept_under_a_driver_at_work(output):
    storage = open_storage(output.output)
    with Lease.acquire(storage), pytest.raises(ConfigError, match="another driver is at work"):
        sweep_output(storage)


def test_the_config_of_an_output_is_its_own(output):
    config = choose_config(output.output, open_storage(output.output))
    assert config.model_copy(update={"progress": output.progress}) == output


def test_foreign_commits_are_named(output):
    metadata = Path(output.output) / "metadata"
    shutil.copy(metadata / "a" / "000000000-000000003.parquet", metadata / "a" / "000000001-000000004.parquet")
    (metadata / "ghost").mkdir()
    shutil.copy(metadata / "a" / "000000000-000000003.parquet", metadata / "ghost" / "000000000-000000003.parquet")
    report = verify_output(open_storage(output.output))
    assert report.stray_commits == [
        "metadata/a/000000001-000000004.parquet",
        "metadata/ghost/000000000-000000003.parquet",
    ]
    assert not report.is_intact


def test_a_long_listing_streams():
    """Many strays: what the audit holds at a time does not grow with the listing."""
    storage = MemoryStorage()
    begin_run(storage)
    largest = 0

    class Listing(MemoryStorage):
        def list(self, prefix=""):
            from pipeline.storage import ObjectInfo

            if prefix == "audio/":
                yield from (ObjectInfo(f"audio/s/{number}.wav", 1, "e") for number in range(200_000))

    listing = Listing()
    listing.objects = storage.objects
    import tracemalloc

    tracemalloc.start()
    count = sum(1 for _ in Audit(listing).findings())
    largest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200_000
    assert largest < 32 * 2**20


def record_of(config, name):
    (found,) = (row for row in read_metadata(config.output) if row["utterance_id"] == name)
    return found


def edit(config, **values):
    """Change the record of row u001 as somebody would who knows how commits are written."""
    log = CommitLog(open_storage(config.output))

    def change(old):
        at = old.column("utterance_id").to_pylist().index("u001")
        for name, value in values.items():
            column = old.column(name).to_pylist()
            column[at] = value
            index = old.column_names.index(name)
            old = old.set_column(index, old.field(index), pa.array(column, old.field(index).type))
        return old

    (unit_id,) = (unit for unit, table in log.iter_commits() if "u001" in table.column("utterance_id").to_pylist())
    assert log.rewrite(unit_id, change)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("duration_s", 9.0), ("num_samples", 9), ("chars_per_s", 1.0), ("take", 3), ("num_segments", 2)),
        *(("num_semantic_tokens", 1), ("wer", 0.5), ("cer", 0.5), ("speaker_similarity", 0.9), ("naturalness", 4.5)),
    ],
)
def test_a_record_that_contradicts_itself_is_named_and_repaired(output, column, value):
    before = record_of(output, "u001")
    edit(output, **{column: value})
    findings = [finding for finding in Audit(open_storage(output.output)).findings() if finding.kind != "changed"]
    assert findings and {(finding.kind, finding.row) for finding in findings} == {("edited_row", 1)}
    assert any(f"row 1: {column if column != 'num_samples' else 'duration_s'} " in found.detail for found in findings)
    assert repair_output(output).num_rows == 1
    after = record_of(output, "u001")
    assert after == before | {"created_at": after["created_at"]}
    assert verify_output(open_storage(output.output)).is_intact


def test_a_seed_is_compared_with_the_one_that_follows_from_the_run(output, capsys):
    edit(output, seed=6)
    assert jobs.verify.main([output.output]) == 1
    assert "row 1: seed 6, but" in capsys.readouterr().out


def test_voices_are_compared_with_those_that_rows_were_spoken_with(output, capsys):
    path = Path(output.output) / "speakers.parquet"
    data = path.read_bytes()
    voices = SpeakerRegistry.from_parquet(data)
    swapped = [replace(voices["anna"], voice=voices["carl"].voice), voices["carl"]]
    path.write_bytes(SpeakerRegistry(swapped).to_parquet())
    assert jobs.verify.main([output.output]) == 1
    assert "other_voice\tspeakers.parquet\tanother voice than" in capsys.readouterr().out
    path.unlink()
    assert verify_output(open_storage(output.output)).other_voices == ["speakers.parquet"] * len(voices)
    path.write_bytes(data)
    assert verify_output(open_storage(output.output)).is_intact


@pytest.mark.parametrize("layout", ["files", "packed"])
def test_a_commit_of_another_output_is_made_again(pristine, tmp_path, layout, random_weights):
    """Under another seed, or of other texts: its rows, and what is passed through with them, are those of the other."""
    outputs = {}
    for name, changes in (("ours", {}), ("seed", {"seed": 7}), ("texts", {"manifest": str(tmp_path / "others")})):
        write_shard(
            tmp_path / "others" / "a.parquet", [{**row, "text": "Others.", "chapter": 7} for row in simple_rows(0, 9)]
        )
        write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 9))
        changes = {"output": str(tmp_path / name), "audio": {"layout": layout}, **changes}
        outputs[name] = make_config(tmp_path, random_weights, **changes)
        synthesize_manifest(outputs[name])
    ours = outputs["ours"]
    before = read_metadata(ours.output)
    (path, *_) = sorted(commit_files(ours))
    for other in ("seed", "texts"):
        shutil.copy(Path(outputs[other].output) / "metadata" / path, Path(ours.output) / "metadata" / path)
        assert jobs.verify.main([ours.output]) == 1
        assert jobs.verify.main([ours.output, "--repair"]) == 0
        after = read_metadata(ours.output)
        assert [row | {"created_at": 0} for row in after] == [row | {"created_at": 0} for row in before]
