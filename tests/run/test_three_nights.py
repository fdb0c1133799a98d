"""Three nights of a data set, with columns that differ, are one table for whoever reads it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline.config.manifest import ColumnsConfig
from pipeline.errors import ManifestError
from pipeline.output.records import COMMIT_SCHEMA
from tests.inline_ray import inline_ray
from tests.run.test_changing_manifest import World

PASSED = {"domain": "string", "source": "string", "rating": "int32"}


def add_night(folder, name, first, **columns):
    rows = {
        "utterance_id": [f"{name}-{n}" for n in range(4)],
        "text": [f"Line {first + n}." for n in range(4)],
        "speaker_id": ["ada", "iris", "ross", "ada"],
    }
    pq.write_table(pa.table({**rows, **columns}), folder / f"{name}.parquet")


@pytest.fixture(scope="module", params=["files", "packed"])
def nights(request, tmp_path_factory, random_weights):
    """An output that grew by a night twice."""
    folder = tmp_path_factory.mktemp("nights")
    with inline_ray():
        world = World(folder, random_weights, seed=["files", "packed"].index(request.param))
        manifest = Path(world.config.manifest)
        for path in manifest.rglob("*.parquet"):
            path.unlink()
        domain, source = ["a", "b", "a", "b"], ["hand"] * 4
        add_night(manifest, "n1", 0, domain=domain, source=source, rating=pa.array([1, 2, 3, None], pa.int32()))
        world.run()
        add_night(manifest, "n2", 10, rating=[5, 6, 7, 8], domain=pa.array(domain).dictionary_encode())
        world.run()
        # Sorts first, and has columns in another order and one that is new.
        add_night(manifest, "n0", 20, license=["CC0"] * 4, source=pa.nulls(4), domain=domain)
        with pytest.raises(ManifestError, match=r"n0.*license. is new.*columns to \[domain, source, rating\]"):
            world.run()
        world.config = world.config.model_copy(update={"columns": ColumnsConfig(keep=tuple(PASSED))})
        assert world.run().num_synthesized == 4
    return Path(world.config.output)


def test_every_commit_has_the_columns_of_the_first_night(nights):
    schemas = [pq.read_schema(path).remove_metadata() for path in nights.glob("metadata/*/*.parquet")]
    assert len(schemas) == 6 and all(schema == schemas[0] for schema in schemas)
    passed = schemas[0].names[len(COMMIT_SCHEMA.names) :]
    assert [(name, str(schemas[0].field(name).type)) for name in passed if name != "audio"] == [*PASSED.items()]


def test_pyarrow_reads_one_table(nights):
    table = ds.dataset(nights / "metadata").to_table()
    assert table.num_rows == 12 == len({*table["utterance_id"].to_pylist()})
    assert sorted(table["rating"].drop_null().to_pylist()) == [1, 2, 3, 5, 6, 7, 8]
    assert pq.read_table(nights / "metadata").num_rows == 12


def test_pandas_reads_one_table(nights):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(nights / "metadata")
    assert len(frame) == 12 and frame["source"].notna().sum() == 4


def test_polars_reads_one_table(nights):
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(nights / "metadata/**/*.parquet")
    assert frame.height == 12 and frame["rating"].dtype == polars.Int32


def test_duckdb_reads_one_table(nights):
    duckdb = pytest.importorskip("duckdb")
    query = f"select count(*), count(source), sum(rating) from '{nights}/metadata/**/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(12, 4, 32)]


def test_datasets_reads_one_table(nights, tmp_path):
    datasets = pytest.importorskip("datasets")
    files = str(nights / "metadata" / "**" / "*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert loaded.num_rows == 12 and {*PASSED} <= {*loaded.column_names}
    assert sorted({*loaded["domain"]}) == ["a", "b"]
