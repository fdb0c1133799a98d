import pytest

from pipeline.config.dataset import GateConfig
from pipeline.dataset.gate import judge_night, measure_night
from pipeline.errors import RunStopped
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.storage import open_storage
from tests.outputs import begin_run, make_rows, make_shard

NIGHT = "2026-11-21"


def make_output(storage, num_rows=6):
    """Two units: five rows of ada accepted, one of ross rejected, unless removed."""
    shards = [make_shard(NIGHT, num_rows), make_shard("2026-11-20", 3)]
    begin_run(storage, shards)
    log = CommitLog(storage)
    for shard in shards:
        for first in range(0, shard.num_rows, 3):
            unit = WorkUnit(shard.name, first, first + 2)
            rows = range(first, first + 3)
            records = [
                {
                    **{"utterance_id": f"{shard.name}-{row}", "shard": shard.name, "row": row, "text": "Hi."},
                    **{"speaker_id": "ada", "status": "ok", "duration_s": 1.0 + row, "wer": row / 10, "language": "en"},
                }
                for row in rows
            ]
            if first == 3:
                records[0] |= {"speaker_id": "ross", "status": "rejected", "error_code": "too_slow", "duration_s": None}
                records[1] |= {"status": "removed", "duration_s": None}
            log.commit(unit, build_commit_table(records, make_rows(unit, split=["train", "train", "test"])))
    return log


def test_a_night_is_measured_alone(storage):
    make_output(storage)
    found = measure_night(storage, NIGHT).to_json()
    assert (found["num_rows"], found["num_accepted"], found["num_removed"]) == (6, 4, 1)
    assert found["rejected"] == {"too_slow": 1} and found["share_accepted"] == 0.8
    assert found["hours"] == pytest.approx(12 / 3_600)
    assert found["speakers"]["ross"] == {"rows": 1, "accepted": 0, "hours": 0.0}
    assert found["splits"]["test"]["rows"] == 2 and found["languages"]["en"]["accepted"] == 4
    wer = found["distributions"]["wer"]
    assert (wer["num"], wer["mean"], wer["p05"], wer["p50"], wer["p95"]) == (4, 0.2, 0.015, 0.15, 0.455)
    assert "cer" not in found["distributions"]


def test_a_night_that_is_not_whole_is_not_judged(tmp_path):
    storage = open_storage(str(tmp_path))
    make_output(storage)
    storage.delete(CommitLog.metadata_path(WorkUnit(NIGHT, 3, 5)))
    with pytest.raises(RunStopped, match="3 rows of night 2026-11-21 are committed, expected 6"):
        measure_night(storage, NIGHT)


MEASURES = {
    "num_rows": 10,
    "num_accepted": 8,
    "share_accepted": 0.8,
    "hours": 2.0,
    "rejected": {"too_slow": 1, "cut_short": 1},
    "speakers": {"ada": {"rows": 5, "accepted": 5}, "ross": {"rows": 5, "accepted": 3}},
    "distributions": {"wer": {"num": 8, "p95": 0.3}, "speaker_similarity": {"num": 8, "p05": 0.6}},
}


@pytest.mark.parametrize(
    ("limits", "problems"),
    [
        ({}, []),
        ({"min_accepted": 0.8, "min_hours": 2.0, "max_wer_p95": 0.3, "min_similarity_p05": 0.6}, []),
        ({"min_accepted": 0.81}, ["accepted: 80.0% of the rows, at least 81% wanted (too_slow 1, cut_short 1)"]),
        ({"min_hours": 2.5}, ["hours: 2.000 of accepted audio, at least 2.5 wanted"]),
        ({"max_wer_p95": 0.2}, ["word error rate: 0.300 at p95 of 8 rows, at most 0.2 wanted"]),
        ({"min_similarity_p05": 0.7}, ["likeness of the voice: 0.600 at p05 of 8 rows, at least 0.7 wanted"]),
        ({"min_speaker_accepted": 0.7}, ["speaker ross: 60.0% of 5 rows accepted, at least 70% wanted"]),
        (
            {"max_cer_p95": 0.2},
            ["letter error rate: not known of any row, as nobody listened; max_cer_p95 cannot be judged"],
        ),
    ],
)
def test_limits_are_judged(limits, problems):
    assert judge_night(MEASURES, GateConfig(**limits)) == problems


def test_a_night_without_rows_has_no_share():
    nothing = {"num_accepted": 0, "share_accepted": None, "hours": 0.0, "rejected": {}, "distributions": {}}
    limits = GateConfig(min_accepted=0.9, max_wer_p95=0.1, min_hours=1.0)
    assert judge_night(nothing, limits) == ["hours: 0.000 of accepted audio, at least 1 wanted"]
