"""The wheel: installed where there is no clone, in a folder that has packages of the same names as ours."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("pipeline", "jobs", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built), str(source))
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of the commands of an environment that has the wheel and, from this one, what it depends on."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    # A folder that a .pth file names adds its packages, but not what its own .pth files add: this clone.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip("--python", str(environment / "bin/python"), "install", "--no-deps", "--ignore-installed", str(wheel))
    return environment / "bin"


def pip(*arguments):
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run(command, check=True, env={**os.environ, "PIP_NO_INDEX": "1"})


def test_it_holds_all_that_is_not_code(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"jobs/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*") if path.is_file()}
    folders = ("pipeline/demo_voice", "pipeline/benchmark/data")
    expected |= {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {"pipeline/py.typed", "pipeline/dataset/report.html.j2"}
    pages = (ROOT / "pipeline/output/report").iterdir()
    expected |= {f"pipeline/output/report/{path.name}" for path in pages if path.suffix in (".css", ".j2", ".js")}
    assert expected <= names, sorted(expected - names)[:20]
    assert not [name for name in names if name.startswith(("tests", "docs"))]


def test_the_demo_runs_beside_other_packages_named_like_ours(installed, tmp_path):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/__init__.py").write_text("raise ImportError('the user\\'s own')\n")
    (tmp_path / "pipeline.py").write_text("raise ImportError('the user\\'s own')\n")
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}

    def run(*arguments):
        command = [installed / "spark-tts-batch", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run("--version").startswith("spark-tts-batch ")
    run("init")
    assert "hello.flac" in run("say", "Hello.", "--out", "hello.flac")
    assert soundfile.info(tmp_path / "hello.flac").format == "FLAC"
    small = ("limit=2", "unit_size=2", "replicas.one_process=true")
    run("synthesize", "--config", "configs/demo.yaml", *(word for setting in small for word in ("--set", setting)))
    table = pq.read_table(tmp_path / "demo/metadata", columns=["status", "audio_path"])
    assert table.column("status").to_pylist() == ["ok", "ok"]
    assert all((tmp_path / "demo" / path).is_file() for path in table.column("audio_path").to_pylist())
