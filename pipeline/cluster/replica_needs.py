"""What `auto` comes to for the CPUs and GPUs of a replica, on the machines that are there.

The same rules hold for a laptop, for one card, and for a cluster; numbers that were given stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping

from pipeline.cluster.ray_api import Resources
from pipeline.config.run import Config, ReplicaConfig, ReplicasConfig

logger = logging.getLogger(__name__)

_CPUS = {"llm": 1.0, "codec": 0.5, "listener": 1.0, "writer": 0.5}
_SHARES = {"llm": 0.7, "codec": 0.3}
"""Of a card, for those who can use one."""
_PARTS = (0.8, 0.65, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Of the CPUs above, where the machines have no room for all of them."""


def list_needs(
    config: Config, resources: Resources, find_build_problem: Callable[[], str | None]
) -> Iterator[ReplicasConfig]:
    """Yield settings of the replicas in which every `auto` of CPUs and GPUs is a number; later ones take fewer CPUs.

    Args:
        config: of the run.
        resources: of the nodes.
        find_build_problem: tells why torch can use no GPU whatever the node, or None; asked where there are GPUs.
    """
    kinds = ("llm", "codec", *(("listener",) if config.quality.listens else ()), "writer")
    replicas = {kind: getattr(config.replicas, kind) for kind in kinds}
    shares = _share_cards(config, replicas, resources, find_build_problem)
    has_auto = any(replica.num_cpus == "auto" for replica in replicas.values())
    for part in (1.0, *_PARTS) if has_auto else (1.0,):
        settled = {}
        for kind, replica in replicas.items():
            cpus = _CPUS[kind] * part if replica.num_cpus == "auto" else replica.num_cpus
            gpus = shares.get(kind, 0.0) if replica.num_gpus == "auto" else replica.num_gpus
            settled[kind] = replica.model_copy(update={"num_cpus": round(cpus, 4), "num_gpus": gpus})
        yield config.replicas.model_copy(update=settled)


def _share_cards(
    config: Config,
    replicas: Mapping[str, ReplicaConfig],
    resources: Resources,
    find_build_problem: Callable[[], str | None],
) -> dict[str, float]:
    """Return the share of a card of each kind that left it open."""
    num_cards = int(sum(node.get("GPU", 0.0) for node in resources.values()))
    devices = {"llm": config.llm.device, "codec": config.codec.device}
    asking = [kind for kind in _SHARES if replicas[kind].num_gpus == "auto" and devices[kind] != "cpu"]
    if not num_cards or not asking:
        return {}
    problem = find_build_problem()
    if problem is not None:
        logger.warning("the cluster has %d GPU(s), and none is used: %s", num_cards, problem)
        return {}
    # Of a stage with more replicas than there are cards several share one.
    numbers = [replicas[kind].count for kind in asking]
    per_card = max([1, *(-(-number // num_cards) for number in numbers if number != "auto")])
    taken = sum(replica.gpus for replica in replicas.values())
    free = max(0.0, 1.0 / per_card - taken)
    whole = sum(_SHARES[kind] for kind in asking)
    # Rounded down to what Ray counts in.
    return {kind: int(free * _SHARES[kind] / whole * 10_000 + 1e-6) / 10_000 for kind in asking}
