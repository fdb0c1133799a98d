"""Units brought to their commits by replicas of every stage: what a run does between its checks and its report."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.cluster import ray_api
from pipeline.cluster.coordinator import Coordinator
from pipeline.cluster.metrics import RunMetrics
from pipeline.cluster.node_health import NodeHealth
from pipeline.cluster.places import Places
from pipeline.cluster.pools import Pool
from pipeline.cluster.ray_cluster import NodeWatch
from pipeline.cluster.replica import ReplicaInfo, ReplicaSetup
from pipeline.cluster.replica_counts import Slot, plan_replicas
from pipeline.cluster.stage_order import StageSpec, list_stages
from pipeline.cluster.store_patience import StorePatience
from pipeline.cluster.work_items import Stage, UnitState
from pipeline.config.run import ReplicaConfig, ReplicasConfig
from pipeline.errors import ConfigError, StorageError, StoreRefused
from pipeline.output.lease import Lease
from pipeline.output.progress import Progress
from pipeline.output.row_counts import UnitReceipt, check_rejected_share
from pipeline.output.run_record import RunRecord

logger = logging.getLogger(__name__)

_DRAIN_S = 10.0


def run_units(
    setup: ReplicaSetup, units: Iterator[UnitState], record: RunRecord, lease: Lease, progress: Progress
) -> dict[Stage, int]:
    """Bring every unit to its commit.

    Args:
        setup: for the replicas.
        units: read no faster than units end.
        record: of the output; the replicas' environments are added to it.
        lease: this driver's right to write; renewed meanwhile.
        progress: counts the commits.

    Returns:
        how many replicas of each stage there were.

    Raises:
        ConfigError: the cluster has no room, or a replica's environment is refused.
        SynthesisError: the run cannot go on; what is committed is safe.
    """
    plan = plan_replicas(setup.config)
    setup = replace(setup, config=plan.config)
    stages = list_stages(setup.config)
    needs = {spec.stage: spec.settings(setup.config.replicas) for spec in stages}
    logger.info(
        "replicas: %s", ", ".join(_describe_replicas(stage, n, needs[stage]) for stage, n in plan.counts.items())
    )
    with Places(plan.groups, needs, NodeHealth()) as places:
        pools = start_pools(stages, setup.config.replicas, plan.counts, places, ray_api.put(setup))
        try:
            _run_through(stages, pools, places, setup, units, record, lease, progress)
        finally:
            for pool in pools.values():
                pool.close()
    return {stage: plan.counts[spec.stage] for spec in stages for stage in (spec.stage, *spec.others)}


def _describe_replicas(stage: Stage, count: int, need: ReplicaConfig) -> str:
    cpus = f"{need.cpus:g} CPU" + (" each" if count != 1 else "")
    gpus = f", {need.gpus:g} GPU each" if need.gpus else ""
    return f"{count} {stage} ({cpus}{gpus})"


def _run_through(
    stages: Sequence[StageSpec],
    pools: dict[Stage, Pool],
    places: Places,
    setup: ReplicaSetup,
    units: Iterator[UnitState],
    record: RunRecord,
    lease: Lease,
    progress: Progress,
) -> None:
    config = setup.config
    metrics, nodes = RunMetrics(), NodeWatch()
    patience = StorePatience(config.storage.give_up_after_s)

    def on_commit(receipt: UnitReceipt) -> None:
        progress.add(receipt)
        metrics.add(receipt)

    def on_tick() -> None:
        try:
            lease.renew_if_due()
        except StoreRefused:
            raise
        except StorageError as error:
            # Writers ask for themselves whether the lease is still held before they commit.
            patience.note_failure(error, "the lease is renewed later")
        nodes.check_if_due()
        places.report_if_due()
        progress.report_if_due()
        metrics.observe_if_due(pools, progress.x_real_time)
        if progress.num_done >= config.quality.stop_after_rows:
            check_rejected_share(progress.rejected, progress.num_done, config.quality)

    coordinator = Coordinator(
        stages,
        pools,
        max_units=sum(pools[spec.stage].count * spec.max_calls(config.replicas) for spec in stages),
        max_crashes=config.replicas.max_crashes,
        lease=lease,
        on_commit=on_commit,
        on_tick=on_tick,
        hang_timeout_s=config.replicas.hang_timeout_s,
        start_timeout_s=config.replicas.start_timeout_s,
        patience=patience,
        on_start=lambda stage, info: check_environments(config.replicas, record, info),
    )
    try:
        coordinator.start()
        progress.begin()
        coordinator.run(units)
    except BaseException:
        # Also an interrupt: what the writers hold is all but committed, and a killed write leaves a temporary file.
        coordinator.drain(_DRAIN_S)
        raise


def start_pools(
    stages: Sequence[StageSpec], replicas: ReplicasConfig, counts: Mapping[Stage, int], places: Places, setup: Any
) -> dict[Stage, Pool]:
    """Start every stage's replicas.

    Args:
        stages: in their order.
        replicas: their settings.
        counts: replicas of each stage.
        places: of these replicas.
        setup: for each replica, or a reference to it.
    """

    def start_pool(spec: StageSpec) -> Pool:
        max_calls = spec.max_calls(replicas)

        def create(number: int) -> Any:
            return places.create_actor(Slot(spec.stage, number), spec.actor, setup, max_calls=max_calls)

        return Pool(
            spec.stage,
            create,
            counts[spec.stage],
            max_calls,
            nodes=places.nodes,
            max_failed_starts=replicas.max_failed_starts,
        )

    return {spec.stage: start_pool(spec) for spec in stages}


def check_environments(replicas: ReplicasConfig, record: RunRecord, info: ReplicaInfo) -> None:
    """Report or refuse a replica that may give other bytes than those that the output holds."""
    refuse = replicas.on_mismatch == "refuse"
    for stage, environment in info.environments.items():
        differences = record.add_environment(stage, environment, refuse=refuse)
        _report_differences(replicas, stage, info.host, differences)


def check_environment(
    replicas: ReplicasConfig, record: RunRecord, stage: str, environment: Mapping[str, Any], host: str
) -> None:
    """Report or refuse what a replica would be reported or refused for; records nothing."""
    _report_differences(replicas, stage, host, record.compare_environment(stage, environment))


def _report_differences(replicas: ReplicasConfig, stage: str, host: str, differences: Sequence[str]) -> None:
    if not differences:
        return
    found = f"a {stage} replica on {host} differs from this run's first one: {'; '.join(differences)}"
    if replicas.on_mismatch == "refuse":
        raise ConfigError(f"{found}; go back to the like, or set replicas.on_mismatch to warn")
    logger.warning("%s; what it makes may differ in its last bits", found)
