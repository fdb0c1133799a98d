"""The benchmark of nights makes nights as they are: planned, committed, judged and in a snapshot."""

import json

from jobs import benchmark
from tests.inline_ray import inline_ray


def test_two_nights_are_measured(tmp_path, capsys):
    with inline_ray():
        for night, num_rows, num_before in (("2026-01-02", 40, 64), ("2026-01-03", 20, 104)):
            options = ["nights", f"--folder={tmp_path}", f"--night={night}", f"--new-rows={num_rows}"]
            assert benchmark.main(options) == 0, capsys.readouterr().err
            took = json.loads(capsys.readouterr().out.splitlines()[-1])
            assert (took["rows_before"], took["rows_new"]) == (num_before, num_rows)
            assert 0 < took["plan_night_s"] < took["all_s"] and took["write_snapshot_s"] > 0 < took["peak_mib"]
