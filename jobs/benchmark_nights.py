"""Time and memory of a night of a data set around its synthesis, by the size of the corpus; starts Ray once."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from jobs.console import EXIT_OK, say
from jobs.options import count


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    add = parser.add_argument
    add("--rows", type=count, default=100_000, help="of the corpus, made in one night (default 100000)")
    add("--new-rows", type=count, default=10_000, help="of the night after it (default 10000)")
    add("--folder", type=Path, help="make one night of --new-rows in this data set, in this process")
    add("--night", default="2026-01-02", help="its name, with --folder")


def run(options: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    if options.folder:
        from pipeline.benchmark.nights import make_night

        say(json.dumps(make_night(options.folder, options.night, options.new_rows)))
        return EXIT_OK
    with tempfile.TemporaryDirectory() as folder:
        # A process each, so that none has the other's peak.
        for night, num_rows in (("2026-01-02", options.rows), ("2026-01-03", options.new_rows)):
            command = [sys.executable, "-m", "jobs.benchmark", "nights", f"--folder={folder}", f"--night={night}"]
            code = subprocess.run([*command, f"--new-rows={num_rows}"], check=False).returncode
            if code:
                return code
    return EXIT_OK
