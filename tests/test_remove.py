"""Whole outputs from which a speaker withdrew: nothing that synthesizes brings him back."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import jobs.redo
import jobs.remove
import jobs.synthesize
import jobs.verify
from pipeline import (
    enroll_speakers,
    read_output,
    read_status,
    redo_rows,
    repair_output,
    replay_rows,
    synthesize_manifest,
)
from pipeline.cluster import llm_actor
from pipeline.errors import ConfigError
from pipeline.output.lease import Lease
from pipeline.output.removal import remove_rows
from pipeline.output.report import write_report
from pipeline.output.tombstones import Tombstones, make_tombstones
from pipeline.output.verify import verify_output
from pipeline.run import synthesize
from pipeline.run.repair import Selection
from pipeline.storage import open_storage
from tests.inline_ray import inline_ray
from tests.runs import make_config, read_metadata, simple_rows, text_of, write_shard

LAYOUTS = {"files": {}, "packed": {"format": "flac", "layout": "packed"}}
REASON = "withdrew his consent"


@pytest.fixture(scope="module", autouse=True)
def without_processes():
    with inline_ray():
        yield


@pytest.fixture(scope="module", params=["files", "packed"])
def pristine(request, tmp_path_factory, random_weights, without_processes):
    """A finished run, every second row by carl."""
    tmp_path = tmp_path_factory.mktemp("pristine")
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 8))
    config = make_config(tmp_path, random_weights, audio=LAYOUTS[request.param])
    synthesize_manifest(config)
    write_report(config.output)
    return config


@pytest.fixture
def output(pristine, tmp_path):
    shutil.copytree(pristine.output, tmp_path / "output")
    return pristine.model_copy(update={"output": str(tmp_path / "output")})


@pytest.fixture
def clips(pristine):
    """What carl's rows sound like, and the tokens of his voice."""
    rows = read_output(pristine.output, ["speaker_id", "audio_path", "audio"])
    sounds = [
        row["audio"]["bytes"] if row.get("audio") else Path(row["audio_path"]).read_bytes()
        for row in rows
        if row["speaker_id"] == "carl"
    ]
    (voice,) = [
        row for row in pq.read_table(f"{pristine.output}/speakers.parquet").to_pylist() if row["speaker_id"] == "carl"
    ]
    return sounds, voice["global_tokens"]


def check_that_carl_is_gone(config, clips):
    sounds, tokens = clips
    assert len(sounds) == 4 and len(tokens) == 32
    root = Path(config.output)
    content = b"\n".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    tables = [pq.read_table(path) for path in root.rglob("*.parquet")]
    read = "\n".join(repr(table.to_pylist()) for table in tables)
    assert not any(sound in content or repr(sound) in read for sound in sounds)
    assert repr(list(tokens)) not in read
    for row in read_metadata(config.output):
        if row["speaker_id"] == "carl":
            assert (row["status"], row["removed_reason"], row["text"]) == ("removed", REASON, None)
        else:
            assert row["status"] == "ok"
    assert not any(text_of(number) in read for number in (1, 3, 5, 7))
    report = verify_output(open_storage(config.output))
    assert report.is_intact and report.orphaned == [] and report.num_checked == 4


def test_nobody_brings_a_speaker_back(output, clips, capsys, caplog):
    assert jobs.remove.main([output.output, "--speakers", "carl", "--reason", REASON]) == 0
    assert "4 row(s) removed: 4 with" in capsys.readouterr().out
    check_that_carl_is_gone(output, clips)
    summary = synthesize_manifest(output)
    assert f"removed from {output.output}, and speaking no more: carl" in caplog.text
    with pytest.raises(ConfigError, match=r"--replace carl: not defined in .*, or removed from"):
        enroll_speakers(output, ["carl"])
    assert (summary.num_ok, summary.num_removed, summary.num_rejected, summary.num_units_done) == (4, 4, 0, 0)
    assert jobs.redo.main([output.output, "--ids", "u001"]) == 1
    assert redo_rows(output, Selection(ids={"u001", "u002"})).num_rows == 1
    with pytest.raises(ConfigError, match=r"--only u001: was removed .*withdrew his consent"):
        replay_rows(output, ["u000", "u001"])
    # A commit that is lost is made again, and says the same of him.
    next(Path(output.output).glob("metadata/a/*-000000003.parquet")).unlink()
    assert jobs.verify.main([output.output]) == 1
    counts = repair_output(output)
    assert (counts.num_ok, counts.num_removed) == (2, 2)
    assert counts.describe() == "2 accepted, 0 rejected, 2 removed"
    check_that_carl_is_gone(output, clips)
    page = Path(write_report(output.output)).read_text()
    assert "4 removed" in page and text_of(1) not in page
    assert read_status(output.output)["num_removed"] == 4
    check_that_carl_is_gone(output, clips)


def test_rows_that_are_not_synthesized_yet_never_are(output, clips, monkeypatch):
    """Removed by a speaker and by an id that only the manifest knows; the networks see neither."""
    shutil.rmtree(output.output)
    synthesize_manifest(output.model_copy(update={"limit": 4}))
    storage = open_storage(output.output)
    left = {"u000", "u002", "u004"} - {row["utterance_id"] for row in read_metadata(output.output)}
    assert remove_rows(storage, ["u006"], ["carl"], REASON).rows.num_ok == 2
    seen = []
    read = llm_actor.read_utterance
    monkeypatch.setattr(llm_actor, "read_utterance", lambda fields: seen.append(fields["utterance_id"]) or read(fields))
    summary = synthesize_manifest(output)
    assert (summary.num_ok, summary.num_removed) == (3, 5) and seen == [*left]
    (row,) = [row for row in read_metadata(output.output) if row["utterance_id"] == "u006"]
    assert (row["status"], row["text"], row["chapter"]) == ("removed", None, 1)
    assert {row["speaker_id"] for row in pq.read_table(f"{output.output}/speakers.parquet").to_pylist()} == {"anna"}


@pytest.mark.parametrize("place", ["nowhere", "a file"])
def test_nothing_is_put_where_no_run_began(tmp_path, capsys, place):
    """A lease was taken first, in a folder made for it; where it could not be, that was no bad input."""
    (tmp_path / "a file").write_text("x")
    assert jobs.remove.main([str(tmp_path / place), "--ids", "u001", "--reason", REASON]) == 2
    assert "no run began here" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_a_run_of_nobody_ends(output):
    """All speakers withdrew before the second unit: there is a run to finish, and nothing to synthesize."""
    shutil.rmtree(output.output)
    synthesize_manifest(output.model_copy(update={"limit": 4}))
    remove_rows(open_storage(output.output), (), ["anna", "carl"], REASON)
    summary = synthesize_manifest(output)
    assert (summary.num_removed, summary.num_ok, summary.num_rows_left) == (8, 0, 0)
    assert verify_output(open_storage(output.output)).is_intact and (Path(output.output) / "_SUCCESS").exists()


def test_a_run_ends_a_removal_that_was_cut_short(output, clips):
    storage = open_storage(output.output)
    Tombstones.add(storage, make_tombstones("speaker", ["carl"], REASON))
    report = verify_output(storage)
    assert len(report.not_removed) == 5 and "speakers.parquet" in report.not_removed
    with Lease.acquire(storage), pytest.raises(ConfigError, match="another driver"):
        synthesize_manifest(output)
    assert synthesize_manifest(output).num_removed == 4
    check_that_carl_is_gone(output, clips)
    assert (Path(output.output) / "_SUCCESS").exists() and not (Path(output.output) / "_REPAIRING").exists()


def test_a_changed_manifest_brings_nobody_back(output, clips, tmp_path, monkeypatch):
    """Rows that moved, a text that changed, a duplicate and a unit of nobody else: no network sees them."""
    remove_rows(open_storage(output.output), ["u002"], ["carl"], REASON)
    spoken, carls = simple_rows(0, 8)[::2], simple_rows(0, 8)[1::2]
    twin = {**spoken[0], "speaker_id": "carl", "text": text_of(1)}
    write_shard(tmp_path / "manifest" / "b.parquet", [*spoken[::-1], {**carls[0], "text": "Another text."}])
    write_shard(tmp_path / "manifest" / "c.parquet", carls[1:])
    write_shard(tmp_path / "manifest" / "d.parquet", [twin])
    monkeypatch.setattr(llm_actor, "read_utterance", lambda fields: 1 / 0)
    summary = synthesize_manifest(output.model_copy(update={"manifest": str(tmp_path / "manifest")}))
    assert (summary.num_rows, summary.num_ok, summary.num_removed, summary.num_rejected) == (9, 3, 6, 0)
    rows = read_metadata(output.output)
    assert {row["utterance_id"] for row in rows if row["status"] == "ok"} == {"u000", "u004", "u006"}
    assert {row["text"] for row in rows if row["status"] == "removed"} == {None}
    content = b"\n".join(path.read_bytes() for path in Path(output.output).rglob("*") if path.is_file())
    assert not any(sound in content for sound in clips[0])
    report = verify_output(open_storage(output.output))
    assert report.is_intact and report.orphaned == [] and report.num_checked == 3


def test_what_a_manifest_is_about_to_replace_is_removed_as_well(output, clips, tmp_path, monkeypatch):
    """The start that brings a change of the manifest in was killed, so that its rows have two commits."""
    rows = [{**row, "chapter": 7} for row in simple_rows(0, 8)]
    write_shard(tmp_path / "manifest" / "a.parquet", rows)
    config = output.model_copy(update={"manifest": str(tmp_path / "manifest")})

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(synthesize, "finish_run", die)
        synthesize_manifest(config)
    storage = open_storage(output.output)
    assert len(list(storage.list("metadata/"))) == 4
    removal = remove_rows(storage, (), ["carl"], REASON)
    assert removal.rows.num_ok == 4 and removal.is_complete
    summary = synthesize_manifest(config)
    assert (summary.num_ok, summary.num_removed, len(list(storage.list("metadata/")))) == (4, 4, 2)
    check_that_carl_is_gone(config, clips)


def test_only_a_new_id_speaks_again(output, clips, tmp_path):
    remove_rows(open_storage(output.output), ["u002"], (), REASON)
    shutil.copytree(output.manifest, tmp_path / "manifest")
    rows = [{**simple_rows(2, 1)[0], "utterance_id": name} for name in ("u002", "u002-again")]
    write_shard(tmp_path / "manifest" / "b.parquet", rows)
    synthesize_manifest(output.model_copy(update={"manifest": str(tmp_path / "manifest")}))
    found = [(row["shard"], row["utterance_id"], row["status"]) for row in read_metadata(output.output)]
    assert ("a", "u002", "removed") in found
    assert found[-2:] == [("b", "u002", "removed"), ("b", "u002-again", "ok")]
