"""The figures that papers print, of any weights: `python -m jobs.evaluate --weights WEIGHTS --list meta.lst`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser, count, file_to_write
from pipeline.config.config_file import apply_overrides
from pipeline.config.printable import to_json
from pipeline.storage import write_bytes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 1 if an utterance has no audio."""
    parser = CommandParser(
        prog="python -m jobs.evaluate",
        description="Measure a voice as papers do: words, voices, the codec's copies, control, naturalness, speed. "
        "In one process, without Ray. Published figures beside it are of the official weights and were not run here.",
        epilog=EXIT_CODES,
    )
    add = parser.add_argument
    add("--weights", default="demo", help="a model directory, an address or `demo` (default)")
    add("--speakers", metavar="FILE", help="speakers file; default: those that come with the weights")
    add(
        "--list",
        metavar="FILE",
        help="what is said: lines `name|text of the prompt|its recording|text` (the meta.lst of seed-tts-eval), or a "
        "manifest; default: everyday sentences in clones of the weights' own voices",
    )
    add("--count", type=count, metavar="N", help="so many utterances, spread over the list; default: all, or 40")
    add("--language", default="en", help="of the texts (default en); zh counts characters")
    add("--asr", choices=("none", "pocketsphinx", "whisper"), default="none", help="who hears the words")
    add("--asr-model", metavar="MODEL", help="the model of whisper: a name, a directory or an address")
    add("--speaker-model", metavar="FOLDER", help="a WavLM x-vector model of transformers, which compares voices")
    add("--control-texts", type=count, default=2, metavar="N", help="texts for each made-up voice (default 2)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of a run, as llm.slots=8")
    add("--json", type=file_to_write, metavar="FILE", help="also write the table to this file")
    options = parser.parse_args(arguments)
    return run_command(lambda: _evaluate(options))


def _evaluate(options: argparse.Namespace) -> int:
    from pipeline.benchmark.evaluation.evaluation import Request, evaluate
    from pipeline.benchmark.evaluation.figures import as_json, format_table

    settings: dict[str, Any] = {}
    apply_overrides(settings, options.set)
    figures = evaluate(
        Request(
            weights=options.weights,
            speakers=options.speakers,
            list=options.list,
            count=options.count,
            language=options.language,
            asr=options.asr,
            asr_model=options.asr_model,
            speaker_model=options.speaker_model,
            num_control_texts=options.control_texts,
            settings=settings,
        )
    )
    for line in format_table(figures):
        say(line)
    if options.json:
        table = {"weights": options.weights, "list": options.list, "language": options.language}
        content = to_json({**table, "figures": as_json(figures)}, indent=1)
        write_bytes(str(options.json), f"{content}\n".encode())
    return EXIT_REJECTIONS if figures[0].value else EXIT_OK


if __name__ == "__main__":
    sys.exit(run_guarded(main))
