"""storage.py, against a local folder and a real S3 server."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError, ObjectChanged, StorageError
from pipeline.storage import (
    ObjectExists,
    PreconditionFailed,
    Storage,
    StorePromises,
    describe_cause,
    open_storage,
    probe_store,
    read_bytes,
    split_uri,
)
from pipeline.storage.s3 import S3Storage
from tests.fakes import FlakyStorage, MemoryStorage
from tests.s3_server import S3Server


def test_put_and_get_return_same_bytes(storage: Storage) -> None:
    storage.put("a/b/c.bin", b"\0\1\2")
    assert storage.get("a/b/c.bin") == b"\0\1\2"
    storage.put("a/b/c.bin", b"")
    assert storage.get("a/b/c.bin") == b""


def test_odd_names_survive(storage: Storage) -> None:
    for path in ("räume/第一.wav", "a b+c%2F&=?.wav", "%41.wav", "-/#.wav"):
        storage.put(path, path.encode())
        assert storage.get(path) == path.encode()
        assert path in {info.path for info in storage.list()}


def test_missing_object_is_file_not_found(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        storage.get("nothing")
    assert not storage.exists("nothing")
    assert list(storage.list()) == []
    storage.delete("nothing")


def test_folder_is_no_object(storage: Storage) -> None:
    storage.put("folder/object", b"1")
    assert not storage.exists("folder")


def test_if_absent_keeps_the_first(storage: Storage) -> None:
    storage.put("x", b"first", if_absent=True)
    with pytest.raises(ObjectExists):
        storage.put("x", b"second", if_absent=True)
    assert storage.get("x") == b"first"


def test_if_match_refuses_a_stale_etag(storage: Storage) -> None:
    old = storage.put("x", b"first")
    new = storage.put("x", b"second", if_match=old)
    assert new != old and storage.get_with_etag("x") == (b"second", new)
    with pytest.raises(PreconditionFailed):
        storage.put("x", b"third", if_match=old)
    storage.delete("x")
    with pytest.raises(PreconditionFailed):
        storage.put("x", b"third", if_match=new)
    assert not storage.exists("x")


def test_one_of_many_committers_wins(storage: Storage) -> None:
    barrier = threading.Barrier(8)
    won: list[int] = []

    def put(number: int) -> None:
        barrier.wait()
        try:
            storage.put("commit", str(number).encode(), if_absent=True)
            won.append(number)
        except ObjectExists:
            pass

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and storage.get("commit") == str(won[0]).encode()


def test_compare_and_swap_loses_no_update(storage: Storage) -> None:
    storage.put("counter", b"0")

    def count() -> None:
        for _ in range(5):
            while True:
                value, etag = storage.get_with_etag("counter")
                try:
                    storage.put("counter", str(int(value) + 1).encode(), if_match=etag)
                    break
                except PreconditionFailed:
                    continue

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.get("counter") == b"20"


def test_list_goes_deep_and_respects_prefix(storage: Storage) -> None:
    paths = {"a/1", "a/b/2", "ab/3", "c"}
    for path in paths:
        storage.put(path, b"12")
    assert {info.path for info in storage.list()} == paths
    assert {info.path for info in storage.list("a/")} == {"a/1", "a/b/2"}
    assert {info.path for info in storage.list("a")} == paths - {"c"}
    (info,) = storage.list("c")
    assert info.size == 2 and info == storage.find("c")


def test_list_crosses_pages(seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(seaweedfs.new_uri())
    for number in range(7):
        storage.put(f"{number}", b"")
    client = storage._client  # type: ignore[attr-defined]
    plain = client.list_objects_v2
    monkeypatch.setattr(client, "list_objects_v2", lambda **arguments: plain(MaxKeys=3, **arguments))
    assert sorted(info.path for info in storage.list()) == [str(number) for number in range(7)]


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "", "a//b", "a/./b", "a\0b", "C:/x", "a/"])
def test_no_path_leaves_the_root(storage: Storage, path: str) -> None:
    with pytest.raises(ValueError):
        storage.put(path, b"")
    with pytest.raises(ValueError):
        storage.get(path)


def test_storage_pickles(storage: Storage) -> None:
    storage.put("x", b"1")
    copy = pickle.loads(pickle.dumps(storage))
    assert copy.get("x") == b"1" and copy.uri == storage.uri


def test_parquet_is_read_by_row_group(storage: Storage) -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"a": list(range(10_000)), "b": [f"text {i}" * 20 for i in range(10_000)]})
    pq.write_table(table, sink, row_group_size=1_000)
    storage.put("x.parquet", sink.getvalue().to_pybytes())
    info = storage.find("x.parquet")
    assert info is not None
    with pq.ParquetFile(storage.open_input(info)) as file:
        assert file.read_row_group(7).equals(table.slice(7_000, 1_000))


def test_a_browser_learns_what_an_object_is(seaweedfs: S3Server) -> None:
    storage = open_storage(seaweedfs.new_uri())
    assert isinstance(storage, S3Storage)
    for name, kind in (("report.html", "text/html"), ("_SUCCESS", "application/octet-stream")):
        storage.put(name, b"1")
        answer = storage._client.head_object(Bucket=storage._bucket, Key=storage._prefix + name)
        assert answer["ContentType"] == kind


def test_replaced_object_is_not_read_on(storage: Storage) -> None:
    storage.put("x", b"1" * 300_000)
    info = storage.find("x")
    assert info is not None
    opened = storage.open_input(info)
    assert opened.read(10) == b"1" * 10
    storage.put("x", b"2" * 300_000)
    with pytest.raises(ObjectChanged, match=r"x: was replaced or rewritten while it was in use"):
        opened.read(10)
    with pytest.raises(ObjectChanged, match="was replaced"):
        storage.open_input(info).read(10)
    storage.delete("x")
    with pytest.raises(ObjectChanged, match=r"x: was (deleted|replaced or rewritten) while it was in use"):
        opened.read(10)


def test_the_hash_of_a_replaced_file_is_not_taken_for_the_old_ones(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.put("x", b"1")
    info = storage.find("x")
    assert info is not None
    storage.put("x", b"2")
    with pytest.raises(ObjectChanged, match="was replaced"):
        storage.content_hash(info)


def test_probe_sees_an_honest_store(storage: Storage) -> None:
    assert probe_store(storage) == StorePromises(True, True, True)
    assert list(storage.list()) == []


def test_probe_sees_a_store_that_ignores_conditions() -> None:
    storage = MemoryStorage(honors_conditions=False)
    assert probe_store(storage) == StorePromises(False, True, True)
    assert storage.objects == {}


def test_transient_failures_are_retried() -> None:
    storage = FlakyStorage({1, 2})
    storage.put("x", b"1")
    assert storage.get("x") == b"1"


def test_retries_end_in_an_error_that_says_what_to_do() -> None:
    storage = FlakyStorage(range(1, 100))
    with pytest.raises(
        StorageError, match=r"memory://store: put 'x' failed 3 time.*ConnectionResetError.*run the same"
    ):
        storage.put("x", b"1")


def test_lost_answer_of_our_own_put_is_no_conflict() -> None:
    storage = FlakyStorage({1}, after_effect=True)
    storage.put("x", b"ours", if_absent=True)
    assert storage.get("x") == b"ours"


def test_full_disk_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="free some space"):
        open_storage(str(tmp_path)).put("x", b"1")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("conditions", [{}, {"if_absent": True}])
def test_a_folder_in_a_files_place_is_named(tmp_path: Path, conditions: dict[str, bool]) -> None:
    """`if_absent` saw it as another's object: whoever waits for that to vanish waits without end."""
    (tmp_path / "lease.json").mkdir()
    with pytest.raises(StorageError, match=r"put 'lease.json': expected a file, found a folder; move it away"):
        open_storage(str(tmp_path)).put("lease.json", b"x", **conditions)


def test_a_pipe_in_a_files_place_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    storage = open_storage(str(tmp_path))
    (info,) = storage.list("")
    for reading in (lambda: storage.get("a.wav"), lambda: storage.open_input(info), lambda: storage.put("a.wav", b"")):
        with pytest.raises(StorageError, match=r"'a.wav': expected a file, found a pipe"):
            reading()


def test_crash_before_rename_leaves_nothing_visible(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    (tmp_path / ".tmp-0123").write_bytes(b"half")
    assert list(storage.list()) == []


@pytest.mark.parametrize(("code", "status"), [("NoSuchBucket", 404), ("AccessDenied", 403)])
def test_refusals_stop_at_once(seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch, code: str, status: int) -> None:
    from botocore.exceptions import ClientError

    calls = []

    def refuse(**arguments: object) -> None:
        calls.append(arguments)
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")  # type: ignore[typeddict-item]

    storage = open_storage("s3://bucket/x")
    monkeypatch.setattr(storage._client, "put_object", refuse)  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match=f"s3://bucket/x: put.*{code}"):
        storage.put("a", b"1")
    assert len(calls) == 1


def test_wrong_secret_stops_at_once_and_is_not_shown(seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-print-me")
    with pytest.raises(StorageError, match="credentials") as caught:
        open_storage(seaweedfs.new_uri()).put("a", b"1")
    assert "do-not-print-me" not in str(caught.value)


def test_dead_endpoint_is_named(seaweedfs: S3Server) -> None:
    settings = StorageConfig(endpoint_url="http://127.0.0.1:9", max_attempts=2)
    with pytest.raises(StorageError, match="failed 2 time"):
        open_storage("s3://voices/x", settings).get("a")


def test_read_bytes_reads_single_files(storage: Storage) -> None:
    storage.put("clips/a.wav", b"RIFF")
    assert read_bytes(storage.uri_of("clips/a.wav")) == b"RIFF"
    with pytest.raises(FileNotFoundError):
        read_bytes(storage.uri_of("clips/b.wav"))


def test_split_uri() -> None:
    assert split_uri("s3://bucket/a/b.wav") == ("s3://bucket/a", "b.wav")
    assert split_uri("s3://bucket/b.wav") == ("s3://bucket", "b.wav")
    assert split_uri("/b.wav") == ("/", "b.wav")
    assert split_uri("b.wav") == (".", "b.wav")
    with pytest.raises(ConfigError):
        split_uri("s3://bucket")


def test_unknown_store_is_refused() -> None:
    with pytest.raises(ConfigError, match="ftp"):
        open_storage("ftp://host/x")


def test_causes_are_shown_without_secrets() -> None:
    text = describe_cause(ValueError("GET https://host/a?X-Amz-Signature=abc failed; secret_key=def"))
    assert "abc" not in text and "def" not in text
