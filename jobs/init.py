"""Put the example configs, with their lines and speakers, into a folder: `python -m jobs.init FOLDER`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.console import EXIT_CODES, EXIT_OK, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline.config.printable import one_line
from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError
from pipeline.storage import check_writable, open_storage

EXAMPLES = Path(__file__).parent / "configs"
"""A link to `configs/` in a clone; a wheel has the files themselves."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.init",
        description="Put the example configs, with their lines and speakers, into FOLDER/configs; replaces nothing.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), help="default: here")
    options = parser.parse_args(arguments)
    return run_command(lambda: _copy_examples(options))


def _copy_examples(options: argparse.Namespace) -> int:
    target = options.folder / "configs"
    if target.exists() or target.is_symlink():
        raise ConfigError(f"{one_line(str(target))}: is there already; nothing was changed. Name another folder")
    check_writable("FOLDER", str(target), StorageConfig())
    storage = open_storage(str(target))
    files = sorted(path for path in EXAMPLES.rglob("*") if path.is_file())
    for path in files:
        storage.put(path.relative_to(EXAMPLES).as_posix(), path.read_bytes())
    say(
        f"{len(files)} files are in {one_line(str(target))}. In {one_line(str(options.folder.absolute()))}, go on with:"
    )
    say("  spark-tts-batch synthesize --config configs/demo.yaml")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run_guarded(main))
