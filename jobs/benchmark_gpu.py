"""The GPU's results compared with the CPU's, then its speed with what the card can do."""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path

from jobs.console import EXIT_OK, count, file_to_write
from pipeline.benchmark import OFFICIAL_SIZES
from pipeline.errors import ConfigError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    add = parser.add_argument
    add("--device", default="cuda", help="cpu: no numbers, but the same code, with TRITON_INTERPRET=1 set")
    add("--sizes", type=Path, default=OFFICIAL_SIZES, help="folder with configs and tokenizer (default: official ones)")
    slots = [64, 256, 1_024]
    add("--slots", type=count, nargs="+", default=slots, help="measure a step with each; the workload with the last")
    add("--utterances", type=count, default=2_048, help="of the workload (default 2048)")
    add("--prompts", type=count, default=32, help="whose tokens are compared with the CPU's (default 32)")
    add("--frames", type=count, default=48, help="of each of these answers (default 48)")
    add("--context", type=count, default=350, help="positions in a slot when a step is measured (default 350)")
    add("--max-context", type=count, default=1_536, help="positions that a slot can hold (default 1536)")
    add("--json", type=file_to_write, help="also write the numbers to this file")


def run(options: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    import torch

    if options.device != "cpu" and not torch.cuda.is_available():
        raise ConfigError(
            f"--device {options.device}: this machine has no GPU that torch can use; `--device cpu` tries the code out"
        )
    from pipeline.benchmark.gpu import GpuWorkload, measure_gpu
    from pipeline.benchmark.report import to_table

    logging.getLogger("pipeline").setLevel(logging.INFO)
    load = GpuWorkload(
        device=options.device,
        sizes_dir=options.sizes,
        slots=tuple(options.slots),
        num_utterances=options.utterances,
        num_prompts=options.prompts,
        num_frames=options.frames,
        context=options.context,
        max_context=options.max_context,
    )
    with tempfile.TemporaryDirectory() as folder:
        results = measure_gpu(load, Path(folder))
    print(to_table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return EXIT_OK
