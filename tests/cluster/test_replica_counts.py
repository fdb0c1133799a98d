"""How many replicas a cluster holds, and what it lacks."""

import pytest

from pipeline.cluster.replica_counts import describe_shortage, plan_counts

WANTED = {"llm": ("auto", 1.0, 0.7), "codec": ("auto", 0.5, 0.3), "writer": ("auto", 0.25, 0.0)}


@pytest.mark.parametrize(
    ("wanted", "cpus", "gpus", "counts"),
    [
        (WANTED, 64, 8, (8, 8, 8)),
        (WANTED, 7, 8, (4, 4, 4)),
        (WANTED, 64, 0, (1, 1, 1)),
        ({**WANTED, "writer": (2, 1.0, 0.0)}, 8, 8, (4, 4, 2)),
        ({stage: (3, 0.1, 0.0) for stage in WANTED}, 1, 0, (3, 3, 3)),
    ],
)
def test_auto_counts_fill_the_cluster(wanted, cpus, gpus, counts):
    assert tuple(plan_counts(wanted, cpus, gpus).values()) == counts


def test_a_shortage_is_reported():
    wanted = {"llm": (2, 1.0, 1.0), "codec": (2, 1.0, 0.0), "writer": (1, 0.5, 0.0)}
    assert describe_shortage(wanted, 8, 2) is None
    message = describe_shortage(wanted, 4, 1)
    assert message is not None
    assert "4.5 CPUs where the cluster has 4" in message
    assert "2 GPUs where the cluster has 1" in message
