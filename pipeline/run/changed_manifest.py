"""The manifest takes the place of the one that the output holds."""

from __future__ import annotations

import logging
from dataclasses import replace

from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.output.adoption import describe_adoption, drop_former_shards, is_change, plan_adoption
from pipeline.output.commit_log import CommitLog
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardTable
from pipeline.output.tombstones import Tombstones
from pipeline.run.open_output import OpenOutput
from pipeline.run.plan import RunPlan, with_revisions
from pipeline.run.sample import count_sample
from pipeline.storage import Storage

logger = logging.getLogger(__name__)


def adopt_manifest(plan: RunPlan, output: OpenOutput) -> RunPlan:
    """Let the manifest take the place of the one that the output holds; return the plan with its revisions."""
    table = output.record.read_table()
    if any(former.is_leaving for former in table.former):
        # The last start was killed while it deleted what had gone; its audio must not be kept any more.
        drop_former_shards(output.storage, output.record, output.log, output.lease)
        table = output.record.read_table()
    output.speakers.note_failures(table.speakers or {})
    output.speakers.update_notes()
    adopted = plan_shards(plan, output.storage, table, output.speakers)
    if adopted.quality is None:
        adopted = replace(
            adopted, quality=find_former_limits(plan, output.record) if table.shards else plan.config.quality.limits()
        )
    if adopted != table:
        if is_change(table, adopted):
            output.log.clear_success()
            output.log.end_repair()
            if table.shards:
                num_sampled, num_now = count_sample(table), count_sample(adopted)
                if num_sampled and num_now != num_sampled:
                    logger.info("from a sample of %s rows to %s: takes are kept", f"{num_sampled:,}", num_now or "all")
                else:
                    logger.info("%s", describe_adoption(table, adopted))
        output.record.write_table(adopted)
    return with_revisions(plan, adopted)


def plan_shards(plan: RunPlan, storage: Storage, table: ShardTable, speakers: OutputSpeakers) -> ShardTable:
    """Return the shard table after the plan's manifest has taken the former one's place; writes nothing."""
    return plan_adoption(
        plan.manifest,
        CommitLog(storage),
        table,
        speakers=speakers.generations,
        enrolled=speakers.enrolled,
        withdrawn=Tombstones.read(storage).ids("speaker"),
        columns=plan.config.columns.keep,
        all_shards=None if plan.whole is None else plan.whole.shards,
    )


def find_former_limits(plan: RunPlan, record: RunRecord) -> dict[str, float]:
    """Return the limits that an older version pinned: those that its rows were judged by."""
    pinned = record.read().pinned
    return {name: pinned.get(f"quality.{name}", limit) for name, limit in plan.config.quality.limits().items()}
