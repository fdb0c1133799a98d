"""A few rows are made in one process: the same bytes as replicas make, by the same commits, without Ray."""

import shutil
from pathlib import Path

import pytest

import jobs.redo
from pipeline import redo_rows, replay_rows, synthesize_manifest, verify_output
from pipeline.cluster import in_process, ray_api
from pipeline.config.run import ReplicasConfig
from pipeline.errors import RunStopped
from pipeline.run.repair import Selection
from pipeline.storage import open_storage
from tests.inline_ray import inline_ray
from tests.runs import audio_hashes, make_config, read_metadata, simple_rows, write_shard


@pytest.fixture(scope="module")
def config(tmp_path_factory, random_weights):
    folder = tmp_path_factory.mktemp("run")
    write_shard(folder / "manifest" / "a.parquet", simple_rows(0, 6))
    config = make_config(folder, random_weights)
    with inline_ray():
        synthesize_manifest(config)
    return config


@pytest.fixture
def without_ray(monkeypatch):
    """Whoever wants Ray here fails."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_api, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_api, "create_actor", lambda *_, **__: pytest.fail("an actor was asked for"))


def copy_of(config, folder):
    shutil.copytree(config.output, folder)
    return config.model_copy(update={"output": str(folder)})


def test_redone_rows_have_the_bytes_that_replicas_make(config, tmp_path, without_ray, monkeypatch):
    here, on_ray = copy_of(config, tmp_path / "here"), copy_of(config, tmp_path / "ray")
    selection = Selection(ids={"u001", "u004"})
    assert redo_rows(here, selection, next_take=True).num_rows == 2
    monkeypatch.undo()
    with inline_ray():
        assert redo_rows(on_ray, selection, next_take=True).num_rows == 2
    assert audio_hashes(here.output) == audio_hashes(on_ray.output) != audio_hashes(config.output)
    made, expected = (
        [{**row, "created_at": None} for row in read_metadata(output.output)] for output in (here, on_ray)
    )
    assert made == expected
    assert verify_output(open_storage(here.output)).is_intact
    assert (Path(here.output) / "_SUCCESS").exists()


def test_replayed_rows_are_as_committed(config, without_ray):
    assert [take.is_same for take in replay_rows(config, ["u003", "u000"])] == [True, True]


def test_the_command_needs_no_ray(config, tmp_path, without_ray, capsys):
    output = copy_of(config, tmp_path / "o").output
    assert jobs.redo.main([output, "--ids", "u002"]) == 0
    assert "1 row(s) synthesized again" in capsys.readouterr().out
    assert audio_hashes(output) == audio_hashes(config.output)


def test_many_rows_gpus_that_are_not_here_and_clusters_go_to_ray(config, tmp_path, without_ray, monkeypatch):
    wanted = ReplicasConfig(llm={"num_gpus": 0.5})
    assert not in_process.can_work_here(wanted) or __import__("torch").cuda.is_available()
    assert in_process.can_work_here(config.replicas)
    monkeypatch.setenv("RAY_ADDRESS", "somewhere:6379")
    assert not in_process.can_work_here(config.replicas)
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setattr("pipeline.run.synthesize.ray_cluster", lambda: 1 // 0)
    rows = Selection(ids={"u000", "u001"})
    with pytest.raises(ZeroDivisionError):
        redo_rows(copy_of(config, tmp_path / "asked"), rows, on_ray=True)
    monkeypatch.setattr("pipeline.run.synthesize.FEW_ROWS", 1)
    with pytest.raises(ZeroDivisionError):
        redo_rows(copy_of(config, tmp_path / "many"), rows)


def test_what_nobody_foresaw_stops_with_a_way_on(config, tmp_path, without_ray, monkeypatch):
    copy = copy_of(config, tmp_path / "o")
    monkeypatch.setattr(in_process.CodecActor, "decode", lambda *_: 1 // 0)
    with pytest.raises(RunStopped, match=r"ZeroDivisionError.*with --ray"):
        redo_rows(copy, Selection(ids={"u000"}))
    assert audio_hashes(copy.output) == audio_hashes(config.output)
