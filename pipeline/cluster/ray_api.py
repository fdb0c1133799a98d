"""The seam to Ray: every call of it that a run makes goes through here, so that tests replace one name.

Ray's exceptions are types, and are imported from `ray.exceptions` where they are needed. Knows nothing of stages.
"""

from __future__ import annotations

import site
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from traceback import walk_tb
from typing import Any, NamedTuple

import ray
import ray.util.metrics
from ray._private.node import Node
from ray.exceptions import (
    ActorPlacementGroupRemoved,
    ActorUnavailableError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
)
from ray.job_config import JobConfig
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pipeline.hardware.cpus import count_cpus

REPLICA_DEATHS = (RayActorError, ActorPlacementGroupRemoved, OutOfMemoryError)
"""What a call of a dead replica raises; Ray has an error of its own for one that its memory monitor killed."""
Resources = Mapping[str, Mapping[str, float]]
"""By a node's id, what it has by name: `CPU`, `GPU` and others."""
_GONE_WITH = ("its node has died", "its placement group was removed")
"""Ray has no class of its own for an actor that went with its node or its group, only these words."""


def is_loss(error: BaseException) -> bool:
    """Tell whether a call failed as an object, a node or its daemon is gone, which is no fault of the call or its rows.

    Ray reports a lost argument as an error of the call itself, a `RayTaskError` that holds the loss as its cause,
    sometimes by way of others.
    """
    return any(isinstance(cause, ObjectLostError | NodeDiedError | LocalRayletDiedError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [
            nested for nested in (getattr(cause, "cause", None), cause.__cause__) if isinstance(nested, BaseException)
        ]


def died_by_itself(error: BaseException) -> bool:
    """Tell whether a replica died by what it did, rather than with its node or group, or for a moment only."""
    if isinstance(error, ActorUnavailableError | ActorPlacementGroupRemoved) or is_loss(error):
        return False
    return not getattr(error, "preempted", False) and not any(words in str(error) for words in _GONE_WITH)


def is_initialized() -> bool:
    """Tell whether this process is connected to a Ray."""
    return bool(ray.is_initialized())


def connect(**options: Any) -> None:
    """Connect to the Ray that RAY_ADDRESS names."""
    ray.init(**options)


def start(**options: Any) -> None:
    """Start a Ray on this machine.

    Its workers find this package where it is here, and nothing in the folder where the command was called: a
    `pipeline.py` or `jobs/` there is somebody else's. Ray has no public way to say so.
    """
    root = str(Path(__file__).parents[2])
    found = [] if root in site.getsitepackages() else [root]
    job = JobConfig(_client_job=True, _py_driver_sys_path=found)
    try:
        ray.init("local", num_cpus=count_cpus(), include_dashboard=False, job_config=job, **options)
    except Exception as error:  # Ray has no narrower type for a start that fails.
        _end_half_started(error)
        raise


def _end_half_started(error: BaseException) -> None:
    """End the processes of a Ray that did not come up; it forgets them, and only the error still leads to them."""
    for frame, _ in walk_tb(error.__traceback__):
        node = frame.f_locals.get("self")
        if isinstance(node, Node):
            node.kill_all_processes(check_alive=False, allow_graceful=False)
            return


def shutdown() -> None:
    """Leave the Ray that this process is connected to, and end it where it was started here."""
    ray.shutdown()
    _killed.clear()


def total_resources() -> Resources:
    """Return what the living nodes of the cluster have."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return {node["NodeID"]: node["Resources"] for node in nodes if node["Alive"]}


def free_resources() -> Resources:
    """Return what the living nodes have left, as of a moment ago.

    Ray has no public way to ask for each node.
    """
    resources: Resources = ray._private.state.available_resources_per_node()  # type: ignore[no-untyped-call]
    return resources


def own_node_id() -> str | None:
    """Return the id of the node that this process is on; None where Ray is not running."""
    if not is_initialized():
        return None
    return str(ray.get_runtime_context().get_node_id())


def is_own_node_alive() -> bool:
    """Tell whether Ray counts this process's node among the living; asks Ray, which forgets the dead after a while."""
    own = own_node_id()
    try:
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    except RayError:
        return True  # Nobody knows; where the head is gone for good, Ray ends its drivers.
    return any(node["NodeID"] == own and node["Alive"] for node in nodes)


def put(value: Any) -> Any:
    """Store a value; returns the reference to it."""
    return ray.put(value)


def get(reference: Any, timeout: float | None = None) -> Any:
    """Return what a reference stands for; raises what its call raised, or `GetTimeoutError` after `timeout` seconds."""
    return ray.get(reference, timeout=timeout)


def wait(references: Sequence[Any], *, timeout: float) -> list[Any]:
    """Wait until one of the references is ready, `timeout` seconds at most; returns the ready one, or none."""
    ready, _ = ray.wait(list(references), num_returns=1, timeout=timeout)
    return list(ready)


class NodePlace(NamedTuple):
    """A node of the cluster."""

    node_id: str
    address: str

    def __str__(self) -> str:
        return f"node {self.node_id[:12]} ({self.address})"


def find_node(actor: Any) -> NodePlace | None:
    """Return where an actor runs or ran, also one that is dead; none if it never got anywhere.

    Ray has no public way to ask without its dashboard.
    """
    try:
        address = ray._private.state.actors(actor._actor_id.hex()).get("Address") or {}
    except RayError:
        return None
    node_id = str(address.get("NodeID", ""))
    # Of one that waits for a place, all digits are f.
    return NodePlace(node_id, address["IPAddress"]) if node_id.strip("f") else None


def create_actor(
    actor_class: type,
    *arguments: Any,
    num_cpus: float,
    num_gpus: float,
    max_calls: int,
    group: Any = None,
    bundle: int = 0,
) -> Any:
    """Ask for an actor; returns its handle at once, before the cluster has room for it.

    Ray never restarts it: whoever asked decides what becomes of its calls.

    Args:
        actor_class: a plain class.
        arguments: for its constructor.
        num_cpus: CPUs that Ray keeps for it.
        num_gpus: GPUs that Ray keeps for it.
        max_calls: calls of work that it has at a time.
        group: reserved resources that it takes its own from; none takes what is free anywhere.
        bundle: which of the group's bundles.
    """
    # One more thread than calls, so that a question about health never queues behind work.
    options: dict[str, Any] = {"num_cpus": num_cpus, "num_gpus": num_gpus, "max_concurrency": max_calls + 1}
    if group is not None:
        options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, bundle)
    return _remote_class(ray, actor_class).options(**options).remote(*arguments)


@cache
def _remote_class(api: Any, actor_class: type) -> Any:
    # Made once for each class: Ray sends a class to the cluster again each time that it is made remote.
    return api.remote(max_restarts=0)(actor_class)


_killed: list[Any] = []
"""Handles, kept until this process leaves Ray. Where the last one goes before the end has reached the actor, Ray lets
it end in order instead: then the signal that ends all workers meets its destructors, where Python prints an ignored
SystemExit with a traceback, which Ray shows to the user."""


def kill(actor: Any) -> None:
    """End an actor at once."""
    _killed.append(actor)
    ray.kill(actor, no_restart=True)


def reserve(bundles: Sequence[Mapping[str, float]], preferred_node: str | None = None) -> Any:
    """Ask for a placement group: resources of one node that are kept for those who name it.

    Returns its handle at once, before any node has room for it. If its node dies, Ray looks for another one for the
    whole group; it ends with this driver at the latest.

    Args:
        bundles: what each of its actors will take, by name.
        preferred_node: id of the node where it goes if there is room.
    """
    # A bundle must hold something; an actor that asks for nothing still goes where its group is.
    reserved = [{"memory": 1.0, **{name: amount for name, amount in bundle.items() if amount}} for bundle in bundles]
    return ray.util.placement_group(reserved, strategy="STRICT_PACK", _soft_target_node_id=preferred_node)


def release(group: Any) -> None:
    """Give a group's resources back; its actors end."""
    ray.util.remove_placement_group(group)


def locate_groups(groups: Sequence[Any]) -> list[str | None]:
    """Return the id of the node of each group, none of one that waits for room; nothing at all if Ray does not say."""
    try:
        table: dict[str, dict[str, Any]] = ray.util.placement_group_table()
    except RayError:
        return []

    def locate(group: Any) -> str | None:
        entry = table.get(group.id.hex(), {})
        return entry["bundles_to_node_id"][0] if entry.get("state") == "CREATED" else None

    return [locate(group) for group in groups]


def make_counter(name: str, description: str, labels: Sequence[str]) -> Any:
    """Make a metric that only grows."""
    return ray.util.metrics.Counter(name, description, tuple(labels))


def make_gauge(name: str, description: str, labels: Sequence[str]) -> Any:
    """Make a metric that is set."""
    return ray.util.metrics.Gauge(name, description, tuple(labels))


def count_references() -> int:
    """Return how many of Ray's objects this process holds on to; 0 where Ray is not running.

    Ray has no public way to ask without its dashboard.
    """
    if not ray.is_initialized():
        return 0
    worker: Any = ray._private.worker.global_worker
    return len(worker.core_worker.get_all_reference_counts())
