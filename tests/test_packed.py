"""Whole runs whose commits hold their clips: all that works with files of audio works with them."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import jobs.synthesize
import jobs.verify
from pipeline import read_output, read_status, repair_output, synthesize_manifest, verify_output
from pipeline.audio.clips import decode_clip, read_header
from pipeline.config.run import AudioConfig
from pipeline.errors import ConfigError
from pipeline.output.commit_log import CommitLog
from pipeline.output.report import write_report
from pipeline.run.repair import Selection, redo_rows
from pipeline.storage import open_storage
from pipeline.storage.local import LocalStorage
from tests.inline_ray import inline_ray
from tests.runs import make_config, simple_rows, write_shard

PACKED_FLAC = {"format": "flac", "layout": "packed"}


@pytest.fixture(scope="module", autouse=True)
def without_processes():
    with inline_ray():
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory, random_weights, without_processes):
    """The config of one manifest's run with packed FLACs, and of the same as WAV files; both are finished."""
    tmp_path = tmp_path_factory.mktemp("packed")
    bad = [{"utterance_id": "empty", "text": "", "speaker_id": "anna", "chapter": 9}]
    write_shard(tmp_path / "manifest" / "a.parquet", [*simple_rows(0, 7), *bad])
    write_shard(tmp_path / "manifest" / "b.parquet", simple_rows(20, 2))
    files = make_config(tmp_path, random_weights)
    packed = make_config(tmp_path, random_weights, audio=PACKED_FLAC, output=str(tmp_path / "packed"))
    for config in (files, packed):
        synthesize_manifest(config)
    return packed, files


@pytest.fixture
def packed(runs, tmp_path):
    """A copy of the run, with the config that says so."""
    shutil.copytree(runs[0].output, tmp_path / "output")
    return runs[0].model_copy(update={"output": str(tmp_path / "output")})


def clips_of(config):
    columns = ["utterance_id", "audio", "audio_sha256"]
    return {row["utterance_id"]: row for row in read_output(config.output, columns)}


def commit_path(config, unit_id="a/000000000-000000003"):
    return Path(config.output) / "metadata" / f"{unit_id}.parquet"


def flip_a_byte_of(config, utterance_id):
    clip = clips_of(config)[utterance_id]["audio"]["bytes"]
    (path,) = [path for path in Path(config.output).rglob("*.parquet") if clip in path.read_bytes()]
    data = bytearray(path.read_bytes())
    data[data.index(clip) + len(clip) // 2] ^= 1
    path.write_bytes(data)


def test_a_unit_is_one_object_with_the_samples_of_its_files(runs):
    packed, files = runs
    names = {path.name for path in Path(packed.output).iterdir()}
    assert "audio" not in names and {"metadata", "_SUCCESS"} <= names
    clips = clips_of(packed)
    wavs = {row["utterance_id"]: row for row in read_output(files.output)}
    assert clips.keys() == wavs.keys() and clips["empty"]["audio"] is None
    for utterance_id in wavs.keys() - {"empty"}:
        clip, wav = clips[utterance_id], wavs[utterance_id]
        data = clip["audio"]["bytes"]
        assert hashlib.sha256(data).hexdigest() == clip["audio_sha256"]
        assert clip["audio"]["path"] == f"{utterance_id}.{clip['audio_sha256'][:12]}.flac"
        assert np.array_equal(decode_clip(data).samples, decode_clip(Path(wav["audio_path"]).read_bytes()).samples)
    row = next(read_output(packed.output))
    assert "audio" not in row and row["audio_path"] is None and row["audio_format"] == "flac"
    environments = json.loads((Path(packed.output) / "environments.json").read_text())
    (writer,) = environments["writer"]
    assert writer["libflac"].startswith("reference libFLAC ") and writer["soundfile"]
    assert verify_output(open_storage(packed.output)) == verify_output(open_storage(files.output))
    statuses = [read_status(config.output) | {"started_at": None} for config in (packed, files)]
    assert statuses[0] == statuses[1]


def test_flac_files_hold_the_samples_of_wav_files(runs, tmp_path):
    _, files = runs
    flac = files.model_copy(update={"output": str(tmp_path / "output"), "audio": AudioConfig(format="flac")})
    synthesize_manifest(flac)
    wavs = {row["utterance_id"]: row["audio_path"] for row in read_output(files.output)}
    places = {row["utterance_id"]: row["audio_path"] for row in read_output(flac.output)}
    assert places.pop("empty") is None and all(place.endswith(".flac") for place in places.values())
    for name, place in places.items():
        assert soundfile.info(place).format == "FLAC"
        clips = [decode_clip(Path(path).read_bytes()).samples for path in (place, wavs[name])]
        assert np.array_equal(*clips)
    assert verify_output(open_storage(flac.output)).num_checked == 9
    before = {name: Path(place).read_bytes() for name, place in places.items()}
    Path(places["u001"]).unlink()
    assert repair_output(flac).num_rows == 1
    assert {name: Path(place).read_bytes() for name, place in places.items()} == before


def test_another_encoder_is_reported(packed, caplog, monkeypatch):
    monkeypatch.setattr("pipeline.audio.clips._flac_vendor", lambda data: "reference libFLAC 9.9.9 20990101")
    assert redo_rows(packed, Selection(ids={"u002"})).num_ok == 1
    assert 'libflac: "reference libFLAC 1' in caplog.text and '→ "reference libFLAC 9.9.9 20990101"' in caplog.text


def test_an_audition_is_resumed_and_the_layout_is_pinned(runs, tmp_path):
    packed, _ = runs
    config = packed.model_copy(update={"output": str(tmp_path / "output"), "limit": 4})
    sample = synthesize_manifest(config)
    spoken = clips_of(config)
    assert sample.num_ok + sample.num_rejected == len(spoken) == 4 and sample.num_rows_left == len(clips_of(packed)) - 4
    assert synthesize_manifest(config.model_copy(update={"limit": None})).num_kept == 4
    assert spoken.items() <= clips_of(config).items() and clips_of(config) == clips_of(packed)
    files = config.model_copy(update={"audio": config.audio.model_copy(update={"layout": "files", "format": "wav"})})
    with pytest.raises(
        ConfigError, match=r'(?s)audio.format: "flac" → \(absent\).*audio.layout: "packed" → \(absent\)'
    ):
        synthesize_manifest(files)


@pytest.mark.parametrize("is_carried_out", [False, True])
def test_a_run_that_dies_at_any_put_of_a_commit_is_resumed(runs, tmp_path, monkeypatch, is_carried_out):
    class Killed(BaseException):
        pass

    packed, _ = runs
    config = packed.model_copy(update={"output": str(tmp_path / "output")})
    real, dead = LocalStorage._put, []

    def put(storage, path, data, *conditions):
        if not path.startswith("metadata/") and not dead:
            return real(storage, path, data, *conditions)
        if dead or not is_carried_out:
            dead.append(path)
            raise Killed
        dead.append(path)
        real(storage, path, data, *conditions)
        raise Killed

    for num_kills in (1, 2):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(LocalStorage, "_put", put)
            synthesize_manifest(config)
        dead.clear()
        assert len(CommitLog(open_storage(config.output)).committed()) == is_carried_out * num_kills
    assert synthesize_manifest(config).num_rows_left == 0
    assert clips_of(config) == clips_of(packed)
    report = verify_output(open_storage(config.output))
    assert report.is_intact and report.orphaned == [] and (Path(config.output) / "_SUCCESS").exists()


def test_damaged_clips_are_named_and_repaired_alone(packed, capsys):
    before, whole = clips_of(packed), commit_path(packed).read_bytes()
    others = {path: path.read_bytes() for path in Path(packed.output).glob("metadata/**/*.parquet")}
    del others[commit_path(packed)]
    flip_a_byte_of(packed, "u001")
    assert jobs.verify.main([packed.output]) == 1
    printed = capsys.readouterr().out
    assert "changed\tmetadata/a/000000000-000000003.parquet\tthe clip of row 1, 'u001'" in printed
    assert "9 clip(s) checked: 1 changed; 0 orphaned" in printed
    assert repair_output(packed).num_rows == 1
    assert clips_of(packed) == before and verify_output(open_storage(packed.output)).is_intact
    assert {path: path.read_bytes() for path in others} == others
    # Where the place of a clip cannot be told from the next, the whole unit is made again.
    at = whole.index(before["u000"]["audio"]["bytes"])
    commit_path(packed).write_bytes(whole[: at - 4] + b"\xff\xff\xff\x7f" + whole[at:])
    assert verify_output(open_storage(packed.output)).damaged_commits == ["metadata/a/000000000-000000003.parquet"]
    assert repair_output(packed).num_rows == 4
    assert clips_of(packed) == before and verify_output(open_storage(packed.output)).is_intact


def test_redo_replaces_one_row_of_one_object(packed):
    before, commits = clips_of(packed), {path: path.read_bytes() for path in Path(packed.output).rglob("*.parquet")}
    assert redo_rows(packed, Selection(ids={"u002"})).num_rows == 1
    assert {path: path.read_bytes() for path in commits} == commits
    assert redo_rows(packed, Selection(ids={"u002"}), next_take=True).num_rows == 1
    after = clips_of(packed)
    assert {name for name in before if after[name] != before[name]} == {"u002"}
    assert [path for path in commits if path.read_bytes() != commits[path]] == [commit_path(packed)]
    assert verify_output(open_storage(packed.output)).is_intact


def test_a_row_is_replayed_to_the_bytes_in_its_commit(packed, tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text(json.dumps(packed.model_dump(mode="json")))
    command = ["--config", str(config), "--only", "u003", "--to", str(tmp_path / "again")]
    assert jobs.synthesize.main(command) == 0
    assert capsys.readouterr().out.endswith("\tas committed\n")
    assert (tmp_path / "again" / "u003.flac").read_bytes() == clips_of(packed)["u003"]["audio"]["bytes"]


def test_the_report_plays_packed_clips(packed, tmp_path):
    page = Path(write_report(packed.output, str(tmp_path / "report.html"))).read_text()
    assert page.count("data:audio/flac;base64,") == 9 and "in 9 clips" in page
    flip_a_byte_of(packed, "u001")
    commit_path(packed, "b/000000000-000000001").unlink()
    page = Path(write_report(packed.output, str(tmp_path / "report.html"), clips_mb=0)).read_text()
    assert "data:audio" not in page and '"unit":["a/000000000-000000003",' in page


def test_an_output_in_a_store_holds_commits_and_no_other_audio(runs, tmp_path, seaweedfs):
    packed, _ = runs
    uri = seaweedfs.new_uri()
    config = packed.model_copy(update={"output": uri})
    synthesize_manifest(config)
    assert list(open_storage(uri).list("audio/")) == []
    assert len(list(open_storage(uri).list("metadata/"))) == 3
    assert clips_of(config) == clips_of(packed) and verify_output(open_storage(uri)).is_intact


def test_the_package_datasets_plays_an_output(packed):
    datasets = pytest.importorskip("datasets", reason="needs the extra `readers`")
    files = str(Path(packed.output) / "metadata" / "**")
    found = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(Path(packed.output).parent / "cache")
    )
    assert isinstance(found.features["audio"], datasets.Audio)
    expected = clips_of(packed)
    rows = {row["utterance_id"]: row for row in found.cast_column("audio", datasets.Audio(decode=False))}
    assert rows.keys() == expected.keys()
    for utterance_id, row in rows.items():
        assert row["audio"] == expected[utterance_id]["audio"]
        if row["audio"] is not None:
            assert read_header(row["audio"]["bytes"]).num_samples == row["num_samples"]
            assert row["text"].startswith("Line ") and row["speaker_id"] in ("anna", "carl")
