"""Time and memory to plan a manifest of many rows, new or changed; needs neither Ray nor weights."""

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
    add("--rows", type=count, default=1_000_000, help="of the manifest (default 1000000)")
    add("--shards", type=count, default=10, help="of the manifest (default 10)")
    add("--unit-size", type=count, default=128, help="rows that are scheduled together (default 128)")
    add("--manifest", help="plan this one, in this process, instead of making one")
    add("--edited-shards", type=count, help="instead bring an output up to date after edits in so many shards")
    add("--edit-every", type=count, default=1, help="of their rows, every n-th has another text (default 1: all)")
    add("--output", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    from pipeline.benchmark.planner import make_manifest, plan

    if options.manifest and options.output:
        from pipeline.benchmark.changed_manifest import adopt

        print(json.dumps(adopt(options.manifest, Path(options.output))))
        return EXIT_OK
    if options.manifest:
        print(json.dumps(plan(options.manifest, options.unit_size)))
        return EXIT_OK
    with tempfile.TemporaryDirectory() as folder:
        # A process of its own, so that making the manifest does not count.
        manifest = Path(folder) / "manifest"
        manifest.mkdir()
        make_manifest(manifest, options.rows, options.shards)
        command = [sys.executable, "-m", "jobs.benchmark", "planner", f"--manifest={manifest}"]
        if options.edited_shards:
            from pipeline.benchmark.changed_manifest import edit_manifest, make_output

            make_output(str(manifest), Path(folder) / "output")
            num_edited = edit_manifest(manifest, options.edited_shards, options.edit_every)
            say(f"{num_edited:,} of {options.rows:,} rows edited")
            command.append(f"--output={folder}/output")
        return subprocess.run([*command, f"--unit-size={options.unit_size}"], check=False).returncode
