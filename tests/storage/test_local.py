"""local.py: links, odd names and other things that only a disk has."""

import os
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, StorageError
from pipeline.storage import check_writable, open_storage
from tests.fakes import MemoryStorage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "x").write_bytes(b"1")
    return tmp_path / "root"


def listed(root: Path, prefix: str = "") -> list[str]:
    return sorted(info.path for info in open_storage(str(root)).list(prefix))


def test_files_behind_a_link_to_a_folder_are_listed(root, tmp_path):
    (tmp_path / "other-disk").mkdir()
    (tmp_path / "other-disk" / "y").write_bytes(b"2")
    (root / "b").symlink_to(tmp_path / "other-disk")
    assert listed(root) == ["a/x", "b/y"]
    assert listed(root, "b/") == ["b/y"]
    assert open_storage(str(root)).get("b/y") == b"2"


def test_a_link_to_what_is_listed_anyway_lists_nothing_twice(root):
    (root / "latest").symlink_to("a")
    (root / "a" / "up").symlink_to("..")
    assert listed(root) == ["a/x"]
    assert listed(root, "latest") == ["latest/x"]  # Here it is not listed anyway.


@pytest.mark.parametrize("target", ["..", "../other-disk"])
def test_folders_that_are_met_twice_are_named(root, tmp_path, target):
    """A circle of links has no end, and a sweep would take the one name's files for orphans of the other."""
    (tmp_path / "other-disk").mkdir()
    (root / "first").symlink_to("../other-disk")
    (root / "second").symlink_to(target)
    with pytest.raises(StorageError, match=r"are the same folder by way of a link; remove the link"):
        listed(root)


def test_links_that_lead_nowhere_are_listed_and_named_when_read(root):
    """A shard behind such a link was left out of the run without a word."""
    (root / "lost").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    storage = open_storage(str(root))
    found = {info.path: info for info in storage.list()}
    assert set(found) == {"a/x", "lost", "loop"}
    for read in (storage.open_input, storage.content_hash, lambda info: storage.get(info.path)):
        with pytest.raises(StorageError, match=r"'lost': a link to 'nowhere', where nothing is; remove the link"):
            read(found["lost"])
        with pytest.raises(StorageError, match=r"'loop'.*symbolic links"):
            read(found["loop"])


def test_names_that_no_method_takes_are_named(root):
    os.mkdir(os.fsencode(root) + b"/\xff")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff/z")).write_bytes(b"")
    with pytest.raises(StorageError, match=r"holds '\\udcff/z', whose name .* not UTF-8; rename"):
        listed(root)


@pytest.mark.parametrize("path", ["a//b", "/b", "a/./b", "../b"])
def test_a_stores_own_odd_keys_are_named(path):
    storage = MemoryStorage()
    storage.objects[path] = (b"", "v1")
    with pytest.raises(StorageError, match=rf"memory://store: holds '{path}', whose name has an empty part"):
        list(storage.list())


def test_temporary_files_go_and_nothing_else_does(root, tmp_path):
    (tmp_path / "other-disk").mkdir()
    (root / "b").symlink_to(tmp_path / "other-disk")
    for folder in (root, root / "a", root / "b"):
        (folder / ".tmp-0123").write_bytes(b"half")
    (root / ".tmp-folder").mkdir()
    assert open_storage(str(root)).delete_temporary() == 3
    assert sorted(path.name for path in root.rglob("*")) == [".tmp-folder", "a", "b", "x"]


def test_a_lock_is_not_taken_through_a_link(root, tmp_path):
    (root / ".tmp-lock").symlink_to(tmp_path / "made-by-a-link")
    storage = open_storage(str(root))
    with pytest.raises(StorageError, match=r"put 'a/x'.*symbolic links"):
        storage.put("a/x", b"2", if_match=storage.get_with_etag("a/x")[1])
    assert not (tmp_path / "made-by-a-link").exists()


def test_a_file_that_is_written_to_while_it_is_read_is_read_again(root, monkeypatch):
    storage, num_stats = open_storage(str(root)), 0
    fstat = os.fstat

    def write_between(handle):
        nonlocal num_stats
        num_stats += 1
        if num_stats == 2:
            (root / "a" / "x").write_bytes(b"22")
        return fstat(handle)

    monkeypatch.setattr(os, "fstat", write_between)
    assert storage.get("a/x") == b"22"


@pytest.mark.parametrize("check", [open_storage, lambda uri: check_writable("output", uri, open_storage("x").settings)])
def test_a_home_that_nobody_knows_is_no_folder_of_this_name(check, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"~no-such-user/x: no home folder is known for '~no-such-user'"):
        check("~no-such-user/x")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_not_there_is_no_empty_folder(root, tmp_path):
    """A sweep took the audio of commits that lay on it for orphans."""
    (root / "metadata").symlink_to(tmp_path / "unmounted")
    for prefix in ("metadata/", "metadata/a/", "metadata/a"):
        with pytest.raises(
            StorageError, match=r"metadata is a link to '.*unmounted', where nothing is; bring that back"
        ):
            list(open_storage(str(root)).list(prefix))
    (tmp_path / "unmounted").mkdir()
    assert list(open_storage(str(root)).list("metadata/a/")) == []
