"""shards.py: a shard that is another one than when the run began is not read, and damage is seen."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ManifestError, ObjectChanged, StorageError
from pipeline.manifest.rows import Manifest
from pipeline.manifest.units import WorkUnit


def write_shard(path: Path, word: str = "old", **options: bool) -> None:
    texts = [f"{word} words {row:02d}" for row in range(32)]
    table = pa.table({"utterance_id": [f"u{row}" for row in range(32)], "text": texts, "speaker_id": ["anna"] * 32})
    pq.write_table(table, path, row_group_size=8, compression="none", use_dictionary=False, **options)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    (tmp_path / "manifest").mkdir()
    write_shard(tmp_path / "manifest" / "s.parquet")
    return tmp_path / "manifest" / "s.parquet"


def read_text(manifest: Manifest, row: int) -> str:
    return str(manifest.read_rows(WorkUnit("s", row, row)).column("text")[0])


def replace(shard: Path) -> None:
    write_shard(shard.with_name("new"), "new")
    os.replace(shard.with_name("new"), shard)


def replace_with_the_same_time(shard: Path) -> None:
    found = shard.stat()
    replace(shard)
    os.utime(shard, ns=(found.st_atime_ns, found.st_mtime_ns))


def rewrite_in_place(shard: Path) -> None:
    data = shard.read_bytes().replace(b"old", b"new")
    with open(shard, "r+b") as file:
        file.write(data)


def cut_off(shard: Path) -> None:
    os.truncate(shard, 100)


def delete(shard: Path) -> None:
    shard.unlink()


CHANGES = [replace, replace_with_the_same_time, rewrite_in_place, cut_off, delete]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("is_open", [False, True])
def test_a_changed_shard_is_not_read_on(shard, change, is_open):
    manifest = Manifest.open(str(shard.parent))
    if is_open:
        assert read_text(manifest, 0) == "old words 00"
    change(shard)
    with pytest.raises(
        ObjectChanged, match=r"s\.parquet: this shard was (replaced|deleted).*during the run; put it back"
    ):
        read_text(manifest, 20)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shows_where_all_rows_were_read_before(shard, change):
    manifest = Manifest.open(str(shard.parent))
    manifest.check_unchanged()
    change(shard)
    with pytest.raises(ObjectChanged, match=r"s\.parquet: this shard was"):
        manifest.check_unchanged()


def touch(shard: Path) -> None:
    os.utime(shard, (1, 1))


def copy(shard: Path) -> None:
    shutil.copyfile(shard, shard.with_name("copy"))
    os.replace(shard.with_name("copy"), shard)


@pytest.mark.parametrize("change", [touch, copy])
def test_another_file_with_the_same_bytes_is_read_on(shard, change):
    """Each node may have its own copy, and some network file systems number their files anew."""
    manifest = Manifest.open(str(shard.parent))
    assert read_text(manifest, 0) == "old words 00"
    change(shard)
    assert read_text(manifest, 20) == "old words 20"
    manifest.check_unchanged()
    rewrite_in_place(shard)
    with pytest.raises(ObjectChanged):
        read_text(manifest, 31)


@pytest.mark.parametrize(("make", "found"), [(Path.mkdir, "a folder"), (os.mkfifo, "a pipe")])
def test_something_else_in_a_shards_place_is_named(shard, make, found):
    manifest = Manifest.open(str(shard.parent))
    shard.unlink()
    make(shard)
    with pytest.raises(StorageError, match=rf"'s\.parquet': expected a file, found {found}"):
        read_text(manifest, 0)


@pytest.mark.parametrize("has_checksums", [False, True])
def test_checksums_of_pages_are_looked_at(shard, has_checksums):
    """A flipped letter is text as good as any other; only the checksum shows it."""
    write_shard(shard, write_page_checksum=has_checksums)
    data = shard.read_bytes()
    assert data.count(b"old words 20") == 1
    shard.write_bytes(data.replace(b"old words 20", b"odd words 20"))
    manifest = Manifest.open(str(shard.parent))
    if has_checksums:
        with pytest.raises(ManifestError, match=r"s\.parquet: damaged \(.*CRC"):
            read_text(manifest, 20)
    else:
        assert read_text(manifest, 20) == "odd words 20"
