"""`jobs.benchmark`: its commands, its options, and that it needs nothing outside the packages."""

import re
import tomllib
from pathlib import Path

import pytest
import torch

from jobs import benchmark, benchmark_run

ROOT = Path(__file__).parents[2]


def test_the_help_lists_every_command_and_part(capsys):
    with pytest.raises(SystemExit) as end:
        benchmark.main(["--help"])
    assert end.value.code == 0
    listed = re.findall(r"^ +(\S+)  +\S", capsys.readouterr().out, re.M)
    assert {"run", "gpu", "planner", "quality", *benchmark_run._PARTS} <= set(listed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "expected a whole number of at least 1"),
        (["planner", "--rows", "many"], "expected a whole number of at least 1"),
        (["gpu", "--json", "nowhere/numbers.json"], "expected the name of a file in a folder that exists"),
        (["--parts", "speed"], "invalid choice: 'speed'"),
        (["peers"], "invalid choice: 'peers'"),
    ],
)
def test_wrong_options_are_refused_before_work(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        benchmark.main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_setting_without_a_value_is_refused(capsys):
    assert benchmark.main(["quality", "--set", "max_wer"]) == 2
    assert "--set max_wer: expected NAME=NUMBER" in capsys.readouterr().err


def test_planner_measures_a_manifest(capfd):
    assert benchmark.main(["planner", "--rows", "300", "--shards", "2", "--unit-size", "100"]) == 0
    out = capfd.readouterr().out
    assert '"rows": 300' in out and '"units": 4' in out and '"duplicates": 0' in out


def test_the_data_travels_with_the_package():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folder = ROOT / "pipeline" / "benchmark"
    packed = {path for pattern in patterns["pipeline.benchmark"] for path in folder.glob(pattern)}
    data = {path for path in (folder / "data").rglob("*") if path.is_file()}
    assert len(data) >= 8 and data <= packed


def test_no_command_looks_into_the_tests():
    for path in [*(ROOT / "jobs").glob("*.py"), *(ROOT / "pipeline").rglob("*.py")]:
        assert not re.search(r"""["']tests["']|["']tests/""", path.read_text()), path


def test_the_command_refuses_a_folder_without_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    assert benchmark.main(["--threads", "1", "--sizes", str(tmp_path)]) == 2
    torch.set_num_threads(threads)
    assert "no tokenizer.json" in capsys.readouterr().err
