"""The check of takes: how many spoiled ones each recognizer refuses, of ten kinds, and how many good ones."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.console import EXIT_OK
from jobs.options import count, file_to_write
from pipeline.errors import ConfigError
from pipeline.storage import write_bytes

if TYPE_CHECKING:
    from pipeline.benchmark.quality import JudgedTake


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    add = parser.add_argument
    add("--weights", default="demo", help="whose speakers are heard, and whose encoder compares voices (default demo)")
    add("--speakers", help="a speakers file; without it, the one beside the weights")
    add("--source", choices=("checkpoint", "flite"), default="checkpoint", help="who speaks the takes")
    add("--asr", default="pocketsphinx", help="recognizers that judge the same takes: whisper, or whisper,pocketsphinx")
    add("--asr-model", help="the model of whisper: a name, a directory or an address, as quality.asr_model")
    add("--takes", type=count, default=600, help="half of them are spoiled (default 600)")
    add("--seed", type=int, default=0, help="of texts and spoiling: choose settings on one, measure on another")
    add("--set", action="append", default=[], metavar="NAME=NUMBER", help="a setting of `quality`, as max_wer=0.6")
    add(
        "--each",
        type=file_to_write,
        metavar="FILE",
        help="write a JSON line for every take to this file, as it is judged; where it has some, go on behind them",
    )
    add("--json", type=file_to_write, help="also write the numbers to this file")


def run(options: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    from pipeline.benchmark.quality import judge_takes, open_voices, summarize

    settings = dict(_split_setting(setting) for setting in options.set)
    recognizers = {name: options.asr_model if name == "whisper" else None for name in options.asr.split(",")}
    voices, configs = open_voices(options.source, options.weights, options.speakers, recognizers, settings)
    measured = {
        "source": options.source,
        "weights": options.weights,
        "asr_model": options.asr_model,
        "seed": options.seed,
        "settings": {name: config.quality.limits() for name, config in configs.items()},
    }
    takes = _read_takes(options.each, measured) if options.each and options.each.exists() else []
    judged = Counter(take.number for take in takes)
    known = {number for number, judges in judged.items() if judges == len(recognizers)}
    takes = [take for take in takes if take.number in known]
    for take in judge_takes(voices, configs, options.takes, options.seed, known):
        takes.append(take)
        if options.each:
            lines = [measured, *map(asdict, takes)]
            write_bytes(str(options.each), "".join(f"{json.dumps(line)}\n" for line in lines).encode())
    takes = [take for take in takes if take.number < options.takes]
    results = {**measured, **{name: summarize([take for take in takes if take.recognizer == name]) for name in configs}}
    print(json.dumps(results, indent=1))
    if options.json:
        write_bytes(str(options.json), f"{json.dumps(results, indent=1)}\n".encode())
    return EXIT_OK


def _read_takes(path: Path, measured: dict[str, Any]) -> list[JudgedTake]:
    from pipeline.benchmark.quality import JudgedTake

    try:
        first, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        takes = [JudgedTake(**line) for line in lines]
    except (ValueError, TypeError):
        raise ConfigError(f"--each {path}: expected the takes of this command; name another file") from None
    if first != measured:
        differs = next(name for name in measured if not isinstance(first, dict) or first.get(name) != measured[name])
        raise ConfigError(f"--each {path}: its takes were measured with another {differs}; name another file")
    return takes


def _split_setting(setting: str) -> tuple[str, str]:
    name, equals, value = setting.partition("=")
    if not equals:
        raise ConfigError(f"--set {setting}: expected NAME=NUMBER, as max_wer=0.6")
    return name, value
