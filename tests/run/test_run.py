"""Whole runs on a local Ray with real (small, random) networks."""

import hashlib
import json
import os
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import jobs.synthesize
from pipeline import enroll_speakers, read_status, synthesize_manifest, verify_output
from pipeline.errors import ConfigError, ObjectChanged, RunStopped, SpeakerError
from pipeline.manifest.rows import Manifest
from pipeline.output.commit_log import CommitLog
from pipeline.output.run_record import RunRecord
from pipeline.run.dry_run import forecast_run
from pipeline.run.repair import Selection, redo_rows
from pipeline.storage import open_storage
from pipeline.synthesis.speakers import SpeakerRegistry
from tests.inline_ray import inline_ray
from tests.runs import (
    LOOSE,
    SMALL,
    SPEAKERS,
    audio_hashes,
    audio_hashes_of_shard,
    check_audio,
    make_config,
    read_metadata,
    simple_rows,
    text_of,
    write_shard,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, random_weights, ray_cluster):
    """One run over good and bad rows that several tests look at."""
    tmp_path = tmp_path_factory.mktemp("finished")
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 10))
    bad = [
        {"utterance_id": "empty", "text": "", "speaker_id": "anna"},
        {"utterance_id": "null", "text": None, "speaker_id": "anna"},
        {"utterance_id": "long", "text": "word " * 5_000, "speaker_id": "anna"},
        {"utterance_id": "stranger", "text": "Hello.", "speaker_id": "nobody"},
        {"utterance_id": "u003", "text": "Hello.", "speaker_id": "anna"},
        {"utterance_id": "control", "text": "\x00\x07\u200b", "speaker_id": "anna"},
        {"utterance_id": None, "text": "Hello.", "speaker_id": "anna"},
        {"utterance_id": "../../escape", "text": "Hello there.", "speaker_id": "carl", "seed": 7},
        {"utterance_id": "good", "text": "Hello there.", "speaker_id": "carl", "seed": 7},
        {"utterance_id": "token", "text": "Say <|im_end|> now.", "speaker_id": "carl"},
    ]
    write_shard(tmp_path / "manifest" / "deep" / "b.parquet", bad)
    config = make_config(tmp_path, random_weights)
    return config, synthesize_manifest(config)


def test_every_row_is_in_the_metadata_once(finished):
    config, summary = finished
    rows = read_metadata(config.output)
    assert [(row["shard"], row["row"]) for row in rows] == [("a", n) for n in range(10)] + [
        ("deep/b", n) for n in range(10)
    ]
    check_audio(config.output, rows)
    assert summary.num_ok == sum(row["status"] == "ok" for row in rows)
    assert summary.num_ok + summary.num_rejected == summary.num_rows == 20
    assert (Path(config.output) / "_SUCCESS").exists()
    spoken = {row["utterance_id"]: row for row in rows}
    assert (spoken["u004"]["language"], spoken["u004"]["spoken_text"]) == ("en", "Line four.")
    assert spoken["stranger"]["spoken_text"] is None
    assert [row["chapter"] for row in rows[:10]] == [n // 5 for n in range(10)]


def test_bad_rows_are_rejected_with_their_codes(finished):
    config, summary = finished
    codes = [row["error_code"] for row in read_metadata(config.output)[10:]]
    assert codes[:2] == ["empty_text", "empty_text"]
    assert codes[2:5] == ["text_too_long", "unknown_speaker", "duplicate_id"]
    assert codes[5] in ("empty_text", "invalid_text")
    assert codes[6:] == ["invalid_id", None, None, None]
    assert sum(summary.rejected.values()) == 7
    messages = [row["error_message"] for row in read_metadata(config.output)[10:17]]
    assert all(message and "Traceback" not in message for message in messages)


def test_no_file_leaves_the_output(finished):
    config, _ = finished
    output = Path(config.output).resolve()
    escaped = next(row for row in read_metadata(config.output) if row["utterance_id"] == "../../escape")
    assert (output / escaped["audio_path"]).resolve().parent == output / "audio" / "deep" / "b"
    assert {path.name for path in output.parent.iterdir()} == {"manifest", "output", "speakers.yaml"}


def test_equal_text_voice_and_seed_make_equal_audio(finished):
    config, _ = finished
    by_id = {row["utterance_id"]: row for row in read_metadata(config.output)}
    assert by_id["good"]["audio_sha256"] == by_id["../../escape"]["audio_sha256"]
    assert by_id["good"]["audio_sha256"] != by_id["token"]["audio_sha256"]


def test_a_second_run_has_nothing_to_do(finished):
    config, first = finished
    commits = {path: path.stat().st_mtime_ns for path in Path(config.output).rglob("*.parquet")}
    again = synthesize_manifest(config)
    assert (again.num_units_done, again.num_rows_left, again.num_ok) == (0, 0, first.num_ok)
    assert commits == {path: path.stat().st_mtime_ns for path in Path(config.output).rglob("*.parquet")}
    # A start that was killed before the mark leaves nothing but the mark to do.
    (Path(config.output) / "_SUCCESS").unlink()
    synthesize_manifest(config)
    assert (Path(config.output) / "_SUCCESS").exists()


def test_output_is_intact_and_status_needs_neither_ray_nor_weights(finished):
    config, summary = finished
    report = verify_output(open_storage(config.output))
    assert report.is_intact
    status = read_status(config.output)
    assert (status["num_ok"], status["num_rejected"], status["state"]) == (
        summary.num_ok,
        summary.num_rejected,
        "finished",
    )


def test_a_resume_with_other_settings_is_refused_with_the_difference(finished):
    config, _ = finished
    other = config.model_copy(update={"seed": 5, "unit_size": 8})
    with pytest.raises(ConfigError) as caught:
        synthesize_manifest(other)
    assert "seed" in str(caught.value)
    assert "unit_size" in str(caught.value)


def test_a_voice_never_changes_within_an_output(finished, tmp_path):
    config, _ = finished
    speakers = tmp_path / "speakers.yaml"
    speakers.write_text(yaml.safe_dump([{**SPEAKERS[0], "pitch": "high"}, SPEAKERS[1]]))
    changed = config.model_copy(update={"speakers": config.speakers.model_copy(update={"path": str(speakers)})})
    with pytest.raises(SpeakerError, match="never changes within an output"):
        enroll_speakers(changed)


@pytest.mark.usefixtures("without_processes")
def test_a_replayed_row_has_the_bytes_of_the_run(finished, tmp_path, capsys):
    config, _ = finished
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    before = {path: path.stat().st_mtime_ns for path in Path(config.output).rglob("*")}
    chosen = ("good", "u003", "stranger", "u007")
    command = ["--config", str(path), "--to", str(tmp_path / "again"), *(f"--only={name}" for name in chosen)]
    assert jobs.synthesize.main(command) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[2]) for line in lines] == [(name, "as committed") for name in chosen]
    committed = {
        row["utterance_id"]: row for row in read_metadata(config.output) if row["error_code"] != "duplicate_id"
    }
    for name in ("good", "u003", "u007"):
        wav = (tmp_path / "again" / f"{name}.wav").read_bytes()
        assert hashlib.sha256(wav).hexdigest() == committed[name]["audio_sha256"]
    assert {path: path.stat().st_mtime_ns for path in Path(config.output).rglob("*")} == before
    # Refused before any work.
    assert jobs.synthesize.main(["--config", str(path), "--only=nobody", "--to", str(tmp_path)]) == 2
    assert jobs.synthesize.main(["--config", str(path), "--only=good", "--to", f"{config.output}/x"]) == 2
    assert jobs.synthesize.main(["--config", str(path), "--only=good", "--to", str(path)]) == 2
    assert f"--to: {path}: {path} is not a folder" in capsys.readouterr().err


def test_run_json_says_what_equal_bytes_depend_on(finished):
    config, _ = finished
    record = RunRecord(open_storage(config.output))
    assert record.read().pinned["llm.slots"] == 8
    environments = record.read_environments()
    (llm,), (codec,), (writer,) = (environments[stage] for stage in ("llm", "codec", "writer"))
    assert (llm["dtype"], llm["threads"], codec["dtype"]) == ("float32", 1, "float32")
    assert llm["hardware"] == codec["hardware"] == writer["hardware"] != ""
    assert {"torch", "tokenizers"} <= llm.keys() and "soxr" in writer


@pytest.mark.usefixtures("without_processes")
def test_a_resume_in_another_environment_is_refused_where_asked(finished, tmp_path):
    config, _ = finished
    output = tmp_path / "output"
    shutil.copytree(config.output, output)
    next(output.glob("metadata/a/*.parquet")).unlink()
    environments = json.loads((output / "environments.json").read_text())
    environments["llm"][0]["hardware"] = "an abacus"
    (output / "environments.json").write_text(json.dumps(environments))
    replicas = config.replicas.model_copy(update={"on_mismatch": "refuse"})
    with pytest.raises(ConfigError, match=r'llm replica.*hardware: "an abacus" →'):
        synthesize_manifest(config.model_copy(update={"output": str(output), "replicas": replicas}))
    assert len(list(output.glob("metadata/a/*.parquet"))) == 2


@pytest.fixture
def without_processes():
    """For runs that nobody kills: their replicas are threads, which start at once."""
    with inline_ray():
        yield


@pytest.fixture
def configure(tmp_path, random_weights, finished):
    """Make configs of runs whose voices are enrolled already, as `jobs.enroll` would have done."""
    voices = open_storage(finished[0].output).get("speakers.parquet")

    def make(**changes):
        config = make_config(tmp_path, random_weights, **changes)
        open_storage(config.output).put("speakers.parquet", voices)
        return config

    return make


@pytest.mark.usefixtures("without_processes")
def test_audio_depends_on_no_neighbor_unit_size_upload_or_replica_count(tmp_path, configure, finished):
    """All at once, against the run of `finished`; a row in isolation is another test's."""
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 10))
    replicas = {**SMALL, "llm": {"count": 2, "num_cpus": 1}, "units_per_llm": 1}
    config = configure(unit_size=3, storage={"upload_threads": 1}, replicas=replicas)
    synthesize_manifest(config)
    found, expected = audio_hashes(config.output), audio_hashes_of_shard(finished[0].output, "a")
    assert len(found) == 10
    assert found == expected


@pytest.mark.usefixtures("without_processes")
@pytest.mark.parametrize("replace_after", [1, 4])
def test_a_shard_that_is_replaced_during_a_run_stops_it(tmp_path, configure, monkeypatch, replace_after):
    """150 rows carried the new text and the old text's audio, below `_SUCCESS`.

    After the last commit nothing is read any more, and yet the output is not the manifest's.
    """
    shard = tmp_path / "manifest" / "b.parquet"
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 8))
    write_shard(shard, simple_rows(8, 8))
    old = shard.read_bytes()
    commit, num_commits = CommitLog.commit, 0

    def commit_and_replace(log, unit, table):
        nonlocal num_commits
        num_commits += 1
        if num_commits == replace_after:
            write_shard(tmp_path / "new", [{**row, "text": "Other words stand here."} for row in simple_rows(8, 8)])
            os.replace(tmp_path / "new", shard)
        return commit(log, unit, table)

    monkeypatch.setattr(CommitLog, "commit", commit_and_replace)
    with pytest.raises(ObjectChanged, match=r"b\.parquet: this shard was replaced or rewritten during the run; put it"):
        synthesize_manifest(configure())
    assert not (tmp_path / "output" / "_SUCCESS").exists()
    assert {row["status"] for row in read_metadata(tmp_path / "output")} == {"ok"}
    assert {row["text"] for row in read_metadata(tmp_path / "output")} <= {text_of(n) for n in range(16)}
    shard.write_bytes(old)
    monkeypatch.undo()
    assert synthesize_manifest(configure()).num_ok == 16


def swap_voices(path):
    voices = SpeakerRegistry.from_parquet(path.read_bytes())
    anna, carl = voices["anna"], voices["carl"]
    path.write_bytes(voices.add([replace(anna, voice=carl.voice), replace(carl, voice=anna.voice)]).to_parquet())


@pytest.mark.usefixtures("without_processes")
@pytest.mark.parametrize("harm", [swap_voices, Path.unlink, lambda path: path.write_bytes(b"nothing of ours")])
def test_voices_that_are_replaced_during_a_run_stop_it(tmp_path, configure, monkeypatch, harm):
    """A replica that started afterwards spoke in the other voice, under the same name."""
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 12))
    config, commit = configure(), CommitLog.commit
    path, kept = tmp_path / "output" / "speakers.parquet", []

    def commit_and_harm(log, unit, table):
        if not kept:
            kept.append(path.read_bytes())
            harm(path)
        return commit(log, unit, table)

    monkeypatch.setattr(CommitLog, "commit", commit_and_harm)
    with pytest.raises(ObjectChanged, match=r"speakers\.parquet: was replaced or deleted during the run"):
        synthesize_manifest(config)
    assert not (tmp_path / "output" / "_SUCCESS").exists()
    monkeypatch.undo()
    if harm is swap_voices:
        for start in (synthesize_manifest, forecast_run):
            with pytest.raises(ConfigError, match=r"holds another voice of speaker 'anna' than the one .* Put it back"):
                start(config)
    path.write_bytes(kept[0])
    assert synthesize_manifest(config).num_ok == 12


@pytest.mark.usefixtures("without_processes")
def test_a_commit_that_is_deleted_during_a_run_is_not_finished_over(tmp_path, configure, monkeypatch):
    """Each unit had had its commit, so `_SUCCESS` was written over 4 rows that were not there."""
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 12))
    commit, paths = CommitLog.commit, []

    def commit_and_delete(log, unit, table):
        committed = commit(log, unit, table)
        paths.append(CommitLog.metadata_path(unit))
        if len(paths) == 3:
            (tmp_path / "output" / paths[0]).unlink()
        return committed

    monkeypatch.setattr(CommitLog, "commit", commit_and_delete)
    with pytest.raises(
        RunStopped, match="output: 8 rows are committed, expected the manifest's 12: commits were deleted"
    ):
        synthesize_manifest(configure())
    assert not (tmp_path / "output" / "_SUCCESS").exists()
    monkeypatch.undo()
    summary = synthesize_manifest(configure())
    assert (summary.num_ok, summary.num_units_done) == (12, 1)


@pytest.mark.usefixtures("without_processes")
def test_limit_voices_a_sample_and_the_rest_follows(tmp_path, configure):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 10))
    write_shard(tmp_path / "manifest" / "b.parquet", simple_rows(10, 3))
    plan = forecast_run(configure(limit=3))
    assert (plan.num_rows, plan.num_new, plan.num_units) == (3, 3, 2)
    sample = synthesize_manifest(configure(limit=3))
    assert (sample.num_ok, sample.num_rows, sample.num_rows_left) == (3, 13, 10)
    assert not (tmp_path / "output" / "_SUCCESS").exists()
    spoken = audio_hashes(tmp_path / "output")
    rows = read_metadata(tmp_path / "output")
    assert {row["shard"] for row in rows} == {"a", "b"} and {row["speaker_id"] for row in rows} == {"anna", "carl"}
    status = read_status(str(tmp_path / "output"))
    assert (status["state"], status["num_committed_rows"], status["num_rows"]) == ("sampled", 3, 3)
    assert verify_output(open_storage(str(tmp_path / "output"))).is_intact
    # The sample is what the output holds, for a redo, too, whether it names the limit or not.
    assert redo_rows(configure(), Selection(ids={rows[0]["utterance_id"]})).num_ok == 1
    for limit in (3, 2):  # Nothing more, and nothing less.
        again = synthesize_manifest(configure(limit=limit))
        assert (again.num_units_done, again.num_rows_left) == (0, 10)
        assert forecast_run(configure(limit=limit)).num_units == 0
    more = synthesize_manifest(configure(limit=5))
    assert (more.num_ok, more.num_synthesized, more.num_kept, more.num_rows_left) == (5, 2, 3, 8)
    assert spoken.items() <= audio_hashes(tmp_path / "output").items()
    plan = forecast_run(configure())
    assert (plan.num_rows, plan.num_unchanged + plan.num_moved, plan.num_new) == (13, 5, 8)
    rest = synthesize_manifest(configure())
    assert (rest.num_ok, rest.num_synthesized, rest.num_kept, rest.num_rows_left) == (13, 8, 5, 0)
    assert spoken.items() <= audio_hashes(tmp_path / "output").items()
    assert (tmp_path / "output" / "_SUCCESS").exists() and len(read_metadata(tmp_path / "output")) == 13
    report = verify_output(open_storage(str(tmp_path / "output")))
    assert report.is_intact and report.orphaned == []
    # An output that holds more than a sample is left alone.
    after = synthesize_manifest(configure(limit=3))
    assert (after.num_units_done, after.num_rows_left) == (0, 0) and read_status(after.output)["state"] == "finished"


@pytest.mark.usefixtures("without_processes")
def test_a_sample_of_an_output_that_was_begun_without_a_limit_is_what_it_has(tmp_path, configure, monkeypatch):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 10))
    commit, done = CommitLog.commit, []

    def commit_once(log, unit, table):
        if done:
            raise KeyboardInterrupt
        done.append(unit)
        return commit(log, unit, table)

    with monkeypatch.context() as patch, pytest.raises(BaseException):  # noqa: B017
        patch.setattr(CommitLog, "commit", commit_once)
        synthesize_manifest(configure())
    held = len(read_metadata(tmp_path / "output"))
    assert 0 < held < 10
    after = synthesize_manifest(configure(limit=held))
    assert (after.num_units_done, after.num_rows_left) == (0, 10 - held)
    with pytest.raises(
        ConfigError, match=rf"limit: 9: .* was begun without it and has {held} of 10 rows, in whole uni"
    ):
        synthesize_manifest(configure(limit=9))
    assert synthesize_manifest(configure()).num_rows_left == 0


@pytest.mark.usefixtures("without_processes")
def test_a_start_after_a_sample_reads_only_the_rows_that_may_be_kept(tmp_path, configure, monkeypatch):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 20))
    synthesize_manifest(configure(limit=1))
    read, planned = Manifest.read_rows, []

    def read_rows(manifest, unit, columns=None):
        planned.append(unit.unit_id)
        return read(manifest, unit, columns)

    monkeypatch.setattr(Manifest, "read_rows", read_rows)
    assert synthesize_manifest(configure()).num_kept == 1
    assert len(set(planned)) == 1


@pytest.mark.usefixtures("without_processes")
def test_takes_that_fail_are_retaken_and_then_rejected(tmp_path, configure):
    """With a cap of one token every take fails, and each has its own seed."""
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 4))
    strict = {
        "length_cap_factor": 1.0,
        "length_cap_extra_s": 0.0,
        "min_pace": 0.0,
        "max_pace": 10_000.0,
        "max_takes": 2,
    }
    strict |= {"stop_above_rejected": 1.0}
    long_text = "Something rather long to say. " * 3
    write_shard(tmp_path / "manifest" / "a.parquet", [{"utterance_id": "a", "text": long_text, "speaker_id": "anna"}])
    summary = synthesize_manifest(configure(quality={**strict, "min_pace": 2.0, "max_pace": 3.0}))
    (row,) = read_metadata(tmp_path / "output")
    assert summary.num_rejected == 1
    assert row["error_code"] in ("hit_length_cap", "too_fast", "too_slow", "no_speech")
    assert "take 2" in row["error_message"]


@pytest.mark.usefixtures("without_processes")
def test_too_many_rejections_stop_the_run(tmp_path, configure):
    rows = [{"utterance_id": f"u{n}", "text": "", "speaker_id": "anna"} for n in range(40)]
    write_shard(tmp_path / "manifest" / "a.parquet", rows)
    quality = {**LOOSE, "stop_after_rows": 8, "stop_above_rejected": 0.5}
    with pytest.raises(RunStopped, match="empty_text"):
        synthesize_manifest(configure(quality=quality, replicas={**SMALL, "units_per_llm": 1}))


@pytest.mark.usefixtures("without_processes")
def test_a_whole_run_on_s3(tmp_path, configure, seaweedfs, finished):
    uri = seaweedfs.new_uri()
    write_shard(tmp_path / "a.parquet", simple_rows(0, 6))
    storage = open_storage(uri)
    storage.put("manifest/a.parquet", (tmp_path / "a.parquet").read_bytes())
    storage.put("speakers.yaml", yaml.safe_dump(SPEAKERS).encode())
    config = configure(
        manifest=f"{uri}/manifest",
        speakers=f"{uri}/speakers.yaml",
        output=f"{uri}/output",
        storage={"require_conditional_put": True},
    )
    summary = synthesize_manifest(config)
    assert (summary.num_ok, summary.num_rejected) == (6, 0)
    output = open_storage(f"{uri}/output")
    assert verify_output(output).is_intact
    assert synthesize_manifest(config).num_units_done == 0
    # The store changes nothing of the audio.
    on_s3 = {
        row["utterance_id"]: row["audio_sha256"]
        for table in CommitLog(output).iter_metadata()
        for row in table.to_pylist()
    }
    local = audio_hashes_of_shard(finished[0].output, "a")
    assert on_s3 == {utterance_id: local[utterance_id] for utterance_id in on_s3}


def processes_named(title):
    """Ids of the live processes with this title; Ray sets it for each actor."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if command.startswith(title.encode()):
                found.add(int(folder.name))
    return found


def test_a_killed_llm_replica_is_replaced_without_help(tmp_path, configure):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 28))
    config = configure()
    before = processes_named("ray::LLMActor")
    killed = []
    over = threading.Event()

    def kill_once():
        # Ray puts the method that runs into the title: the replica dies with a unit in its hands.
        while not killed and not over.wait(0.01):
            for process in processes_named("ray::LLMActor.generate") - before:
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    killer = threading.Thread(target=kill_once)
    killer.start()
    summary = synthesize_manifest(config)
    over.set()
    killer.join()
    assert killed
    assert (summary.num_ok, summary.num_rejected) == (28, 0)
    check_audio(config.output, read_metadata(config.output))
    undisturbed = configure(output=str(tmp_path / "undisturbed"))
    with inline_ray():
        synthesize_manifest(undisturbed)
    assert audio_hashes(config.output) == audio_hashes(undisturbed.output)
