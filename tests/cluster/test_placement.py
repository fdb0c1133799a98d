"""Where replicas are put: on a real Ray of several nodes."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.cluster import placement


@pytest.fixture(scope="module")
def seen():
    """Return what all scenarios saw, from a process of their own, as one can be connected to one Ray only."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(placement.see_everything).result()


def test_pairs_fill_every_card(seen):
    """Shares of 0.3 were spread over cards, three to one, so that the last language model found no place."""
    first = seen["harmed"]["started"][:9]
    cards = {stage: sorted(entry[1:3] for entry in first if entry[0] == stage) for stage in placement.PAIRS}
    assert len(set(cards["llm"])) == 3
    assert cards["codec"] == cards["llm"]
    assert Counter(node for node, _ in cards["writer"]) == Counter(node for node, _ in cards["llm"])


def test_a_replica_takes_its_predecessors_place(seen):
    assert seen["harmed"]["started"][9][:3] == seen["harmed"]["killed"][:3]


def test_a_pair_whose_node_went_takes_the_next_one_that_comes(seen):
    harmed = seen["harmed"]
    lost, again = [entry for entry in harmed["started"][:9] if entry[1] == harmed["lost"]], harmed["started"][10:]
    assert sorted(entry[0] for entry in lost) == sorted(entry[0] for entry in again) == sorted(placement.PAIRS)
    assert {entry[1] for entry in again} == {harmed["new"]}


def test_audio_is_written_on_the_node_where_it_was_made(seen):
    assert len(seen["harmed"]["ways"]) == 20
    assert all(made == written for made, written in seen["harmed"]["ways"])


def test_a_node_where_nothing_starts_is_named_and_left(seen):
    sick = seen["sick"]
    assert len(sick["started"]) == 3
    assert sick["sick"] not in {entry[1] for entry in sick["started"]}
    assert sick["num_units"] >= 20
    (named,) = [text for text in sick["words"] if "replicas keep failing on" in text]
    assert f"node {sick['sick'][:12]} (" in named
    (moved,) = [text for text in sick["words"] if "moved from node" in text]
    assert f"1 llm, 1 codec, 1 writer (CPU: 1.25, GPU: 1): moved from node {sick['sick'][:12]} to node" in moved


def test_places_are_given_back(seen):
    assert seen["harmed"]["groups"] == seen["sick"]["groups"] == {"REMOVED"}
