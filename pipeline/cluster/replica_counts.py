"""How many replicas of each stage the cluster has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pipeline.cluster import ray_api
from pipeline.cluster.stage_order import STAGES, StageSpec
from pipeline.cluster.work_items import Stage
from pipeline.config.run import ReplicasConfig
from pipeline.errors import ConfigError


def plan_replicas(replicas: ReplicasConfig, stages: Sequence[StageSpec] = STAGES) -> dict[Stage, int]:
    """Return how many replicas of each stage to start on this cluster.

    Raises:
        ConfigError: the cluster has no room for them, and is not one that grows: Ray would wait for ever.
    """
    resources = ray_api.cluster_resources()
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    kinds = {spec.stage: spec.settings(replicas) for spec in stages}
    counts = plan_counts(
        {stage: (kind.count, kind.num_cpus, kind.num_gpus) for stage, kind in kinds.items()}, cpus, gpus
    )
    shortage = describe_shortage(
        {stage: (counts[stage], kind.num_cpus, kind.num_gpus) for stage, kind in kinds.items()}, cpus, gpus
    )
    if shortage is not None and not replicas.elastic:
        raise ConfigError(f"{shortage}, or set replicas.elastic for a cluster that grows")
    return counts


def plan_counts(
    wanted: Mapping[Stage, tuple[int | Literal["auto"], float, float]], cpus: float, gpus: float
) -> dict[Stage, int]:
    """Return how many replicas of each stage to start.

    Args:
        wanted: for each stage its count (or `auto`), and the CPUs and GPUs of one replica.
        cpus: of the cluster.
        gpus: of the cluster.

    Returns:
        counts; each `auto` stage gets as many as fit when all of them grow together, at least one.
    """
    fixed = [(count, c, g) for count, c, g in wanted.values() if count != "auto"]
    growing = [(c, g) for count, c, g in wanted.values() if count == "auto"]
    free_cpus = cpus - sum(count * c for count, c, _ in fixed)
    free_gpus = gpus - sum(count * g for count, _, g in fixed)
    sets = []
    for free, need in (
        (free_cpus, sum(c for c, _ in growing)),
        (free_gpus, sum(g for _, g in growing)),
    ):
        if need > 0:
            # The small addend keeps 1 / (0.1 + 0.2 + 0.7) from rounding down to 0.
            sets.append(int(free / need + 1e-9))
    share = max(1, min(sets, default=1))
    return {stage: share if count == "auto" else count for stage, (count, _, _) in wanted.items()}


def describe_shortage(wanted: Mapping[Stage, tuple[int, float, float]], cpus: float, gpus: float) -> str | None:
    """Return what the cluster lacks for these replicas, or None if they fit."""
    need_cpus = sum(count * c for count, c, _ in wanted.values())
    need_gpus = sum(count * g for count, _, g in wanted.values())
    lacks = []
    if need_cpus > cpus + 1e-9:
        lacks.append(f"{need_cpus:g} CPUs where the cluster has {cpus:g}")
    if need_gpus > gpus + 1e-9:
        lacks.append(f"{need_gpus:g} GPUs where the cluster has {gpus:g}")
    if not lacks:
        return None
    return f"the replicas need {' and '.join(lacks)}; lower replicas.*.count, num_cpus or num_gpus"
