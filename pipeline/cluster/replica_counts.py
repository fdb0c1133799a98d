"""How many replicas of each stage the cluster has room for, and which of them go together on one node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.cluster import ray_api
from pipeline.cluster.ray_cluster import check_own_node
from pipeline.cluster.replica_needs import list_needs
from pipeline.cluster.stage_order import list_stages
from pipeline.cluster.work_items import Stage
from pipeline.config.run import Config, ReplicaConfig
from pipeline.errors import ConfigError

_ROUNDING = 1e-6
"""Ray counts in steps of 1e-4; 0.7 + 0.2 + 0.1 is less than 1 in floats."""
Needs = Mapping[Stage, ReplicaConfig]
"""By stage, the CPUs and GPUs of one replica, and how many there shall be."""


class Slot(NamedTuple):
    """One replica of a stage, and those that replace it."""

    stage: Stage
    number: int


Group = tuple[Slot, ...]
"""Replicas that share a node, and what is kept for them there."""


@dataclass(frozen=True)
class ReplicaPlan:
    """Which replicas a run has."""

    counts: dict[Stage, int]
    """By stage, how many."""
    groups: list[Group]
    config: Config
    """The run's, with a number in place of each `auto` of CPUs and GPUs."""


def plan_replicas(config: Config) -> ReplicaPlan:
    """Return how many replicas of each stage to start on this cluster, and in which groups.

    Args:
        config: says which stages there are, and what their replicas take.

    Raises:
        ConfigError: the cluster has no room for them, and is not one that grows: Ray would wait for ever.
        RunStopped: this process has lost the cluster.
    """
    check_own_node()
    plan, shortage = fit_replicas(config, ray_api.total_resources())
    if shortage is not None and not config.replicas.elastic:
        raise ConfigError(f"{shortage}, or set replicas.elastic for a cluster that grows")
    return plan


def fit_replicas(config: Config, resources: ray_api.Resources) -> tuple[ReplicaPlan, str | None]:
    """Return the replicas for these nodes, and what the nodes lack for them, if anything.

    Where `num_cpus` is `auto`, each takes fewer where that gives a place to the first ones, or work to all cards.
    """
    first: tuple[ReplicaPlan, str | None] | None = None
    for replicas in list_needs(config, resources, _find_build_problem):
        needs = {spec.stage: spec.settings(replicas) for spec in list_stages(config)}
        counts = plan_counts(needs, resources, same_node=replicas.same_node)
        groups = arrange(needs, counts, same_node=replicas.same_node)
        shortage = describe_shortage(needs, counts, resources, same_node=replicas.same_node)
        found = ReplicaPlan(counts, groups, config.model_copy(update={"replicas": replicas})), shortage
        first = first or found
        if shortage is None and counts == _count_by_cards(needs, counts, resources, same_node=replicas.same_node):
            return found
    assert first is not None
    return first


def _count_by_cards(
    needs: Needs, counts: dict[Stage, int], nodes: ray_api.Resources, *, same_node: bool
) -> dict[Stage, int]:
    """Return how many replicas there would be if CPUs were no matter; as many as there are where nobody uses a GPU."""
    if not any(need.gpus for need in needs.values()):
        return counts
    free = {stage: need.model_copy(update={"num_cpus": 0.0}) for stage, need in needs.items()}
    return plan_counts(free, nodes, same_node=same_node)


def _find_build_problem() -> str | None:
    from pipeline.hardware.gpu import find_build_problem  # Loads torch.

    return find_build_problem()


def plan_counts(needs: Needs, nodes: ray_api.Resources, *, same_node: bool) -> dict[Stage, int]:
    """Return how many replicas of each stage to start.

    Args:
        needs: what is asked for.
        nodes: what the cluster's nodes have.
        same_node: whether a group has a replica of each stage.

    Returns:
        counts; each `auto` stage gets as many as find a place when all of them grow together, at least one.
    """
    for share in range(_count_by_sums(needs, nodes), 1, -1):
        counts = _count_with(share, needs)
        if not find_homeless(arrange(needs, counts, same_node=same_node), needs, nodes):
            return counts
    return _count_with(1, needs)


def _count_with(share: int, needs: Needs) -> dict[Stage, int]:
    return {stage: share if need.count == "auto" else need.count for stage, need in needs.items()}


def _count_by_sums(needs: Needs, nodes: ray_api.Resources) -> int:
    """Return how often the `auto` stages together fit into the cluster as a whole."""
    fixed = [(need.count, need.cpus, need.gpus) for need in needs.values() if need.count != "auto"]
    growing = [need for need in needs.values() if need.count == "auto"]
    free_cpus = _sum_of("CPU", nodes) - sum(count * cpus for count, cpus, _ in fixed)
    free_gpus = _sum_of("GPU", nodes) - sum(count * gpus for count, _, gpus in fixed)
    shares = [
        int(free / need + _ROUNDING)
        for free, need in (
            (free_cpus, sum(need.cpus for need in growing)),
            (free_gpus, sum(need.gpus for need in growing)),
        )
        if need > 0
    ]
    return max(1, min(shares, default=1))


def _sum_of(resource: str, nodes: ray_api.Resources) -> float:
    return sum(node.get(resource, 0.0) for node in nodes.values())


def arrange(needs: Needs, counts: Mapping[Stage, int], *, same_node: bool) -> list[Group]:
    """Return what goes together, the largest first, as that is how the most find a place.

    Args:
        needs: what each replica takes.
        counts: replicas of each stage, in the stages' order.
        same_node: whether to put a replica of each stage into a group as long as there are any; there are as many
            groups as pairs of the stages before the last one, over which the others are spread evenly. Otherwise each
            replica is a group by itself.
    """
    slots = [Slot(stage, number) for stage, count in counts.items() for number in range(count)]
    groups = [[slot] for slot in slots]
    if same_node:
        groups = [[] for _ in range(max([*counts.values()][:-1]))]
        for slot in slots:
            groups[slot.number * len(groups) // counts[slot.stage]].append(slot)
    return sorted(map(tuple, groups), key=lambda group: _size_of(group, needs), reverse=True)


def _size_of(group: Group, needs: Needs) -> tuple[float, float]:
    """Return the GPUs and CPUs that a group takes."""
    return sum(needs[slot.stage].gpus for slot in group), sum(needs[slot.stage].cpus for slot in group)


class _Node:
    """What is left of a node while groups are tried on it."""

    def __init__(self, resources: Mapping[str, float]) -> None:
        self._cpus = resources.get("CPU", 0.0)
        self._cards = [1.0] * int(resources.get("GPU", 0.0))

    def take(self, needs: Sequence[ReplicaConfig]) -> bool:
        """Give replicas a place if there is one for all of them; returns whether there is."""
        cpus, cards = self._cpus - sum(need.cpus for need in needs), list(self._cards)
        # As Ray does: a part of a card goes where the least is left. Several cards are whole ones.
        for share in sorted((need.gpus for need in needs if need.gpus > 0), reverse=True):
            for _ in range(max(1, round(share))):
                room = [card for card in range(len(cards)) if cards[card] >= min(share, 1.0) - _ROUNDING]
                if not room:
                    return False
                cards[min(room, key=cards.__getitem__)] -= min(share, 1.0)
        if cpus < -_ROUNDING:
            return False
        self._cpus, self._cards = cpus, cards
        return True


def find_homeless(groups: Iterable[Group], needs: Needs, resources: ray_api.Resources) -> list[Group]:
    """Return the groups that find no place on empty nodes, each on one of them.

    Args:
        groups: in the order in which they are placed.
        needs: what each replica takes.
        resources: of the nodes.
    """
    # The smallest nodes first: what needs no GPU leaves those to others.
    by_size = sorted(resources.values(), key=lambda node: (node.get("GPU", 0.0), node.get("CPU", 0.0)))
    nodes = [_Node(resources) for resources in by_size]
    full: dict[tuple[Stage, ...], int] = {}
    """By kind of group, how many nodes have no room for another one."""
    homeless = []
    for group in groups:
        kind = tuple(slot.stage for slot in group)
        first = full.get(kind, 0)
        while first < len(nodes) and not nodes[first].take([needs[stage] for stage in kind]):
            first += 1
        full[kind] = first
        if first == len(nodes):
            homeless.append(group)
    return homeless


def describe_shortage(
    needs: Needs, counts: Mapping[Stage, int], nodes: ray_api.Resources, *, same_node: bool
) -> str | None:
    """Return what the cluster lacks for these replicas, or None if they fit."""
    lacks = []
    for resource, name in (("CPU", "cpus"), ("GPU", "gpus")):
        needed = sum(count * getattr(needs[stage], name) for stage, count in counts.items())
        if needed > (there := _sum_of(resource, nodes)) + _ROUNDING:
            lacks.append(f"{needed:g} {resource}s where the cluster has {there:g}")
    if lacks:
        return f"the replicas need {' and '.join(lacks)}; lower replicas.*.count, num_cpus or num_gpus"
    groups = arrange(needs, counts, same_node=same_node)
    homeless = find_homeless(groups, needs, nodes)
    if not homeless:
        return None
    remedy = ", set replicas.same_node to false, which lets them lie on several nodes" if len(homeless[0]) > 1 else ""
    return (
        f"{len(homeless)} of {len(groups)} groups of replicas find no node with room: "
        f"{describe_group(homeless[0], needs)}; the cluster has {_describe_nodes(nodes)}; lower replicas.*.count, "
        f"num_cpus or num_gpus{remedy}"
    )


def _describe_nodes(nodes: ray_api.Resources) -> str:
    kinds = Counter(f"(CPU: {node.get('CPU', 0.0):g}, GPU: {node.get('GPU', 0.0):g})" for node in nodes.values())
    return ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common(5))


def describe_group(group: Group, needs: Needs) -> str:
    """Return who is in a group, and what it takes."""
    gpus, cpus = _size_of(group, needs)
    stages = [slot.stage for slot in group]
    who = ", ".join(f"{stages.count(stage)} {stage}" for stage in dict.fromkeys(stages))
    return f"{who} (CPU: {cpus:g}, GPU: {gpus:g})"
