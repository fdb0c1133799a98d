"""Replicas of a stage: starts that hang or fail, nodes that go; without Ray."""

import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, NodeDiedError

from pipeline.cluster import pools, ray_api
from pipeline.cluster.pools import Pool
from pipeline.errors import HangError, RunStopped
from tests.inline_ray import InlineActor, InlineRay


class HungStart:
    """An actor whose start takes as long as the test lets it."""

    def __init__(self, released):
        self.released = released

    def locate(self):
        return "process 7 on host, log x.err"

    def start(self):
        self.released.wait(60)


@pytest.fixture
def inline_pool(monkeypatch):
    """Make a pool whose replicas are threads that hang while they start; the event lets them go."""
    released = threading.Event()
    monkeypatch.setattr(ray_api, "ray", InlineRay())
    yield Pool("llm", lambda: InlineActor(HungStart, [released], 2), 1, 1)
    released.set()


def arrive(pool):
    (replica,) = pool.replicas
    replica.arrival.result(10)
    return replica


def test_a_start_has_its_time_from_the_first_sign_of_its_process(inline_pool):
    first = arrive(inline_pool)
    inline_pool.end_hung_starts(1_000.0, 5.0)
    inline_pool.end_hung_starts(1_005.0, 5.0)
    assert inline_pool.replicas == [first]
    inline_pool.end_hung_starts(1_005.1, 5.0)
    assert inline_pool.replicas != [first]
    assert len(inline_pool.starting) == 1


def test_a_start_that_waits_for_room_is_not_taken_for_hung(inline_pool):
    replica = arrive(inline_pool)
    replica.arrival = Future()
    for now in (0.0, 1e6):
        inline_pool.end_hung_starts(now, 5.0)
    assert inline_pool.replicas == [replica]


@pytest.mark.parametrize("works_between", [False, True])
def test_starts_that_keep_hanging_stop_the_run_unless_work_is_done_between(inline_pool, works_between):
    for number in range(pools.MAX_HUNG_STARTS + 1):
        arrive(inline_pool)
        inline_pool.end_hung_starts(100.0 * number, 5.0)
        if works_between:
            inline_pool.note_success()
        elif number == pools.MAX_HUNG_STARTS:
            with pytest.raises(HangError, match=r"process 7 on host, log x\.err, 3 times in a row.*start_timeout_s"):
                inline_pool.end_hung_starts(100.0 * number + 6, 5.0)
            return
        inline_pool.end_hung_starts(100.0 * number + 6, 5.0)
    assert len(inline_pool.replicas) == 1


@pytest.mark.parametrize(("error", "stops"), [(NodeDiedError("gone"), False), (ActorDiedError(), True)])
def test_a_node_that_goes_with_all_its_replicas_does_not_stop_the_run(monkeypatch, error, stops):
    monkeypatch.setattr(ray_api, "kill", lambda handle: None)
    call = SimpleNamespace(remote=object)
    count = 2 * pools.MAX_FAILED_STARTS
    pool = Pool("llm", lambda: SimpleNamespace(start=call, locate=call), count, 1)
    try:
        for replica in list(pool.replicas):
            pool.replace(replica, error)
        assert not stops
        assert len(pool.replicas) == count
    except RunStopped:
        assert stops
