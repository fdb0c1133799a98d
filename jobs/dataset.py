"""A speech data set every night: `python -m jobs.dataset --config FILE [--night 2026-11-29] [--dry-run]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.console import EXIT_CODES, EXIT_OK, EXIT_REJECTIONS, run_command, say, say_whose_voice
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline.config.dataset import NightConfig, load_night_config
from pipeline.config.printable import one_line, to_json
from pipeline.dataset.corpus import check_night, tonight
from pipeline.dataset.plan import describe_plan
from pipeline.output.progress import format_duration
from pipeline.output.run_record import RunRecord
from pipeline.storage import open_storage

if TYPE_CHECKING:
    from pipeline.dataset.night import NightForecast, NightSummary


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.dataset",
        description="A night of a data set: plan, synthesize, judge, publish; the same command again does what is "
        "missing, or nothing.",
        epilog=f"{EXIT_CODES}; a night that fails its gate is not published, exit 1",
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML file with the whole data set")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    parser.add_argument("--night", metavar="DATE", help="the night's name, such as 2026-11-29 (default: today, UTC)")
    parser.add_argument("--dry-run", action="store_true", help="print what it comes to; write nothing, spend nothing")
    parser.add_argument("--json", action="store_true", help="print what became of the night as JSON")
    options = parser.parse_args(arguments)

    def make() -> int:
        config = load_night_config(options.config, options.set)  # What is wrong in it is said before Ray is imported.
        from pipeline.dataset.night import make_night

        night = check_night(options.night or tonight())
        if options.dry_run:
            return _show_forecast(config, night, as_json=options.json)
        summary = make_night(config, night)
        if options.json:
            say(to_json(summary.to_json()))
        else:
            _print_summary(config, summary)
        return EXIT_OK if summary.record.has_passed else EXIT_REJECTIONS

    return run_command(make, commits=not options.dry_run)


def _show_forecast(config: NightConfig, night: str, *, as_json: bool) -> int:
    from jobs.dry_run import show_forecast
    from pipeline.dataset.night import NightForecast, forecast_night

    found = forecast_night(config, night)
    if not isinstance(found, NightForecast):
        say(f"night      {night}: planned already, {found.state}; what is left of its run:")
        return show_forecast(config.run)
    if as_json:
        say(to_json(found.counts))
        return EXIT_OK
    say(f"night      {night} of {config.dataset.name}, in {config.corpus}")
    for line in describe_plan(found.counts):
        say(line)
    say(f"time       {_estimate_time(config, found)}")
    say("Nothing was written: this was a dry run.")
    return EXIT_OK


def _estimate_time(config: NightConfig, found: NightForecast) -> str:
    from pipeline.cluster.cost import estimate_cost, stated_pace

    stated, speed = stated_pace(config.run.weights), found.trial.speed
    pace = speed.pace if speed is not None and speed.pace is not None else stated
    audio_s = found.counts["hours"] * 3_600 / stated * pace
    run = RunRecord(open_storage(config.run.output, config.run.storage)).find()
    remedy = "make a small night first (--set dataset.plan.rows=200)"
    cost = estimate_cost(config.run, audio_s, run.starts if run else (), found.trial, remedy)
    if cost.elapsed_s is None:
        return f"not known: {cost.source}"
    return f"about {format_duration(cost.elapsed_s)} for {format_duration(audio_s)} of audio: {cost.source}"


def _print_summary(config: NightConfig, summary: NightSummary) -> None:
    record = summary.record
    if not summary.is_new:
        say(f"night {record.night}: published already; nothing to do")
        return
    say_whose_voice(config.run.weights)
    for line in describe_plan(record.plan or {}):
        say(line)
    measures = record.measures or {}
    rejected = ", ".join(f"{code} {count:,}" for code, count in measures.get("rejected", {}).items())
    say(
        f"accepted   {measures['num_accepted']:,} of {measures['num_rows']:,} rows, "
        f"{format_duration(measures['hours'] * 3_600)} of audio" + (f"; rejected: {rejected}" if rejected else "")
    )
    for problem in (record.gate or {}).get("problems", ()):
        say(f"gate       {one_line(problem)}")
    if not record.has_passed:
        say("The night is not published. The same command with other limits judges it again, without new synthesis.")
    elif (made := summary.snapshot) is not None:
        say(
            f"snapshot   {made.address}: {made.num_rows:,} rows, {format_duration(made.hours * 3_600)}; "
            f"{made.num_left:,} of the rows before are gone"
        )
    if record.published:
        say(f"published  {record.published['to']}")
    say(f"look: {summary.report}")


if __name__ == "__main__":
    sys.exit(run_guarded(main))
