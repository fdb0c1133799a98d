"""How a command reads its options: named as it was called, completed by shells, checked before there is work."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import argcomplete

from pipeline.config.printable import one_line
from pipeline.errors import SynthesisError

PROGRAM = "spark-tts-batch"
"""The one command for all, see `jobs.cli`."""
_REMEDY = re.compile(r"\bset ([a-z_]+(?:\.[a-z_]+)+) to (\[[^\]]*\]|'[^']*'|[^\s,:;]+)")
_MISSPELLED = re.compile(r"unrecognized arguments: (-\S+)|invalid choice: '([^']*)'")
COMPLETION = "_ARGCOMPLETE"
"""What argcomplete sets where a shell asks for the next word."""


class CommandParser(argparse.ArgumentParser):
    """The options of a command: named as it was called, and completed by shells that have argcomplete."""

    def __init__(self, prog: str, **options: Any) -> None:
        if Path(sys.argv[0]).name == PROGRAM:
            prog = prog.replace("python -m jobs.", f"{PROGRAM} ")
        super().__init__(prog, **options)

    def error(self, message: str) -> NoReturn:
        """End with exit code 2; a misspelled option or choice is answered with the nearest."""
        found = _MISSPELLED.search(message)
        if found is not None:
            known = [text for action in self._actions for text in (*action.option_strings, *(action.choices or ()))]
            near = difflib.get_close_matches(found[1] or found[2], known, n=1)
            message += f"; did you mean {near[0]}?" if near else ""
        super().error(one_line(message))

    def parse_args(self, arguments: Any = None, namespace: Any = None) -> Any:
        """Read the options; while a shell completes a line, print what may come next and end."""
        if COMPLETION in os.environ:
            argcomplete.autocomplete(self)
        found = super().parse_args(arguments, namespace)
        for action in self._actions:
            given = getattr(found, action.dest, None)
            if given not in (action.default, action.const) and "" in (given if isinstance(given, list) else [given]):
                # As from `--clone "$FILE"` where there is no FILE: taken for an option that was not given.
                self.error(f"argument {'/'.join(action.option_strings) or action.dest}: is empty; expected a value")
        return found


def in_options(command: Callable[[], int]) -> Callable[[], int]:
    """Return a command whose errors say what to do with `--set`: it has no config file to put settings into."""

    def run() -> int:
        try:
            return command()
        except SynthesisError as error:
            error.args = (as_options(str(error)),)
            raise

    return run


def as_options(text: str) -> str:
    """Return a message with settings as `--set` takes them: `set table.quoting to none` becomes an option."""

    def write(match: re.Match[str]) -> str:
        name, value = match[1], match[2].strip("'")
        return f"pass --set {shlex.quote(f'{name}={value}')}"

    return _REMEDY.sub(write, text)


def count(text: str) -> int:
    """Read an option that counts something, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """Read an option that is a seed."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r:.60}: expected a whole number from 0 to 2**63 - 1")
    return int(text)


def file_to_write(text: str) -> Path:
    """Read an option that names a file to write, before there is anything to lose."""
    path = Path(text)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}: cannot be looked at ({error.strerror}); name another file"
        ) from None
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: expected the name of a file in a folder that exists")
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a file, found a pipe or a device; name another file")
    if not os.access(path.absolute().parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r}: nothing can be written to its folder; name another one")
    return path
