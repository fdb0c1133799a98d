"""cloud.py, against Azurite and fake-gcs-server: what differs from other stores, and a whole run."""

from __future__ import annotations

import logging
import os

import pytest

from pipeline import synthesize_manifest, verify_output
from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError, ObjectChanged, RunStopped, StorageError
from pipeline.output.commit_log import CommitLog
from pipeline.storage import open_storage
from pipeline.storage.cloud import AzureStorage, GoogleStorage
from tests.inline_ray import inline_ray
from tests.runs import make_config, simple_rows, write_shard


@pytest.fixture(params=["azurite", "fake_gcs"])
def cloud_uri(request: pytest.FixtureRequest, tmp_path) -> str:
    return f"{request.getfixturevalue(request.param)}/{tmp_path.name}"


def test_an_etag_is_the_same_from_a_put_a_read_a_look_and_a_listing(cloud_uri):
    """Azure's listings leave out the quotes, without which no condition holds."""
    storage = open_storage(cloud_uri)
    etag = storage.put("x", b"1")
    (listed,) = storage.list()
    found = storage.find("x")
    assert found == listed
    assert etag == listed.etag == storage.get_with_etag("x")[1]
    assert storage.open_input(listed).read() == b"1"
    assert storage.put("x", b"2", if_match=listed.etag) != etag


def test_a_put_is_one_request(azurite, tmp_path, monkeypatch):
    """The etag was asked for afterward, perhaps of somebody else's object."""
    storage = open_storage(f"{azurite}/{tmp_path.name}")
    assert isinstance(storage, AzureStorage)
    requests = []
    transport = storage._client._pipeline._transport
    send = transport.send
    monkeypatch.setattr(
        transport, "send", lambda request, **options: requests.append(request) or send(request, **options)
    )
    storage.put("x", b"1")
    assert [request.method for request in requests] == ["PUT"]


def test_requests_are_not_logged(cloud_uri, caplog):
    caplog.set_level(logging.INFO)
    storage = open_storage(cloud_uri)
    storage.put("x", b"1")
    storage.get("x")
    assert caplog.records == []


def test_folders_that_azure_lists_are_no_objects(azurite, tmp_path):
    storage = open_storage(f"{azurite}/{tmp_path.name}")
    assert isinstance(storage, AzureStorage)
    storage._client.upload_blob(f"{tmp_path.name}/folder", b"", metadata={"hdi_isfolder": "true"})
    storage._client.upload_blob(f"{tmp_path.name}/marker/", b"")
    storage.put("folder/x", b"1")
    assert [info.path for info in storage.list()] == ["folder/x"]
    assert not storage.exists("folder")


def test_a_store_that_ignores_the_condition_of_a_read_is_seen_through(fake_gcs, tmp_path):
    storage = open_storage(f"{fake_gcs}/{tmp_path.name}")
    assert isinstance(storage, GoogleStorage)
    storage.put("x", b"1" * 10)
    info = storage.find("x")
    storage.put("x", b"2" * 10)
    assert storage._blob(info.path).download_as_bytes(if_generation_match=int(info.etag)) == b"2" * 10
    with pytest.raises(ObjectChanged, match="was replaced"):
        storage.open_input(info).read(1)


@pytest.mark.parametrize("operation", ["put", "list"])
def test_a_missing_bucket_is_named(cloud_uri, operation):
    scheme = cloud_uri.partition(":")[0]
    storage = open_storage(f"{scheme}://no-such-bucket/x")
    kind = {"az": "container", "gs": "bucket"}[scheme]
    with pytest.raises(StorageError, match=rf"no-such-bucket/x: {operation}.*create the {kind} or correct its name"):
        storage.put("x", b"1") if operation == "put" else list(storage.list())


def test_a_server_that_is_away_is_named(cloud_uri, monkeypatch):
    away = "http://127.0.0.1:9"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", away)
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    connection = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;BlobEndpoint={away}/a;"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    with pytest.raises(StorageError, match=r"get 'x' failed 2 time\(s\)"):
        open_storage(cloud_uri, StorageConfig(max_attempts=2)).get("x")


def test_a_wrong_key_stops_at_once_and_is_not_shown(azurite, monkeypatch):
    connection = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    key = connection.partition("AccountKey=")[2].partition(";")[0]
    wrong = "d3JvbmcgYnV0IGxvbmc="
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection.replace(key, wrong))
    with pytest.raises(StorageError, match="check the account, its container and your permissions") as caught:
        open_storage(azurite).put("x", b"1")
    assert wrong not in str(caught.value) and key not in str(caught.value)


@pytest.mark.parametrize("by", ["setting", "variable"])
def test_an_account_is_reached_with_an_identity(monkeypatch, by):
    """Managed and workload identities need no secret; what they are, azure-identity finds out."""
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    url = "https://anna.blob.core.windows.net"
    if by == "variable":
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "anna")
    storage = open_storage("az://voices/x", StorageConfig(endpoint_url=url if by == "setting" else None))
    assert isinstance(storage, AzureStorage)
    assert storage._client.url == f"{url}/voices"
    assert type(storage._client.credential).__name__ == "DefaultAzureCredential"


@pytest.mark.parametrize(
    ("connection", "expected"),
    [("", r"which account is not known; set AZURE_"), ("nonsense", r"no Azure account: .*correct")],
)
def test_an_account_that_is_not_named_is_asked_for(monkeypatch, connection, expected):
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    with pytest.raises(ConfigError, match=expected):
        open_storage("az://voices/x").get("x")


def test_a_whole_run_that_dies_and_goes_on(cloud_uri, tmp_path, random_weights, monkeypatch):
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 12))
    local = make_config(tmp_path, random_weights)
    config = make_config(tmp_path, random_weights, output=cloud_uri)
    commit, num_commits = CommitLog.commit, 0

    def commit_once(log, unit, table):
        nonlocal num_commits
        num_commits += 1
        if num_commits == 2:
            raise RunStopped("the driver was stopped here")
        return commit(log, unit, table)

    with inline_ray():
        monkeypatch.setattr(CommitLog, "commit", commit_once)
        with pytest.raises(RunStopped, match="the driver was stopped here"):
            synthesize_manifest(config)
        monkeypatch.setattr(CommitLog, "commit", commit)
        summary = synthesize_manifest(config)
        assert (summary.num_ok, summary.num_units_skipped) in {(12, 1), (12, 2)}  # Two may be written at once.
        synthesize_manifest(local)
    report = verify_output(open_storage(cloud_uri))
    assert (report.num_checked, report.is_intact) == (12, True)
    assert audio_hashes(config.output) == audio_hashes(local.output)


def audio_hashes(output):
    tables = CommitLog(open_storage(output)).iter_metadata(["utterance_id", "audio_sha256"])
    return {row["utterance_id"]: row["audio_sha256"] for table in tables for row in table.to_pylist()}
