"""Bytes of commits that are flipped, and commits that other people's tools wrote anew: found and named by verify."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from pipeline import read_output
from pipeline.errors import DamagedCommit
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.records import AUDIO_COLUMN, pack_clip
from pipeline.output.verify import Audit
from pipeline.storage import Storage, open_storage
from tests.fakes import MemoryStorage
from tests.outputs import begin_run, make_commit, make_rows, make_shard

UNIT = WorkUnit("book/one", 0, 5)


def commit_clips(log: CommitLog) -> None:
    noise = np.random.default_rng(1)
    records = []
    for row in range(UNIT.num_rows):
        flac = io.BytesIO()
        soundfile.write(flac, noise.uniform(-0.5, 0.5, 400), 16_000, format="FLAC", subtype="PCM_16")
        packed, sha256 = pack_clip(f"u{row}", flac.getvalue(), "flac")
        record = {"utterance_id": f"u{row}", "shard": UNIT.shard, "row": row, "status": "ok", AUDIO_COLUMN: packed}
        records.append(record | {"audio_format": "flac", "audio_sha256": sha256, "sample_rate": 16_000})
    assert log.commit(UNIT, build_commit_table(records, make_rows(UNIT), is_packed=True))


def make_output(storage: Storage, *, is_packed: bool) -> str:
    """Make an output of one unit; returns the path of its commit."""
    begin_run(storage, [make_shard(UNIT.shard, UNIT.num_rows)], unit_size=UNIT.num_rows)
    log = CommitLog(storage)
    if is_packed:
        commit_clips(log)
    else:
        assert log.commit(UNIT, make_commit(log, UNIT))
    return log.metadata_path(UNIT)


def read_all(storage: Storage) -> Any:
    def read(file: Any) -> Any:
        return [file.read(), *map(file.read_clips, range(len(file.group_sizes) if file.is_packed else 0))]

    return CommitLog(storage).read(UNIT.unit_id, read)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("is_large", [False, True])
def test_a_flipped_byte_of_a_commit_is_named(is_packed: bool, is_large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At places all over the file; a large commit is not read whole, and verify reads all of it but its clips."""
    if is_large:
        monkeypatch.setattr("pipeline.output.commit_log._READ_WHOLE", 0)
    storage = MemoryStorage()
    path = make_output(storage, is_packed=is_packed)
    assert list(Audit(storage).findings()) == []
    data, wanted = storage.get(path), read_all(storage)
    num_named = 0
    places = range(0, len(data), 13)
    for place in places:
        storage.put(path, data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
        # The clips of a commit that cannot be read are nobody's.
        found = [finding for finding in Audit(storage).findings() if finding.kind != "orphaned"]
        assert {finding.path for finding in found} <= {path}
        num_named += bool(found)
        if not found:  # In the headers of clips' pages, where nobody reads.
            assert is_packed and read_all(storage) == wanted, place
    assert num_named >= (0.97 if is_packed else 1) * len(places)


def test_no_reader_takes_a_small_commit_with_a_flipped_byte() -> None:
    storage = MemoryStorage()
    path = make_output(storage, is_packed=False)
    data = storage.get(path)
    log = CommitLog(storage)
    for place in range(7, len(data), 97):
        storage.put(path, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(DamagedCommit):
            log.read_commit(UNIT, ["row"])
        with pytest.raises(DamagedCommit):
            log.amend(UNIT, [])


def test_a_large_commit_has_checksums_in_its_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is read: a damaged text is no other text, though the hash of the whole is not computed."""
    monkeypatch.setattr("pipeline.output.commit_log._READ_WHOLE", 0)
    storage = MemoryStorage()
    path = make_output(storage, is_packed=False)
    data = storage.get(path)
    text = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0).column(2)
    assert text.path_in_schema == "text"
    place = text.data_page_offset + text.total_compressed_size - (text.data_page_offset - text.dictionary_page_offset)
    storage.put(path, data[: place - 1] + bytes([data[place - 1] ^ 1]) + data[place:])
    log = CommitLog(storage)
    with pytest.raises(DamagedCommit, match="CRC"):
        log.read_commit(UNIT, ["text"])
    assert log.read_commit(UNIT, ["row"]).num_rows == UNIT.num_rows


def test_a_damaged_clip_does_not_take_its_neighbors_along(tmp_path: Any) -> None:
    storage = open_storage(str(tmp_path))
    path = make_output(storage, is_packed=True)
    clips = read_all(storage)[1]
    data = storage.get(path)
    place = data.index(clips[2]["bytes"]) + 300
    storage.put(path, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    (finding,) = Audit(storage).findings()
    assert (finding.kind, finding.row) == ("changed", 2)
    found = read_all(storage)[1]
    assert [row for row, clip in enumerate(found) if clip != clips[row]] == [2]
    assert len(list(read_output(str(tmp_path), ["text"]))) == UNIT.num_rows
    with pytest.raises(DamagedCommit, match=r"book/one/000000000-000000005: the clip of its row 2 is not"):
        list(read_output(str(tmp_path), ["text", AUDIO_COLUMN]))


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_edit_with_other_tools_is_named(is_packed: bool) -> None:
    """They keep what stands in the schema, or lose the version with it; an honest rewrite by us is sealed anew."""
    storage = MemoryStorage()
    path = make_output(storage, is_packed=is_packed)
    table = pq.read_table(pa.BufferReader(storage.get(path)))
    at = table.column_names.index("quality_note")
    edited = table.set_column(at, table.field(at), pa.array(["good"] * table.num_rows))
    for changed in (edited, edited.replace_schema_metadata(None)):
        sink = pa.BufferOutputStream()
        pq.write_table(changed, sink)
        storage.put(path, sink.getvalue().to_pybytes())
        finding, *orphans = Audit(storage).findings()
        assert (finding.kind, finding.path) == ("damaged_commit", path)
        assert {finding.kind for finding in orphans} == (set() if is_packed else {"orphaned"})
    storage.delete(path)
    make_output(storage, is_packed=is_packed)
    assert CommitLog(storage).rewrite(UNIT.unit_id, lambda old: old.set_column(at, old.field(at), edited.column(at)))
    assert list(Audit(storage).findings()) == []
