"""What the documents say is so."""

import re
from pathlib import Path

import pytest

import pipeline

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_public_names_are_sorted_and_importable():
    assert pipeline.__all__ == sorted(pipeline.__all__)
    for name in pipeline.__all__:
        assert getattr(pipeline, name).__doc__, name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        _ = pipeline.nonsense


def test_the_tree_of_the_architecture_names_every_module():
    text = (ROOT / "docs" / "architecture.md").read_text()
    tree = text.partition("## The tree")[2].partition("## The parts")[0]
    for path in (ROOT / "pipeline").iterdir():
        if path.name.startswith("_") or path.name.endswith(".pyc"):
            continue
        name = path.name + ("/" if path.is_dir() else "")
        assert name in tree, f"{name} is missing from the tree of docs/architecture.md"
    for name in re.findall(r"\b(\w+\.py)\b", tree):
        assert (ROOT / "pipeline" / name).exists(), f"{name} of the tree of docs/architecture.md does not exist"


@pytest.mark.parametrize(
    "document", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name
)
def test_links_between_documents_hold(document):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_file_that_the_architecture_names_exists():
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:pipeline|jobs)/[\w./]*)`", text))
    assert len(named) > 40
    for path in named:
        assert (ROOT / path).exists(), f"docs/architecture.md names {path}, which does not exist"
    stops = re.findall(r"^\| (\d+) \|", text, re.M)
    assert stops == [str(number) for number in range(1, len(stops) + 1)] and len(stops) <= 12


def test_the_library_has_few_entries_at_its_top():
    entries = [path for path in (ROOT / "pipeline").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 20, sorted(path.name for path in entries)


def test_every_command_of_the_readme_exists():
    for module in set(re.findall(r"python -m (jobs\.\w+)", README)):
        assert (ROOT / (module.replace(".", "/") + ".py")).exists(), module
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^make (\w+)", README, re.M)):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.py")), ids=lambda p: p.stem)
def test_commands_are_short(path):
    assert len(path.read_text().splitlines()) <= 120
