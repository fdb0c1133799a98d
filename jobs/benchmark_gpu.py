"""Check the GPU's path against the CPU's, then measure it against what the card can do.

python -m jobs.benchmark gpu --json gpu.json
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jobs.console import EXIT_OK, run_command
from pipeline.errors import ConfigError

_SIZES = Path(__file__).parents[1] / "tests" / "fixtures" / "reference" / "official"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement; the exit code is 0 unless there is no such device."""
    parser = argparse.ArgumentParser(prog="python -m jobs.benchmark gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cpu: try the lines out, with TRITON_INTERPRET=1 set")
    parser.add_argument("--sizes", type=Path, default=_SIZES, help="folder with configs and tokenizer")
    parser.add_argument("--slots", type=int, nargs="+", default=[64, 256, 1_024], help="the last voices the workload")
    parser.add_argument("--utterances", type=int, default=2_048)
    parser.add_argument("--prompts", type=int, default=32, help="whose tokens are compared with the CPU's")
    parser.add_argument("--frames", type=int, default=48, help="of each of these answers")
    parser.add_argument("--context", type=int, default=350, help="positions in a slot when a step is measured")
    parser.add_argument("--max-context", type=int, default=1_536)
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args(arguments)
    return run_command(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    import torch

    if options.device != "cpu" and not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: this machine has no GPU that torch can use; `--device cpu` tries the lines out"
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


if __name__ == "__main__":
    sys.exit(main())
