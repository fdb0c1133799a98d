"""activity.py: what an output's lease, mark and record say of who works on it, and what `jobs.status` prints."""

import json
import time

import pytest

import jobs.status
from pipeline import read_status, synthesize_manifest
from pipeline.errors import RunStopped
from pipeline.manifest.units import WorkUnit
from pipeline.output.activity import read_activity
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import LEASE_PATH, Lease
from pipeline.output.run_record import RunRecord
from pipeline.run import synthesize
from pipeline.storage import open_storage
from tests.inline_ray import inline_ray
from tests.outputs import begin_run, make_commit, make_shard, put_foreign_lease
from tests.runs import make_config, simple_rows, write_shard


@pytest.fixture
def output(tmp_path):
    storage = open_storage(str(tmp_path / "output"))
    begin_run(storage, [make_shard("s", 6)])
    log, unit = CommitLog(storage), WorkUnit("s", 0, 2)
    log.commit(unit, make_commit(log, unit))
    return storage


def test_a_driver_of_this_machine_is_seen_at_once_and_missed_at_once(output, capsys):
    with Lease.acquire(output):
        status = read_status(output.uri)
        assert (status["state"], status["num_committed_rows"]) == ("running", 3)
        assert status["rows_per_hour"] > 0 and status["left_s"] > 0
        assert jobs.status.main([output.uri]) == 0
    assert "running, process" in capsys.readouterr().out
    assert read_status(output.uri)["state"] == "interrupted"
    assert jobs.status.main([output.uri]) == 0
    assert "interrupted, start of" in capsys.readouterr().out


@pytest.mark.parametrize(("age_s", "state"), [(10, "running"), (1_000, "interrupted"), (None, "interrupted")])
def test_a_driver_elsewhere_works_as_long_as_it_renews_its_lease(output, age_s, state):
    put_foreign_lease(output)
    holder = json.loads(output.get(LEASE_PATH))
    output.put(LEASE_PATH, json.dumps(holder if age_s is None else {**holder, "seen_at": time.time() - age_s}).encode())
    assert read_activity(output, RunRecord(output).read()).state == state


def test_rows_of_earlier_starts_do_not_count_for_the_speed(output):
    begin_run(output, [make_shard("s", 6)])
    run = json.loads(output.get("run.json"))
    run["starts"][-1]["at"] = "2099-01-01T00:00:00+00:00"
    output.put("run.json", json.dumps(run).encode())
    with Lease.acquire(output):
        assert read_status(output.uri)["rows_per_hour"] is None


def test_a_run_that_fails_says_why_and_one_that_is_sampled_that_it_is(tmp_path, random_weights, monkeypatch, capsys):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 6))
    config = make_config(tmp_path, random_weights, unit_size=3)
    with inline_ray():
        with monkeypatch.context() as patch, pytest.raises(RunStopped):
            patch.setattr(synthesize, "synthesize_units", _fail)
            synthesize_manifest(config)
        status = read_status(config.output)
        assert (status["state"], status["problem"]) == ("failed", "the disk\x1b[31m went away")
        assert jobs.status.main([config.output]) == 0
        assert "the disk went away" in capsys.readouterr().out.replace("\\x1b[31m", "")
        synthesize_manifest(config.model_copy(update={"limit": 3}))
        assert read_status(config.output)["state"] == "sampled"
        synthesize_manifest(config)
    assert read_status(config.output)["state"] == "finished"


def _fail(*_):
    raise RunStopped("the disk\x1b[31m went away")
