"""Metrics: their names, what they count, and that the dashboard of configs/grafana draws no others."""

import json
import re
from pathlib import Path

import pytest

from pipeline.cluster import metrics, ray_api

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "configs" / "grafana" / "spark_tts_batch.json").read_text())

RECORDED = {}


class Recorder:
    """Stands in for Ray's metrics."""

    def __init__(self, name, description, labels=()):
        self.name, self.description, self.labels, self.values = name, description, labels, {}
        RECORDED[name] = self

    def inc(self, value=1.0, tags=None):
        assert value > 0  # Ray refuses others.
        key = self._key(tags)
        self.values[key] = self.values.get(key, 0) + value

    def set(self, value, tags=None):
        self.values[self._key(tags)] = value

    def _key(self, tags):
        assert set(tags or {}) == set(self.labels)
        return tuple((tags or {}).values())


@pytest.fixture
def recorded(monkeypatch):
    RECORDED.clear()
    monkeypatch.setattr(ray_api, "make_counter", Recorder)
    monkeypatch.setattr(ray_api, "make_gauge", Recorder)
    clock = [0.0]
    return metrics.RunMetrics(lambda: clock[0]), metrics.SlotMetrics(8, lambda: clock[0]), clock


def test_names_follow_the_conventions_of_prometheus(recorded):
    for name, metric in RECORDED.items():
        assert re.fullmatch(r"spark_tts_batch_[a-z_]+", name)
        assert metric.description.endswith(".")
        assert set(metric.labels) <= {"status", "code", "stage", "state"}
    assert "spark_tts_batch_audio_seconds_total" in RECORDED


def test_commits_are_counted(recorded):
    from pipeline.output.row_counts import UnitReceipt

    run, _, _ = recorded
    run.add(UnitReceipt("a", 3, {"no_speech": 1, "too_fast": 2}, 4.5, 2, True))
    run.add(UnitReceipt("b", 0, {}, 0.0, 0, True))
    values = {name.removeprefix("spark_tts_batch_"): metric.values for name, metric in RECORDED.items()}
    assert values["units_total"] == {(): 2}
    assert values["utterances_total"] == {("ok",): 3, ("rejected",): 3}
    assert values["rejections_total"] == {("no_speech",): 1, ("too_fast",): 2}
    assert (values["audio_seconds_total"], values["retakes_total"]) == ({(): 4.5}, {(): 2})


def test_slots_are_counted_once_a_second_and_none_is_lost(recorded):
    _, slots, clock = recorded
    steps = RECORDED["spark_tts_batch_llm_slot_steps_total"]
    slots.add_step(8)
    assert steps.values == {("used",): 8}
    for _ in range(10):
        slots.add_step(6)
    assert steps.values == {("used",): 8}
    clock[0] = 1.5
    slots.add_step(0)
    assert steps.values == {("used",): 68, ("idle",): 28}


def test_the_dashboard_draws_metrics_that_exist(recorded):
    drawn = set()
    for panel in DASHBOARD["panels"]:
        assert panel["targets"]
        for target in panel["targets"]:
            names = re.findall(r"\b(ray_spark_tts_batch_\w+)", target["expr"])
            assert names, target["expr"]
            assert target["expr"].count("(") == target["expr"].count(")")
            drawn |= {name.removeprefix("ray_") for name in names}
    assert drawn | {"spark_tts_batch_units_total"} == set(RECORDED)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
