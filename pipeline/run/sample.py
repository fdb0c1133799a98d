"""What `limit` makes of a plan: its manifest is a sample until a start without `limit` makes the rest.

An output whose manifest is a sample is one whose manifest grows later: the takes that are there are kept, and what is
left is synthesized, as for any manifest that has changed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from pipeline.errors import ConfigError
from pipeline.manifest.sample import find_places, source_of, take_sample
from pipeline.manifest.units import parse_unit_id
from pipeline.output.shard_table import ShardTable
from pipeline.run.plan import RunPlan


def limit_plan(plan: RunPlan, table: ShardTable, committed: Collection[str]) -> RunPlan:
    """Return the plan of a start with `limit`; without it, the plan as it is.

    Args:
        plan: of the whole manifest.
        table: of the output's shards.
        committed: ids of the units that have a commit.

    Raises:
        ConfigError: a start without `limit` has begun the output, and committed fewer rows than that.
    """
    limit, size = plan.config.limit, count_sample(table)
    if limit is None or max(limit, size) >= plan.manifest.num_rows:
        return plan
    num_committed = 0 if size else count_rows(table, committed)
    if num_committed >= limit:
        return replace(plan, is_enough=True)
    if num_committed:
        raise ConfigError(
            f"limit: {limit:,}: {plan.config.output} was begun without it and has {num_committed:,} of "
            f"{plan.manifest.num_rows:,} rows, in whole units; go on without `limit`, or name a new output for a sample"
        )
    return _sample(plan, max(limit, size))


def follow_sample(plan: RunPlan, table: ShardTable) -> RunPlan:
    """Return the plan of what an output holds: of its sample, where it has no more than that."""
    size = count_sample(table)
    return _sample(plan, size) if 0 < size < plan.manifest.num_rows else plan


def _sample(plan: RunPlan, num_rows: int) -> RunPlan:
    return replace(plan, manifest=take_sample(plan.manifest, num_rows), whole=plan.manifest)


def count_sample(table: ShardTable) -> int:
    """Return the rows of the sample that an output is planned for; 0 where it is for a whole manifest."""
    is_sample = any(source_of(shard.fingerprint) is not None for shard in table.shards.values())
    return sum(shard.num_rows for shard in table.shards.values()) if is_sample else 0


def count_rows(table: ShardTable, committed: Collection[str]) -> int:
    """Return how many rows of an output's current shards are committed."""
    units = (parse_unit_id(unit_id) for unit_id in committed if table.holds(unit_id))
    return sum(unit.num_rows for unit in units if unit is not None)


def find_sampled_rows(plan: RunPlan, table: ShardTable) -> dict[str, list[int]] | None:
    """Return the only rows that may have a take to keep, by shard; None where any row may.

    After a sample that spares reading all other rows to look for takes.
    """
    former = [shard for shard in table.former if not shard.is_leaving]
    if not former or plan.whole is not None:
        return None
    # The last one holds those before it, as long as it is a sample of the same manifest.
    last = max(shard.until for shard in former)
    if any(source_of(shard.record.fingerprint) is None for shard in former):
        return None
    sample = {shard.name: (shard.record.num_rows, shard.record.fingerprint) for shard in former if shard.until == last}
    places = find_places(plan.manifest, sample)
    is_within = places is not None and all(
        shard.name in places and source_of(shard.record.fingerprint) == source_of(sample[shard.name][1])
        for shard in former
    )
    return places if is_within else None
