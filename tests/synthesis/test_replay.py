"""replay.py and environment.py, as far as they need no network; whole rows are replayed in test_run.py."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ManifestError
from pipeline.manifest.rows import Manifest
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.synthesis.replay import Replay, find_rows
from tests.fakes import MemoryStorage

HASH = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # sha256 of b"abc"


@pytest.mark.parametrize(
    ("wav", "error_code", "committed", "expected"),
    [
        (b"abc", None, None, None),
        (b"abc", None, {"audio_sha256": HASH, "error_code": None}, True),
        (b"abd", None, {"audio_sha256": HASH, "error_code": None}, False),
        (b"abc", None, {"audio_sha256": None, "error_code": "too_fast"}, False),
        (None, "too_fast", {"audio_sha256": HASH, "error_code": None}, False),
        (None, "too_fast", {"audio_sha256": None, "error_code": "too_fast"}, True),
        (None, "too_fast", {"audio_sha256": None, "error_code": "too_slow"}, False),
    ],
)
def test_a_replayed_take_is_the_same_only_if_its_bytes_or_its_rejection_are(wav, error_code, committed, expected):
    assert Replay("a", wav, error_code, None, committed).is_same is expected


def test_rows_are_found_with_what_is_committed_of_them(tmp_path):
    for name, ids in (("a", ["x", "y", None, "z", "w"]), ("b", ["y", "v"])):
        rows = {"utterance_id": ids, "text": [f"{name}{n}" for n in range(len(ids))], "speaker_id": ["s"] * len(ids)}
        pq.write_table(pa.table(rows), tmp_path / f"{name}.parquet")
    manifest, log = Manifest.open(str(tmp_path)), CommitLog(MemoryStorage())
    unit = WorkUnit("a", 3, 4)
    records = [
        {"utterance_id": name, "shard": "a", "row": row, "status": "ok", "audio_sha256": f"hash of {name}"}
        for name, row in (("z", 3), ("w", 4))
    ]
    assert log.commit(unit, build_commit_table(records, manifest.read_rows(unit)))
    found = find_rows(manifest, log, ["w", "y", "v", "w"], 3)
    assert [(row.utterance_id, row.fields["text"]) for row in found] == [("w", "a4"), ("y", "a1"), ("v", "b1")]
    assert [row.committed and row.committed["audio_sha256"] for row in found] == ["hash of w", None, None]
    with pytest.raises(ManifestError, match="'nobody'"):
        find_rows(manifest, log, ["w", "nobody"], 3)
