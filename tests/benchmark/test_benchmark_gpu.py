"""`jobs.benchmark gpu`: every part runs through at tiny sizes on a CPU, and what fails is said and counts."""

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="the GPU's kernels need Triton")

from jobs import benchmark
from pipeline.benchmark.gpu import command
from pipeline.benchmark.gpu.verdict import Limit, PartResult, describe, describe_verdict, run_parts
from pipeline.run.synthesize import synthesize_manifest
from tests.inline_ray import inline_ray

TINY = Path(__file__).parents[1] / "fixtures" / "reference" / "tiny"


def run_here(names, to_command, timeout_s, on_part):
    """Run parts in this process, which has loaded what each of theirs would load, but the first one, as on a card."""
    for name in names:
        if name == "machine":
            run_parts([name], to_command, timeout_s, on_part)
        else:
            options = Path(to_command(name, Path("result"))[-1])
            on_part(name, command.measure_part(name, command.read_options(options)))


def synthesize_partly_here(config, networks=None):
    """Let replicas be threads of this process where none is to die."""
    with inline_ray() if networks is None else nullcontext():
        return synthesize_manifest(config, networks=networks)


def test_the_command_runs_through_at_tiny_sizes(tmp_path, monkeypatch, capsys, ray_cluster):
    monkeypatch.setattr(command, "run_parts", run_here)
    monkeypatch.setattr("pipeline.benchmark.gpu.cluster.synthesize_manifest", synthesize_partly_here)
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # On a machine with a card, too.
    # One layer: the interpreter takes milliseconds for every program.
    sizes_dir = shutil.copytree(TINY, tmp_path / "tiny")
    file = sizes_dir / "LLM" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "num_hidden_layers": 1}))
    sizes = {"utterances": 1, "prompts": 1, "frames": 2, "context": 3, "max-context": 64, "rows": 10, "slots": 2}
    options = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    numbers = tmp_path / "numbers.json"
    code = benchmark.main(
        ["gpu", "--device", "cpu", "--sizes", str(sizes_dir), *options, "--quick", "--json", str(numbers)]
    )
    said = capsys.readouterr().out
    assert code == 0, said
    found = json.loads(numbers.read_text())
    # What is right comes before what is fast.
    steps = ["2 slots", "2 slots, cache in float8"]
    parts = ["machine", "equality", "two threads", "cluster", "small card", "codec", *steps, "pipeline"]
    assert list(found) == parts
    assert found["machine"]["numbers"]["slots"] == [2]
    assert all(part["numbers"] or part["limits"] for part in found.values())
    limits = [limit["name"] for limit in found["cluster"]["limits"]]
    assert "rows with the same bytes in one process" in limits and "rows with the same bytes in spite of it" in limits
    assert f"PASS: {len(parts)} parts" in said


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
        ["good", "bad", "dies", "hangs", "late"],
        lambda name, file: [sys.executable, "-c", PART, name, str(file)],
        lambda name: {"hangs": 1.0, "late": -5.0}.get(name, 60.0),
        lambda name, result: ended.append(name),
    )
    assert ended == list(results)
    assert [result.has_passed for result in results.values()] == [True, False, False, False, False]
    assert "PASS  share: 0.5 (limit >= 0.4)" in describe("good", results["good"])
    assert "FAIL  share: 0.5 (limit >= 0.6)" in describe("bad", results["bad"])
    assert "exit code 1" in results["dies"].failure and "the card is gone" in describe("dies", results["dies"])
    assert "not done after 1 s" in results["hangs"].failure
    assert "time was up" in results["late"].failure
    assert describe_verdict(results) == "FAIL: bad, dies, hangs, late"
    assert describe_verdict({"good": results["good"]}) == "PASS: 1 parts, 1 limits"


def test_the_command_writes_json_after_each_part_and_ends_with_its_verdict(monkeypatch, tmp_path, capsys):
    """The parts' processes are stood for by results; what they do is tested above."""
    seen = []

    def run(names, to_command, timeout_s, on_part):
        for name in names:
            asked = to_command(name, tmp_path / "result")
            assert asked[:3] == [sys.executable, "-m", "pipeline.benchmark.gpu"] and asked[3] == name
            options = command.read_options(Path(asked[5]))
            if name == "machine":
                command.measure_part("machine", options)
            value = 0.1 if name == "codec" else 1.0
            on_part(name, PartResult({}, [Limit("share", value, ">=", 0.5)], None, 2.0))
            seen.append(json.loads((tmp_path / "numbers.json").read_text()))

    monkeypatch.setattr(command, "run_parts", run)
    arguments = ["gpu", "--device", "cpu", "--sizes", str(TINY), "--slots", "2", "3", "--json"]
    assert benchmark.main([*arguments, str(tmp_path / "numbers.json"), "--quick"]) == 1
    assert [len(found) for found in seen] == list(range(1, 11))
    assert seen[-1]["codec"]["passed"] is False and seen[-1]["3 slots"]["passed"] is True
    assert "FAIL: codec" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "capability", "num_parts", "whole_s", "part_s"),
    [([], (9, 0), 9, 600, 240), (["--quick"], (8, 6), 8, 360, 120)],
)
def test_on_a_card_no_part_goes_on_after_the_whole_commands_time(
    options, capability, num_parts, whole_s, part_s, monkeypatch, tmp_path
):
    """By a clock that each part moves on. A card without float8 has a part less."""
    now, given = [1_000.0], []
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr("pipeline.hardware.gpu.find_device", lambda *others: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)

    def run(names, to_command, timeout_s, on_part):
        for name in names:
            if name == "machine":
                options = command.read_options(Path(to_command(name, tmp_path / "result")[5]))
                (options.folder / "ceilings.json").write_text(json.dumps({"ceilings": {}, "slots": [2]}))
            given.append(timeout_s(name))
            now[0] += 100.0
            on_part(name, PartResult())

    monkeypatch.setattr(command, "run_parts", run)
    assert benchmark.main(["gpu", "--sizes", str(TINY), *options]) == 1
    assert given == [min(part_s, whole_s - 100 * number) for number in range(num_parts)]
    assert given[0] == part_s and given[-1] < 0


def test_parts_but_the_runs_through_ray_need_no_ray():
    code = "import sys; sys.modules['ray'] = None; import pipeline.benchmark.gpu.__main__, jobs.benchmark"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_a_gpu_the_reason_is_said(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.cuda.is_built", lambda: False)
    assert benchmark.main(["gpu"]) == 2
    assert "is a build for CPUs" in capsys.readouterr().err
