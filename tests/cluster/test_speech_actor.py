"""Both networks in one process: the same takes as in two."""

import json
import zlib
from pathlib import Path

import pytest

from pipeline.cluster.stage_order import list_stages
from pipeline.cluster.work_items import Stage
from pipeline.config.run import parse_config
from pipeline.errors import RejectionCode
from pipeline.run.synthesize import synthesize_manifest
from pipeline.synthesis import stages
from pipeline.synthesis.takes import Rejection
from tests.inline_ray import inline_ray
from tests.runs import LOOSE, SMALL, audio_hashes, make_config, read_metadata, simple_rows, write_shard


@pytest.fixture
def run_once(tmp_path, random_weights, monkeypatch):
    """Some takes are found wanting by their sound, whoever hears them, so that there are several rounds."""

    def judge(stats, quality):
        is_bad = zlib.crc32(repr(stats).encode()) % 3 == 0
        return Rejection(RejectionCode.CLIPPED, "by the test") if is_bad else None

    monkeypatch.setattr(stages, "judge_audio", judge)
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 10))

    def run(name, **replicas):
        changes = {"output": str(tmp_path / name), "quality": {**LOOSE, "max_takes": 3}}
        config = make_config(tmp_path, random_weights, replicas={**SMALL, **replicas}, **changes)
        with inline_ray():
            return config, synthesize_manifest(config)

    return run


def test_one_process_makes_the_takes_of_two(run_once):
    two, one = run_once("two"), run_once("one", one_process=True)
    assert one[1].num_ok > 0 and one[1].num_ok == two[1].num_ok and one[1].rejected == two[1].rejected
    assert audio_hashes(one[0].output) == audio_hashes(two[0].output)
    rows = read_metadata(one[0].output)
    assert len(rows) == 10 and any(row["take"] for row in rows)
    # What equal bytes depend on is known of both networks, and how many there were of each.
    environments = [json.loads((Path(config.output) / "environments.json").read_text()) for config, _ in (one, two)]
    assert environments[0] == environments[1] and set(environments[0]) == {"llm", "codec", "writer"}
    (start,) = json.loads((Path(one[0].output) / "run.json").read_text())["starts"]
    assert start["synthesized"]["replicas"] == {"llm": 1, "codec": 1, "writer": 1}


@pytest.mark.parametrize(
    ("quality", "stages"),
    [
        ({}, [Stage.LLM, Stage.WRITER]),
        ({"asr": "pocketsphinx"}, [Stage.LLM, Stage.LISTENER, Stage.WRITER]),
        ({"naturalness": "dnsmos"}, [Stage.LLM, Stage.LISTENER, Stage.WRITER]),
    ],
)
def test_one_process_takes_what_both_reserve(quality, stages):
    settings = {"llm": {"count": 2, "num_cpus": 2, "num_gpus": 0.7}, "codec": {"num_cpus": 0.5, "num_gpus": 0.3}}
    raw = {"weights": "w", "manifest": "m", "speakers": "s", "output": "o"}
    config = parse_config({**raw, "replicas": {**settings, "one_process": True}, "quality": quality})
    needs = {spec.stage: spec.settings(config.replicas) for spec in list_stages(config)}
    assert list(needs) == stages
    assert (needs[Stage.LLM].count, needs[Stage.LLM].num_cpus, needs[Stage.LLM].num_gpus) == (2, 2.5, 1.0)
