"""Synthesize chosen rows again: `python -m jobs.redo OUTPUT --ids A B | --code CODE | --rejected [--next-take]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from jobs.outputs import find_output
from pipeline import load_config
from pipeline.config.run import StorageConfig
from pipeline.errors import RejectionCode
from pipeline.storage import open_storage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 1 if a row is rejected again, or none was chosen."""
    parser = CommandParser(
        prog="python -m jobs.redo",
        description="Synthesize chosen rows again; all others keep their audio.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("output", help="the run's output, or a corpus: a folder or an object-store prefix")
    parser.add_argument("--ids", nargs="+", default=[], metavar="ID", help="these utterance_ids")
    codes = [str(code) for code in RejectionCode]
    parser.add_argument(
        "--code", nargs="+", default=[], metavar="CODE", choices=codes, help=f"rejected with one of {', '.join(codes)}"
    )
    parser.add_argument("--rejected", action="store_true", help="every rejected row")
    parser.add_argument("--next-take", action="store_true", help="with the next seed, for other audio")
    parser.add_argument(
        "--ray", action="store_true", help="on Ray, even a few rows, which are made in this process otherwise"
    )
    parser.add_argument("--config", metavar="FILE", help="the run's config, if not as in run.json")
    parser.add_argument("--endpoint-url", default=None, help="S3 endpoint for other stores than AWS")
    options = parser.parse_args(arguments)
    if not (options.ids or options.code or options.rejected):
        parser.error("say which rows: --ids, --code or --rejected")

    def redo() -> int:
        # What is wrong in a config is said before Ray is imported.
        config = load_config(options.config, {"output": options.output}) if options.config else None
        from pipeline import redo_rows
        from pipeline.run.repair import Selection, choose_config

        output = find_output(options.output, options.endpoint_url)
        storage = open_storage(output, StorageConfig(endpoint_url=options.endpoint_url))
        config = choose_config(output, storage, config)
        selection = Selection(frozenset(options.ids), frozenset(options.code), options.rejected)
        counts = redo_rows(config, selection, next_take=options.next_take, on_ray=options.ray)
        if not counts.num_rows:
            say("no row was chosen: nothing to do; duplicates and removed rows are never synthesized again")
            return EXIT_REJECTIONS if options.ids else EXIT_OK
        say(f"{counts.num_rows:,} row(s) synthesized again: {counts.describe()}")
        return EXIT_REJECTIONS if counts.rejected else EXIT_OK

    return run_command(redo, commits=True)


if __name__ == "__main__":
    sys.exit(run_guarded(main))
