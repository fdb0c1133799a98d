"""Takes that a redo replaced: kept with their clips for who compares, never those of rows that were withdrawn."""

import pytest

from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.records import AUDIO_COLUMN, pack_clip
from pipeline.output.removal import remove_rows
from pipeline.output.replaced_takes import ReplacedTakes
from pipeline.output.verify import sweep_orphans, verify_output
from tests.fakes import MemoryStorage
from tests.outputs import begin_run, make_rows, make_shard

UNIT = WorkUnit("s", 0, 2)
PATH = "replaced/s/000000000-000000002.parquet"


def make_record(log, row, clip, layout):
    record = {"utterance_id": f"u{row}", "speaker_id": "bea", "text": "Hi.", "shard": "s", "row": row, "status": "ok"}
    if layout == "packed":
        record[AUDIO_COLUMN], sha256 = pack_clip(f"u{row}", clip, "wav")
    else:
        record["audio_path"], sha256 = log.put_audio("s", f"u{row}", clip, "wav")
    return record | {"audio_format": "wav", "audio_sha256": sha256, "duration_s": len(clip) / 10}


@pytest.fixture(params=["files", "packed"])
def output(request):
    """Three rows, and what redoes one of them."""
    storage, layout = MemoryStorage(), request.param
    log = CommitLog(storage)
    begin_run(storage, [make_shard("s", 3)])
    records = [make_record(log, row, b"first %d" % row, layout) for row in range(3)]
    log.commit(UNIT, build_commit_table(records, make_rows(UNIT), is_packed=layout == "packed"))

    def redo(row, clip):
        record = make_record(log, row, clip, layout)
        ReplacedTakes(storage).keep(UNIT, [record])
        log.amend(UNIT, [record])

    return storage, redo


def clips_of(storage):
    return {row: record[AUDIO_COLUMN]["bytes"] for row, record in ReplacedTakes(storage).read(UNIT.unit_id).items()}


def test_the_last_take_of_each_row_is_kept_with_its_measures(output):
    storage, redo = output
    redo(0, b"first 0")
    assert not storage.exists(PATH), "a take that came out as it was replaces nothing"
    redo(0, b"second")
    redo(2, b"other")
    redo(0, b"third")
    assert clips_of(storage) == {0: b"second", 2: b"first 2"}
    record = ReplacedTakes(storage).read(UNIT.unit_id)[0]
    assert (record["utterance_id"], record["duration_s"]) == ("u0", 0.6)
    assert list(ReplacedTakes(storage).list_units()) == [UNIT.unit_id]


def test_a_withdrawn_row_leaves_no_take_behind(output):
    storage, redo = output
    redo(0, b"second")
    removed = {"utterance_id": "u1", "speaker_id": "bea", "shard": "s", "row": 1, "status": "removed"}
    ReplacedTakes(storage).keep(UNIT, [removed])
    assert clips_of(storage) == {0: b"first 0"}
    remove_rows(storage, ["u1"], (), "withdrew")
    assert storage.exists(PATH), "it has nothing of the row that was withdrawn"
    former = storage.get(PATH)
    remove_rows(storage, ["u0"], (), "withdrew")
    storage.put(PATH, former)  # By a driver that was frozen meanwhile.
    assert verify_output(storage, check_hashes=False).not_removed == [PATH]
    remove_rows(storage, ["u0"], (), "withdrew")
    assert not storage.exists(PATH)
    assert not any(b"first 0" in data or b"second" in data for data, _ in storage.objects.values())


def test_damage_is_never_kept_and_a_sweep_takes_all(output):
    storage, redo = output
    for path in [path for path in storage.objects if path.startswith("audio/s/u0.")]:
        storage.put(path, b"damaged")
        redo(0, b"second")
        assert not storage.exists(PATH)
    redo(1, b"second")
    storage.put(PATH, b"damaged")
    assert clips_of(storage) == {}
    redo(2, b"second")
    assert clips_of(storage) == {2: b"first 2"}
    assert sweep_orphans(storage) >= 1 and not storage.exists(PATH)
