"""Units brought to their commits by replicas of every stage: what a run does between its checks and its report."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.cluster import ray_api
from pipeline.cluster.coordinator import Coordinator
from pipeline.cluster.metrics import RunMetrics
from pipeline.cluster.node_health import NodeHealth
from pipeline.cluster.pools import Pool
from pipeline.cluster.ray_cluster import NodeWatch
from pipeline.cluster.replica import ReplicaInfo, ReplicaSetup
from pipeline.cluster.replica_counts import plan_replicas
from pipeline.cluster.stage_order import STAGES, StageSpec
from pipeline.cluster.store_patience import StorePatience
from pipeline.cluster.work_items import Stage, UnitState
from pipeline.config.run import Config, ReplicasConfig
from pipeline.errors import ConfigError, RunStopped, StorageError, StoreRefused
from pipeline.output.lease import Lease
from pipeline.output.progress import Progress
from pipeline.output.row_counts import UnitReceipt
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
    config = setup.config
    counts = plan_replicas(config.replicas)
    logger.info("replicas: %s", ", ".join(f"{count} {stage}" for stage, count in counts.items()))
    pools = _start_pools(STAGES, counts, setup)
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
        progress.report_if_due()
        metrics.observe_if_due(pools, progress.x_real_time)
        _check_rejections(config, progress)

    coordinator = Coordinator(
        STAGES,
        pools,
        max_units=sum(counts[spec.stage] * spec.max_calls(config.replicas) for spec in STAGES),
        max_crashes=config.replicas.max_crashes,
        lease=lease,
        on_commit=on_commit,
        on_tick=on_tick,
        hang_timeout_s=config.replicas.hang_timeout_s,
        start_timeout_s=config.replicas.start_timeout_s,
        patience=patience,
        on_start=lambda stage, info: _check_environment(config.replicas, record, stage, info),
    )
    try:
        coordinator.start()
        progress.begin()
        coordinator.run(units)
    except BaseException:
        # Also an interrupt: what the writers hold is all but committed, and a killed write leaves a temporary file.
        coordinator.drain(_DRAIN_S)
        raise
    finally:
        for pool in pools.values():
            pool.close()
    return counts


def _start_pools(stages: Sequence[StageSpec], counts: dict[Stage, int], setup: ReplicaSetup) -> dict[Stage, Pool]:
    shared, replicas = ray_api.put(setup), setup.config.replicas
    nodes = NodeHealth()

    def start_pool(spec: StageSpec) -> Pool:
        settings, max_calls = spec.settings(replicas), spec.max_calls(replicas)

        def create() -> Any:
            return ray_api.create_actor(
                spec.actor,
                shared,
                num_cpus=settings.num_cpus,
                num_gpus=settings.num_gpus,
                max_calls=max_calls,
                avoided_nodes=nodes.avoided,
            )

        count, max_failed_starts = counts[spec.stage], replicas.max_failed_starts
        return Pool(spec.stage, create, count, max_calls, nodes=nodes, max_failed_starts=max_failed_starts)

    return {spec.stage: start_pool(spec) for spec in stages}


def _check_environment(replicas: ReplicasConfig, record: RunRecord, stage: Stage, info: ReplicaInfo) -> None:
    """Report or refuse a replica that may give other bytes than those that the output holds."""
    refuse = replicas.on_mismatch == "refuse"
    differences = record.add_environment(stage, info.environment, refuse=refuse)
    if not differences:
        return
    found = f"a {stage} replica on {info.host} differs from this run's first one: {'; '.join(differences)}"
    if refuse:
        raise ConfigError(f"{found}; go back to the like, or set replicas.on_mismatch: warn")
    logger.warning("%s; what it makes may differ in its last bits", found)


def _check_rejections(config: Config, progress: Progress) -> None:
    quality = config.quality
    num_rejected, num_done = progress.rejected.total(), progress.num_done
    if num_done >= quality.stop_after_rows and num_rejected > quality.stop_above_rejected * num_done:
        reasons = ", ".join(f"{code} {count:,}" for code, count in progress.rejected.most_common(3))
        raise RunStopped(
            f"{num_rejected:,} of {num_done:,} rows were rejected ({reasons}), more than "
            f"quality.stop_above_rejected ({quality.stop_above_rejected:.0%}); fix the cause or raise the limit, then "
            "run the same command again"
        )
