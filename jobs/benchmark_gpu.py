"""The GPU's results compared with the CPU's, then its speed with what the card can do."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from jobs.console import EXIT_OK, EXIT_REJECTIONS, say
from jobs.options import count, file_to_write
from pipeline.benchmark import OFFICIAL_SIZES
from pipeline.errors import ConfigError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    add = parser.add_argument
    add("--device", default="cuda", help="cpu: no numbers, but the same code, with TRITON_INTERPRET=1 set")
    add("--sizes", type=Path, default=OFFICIAL_SIZES, help="folder with configs and tokenizer (default: official ones)")
    add("--quick", action="store_true", help="a quarter of the workload: under 6 minutes on one H200, else under 10")
    add("--slots", type=count, nargs="+", default=[], help="measure a step with each; default: by the card's memory")
    add("--utterances", type=count, default=2_048, help="of the workload (default 2048)")
    add("--prompts", type=count, default=32, help="whose tokens are compared with the CPU's (default 32)")
    add("--frames", type=count, default=48, help="of each of these answers (default 48)")
    add("--context", type=count, default=350, help="positions in a slot when a step is measured (default 350)")
    add("--max-context", type=count, default=1_536, help="positions that a slot can hold (default 1536)")
    add("--rows", type=count, default=64, help="of the runs through Ray (default 64)")
    add("--json", type=file_to_write, help="write the numbers to this file after each part")


def run(options: argparse.Namespace) -> int:
    """Measure, print and judge; the exit code is 1 where a limit is missed or a part fails."""
    from pipeline.benchmark.gpu.command import make_quick, measure_gpu
    from pipeline.benchmark.gpu.workload import GpuWorkload
    from pipeline.hardware.gpu import find_device

    device = find_device("--device", options.device, 0.0)
    if device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ConfigError("--device cpu: the kernels need Triton's interpreter there; set TRITON_INTERPRET=1")
    with tempfile.TemporaryDirectory() as folder:
        load = GpuWorkload(
            device=options.device,
            sizes_dir=options.sizes,
            folder=Path(folder),
            slots=tuple(options.slots),
            num_utterances=options.utterances,
            num_prompts=options.prompts,
            num_frames=options.frames,
            context=options.context,
            max_context=options.max_context,
            num_rows=options.rows,
        )
        load = make_quick(load) if options.quick else load
        has_passed = measure_gpu(load, options.json, is_quick=options.quick, say=say)
    return EXIT_OK if has_passed else EXIT_REJECTIONS
