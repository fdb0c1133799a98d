"""Write a page about a run: `python -m jobs.report OUTPUT [--to FILE] [--chapters FOLDER] [--clips MB]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say, say_damaged
from jobs.guard import run_guarded
from jobs.options import CommandParser
from jobs.outputs import find_output
from pipeline.config.run import StorageConfig
from pipeline.output.report import DEFAULT_CLIPS_MB, write_report
from pipeline.output.status import Survey


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.report", description="Write a page about a run, report.html.", epilog=EXIT_CODES
    )
    parser.add_argument("output", help="the run's output, or a corpus: a folder or an object-store prefix")
    parser.add_argument("--to", metavar="FILE", help="address of the page (default: report.html in the output)")
    parser.add_argument("--chapters", metavar="PLACE", help="where jobs.assemble put the chapters, for their players")
    parser.add_argument(
        "--clips",
        type=int,
        default=DEFAULT_CLIPS_MB,
        metavar="MB",
        help="megabytes of clips that the page's data hold, for what cannot be read beside it (default: %(default)s)",
    )
    parser.add_argument("--endpoint-url", default=None, help="S3 endpoint for other stores than AWS")
    options = parser.parse_args(arguments)

    def write() -> int:
        output = find_output(options.output, options.endpoint_url)
        settings = StorageConfig(endpoint_url=options.endpoint_url)
        survey = Survey()
        places = {"chapters": options.chapters, "clips_mb": options.clips}
        say(write_report(output, options.to, **places, settings=settings, survey=survey))
        say_damaged(survey.summary())
        return EXIT_REJECTIONS if survey.num_damaged else EXIT_OK

    return run_command(write)


if __name__ == "__main__":
    sys.exit(run_guarded(main))
