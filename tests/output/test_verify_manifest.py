"""verify.py against the manifest: text and audio must belong together."""

import shutil
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import jobs.verify
from pipeline.manifest.rows import Manifest
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.verify import verify_output
from pipeline.storage import open_storage
from tests.outputs import begin_run


def write_manifest(folder, **changes):
    columns = {
        "utterance_id": ["u0", "u1", "u2"],
        "text": ["One.", "Two.", None],
        "speaker_id": ["ada", "ada", "ross"],
        "seed": [5, None, None],
    }
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns | changes), folder / "s.parquet")
    return Manifest.open(str(folder))


@pytest.fixture
def made(tmp_path):
    """An output of one unit whose rows were all rejected, and its manifest's folder."""
    manifest = write_manifest(tmp_path / "manifest")
    storage = open_storage(str(tmp_path / "output"))
    begin_run(storage, manifest.shards, manifest=str(tmp_path / "manifest"))
    log = CommitLog(storage)
    (unit,) = manifest.plan(3)
    rows = manifest.read_rows(unit)
    records = [
        {**{name: row[name] for name in ("utterance_id", "text", "speaker_id")}, "seed": row["seed"] or 77}
        | {
            "shard": "s",
            "row": number,
            "status": "rejected",
            "error_code": "no_speech",
            "created_at": datetime.now(UTC),
        }
        for number, row in enumerate(rows.to_pylist())
    ]
    log.commit(unit, build_commit_table(records, rows))
    return storage, tmp_path / "manifest"


def amend(storage, **changes):
    log = CommitLog(storage)
    (unit_id,) = log.list_units()
    unit = next(iter(Manifest.open(storage.uri.replace("output", "manifest")).plan(3)))
    assert unit.unit_id == unit_id
    row = next(row for row in log.read_commit(unit).to_pylist() if row["row"] == 0)
    assert log.amend(unit, [{name: row[name] for name in log.read_commit(unit).column_names} | changes])


def test_commits_that_say_what_the_manifest_says_are_intact(made, capsys):
    storage, folder = made
    assert verify_output(storage, manifest=Manifest.open(str(folder))).is_intact
    assert jobs.verify.main([storage.uri]) == 0
    assert "not compared" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("column", "value"), [("text", "Other."), ("speaker_id", "ross"), ("seed", 6), ("utterance_id", "x")]
)
def test_a_commit_of_another_row_is_named(made, capsys, column, value):
    storage, folder = made
    amend(storage, **{column: value})
    report = verify_output(storage, manifest=Manifest.open(str(folder)))
    assert report.other_rows == ["metadata/s/000000000-000000002.parquet"] and not report.is_intact
    assert jobs.verify.main([storage.uri]) == 1
    assert f"row 0: {column} {value!r}, but" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["edited", "gone"])
def test_a_replaced_shard_is_named(made, capsys, damage):
    """A shard replaced during a run: new text with the old text's audio, and verify found all as committed."""
    storage, folder = made
    if damage == "edited":
        write_manifest(folder, text=["One.", "Edited.", None])
    else:
        pq.write_table(pq.read_table(folder / "s.parquet"), folder / "t.parquet")
        (folder / "s.parquet").unlink()
    report = verify_output(storage, manifest=Manifest.open(str(folder)))
    assert report.changed_shards == ["s"] and not report.is_intact
    assert jobs.verify.main([storage.uri]) == 1
    assert "changed_shard\ts\t" in capsys.readouterr().out


def test_a_manifest_that_is_away_is_said_to_be(made, capsys, tmp_path):
    storage, folder = made
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    assert jobs.verify.main([storage.uri]) == 0
    assert "texts are not compared with the manifest" in capsys.readouterr().out
    assert jobs.verify.main([storage.uri, "--manifest", str(moved)]) == 0
    assert jobs.verify.main([storage.uri, "--manifest", str(folder)]) == 2
