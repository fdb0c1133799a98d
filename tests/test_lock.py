"""requirements.lock has what constraints.txt and pyproject.toml name, each with the hashes of its files."""

import re
import tomllib
from pathlib import Path

LOCK, CONSTRAINTS = Path("requirements.lock").read_text(), Path("constraints.txt").read_text()
PIN = re.compile(r"^([\w.-]+)==([^\s;]+)", re.M)
REMEDY = "run make lock"


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    return {normalize(name): version for name, version in PIN.findall(text)}


def test_versions_are_those_of_the_constraints():
    locked, constrained = pins(LOCK), pins(CONSTRAINTS)
    differing = {name for name in locked if constrained.get(name, locked[name]) != locked[name]}
    assert not differing, REMEDY


def test_every_package_that_is_asked_for_is_there_but_torch():
    project = tomllib.loads(Path("pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in project["project"]["optional-dependencies"].values():
        asked += extra
    names = {normalize(re.match(r"[\w.-]+", text)[0]) for text in asked}
    assert names - pins(LOCK).keys() == {"torch"}, REMEDY


def test_every_package_has_hashes():
    entries = re.split(r"\n(?=[\w.-]+==)", LOCK)[1:]
    assert len(entries) == len(pins(LOCK)) > 100
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:60]


def test_no_build_for_one_kind_of_machine_is_chosen():
    assert not [name for name in pins(LOCK) if name.startswith(("nvidia-", "cuda-"))]
