"""columns.py: which columns are passed through, and what fits into them later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ManifestError
from pipeline.manifest.columns import check_columns, choose_columns
from pipeline.manifest.rows import Manifest

ROWS = {"utterance_id": ["a", "b"], "text": ["t", "t"], "speaker_id": ["s", "s"], "seed": [1, 2]}
PINNED = pa.schema([("domain", pa.string()), ("n", pa.int32()), ("x", pa.float32())])


def open_manifest(folder: Path, *shards: dict[str, Any]) -> Manifest:
    folder.mkdir(exist_ok=True)
    for number, columns in enumerate(shards):
        pq.write_table(pa.table({**ROWS, **columns}), folder / f"{number}.parquet")
    return Manifest.open(str(folder))


def check(folder: Path, wanted: list[str] | None = None, **columns: Any) -> pa.Table:
    manifest = open_manifest(folder, columns)
    check_columns(manifest.shards, PINNED, wanted, manifest.read_column)
    placed = manifest.of_output({"0": 0}, PINNED)
    table = placed.read_rows(next(placed.plan(10)))
    assert table.schema.names[-3:] == PINNED.names
    assert [table.schema.field(name).type for name in PINNED.names] == PINNED.types
    return table.select(PINNED.names)


def test_a_first_start_takes_all_columns_with_a_type_for_all_values(tmp_path: Path) -> None:
    manifest = open_manifest(
        tmp_path,
        {"domain": pa.nulls(2), "empty": pa.nulls(2), "n": pa.array([1, 2], pa.int8())},
        {"domain": pa.array(["x", "y"]).dictionary_encode(), "n": pa.array([1, 2], pa.int64())},
    )
    chosen = choose_columns(manifest.shards, None)
    assert chosen == pa.schema([("domain", pa.string()), ("empty", pa.string()), ("n", pa.int64())])


def test_a_config_chooses_columns_and_their_order(tmp_path: Path) -> None:
    clash = {"n": ["text"], "m": [1]}
    manifest = open_manifest(
        tmp_path, {"n": [1, 2], "m": [1, 2], "o": [1, 2]}, {name: 2 * v for name, v in clash.items()}
    )
    with pytest.raises(ManifestError, match="another type"):
        choose_columns(manifest.shards, None)
    assert choose_columns(manifest.shards, ["o", "m"]).names == ["o", "m"]
    assert choose_columns(manifest.shards, []).names == []
    with pytest.raises(ManifestError, match="no shard has a column 'p'"):
        choose_columns(manifest.shards, ["o", "p"])


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({}, (None, None, None)),
        ({"x": pa.nulls(2), "domain": pa.array(["a", "b"]).dictionary_encode()}, ("a", None, None)),
        ({"n": pa.array([7, None], pa.int64()), "x": [0.5, float("nan")]}, (None, 7, 0.5)),
        ({"n": [7.0, 8.0], "domain": [12, 13]}, ("12", 7, None)),
        ({"n": ["7", "8"]}, (None, 7, None)),
    ],
)
def test_what_loses_nothing_is_cast_and_what_is_absent_is_null(
    tmp_path: Path, columns: dict[str, Any], found: tuple[Any, ...]
) -> None:
    assert tuple(check(tmp_path, **columns).to_pylist()[0].values()) == found


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"n": pa.array([1, 2**40], pa.int64())},
            "column 'n' is int64 with values that the output's int32 cannot hold",
        ),
        ({"n": [1.5, 2.0]}, "column 'n' is double"),
        ({"n": ["007", "8"]}, "column 'n' is string"),
        ({"x": [0.1, 0.2]}, "column 'x' is double"),
        ({"domain": [["a"], ["b"]]}, "column 'domain' is list"),
        ({"license": ["CC0", "CC0"]}, r"column 'license' is new: .* set columns to \[domain, n, x\] to leave it out"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(ManifestError, match=rf"0\.parquet: {said}"):
        check(tmp_path, **columns)


def test_a_new_column_may_be_left_out_and_an_old_one_may_not(tmp_path: Path) -> None:
    assert check(tmp_path, wanted=["domain", "n", "x"], license=["CC0", "CC0"]).num_columns == 3
    with pytest.raises(ManifestError, match="columns: leaves out 'n', which the output has"):
        check(tmp_path, wanted=["domain", "x"])
