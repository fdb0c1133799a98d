"""Time and memory to plan a manifest of many rows; needs neither Ray nor weights."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from jobs.console import EXIT_OK
from jobs.options import count


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    add = parser.add_argument
    add("--rows", type=count, default=1_000_000, help="of the manifest (default 1000000)")
    add("--shards", type=count, default=10, help="of the manifest (default 10)")
    add("--unit-size", type=count, default=128, help="rows that are scheduled together (default 128)")
    add("--manifest", help="plan this one, in this process, instead of making one")


def run(options: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    from pipeline.benchmark.planner import make_manifest, plan

    if options.manifest:
        print(json.dumps(plan(options.manifest, options.unit_size)))
        return EXIT_OK
    with tempfile.TemporaryDirectory() as folder:
        make_manifest(Path(folder), options.rows, options.shards)
        # A process of its own, so that making the manifest does not count.
        command = [sys.executable, "-m", "jobs.benchmark", "planner", f"--manifest={folder}"]
        return subprocess.run([*command, f"--unit-size={options.unit_size}"], check=False).returncode
