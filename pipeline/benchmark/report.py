"""Sets a benchmark up, runs its parts in order, and prints what was found."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline.benchmark import parts
from pipeline.benchmark.machine import choose_clock, describe_machine, measure_product_rate
from pipeline.benchmark.official import OfficialDecoder, OfficialLLM
from pipeline.benchmark.overhead import measure_overhead, measure_scaling
from pipeline.benchmark.reproducible_takes import are_all_equal, compare_takes, read_rows
from pipeline.benchmark.text_speed import measure_text
from pipeline.benchmark.workload import draw_lengths, make_llm_tensors, make_tasks, read_vocabulary, write_codec
from pipeline.codec import BiCodec
from pipeline.errors import ConfigError
from pipeline.llm.checkpoint import Qwen2Config
from pipeline.llm.qwen2 import Qwen2

logger = logging.getLogger(__name__)

_STEP_CONTEXT = 300
_CODEC_ITEMS = 16
_BAR = 40
"""Characters of the longest bar."""
_MAX_CONTEXT = 1_536
_SPEECH = {"shortest_s": 2.0, "mean_s": 6.0, "longest_s": 20.0}
_QUICK_SPEECH = {"shortest_s": 0.4, "mean_s": 0.6, "longest_s": 1.0}


def run_parts(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the numbers of each part that was asked for.

    Args:
        options: of the command.
        folder: for the weights, which are made here.

    Raises:
        ConfigError: settings that do not go together, or unlike things to compare.
        WeightsError: no sizes or no tokenizer.
    """
    clock = choose_clock(options.clock, options.threads)
    torch.set_num_threads(options.threads)
    speech = _QUICK_SPEECH if options.quick else _SPEECH
    num_utterances, num_rounds = (16, 1) if options.quick else (options.utterances, options.rounds)
    results: dict[str, Any] = {"machine": describe_machine(options.threads, options.clock)}
    results["machine"]["product_gflops"] = measure_product_rate(clock, getattr(torch, options.dtype))
    dtypes = {"dtype": options.dtype, "official_dtype": "float32"}
    results["workload"] = {"utterances": num_utterances, "slots": options.slots, **dtypes, **speech}
    logger.info("%s", results)
    runs = _whole_runs(options, folder)
    if not set(options.parts) <= runs.keys():
        runs |= _comparisons(options, folder, speech, num_utterances, num_rounds, clock)
    for name in options.parts:
        results[name] = runs[name]()
        logger.info("%s: %s", name, results[name])
    return results


def _whole_runs(options: argparse.Namespace, folder: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return the parts that run the whole pipeline on Ray, which need no network of the official size."""
    num_takes, dtypes = (8, options.dtypes[:1]) if options.quick else (options.takes, options.dtypes)
    counts = [100, 400] if options.quick else options.counts

    def find_book() -> Path:
        if not options.book.is_file():
            raise ConfigError(f"--book {options.book}: no such file; name a plain text")
        return Path(options.book)

    def reproducible_takes() -> dict[str, Any]:
        rows = read_rows([find_book().read_text(encoding="utf-8")], num_takes)
        found = [compare_takes(rows, options.weights, dtype, folder / dtype) for dtype in dtypes]
        return {"rounds": found, "all_equal": all(map(are_all_equal, found))}

    return {
        "text": lambda: measure_text(find_book()),
        "reproducible-takes": reproducible_takes,
        "overhead": lambda: measure_overhead(counts, folder / "overhead"),
        "scaling": lambda: measure_scaling(counts, folder / "scaling"),
    }


def _comparisons(
    options: argparse.Namespace,
    folder: Path,
    speech: dict[str, float],
    num_utterances: int,
    num_rounds: int,
    clock: Callable[[], float],
) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return the parts in which networks of the official size meet the official way."""
    candidates = _make_candidates(options, folder)
    tasks = make_tasks(candidates.vocabulary, draw_lengths(num_utterances, 0, **speech))
    num_baselines = 1 if options.quick else options.official_utterances
    baselines = make_tasks(candidates.vocabulary, draw_lengths(num_baselines, 0, **speech), seed=1_000_000)
    few = tasks[: max(8, len(tasks) // 8)]
    # Of their own number, so that they have the stated lengths, too; the longest would be most of a smaller one's work.
    items = make_tasks(candidates.vocabulary, draw_lengths(_CODEC_ITEMS, 0, **speech))
    for some in (tasks, few, items):
        some.sort(key=lambda task: -task.num_frames)  # As a replica starts a unit's rows.
    return {
        "codec": lambda: parts.compare_codec(candidates, items, 3, clock),
        "steps": lambda: parts.share_step(candidates, _STEP_CONTEXT, clock),
        "shapes": lambda: parts.price_shapes(candidates, few, num_rounds, clock),
        "pipeline": lambda: parts.compare_pipeline(candidates, tasks, baselines, num_rounds, clock),
        "peers": lambda: parts.compare_peers(candidates, few, clock),
    }


def _make_candidates(options: argparse.Namespace, folder: Path) -> parts.Candidates:
    vocabulary = read_vocabulary(options.sizes, folder)
    config = Qwen2Config.read(options.sizes / "LLM" / "config.json")
    tensors = make_llm_tensors(config, vocabulary.stop_ids)
    model_dir = write_codec(options.sizes, folder)
    dtype = getattr(torch, options.dtype)
    codec = BiCodec.load(model_dir, dtype=dtype)
    codec.prepare_decoding()
    ours = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    stop = vocabulary.stop_ids[0]
    candidates = parts.Candidates(
        model=Qwen2(config, ours, options.slots, min(_MAX_CONTEXT, config.max_position_embeddings)),
        num_slots=options.slots,
        vocabulary=vocabulary,
        codec=codec,
        official_llm=OfficialLLM(config, tensors, stop),
        official_decoder=OfficialDecoder(model_dir, codec.config),
    )
    return candidates


def to_table(results: dict[str, Any]) -> str:
    """Return the numbers as Markdown, a line each."""
    lines = ["| part | what | found |", "|---|---|---|"]
    for part, found in results.items():
        rounds = found.get("rounds")
        for index, numbers in enumerate(rounds or [found]):
            name = f"{part} {index + 1}" if rounds else part
            lines += [f"| {name} | {what} | {_show(value)} |" for what, value in numbers.items()]
    return "\n".join(lines)


def to_picture(results: dict[str, Any]) -> str:
    """Return bars of where the time goes: a decode step, the codec's blocks, and both stages' part of a second."""
    steps, codec = results.get("steps", {}), results.get("codec", {})
    rounds = results.get("pipeline", {}).get("rounds", [])
    groups = {
        "a decode step, ms": {name: value for name, value in steps.items() if name not in ("total", "python_at_most")},
        "the codec, %": {
            name.removeprefix("share of "): 100 * value for name, value in codec.items() if name.startswith("share of ")
        },
        "a second of audio, s": {
            name: rounds[-1][name]
            for name in ("ours_llm", "ours_prefill", "ours_codec", "official_llm", "official_codec")
            if rounds
        },
    }
    lines = []
    for title, shares in groups.items():
        if shares:
            longest = max(shares.values()) or 1.0
            bars = ((name, value, "#" * round(_BAR * value / longest)) for name, value in shares.items())
            lines += ["", title, *(f"  {name:<18} {bar:<{_BAR}} {_show(float(value))}" for name, value, bar in bars)]
    return "\n".join(lines)


def _show(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
