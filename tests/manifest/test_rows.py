"""rows.py: a manifest is planned, searched for duplicates and read; rows become utterances with safe file names."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline.manifest.rows as manifest_module
import pipeline.manifest.shards as shards_module
from pipeline.errors import RejectionCode, UtteranceError
from pipeline.manifest.rows import Manifest, Shard, Utterance, read_utterance, safe_file_name
from pipeline.manifest.units import WorkUnit
from pipeline.storage import ObjectInfo, Storage, open_storage
from tests.fakes import MemoryStorage
from tests.manifest.tables import make_table, put_shard


def test_string_types_and_extra_columns_are_accepted(tmp_path: Path) -> None:
    ids = pa.array(["a", "b", None])
    table = pa.table(
        {
            "utterance_id": ids.cast(pa.large_string()),
            "text": pa.array(["x", None, "y"]).dictionary_encode(),
            "speaker_id": pa.array(["s", "s", "s"]).cast(pa.string_view()),
            "seed": pa.array([1, 2**64 - 1, None], pa.uint64()),
            "nested": [{"k": [1, 2]}, None, {"k": []}],
        }
    )
    put_shard(open_storage(str(tmp_path)), "x.parquet", table)
    manifest = Manifest.open(str(tmp_path))
    rows = manifest.read_rows(WorkUnit("x", 0, 2))
    assert [rows.schema.field(name).type for name in ("utterance_id", "text", "speaker_id")] == [pa.string()] * 3
    assert rows.to_pylist()[0] == {
        "utterance_id": "a",
        "text": "x",
        "speaker_id": "s",
        "seed": 1,
        "nested": {"k": [1, 2]},
    }
    assert manifest.read_rows(WorkUnit("x", 0, 2), ["text"]).column_names == ["text"]


def test_bytes_that_are_not_utf8_spare_their_neighbors(tmp_path: Path) -> None:
    """One bad row made the whole unit unreadable."""
    buffers = pa.array([b"good", b"\xff\xfe", b"fine"]).buffers()
    bad = pa.Array.from_buffers(pa.string(), 3, buffers)
    put_shard(open_storage(str(tmp_path)), "x.parquet", make_table(3).set_column(1, "text", bad))
    rows = Manifest.open(str(tmp_path)).read_rows(WorkUnit("x", 0, 2)).to_pylist()
    assert [row["text"] for row in rows] == ["good", "��", "fine"]


def test_shard_without_rows_is_planned_as_nothing(tmp_path: Path) -> None:
    put_shard(open_storage(str(tmp_path)), "x.parquet", make_table(0))
    put_shard(open_storage(str(tmp_path)), "y.parquet", make_table(2))
    manifest = Manifest.open(str(tmp_path))
    assert list(manifest.plan(128)) == [WorkUnit("y", 0, 1)]
    assert manifest.find_duplicates() == {}


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5), st.integers(1, 20))
def test_plan_covers_each_row_once(sizes: list[int], unit_size: int) -> None:
    shards = [
        Shard(f"s{index}", "", size, "", ObjectInfo(f"s{index}", 0, ""), pa.schema([]))
        for index, size in enumerate(sizes)
    ]
    units = list(Manifest(MemoryStorage(), shards).plan(unit_size))
    covered = [(unit.shard, row) for unit in units for row in range(unit.first_row, unit.last_row + 1)]
    assert covered == [(f"s{index}", row) for index, size in enumerate(sizes) for row in range(size)]
    assert all(unit.num_rows <= unit_size for unit in units)
    assert len({unit.unit_id for unit in units}) == len(units)


@pytest.mark.parametrize("row_group_size", [1, 7, 10, 64])
def test_rows_are_read_across_row_groups(storage: Storage, row_group_size: int) -> None:
    table = make_table(50)
    put_shard(storage, "x.parquet", table, row_group_size)
    manifest = pickle.loads(pickle.dumps(Manifest.open(storage.uri)))
    for unit in manifest.plan(13):
        assert manifest.read_rows(unit).equals(table.slice(unit.first_row, unit.num_rows))


def test_texts_are_not_read_by_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts are nearly all of a manifest's bytes."""
    storage = MemoryStorage()
    text = pa.array([f"{row:09d}" * 17 for row in range(100_000)])
    for name in ("a", "b"):
        table = make_table(100_000, 100_000 * (name == "b")).set_column(1, "text", text)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=20_000, compression="none", use_dictionary=False)
        storage.put(f"{name}.parquet", sink.getvalue().to_pybytes())
    size = sum(len(data) for data, _ in storage.objects.values())
    monkeypatch.setattr(shards_module, "open_storage", lambda uri, settings=None: storage)
    tracemalloc.start()
    manifest = Manifest.open("memory://store")
    assert sum(1 for _ in manifest.plan(128)) == 2 * 782
    assert manifest.find_duplicates() == {}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert storage.num_bytes_read < size / 4
    assert peak < 30e6


@pytest.mark.parametrize("per_pass", [10, 48_000_000])
def test_second_of_a_pair_is_the_duplicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_pass: int) -> None:
    monkeypatch.setattr(manifest_module, "_HASHES_PER_PASS", per_pass)
    storage = open_storage(str(tmp_path))
    ids = [None, "a", "b", "a", None, "c", "a"]
    first = make_table(7).set_column(0, "utterance_id", pa.array(ids))
    put_shard(storage, "1.parquet", first, 2)
    put_shard(
        storage, "2.parquet", make_table(30, 10).set_column(0, "utterance_id", pa.array(["c", *map(str, range(29))]))
    )
    put_shard(storage, "3.parquet", make_table(5, 100))
    assert Manifest.open(str(tmp_path)).find_duplicates() == {"1": [3, 6], "2": [0]}


def test_equal_hashes_of_other_ids_are_no_duplicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    monkeypatch.setattr(manifest_module, "_hash_ids", lambda ids: np.zeros(len(ids), np.uint64))
    put_shard(open_storage(str(tmp_path)), "1.parquet", make_table(100))
    put_shard(open_storage(str(tmp_path)), "2.parquet", make_table(100, 99))
    assert Manifest.open(str(tmp_path)).find_duplicates() == {"2": [0]}


GOOD = {"utterance_id": "a", "text": "Hello.", "speaker_id": "bea"}


def test_good_rows_become_utterances() -> None:
    row = {**GOOD, "seed": 2**63 - 1, "language": "en", "book": 7}
    assert Utterance.from_mapping(row) == Utterance("a", "Hello.", "bea", 2**63 - 1, "en", {"book": 7})
    assert read_utterance({**GOOD, "seed": None, "language": None}) == Utterance("a", "Hello.", "bea")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"utterance_id": None}, RejectionCode.INVALID_ID),
        ({"utterance_id": " \n"}, RejectionCode.INVALID_ID),
        ({"utterance_id": "x" * 5_000}, RejectionCode.INVALID_ID),
        ({"utterance_id": 7}, RejectionCode.INVALID_ID),
        ({"text": None}, RejectionCode.EMPTY_TEXT),
        ({"text": "\u3000 "}, RejectionCode.EMPTY_TEXT),
        ({"speaker_id": None}, RejectionCode.UNKNOWN_SPEAKER),
        ({"speaker_id": ""}, RejectionCode.UNKNOWN_SPEAKER),
        ({"seed": -1}, RejectionCode.INVALID_SEED),
        ({"seed": 2**63}, RejectionCode.INVALID_SEED),
        ({"seed": 1.5}, RejectionCode.INVALID_SEED),
        ({"seed": True}, RejectionCode.INVALID_SEED),
        ({"language": 3}, RejectionCode.UNSUPPORTED_LANGUAGE),
    ],
)
def test_bad_rows_are_distinguished(change: dict[str, Any], code: RejectionCode) -> None:
    with pytest.raises(UtteranceError) as caught:
        read_utterance({**GOOD, **change})
    assert caught.value.code == code


def test_plain_ids_stay_readable() -> None:
    for name in ("u0001", "chapter-3_line.7", "a"):
        assert safe_file_name(name) == name
    assert safe_file_name("a/b c") == "a%2Fb%20c"
    assert safe_file_name("LJ001").startswith("LJ001~")


@given(st.lists(st.text(max_size=300), min_size=2, max_size=20, unique=True))
def test_file_names_are_injective_and_safe(ids: list[str]) -> None:
    check_names(ids)


@given(st.lists(st.text("aAbB.~/\\%:\0_- cono1", max_size=6), min_size=2, max_size=50, unique=True))
def test_similar_ids_get_different_file_names(ids: list[str]) -> None:
    check_names(ids)


def test_nasty_ids_get_safe_file_names() -> None:
    check_names(["..", ".", "", "../../etc/passwd", "con", "NUL.txt", "aux.", "com1", ".hidden", "_x", "-x", "a\0b"])
    check_names(["x" * 201, "x" * 202, "第" * 70, "第" * 71, "ä", "Ä", "a" * 199 + "A", "a" * 200, "%41", "A"])


def check_names(ids: list[str]) -> None:
    names = [safe_file_name(name) for name in ids]
    assert len({name.casefold() for name in names}) == len(ids)
    for name in names:
        assert 0 < len(name) <= 220 and name.isascii()
        assert not set(name) & set('/\\\0:*?"<>| ') and name[0] not in "._-" and name[-1] != "."
        assert name.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1"}


def test_what_replicas_get_does_not_grow_with_the_manifest(tmp_path):
    """Of 20,000 shards every replica read 2.7 MB at its start."""
    for number in range(30):
        rows = {"utterance_id": [f"u{number}"], "text": ["Hi."], "speaker_id": ["a"], "chapter": [number]}
        pq.write_table(pa.table(rows), tmp_path / f"s{number:02d}.parquet")
    manifest = Manifest.open(str(tmp_path))
    one = Manifest.open(str(tmp_path / "s00.parquet"))
    assert len(pickle.dumps(manifest.rows)) == len(pickle.dumps(one.rows))
    reader = pickle.loads(pickle.dumps(manifest.rows))
    unit = next(unit for unit in manifest.plan(4) if unit.shard == "s07")
    assert reader.read_rows(manifest.locate(unit)).equals(manifest.read_rows(unit))
    assert reader.read_rows(pickle.loads(pickle.dumps(manifest.locate(unit)))).column("chapter").to_pylist() == [7]
