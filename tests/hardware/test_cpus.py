"""cpus.py: what a container leaves of a machine."""

import os

import pytest

from pipeline.hardware.cpus import count_cpus


@pytest.mark.parametrize(("written", "left"), [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1)])
def test_a_container_may_use_fewer_than_the_machine_has(tmp_path, monkeypatch, written, left):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    (tmp_path / "cpu.max").write_text(f"{written}\n")
    assert count_cpus(tmp_path) == left


def test_the_older_form_is_read_and_no_limit_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    assert count_cpus(tmp_path) == 6
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    for quota, left in (("-1", 6), ("300000", 3)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
        assert count_cpus(tmp_path) == left
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert count_cpus(tmp_path) == 6
