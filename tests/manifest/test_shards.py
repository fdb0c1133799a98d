"""shards.py: shards are found and named, damage and changes are seen, and no more is read than needed."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline.manifest.shards as shards_module
from pipeline.errors import ManifestError, ObjectChanged, StorageError
from pipeline.manifest.rows import Manifest, Shard
from pipeline.manifest.units import WorkUnit
from pipeline.storage import Storage, open_storage
from tests.fakes import MemoryStorage
from tests.manifest.tables import make_table, put_shard


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


def rewrite_in_place_with_the_same_time(shard: Path) -> None:
    found = shard.stat()
    rewrite_in_place(shard)
    os.utime(shard, ns=(found.st_atime_ns, found.st_mtime_ns))


def cut_off(shard: Path) -> None:
    os.truncate(shard, 100)


def delete(shard: Path) -> None:
    shard.unlink()


CHANGES = [
    *(replace, replace_with_the_same_time, rewrite_in_place, rewrite_in_place_with_the_same_time),
    *(cut_off, delete),
]


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


def link(shard: Path) -> None:
    """As a backup does, which moves the time of the entry's last change."""
    os.link(shard, shard.parent.parent / "backup")


@pytest.mark.parametrize("change", [touch, copy, link])
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


def test_folder_file_and_glob_find_the_same_shard_names(storage: Storage) -> None:
    put_shard(storage, "m/book/one.parquet", make_table(5))
    put_shard(storage, "m/book/two.parquet", make_table(3, 5))
    put_shard(storage, "m/_delta/x.parquet", make_table(1))
    storage.put("m/notes.txt", b"no shard")
    uri = storage.uri
    assert [shard.name for shard in Manifest.open(f"{uri}/m").shards] == ["book/one", "book/two"]
    assert [shard.name for shard in Manifest.open(f"{uri}/m/").shards] == ["book/one", "book/two"]
    assert [shard.name for shard in Manifest.open(f"{uri}/m/book/*.parquet").shards] == ["one", "two"]
    assert [shard.name for shard in Manifest.open(f"{uri}/m/*/t?o.parquet").shards] == ["book/two"]
    assert [shard.name for shard in Manifest.open(f"{uri}/m/**/o*.parquet").shards] == ["book/one"]
    single = Manifest.open(f"{uri}/m/book/one.parquet")
    assert [(shard.name, shard.num_rows) for shard in single.shards] == [("one", 5)]
    assert single.shards[0].uri == f"{uri}/m/book/one.parquet"


def test_nothing_found_is_said(storage: Storage) -> None:
    for uri in (f"{storage.uri}/absent", f"{storage.uri}/*.parquet"):
        with pytest.raises(ManifestError, match=r"expected a file \(\.parquet, .*\), a folder of them, or a glob"):
            Manifest.open(uri)


def test_every_problem_is_listed(storage: Storage) -> None:
    storage.put("a.parquet", b"this is no Parquet file")
    put_shard(storage, "b.parquet", make_table(1).drop_columns(["text"]))
    put_shard(storage, "c.parquet", make_table(1, seed=["x"]).set_column(2, "speaker_id", pa.array([1])))
    with pytest.raises(ManifestError) as caught:
        Manifest.open(storage.uri)
    message = str(caught.value)
    assert "3 problem(s) in 3 file(s)" in message
    for part in ("a.parquet: not a Parquet", "b.parquet: column 'text' is missing", "'x' is no whole number"):
        assert part in message


def test_empty_file_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").touch()
    with pytest.raises(ManifestError, match="not a Parquet file"):
        Manifest.open(str(tmp_path))


def test_a_unit_reads_only_its_row_group_and_reads_it_once() -> None:
    storage = MemoryStorage()
    table = make_table(4_000).set_column(1, "text", pa.array([f"{row:09d}" * 20 for row in range(4_000)]))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=1_000, compression="none")
    storage.put("x.parquet", sink.getvalue().to_pybytes())
    info = storage.find("x.parquet")
    assert info is not None
    reader = shards_module.ShardReader(storage)
    shard = Shard("x", "x", 4_000, "", info)
    reader.read(shard, 1_000, 1_127)
    after_first = storage.num_bytes_read
    assert after_first < info.size / 2
    reader.read(shard, 1_128, 1_255)
    assert storage.num_bytes_read == after_first


def test_fingerprint_follows_content(storage: Storage) -> None:
    def fingerprint() -> str:
        return Manifest.open(storage.uri).shards[0].fingerprint

    put_shard(storage, "x.parquet", make_table(5))
    first = fingerprint()
    put_shard(storage, "x.parquet", make_table(5))
    assert fingerprint() == first
    table = make_table(5)
    put_shard(storage, "x.parquet", table.set_column(1, "text", pa.array([f"That is row {row}." for row in range(5)])))
    assert fingerprint() != first


def test_shard_names_are_safe_folders(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    for path in ("lang=en/a.parquet", "b~c.parquet"):
        put_shard(storage, path, make_table(1))
    names = [shard.name for shard in Manifest.open(str(tmp_path)).shards]
    assert names == ["b%7Ec", "lang%3Den/a"]
    put_shard(storage, "B~c.parquet", make_table(1))
    with pytest.raises(ManifestError, match="same output folder"):
        Manifest.open(str(tmp_path))


def test_extra_columns_have_one_type_in_all_shards(tmp_path: Path) -> None:
    """A column that is empty in one shard, absent in another, once kept the metadata from reading as one data set."""
    rows = {"utterance_id": ["a"], "text": ["t"], "speaker_id": ["s"]}
    pq.write_table(pa.table({**rows, "notes": pa.nulls(1), "n": pa.array([1], pa.int32())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({**rows, "notes": ["x"], "n": pa.array([1], pa.int64())}), tmp_path / "b.parquet")
    pq.write_table(pa.table(rows), tmp_path / "c.parquet")
    manifest = Manifest.open(str(tmp_path))
    tables = [manifest.read_rows(unit) for unit in manifest.plan(10)]
    assert pa.concat_tables([table.select(["notes", "n"]) for table in tables]).to_pylist() == [
        {"notes": None, "n": 1},
        {"notes": "x", "n": 1},
        {"notes": None, "n": None},
    ]
    pq.write_table(pa.table({**rows, "notes": pa.array([0], pa.timestamp("ns"))}), tmp_path / "d.parquet")
    manifest = Manifest.open(str(tmp_path))
    with pytest.raises(ManifestError, match=r"d\.parquet: a column has another type"):
        manifest.read_rows(next(manifest.plan(10)))


def test_a_damaged_page_is_reported_with_its_shard(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    ids = [f"id-{n}" for n in range(5_000)]
    table = pa.table({"utterance_id": ids, "text": ids, "speaker_id": ids})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[100:3_000] = bytes(2_900)
    path.write_bytes(bytes(data))
    manifest = Manifest.open(str(tmp_path))
    with pytest.raises(ManifestError, match=r"a\.parquet: damaged"):
        manifest.find_duplicates()
    with pytest.raises(ManifestError, match=r"a\.parquet: damaged"):
        manifest.read_rows(WorkUnit("a", 0, 9))


@pytest.mark.parametrize("pattern", ["[", "[z-a].parquet"])
def test_a_glob_that_is_none_is_reported(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ManifestError):
        Manifest.open(f"{tmp_path}/{pattern}")
