"""The manifests of configs/clusters, compared with schemas and code."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml

from pipeline.cluster.submit import read_command
from pipeline.config.run import load_config
from pipeline.errors import ConfigError

ROOT = Path(__file__).parents[2]
CLUSTERS = ROOT / "configs" / "clusters"
RAYJOB_SCHEMA = json.loads((ROOT / "tests" / "fixtures" / "clusters" / "rayjob_schema.json").read_text())


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
