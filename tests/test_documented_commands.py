"""Every command in the documents is one that exists and takes these options; what it works on need not be there."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from jobs import cli
from jobs.options import CommandParser

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = re.compile(r"^\S*(?:spark-tts-batch|python3? -m jobs\.\w+) ")


class Parsed(Exception):
    """The options were understood."""


def commands_of(document):
    """Yield the lines of a document's blocks that are commands of ours, continued lines joined."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", document.read_text(), re.S | re.M):
        if language not in ("console", "sh", "bash", ""):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if OURS.match(line.strip() + " "):
                yield line.strip()


LINES = [(document.name, line) for document in DOCUMENTS for line in commands_of(document)]


@pytest.fixture
def only_parse(monkeypatch):
    original = CommandParser.parse_args

    def parse(self, arguments=None, namespace=None):
        original(self, arguments, namespace)
        raise Parsed

    monkeypatch.setattr(CommandParser, "parse_args", parse)


@pytest.mark.parametrize(("document", "line"), LINES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(LINES)])
def test_a_command_of_ours_is_understood(document, line, only_parse, monkeypatch, capsys):
    words = shlex.split(line, comments=True)
    for start, word in enumerate(words):
        if word == "-m" and words[start + 1].startswith("jobs."):
            name, arguments = words[start + 1].removeprefix("jobs."), words[start + 2 :]
            break
        if Path(word).name == "spark-tts-batch" and start + 1 < len(words) and "=" not in word:
            name, arguments = words[start + 1].replace("-", "_"), words[start + 2 :]
            break
    if name in ("__help", "__version"):
        return
    assert name in cli.COMMANDS, line
    if name == "submit" and "--" in arguments:
        inner = arguments[arguments.index("--") + 1 :]
        assert inner[0].removeprefix("jobs.") in cli.COMMANDS, line
    try:
        importlib.import_module(f"jobs.{name}").main(arguments)
    except Parsed:
        return
    except SystemExit as error:
        assert not error.code, f"{document}: {line}: {capsys.readouterr().err}"
        return  # It was --help.
    pytest.fail(f"{line}: was run, and not only read")


def test_there_is_something_to_read():
    assert len(LINES) > 40 and len({document for document, _ in LINES}) > 5
