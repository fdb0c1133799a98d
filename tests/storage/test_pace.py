"""Requests under way at a store that asks for fewer."""

import heapq
import random
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from pipeline.config.run import StorageConfig
from pipeline.storage import Throttled, TransientError, open_storage
from pipeline.storage.base import _FIRST_WAIT_S, _LONGEST_WAIT_S
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


class Bucket:
    """A store that admits so many requests a second, each of which takes 30 ms; a refusal takes 15."""

    def __init__(self, rate):
        self.rate, self.tokens, self.filled_at = rate, float(rate), 0.0

    def admits(self, now):
        self.tokens = min(self.rate, self.tokens + (now - self.filled_at) * self.rate) - 1
        self.filled_at = now
        if self.tokens < 0:
            self.tokens += 1
            return False
        return True


def simulate_writers(num_writers, num_threads, rate, seconds):
    """Return how many requests went well and were refused, and the most tries of one; each thread is never idle."""
    clock, bucket, chance = Clock(), Bucket(rate), random.Random(1)
    paces = [Pace(clock) for _ in range(num_writers)]
    queues = [deque() for _ in paces]
    events = [
        (chance.random(), thread, thread % num_writers, None, False, 1) for thread in range(num_threads * num_writers)
    ]
    heapq.heapify(events)
    num_ok = num_refused = most_tries = 0
    serial = len(events)
    while events[0][0] < seconds:
        clock.now, _, writer, turn, went_well, tries = heapq.heappop(events)
        serial += 1
        pace, queue = paces[writer], queues[writer]
        if turn is None:
            queue.append(tries)
        else:
            turn.close()
            if went_well:
                num_ok += 1
                pace.speed_up()
                heapq.heappush(events, (clock.now, serial, writer, None, False, 1))
            else:
                num_refused += 1
                pace.slow_down()
                wait_s = chance.uniform(0, min(_FIRST_WAIT_S * 2 ** (tries - 1), _LONGEST_WAIT_S))
                heapq.heappush(events, (clock.now + wait_s, serial, writer, None, False, tries + 1))
        while queue and (pace.limit is None or pace._under_way < int(pace.limit)):
            turn, tries, serial = ExitStack(), queue.popleft(), serial + 1
            turn.enter_context(pace.request())
            most_tries, went_well = max(most_tries, tries), bucket.admits(clock.now)
            length_s = 0.03 * chance.uniform(0.6, 1.6) if went_well else 0.015
            heapq.heappush(events, (clock.now + length_s, serial, writer, turn, went_well, tries))
    return num_ok, num_refused, most_tries


def test_a_hundred_writers_keep_within_what_a_bucket_of_s3_admits():
    """Each of their 800 threads would ask 30 times a second; the bucket admits 3,500 requests in all."""
    num_ok, num_refused, most_tries = simulate_writers(100, 8, rate=3_500, seconds=20.0)
    assert num_ok > 20 * 3_500
    assert num_refused < 0.1 * num_ok
    assert most_tries <= StorageConfig().max_attempts
