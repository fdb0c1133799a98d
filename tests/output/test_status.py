"""status.py, and the commands that show it: an output is counted even where a part of it cannot be read."""

import json

import jobs.report
import jobs.status
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_log import CommitLog
from pipeline.storage import open_storage
from tests.outputs import begin_run, make_commit, make_shard


def test_a_damaged_commit_is_named_and_the_rest_is_counted(tmp_path, capsys):
    """One of them ended both commands before they had said anything."""
    storage = open_storage(str(tmp_path))
    begin_run(storage, [make_shard("s", 9)])
    log, units = CommitLog(storage), [WorkUnit("s", first, first + 2) for first in (0, 3, 6)]
    for unit in units:
        log.commit(unit, make_commit(log, unit))
    assert jobs.status.main([str(tmp_path), "--json"]) == 0
    (tmp_path / log.metadata_path(units[1])).write_bytes(b"PAR1 and no more")
    capsys.readouterr()
    assert jobs.status.main([str(tmp_path), "--json"]) == 1
    status = json.loads(capsys.readouterr().out)
    assert (status["num_ok"], status["num_committed_units"], status["num_damaged_commits"]) == (6, 2, 1)
    for command in (jobs.status, jobs.report):
        assert command.main([str(tmp_path)]) == 1
        said = capsys.readouterr()
        assert "1 commit(s) cannot be read" in said.err and "metadata/s/000000003-000000005.parquet" in said.err
    assert "1 commits that cannot be read" in (tmp_path / "report.html").read_text()
