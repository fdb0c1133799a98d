"""Enroll speakers ahead of a run: `python -m jobs.enroll --config FILE [--set a.b=value ...]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline import enroll_speakers, load_config
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
    options = parser.parse_args(arguments)

    def enroll() -> int:
        config = load_config(options.config, options.set)
        enrollment = enroll_speakers(config)
        for speaker in enrollment.speakers.values():
            tokens = speaker.voice.global_tokens or ()
            say(f"{one_line(speaker.speaker_id)}\t{speaker.kind}\t{len(tokens)} global tokens, first {tokens[:4]}")
        say(f"{len(enrollment.speakers):,} speaker(s) in {config.output.rstrip('/')}/speakers.parquet")
        if enrollment.rejected:
            say(f"{len(enrollment.rejected):,} speaker(s) rejected, and so will be their rows")
            return EXIT_REJECTIONS
        return EXIT_OK

    return run_command(enroll)


if __name__ == "__main__":
    sys.exit(run_guarded(main))
