"""From books to chapters: `python -m jobs.audiobooks --config FILE [--set a.b=value ...]`; again to go on."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from jobs.console import EXIT_OK, EXIT_REJECTIONS, run_command
from pipeline import AudiobooksSummary, Config, load_config, make_audiobooks
from pipeline.progress import format_duration

_MAX_SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.audiobooks",
        description="Import a catalogue of books, voice it, assemble its chapters; a second call does what is missing.",
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML file with the whole run")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    options = parser.parse_args(arguments)

    def make() -> int:
        config = load_config(options.config, options.set)
        summary = make_audiobooks(config)
        _print_summary(config, summary)
        return EXIT_REJECTIONS if summary.num_failed else EXIT_OK

    return run_command(make)


def _print_summary(config: Config, summary: AudiobooksSummary) -> None:
    assert config.audiobook is not None
    run, states = summary.run, Counter(chapter.state for chapter in summary.chapters)
    print()
    if config.weights == "demo":
        print('This is the small demo voice. For the real one see README, "Bring the official weights".')
    print(
        f"books      {len(summary.books):,}, of which {sum(book['state'] == 'kept' for book in summary.books):,} kept"
    )
    print(f"sentences  {run.num_ok:,} of {run.num_rows:,} voiced, {format_duration(run.audio_s)} of audio")
    print("chapters   " + (", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "none"))
    if run.num_units_left:
        print(f"{run.num_units_left:,} unit(s) left; the same command without `limit` goes on with them")
    problems = [] if run.num_units_left else [chapter for chapter in summary.chapters if chapter.problems]
    for chapter in problems[:_MAX_SHOWN]:
        print(f"  {chapter.book_id} {chapter.chapter}: {len(chapter.problems):,} missing, {chapter.problems[0]:.200}")
    for chapter in [chapter for chapter in summary.chapters if chapter.acx][:_MAX_SHOWN]:
        print(f"  {chapter.book_id} {chapter.chapter}: ACX: {'; '.join(chapter.acx)}")
    if problems:
        print("another take of what was rejected: python -m jobs.redo OUTPUT --rejected --next-take; then this again")
    print(f"listen: {config.audiobook.chapters}")


if __name__ == "__main__":
    sys.exit(main())
