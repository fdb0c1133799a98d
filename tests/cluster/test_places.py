"""Groups of replicas that wait or move, over a fake of Ray's placement groups."""

import logging

import pytest

from pipeline.cluster import places, ray_api
from pipeline.cluster.node_health import NodeHealth
from pipeline.cluster.places import Places
from pipeline.cluster.replica_counts import Slot, arrange
from pipeline.config.run import ReplicaConfig

NEEDS = {"llm": ReplicaConfig(num_gpus=0.7), "codec": ReplicaConfig(num_gpus=0.3), "writer": ReplicaConfig()}
COUNTS = dict.fromkeys(NEEDS, 2)


class FakeGroups:
    """Ray's side: where each group lies, and what nodes have left."""

    def __init__(self, monkeypatch):
        self.nodes, self.free, self.released, self.actors = {}, {}, [], []
        for name in ("reserve", "release", "locate_groups", "free_resources", "create_actor"):
            monkeypatch.setattr(ray_api, name, getattr(self, name))

    def reserve(self, bundles, preferred_node=None):
        group = f"group {len(self.nodes)}"
        self.nodes[group] = preferred_node
        return group

    def release(self, group):
        self.released.append(group)

    def locate_groups(self, groups):
        return [self.nodes[group] for group in groups]

    def free_resources(self):
        return self.free

    def create_actor(self, actor_class, *arguments, group, bundle, **options):
        self.actors.append((group, bundle))


@pytest.fixture
def groups(monkeypatch):
    return FakeGroups(monkeypatch)


def make_places(**failures):
    nodes = NodeHealth()
    nodes._failures.update({ray_api.NodePlace(node, "10.0.0.1"): count for node, count in failures.items()})
    return Places(arrange(NEEDS, COUNTS, same_node=True), NEEDS, nodes)


def test_a_replica_and_its_successors_have_one_place(groups):
    with make_places() as made:
        for slot in (Slot("llm", 1), Slot("codec", 1), Slot("writer", 0), Slot("llm", 1)):
            made.create_actor(slot, object, max_calls=1)
    assert groups.actors == [("group 1", 0), ("group 1", 1), ("group 0", 2), ("group 1", 0)]
    assert groups.released == ["group 0", "group 1"]


@pytest.mark.parametrize(
    ("failures", "free", "moves"),
    [
        ({"a": 2}, {"a": (9, 9), "b": (3, 1)}, True),
        ({"a": 1}, {"a": (9, 9), "b": (3, 1)}, False),
        ({"b": 2}, {"a": (9, 9), "b": (3, 1)}, False),
        # Nowhere else is room for all three: they stay, and are tried there again.
        ({"a": 2}, {"a": (9, 9), "b": (2, 1)}, False),
        ({"a": 2}, {"a": (9, 9), "b": (3, 0.9)}, False),
        ({"a": 2, "b": 2}, {"a": (9, 9), "b": (3, 1)}, False),
        ({"a": 2, "b": 2}, {"a": (9, 9), "b": (3, 1), "c": (3, 1)}, True),
    ],
)
def test_a_group_leaves_a_node_that_keeps_failing_if_another_has_room(groups, caplog, failures, free, moves):
    made = make_places(**failures)
    groups.nodes.update({"group 0": "a", "group 1": "a"})
    groups.free = {node: {"CPU": cpus, "GPU": gpus} for node, (cpus, gpus) in free.items()}
    made.create_actor(Slot("codec", 1), object, max_calls=1)
    assert groups.actors == [("group 2" if moves else "group 1", 1)]
    assert groups.released == (["group 1"] if moves else [])
    if moves:
        assert groups.nodes["group 2"] == [*free][-1]
        assert f"1 llm, 1 codec, 1 writer (CPU: 3, GPU: 1): moved from node a to node {[*free][-1]}" in caplog.text


def test_groups_that_wait_for_room_are_named(groups, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    now = [1_000.0]
    monkeypatch.setattr(places.time, "monotonic", lambda: now[0])
    made = make_places()

    def words_after(seconds, *nodes):
        groups.nodes.update(zip(("group 0", "group 1"), nodes, strict=False))
        now[0] += seconds
        caplog.clear()
        made.report_if_due()
        return caplog.text

    assert words_after(29) == ""
    assert "2 of 2 groups of replicas wait for a node with room: 1 llm, 1 codec, 1 writer (CPU: 3, GPU: 1)" in (
        words_after(1)
    )
    assert words_after(570) == ""
    assert "2 of 2" in words_after(30)
    assert "1 of 2" in words_after(30, "a")
    assert "all replicas have a place" in words_after(30, "a", "b")
    assert words_after(10_000) == ""
    assert "1 of 2" in words_after(30, "a", None)
