"""Where replicas go: those of a group share a node, and what they take there is kept for them.

So audio stays on the node where it was made, and a replica that replaces another finds room, however full the cluster
is and however GPUs are divided. If a group's node dies, Ray looks for another one for all of the group.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ray.exceptions import RayError

from pipeline.cluster import ray_api
from pipeline.cluster.node_health import NodeHealth
from pipeline.cluster.replica_counts import Group, Needs, Slot, describe_group

logger = logging.getLogger(__name__)
_LOOK_S = 30.0
_REPEAT_S = 600.0


@dataclass(eq=False)
class _Place:
    """A group, and what is kept for it."""

    group: Group
    bundles: list[dict[str, float]]
    """What each of its replicas takes."""
    reservation: Any
    """Ray's placement group."""


class Places:
    """The places of a run's replicas; given back with the block.

    Args:
        groups: in the order in which they are to be placed.
        needs: what each replica takes.
        nodes: where replicas fail.
    """

    def __init__(self, groups: Sequence[Group], needs: Needs, nodes: NodeHealth) -> None:
        self._needs = needs
        self.nodes = nodes
        self._places: list[_Place] = []
        self._of_slot: dict[Slot, tuple[_Place, int]] = {}
        for group in groups:
            bundles = [{"CPU": needs[slot.stage].cpus, "GPU": needs[slot.stage].gpus} for slot in group]
            place = _Place(group, bundles, ray_api.reserve(bundles))
            self._places.append(place)
            self._of_slot.update({slot: (place, bundle) for bundle, slot in enumerate(group)})
        self._next_look = time.monotonic() + _LOOK_S
        self._reported: tuple[int, float] = (0, 0.0)
        """How many waited when that was logged last, and when that was."""

    def __enter__(self) -> Places:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for place in self._places:
            with suppress(RayError):  # A Ray that is gone keeps nothing.
                ray_api.release(place.reservation)

    def create_actor(self, slot: Slot, actor_class: type, *arguments: Any, max_calls: int) -> Any:
        """Ask for a replica in its place; returns its handle at once.

        Args:
            slot: which one.
            actor_class: a plain class.
            arguments: for its constructor.
            max_calls: calls of work that it has at a time.
        """
        place, bundle = self._of_slot[slot]
        self._leave_failing_node(place)
        need = self._needs[slot.stage]
        return ray_api.create_actor(
            actor_class,
            *arguments,
            num_cpus=need.cpus,
            num_gpus=need.gpus,
            max_calls=max_calls,
            group=place.reservation,
            bundle=bundle,
        )

    def _leave_failing_node(self, place: _Place) -> None:
        """Move a group from a node that is avoided, if another one has room; its other replicas end and follow."""
        avoided = self.nodes.avoided
        if not avoided:
            return
        node = next(iter(ray_api.locate_groups([place.reservation])), None)
        if node is None or node not in avoided:
            return
        total = {name: sum(bundle[name] for bundle in place.bundles) for name in ("CPU", "GPU")}
        for other, free in ray_api.free_resources().items():
            if other not in avoided and all(free.get(name, 0.0) >= amount for name, amount in total.items()):
                logger.warning(
                    "%s: moved from node %s to node %s", describe_group(place.group, self._needs), node[:12], other[:12]
                )
                # Asked for first: given back first, the old place might be found again.
                old, place.reservation = place.reservation, ray_api.reserve(place.bundles, preferred_node=other)
                ray_api.release(old)
                return

    def report_if_due(self) -> None:
        """Name the groups that wait for room: after half a minute, when their number changes, and every ten minutes."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        nodes = ray_api.locate_groups([place.reservation for place in self._places])
        waiting = [place.group for place, node in zip(self._places, nodes, strict=False) if node is None]
        num_before, reported_at = self._reported
        if len(waiting) == num_before and (not waiting or now - reported_at < _REPEAT_S):
            return
        self._reported = (len(waiting), now)
        if not waiting:
            logger.info("all replicas have a place")
            return
        logger.warning(
            "%d of %d groups of replicas wait for a node with room: %s. The run goes on with the others",
            len(waiting), len(nodes), describe_group(waiting[0], self._needs),
        )  # fmt: skip
