"""Measure this machine: `python -m jobs.benchmark [run] --quick`, or `gpu`, `planner`, `nights`, `quality` and options.

Options without a command go to `run`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobs import benchmark_gpu, benchmark_nights, benchmark_planner, benchmark_quality, benchmark_run
from jobs.console import EXIT_CODES, run_command
from jobs.guard import run_guarded
from jobs.options import CommandParser

_COMMANDS = {
    "run": benchmark_run,
    "gpu": benchmark_gpu,
    "planner": benchmark_planner,
    "nights": benchmark_nights,
    "quality": benchmark_quality,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 measured, 2 settings are wrong or unlike things would be compared."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["run", *arguments]
    options = _build_parser().parse_args(arguments)
    return run_command(lambda: _COMMANDS[options.command].run(options))


def _build_parser() -> CommandParser:
    parser = CommandParser(
        prog="python -m jobs.benchmark",
        description="Measure this machine. Without a command: run.",
        epilog=f"{benchmark_run.describe_parts()}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for name, module in _COMMANDS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        command = commands.add_parser(
            name, help=summary, description=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_options(command)
    return parser


if __name__ == "__main__":
    sys.exit(run_guarded(main))
