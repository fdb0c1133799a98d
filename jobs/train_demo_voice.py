"""Make the demo voice from nothing: `python -m jobs.train_demo_voice --output DIR [--preset cpu|gpu]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from jobs.console import EXIT_CODES, EXIT_OK, run_command
from jobs.guard import run_guarded
from jobs.options import CommandParser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.train_demo_voice",
        description=(
            "Render a corpus with Debian's flite, train codec and language model on it, export them in the official "
            "layout and measure them. Killed at any time, the same command goes on where it was."
        ),
        epilog=EXIT_CODES,
    )
    parser.add_argument("--output", required=True, metavar="DIR", type=Path, help="the model directory to write")
    parser.add_argument("--work", metavar="DIR", type=Path, default=Path("demo_voice_work"), help="corpus, checkpoints")
    parser.add_argument("--preset", choices=("cpu", "gpu"), default="cpu", help="cpu: 2 cores, hours; gpu: 25 minutes")
    parser.add_argument("--device", help="cpu or cuda; the preset's if not given")
    parser.add_argument(
        "--budget-minutes", type=float, metavar="N", help="training time in all; the preset's if absent"
    )
    parser.add_argument(
        "--skip-measure", action="store_true", help="export, but do not synthesize and recognize sentences"
    )
    options = parser.parse_args(arguments)

    def train() -> int:
        # Here, as nothing else of the project needs what training needs.
        from pipeline.demo_voice.training.recipe import PRESETS, make_demo_voice

        preset = PRESETS[options.preset].adjusted(options.device, options.budget_minutes)
        make_demo_voice(options.output, options.work, preset, measure=not options.skip_measure)
        print(f"{options.output}: a model directory; give it as `weights` of a config")
        return EXIT_OK

    return run_command(train)


if __name__ == "__main__":
    sys.exit(run_guarded(main))
