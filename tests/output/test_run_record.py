"""run_record.py: what a run is, and what a resume may change."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_log import CommitLog
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardTable
from pipeline.output.verify import verify_output
from pipeline.storage import Storage
from tests.fakes import MemoryStorage
from tests.outputs import make_commit, make_shard

UNIT = WorkUnit("book/one", 0, 2)


def test_same_settings_resume_and_starts_are_bounded(storage: Storage) -> None:
    record = RunRecord(storage)
    for number in range(25):
        record.begin({"unit_size": 3, "text.language": "en", "top_p": 0.95}, {"number": number})
    assert [start["number"] for start in record.read().starts] == list(range(5, 25))


def test_resume_with_other_settings_lists_every_difference(storage: Storage) -> None:
    record = RunRecord(storage)
    record.begin({"seed": 1, "unit_size": 128, "gone": None}, {})
    with pytest.raises(ConfigError) as caught:
        record.begin({"seed": 2, "unit_size": 128, "new": "x"}, {})
    message = str(caught.value)
    for part in ("seed: 1 → 2", "gone: null → (absent)", 'new: (absent) → "x"', "choose another output"):
        assert part in message
    assert "unit_size" not in message and len(record.read().starts) == 1


def run_json(**changes: Any) -> bytes:
    return json.dumps({"format_version": 2, "pinned": {"unit_size": 3}, "starts": []} | changes).encode()


OLD = {"format_version": 1, "num_rows": 3}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (run_json(format_version=99), "format 99, but this version .* upgrade spark-tts-batch"),
        (b'{"other": 1}', "not a run"),
        (b"[1]", "not a run"),
        (b"{", "not a run"),
        (b"[" * 100_000, "not a run"),
        (run_json(pinned={}), "pinned.unit_size: Field required"),
        (run_json(pinned={"unit_size": 0}), "pinned.unit_size: Input should be greater"),
        (run_json(pinned={"unit_size": "3"}), "pinned.unit_size: Input should be a valid integer"),
        (run_json(starts={}), "starts: Input should be a valid list"),
        (run_json(**OLD, shards={"../s": {"num_rows": 3, "fingerprint": "f"}}), "not a relative path"),
        (run_json(**OLD, shards={"s": {"num_rows": -1, "fingerprint": "f"}}), "shards.s.num_rows"),
        (run_json(**OLD), "shards: Field required"),
    ],
)
def test_foreign_run_files_are_refused(data: bytes, said: str) -> None:
    storage = MemoryStorage()
    storage.put("run.json", data)
    with pytest.raises(ConfigError, match=said):
        RunRecord(storage).begin({"unit_size": 3}, {})


def shards_table(names: list[Any], counts: list[Any], metadata: dict[str, str] | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    schema = pa.schema(
        [
            pa.field("shard", pa.string(), nullable=False),
            pa.field("num_rows", pa.int64(), nullable=False),
            pa.field("fingerprint", pa.string(), nullable=False),
        ],
        metadata,
    )
    pq.write_table(pa.table([names, counts, ["f"] * len(names)], schema=schema), sink)
    return bytes(sink.getvalue().to_pybytes())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "shards.parquet: not a run"),
        (shards_table(["../s"], [3]), "not a relative path"),
        (shards_table(["s", "s"], [3, 3]), "in it twice"),
        (shards_table(["s"], [-3]), "less than no rows"),
        (shards_table(["s"], [3], {"spark_tts_batch.format": "99"}), "format 99, but this version"),
        (None, "shards.parquet: missing, though metadata/"),
    ],
)
def test_a_damaged_table_of_shards_is_refused(data: bytes | None, said: str) -> None:
    storage = MemoryStorage()
    record, log = RunRecord(storage), CommitLog(storage)
    record.begin({"unit_size": 3}, {})
    log.commit(UNIT, make_commit(log, UNIT))
    if data is not None:
        storage.put("shards.parquet", data)
    with pytest.raises(ConfigError, match=said):
        record.begin({"unit_size": 3}, {})
    with pytest.raises(ConfigError, match=said):
        verify_output(storage)


def test_environments_do_not_grow_run_json() -> None:
    """A replica's start writes and reads its own small object, whatever the manifest's size."""
    storage = MemoryStorage()
    record = RunRecord(storage)
    record.begin({"unit_size": 3}, {})
    record.write_table(ShardTable().adopt([make_shard(f"s{number}") for number in range(500)], {}, {}))
    assert len(storage.get("run.json")) < 1_000
    storage.calls.clear()
    assert record.add_environment("llm", {"dtype": "float32"}) == []
    assert {path for _, path in storage.calls} <= {"environments.json", "run.json"}


def test_commits_of_an_unknown_run_are_refused() -> None:
    storage = MemoryStorage()
    record, log = RunRecord(storage), CommitLog(storage)
    log.commit(UNIT, make_commit(log, UNIT))
    with pytest.raises(ConfigError, match=r"no run\.json"):
        record.begin({"unit_size": 3}, {})
