"""How a command reads its options: named as it was called, completed by shells, checked before there is work."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import argcomplete

PROGRAM = "spark-tts-batch"
"""The one command for all, see `jobs.cli`."""
COMPLETION = "_ARGCOMPLETE"
"""What argcomplete sets where a shell asks for the next word."""


class CommandParser(argparse.ArgumentParser):
    """The options of a command: named as it was called, and completed by shells that have argcomplete."""

    def __init__(self, prog: str, **options: Any) -> None:
        if Path(sys.argv[0]).name == PROGRAM:
            prog = prog.replace("python -m jobs.", f"{PROGRAM} ")
        super().__init__(prog, **options)

    def parse_args(self, arguments: Any = None, namespace: Any = None) -> Any:
        """Read the options; while a shell completes a line, print what may come next and end."""
        if COMPLETION in os.environ:
            argcomplete.autocomplete(self)
        return super().parse_args(arguments, namespace)


def count(text: str) -> int:
    """Read an option that counts something, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)


def file_to_write(text: str) -> Path:
    """Read an option that names a file to write, before there is anything to lose."""
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: expected the name of a file in a folder that exists")
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a file, found a pipe or a device; name another file")
    if not os.access(path.absolute().parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r}: nothing can be written to its folder; name another one")
    return path
