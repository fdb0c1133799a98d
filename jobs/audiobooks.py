"""From books to chapters: `python -m jobs.audiobooks --config FILE [--set a.b=value ...] [--dry-run]`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say
from jobs.dry_run import check_books
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline import AudiobooksSummary, Config, load_config, make_audiobooks
from pipeline.books.account import describe_words
from pipeline.books.catalogue import refuse_unreadable
from pipeline.books.estimate import BookEstimate, CatalogueEstimate, estimate_catalogue
from pipeline.config.printable import one_line
from pipeline.errors import SynthesisError
from pipeline.output.progress import format_duration

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
        config = load_config(options.config, options.set)
        if options.dry_run:
            return _estimate(config, as_json=options.json)
        summary = make_audiobooks(config)
        _print_summary(config, summary)
        refuse_unreadable(summary.refused)
        return EXIT_REJECTIONS if summary.num_failed else EXIT_OK

    return run_command(make)


def _estimate(config: Config, *, as_json: bool) -> int:
    estimate, problem = estimate_catalogue(config), None
    try:
        estimate = check_books(config, estimate)
    except SynthesisError as error:
        problem = error  # What was counted is shown all the same.
    counted = {name: value for name, value in asdict(estimate).items() if name != "sample"}
    say(json.dumps(counted) if as_json else describe(config, estimate))
    if problem is not None:
        raise problem
    refuse_unreadable([book.problem for book in estimate.refused])
    return EXIT_REJECTIONS if estimate.total.rejected else EXIT_OK


def describe(config: Config, estimate: CatalogueEstimate) -> str:
    """Return what a catalogue comes to, for a person."""
    total, cost = estimate.total, estimate.cost
    lines = [f"{one_line(book.book_id)}: {one_line(book.title)}\n{_describe_book(book)}" for book in estimate.books]
    for refused in estimate.refused:
        lines.append(f"{one_line(refused.book_id)}: not imported, see below")
        lines += describe_words(refused.report, with_parts=True)
    lines.append(f"total: {len(estimate.books):,} book(s)\n{_describe_book(total)}")
    lines.append(f"  pace       {estimate.pace:.2f} x the expected seconds, {estimate.pace_source}")
    if total.num_removed:
        lines.append(f"  removed    {total.num_removed:,} sentences were withdrawn, and are not spoken")
    if total.num_done:
        left = f"{format_duration(total.left_s)} of audio are left"
        lines.append(f"  done       {total.num_done:,} sentences are in {config.output}; {left}")
    if cost.elapsed_s is None or cost.x_real_time is None:
        lines.append(f"  time       not known: {cost.source}")
    else:
        machines = [f"{cost.gpu_hours:.2f} GPU-hours"] * bool(cost.gpu_hours) + [f"{cost.cpu_hours:.2f} CPU-hours"]
        lines += [
            f"  time       {format_duration(cost.elapsed_s)} with {cost.num_replicas} LLM replica(s), "
            f"{cost.x_real_time:.2f} x real time, {cost.source}",
            f"  machines   {', '.join(machines)}",
        ]
    lines += [f"  look at    {line.utterance_id}: {line.reason}: {line.text}" for line in total.examples]
    return "\n".join([*lines, "Nothing was written: this was a dry run."])


def _describe_book(book: BookEstimate) -> str:
    reasons = [f"{count:,} {reason}" for reason, count in (book.rejected + book.suspicious).most_common()]
    return "\n".join(
        [
            *describe_words(book.account, with_parts=True),
            f"  text       {book.num_chars:,} characters in {book.num_rows:,} sentences, "
            f"{book.num_segments:,} segments, {book.num_units:,} units",
            f"  audio      {format_duration(book.audio_s)} ({book.audio_s / 3_600:.2f} h), "
            f"{format_duration(book.chapters_s)} in {book.num_chapters:,} chapters with their pauses",
            f"  output     {book.output_bytes / 1e6:,.1f} MB",
            f"  lines      {book.rejected.total():,} rejected, {book.suspicious.total():,} suspicious"
            + (f": {', '.join(reasons)}" if reasons else ""),
        ]
    )


def _print_summary(config: Config, summary: AudiobooksSummary) -> None:
    assert config.audiobook is not None
    run, states = summary.run, Counter(chapter.state for chapter in summary.chapters)
    say()
    if config.weights == "demo":
        say('This is the small demo voice. For the real one see README, "Bring the official weights".')
    say(f"books      {len(summary.books):,}, of which {sum(book['state'] == 'kept' for book in summary.books):,} kept")
    say(f"sentences  {run.num_ok:,} of {run.num_rows:,} synthesized, {format_duration(run.audio_s)} of audio")
    say("chapters   " + (", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "none"))
    if run.num_units_left:
        say(f"{run.num_units_left:,} unit(s) left; the same command without `limit` goes on with them")
    problems = [] if run.num_units_left else [chapter for chapter in summary.chapters if chapter.problems]
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
