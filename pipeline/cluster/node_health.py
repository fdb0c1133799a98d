"""Which nodes of a cluster keep failing: others are tried first."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from pipeline.cluster import ray_api

logger = logging.getLogger(__name__)
NODE_TRIES = 2
"""Failures of replicas on a node, with no start that went well between, after which others are tried first."""


class NodeHealth:
    """Failures by node; shared by the pools of a run.

    A node that keeps failing is avoided, not forbidden: where no other has room, replicas go there again.
    """

    def __init__(self) -> None:
        self._failures: Counter[ray_api.NodePlace] = Counter()

    @property
    def avoided(self) -> list[str]:
        """Ids of the nodes that keep failing."""
        return [node.node_id for node, count in self._failures.items() if count >= NODE_TRIES]

    def note_failure(self, actor: Any) -> None:
        """Count a replica that could not start or died by itself, where its node is known."""
        node = ray_api.find_node(actor)
        if node is None:
            return
        self._failures[node] += 1
        if self._failures[node] == NODE_TRIES:
            logger.warning("replicas keep failing on %s: others are tried first", node)

    def note_success(self, actor: Any) -> None:
        """A replica has started well: its node can be used."""
        if self._failures:  # Else there is nothing to ask Ray for.
            node = ray_api.find_node(actor)
            if node is not None:
                self._failures.pop(node, None)

    def describe(self) -> str:
        """Return the nodes that failed, the worst first."""
        return ", ".join(f"{node} ({count} times)" for node, count in self._failures.most_common(5))
