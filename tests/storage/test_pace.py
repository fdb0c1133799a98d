"""Requests under way at a store that asks for fewer."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from pipeline.config.run import StorageConfig
from pipeline.storage import Throttled, TransientError, open_storage
from pipeline.storage.pace import Pace


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def slow_down_under(pace, num_under_way):
    """As a request that is refused beside others."""
    with ExitStack() as requests:
        for _ in range(num_under_way - 1):
            requests.enter_context(pace.request())
        pace.slow_down()


def test_there_is_no_limit_before_the_store_asks():
    pace = Pace()
    pace.speed_up()
    with ExitStack() as requests:
        for _ in range(1_000):
            requests.enter_context(pace.request())
    assert pace.limit is None


def test_a_burst_of_refusals_halves_once_and_later_ones_again_down_to_one():
    pace = Pace(clock := Clock())
    slow_down_under(pace, 8)
    pace.slow_down()
    assert pace.limit == 4
    for expected in (2, 1, 1):
        clock.now += 1
        pace.slow_down()
        assert pace.limit == expected


def test_the_limit_is_raised_by_one_every_few_seconds_and_lifted_where_it_was():
    pace = Pace(clock := Clock())
    slow_down_under(pace, 8)
    pace.speed_up()
    assert pace.limit == 4
    for expected in (5, 6, 7, None):
        clock.now += 5
        for _ in range(3):
            pace.speed_up()
        assert pace.limit == expected


def test_no_more_requests_are_under_way_than_allowed():
    pace = Pace(Clock())
    slow_down_under(pace, 6)
    under_way, most, lock = [0], [0], threading.Lock()

    def work(_):
        with pace.request():
            with lock:
                under_way[0] += 1
                most[0] = max(most[0], under_way[0])
            threading.Event().wait(0.002)
            with lock:
                under_way[0] -= 1

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, range(100)))
    assert most[0] == 3


@pytest.mark.parametrize(("kind", "limit"), [(Throttled, 1), (TransientError, None)])
def test_a_storage_heeds_only_refusals_for_want_of_pace(tmp_path, monkeypatch, kind, limit):
    monkeypatch.setattr("pipeline.storage.base._FIRST_WAIT_S", 0.0)
    storage, failures, limits = open_storage(str(tmp_path), StorageConfig()), [kind(), kind()], []
    put = storage._put

    def fail_twice(*arguments):
        limits.append(storage._pace.limit)
        if failures:
            raise failures.pop()
        return put(*arguments)

    monkeypatch.setattr(storage, "_put", fail_twice)
    storage.put("a", b"1")
    assert limits == [None, limit, limit]
