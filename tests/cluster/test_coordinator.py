"""The loop with real Ray actors and instant fake stages."""

import re
import sys
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.exceptions import (
    ActorDiedError,
    ActorPlacementGroupRemoved,
    ActorUnavailableError,
    NodeDiedError,
    ObjectLostError,
    ObjectReconstructionFailedError,
    OutOfMemoryError,
    OwnerDiedError,
    RayActorError,
    RayTaskError,
)

from pipeline.cluster import pools, ray_api
from pipeline.cluster.coordinator import Coordinator
from pipeline.cluster.pools import Pool, Replica
from pipeline.cluster.stage_order import STAGES
from pipeline.cluster.store_patience import StorePatience
from pipeline.cluster.work_items import Call, Round, Stage, UnitState
from pipeline.errors import HangError, ObjectChanged, RejectionCode, RunStopped, StorageError, StoreRefused
from pipeline.manifest.units import WorkUnit
from tests.cluster.fake_stages import FAKES, LISTENING_STAGES, FakeWriter, reported, run, units
from tests.inline_ray import InlineActor, InlineRay, inline_ray

# As those of fake_stages.py.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def as_threads():
    """For runs that nobody kills: their replicas are threads, which start at once."""
    with inline_ray():
        yield


def test_every_unit_is_committed_once(ray_cluster):
    receipts = run(units(20), llm_count=2)
    assert sorted(receipt.unit_id for receipt in receipts) == sorted(unit.unit_id for unit in units(20))
    assert sum(receipt.num_ok for receipt in receipts) == 80


@pytest.mark.usefixtures("as_threads")
def test_no_more_units_are_in_flight_than_allowed():
    in_flight, receipts = [], []

    def counted():
        for number, unit in enumerate(units(15), start=1):
            in_flight.append(number - len(receipts))
            yield unit

    run(counted(), max_units=3, receipts=receipts)
    assert len(receipts) == 15
    assert max(in_flight) == 3


@pytest.fixture(scope="module")
def troubled(ray_cluster):
    """One run in which everything goes wrong at once; row -> (code or "audio", message)."""
    behavior = {
        "duplicates": {"s": [1, 6]},
        "deadly": {13},
        "raising": {0, 11},
        "needs_takes": {2: 3, 7: 2},
    }
    return reported(run(units(6), behavior, llm_count=2))


def test_every_other_row_of_a_troubled_run_has_audio(troubled):
    assert set(troubled) == set(range(24))
    assert {row for row, (code, _) in troubled.items() if code == "audio"} == set(range(24)) - {0, 1, 6, 11, 13}


def test_duplicates_are_rejected_in_their_own_row(troubled):
    assert troubled[1][0] == troubled[6][0] == RejectionCode.DUPLICATE_ID


def test_a_row_that_kills_its_replica_is_rejected_alone(troubled):
    assert troubled[13][0] == RejectionCode.REPLICA_CRASH
    assert "died 2 times while it synthesized this row in isolation" in troubled[13][1]


def test_a_row_that_raises_is_rejected_alone(troubled):
    assert troubled[0][0] == troubled[11][0] == RejectionCode.INTERNAL_ERROR
    assert troubled[0][1] == "RuntimeError: no way"


def test_failed_takes_are_taken_again_and_the_last_one_counts(troubled):
    assert (troubled[2][1], troubled[7][1], troubled[3][1]) == ("audio of take 2", "audio of take 1", "audio of take 0")


@pytest.mark.usefixtures("as_threads")
def test_a_replica_that_cannot_load_stops_the_run_with_its_own_words():
    with pytest.raises(StorageError, match=r"^the weights' store is away$"):
        run(units(1), {"codec": {"cannot_start": True}})


def test_replicas_that_keep_dying_stop_the_run(ray_cluster, monkeypatch):
    monkeypatch.setattr(pools, "START_TRIES", 2)
    with pytest.raises(RunStopped, match="its process died"):
        run(units(1), {"llm": {"dies_at_start": True}})


def test_a_start_that_hangs_is_named_with_its_log(ray_cluster, monkeypatch):
    monkeypatch.setattr(pools, "START_TRIES", 2)
    with pytest.raises(
        HangError, match=r"an? llm replica was not ready after 3 s: process \d+ on .*, 2 times"
    ) as raised:
        run(units(1), {"llm": {"hangs_at_start": True}}, start_timeout_s=3.0)
    log = re.search(r", log (\S+), 2 times", str(raised.value))[1]
    assert "in start" in Path(log).read_text()


@pytest.mark.parametrize(
    ("error", "is_own"),
    [
        (ActorDiedError(), True),
        (OutOfMemoryError("killed due to the node running low on memory"), True),
        (ActorUnavailableError("the actor restarts", None), False),
        (NodeDiedError("gone"), False),
        (RayActorError(error_msg="The actor died because its node has died. Node Id: 1"), False),
        (RayActorError(error_msg="The actor died", preempted=True), False),
        (RayActorError(error_msg="Destroying worker since its placement group was removed."), False),
        (ActorPlacementGroupRemoved(), False),
    ],
)
def test_only_a_death_of_its_own_counts_against_a_row(error, is_own):
    state = UnitState(units(1)[0], {})
    replica = Replica(handle=None)
    coordinator = Coordinator(
        STAGES, {Stage.LLM: (pool := IdlePool())}, max_units=1, max_crashes=2, lease=None, on_commit=None, on_tick=None
    )
    for _ in range(5):
        call = Call(Stage.LLM, state, Round(None), replica)
        coordinator._recover(call, pool, error)
    assert (state.quarantine is not None) == is_own
    assert len(pool.queue) == 5
    assert pool.num_replaced == (0 if isinstance(error, NodeDiedError) else 5)


def lost(kind, *, nested=False):
    """As Ray reports an argument that is gone: an error of the call, which holds the loss, or holds what holds it."""
    loss = kind("gone") if kind is NodeDiedError else kind("0" * 56, None, "")
    if nested:
        loss = RayTaskError("decode", "Traceback ...", loss)
    return RayTaskError("write", "Traceback ...", loss).as_instanceof_cause()


@pytest.mark.parametrize("kind", [ObjectLostError, ObjectReconstructionFailedError, OwnerDiedError, NodeDiedError])
@pytest.mark.parametrize("nested", [False, True])
def test_a_loss_is_known_however_it_is_wrapped(kind, nested):
    assert ray_api.is_loss(lost(kind, nested=nested))


@pytest.mark.parametrize("error", [RuntimeError("no way"), ActorDiedError(), OutOfMemoryError("full")])
def test_no_other_failure_is_a_loss(error):
    assert not ray_api.is_loss(RayTaskError("write", "Traceback ...", error).as_instanceof_cause())
    assert not ray_api.is_loss(error)


@pytest.mark.parametrize(
    ("stage", "method"),
    [(Stage.LLM, "generate"), (Stage.CODEC, "decode"), (Stage.LISTENER, "listen"), (Stage.WRITER, "write")],
)
def test_lost_objects_are_made_again_and_count_against_no_row(monkeypatch, stage, method):
    """Two nodes' worth of losses, more than any limit allows of failures: they stopped the run as failed writes."""
    losses = [lost(ObjectReconstructionFailedError, nested=number % 2 == 0) for number in range(3 * pools.MAX_DEATHS)]
    work = getattr(FAKES[stage], method)

    def lose_first(self, *arguments):
        if losses:
            raise losses.pop()
        return work(self, *arguments)

    monkeypatch.setattr(FAKES[stage], method, lose_first)
    with inline_ray():
        rows = reported(run(units(3), listening({}), stages=LISTENING_STAGES))
    assert not losses
    assert {row: code for row, (code, _) in rows.items()} == dict.fromkeys(range(12), "audio")


@pytest.fixture
def short_rests(monkeypatch):
    monkeypatch.setattr(pools, "_LONGEST_REST_S", 0.01)


@pytest.mark.usefixtures("short_rests")
@pytest.mark.parametrize(("stage", "method"), [(Stage.LLM, "generate"), (Stage.WRITER, "write")])
def test_a_unit_whose_store_request_failed_is_queued_again(monkeypatch, stage, method, caplog):
    """One writer that met SlowDown six times ended the run."""
    failures = [StorageError("s3://b: put 'audio/x' failed 6 time(s), last with SlowDown") for _ in range(20)]
    work = getattr(FAKES[stage], method)

    def fail_first(self, *arguments):
        if failures:
            raise failures.pop()
        return work(self, *arguments)

    monkeypatch.setattr(FAKES[stage], method, fail_first)
    with inline_ray():
        rows = reported(run(units(3)))
    assert {row: code for row, (code, _) in rows.items()} == dict.fromkeys(range(12), "audio")
    assert "last with SlowDown; unit s/000000000-000000003 waits for another try (" in caplog.text


@pytest.mark.usefixtures("short_rests")
@pytest.mark.parametrize(
    ("error", "give_up_after_s", "said"),
    [
        (
            StorageError("put failed 6 time(s)"),
            0.0,
            r"^put failed 6 time\(s\); nothing was committed for 0 s \(storage",
        ),
        (StoreRefused("No space left on device"), 600.0, "^No space left on device$"),
        (ObjectChanged("a.parquet: was replaced"), 600.0, "^a.parquet: was replaced$"),
    ],
)
def test_a_store_that_takes_nothing_for_long_or_refuses_stops_the_run(monkeypatch, error, give_up_after_s, said):
    def fail(self, *_):
        raise error

    monkeypatch.setattr(FAKES[Stage.WRITER], "write", fail)
    with inline_ray(), pytest.raises(StorageError, match=said):
        run(units(3), patience=StorePatience(give_up_after_s))


def test_a_replica_whose_store_failed_leaves_work_to_others_for_a_while(monkeypatch):
    """Each failure is quick, so that the sick one would always have the least to do."""
    monkeypatch.setattr(ray_api, "ray", InlineRay())
    pool = Pool(Stage.WRITER, lambda slot: InlineActor(FakeWriter, [{}], 2), 2, 1)
    for replica in pool.replicas:
        replica.is_ready = True
    sick, well = pool.replicas
    for number in range(3):
        sick.rests_until = 0.0
        sick.rest(now := time.monotonic())
        assert now + 2**number / 2 <= sick.rests_until <= now + 2**number
        pool.queue.append(Call(Stage.WRITER, UnitState(units(1)[0], {})))
        assert pool.take_call()[1] is well


@pytest.fixture
def placed_pool(monkeypatch):
    """Three writers of two calls each, one on node a and two on b; queue calls by the nodes of their input."""
    monkeypatch.setattr(ray_api, "ray", InlineRay())
    pool = Pool(Stage.WRITER, lambda slot: InlineActor(FakeWriter, [{}], 2), 3, 2)
    for replica, node in zip(pool.replicas, "abb", strict=True):
        pool.note_ready(replica, node)

    def take_all(nodes):
        for number, node in enumerate(nodes):
            state = UnitState(WorkUnit("s", number, number), {})
            state.node_id = node
            pool.queue.append(Call(Stage.WRITER, state))
        taken = []
        while pool.queue and (next_one := pool.take_call()) is not None:
            call, replica = next_one
            replica.calls.append(call)
            taken.append((call.state.unit.first_row, pool.replicas.index(replica)))
        return taken

    return pool, take_all


def test_a_call_goes_where_its_input_is_as_long_as_there_is_room(placed_pool):
    pool, take_all = placed_pool
    assert take_all("bbbbbbb") == [(0, 1), (1, 2), (2, 1), (3, 2), (4, 0), (5, 0)]
    assert [call.state.unit.first_row for call in pool.queue] == [6]


def test_where_calls_wait_a_replica_takes_one_whose_input_is_at_hand_but_none_waits_for_ever(placed_pool):
    pool, take_all = placed_pool
    assert take_all("bbbbbaa") == [(0, 1), (1, 2), (2, 1), (3, 2), (5, 0), (6, 0)]
    first = pool.queue[0]
    for _ in range(pools._LOOK_AHEAD - first.num_overtaken):
        pool.replicas[0].calls.pop()
        assert take_all("a") == [(0, 0)]
        assert pool.queue[0] is first
    pool.replicas[0].calls.pop()
    assert take_all("a") == [(first.state.unit.first_row, 0)]


@pytest.mark.parametrize(("slept_s", "is_hung"), [(0.0, True), (100.0, False)])
def test_a_driver_that_stood_still_takes_nobody_for_hung(monkeypatch, slept_s, is_hung):
    """It saw the replica stand still for 31 s, or for 5 s before it slept for 100."""
    monkeypatch.setattr(ray_api, "kill", lambda handle: None)
    state = UnitState(units(1)[0], {})
    replica = Replica(handle=None)
    replica.calls.append(Call(Stage.LLM, state, Round(None), replica))
    replica.poll_heartbeat = lambda now: None
    pool = Pool("llm", create=None, count=0, max_calls=1)
    pool.replicas.append(replica)
    coordinator = Coordinator(
        STAGES,
        {Stage.LLM: pool},
        max_units=1,
        max_crashes=2,
        lease=None,
        on_commit=None,
        on_tick=None,
        hang_timeout_s=30.0,
    )
    coordinator._next_look = time.monotonic() - slept_s
    replica.progressed_at = coordinator._next_look - (31.0 if is_hung else 5.0)
    coordinator._end_hung_replicas()
    assert replica.is_hung == is_hung


class IdlePool:
    def __init__(self):
        self.queue, self.num_replaced = deque(), 0

    def replace(self, replica, error):
        self.num_replaced += 1


def listening(behavior):
    return {**behavior, "writer": {"num_results": 3}}


@pytest.mark.usefixtures("as_threads")
def test_a_row_that_nobody_understands_is_made_again_with_those_that_the_codec_refused():
    """A row fails at the codec and another at the listener: one round makes both again."""
    rounds = []

    def generate(handle, call, lease):
        rounds.append(call.round.wanted)
        return LISTENING_STAGES[0].send(handle, call, lease)

    stages = [replace(LISTENING_STAGES[0], send=generate), *LISTENING_STAGES[1:]]
    rows = reported(run(units(1), listening({"needs_takes": {1: 2}, "mumbled": {2}}), stages=stages))
    assert {row: text for row, (_, text) in rows.items()} == {
        0: "audio of take 0", 1: "audio of take 1", 2: "audio of take 2", 3: "audio of take 0"
    }  # fmt: skip
    assert rounds == [None, {1: {0: 1}, 2: {0: 1}}, {2: {0: 2}}]


def test_rows_that_hang_or_that_kill_hang_or_break_a_listener_are_rejected_alone(ray_cluster):
    behavior = {"deadly_to_hear": {1}, "endless_to_hear": {6}, "unheard_of": {8}, "mumbled": {3}, "hanging": {13}}
    receipts = run(units(4), listening(behavior), stages=LISTENING_STAGES, max_units=2, hang_timeout_s=3.0)
    rows = reported(receipts)
    assert {row: code for row, (code, _) in rows.items() if code != "audio"} == {
        1: RejectionCode.REPLICA_CRASH, 6: RejectionCode.TIMED_OUT, 8: RejectionCode.INTERNAL_ERROR,
        13: RejectionCode.TIMED_OUT,
    }  # fmt: skip
    assert "no step in 3 s" in rows[13][1]
    assert set(rows) == set(range(16)) and rows[3][1] == "audio of take 2"
    assert rows[8][1] == "RuntimeError: what was that"
    assert sorted(receipt.unit_id for receipt in receipts) == sorted(unit.unit_id for unit in units(4))


def test_an_interrupted_run_ends_what_its_writers_hold(ray_cluster):
    """The drain waits for the writers alone, and no longer than it may."""
    receipts = []
    behavior = {"writer": {"slow_s": 1.0}, "hanging": {100}}
    stopped = []

    def stop():
        if receipts and not stopped:
            stopped.append(len(receipts))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(units(30), behavior, on_tick=stop, receipts=receipts)
    assert len(receipts) > stopped[0]


@pytest.mark.usefixtures("as_threads")
def test_a_tick_may_stop_the_run():
    def stop():
        raise RunStopped("enough")

    with pytest.raises(RunStopped, match="enough"):
        run(units(5), on_tick=stop)
