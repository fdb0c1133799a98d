"""What a resume finds changed: refused with the difference, or taken up; without Ray."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline import plan_run, repair_output, replay_rows, synthesize_manifest
from pipeline.cluster.unit_states import UnitPlanner
from pipeline.errors import ConfigError
from pipeline.llm.prompt import Voice
from pipeline.manifest.rows import Manifest
from pipeline.manifest.units import WorkUnit
from pipeline.output.adoption import find_duplicates
from pipeline.run.changed_manifest import adopt_manifest
from pipeline.run.open_output import open_output
from pipeline.storage import open_storage
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry
from tests.runs import make_config, simple_rows, write_shard

SPEAKER = Speaker(
    "anna",
    Voice(gender="female"),
    "created",
    '{"gender":"female","language":"en","pitch":"moderate","speaker_id":"anna","speed":"moderate"}',
)


@pytest.fixture
def begun(tmp_path, random_weights):
    """A config whose output has begun, over shards b (8 rows) and c (4)."""
    write_shard(tmp_path / "manifest" / "b.parquet", simple_rows(0, 8))
    write_shard(tmp_path / "manifest" / "c.parquet", simple_rows(8, 4))
    config = make_config(tmp_path, random_weights)
    begin(config)
    return config


def begin(config):
    """Do what a start does before it needs Ray; return the table of shards."""
    plan = plan_run(config)
    with open_output(plan) as output:
        adopt_manifest(plan, output)
        return output.record.read_table()


def refusal(config):
    with pytest.raises(ConfigError) as caught:
        begin(config)
    return str(caught.value)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        (None, "unit_size", 5),
        (None, "seed", 1),
        ("sampling", "temperature", 0.5),
        ("sampling", "top_k", 7),
        ("text", "normalize", False),
        ("text", "max_segment_chars", 100),
        ("quality", "max_takes", 1),
        ("audio", "sample_rate", 24_000),
        ("llm", "slots", 4),
        ("codec", "pack_frames", 256),
    ],
)
def test_other_settings_are_refused_by_name(begun, group, name, value):
    part = {name: value} if group is None else {group: getattr(begun, group).model_copy(update={name: value})}
    before = (Path(begun.output) / "run.json").read_bytes()
    message = refusal(begun.model_copy(update=part))
    assert f"{group}.{name}: " in message if group else f"{name}: " in message
    assert f"→ {json.dumps(value)}" in message
    assert (Path(begun.output) / "run.json").read_bytes() == before


def test_other_weights_and_another_lexicon_are_refused(begun, tmp_path):
    other = tmp_path / "weights"
    shutil.copytree(begun.weights, other)
    config = yaml.safe_load((other / "BiCodec/config.yaml").read_text())
    (other / "BiCodec/config.yaml").write_text(yaml.safe_dump(config) + "# changed\n")
    assert "weights_sha256" in refusal(begun.model_copy(update={"weights": str(other)}))
    (tmp_path / "lexicon.yaml").write_text("Spark: spahk\n")
    text = begun.text.model_copy(update={"lexicon": str(tmp_path / "lexicon.yaml")})
    assert "lexicon_sha256" in refusal(begun.model_copy(update={"text": text}))


def test_another_model_of_the_recognizer_is_refused_by_its_content(tmp_path, random_weights):
    pytest.importorskip("faster_whisper", reason="the recognizer; part of the extra `whisper`")
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.bin", "tokenizer.json"):
        (model / name).write_text("{}")
    write_shard(tmp_path / "manifest" / "b.parquet", simple_rows(0, 8))
    config = make_config(tmp_path, random_weights)
    quality = config.quality.model_copy(update={"asr": "whisper", "asr_model": str(model)})
    begin(config.model_copy(update={"quality": quality}))
    moved = model.rename(tmp_path / "moved")
    begin(config.model_copy(update={"quality": quality.model_copy(update={"asr_model": str(moved)})}))
    (moved / "model.bin").write_text("other")
    moved_quality = quality.model_copy(update={"asr_model": str(moved)})
    assert "asr_sha256" in refusal(config.model_copy(update={"quality": moved_quality}))


def test_what_changes_neither_audio_nor_plan_is_free(begun):
    begin(begun.model_copy(update={"progress": begun.progress.model_copy(update={"interval_s": 1.0})}))


def test_a_changed_manifest_is_refused_where_rows_are_made_again(begun, tmp_path):
    """A repair or a replay of rows that the output does not hold would mix two manifests."""
    open_storage(begun.output).put("speakers.parquet", SpeakerRegistry([SPEAKER]).to_parquet())
    shard = tmp_path / "manifest" / "b.parquet"
    for change, said in (
        (lambda: write_shard(shard, simple_rows(0, 5)), "shard b: 8 rows → 5 rows of other content"),
        (lambda: write_shard(shard, simple_rows(0, 8)[::-1]), "shard b: 8 rows → 8 rows of other content"),
        (shard.unlink, "shard b: 8 rows → missing from the manifest"),
        (lambda: write_shard(tmp_path / "manifest" / "new.parquet", simple_rows(0, 1)), "shard new: new"),
    ):
        change()
        for command in (repair_output, lambda config: replay_rows(config, ["u001"])):
            with pytest.raises(ConfigError, match=r"run jobs\.synthesize first") as caught:
                command(begun)
            assert said in str(caught.value)


def test_what_a_manifest_changes_is_planned_anew(begun, tmp_path):
    assert begin(begun) == begin(begun)
    write_shard(tmp_path / "manifest" / "b.parquet", simple_rows(0, 9))
    (tmp_path / "manifest" / "c.parquet").rename(tmp_path / "manifest" / "a.parquet")
    table = begin(begun)
    assert {name: (shard.revision, shard.since) for name, shard in table.shards.items()} == {"b": (1, 1), "a": (0, 1)}
    assert [(former.folder, former.until, former.is_leaving) for former in table.former] == [
        ("b", 1, False),
        ("c", 1, False),
    ]
    # Once more, before anything was committed: each revision has a folder of its own.
    write_shard(tmp_path / "manifest" / "b.parquet", simple_rows(0, 8))
    (tmp_path / "manifest" / "a.parquet").rename(tmp_path / "manifest" / "c.parquet")
    table = begin(begun)
    assert {name: shard.revision for name, shard in table.shards.items()} == {"b": 2, "c": 1}
    assert [former.folder for former in table.former] == ["b", "c", "b@1", "a"]


def test_a_new_shard_is_taken_up_and_what_is_committed_wins(begun, tmp_path):
    """A new shard that sorts first made duplicates of rows that had audio: two rows of one id were ok."""
    begin(begun)
    write_shard(tmp_path / "manifest" / "a.parquet", [*simple_rows(20, 2), *simple_rows(3, 1)])
    table = begin(begun)
    assert list(table.shards) == list(begin(begun).shards) == ["b", "c", "a"]
    manifest = Manifest.open(begun.manifest)
    assert manifest.find_duplicates() == {"b": [3]}
    assert {name: shard.duplicates for name, shard in table.shards.items()} == {"b": (), "c": (), "a": (2,)}
    (state,) = map(UnitPlanner(manifest, find_duplicates(manifest, table), {}).plan, [WorkUnit("a", 0, 2)])
    assert list(state.rejections) == [2]


def test_an_output_of_a_newer_version_is_refused(begun):
    path = Path(begun.output) / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    assert "format 99" in refusal(begun)


def test_nothing_of_the_probe_or_the_locks_stays_behind(begun):
    begin(begun)
    storage = open_storage(begun.output)
    etag = storage.put("x", b"1")
    storage.put("x", b"2", if_match=etag)
    assert {path.name for path in Path(begun.output).iterdir()} == {"run.json", "shards.parquet", "x"}


def test_a_manifest_without_rows_is_said_to_have_none(tmp_path, random_weights, caplog):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 0))
    summary = synthesize_manifest(make_config(tmp_path, random_weights))
    assert summary.num_rows == 0 and "holds no rows" in caplog.text


def test_an_output_in_its_own_manifest_is_refused(begun, tmp_path):
    for place in ("manifest", "manifest/out"):
        message = refusal(begun.model_copy(update={"output": str(tmp_path / place)}))
        assert "lies in the manifest" in message
    begin(begun.model_copy(update={"output": str(tmp_path / "manifest-out")}))
