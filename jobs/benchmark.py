"""Measure this machine: the whole pipeline and its parts against the official way, in one process.

python -m jobs.benchmark --quick
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.console import EXIT_OK, run_command

DTYPES = ("float32", "bfloat16")
PARTS = ("codec", "steps", "shapes", "pipeline", "peers", "reproducible-takes", "overhead", "scaling")
QUICK_PARTS = ("codec", "steps", "shapes", "pipeline")
_BOOK = Path(__file__).parents[1] / "tests" / "fixtures" / "books" / "alice-extract.txt"
_SIZES = Path(__file__).parents[1] / "tests" / "fixtures" / "reference" / "official"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0 unless settings are wrong or unlike things would be compared."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["planner"]:
        from jobs import benchmark_planner

        return benchmark_planner.main(arguments[1:])
    if arguments[:1] == ["quality"]:
        from jobs import benchmark_quality

        return benchmark_quality.main(arguments[1:])
    if arguments[:1] == ["gpu"]:
        from jobs import benchmark_gpu

        return benchmark_gpu.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m jobs.benchmark", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and short utterances: under two minutes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="all of them; with --quick: " + " ".join(QUICK_PARTS))
    parser.add_argument("--utterances", type=int, default=64)
    parser.add_argument("--official-utterances", type=int, default=3, help="how many of them the official way voices")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float32", help="of our side; the official one is float32, as its command is"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for a machine that is shared")
    parser.add_argument("--sizes", type=Path, default=_SIZES, help="folder with configs and tokenizer")
    parser.add_argument("--book", type=Path, default=_BOOK, help="reproducible-takes: a plain text to voice")
    parser.add_argument("--takes", type=int, default=200, help="reproducible-takes: how many utterances of it")
    parser.add_argument("--weights", default="demo", help="reproducible-takes: whose bytes to compare")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES), help="reproducible-takes: dtypes")
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[100, 1_000, 10_000], help="overhead, scaling: utterances of each run"
    )
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args(arguments)
    options.parts = options.parts or (QUICK_PARTS if options.quick else PARTS)
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    from pipeline.benchmark.report import run_parts, to_picture, to_table

    with tempfile.TemporaryDirectory() as folder:
        results: dict[str, Any] = run_parts(options, Path(folder))
    print(to_table(results))
    print(to_picture(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
