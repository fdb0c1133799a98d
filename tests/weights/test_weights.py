"""Where weights come from: a directory, a store, the hub; and what goes wrong there."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError, StorageError, WeightsError
from pipeline.storage import open_storage
from pipeline.text import TextSupport
from pipeline.weights.fetching import fingerprint_files
from pipeline.weights.weights import find_text_support, fingerprint_weights, resolve_weights
from tests.fakes import MemoryStorage

TINY = Path(__file__).parents[1] / "fixtures" / "reference" / "tiny"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARK_TTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_directory_is_taken_as_it_is() -> None:
    assert resolve_weights(str(TINY)) == TINY.absolute()
    assert resolve_weights(f"file://{TINY.absolute()}") == TINY.absolute()


@pytest.mark.parametrize("name", ["BiCodec/config.yaml", "LLM/tokenizer.json", "LLM/model.safetensors"])
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(TINY, copy)
    (copy / name).unlink()
    with pytest.raises(WeightsError, match=f"{copy}: {name} missing; expected the official layout"):
        resolve_weights(str(copy))


def test_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such directory"):
        resolve_weights(str(tmp_path / "nowhere"))


def test_the_fingerprint_follows_content_and_not_place(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(TINY, copy)
    before = fingerprint_weights(copy)
    assert before == fingerprint_weights(TINY) and len(before) == 64
    (copy / "README.md").write_text("no effect")
    assert fingerprint_weights(copy) == before
    data = bytearray((copy / "BiCodec" / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "BiCodec" / "model.safetensors").write_bytes(data)
    assert fingerprint_weights(copy) != before


def test_a_file_is_read_again_when_it_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, reads = tmp_path / "a", []
    path.write_bytes(b"one")
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: reads.append(name) or real(file, name))

    def count(later_s: int) -> int:
        monkeypatch.setattr(time, "time_ns", lambda: path.stat().st_ctime_ns + later_s * 10**9)
        reads.clear()
        found.add(fingerprint_files(tmp_path, ["a"]))
        return len(reads)

    found: set[str] = set()
    # What was just written may be written again within one tick of the file system's clock.
    assert [count(1), count(1)] == [1, 1]
    assert [count(10), count(10)] == [1, 0] and len(found) == 1
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert count(10) == 1 and len(found) == 2


def test_what_weights_were_taught_to_read_is_part_of_their_fingerprint(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(TINY, copy)
    (copy / "text.yaml").write_text("languages: [en]\n")
    assert fingerprint_weights(copy) != fingerprint_weights(TINY)


def test_what_weights_were_taught_to_read_is_known_before_they_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_text_support("demo") == TextSupport(("en",), ".,;!?'-", 75, needs_end_mark=True)
    assert find_text_support("random") == find_text_support("hf://owner/name") == TextSupport()
    (tmp_path / "text.yaml").write_text("languages: [de]\n")
    assert find_text_support(str(tmp_path)).languages == find_text_support(f"file://{tmp_path}").languages == ("de",)
    store = MemoryStorage()
    monkeypatch.setattr("pipeline.weights.weights.open_storage", lambda *_: store)
    assert find_text_support("s3://bucket/model") == TextSupport()
    store.put("text.yaml", b"languages: [fr]")
    assert find_text_support("s3://bucket/model").languages == ("fr",)


def test_a_store_is_fetched_once_until_it_changes(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "bucket"
    shutil.copytree(TINY, source)
    (source / "notes.txt").write_text("not fetched")
    opened: list[str] = []

    def open_fake(uri: str, settings: Any = None) -> Any:
        opened.append(uri)
        return open_storage(str(source), settings)

    monkeypatch.setattr("pipeline.weights.fetching.open_storage", open_fake)
    first = resolve_weights("s3://bucket/model")
    assert cache in first.parents and not (first / "notes.txt").exists()
    assert fingerprint_weights(first) == fingerprint_weights(TINY)
    marker = first / "config.yaml"
    modified = marker.stat().st_mtime_ns
    assert resolve_weights("s3://bucket/model") == first and marker.stat().st_mtime_ns == modified
    (source / "config.yaml").write_text((source / "config.yaml").read_text() + "\n# changed\n")
    assert resolve_weights("s3://bucket/model") != first
    assert opened == ["s3://bucket/model"] * 3
    shutil.rmtree(source)
    source.mkdir()
    with pytest.raises(WeightsError, match="no model files under this address"):
        resolve_weights("s3://bucket/model")


@pytest.mark.parametrize("name", ["LLM/model-/../../../../out/x.safetensors", "LLM/model-//x.safetensors"])
def test_a_store_puts_nothing_beside_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A folder was made outside the cache before its name was looked at."""
    storage = MemoryStorage()
    storage.objects = {"BiCodec/config.yaml": (b"", "v1"), name: (b"1", "v2")}
    monkeypatch.setattr("pipeline.weights.fetching.open_storage", lambda uri, settings: storage)
    with pytest.raises(StorageError, match=r"holds 'LLM/model-/"):
        resolve_weights("s3://bucket/model")
    assert not cache.exists()
    assert [operation for operation, _ in storage.calls] == ["list"]


def test_a_killed_fetch_leaves_nothing_half_done(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.weights import random_weights

    calls: list[Path] = []

    def fill(directory: Path) -> None:
        calls.append(directory)
        shutil.copytree(TINY, directory, dirs_exist_ok=True)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(random_weights, "make_random_weights", fill)
    with pytest.raises(KeyboardInterrupt):
        resolve_weights("random")
    assert not (cache / random_weights.RANDOM_NAME).exists()
    (calls[0] / "left over").write_text("half")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(resolve_weights("random"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / random_weights.RANDOM_NAME] * 4 and len(calls) == 2
    assert not (found[0] / "left over").exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPARK_TTS_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="set SPARK_TTS_CACHE to another folder"):
        resolve_weights("random")


def test_a_user_without_a_home_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SPARK_TTS_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    with pytest.raises(ConfigError, match="no home folder to keep them in; set SPARK_TTS_CACHE"):
        resolve_weights("random")


def test_the_hub_is_asked_for_the_official_layout_alone(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    import huggingface_hub

    asked: list[Any] = []

    def snapshot(name: str, **options: Any) -> str:
        asked.append((name, options["revision"], options["cache_dir"]))
        assert "LLM/model.safetensors" in options["allow_patterns"]
        return str(TINY)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert resolve_weights("hf://owner/name@v1.0") == TINY
    assert resolve_weights("hf://owner/name") == TINY
    assert asked == [("owner/name", "v1.0", cache / "hub"), ("owner/name", None, cache / "hub")]

    def refuse(name: str, **options: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(WeightsError, match=r"hf://owner/name: cannot be fetched \(no network"):
        resolve_weights("hf://owner/name")


def test_hub_addresses_and_the_missing_package_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="expected hf://owner/name"):
        resolve_weights("hf://name")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"needs the package huggingface_hub, .*\[hub\]"):
        resolve_weights("hf://owner/name")
