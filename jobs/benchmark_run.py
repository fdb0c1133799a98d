"""The whole pipeline and its parts beside the official way, in one process."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from jobs.console import EXIT_OK
from jobs.options import count, file_to_write
from pipeline.benchmark import BOOK, OFFICIAL_SIZES
from pipeline.storage import write_bytes

_DTYPES = ("float32", "bfloat16")
_PARTS = {
    "codec": "tokens to audio: ours beside the official way, and what each block takes",
    "steps": "where the time of one step of the language model goes",
    "shapes": "what reproducible takes cost: fixed shapes against free ones",
    "pipeline": "text to audio: ours beside the official way",
    "text": "spelling out and cutting: CPU time of a sentence",
    "peers": "the language model beside transformers' batched and continuous generation",
    "reproducible-takes": "whether takes are equal alone, in a crowd, in whole runs and after a kill",
    "overhead": "whole runs on Ray with networks that answer at once: what is around the networks",
    "scaling": "whole runs on Ray with tiny networks: how cost grows with the work",
}
_QUICK_PARTS = ("codec", "steps", "shapes", "pipeline")


def describe_parts() -> str:
    """Return a line for each part, for the help."""
    return "parts of run:\n" + "\n".join(f"  {name:<20}{what}" for name, what in _PARTS.items())


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    add = parser.add_argument
    parser.epilog = describe_parts()
    add("--quick", action="store_true", help="few and short utterances: under two minutes")
    add(
        "--parts",
        nargs="+",
        choices=_PARTS,
        metavar="PART",
        help="default: all; with --quick: " + " ".join(_QUICK_PARTS),
    )
    add("--utterances", type=count, default=64, help="how many our side synthesizes (default 64)")
    add("--official-utterances", type=count, default=3, help="how many the official way synthesizes (default 3)")
    add("--rounds", type=count, default=2, help="how often both sides take turns (default 2)")
    add("--slots", type=count, default=32, help="sequences that our language model decodes together (default 32)")
    add("--dtype", choices=_DTYPES, default="float32", help="of our side; the official way always takes float32")
    add("--threads", type=count, default=2, help="of both sides (default 2)")
    add("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for a machine that others use, too")
    add("--sizes", type=Path, default=OFFICIAL_SIZES, help="folder with configs and tokenizer (default: official ones)")
    add("--book", type=Path, default=BOOK, help="reproducible-takes: a plain text to synthesize (default: Alice)")
    add("--takes", type=count, default=200, help="reproducible-takes: how many utterances of the book (default 200)")
    add("--weights", default="demo", help="reproducible-takes: which weights (default demo)")
    add("--dtypes", nargs="+", choices=_DTYPES, default=list(_DTYPES), help="reproducible-takes: one round for each")
    counts = [100, 1_000, 10_000]
    add("--counts", type=count, nargs="+", default=counts, help="overhead, scaling: utterances of each run, ascending")
    add("--json", type=file_to_write, help="also write the numbers to this file")


def run(options: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    from pipeline.benchmark.report import run_parts, to_picture, to_table

    options.parts = options.parts or list(_QUICK_PARTS if options.quick else _PARTS)
    with tempfile.TemporaryDirectory() as folder:
        results: dict[str, Any] = run_parts(options, Path(folder))
    print(to_table(results))
    print(to_picture(results))
    if options.json:
        write_bytes(str(options.json), f"{json.dumps(results, indent=2)}\n".encode())
    return EXIT_OK
