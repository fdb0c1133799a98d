"""Make chapters from a run's clips: `python -m jobs.assemble OUTPUT --to FOLDER [--formats wav,flac,m4b] [--acx]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline.books.assembly import ChapterReport, assemble
from pipeline.config.books import ACX, AssemblyConfig
from pipeline.config.printable import one_line
from pipeline.config.run import StorageConfig
from pipeline.config.settings import check_settings
from pipeline.config.yaml_reader import read_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.assemble",
        description="Join a run's clips into chapters; needs neither Ray nor weights.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("output", help="the run's output: a folder or an object-store prefix")
    parser.add_argument("--to", required=True, help="where chapters go: a folder or an object-store prefix")
    parser.add_argument("--config", type=Path, help="YAML file of pauses, loudness and formats")
    parser.add_argument("--formats", help="comma-separated: wav, flac, m4b, opus, mp3, epub (default wav)")
    parser.add_argument(
        "--acx", action="store_true", help="settings that meet ACX, and exit 1 where a chapter does not"
    )
    parser.add_argument(
        "--covers", help="folder or prefix of <book_id>.jpg or .png; MANIFEST/_covers has those of EPUBs"
    )
    parser.add_argument("--contents", metavar="MANIFEST", help="the manifest of jobs.import_books, for changed books")
    parser.add_argument("--books", metavar="CATALOGUE", help="the books; an EPUB gives its pages to `--formats epub`")
    parser.add_argument("--allow-missing", action="store_true", help="make chapters without their rejected sentences")
    parser.add_argument("--endpoint-url", default=None, help="S3 endpoint for other stores than AWS")
    options = parser.parse_args(arguments)

    def make() -> int:
        config = read_config(options.config, options.formats, options.acx)
        code = EXIT_OK
        reports = assemble(
            options.output,
            options.to,
            config,
            allow_missing=options.allow_missing,
            covers=options.covers,
            contents=options.contents,
            books=options.books,
            settings=StorageConfig(endpoint_url=options.endpoint_url),
        )
        for report in reports:
            say(describe(report, options.acx))
            if report.problems or (options.acx and report.acx):
                code = EXIT_REJECTIONS
        return code

    return run_command(make)


def read_config(path: Path | None, formats: str | None, acx: bool) -> AssemblyConfig:
    """Read the settings; what the command line says wins.

    Raises:
        ConfigError: the file cannot be read or a setting is wrong.
    """
    changes = read_settings(path, "target_lufs: -19")
    if formats:
        changes = {**changes, "formats": [name.strip() for name in formats.split(",")]}
    return check_settings(AssemblyConfig, {**ACX, **changes} if acx else changes, str(path or "settings"))


def describe(report: ChapterReport, acx: bool) -> str:
    """Return what a person wants to know of a chapter."""
    line = one_line(f"{report.book_id} {report.chapter:3d} {report.title}: {report.state}")
    if report.loudness is not None:
        found = report.loudness
        line += (
            f", {report.num_samples / report.sample_rate:.1f} s, {found.lufs:.1f} LUFS, RMS {found.rms_dbfs:.1f}, "
            f"peak {found.peak_dbfs:.1f}, noise floor {found.noise_floor_dbfs:.1f} dBFS"
        )
    misses = [f"  ACX: {text}" for text in report.acx] if acx else []
    return "\n".join([line, *misses, *(f"  missing: {text}" for text in report.problems)])


if __name__ == "__main__":
    sys.exit(run_guarded(main))
