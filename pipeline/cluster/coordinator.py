"""One loop that moves units through the replicas: bounded flow, dead replicas, retakes, poison rows.

Knows nothing of text, tokens or audio: those pass from replica to replica as references to Ray's object store.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from pipeline.cluster import ray_api
from pipeline.cluster.pools import Pool, Replica
from pipeline.cluster.ray_api import REPLICA_DEATHS, died_by_itself, is_loss
from pipeline.cluster.replica import ReplicaInfo, internal_error
from pipeline.cluster.stage_order import StageSpec
from pipeline.cluster.store_patience import StorePatience
from pipeline.cluster.work_items import Call, Round, Stage, UnitState
from pipeline.errors import RejectionCode, RunStopped, StorageError, StoreRefused, SynthesisError
from pipeline.output.lease import Lease
from pipeline.output.row_counts import UnitReceipt
from pipeline.synthesis.takes import Rejection, Wanted

logger = logging.getLogger(__name__)
_MEMORY_RETURNS_S = 3.0
_IDLE_S = 0.1
MAX_FAILED_WRITES = 8
"""Of one unit, for reasons that are not the store's, before the run stops."""
_ASLEEP_S = 5.0
"""A look at the replicas that comes so late finds a driver that was frozen, or a machine that was."""


class Coordinator:
    """Runs units to their commits.

    Args:
        stages: in their order; the last one commits.
        pools: by stage.
        max_units: units in flight; bounds memory however large the manifest.
        max_crashes: crashes after which a unit's rows are run one at a time.
        lease: handed to the writers.
        on_commit: called with the receipt of each commit.
        on_tick: called between events; may raise to stop the run.
        hang_timeout_s: a busy replica that makes no step for so long is replaced.
        start_timeout_s: so is one that loads for so long.
        on_start: called with each replica that is ready and its stage; may raise to stop the run.
        patience: with the store.
    """

    def __init__(
        self,
        stages: Sequence[StageSpec],
        pools: Mapping[Stage, Pool],
        *,
        max_units: int,
        max_crashes: int,
        lease: Lease,
        on_commit: Callable[[UnitReceipt], None],
        on_tick: Callable[[], None],
        hang_timeout_s: float = 600.0,
        start_timeout_s: float = 600.0,
        on_start: Callable[[Stage, ReplicaInfo], None] = lambda stage, info: None,
        patience: StorePatience | None = None,
    ) -> None:
        self._specs = {spec.stage: spec for spec in stages}
        self._following = dict(pairwise(self._specs))
        self._first, self._last = stages[0].stage, stages[-1].stage
        self._pools = pools
        self._max_units = max_units
        self._max_crashes = max_crashes
        self._lease = lease
        self._on_commit = on_commit
        self._on_tick = on_tick
        self._hang_timeout_s = hang_timeout_s
        self._start_timeout_s = start_timeout_s
        self._on_start = on_start
        self._patience = patience or StorePatience()
        self._next_look = 0.0
        self._calls: dict[Any, Call] = {}
        self._num_units = 0

    def start(self) -> None:
        """Wait until each stage has a replica.

        Raises:
            SynthesisError: a replica could not load.
        """
        while not all(any(replica.is_ready for replica in pool.replicas) for pool in self._pools.values()):
            self._turn()

    def run(self, units: Iterator[UnitState]) -> None:
        """Bring every unit to its commit.

        Args:
            units: read no faster than units end.

        Raises:
            SynthesisError: the run cannot go on; what is committed is safe.
        """
        exhausted = False
        while True:
            while not exhausted and self._num_units < self._max_units:
                state = next(units, None)
                if state is None:
                    exhausted = True
                    break
                self._num_units += 1
                self._begin_round(state, state.wanted)
            if exhausted and self._num_units == 0:
                return
            self._dispatch()
            self._turn()

    def drain(self, timeout_s: float) -> None:
        """Let the last stage end what it has begun, and nothing else: what it holds is all but committed.

        Args:
            timeout_s: seconds after which its calls are given up.
        """
        deadline = time.monotonic() + timeout_s
        for stage, pool in self._pools.items():
            if stage != self._last:
                pool.close()
        committing = {ref for ref, call in self._calls.items() if call.stage == self._last}
        while committing and (left_s := deadline - time.monotonic()) > 0:
            for ref in ray_api.wait([*committing], timeout=left_s):
                committing.remove(ref)
                try:
                    self._on_commit(ray_api.get(ref))
                except (RayError, SynthesisError) as error:
                    logger.warning("a unit was not committed: %s", str(error).splitlines()[0])

    def _dispatch(self) -> None:
        for pool in self._pools.values():
            while pool.queue and (taken := pool.take_call()) is not None:
                self._send(*taken)

    def _send(self, call: Call, replica: Replica) -> None:
        call.results, report = self._specs[call.stage].send(replica.handle, call, self._lease)
        call.replica = replica
        if not replica.calls:
            replica.progressed_at = time.monotonic()
        replica.calls.append(call)
        self._calls[report] = call

    def _turn(self) -> None:
        waiting = [*self._calls, *(ref for pool in self._pools.values() for ref in pool.starting)]
        if waiting:
            done = ray_api.wait(waiting, timeout=0.5)
        else:
            done = []  # All that could work rest, or are to be started again later.
            time.sleep(_IDLE_S)
        for ref in done:
            if ref in self._calls:
                self._finish_call(ref)
            else:
                self._finish_start(ref)
        self._end_hung_replicas()
        self._on_tick()

    def _end_hung_replicas(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        late_s = now - self._next_look if self._next_look else 0.0
        self._next_look = now + min(5.0, self._hang_timeout_s / 10, self._start_timeout_s / 10)
        for pool in self._pools.values():
            if late_s > _ASLEEP_S:
                # This process stood still itself, and saw no heartbeat meanwhile.
                pool.reset_timers(now, late_s)
            pool.end_hung_starts(now, self._start_timeout_s)
            pool.end_hung(now, self._hang_timeout_s)
            pool.start_postponed(now)

    def _finish_start(self, ref: Any) -> None:
        pool = next(pool for pool in self._pools.values() if ref in pool.starting)
        replica = pool.starting.pop(ref)
        replica.note_arrival(time.monotonic())  # Messages say where it is.
        try:
            info = ray_api.get(ref)
        except SynthesisError as error:
            pool.start_failed(replica, getattr(error, "cause", error), time.monotonic())
            return
        except RayError as error:
            if isinstance(error, RayTaskError) and not is_loss(error):
                cause = f"{type(error.cause).__name__}: {error.cause}"
                stopped = RunStopped(f"a {pool.stage} replica could not start: {cause} ({replica.place})")
                pool.start_failed(replica, stopped, time.monotonic())
            else:
                pool.replace(replica, error)
            return
        self._on_start(pool.stage, info)
        pool.note_ready(replica, info.node_id)
        logger.info("%s replica on %s (process %d, %s)", pool.stage, info.host, info.pid, info.device)

    def _finish_call(self, ref: Any) -> None:
        call = self._calls.pop(ref)
        assert call.replica is not None
        call.replica.calls.remove(call)
        pool = self._pools[call.stage]
        try:
            report = ray_api.get(ref)
        except SynthesisError as error:
            # Raised on purpose in a replica. Ray's own text would carry a traceback.
            cause: SynthesisError = getattr(error, "cause", error)
            if not isinstance(cause, StorageError) or isinstance(cause, StoreRefused):
                raise cause from None
            self._try_again_later(call, pool, cause)
            return
        except RayError as error:
            self._recover(call, pool, error)
            return
        call.replica.num_store_failures = 0
        pool.note_success()
        self._advance(call, report)

    def _try_again_later(self, call: Call, pool: Pool, error: StorageError) -> None:
        """Queue a call again whose replica met a store that failed; that one rests, and others go on."""
        assert call.replica is not None
        unit_id = call.state.unit.unit_id
        self._patience.note_failure(error, f"unit {unit_id} waits for another try ({call.replica.place})")
        call.replica.rest(time.monotonic())
        pool.queue.appendleft(Call(call.stage, call.state, call.round))

    def _advance(self, call: Call, report: Any) -> None:
        """Pass on what a call made: to the next stage, to another round, or out of the run."""
        state = call.state
        if call.round is None:
            self._num_units -= 1
            self._patience.note_commit()
            self._on_commit(report)
            return
        assert call.replica is not None
        state.node_id = call.replica.node_id
        call.round.add(call.results, report)
        following = self._following[call.stage]
        if following != self._last:
            self._pools[following].queue.append(Call(following, state, call.round))
            return
        state.rounds.append(call.round)
        if call.round.failed:
            self._begin_round(state, call.round.failed)
            return
        if state.quarantine:
            state.quarantine.popleft()
        self._go_on(state)

    def _begin_round(self, state: UnitState, wanted: Wanted | None) -> None:
        self._pools[self._first].queue.append(Call(self._first, state, Round(wanted)))

    def _go_on(self, state: UnitState) -> None:
        """Run the next row in quarantine, if there is one; else commit."""
        if state.quarantine:
            row = state.quarantine[0]
            self._begin_round(state, {row: (state.wanted or {}).get(row, {})})
        else:
            self._pools[self._last].queue.append(Call(self._last, state))

    def _recover(self, call: Call, pool: Pool, error: RayError) -> None:
        state = call.state
        is_death = isinstance(error, REPLICA_DEATHS)
        is_failure = isinstance(error, RayTaskError)
        assert call.replica is not None
        if is_death and pool.replace(call.replica, error) and isinstance(error, OutOfMemoryError):
            # The monitor kills several at once, and the dead give their memory back by and by.
            time.sleep(_MEMORY_RETURNS_S)
            for other in self._pools.values():
                other.replace_idle_dead()
        if is_loss(error) or (not is_failure and not (is_death and died_by_itself(error))):
            # A node went, with replicas or objects. Nobody's fault: make them again.
            logger.warning("unit %s lost its place (%s); doing it again", state.unit.unit_id, type(error).__name__)
            state.restart()
            self._restart(state)
        elif call.round is None:
            state.num_crashes += 1
            if state.num_crashes > MAX_FAILED_WRITES:
                raise RunStopped(f"unit {state.unit.unit_id} cannot be written: {error}")
            if len(pool.replicas) > 1:
                call.replica.rest(time.monotonic())  # Perhaps another one can.
            self._go_on(state)
        elif call.is_isolated:
            self._quarantined_row_failed(state, error, is_death=is_death, is_hang=call.replica.is_hung)
        else:
            state.num_crashes += 1
            if state.num_crashes >= self._max_crashes:
                logger.warning(
                    "unit %s took its replica down %d times; running its rows in isolation",
                    state.unit.unit_id,
                    state.num_crashes,
                )
                state.num_crashes = 0
                state.isolate()
            state.restart()
            self._restart(state)

    def _restart(self, state: UnitState) -> None:
        if state.quarantine is not None:
            self._go_on(state)
        else:
            self._pools[self._first].queue.appendleft(Call(self._first, state, Round(state.wanted)))

    def _quarantined_row_failed(self, state: UnitState, error: RayError, *, is_death: bool, is_hang: bool) -> None:
        assert state.quarantine
        row = state.quarantine.popleft()
        state.crashes_isolated[row] += 1
        if state.crashes_isolated[row] < self._max_crashes:
            # Not again at once: it may have died of a neighbor that ate the node's memory.
            state.quarantine.append(row)
        else:
            state.rejections[row] = self._judge_poison_row(error, is_death=is_death, is_hang=is_hang)
            logger.warning("row %d of %s is rejected: %s", row, state.unit.shard, state.rejections[row].message)
        self._go_on(state)

    def _judge_poison_row(self, error: RayError, *, is_death: bool, is_hang: bool) -> Rejection:
        times = f"{self._max_crashes} times"
        if is_hang:
            message = f"no step in {self._hang_timeout_s:g} s, {times}, with this row in isolation"
            return Rejection(RejectionCode.TIMED_OUT, message)
        if is_death:
            cause = ", at last for want of memory" if isinstance(error, OutOfMemoryError) else ""
            message = f"its replica died {times} while it synthesized this row in isolation{cause}"
            return Rejection(RejectionCode.REPLICA_CRASH, message)
        return internal_error(getattr(error, "cause", error))
