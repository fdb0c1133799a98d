"""Voice a manifest: `python -m jobs.synthesize --config FILE [--set a.b=value ...] [--dry-run]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jobs.console import run_command
from pipeline import Config, load_config, plan_run, run_voicing
from pipeline.progress import RunSummary, format_duration


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m jobs.synthesize", description="Voice a manifest of text.")
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML file with the whole run")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    parser.add_argument("--dry-run", action="store_true", help="check everything, print the plan, voice nothing")
    options = parser.parse_args(arguments)

    def voice() -> int:
        config = load_config(options.config, options.set)
        if options.dry_run:
            _print_plan(config)
            return 0
        summary = run_voicing(config)
        _print_summary(config, summary)
        return 1 if summary.num_rejected else 0

    return run_command(voice)


def _print_plan(config: Config) -> None:
    plan = plan_run(config)
    manifest = plan.manifest
    print(f"manifest   {config.manifest}: {manifest.num_rows:,} rows in {len(manifest.shards):,} shard(s)")
    print(f"units      {plan.num_units:,} of up to {config.unit_size:,} rows")
    print(f"speakers   {len(plan.definitions):,} defined in {config.speakers.path}")
    print(f"weights    {config.weights} (sha256 {plan.weights_sha256[:12]})")
    print(f"output     {config.output}")
    print("Nothing was voiced: this was a dry run.")


def _print_summary(config: Config, summary: RunSummary) -> None:
    print()
    if config.weights == "demo":
        print('The demo weights are random: what you hear is noise. See README, "Bring the official weights".')
    print(f"{summary.num_ok:,} of {summary.num_rows:,} utterances voiced, {format_duration(summary.audio_s)} of audio")
    if summary.num_units_done:
        print(f"this start: {format_duration(summary.elapsed_s)}, {summary.x_real_time:.2f} x real time")
    else:
        print("nothing to do: an earlier start committed every unit" + (" within `limit`" if config.limit else ""))
    if summary.num_units_left:
        print(f"{summary.num_units_left:,} unit(s) left; the same command without `limit` goes on with them")
    if summary.rejected:
        reasons = ", ".join(f"{code} {count:,}" for code, count in sorted(summary.rejected.items()))
        print(f"{summary.num_rejected:,} rejected: {reasons}")
        for utterance_id, code, message in summary.examples:
            print(f"  {utterance_id!r:.60} {code}: {message:.200}")
    print(f"listen: {config.output.rstrip('/')}/audio   metadata: {config.output.rstrip('/')}/metadata (Parquet)")


if __name__ == "__main__":
    sys.exit(main())
