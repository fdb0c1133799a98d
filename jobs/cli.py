"""One command for all: `spark-tts-batch COMMAND`, the same as `python -m jobs.COMMAND`."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from jobs.console import EXIT_BAD_INPUT, EXIT_CODES, EXIT_OK, say, settle
from jobs.guard import run_guarded
from jobs.options import COMPLETION, PROGRAM, CommandParser

COMMANDS = {
    "say": "speak a text at once, without Ray",
    "init": "example configs, with lines and speakers, into a folder",
    "synthesize": "synthesize a manifest: audio and metadata into an output",
    "audiobooks": "a catalogue of books in, chapters out",
    "dataset": "a speech data set that grows every night",
    "status": "how far an output is",
    "report": "a page about an output, with players",
    "verify": "compare an output with what it says of itself; repair it",
    "redo": "synthesize some rows of an output again",
    "remove": "take speakers or rows out of an output for good",
    "enroll": "turn recordings into voices ahead of a run",
    "make_manifest": "make or extend a manifest of Parquet shards from tables of other forms",
    "import_books": "make a manifest from books",
    "assemble": "make chapters from the clips of an output",
    "submit": "send a run to a Ray cluster, follow it, stop it",
    "settings": "every setting, with its default and what it is for",
    "evaluate": "the figures that papers print, of any weights",
    "benchmark": "measure this machine",
    "train_demo_voice": "train the demo voice",
}
"""Files of this folder, by how often they are wanted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names; return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if COMPLETION in os.environ:
        return _complete(os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])].split(" "))
    if not words or words[0] in ("-h", "--help"):
        return settle(_show_help(EXIT_OK if words else EXIT_BAD_INPUT))
    if words[0] == "--version":
        say(f"{PROGRAM} {version(PROGRAM)}")
        return settle(EXIT_OK)
    name = words[0].replace("-", "_")
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        remedy = f"did you mean `{PROGRAM} {near[0]}`? " if near else ""
        say(f"error: {words[0]:.80}: there is no such command; {remedy}`{PROGRAM} --help` lists all", error=True)
        return EXIT_BAD_INPUT
    return run_guarded(lambda: int(importlib.import_module(f"jobs.{name}").main(words[1:])))


def _complete(line: Sequence[str]) -> int:
    """Print what may come next in a shell's line, for argcomplete."""
    name = line[1].replace("-", "_") if len(line) > 2 else ""
    if name in COMMANDS:
        os.environ[COMPLETION] = "2"  # The command's own options begin behind its name.
        return int(importlib.import_module(f"jobs.{name}").main([]))
    parser = CommandParser(PROGRAM)
    parser.add_argument("command", choices=COMMANDS)
    parser.parse_args([])
    return EXIT_OK


def _show_help(code: int) -> int:
    width = max(map(len, COMMANDS))
    say(f"usage: {PROGRAM} COMMAND [OPTIONS]\n")
    for name, summary in COMMANDS.items():
        say(f"  {name:{width}}  {summary}")
    say(f"\n{PROGRAM} COMMAND --help shows the options of a command; --version the version.\n{EXIT_CODES}")
    return code


if __name__ == "__main__":
    sys.exit(main())
