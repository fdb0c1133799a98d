"""`jobs.benchmark gpu`: every part runs through at tiny sizes on a CPU, and what fails is said and counts."""

import json
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="the GPU's kernels need Triton")

from jobs import benchmark
from pipeline.benchmark import gpu
from pipeline.benchmark.gpu_parts import GpuWorkload
from pipeline.benchmark.gpu_verdict import Limit, PartResult, describe, describe_verdict, run_parts

TINY = Path(__file__).parents[1] / "fixtures" / "reference" / "tiny"


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    # One layer: the interpreter takes milliseconds for every program.
    sizes_dir = shutil.copytree(TINY, tmp_path_factory.mktemp("sizes") / "tiny")
    file = sizes_dir / "LLM" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "num_hidden_layers": 1}))
    sizes = {"num_utterances": 1, "num_prompts": 1, "num_frames": 2, "context": 3, "max_context": 64, "num_rows": 10}
    return GpuWorkload("cpu", sizes_dir, tmp_path_factory.mktemp("gpu"), slots=(2,), **sizes)


@pytest.fixture(scope="module")
def machine(load):
    return gpu.measure_part("machine", load)


def test_the_parts_are_right_before_they_are_fast(load, machine):
    assert machine.numbers["slots"] == [2] and machine.has_passed
    parts = ["equality", "two threads", "cluster", "small card", "codec", "2 slots", "pipeline"]
    assert gpu.list_parts(load) == parts


@pytest.mark.parametrize("name", ["equality", "two threads", "small card", "codec", "2 slots", "pipeline"])
def test_a_part_runs_through(name, load, machine):
    result = gpu.measure_part(name, load)
    unmet = [str(limit) for limit in result.limits if not limit.is_met]
    assert not unmet and result.numbers.keys() | {limit.name for limit in result.limits}


def test_a_cuda_error_on_purpose_costs_no_row(load, machine, ray_cluster):
    result = gpu.measure_part("cluster", load)
    assert [str(limit) for limit in result.limits if not limit.is_met] == []


PART = """
import json, sys, time
name, file = sys.argv[1:]
if name == "hangs":
    time.sleep(600)
if name == "dies":
    raise SystemExit("the card is gone")
limits = [{"name": "share", "value": 0.5, "comparison": ">=", "bound": 0.4 if name == "good" else 0.6}]
json.dump({"numbers": {"ms": 1.5}, "limits": limits, "failure": None, "seconds": 0.0}, open(file, "w"))
"""


def test_each_part_has_its_process_and_its_verdict():
    ended = []
    results = run_parts(
        ["good", "bad", "dies", "hangs"],
        lambda name, file: [sys.executable, "-c", PART, name, str(file)],
        lambda name: 1.0 if name == "hangs" else 60.0,
        lambda name, result: ended.append(name),
    )
    assert ended == list(results)
    assert [result.has_passed for result in results.values()] == [True, False, False, False]
    assert "PASS  share: 0.5 (limit >= 0.4)" in describe("good", results["good"])
    assert "FAIL  share: 0.5 (limit >= 0.6)" in describe("bad", results["bad"])
    assert "exit code 1" in results["dies"].failure and "the card is gone" in describe("dies", results["dies"])
    assert "not done after 1 s" in results["hangs"].failure
    assert describe_verdict(results) == "FAIL: bad, dies, hangs"
    assert describe_verdict({"good": results["good"]}) == "PASS: 1 parts, 1 limits"


def test_the_command_writes_json_after_each_part_and_ends_with_its_verdict(monkeypatch, tmp_path, capsys):
    """The parts' processes are stood for by results; what they do is tested above."""
    seen = []

    def run(names, command, timeout_s, on_part):
        for name in names:
            asked = command(name, tmp_path / "result")
            assert asked[:3] == [sys.executable, "-m", "pipeline.benchmark.gpu"] and asked[3] == name
            options = gpu._read_options(Path(asked[5]))
            if name == "machine":
                gpu.measure_part("machine", options)
            value = 0.1 if name == "codec" else 1.0
            on_part(name, PartResult({}, [Limit("share", value, ">=", 0.5)], None, 2.0))
            seen.append(json.loads((tmp_path / "numbers.json").read_text()))

    monkeypatch.setattr(gpu, "run_parts", run)
    arguments = ["gpu", "--device", "cpu", "--sizes", str(TINY), "--slots", "2", "3", "--json"]
    assert benchmark.main([*arguments, str(tmp_path / "numbers.json"), "--quick"]) == 1
    assert [len(found) for found in seen] == list(range(1, 10))
    assert seen[-1]["codec"]["passed"] is False and seen[-1]["3 slots"]["passed"] is True
    assert "FAIL: codec" in capsys.readouterr().out


def test_without_a_gpu_the_reason_is_said(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.cuda.is_built", lambda: False)
    assert benchmark.main(["gpu"]) == 2
    assert "is a build for CPUs" in capsys.readouterr().err
