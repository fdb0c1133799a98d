"""Take rows or speakers out for good: `python -m jobs.remove OUTPUT --ids ... | --speakers ... --reason TEXT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline.config.printable import one_line
from pipeline.config.run import StorageConfig
from pipeline.dataset.corpus import is_corpus
from pipeline.dataset.takedown import Takedown, plan_takedown, take_down
from pipeline.errors import ConfigError
from pipeline.output.progress import format_duration
from pipeline.output.removal import Removal, plan_removal, read_ids, remove_rows
from pipeline.storage import open_storage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 removed, 1 if damage hides whose audio some files are."""
    parser = CommandParser(
        prog="python -m jobs.remove",
        description="Take rows or speakers out of an output or a whole data set for good: text, audio and enrolled "
        "tokens. Nothing brings them back; what is to be spoken again needs a new row with a new id.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("output", help="the run's output, or a corpus: a folder or an object-store prefix")
    parser.add_argument(
        "--ids",
        nargs="+",
        default=[],
        metavar="ID",
        help="these utterance_ids; where there is a file of such a name, those in it (text, one a line, or Parquet)",
    )
    parser.add_argument("--speakers", nargs="+", default=[], metavar="ID", help="all rows of these speaker_ids")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="kept with every row that is removed")
    parser.add_argument("--dry-run", action="store_true", help="check the ids and count what would go")
    parser.add_argument("--endpoint-url", default=None, help="S3 endpoint for other stores than AWS")
    options = parser.parse_args(arguments)
    if not (options.ids or options.speakers):
        parser.error("say what to remove: --ids or --speakers")
    if not options.reason.strip():
        parser.error("--reason: expected a few words, which are all that stays of what is removed")

    def remove() -> int:
        storage = open_storage(options.output, StorageConfig(endpoint_url=options.endpoint_url))
        ids, reason = _collect_ids(options.ids), options.reason.strip()
        done = "would be removed" if options.dry_run else "removed"
        if is_corpus(storage):
            plan = partial(plan_takedown, storage, ids, options.speakers)
            takedown = plan() if options.dry_run else take_down(storage, ids, options.speakers, reason)
            _describe_takedown(takedown, done)
            removal = takedown.removal
        elif options.dry_run:
            removal = plan_removal(storage, ids, options.speakers)
        else:
            removal = remove_rows(storage, ids, options.speakers, reason)
        _describe(removal, done)
        if options.dry_run:
            say("Nothing was removed: this was a dry run.")
            return EXIT_OK
        if removal.is_complete:
            return EXIT_OK
        say(
            "not all: commits are damaged or lost, so that nobody knows whose audio some files are; run "
            f"jobs.verify {options.output} --repair, then this command again"
        )
        return EXIT_REJECTIONS

    return run_command(remove, commits=not options.dry_run)


def _collect_ids(words: Sequence[str]) -> list[str]:
    ids: list[str] = []
    for word in words:
        path = Path(word)
        try:
            found = read_ids(path.read_bytes(), word) if path.is_file() else [word]
        except OSError as error:
            raise ConfigError(f"--ids {word}: cannot be read: {error.strerror}; pass another file") from error
        if found != [word]:
            say(f"{len(found):,} id(s) from {word}")
        ids += found
    return list(dict.fromkeys(ids))


def _describe_takedown(takedown: Takedown, done: str) -> None:
    say(f"{takedown.num_rows:,} row(s) of {takedown.num_files:,} data file(s) {done}")
    if takedown.snapshots:
        nights = ", ".join(takedown.snapshots)
        say(f"snapshots with a new revision, whose earlier one nobody can make again: {nights}")
    for place in takedown.publications:
        say(f"still published at {one_line(place)} until the next publication: run jobs.dataset again")


def _describe(removal: Removal, done: str) -> None:
    rows = removal.rows
    audio = f"{rows.num_ok:,} with {format_duration(rows.audio_s)} of audio, {rows.rejected.total():,} rejected"
    say(f"{rows.num_ok + rows.rejected.total():,} row(s) {done}: {audio}")
    if rows.num_removed:
        say(f"{rows.num_removed:,} row(s) had been removed before")
    for speaker in removal.speakers:
        say(f"the voice of {one_line(speaker)} {done}")
    if removal.books:
        books = ", ".join(one_line(book) for book in sorted(removal.books)[:20])
        say(f"assemble these books again, since their chapters hold what was said: {books}")


if __name__ == "__main__":
    sys.exit(run_guarded(main))
