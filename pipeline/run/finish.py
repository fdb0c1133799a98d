"""What the end of a start checks, deletes, writes and returns."""

from __future__ import annotations

from pipeline.errors import RunStopped
from pipeline.output.adoption import drop_former_shards
from pipeline.output.progress import Progress, RunSummary
from pipeline.output.row_counts import check_rejected_share
from pipeline.run.open_output import OpenOutput
from pipeline.run.plan import RunPlan, count_committed, count_left
from pipeline.run.sample import count_rows


def finish_run(plan: RunPlan, output: OpenOutput, progress: Progress, *, is_repair: bool = False) -> RunSummary:
    """Check that every row is committed once; where nothing is left, delete what is former and write the mark.

    Args:
        plan: the whole run.
        output: under lease.
        progress: of this start.
        is_repair: units may be missing, and the share of rejected rows is not judged.

    Raises:
        RunStopped: commits are missing, or too many rows were rejected.
    """
    log = output.log
    table = output.record.read_table()
    summary = log.summarize(table.holds)
    committed = log.committed()
    num_committed = count_committed(plan, committed)
    num_units_left, num_rows = plan.num_units - num_committed, (plan.whole or plan.manifest).num_rows
    result = RunSummary(
        output=plan.config.output,
        num_rows=num_rows,
        num_ok=summary.num_ok,
        rejected=dict(summary.rejected.most_common()),
        audio_s=summary.audio_s,
        num_units_done=progress.num_units,
        num_units_skipped=max(0, num_committed - progress.num_units),
        num_rows_left=num_rows - count_rows(table, committed),
        elapsed_s=progress.elapsed_s if progress.num_units else 0.0,
        x_real_time=progress.x_real_time if progress.num_units else 0.0,
        examples=tuple(progress.examples),
        num_removed=summary.num_removed,
        num_synthesized=progress.num_synthesized,
        num_kept=progress.num_kept,
        takes_per_row=summary.takes_per_row,
    )
    # Stray commits make it more.
    is_short = num_units_left == 0 and summary.num_rows < plan.manifest.num_rows
    if is_short or (not is_repair and count_left(plan, committed).num_units):
        raise RunStopped(
            f"{result.output}: {summary.num_rows:,} rows are committed, expected the manifest's "
            f"{plan.manifest.num_rows:,}: commits were deleted or replaced while the run was at work. Find out who "
            "else writes there; the same command makes again what is gone, and jobs.verify names what is wrong"
        )
    if num_units_left or plan.whole is not None:
        output.record.add_to_start({"is_sample": True})
    if num_units_left == 0 and plan.whole is not None:
        drop_former_shards(output.storage, output.record, log, output.lease)
        return result
    # A start that was killed between its last commit and the mark left only this to do.
    if num_units_left == 0 and (progress.num_units or not log.is_finished()):
        if not is_repair:
            # Before anything former goes: with its manifest put back, a run that was spoiled finds its takes again.
            check_rejected_share(summary.rejected, summary.num_rows, plan.config.quality)
        drop_former_shards(output.storage, output.record, log, output.lease)
        log.finish(summary.report(result.num_rows))
    return result
