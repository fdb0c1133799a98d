"""Commits that hold their clips: what of them is read, and what is replaced."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.run import StorageConfig
from pipeline.errors import DamagedCommit
from pipeline.manifest.units import WorkUnit
from pipeline.output import records
from pipeline.output.commit_file import CommitFile, build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.records import AUDIO_COLUMN, COMMIT_SCHEMA, clip_name
from pipeline.storage import Storage, open_storage
from tests.fakes import MemoryStorage
from tests.faulty_store import FaultyProxy
from tests.outputs import make_rows

UNIT = WorkUnit("book/one", 0, 39)
CLIP_BYTES = 400_000


def make_record(row: int, clip: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(clip).hexdigest()
    packed = {"bytes": clip, "path": clip_name(f"u{row}", sha256, "flac")}
    record = {"utterance_id": f"u{row}", "text": "Hi.", "shard": UNIT.shard, "row": row, "status": "ok"}
    return record | {"audio_format": "flac", "audio_sha256": sha256, AUDIO_COLUMN: packed}


def commit_packed(log: CommitLog, clip_bytes: int = CLIP_BYTES) -> list[dict[str, Any]]:
    made = [make_record(row, os.urandom(clip_bytes)) for row in range(UNIT.num_rows - 1)]
    made.append(
        {"utterance_id": "u39", "status": "rejected", "error_code": "no_speech", "shard": UNIT.shard, "row": 39}
    )
    rows = make_rows(UNIT, audio=["theirs"] * 40, nested=[{"a": [1, None]}] * 40)
    assert log.commit(UNIT, build_commit_table(made, rows, is_packed=True))
    return made


def test_metadata_is_read_without_clips_and_one_clip_without_the_others(seaweedfs: Any) -> None:
    uri = seaweedfs.new_uri()
    made = commit_packed(CommitLog(open_storage(uri)))
    with FaultyProxy(seaweedfs.endpoint_url, rate=0) as proxy:
        log = CommitLog(open_storage(uri, StorageConfig(endpoint_url=proxy.url)))
        ((unit_id, table),) = log.iter_commits()
        assert unit_id == UNIT.unit_id and table.num_rows == 40
        assert table.column_names == [*COMMIT_SCHEMA.names, "manifest_audio", "nested"]
        assert table.select(["nested", "audio_sha256"]).to_pylist() == [
            {"nested": {"a": [1, None]}, "audio_sha256": record.get("audio_sha256")} for record in made
        ]
        # 15.6 MB of clips; Arrow reads 64 KiB where the footer is.
        assert 0 < proxy.num_bytes_read < 120_000
        proxy.num_bytes_read = 0
        assert log.read_commit(UNIT, ["status"]).num_rows == 40 and proxy.num_bytes_read < 90_000
        proxy.num_bytes_read = 0
        found = log.read(UNIT.unit_id, lambda file: (file.group_sizes, file.read_clips(2)))
        assert found[0] == [10, 10, 10, 10]
        assert found[1] == [record[AUDIO_COLUMN] for record in made[20:30]]
        assert proxy.num_bytes_read < 10 * CLIP_BYTES + 90_000


def test_one_row_is_replaced_by_one_compare_and_swap() -> None:
    storage = MemoryStorage()
    log = CommitLog(storage)
    made = commit_packed(log, 1_000)
    other = make_record(7, b"another take")
    storage.calls.clear()
    assert log.amend(UNIT, [other])
    assert [call for call in storage.calls if call[0] == "put"] == [("put", log.metadata_path(UNIT))]
    clips = log.read_commit(UNIT, [AUDIO_COLUMN]).column(0).to_pylist()
    wanted = [record.get(AUDIO_COLUMN) for record in made]
    assert clips == [*wanted[:7], other[AUDIO_COLUMN], *wanted[8:]]
    assert not log.amend(UNIT, [other])
    assert log.amend(UNIT, [{**other, AUDIO_COLUMN: made[7][AUDIO_COLUMN]}])


def test_a_commit_that_is_replaced_while_it_is_read_is_read_again(storage: Storage) -> None:
    log = CommitLog(storage)
    commit_packed(log, 20_000)
    (listed,) = storage.list("metadata/")
    assert log.amend(UNIT, [make_record(7, b"another take")])
    table = log.read(UNIT.unit_id, lambda file: file.read(["audio_sha256"]), listed)
    assert table.column(0)[7].as_py() == hashlib.sha256(b"another take").hexdigest()

    def replace_and_read(file: CommitFile) -> pa.Table:
        if storage.find(log.metadata_path(UNIT)) == found[0]:
            assert log.amend(UNIT, [make_record(8, b"yet another")])
        return file.read(["audio_sha256"])

    found = list(storage.list("metadata/"))
    table = log.read(UNIT.unit_id, replace_and_read)
    assert table.column(0)[8].as_py() == hashlib.sha256(b"yet another").hexdigest()
    storage.delete(log.metadata_path(UNIT))
    with pytest.raises(FileNotFoundError):
        log.read(UNIT.unit_id, lambda file: file.read(), found[0])


def test_strangers_read_packed_commits(storage: Storage) -> None:
    log = CommitLog(storage)
    made = commit_packed(log, 1_000)
    file = pq.ParquetFile(pa.BufferReader(storage.get(log.metadata_path(UNIT))))
    assert file.schema_arrow.names[-1] == AUDIO_COLUMN
    assert file.schema_arrow.metadata[b"huggingface"] == b'{"info": {"features": {"audio": {"_type": "Audio"}}}}'
    clips = file.read([AUDIO_COLUMN]).column(0).to_pylist()
    assert clips == [record.get(AUDIO_COLUMN) for record in made]
    (column,) = [
        column
        for column in map(file.metadata.row_group(0).column, range(file.metadata.num_columns))
        if column.path_in_schema == "audio.bytes"
    ]
    # Neither text nor clips are repeated in the footer.
    assert not column.is_stats_set and column.compression == "UNCOMPRESSED"


def test_a_commit_whose_clips_are_no_clips_is_damaged() -> None:
    storage = MemoryStorage()
    log = CommitLog(storage)
    table = build_commit_table([make_record(0, b"a")], make_rows(WorkUnit("s", 0, 0)))
    table = table.append_column(AUDIO_COLUMN, pa.array([b"a"]))
    sink = pa.BufferOutputStream()
    metadata = {records.FORMAT_KEY: str(records.FORMAT_VERSION)}
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    storage.put("metadata/s/000000000-000000000.parquet", sink.getvalue().to_pybytes())
    with pytest.raises(DamagedCommit, match="its column audio is binary"):
        log.read_commit(WorkUnit("s", 0, 0), ["row"])
