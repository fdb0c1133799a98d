"""Replicas of a stage: starts that hang or fail, nodes that go; without Ray."""

import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, NodeDiedError

from pipeline.cluster import pools, ray_api
from pipeline.cluster.node_health import NodeHealth
from pipeline.cluster.pools import Pool
from pipeline.cluster.work_items import Stage
from pipeline.errors import HangError, RunStopped, WeightsError
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
    yield Pool("llm", lambda slot: InlineActor(HungStart, [released], 2), 1, 1)
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


def test_starts_that_keep_hanging_stop_the_run(inline_pool):
    for number in range(pools.START_TRIES):
        arrive(inline_pool)
        inline_pool.end_hung_starts(100.0 * number, 5.0)
        if number == pools.START_TRIES - 1:
            with pytest.raises(HangError, match=r"process 7 on host, log x\.err, 3 times in a row.*start_timeout_s"):
                inline_pool.end_hung_starts(100.0 * number + 6, 5.0)
        else:
            inline_pool.end_hung_starts(100.0 * number + 6, 5.0)


@pytest.fixture
def make_pool(monkeypatch):
    """Make pools whose replicas do nothing by themselves; the n-th replica is on the n-th node that is named."""
    places = {}
    monkeypatch.setattr(ray_api, "kill", lambda handle: None)
    monkeypatch.setattr(ray_api, "find_node", places.get)
    call = SimpleNamespace(remote=object)

    def make_pool(count, *nodes, **settings):
        waiting = list(nodes)

        def create(slot):
            handle = type("Handle", (), {"start": call, "locate": call})()
            if waiting:
                name = waiting.pop(0)
                places[handle] = ray_api.NodePlace(name * 20, f"10.0.0.{name}")
            return handle

        return Pool(Stage.LLM, create, count, 1, **settings)

    return make_pool


@pytest.mark.parametrize(("error", "stops"), [(NodeDiedError("gone"), False), (ActorDiedError(), True)])
def test_a_node_that_goes_with_all_its_replicas_does_not_stop_the_run(make_pool, error, stops):
    count = 2 * pools.MAX_DEATHS
    pool = make_pool(count)
    try:
        for _ in range(2):
            for replica in list(pool.replicas):
                replica.is_ready = True
                pool.replace(replica, error)
        assert not stops
        assert len(pool.replicas) == count
    except RunStopped:
        assert stops


SICK = WeightsError("CACHE: cannot be written (No space left on device)")


def fail_start(pool, replica, error=SICK, now=0.0):
    pool.starting = {reference: other for reference, other in pool.starting.items() if other is not replica}
    pool.start_failed(replica, error, now)


def test_one_replica_that_cannot_start_does_not_stop_a_fleet(make_pool):
    """A start that failed once, with an error of CUDA, the disk or the weights, ended a run of 1,000 replicas."""
    pool = make_pool(4)
    for replica in pool.replicas[1:]:
        pool.note_ready(replica)
    for _ in range(pools.START_TRIES):
        fail_start(pool, next(replica for replica in pool.replicas if not replica.is_ready))
    assert len(pool.replicas) == 3
    pool.start_postponed(29.0)
    assert len(pool.replicas) == 3
    now = 30.0
    for wait_s in (60.0, 120.0, 240.0, 480.0, 600.0, 600.0):
        pool.start_postponed(now)
        assert len(pool.replicas) == 4
        fail_start(pool, pool.replicas[-1], now=now)
        pool.start_postponed(now + wait_s - 1)
        assert len(pool.replicas) == 3
        now += wait_s


def test_a_start_that_goes_well_forgets_those_that_failed(make_pool):
    pool = make_pool(1)
    for _ in range(2 * pools.START_TRIES):
        fail_start(pool, pool.replicas[0])
        pool.note_ready(pool.replicas[0])
    assert len(pool.replicas) == 1


def test_a_stage_none_of_whose_replicas_can_start_stops_the_run_with_their_own_words(make_pool):
    pool = make_pool(3, max_failed_starts=1.0)
    with pytest.raises(WeightsError, match="No space left"):
        for _ in range(3 * pools.START_TRIES):
            fail_start(pool, pool.replicas[0])
    assert not pool.replicas


def test_too_large_a_share_that_cannot_start_stops_the_run_and_names_the_nodes(make_pool):
    pool = make_pool(4, *["1"] * 4, *["2"] * 20)
    where = r"node 2{12} \(10\.0\.0\.2\) \(7 times\), node 1{12} \(10\.0\.0\.1\) \(4 times\)"
    with pytest.raises(
        RunStopped, match=rf"3 of 4 llm replicas \(75%\) cannot start.*\(50%\) allows: {where}.*No space"
    ):
        for _ in range(4 * pools.START_TRIES):
            fail_start(pool, pool.replicas[0])


def test_a_node_that_keeps_failing_is_avoided_and_named_until_a_start_goes_well(make_pool, caplog):
    nodes = NodeHealth()
    pool = make_pool(3, "1", "1", "2", "1", nodes=nodes)
    first, second, third = pool.replicas
    fail_start(pool, first)
    assert nodes.avoided == []
    fail_start(pool, second)
    assert nodes.avoided == ["1" * 20]
    assert "replicas keep failing on node 111111111111 (10.0.0.1): others are tried first" in caplog.text
    pool.note_ready(third)
    assert nodes.avoided == ["1" * 20]
    pool.note_ready(pool.replicas[1])
    assert nodes.avoided == []


def test_a_death_while_starting_is_a_start_that_failed(make_pool):
    pool = make_pool(1)
    with pytest.raises(RunStopped, match="its process died"):
        for _ in range(pools.START_TRIES):
            pool.replace(pool.replicas[0], ActorDiedError())
