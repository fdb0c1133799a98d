"""Measure the recognizer check: how many takes spoiled on purpose it refuses, and how many good ones.

python -m jobs.benchmark quality --weights demo --takes 300
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from jobs.console import EXIT_OK, run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement; the exit code is 0 unless settings are wrong."""
    parser = argparse.ArgumentParser(prog="python -m jobs.benchmark quality", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="demo", help="whose voices speak, and whose encoder tells them apart")
    parser.add_argument("--speakers", help="a speakers file; without it, the one beside the weights")
    parser.add_argument("--source", choices=("checkpoint", "flite"), default="checkpoint", help="who speaks the takes")
    parser.add_argument("--takes", type=int, default=300, help="a third of them are spoiled")
    parser.add_argument(
        "--seed", type=int, default=0, help="of texts and spoiling: choose settings on one, measure on another"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="of quality, as max_wer=0.6")
    parser.add_argument("--each", type=Path, help="write a JSON line for every take here, as it is judged")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args(arguments)
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    from pipeline.benchmark.quality import judge_takes, open_voices, summarize

    settings = dict(setting.split("=", 1) for setting in options.set if "=" in setting)
    voices, config = open_voices(options.source, options.weights, options.speakers, settings)
    takes = []
    for take in judge_takes(voices, config, options.takes, options.seed):
        takes.append(take)
        if options.each:
            with options.each.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(take)) + "\n")
    results = {
        "source": options.source,
        "seed": options.seed,
        "settings": config.quality.model_dump(),
        **summarize(takes),
    }
    print(json.dumps(results, indent=1))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
