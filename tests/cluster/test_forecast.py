"""forecast.py: a dry run's numbers are those of the run after it, and it refuses what a run refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile
import yaml

from jobs.dry_run import show_forecast
from pipeline import forecast_run
from pipeline.errors import ConfigError, SpeakerError, WeightsError
from pipeline.output.lease import Lease
from pipeline.output.tombstones import Tombstones, make_tombstones
from pipeline.storage import open_storage
from tests.inline_ray import InlineRay, inline_ray
from tests.run.test_changing_manifest import World
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
    compare(world, new=2, changed=3, gone=1, duplicates=1)
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


def test_it_refuses_what_a_run_refuses(world, tmp_path):
    config = world.config
    world.run()
    speakers = Path(config.speakers.path)
    known = speakers.read_text()
    with pytest.raises(ConfigError, match=r"sampling\.top_k: 50 → 7"):
        forecast_run(config.model_copy(update={"sampling": config.sampling.model_copy(update={"top_k": 7})}))
    world.define(["ada", "iris"], shift=3)
    with pytest.raises(SpeakerError, match=r"jobs\.enroll --replace ada"):
        forecast_run(config)
    soundfile.write(tmp_path / "fast.wav", [0.0] * 10, 100)
    for recording, said in (("nowhere.wav", "there is no such file"), ("fast.wav", "a sample rate of 100 Hz")):
        voices = [*yaml.safe_load(known), {"speaker_id": "new", "reference_audio": str(tmp_path / recording)}]
        speakers.write_text(yaml.safe_dump(voices))
        with pytest.raises(SpeakerError, match=said):
            forecast_run(config)
    speakers.write_text(known)
    with Lease.acquire(open_storage(config.output)), pytest.raises(ConfigError, match="another driver is at work"):
        forecast_run(config)
    shutil.copytree(config.weights, tmp_path / "weights")
    cut = tmp_path / "weights" / "LLM" / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model\.safetensors: not a whole safetensors file"):
        forecast_run(config.model_copy(update={"weights": str(tmp_path / "weights")}))
    world.shards["b"] += world.new_rows(1)
    world.write()
    crowded = config.replicas.model_copy(update={"llm": config.replicas.llm.model_copy(update={"count": 40})})
    with inline_ray(InlineRay()), pytest.raises(ConfigError, match=r"need 40\.75 CPUs where the cluster has 4"):
        forecast_run(config.model_copy(update={"replicas": crowded}))


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
