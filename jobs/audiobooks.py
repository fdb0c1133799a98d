"""From books to chapters: `python -m jobs.audiobooks --config FILE [--set a.b=value ...] [--dry-run]`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say, say_whose_voice
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline import Config, load_config
from pipeline.config.printable import one_line
from pipeline.errors import SynthesisError
from pipeline.output.progress import format_duration

if TYPE_CHECKING:
    from pipeline import AudiobooksSummary

_MAX_SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.audiobooks",
        description="From books to chapters: import, synthesize, assemble; a second call does what is missing.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML file with the whole run")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    parser.add_argument("--dry-run", action="store_true", help="print what it comes to; write nothing, spend nothing")
    parser.add_argument("--json", action="store_true", help="with --dry-run: print JSON")
    options = parser.parse_args(arguments)
    if options.json and not options.dry_run:
        parser.error("--json goes with --dry-run")

    def make() -> int:
        config = load_config(options.config, options.set)  # What is wrong in it is said before Ray is imported.
        if options.dry_run:
            return _estimate(config, as_json=options.json)
        from pipeline import make_audiobooks
        from pipeline.books.catalogue import refuse_unreadable

        summary = make_audiobooks(config)
        _print_summary(config, summary)
        refuse_unreadable(summary.refused)
        return EXIT_REJECTIONS if summary.num_failed else EXIT_OK

    return run_command(make, commits=not options.dry_run)


def _estimate(config: Config, *, as_json: bool) -> int:
    from jobs.dry_run import check_books, describe_books
    from pipeline.books.catalogue import refuse_unreadable
    from pipeline.books.estimate import estimate_catalogue

    estimate, problem = estimate_catalogue(config), None
    try:
        estimate = check_books(config, estimate)
    except SynthesisError as error:
        problem = error  # What was counted is shown all the same.
    counted = {name: value for name, value in asdict(estimate).items() if name != "sample"}
    say(json.dumps(counted) if as_json else describe_books(config, estimate))
    if problem is not None:
        raise problem
    refuse_unreadable([book.problem for book in estimate.refused])
    return EXIT_REJECTIONS if estimate.total.rejected else EXIT_OK


def _print_summary(config: Config, summary: AudiobooksSummary) -> None:
    assert config.audiobook is not None
    run, states = summary.run, Counter(chapter.state for chapter in summary.chapters)
    say()
    say_whose_voice(config.weights)
    say(f"books      {len(summary.books):,}, of which {sum(book['state'] == 'kept' for book in summary.books):,} kept")
    say(f"sentences  {run.num_ok:,} of {run.num_rows:,} synthesized, {format_duration(run.audio_s)} of audio")
    say("chapters   " + (", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "none"))
    if run.num_rows_left:
        say(f"{run.num_rows_left:,} row(s) left; the same command without `limit` goes on with them")
    problems = [] if run.num_rows_left else [chapter for chapter in summary.chapters if chapter.problems]
    for chapter in problems[:_MAX_SHOWN]:
        missing = f"{len(chapter.problems):,} missing, {chapter.problems[0]:.200}"
        say(one_line(f"  {chapter.book_id} {chapter.chapter}: {missing}"))
    for chapter in [chapter for chapter in summary.chapters if chapter.acx][:_MAX_SHOWN]:
        say(f"  {one_line(chapter.book_id)} {chapter.chapter}: ACX: {'; '.join(chapter.acx)}")
    if problems:
        say("another take of what was rejected: python -m jobs.redo OUTPUT --rejected --next-take; then this again")
    say(f"listen: {config.audiobook.chapters}   look: {summary.report}")


if __name__ == "__main__":
    sys.exit(run_guarded(main))
