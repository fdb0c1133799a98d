"""Publication: another folder or a real S3 server with the corpus's layout; a hub, whose stand-in speaks HTTP."""

import io
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from pipeline.config.dataset import NightConfig
from pipeline.dataset.data_files import DataFile
from pipeline.dataset.hub import place_of
from pipeline.dataset.listing import read_snapshot
from pipeline.dataset.publications import read_publications
from pipeline.dataset.publish import publish
from pipeline.dataset.takedown import plan_takedown, take_down
from pipeline.errors import ConfigError, StorageError
from pipeline.storage import open_storage
from tests.dataset.corpora import NIGHTS, all_hashes
from tests.dataset.hub_server import serve_hub


def with_publish(config, **settings):
    raw = json.loads(config.model_dump_json())
    raw["dataset"]["publish"] = {**raw["dataset"]["publish"], **settings}
    return NightConfig.model_validate(raw)


def contents(storage):
    return {info.path: storage.get(info.path) for info in storage.list()}


@pytest.fixture
def hub(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra `hub`")
    # The protocol of large files that plain HTTP can stand in for.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with serve_hub() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.endpoint)
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield found


def test_a_copy_has_all_that_its_snapshot_lists_and_nothing_is_sent_twice(config, storage_uri):
    config = with_publish(config, to=storage_uri)
    target = open_storage(storage_uri)
    assert publish(config.corpus, NIGHTS[0], config).num_put == 8
    found = publish(config.corpus, NIGHTS[2], config)
    assert found.num_put == 2 * 4 + 4 and found.num_deleted == 0
    source = {f"snapshots/{path}": data for path, data in all_hashes(config).items()}
    # Of the second night only what the third refers to.
    wanted = {
        path: data
        for path, data in source.items()
        if f"{NIGHTS[1]}/" not in path or "/data/" in path or "/counts/" in path
    }
    copy = contents(target)
    assert json.loads(copy.pop("latest.json"))["night"] == NIGHTS[2]
    del wanted["snapshots/seen.json"]
    assert copy == wanted
    assert publish(config.corpus, NIGHTS[2], config).num_put == 0
    assert read_publications(open_storage(config.corpus)) == {storage_uri: {"night": NIGHTS[2], "revision": 0}}


def test_a_takedown_reaches_the_copy_with_the_next_publication(config, tmp_path):
    to = str(tmp_path / "copy")
    config = with_publish(config, to=to)
    for night in (NIGHTS[0], NIGHTS[2]):
        publish(config.corpus, night, config)
    storage = open_storage(config.corpus)
    assert plan_takedown(storage, [], ["ross"]).publications == [to]
    take_down(storage, [], ["ross"], "withdrew")
    found = publish(config.corpus, NIGHTS[2], config)
    assert found.revision == 1 and found.num_deleted > 5
    for path, data in contents(open_storage(to)).items():
        if "/data/" in path:
            assert "ross" not in pq.read_table(io.BytesIO(data)).column("speaker").to_pylist()
        if path.endswith("stats.json"):
            assert "ross" not in json.loads(data)["speakers"]


def test_a_place_in_the_corpus_is_refused(config):
    with pytest.raises(ConfigError, match=r"dataset.publish.to: .*lies in the corpus"):
        publish(config.corpus, NIGHTS[2], with_publish(config, to=f"{config.corpus}/copy"))


def test_tar_files_hold_what_data_files_hold_with_nemo_manifests(config):
    config = with_publish(config, format="webdataset")
    assert publish(config.corpus, NIGHTS[2], config).num_put == 18
    assert publish(config.corpus, NIGHTS[2], config).num_put == 0
    first = all_hashes(config)
    storage, ids = open_storage(config.corpus), []
    for path in Path(config.corpus).glob("snapshots/*/webdataset/*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        with tarfile.open(path.with_suffix(".tar")) as tar:
            for line in lines:
                assert {"audio_filepath", "duration", "text"} <= line.keys()
                data = tar.extractfile(line["audio_filepath"]).read()
                assert soundfile.info(io.BytesIO(data)).duration == pytest.approx(line["duration"])
                assert tar.extractfile(line["audio_filepath"].replace(".flac", ".txt")).read().decode() == line["text"]
                ids.append(line["id"])
    assert len(ids) == len({*ids}) == read_snapshot(storage, NIGHTS[2]).num_rows
    shutil.rmtree(Path(config.corpus) / "snapshots" / NIGHTS[0] / "webdataset")
    publish(config.corpus, NIGHTS[2], config)
    assert all_hashes(config) == first


def test_a_copy_of_tar_files_names_them_in_its_card(config, tmp_path):
    config = with_publish(config, format="webdataset", to=str(tmp_path / "copy"))
    publish(config.corpus, NIGHTS[2], config)
    folder = tmp_path / "copy" / "snapshots" / NIGHTS[2]
    front = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    paths = [path for entry in front["configs"][0]["data_files"] for path in entry["path"]]
    assert len(paths) == 9 and all(path.endswith(".tar") and (folder / path).is_file() for path in paths)
    assert not list((tmp_path / "copy").rglob("data/*.parquet"))
    assert publish(config.corpus, NIGHTS[2], config).num_put == 0


def test_each_night_is_a_revision_of_the_repository(config, hub):
    config = with_publish(config, to="hf://acme/en-synth")
    for night in NIGHTS:
        publish(config.corpus, night, config)
    assert {*hub.tags} == {*NIGHTS} and hub.is_private is True and hub.num_uploads == 9
    for number, night in enumerate(NIGHTS, start=1):
        front = yaml.safe_load(hub.read("README.md", night).decode().split("---\n")[1])
        rows = 0
        for entry in front["configs"][0]["data_files"]:
            for path in entry["path"]:
                rows += pq.read_metadata(io.BytesIO(hub.read(path, night))).num_rows
        assert rows == 12 * number == json.loads(hub.read("stats.json", night))["num_rows"]
    assert max(Counter(path.rpartition("/")[0] for path in hub.main).values()) < 10_000
    publish(config.corpus, NIGHTS[2], config)
    assert hub.num_uploads == 9


def test_a_push_that_is_cut_short_goes_on(config, hub):
    config = with_publish(config, to="hf://acme/en-synth")
    hub.refuse_upload = 4
    with pytest.raises(StorageError, match=r"hf://acme/en-synth: .*then run the same command again"):
        publish(config.corpus, NIGHTS[2], config)
    assert "README.md" not in hub.main and hub.tags == {} and len(hub.objects) == 3
    publish(config.corpus, NIGHTS[2], config)
    assert hub.num_uploads == 3 + 1 + 6 and {*hub.tags} == {NIGHTS[2]}


def test_a_takedown_leaves_no_revision_that_has_him(config, hub):
    config = with_publish(config, to="hf://acme/en-synth")
    for night in NIGHTS[1:]:
        publish(config.corpus, night, config)
    take_down(open_storage(config.corpus), [], ["ross"], "withdrew")
    publish(config.corpus, NIGHTS[2], config)
    assert {*hub.tags} == {f"{NIGHTS[2]}-r1"} and len(hub.commits) == 1
    for path in hub.main:
        if path.endswith(".parquet") and path.startswith("data/"):
            assert "ross" not in pq.read_table(io.BytesIO(hub.read(path))).column("speaker").to_pylist()


def test_a_hub_that_refuses_is_the_users_mistake(config, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ConfigError, match=r"hf://acme/en-synth: the hub refuses .*HF_TOKEN"):
        publish(config.corpus, NIGHTS[2], with_publish(config, to="hf://acme/en-synth"))


def test_no_folder_of_a_repository_has_more_than_ten_thousand_files():
    files = [
        DataFile(f"snapshots/n/data/{split}-n-{number:05d}-0123456789ab.parquet", split, "n", 1, 1.0, 1, "")
        for split in ("train", "validation", "test")
        for number in range(7_000)
    ]
    for form, per_file in (("parquet", 1), ("webdataset", 2)):
        folders = Counter(place_of(file, form).rpartition("/")[0] for file in files)
        assert max(folders.values()) * per_file <= 10_000 and folders.total() == 21_000
