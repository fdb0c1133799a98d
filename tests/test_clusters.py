"""The manifests and the dashboard of configs/clusters and configs/grafana, compared with schemas and code."""

import copy
import json
import re
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml

from pipeline.cluster import metrics, ray_api
from pipeline.cluster.submit import read_command
from pipeline.config.run import load_config
from pipeline.errors import ConfigError

ROOT = Path(__file__).parent.parent
CLUSTERS = ROOT / "configs" / "clusters"
RAYJOB_SCHEMA = json.loads((ROOT / "tests" / "fixtures" / "clusters" / "rayjob_schema.json").read_text())
DASHBOARD = json.loads((ROOT / "configs" / "grafana" / "spark_tts_batch.json").read_text())


@pytest.fixture
def rayjob():
    return yaml.safe_load((CLUSTERS / "rayjob.yaml").read_text())


def test_the_rayjob_fits_its_schema(rayjob):
    jsonschema.validate(rayjob, RAYJOB_SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "backofLimit"), 1),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams"), {"num-cpus": 0}),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplicas"), "1"),
    ],
)
def test_the_schema_finds_mistakes(rayjob, path, value):
    broken = copy.deepcopy(rayjob)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, RAYJOB_SCHEMA)


def test_the_rayjob_holds_together(rayjob):
    spec = rayjob["spec"]
    cluster = spec["rayClusterSpec"]
    assert read_command(spec["entrypoint"].split(), ROOT).entrypoint == spec["entrypoint"]
    assert int(yaml.safe_load(spec["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) > 20
    (group,) = cluster["workerGroupSpecs"]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for template in (cluster["headGroupSpec"]["template"], group["template"]):
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        for container in template["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["resources"]["requests"] == container["resources"]["limits"]
    assert cluster["rayVersion"] in (ROOT / "constraints.txt").read_text()


def test_the_ray_up_file_fits_rays_own_schema():
    raw = yaml.safe_load((CLUSTERS / "ray_up_aws.yaml").read_text())
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(raw, schema)
    assert raw["head_node_type"] in raw["available_node_types"]
    assert all((ROOT / path).exists() for path in raw["file_mounts"].values())


def test_growing_clusters_need_numbers():
    path = ROOT / "configs" / "cluster_s3.yaml"
    with pytest.raises(ConfigError, match=r"replicas.llm.count.* must be a number"):
        load_config(path, ["replicas.elastic=true"])
    counts = [f"replicas.{stage}.count=8" for stage in ("llm", "codec", "writer")]
    assert load_config(path, ["replicas.elastic=true", *counts]).replicas.elastic


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


RECORDED = {}


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
    from pipeline.output.receipt import UnitReceipt

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
