"""Enroll speakers ahead of a run: `python -m jobs.enroll --config FILE [--set a.b=value ...] [--replace ID ...]`.

With `--replace` a speaker gets the voice of its changed definition or recording, and its rows are synthesized again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline import load_config
from pipeline.config.printable import one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 1 if a speaker was rejected (`speakers.on_error: reject`)."""
    parser = CommandParser(
        prog="python -m jobs.enroll",
        description="Turn the speakers file into voices, stored as speakers.parquet in the run's output.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="the run's YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    parser.add_argument(
        "--replace",
        action="append",
        default=[],
        metavar="ID",
        help="give this speaker the voice of its definition as it is now, and synthesize its rows again",
    )
    options = parser.parse_args(arguments)

    def enroll() -> int:
        config = load_config(options.config, options.set)  # What is wrong in it is said before Ray is imported.
        from pipeline import enroll_speakers, synthesize_manifest
        from pipeline.synthesis.speakers import describe_recording

        enrollment = enroll_speakers(config, options.replace)
        for speaker in enrollment.speakers.values():
            tokens = speaker.voice.global_tokens or ()
            say(f"{one_line(speaker.speaker_id)}\t{speaker.kind}\t{len(tokens)} global tokens, first {tokens[:4]}")
            for line in filter(None, (describe_recording(speaker.recording), *speaker.doubts)):
                say(f"  {line}")
        say(f"{len(enrollment.speakers):,} speaker(s) in {config.output.rstrip('/')}/speakers.parquet")
        if enrollment.rejected:
            say(f"{len(enrollment.rejected):,} speaker(s) rejected, and so will be their rows")
            return EXIT_REJECTIONS
        if options.replace:
            summary = synthesize_manifest(config)
            say(f"{summary.num_synthesized:,} row(s) synthesized again, {summary.num_kept:,} kept")
            return EXIT_REJECTIONS if summary.num_rejected else EXIT_OK
        return EXIT_OK

    return run_command(enroll, commits=True)


if __name__ == "__main__":
    sys.exit(run_guarded(main))
