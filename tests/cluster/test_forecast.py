"""forecast.py: a dry run's numbers are those of the run after it, and it refuses what a run refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.dry_run import show_forecast
from pipeline import forecast_run
from pipeline.cluster import trial_actor
from pipeline.output.tombstones import Tombstones, make_tombstones
from pipeline.storage import open_storage
from tests.inline_ray import inline_ray
from tests.run.test_changing_manifest import ECHO, World
from tests.runs import read_metadata


@pytest.fixture(autouse=True)
def without_processes():
    with inline_ray():
        yield


@pytest.fixture
def world(tmp_path, random_weights):
    return World(tmp_path, random_weights, 0)


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*")}


def compare(world, **expected):
    before = files_of(world.config.output)
    found = forecast_run(world.config)
    assert files_of(world.config.output) == before
    summary = world.run()
    assert (found.num_rows, found.num_synthesized, found.num_kept) == (
        summary.num_rows,
        summary.num_synthesized,
        summary.num_kept,
    )
    assert (found.num_units, dict(found.all_rejected)) == (summary.num_units_done, summary.rejected)
    assert found.num_withdrawn == summary.num_removed
    kinds = ("new", "changed", "moved", "unchanged", "duplicates", "withdrawn")
    assert sum(getattr(found, f"num_{kind}") for kind in kinds) == found.num_rows
    assert {name: getattr(found, f"num_{name}") for name in expected} == expected
    return found


def test_its_numbers_are_those_of_the_run(world):
    first = compare(world, new=16, changed=0, moved=0, unchanged=0, gone=0)
    assert first.expected_s > 16 and first.num_takes == 16
    compare(world, new=0, unchanged=16)
    rows, other = world.shards["b"], world.shards["m"]
    rows[0] = {**rows[0], "text": "Other words."}
    rows[1] = {**rows[1], "text": ""}
    rows[2] = {**rows[2], "speaker_id": "nobody"}
    rows[3] = {**rows[3], "domain": "edited"}
    other.append(rows.pop())
    del other[0]
    world.shards["z"] = [*world.new_rows(2), {**rows[3]}]
    world.write()
    compare(world, new=2, changed=3, refused=2, gone=1, duplicates=1)
    compare(world, new=0, changed=0, unchanged=18, gone=0)


def test_removed_rows_and_a_speaker_who_left_are_counted_as_they_will_be(world):
    world.run()
    removed = world.shards["b"][0]
    storage = open_storage(world.config.output)
    Tombstones.add(storage, make_tombstones("utterance", [removed["utterance_id"]], "asked to"))
    world.shards["b"].append(world.new_rows(1)[0])
    world.define(["ada", "iris"])
    world.write()
    compare(world, withdrawn=1)
    assert {row["status"] for row in read_metadata(world.config.output) if row["speaker_id"] == "ross"} <= {
        "rejected",
        "removed",
    }


@pytest.mark.parametrize("seed", range(3))
def test_random_edits_come_out_as_foretold(tmp_path, random_weights, seed):
    world = World(tmp_path, random_weights, 2 * seed)
    world.run()
    for _ in range(2):
        for _ in range(3):
            world.edit()
        world.write()
        compare(world)


def test_what_would_not_be_spoken_is_counted_by_kind_with_an_example(world, capsys):
    texts = (
        "A \u2318 in the garden.",
        "A \u2318 and a \u23ce here.",
        "The \u03bb\u03cc\u03b3\u03bf\u03c2 is old.",
    )
    for at, text in enumerate(texts):
        world.shards["b"][at] |= {"text": text, "language": "en"}
    world.write()
    found = forecast_run(world.config)
    assert found.unread == {"symbol": 2, "script": 1}
    first, note = found.unread_examples["symbol"]
    assert first == world.shards["b"][0]["utterance_id"]
    assert note == "not spoken: symbol \u2318 (PLACE OF INTEREST SIGN)"
    show_forecast(world.config)
    assert "not spoken 2 rows with a symbol, such as" in capsys.readouterr().out


def test_the_speed_is_measured_on_the_spot_until_a_start_has_shown_it(world, capsys):
    found = forecast_run(world.config)
    assert found.trial is not None and found.trial.speed is not None
    assert found.trial.speed.num_rows == 8  # As many as there are slots.
    show_forecast(world.config)
    assert "measured here (" in capsys.readouterr().out
    world.run()
    assert forecast_run(world.config).trial is None
    show_forecast(world.config)
    assert "0 rows to synthesize" in capsys.readouterr().out
    world.shards["b"] += world.new_rows(1)
    world.write()
    again = forecast_run(world.config).trial
    assert again is not None and again.speed is None and {*again.environments} == {"llm", "codec"}
    show_forecast(world.config)
    assert "measured by this output's start" in capsys.readouterr().out


def test_a_cluster_that_is_busy_is_not_waited_for(world, capsys, monkeypatch):
    monkeypatch.setattr(trial_actor, "_ROOM_S", 0.0)
    monkeypatch.setattr(trial_actor.ray_api, "free_resources", lambda: {"own": {"CPU": 0.5}})
    show_forecast(world.config)
    said = capsys.readouterr().out
    assert "time       not known: no node of the cluster has 1 CPUs free just now" in said
    assert "whether the networks can be loaded comes out at the start of the run" in said


def test_hours_are_those_of_the_run(world):
    """With a pace that was measured on every row."""
    wide = world.config.model_copy(update={"llm": world.config.llm.model_copy(update={"slots": 32})})
    found = forecast_run(wide, networks=ECHO)
    assert found.trial is not None and found.trial.speed is not None and found.trial.speed.pace is not None
    summary = world.run()
    assert found.expected_s * found.trial.speed.pace + found.pauses_s == pytest.approx(summary.audio_s)
