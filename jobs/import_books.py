"""Make a manifest from books: `python -m jobs.import_books CATALOGUE --output MANIFEST [--casting casting.yaml]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jobs.console import EXIT_CODES, EXIT_OK, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline.books.account import describe_words
from pipeline.books.casting import Cast, read_casts
from pipeline.books.catalogue import ReadBook, RefusedBook, read_catalogue, refuse_unreadable
from pipeline.books.importing import import_books
from pipeline.config.books import ImportConfig, check_libraries
from pipeline.config.printable import one_line
from pipeline.config.run import StorageConfig
from pipeline.config.settings import check_settings
from pipeline.config.yaml_reader import read_settings
from pipeline.errors import ConfigError
from pipeline.storage import check_apart, check_writable, open_storage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.import_books",
        description="Turn books (EPUB, PDF, Word, FictionBook, HTML, Markdown, text) into a manifest of sentences.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("catalogue", help="folder or object-store prefix of books")
    parser.add_argument(
        "--output", help="where the manifest goes: a folder or prefix; one of an earlier import is updated"
    )
    parser.add_argument("--casting", help="YAML file with the speakers of each book")
    parser.add_argument("--narrator", default="narrator", help="speaker of books without a cast (default narrator)")
    parser.add_argument(
        "--config", type=Path, help="YAML file of `max_left_out`, `chapters` and `languages`: what is read of the books"
    )
    parser.add_argument("--dry-run", action="store_true", help="show books, casts and doubtful quotes; write nothing")
    parser.add_argument("--json", action="store_true", help="print the report as JSON Lines, a book a line")
    parser.add_argument("--endpoint-url", default=None, help="S3 endpoint for other stores than AWS")
    options = parser.parse_args(arguments)

    def make() -> int:
        settings = StorageConfig(endpoint_url=options.endpoint_url)
        if options.output is None and not options.dry_run:
            raise ConfigError("--output: required; say where the manifest goes, or pass --dry-run")
        if not options.narrator.strip():
            raise ConfigError("--narrator: empty; name the speaker of books without a cast")
        check_libraries()
        rules = check_settings(ImportConfig, read_settings(options.config, "max_left_out: 0.2"), str(options.config))
        casts = read_casts(options.casting, settings)
        if options.output is not None:
            reason = "where it would be read as books"
            check_apart("--output", options.output, "catalogue", options.catalogue, reason, settings)
            check_writable("--output", options.output, settings)
        catalogue, narrator = open_storage(options.catalogue, settings), Cast(narrator=options.narrator)
        if options.dry_run:
            reports: Iterable[dict[str, Any]] = (
                _report_of(book) for book in read_catalogue(catalogue, casts, narrator, rules)
            )
        else:
            reports = import_books(catalogue, open_storage(options.output, settings), casts, narrator, rules)
        problems = []
        for report in reports:
            if options.json or "words" in report:
                say(json.dumps(report) if options.json else describe(report, options.dry_run))
            problems += [report["problem"]] if "problem" in report else []
        refuse_unreadable(problems)
        return EXIT_OK

    return run_command(make)


def _report_of(book: ReadBook | RefusedBook) -> dict[str, Any]:
    if isinstance(book, ReadBook):
        return book.report
    return {"book_id": book.book_id, "path": book.path, **book.report, "state": "refused", "problem": book.problem}


def describe(report: dict[str, Any], with_parts: bool) -> str:
    """Return what a person wants to know of an imported book."""
    lines = [
        f"{report['book_id']}: {report['title']} by {report['author'] or 'unknown'} ({report['language'] or '?'}): "
        f"{len(report['chapters'])} chapters, {report['num_rows']:,} rows, {report['num_chars']:,} characters"
        + {"kept": ", kept as it was", "refused": ", not imported, see below"}.get(report.get("state", ""), "")
    ]
    lines += describe_words(report, with_parts=with_parts)
    for voice, count in report["rows_per_voice"].items():
        lines.append(f"  voice      {voice}: {count:,} rows")
    decided = sum(report["quotes_per_name"].values())
    lines.append(f"  quotes     {decided:,} of {report['num_quotes']:,} attributed, the narrator reads the rest")
    if with_parts:
        lines += [f"  speaks     {name}: {count:,} quotes" for name, count in report["quotes_per_name"].items()]
        for quote in report["doubtful"]:
            guess = f"{quote['guess'] or '?'} {quote['confidence']:.2f}"
            lines.append(f"  doubtful   chapter {quote['chapter']}: {quote['text'][:70]} ({guess})")
    return "\n".join(map(one_line, lines))


if __name__ == "__main__":
    sys.exit(run_guarded(main))
