"""How many replicas a cluster holds, which go together, and what it lacks."""

import re

import pytest

from pipeline.cluster import replica_counts
from pipeline.cluster.replica_counts import arrange, describe_shortage, find_homeless, fit_replicas, plan_counts
from pipeline.config.run import ReplicaConfig, parse_config


def needs(llm=("auto", 1.0, 0.7), codec=("auto", 0.5, 0.3), writer=("auto", 0.25, 0.0)):
    """What replicas take, as (count, CPUs, GPUs)."""
    asked = {"llm": llm, "codec": codec, "writer": writer}
    return {stage: ReplicaConfig(count=n, num_cpus=cpus, num_gpus=gpus) for stage, (n, cpus, gpus) in asked.items()}


def nodes(*each):
    """Nodes with (CPUs, GPUs)."""
    return {str(number): {"CPU": cpus, "GPU": gpus} for number, (cpus, gpus) in enumerate(each)}


@pytest.mark.parametrize(
    ("wanted", "cluster", "counts"),
    [
        (needs(), nodes((64, 8)), (8, 8, 8)),
        (needs(), nodes((0, 0), *[(16, 2)] * 4), (8, 8, 8)),
        (needs(), nodes((7, 8)), (4, 4, 4)),
        (needs(), nodes((64, 0)), (1, 1, 1)),
        (needs(writer=(2, 1.0, 0.0)), nodes((8, 8)), (4, 4, 2)),
        (needs(*[(3, 0.1, 0.0)] * 3), nodes((1, 0)), (3, 3, 3)),
        # There are enough CPUs for seven in sum, but four on no node.
        (needs(), nodes(*[(3, 4)] * 4), (4, 4, 4)),
        # Two of 0.6 share no card.
        (needs(llm=("auto", 1.0, 0.6), codec=("auto", 0.5, 0.6)), nodes((64, 6)), (3, 3, 3)),
        (needs(llm=("auto", 1.0, 2.0), codec=("auto", 1.0, 1.0)), nodes((64, 8), (64, 2)), (2, 2, 2)),
    ],
)
def test_auto_counts_fill_the_cluster(wanted, cluster, counts):
    assert tuple(plan_counts(wanted, cluster, same_node=True).values()) == counts


def test_auto_counts_fill_the_cluster_with_replicas_that_lie_anywhere():
    wanted, cluster = needs(codec=("auto", 3.0, 0.0)), nodes((4, 4), (30, 0))
    assert tuple(plan_counts(wanted, cluster, same_node=True).values()) == (1, 1, 1)
    assert tuple(plan_counts(wanted, cluster, same_node=False).values()) == (4, 4, 4)


@pytest.mark.parametrize(
    ("counts", "groups"),
    [
        ((2, 2, 2), ["llm0 codec0 writer0", "llm1 codec1 writer1"]),
        ((1, 1, 3), ["llm0 codec0 writer0 writer1 writer2"]),
        ((4, 2, 1), ["llm0 codec0 writer0", "llm2 codec1", "llm1", "llm3"]),
        ((1, 3, 2), ["llm0 codec0 writer0", "codec1 writer1", "codec2"]),
    ],
)
def test_pairs_and_their_writers_go_together_as_long_as_there_are_any(counts, groups):
    counts = dict(zip(("llm", "codec", "writer"), counts, strict=True))
    arranged = arrange(needs(), counts, same_node=True)
    assert [" ".join(f"{slot.stage}{slot.number}" for slot in group) for group in arranged] == groups
    apart = arrange(needs(), counts, same_node=False)
    assert sorted(apart) == sorted((slot,) for group in arranged for slot in group)
    assert [needs()[group[0].stage].gpus for group in apart] == sorted(
        (needs()[group[0].stage].gpus for group in apart), reverse=True
    )


def test_groups_without_gpus_leave_those_nodes_to_others():
    wanted = needs(llm=(2, 1.0, 1.0), codec=(4, 1.0, 0.0), writer=(1, 1.0, 0.0))
    counts = {stage: need.count for stage, need in wanted.items()}
    groups = arrange(wanted, counts, same_node=True)
    cluster = nodes((2, 2), (3, 0), (3, 1))
    assert find_homeless(groups, wanted, cluster) == []
    assert find_homeless(groups, wanted, nodes((2, 2), (1, 0), (3, 1))) == [groups[-1]]


@pytest.mark.parametrize(
    ("cluster", "same_node", "said"),
    [
        (nodes((8, 2)), True, None),
        (nodes((4, 1)), True, "need 4.5 CPUs where the cluster has 4 and 2 GPUs where the cluster has 1; lower"),
        (
            nodes((2, 2), (4, 0)),
            True,
            r"1 of 2 groups .* no node with room: 1 llm, 1 codec, 1 writer \(CPU: 2.5, GPU: 1\); the clus",
        ),
        (nodes((2, 2), (4, 0)), True, r"has 1 of \(CPU: 2, GPU: 2\), 1 of \(CPU: 4, GPU: 0\); .*same_node to false"),
        (nodes((2, 2), (4, 0)), False, None),
        (nodes((1, 2), (4, 0)), False, r"1 of 5 groups .*: 1 llm \(CPU: 1, GPU: 1\).*num_gpus$"),
    ],
)
def test_a_shortage_is_reported(cluster, same_node, said):
    wanted = needs(llm=(2, 1.0, 1.0), codec=(2, 1.0, 0.0), writer=(1, 0.5, 0.0))
    counts = {stage: need.count for stage, need in wanted.items()}
    message = describe_shortage(wanted, counts, cluster, same_node=same_node)
    assert (message is None) == (said is None)
    assert said is None or re.search(said, message)


def fit(cluster, problem=None, **settings):
    """Return (count, CPUs, GPUs) of each stage that four keys come to on a cluster."""
    config = parse_config({"weights": "demo", "manifest": "m", "speakers": "s", "output": "o", **settings})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replica_counts, "_find_build_problem", lambda: problem)
        plan, shortage = fit_replicas(config, cluster)
    replicas = plan.config.replicas
    found = {
        str(stage): (count, getattr(replicas, stage).cpus, getattr(replicas, stage).gpus)
        for stage, count in plan.counts.items()
    }
    return found, shortage


@pytest.mark.parametrize(
    ("cluster", "llm", "codec", "writer"),
    [
        (nodes((2, 0)), (1, 1.0, 0.0), (1, 0.5, 0.0), (1, 0.5, 0.0)),
        (nodes((1, 0)), (1, 0.5, 0.0), (1, 0.25, 0.0), (1, 0.25, 0.0)),
        (nodes((8, 0)), (4, 1.0, 0.0), (4, 0.5, 0.0), (4, 0.5, 0.0)),
        (nodes((2, 1)), (1, 1.0, 0.7), (1, 0.5, 0.3), (1, 0.5, 0.0)),
        (nodes((16, 1)), (1, 1.0, 0.7), (1, 0.5, 0.3), (1, 0.5, 0.0)),
        # Few CPUs are shared out, so that no card is idle.
        (nodes((8, 8)), (8, 0.5, 0.7), (8, 0.25, 0.3), (8, 0.25, 0.0)),
        (nodes((0, 0), *[(12, 4)] * 2), (8, 1.0, 0.7), (8, 0.5, 0.3), (8, 0.5, 0.0)),
    ],
)
def test_four_keys_fit_the_machine(cluster, llm, codec, writer):
    assert fit(cluster) == ({"llm": llm, "codec": codec, "writer": writer}, None)


def test_who_hears_takes_finds_room_on_two_cores_too():
    found, shortage = fit(nodes((2, 0)), quality={"asr": "pocketsphinx"})
    assert shortage is None and {stage: count for stage, (count, *_) in found.items()} == dict.fromkeys(found, 1)
    assert sum(cpus for _, cpus, _ in found.values()) <= 2 and len(found) == 4


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"llm": {"device": "cpu"}, "codec": {"device": "cpu"}}, (0.0, 0.0)),
        ({"codec": {"device": "cpu"}}, (1.0, 0.0)),
        ({"replicas": {"llm": {"num_gpus": 0.6}}}, (0.6, 0.4)),
        ({"replicas": {"llm": {"num_gpus": 1}}}, (1.0, 0.0)),
        ({"replicas": {"llm": {"num_gpus": 0}, "codec": {"num_gpus": 0}}}, (0.0, 0.0)),
        ({"replicas": {"llm": {"count": 2}, "codec": {"count": 2}}}, (0.35, 0.15)),
        ({"replicas": {"one_process": True}}, (0.7, 0.3)),
        (
            {"quality": {"asr": "whisper", "asr_model": "tiny"}, "replicas": {"listener": {"num_gpus": 0.2}}},
            (0.56, 0.24),
        ),
    ],
)
def test_shares_of_a_card_are_what_is_left_of_it(settings, shares):
    found, shortage = fit(nodes((16, 1)), **settings)
    assert shortage is None and found["llm"][2] == shares[0]
    assert "codec" not in found or found["codec"][2] == shares[1]


def test_a_build_for_cpus_uses_no_card_and_says_so(caplog):
    found, _ = fit(nodes((4, 1)), "torch 2 is a build for CPUs")
    assert found["llm"] == (2, 1.0, 0.0)
    assert "the cluster has 1 GPU(s), and none is used: torch 2 is a build for CPUs" in caplog.text


def test_numbers_that_were_given_stay_and_what_is_short_is_reported():
    found, shortage = fit(nodes((2, 0)), replicas={"llm": {"num_cpus": 4}})
    assert found["llm"] == (1, 4.0, 0.0) and "need 5 CPUs where the cluster has 2" in shortage
