"""Make a manifest of Parquet shards from a table of any form: `python -m jobs.make_manifest LINES.csv --output FOLDER`.

A run reads such tables by itself; shards are read faster at each start, and by all machines of a cluster.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from jobs.console import EXIT_CODES, EXIT_OK, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser, count, in_options
from pipeline.config.config_file import apply_overrides
from pipeline.config.manifest import parse_reading
from pipeline.config.run import StorageConfig
from pipeline.errors import ManifestError
from pipeline.manifest.rows import Manifest
from pipeline.manifest.write_shards import write_shards
from pipeline.storage import Storage, check_writable, open_storage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.make_manifest",
        description="Turn a table (CSV, TSV, JSON, JSON Lines, Excel, text, any Parquet) into Parquet shards.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("lines", help="the table, a folder of them, or a glob")
    parser.add_argument("--output", required=True, help="folder for the shards; new or empty, or with --append")
    parser.add_argument(
        "--append", action="store_true", help="add to the shards that are there, without repeating rows"
    )
    parser.add_argument(
        "--rows-per-shard", type=count, default=100_000, help="rows of a shard, at most (default 100,000)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="how to read it, as in a config: columns.text=sentence, default_speaker=ada, table.delimiter=';'",
    )
    parser.add_argument("--endpoint-url", default=None, help="S3 endpoint for other stores than AWS")
    options = parser.parse_args(arguments)

    def make() -> int:
        raw: dict[str, Any] = {}
        apply_overrides(raw, options.set)
        settings = StorageConfig(endpoint_url=options.endpoint_url)
        target = open_storage(options.output, settings)
        check_writable("--output", options.output, settings)
        known = _open_known(target, options.output, append=options.append)
        manifest = Manifest.open(options.lines, settings, parse_reading(raw, "--set"))
        written = write_shards(manifest, target, options.rows_per_shard, known)
        said = f"; {written.num_known:,} were there already" if written.num_known else ""
        say(f"{written.num_rows:,} rows in {written.num_shards:,} shard(s) under {options.output}{said}")
        return EXIT_OK

    return run_command(in_options(make))


def _open_known(target: Storage, place: str, *, append: bool) -> Manifest | None:
    if next(target.list(), None) is None:
        return None
    if not append:
        raise ManifestError(f"{place}: the folder is not empty; name a new one, or add to it with --append")
    return Manifest.open(place, target.settings)


if __name__ == "__main__":
    sys.exit(run_guarded(main))
