"""Enroll speakers ahead of a run: `python -m jobs.enroll --config FILE [--set a.b=value ...]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.console import EXIT_CODES, EXIT_OK, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline import enroll_speakers, load_config
from pipeline.config.printable import one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
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
        registry = enroll_speakers(config)
        for speaker in registry.values():
            tokens = speaker.voice.global_tokens or ()
            say(f"{one_line(speaker.speaker_id)}\t{speaker.kind}\t{len(tokens)} global tokens, first {tokens[:4]}")
        say(f"{len(registry)} speaker(s) in {config.output.rstrip('/')}/speakers.parquet")
        return EXIT_OK

    return run_command(enroll)


if __name__ == "__main__":
    sys.exit(run_guarded(main))
