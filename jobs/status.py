"""Show how far an output is, without Ray or weights: `python -m jobs.status OUTPUT [--json]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say, say_damaged
from jobs.guard import run_guarded
from jobs.options import CommandParser
from jobs.outputs import find_output
from pipeline import read_status
from pipeline.config.printable import one_line
from pipeline.output.histograms import MEASURES
from pipeline.output.progress import format_duration

_MAX_BOOKS = 20
_MAX_PROBLEM = 500


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.status",
        description="Show how far an output is; needs neither Ray nor weights.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("output", help="the run's output, or a corpus: a folder or an object-store prefix")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--endpoint-url", default=None, help="S3 endpoint for other stores than AWS")
    options = parser.parse_args(arguments)

    def show() -> int:
        output = find_output(options.output, options.endpoint_url)
        status = read_status(output, options.endpoint_url)
        exit_code = EXIT_REJECTIONS if status["num_damaged_commits"] else EXIT_OK
        if options.json:
            say(json.dumps(status))
            return exit_code
        say(f"{output}: {_describe_state(status)}")
        say(f"  rows      {status['num_committed_rows']:,} of {status['num_rows']:,} committed")
        say(f"  units     {status['num_committed_units']:,} of {status['num_units']:,}")
        say(f"  audio     {format_duration(status['audio_s'])} in {status['num_ok']:,} clips")
        if status["takes_per_row"] is not None:
            say(f"  takes     {status['takes_per_row']:.2f} made for each clip")
        say(f"  rejected  {status['num_rejected']:,}")
        for code, count in sorted(status["rejected"].items()):
            say(f"    {code:20} {count:,}")
        if status["num_removed"]:
            say(f"  removed   {status['num_removed']:,}")
        _print_measures(status)
        say_damaged(status)
        return exit_code

    return run_command(show)


def _describe_state(status: dict[str, Any]) -> str:
    state, since = status["state"], str(status["started_at"] or "").replace("T", " ")[:19]
    if state == "running":
        speed = "nothing committed by this start yet"
        if status["rows_per_hour"]:
            speed = f"{status['rows_per_hour']:,.0f} rows an hour, about {format_duration(status['left_s'])} left"
        return f"running, {one_line(status['driver'])}; {speed}"
    if state == "failed":
        return f"failed, start of {since} UTC: {one_line(status['problem'])[:_MAX_PROBLEM]}"
    if state == "interrupted":
        return f"interrupted, start of {since} UTC; the same command goes on"
    if state == "sampled":
        return "the sample that limit asks for is finished; a start without limit makes the rest"
    return str(state)


def _print_measures(status: dict[str, Any]) -> None:
    for measure in MEASURES:
        found = status["measures"][measure.name]
        if found is not None:
            say(
                f"  {measure.title.lower():9} median {found['median']:.1f} {measure.unit}, {found['num_outliers']:,} "
                f"outlier(s) outside {found['low']:.1f} to {found['high']:.1f}"
            )
    for book in status["books"][:_MAX_BOOKS]:
        say(
            f"  book      {one_line(book['book_id'])}: {len(book['chapters']):,} chapters, {book['num_rows']:,} rows, "
            f"{book['num_rejected']:,} rejected, {format_duration(book['audio_s'])}"
        )
    if len(status["books"]) > _MAX_BOOKS:
        say(f"            and {len(status['books']) - _MAX_BOOKS:,} more; --json has them all, with their chapters")


if __name__ == "__main__":
    sys.exit(run_guarded(main))
