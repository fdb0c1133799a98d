"""A manifest is synthesized, or what is left of it; or chosen rows are synthesized again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from itertools import chain

from pipeline.cluster.in_process import FEW_ROWS, can_work_here, count_rows, run_units_here
from pipeline.cluster.ray_cluster import ray_cluster
from pipeline.cluster.replica import Networks
from pipeline.cluster.unit_states import commit_kept_units, find_other_verdicts
from pipeline.cluster.work_items import UnitState
from pipeline.config.run import Config
from pipeline.output.progress import Progress, RunSummary
from pipeline.output.row_counts import RowCounts
from pipeline.run.changed_manifest import adopt_manifest
from pipeline.run.finish import finish_run
from pipeline.run.open_output import OpenOutput, open_output
from pipeline.run.plan import RunPlan, count_committed, count_left, list_units, place_in_output, plan_run
from pipeline.run.replicas import make_planner, synthesize_units
from pipeline.run.sample import follow_sample, limit_plan

logger = logging.getLogger(__name__)
_MOST_UNITS_AT_ONCE = 64
"""Of an LLM replica: each is a thread of its process."""


def synthesize_manifest(config: Config, *, networks: Networks | None = None) -> RunSummary:
    """Synthesize a manifest, or what is left of it.

    Connects to the Ray cluster that `RAY_ADDRESS` names, or starts a local one, unless Ray is already initialized.

    Args:
        config: the whole run.
        networks: in place of those of the weights, to measure or test all that is around them.

    Returns:
        what the output holds now, and how this start went.

    Raises:
        ConfigError, ManifestError, WeightsError, SpeakerError: before work starts.
        StorageError, RunStopped: the run stopped; what is committed is safe, and the same call resumes.
    """
    plan = plan_run(config)
    with open_output(plan) as output:
        committed = output.log.committed()
        plan = adopt_manifest(limit_plan(plan, output.record.read_table(), committed), output)
        left = count_left(plan, committed)
        progress = Progress(left.num_rows, left.num_rows_done, config.progress.interval_s)
        if plan.manifest.num_rows == 0:
            logger.warning("nothing to do: %s holds no rows", config.manifest)
        elif left.num_units:
            output.log.clear_success()
            plan = _synthesize_left(plan, output, committed, progress, networks)
            plan.manifest.check_unchanged()
        _judge_again(plan, output, progress, networks)
        if plan.manifest.num_rows and not left.num_units and not progress.num_units:
            logger.info("nothing to do: every unit%s is committed", " within `limit`" if config.limit else "")
        return finish_run(plan, output, progress)


def synthesize_again(
    config: Config, choose: Callable[[RunPlan], Iterator[UnitState]], *, on_ray: bool = False
) -> RowCounts:
    """Synthesize chosen rows of committed units again and replace their records; or whole units whose commit was lost.

    Args:
        config: of the run that the output holds.
        choose: called once the lease is held; says which rows.
        on_ray: also where there are so few rows that this process makes them sooner by itself.

    Returns:
        what came of them.

    Raises:
        ConfigError: the manifest is not the output's.
        SynthesisError: as `synthesize_manifest`; what was replaced until then stays.
    """
    plan = plan_run(config)
    with open_output(plan) as output:
        table = output.record.read_table()
        plan = place_in_output(follow_sample(plan, table), table)
        # A commit that makes no sense is deleted before its unit is made anew: the note says that it was there.
        output.log.begin_repair()
        states = choose(plan)
        first: list[UnitState] = []
        while count_rows(first) <= FEW_ROWS and (state := next(states, None)) is not None:
            first.append(state)
        progress = Progress(None, 0, config.progress.interval_s)
        if first:
            output.log.clear_success()
            is_few = count_rows(first) <= FEW_ROWS and not output.speakers.missing
            if is_few and not on_ray and can_work_here(config.replicas):
                synthesize_units(plan, output, progress, iter(first), run=run_units_here)
            else:
                with ray_cluster():
                    output.speakers.enroll(config)
                    synthesize_units(plan, output, progress, chain(first, states))
        if output.log.was_finished() and count_committed(plan, output.log.committed()) == plan.num_units:
            finish_run(plan, output, progress, is_repair=True)
            output.log.end_repair()
    return RowCounts(progress.num_ok, progress.rejected, progress.audio_s, progress.num_removed)


def _synthesize_left(
    plan: RunPlan, output: OpenOutput, committed: set[str], progress: Progress, networks: Networks | None
) -> RunPlan:
    """Commit the units that have no commit: first those of which every take is there already, then the others.

    Returns:
        the plan, with later revisions where speakers turned out not to be enrollable.
    """
    planner = make_planner(plan, output)
    left = (unit for unit in list_units(plan) if unit.unit_id not in committed)
    num_units, num_rows, _ = astuple(count_left(plan, committed))
    if planner.pool:
        is_packed = plan.config.audio.layout == "packed"
        kept = commit_kept_units(
            planner, output.log, output.lease, left, weights_sha256=plan.weights_sha256, is_packed=is_packed
        )
        num_units = num_rows = 0
        for state, receipt in kept:
            if receipt is not None:
                progress.add(receipt)
                committed.add(receipt.unit_id)
            else:
                num_units += 1
                num_rows += state.unit.num_rows - len(state.skipped)
    plan = _fill_slots(plan, num_units, num_rows)
    if count_left(plan, committed).num_units == 0:
        return plan
    with ray_cluster():
        output.speakers.enroll(plan.config)
        if output.speakers.generations != planner.speakers:
            plan = adopt_manifest(plan, output)
            planner = make_planner(plan, output)
        units = (unit for unit in list_units(plan) if unit.unit_id not in committed)
        synthesize_units(plan, output, progress, map(planner.plan, units), networks)
    return plan


def _fill_slots(plan: RunPlan, num_units: int, num_rows: int) -> RunPlan:
    """Let each LLM replica work on more units at a time where few of their rows are left, or its slots stay empty."""
    replicas, unit_size = plan.config.replicas, plan.config.unit_size
    more = min(_MOST_UNITS_AT_ONCE, round(replicas.units_per_llm * unit_size * num_units / max(num_rows, 1)))
    replicas = replicas.model_copy(update={"units_per_llm": max(replicas.units_per_llm, more)})
    return replace(plan, config=plan.config.model_copy(update={"replicas": replicas}))


def _judge_again(plan: RunPlan, output: OpenOutput, progress: Progress, networks: Networks | None) -> None:
    """Make again the rows that other limits of `quality` judge otherwise; all others stay as they are."""
    table, quality = output.record.read_table(), plan.config.quality
    if table.quality is None or table.quality == quality.limits():
        return
    states = find_other_verdicts(output.log, table, table.quality, quality)
    first = next(states, None)
    if first is not None:
        logger.info("the limits of quality have changed: rows are judged again")
        output.log.clear_success()
        progress.go_over_done_rows()
        with ray_cluster():
            output.speakers.enroll(plan.config)
            synthesize_units(plan, output, progress, chain([first], states), networks)
    output.record.write_table(replace(table, quality=quality.limits()))
