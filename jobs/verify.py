"""Check every commit and WAV of an output: `python -m jobs.verify OUTPUT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobs.console import run_command
from pipeline import verify_output
from pipeline.config import StorageConfig
from pipeline.storage import open_storage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 intact, 1 if anything is missing or changed."""
    parser = argparse.ArgumentParser(prog="python -m jobs.verify", description="Check every commit and WAV file.")
    parser.add_argument("output", help="the run's output: a folder or an object-store prefix")
    parser.add_argument("--endpoint-url", default=None, help="S3 endpoint for other stores than AWS")
    options = parser.parse_args(arguments)

    def verify() -> int:
        storage = open_storage(options.output, StorageConfig(endpoint_url=options.endpoint_url))
        report = verify_output(storage)
        for label, paths in (("missing", report.missing), ("changed", report.changed), ("orphaned", report.orphaned)):
            for path in paths:
                print(f"{label}\t{path}")
        print(
            f"{report.num_checked:,} WAV file(s): {len(report.missing):,} missing, {len(report.changed):,} changed, "
            f"{len(report.orphaned):,} orphaned (harmless, left by work that was cut short)"
        )
        return 0 if report.is_intact else 1

    return run_command(verify)


if __name__ == "__main__":
    sys.exit(main())
