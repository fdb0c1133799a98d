"""Synthesize a manifest: `python -m jobs.synthesize --config FILE [--set a.b=value ...] [--dry-run]`.

With `--only ID --to PLACE` a committed row is synthesized again in isolation and compared with the bytes of the output.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say, say_whose_voice
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline import Config, load_config
from pipeline.audio.clips import suffix_of
from pipeline.config.printable import one_line
from pipeline.errors import ConfigError
from pipeline.manifest.rows import safe_file_name
from pipeline.output.progress import RunSummary, format_duration
from pipeline.storage import check_writable, open_storage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.synthesize",
        description="Synthesize a manifest of text; the same command again goes on where it was.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML file with the whole run")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    parser.add_argument(
        "--dry-run", action="store_true", help="all of a run but the synthesis: its checks, what it would do"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="ID", help="synthesize this row again, in isolation"
    )
    parser.add_argument("--to", metavar="PLACE", help="folder or prefix for the clips of --only")
    options = parser.parse_args(arguments)
    if bool(options.only) != bool(options.to) or (options.only and options.dry_run):
        parser.error("--only ID and --to PLACE go together, and without --dry-run")

    def synthesize() -> int:
        config = load_config(options.config, options.set)  # What is wrong in it is said before Ray is imported.
        if options.dry_run:
            from jobs.dry_run import show_forecast

            return show_forecast(config)
        if options.only:
            return _replay(config, options.only, options.to)
        from pipeline import synthesize_manifest

        summary = synthesize_manifest(config)
        _print_summary(config, summary)
        return EXIT_REJECTIONS if summary.num_rejected else EXIT_OK

    return run_command(synthesize, commits=not (options.dry_run or options.only))


def _replay(config: Config, ids: Sequence[str], to: str) -> int:
    """Synthesize committed rows again, each in isolation; the exit code says whether all are as committed."""
    from pipeline import replay_rows

    target = open_storage(to, config.storage)
    if f"{target.uri.rstrip('/')}/".startswith(f"{open_storage(config.output, config.storage).uri.rstrip('/')}/"):
        raise ConfigError(f"--to {to}: lies in the output {config.output}, which stays as it is; name another place")
    check_writable("--to", to, config.storage)
    takes = replay_rows(config, ids)
    for take in takes:
        if take.clip is not None:
            target.put(f"{safe_file_name(take.utterance_id)}{suffix_of(config.audio.format)}", take.clip)
        found = take.sha256 or f"rejected: {take.error_code}: {take.message}"
        verdict = {True: "as committed", False: "DIFFERS from what is committed", None: "not committed yet"}
        say(f"{one_line(take.utterance_id)}\t{one_line(found)}\t{verdict[take.is_same]}")
    return EXIT_OK if all(take.is_same for take in takes) else EXIT_REJECTIONS


def _print_summary(config: Config, summary: RunSummary) -> None:
    say()
    say_whose_voice(config.weights)
    if config.weights == "random":
        say("The weights are random: what you hear is noise.")
    audio = format_duration(summary.audio_s)
    say(f"{summary.num_ok:,} of {summary.num_rows:,} utterances synthesized, {audio} of audio")
    if summary.num_units_done:
        say(f"this start: {format_duration(summary.elapsed_s)}, {summary.x_real_time:.2f} x real time")
    elif not summary.num_rows:
        say(f"nothing to do: {config.manifest} holds no rows")
    else:
        say("nothing to do: an earlier start committed every unit" + (" within `limit`" if config.limit else ""))
    if config.quality.choose == "best_of" and summary.takes_per_row is not None:
        say(f"best of {config.quality.best_of}: {summary.takes_per_row:.2f} takes made for each utterance kept")
    if summary.num_rows_left:
        say(f"{summary.num_rows_left:,} row(s) left; the same command without `limit` goes on with them")
    if summary.num_removed:
        say(f"{summary.num_removed:,} removed: withdrawn with jobs.remove, so they have no audio")
    if summary.rejected:
        reasons = ", ".join(f"{code} {count:,}" for code, count in sorted(summary.rejected.items()))
        say(f"{summary.num_rejected:,} rejected: {reasons}")
        for utterance_id, code, message in summary.examples:
            say(f"  {utterance_id!r:.60} {code}: {one_line(message):.200}")
    output = config.output.rstrip("/")
    place = f"{output}/audio" if config.audio.layout == "files" else f"python -m jobs.report {output}"
    say(f"listen: {place}   metadata: {output}/metadata (Parquet)")


if __name__ == "__main__":
    sys.exit(run_guarded(main))
