"""What to install is said in the form that works where this copy came from."""

import re
import tomllib
from pathlib import Path

from pipeline.config import extras

ROOT = Path(__file__).parents[2]


def test_a_clone_installs_itself_and_a_wheel_by_name(monkeypatch, tmp_path):
    said = extras.need_extra("x.pdf: a PDF", "pdfminer.six", "pdf")
    assert said.startswith("x.pdf: a PDF needs the package pdfminer.six, which is not installed; run: ")
    assert said.endswith(f"-m pip install -c constraints.txt -e '.[pdf]' (in {ROOT})")
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "site-packages/pipeline/config/extras.py"))
    assert extras.name_extra("pdf").endswith("-m pip install 'spark-tts-batch[pdf]'")


def test_every_extra_that_is_named_exists_and_no_one_else_makes_the_sentence():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for path in (*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("jobs/*.py")):
        text = path.read_text()
        assert "spark-tts-batch[" not in text or path.name == "extras.py", path
        for extra in re.findall(r"""(?:need_extra\([^)]*, |name_extra\()["'](\w+)["']\)""", text):
            assert extra in known, (path, extra)
