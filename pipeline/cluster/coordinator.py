"""One loop that moves units through the replicas: bounded flow, dead replicas, retakes, poison rows.

Knows nothing of text, tokens or audio: those pass from replica to replica as references to Ray's object store.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from pipeline.cluster.pools import (
    MAX_FAILED_STARTS,
    REPLICA_DEATHS,
    Call,
    Pool,
    Replica,
    Stage,
    UnitState,
    died_by_itself,
)
from pipeline.cluster.replica import ReplicaInfo, internal_error
from pipeline.errors import RejectionCode, RunStopped, SynthesisError
from pipeline.manifest.rows import WorkUnit
from pipeline.output.lease import Lease
from pipeline.output.receipt import UnitReceipt
from pipeline.synthesis.takes import Rejection

logger = logging.getLogger(__name__)
_MEMORY_RETURNS_S = 3.0
_ASLEEP_S = 5.0
"""A look at the replicas that comes so late finds a driver that was frozen, or a machine that was."""


class Coordinator:
    """Runs units to their commits.

    Args:
        pools: by stage.
        max_units: units in flight; bounds memory however large the manifest.
        max_crashes: crashes after which a unit's rows are run one at a time.
        lease: handed to the writers.
        on_commit: told of each commit.
        on_tick: called between events; may raise to stop the run.
        hang_timeout_s: a busy replica that makes no step for so long is replaced.
        start_timeout_s: so is one that loads for so long.
        on_start: told of each replica that is ready, by its stage; may raise to stop the run.
    """

    def __init__(
        self,
        pools: dict[Stage, Pool],
        *,
        max_units: int,
        max_crashes: int,
        lease: Lease,
        on_commit: Callable[[UnitReceipt], None],
        on_tick: Callable[[], None],
        hang_timeout_s: float = 600.0,
        start_timeout_s: float = 600.0,
        on_start: Callable[[Stage, ReplicaInfo], None] = lambda stage, info: None,
    ) -> None:
        self._pools = pools
        self._max_units = max_units
        self._max_crashes = max_crashes
        self._lease = lease
        self._on_commit = on_commit
        self._on_tick = on_tick
        self._hang_timeout_s = hang_timeout_s
        self._start_timeout_s = start_timeout_s
        self._on_start = on_start
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
                self._pools["llm"].queue.append(Call("llm", state, wanted=state.wanted))
            if exhausted and self._num_units == 0:
                return
            self._dispatch()
            self._turn()

    def drain(self, timeout_s: float) -> None:
        """Let the writers end what they have begun, and nothing else: what they hold is all but committed.

        Args:
            timeout_s: seconds after which they are left to their fate.
        """
        deadline = time.monotonic() + timeout_s
        for stage in ("llm", "codec"):
            self._pools[stage].close()
        writing = {ref: call for ref, call in self._calls.items() if call.stage == "writer"}
        while writing and (left_s := deadline - time.monotonic()) > 0:
            done, _ = ray.wait(list(writing), num_returns=1, timeout=left_s)
            for ref in done:
                del writing[ref]
                try:
                    self._on_commit(ray.get(ref))
                except (RayError, SynthesisError) as error:
                    logger.warning("a unit was not committed: %s", str(error).splitlines()[0])

    def _dispatch(self) -> None:
        for pool in self._pools.values():
            while pool.queue:
                call = pool.queue[0]
                replica = pool.pick(alone=call.is_isolated)
                if replica is None:
                    break
                pool.queue.popleft()
                self._send(call, replica)

    def _send(self, call: Call, replica: Replica) -> None:
        state, handle = call.state, replica.handle
        if call.stage == "llm":
            skipped = frozenset(state.rejections)
            call.payload, report = handle.generate.options(num_returns=2).remote(state.unit, skipped, call.wanted)
        elif call.stage == "codec":
            call.payload, report = handle.decode.options(num_returns=2).remote(call.takes)
        else:
            only = None if state.wanted is None else frozenset(state.wanted)
            report = handle.write.remote(state.unit, state.rejections, self._lease, only, *state.parts)
        call.replica = replica
        if not replica.calls:
            replica.progressed_at = time.monotonic()
        replica.calls.append(call)
        self._calls[report] = call

    def _turn(self) -> None:
        waiting = [*self._calls, *(ref for pool in self._pools.values() for ref in pool.starting)]
        done, _ = ray.wait(waiting, num_returns=1, timeout=0.5) if waiting else ([], [])
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
                # This process stood still itself, and watched nobody meanwhile.
                pool.reset_timers(now, late_s)
            pool.end_hung_starts(now, self._start_timeout_s)
            pool.end_hung(now, self._hang_timeout_s)

    def _finish_start(self, ref: Any) -> None:
        pool = next(pool for pool in self._pools.values() if ref in pool.starting)
        replica = pool.starting.pop(ref)
        try:
            info = ray.get(ref)
        except SynthesisError as error:
            raise getattr(error, "cause", error) from None
        except RayTaskError as error:
            cause = f"{type(error.cause).__name__}: {error.cause}"
            raise RunStopped(f"a {pool.stage} replica could not start: {cause}") from None
        except REPLICA_DEATHS as error:
            pool.replace(replica, error)
            return
        self._on_start(pool.stage, info)
        replica.is_ready = True
        logger.info("%s replica on %s (process %d, %s)", pool.stage, info.host, info.pid, info.device)

    def _finish_call(self, ref: Any) -> None:
        call = self._calls.pop(ref)
        assert call.replica is not None
        call.replica.calls.remove(call)
        pool = self._pools[call.stage]
        try:
            report = ray.get(ref)
        except SynthesisError as error:
            # Raised on purpose in a replica: the run cannot go on. Ray's own text would carry a traceback.
            raise getattr(error, "cause", error) from None
        except RayError as error:
            self._recover(call, pool, error)
            return
        pool.note_success()
        self._advance(call, report)

    def _advance(self, call: Call, report: Any) -> None:
        state = call.state
        if call.stage == "llm":
            self._pools["codec"].queue.append(Call("codec", state, takes=call.payload))
        elif call.stage == "codec":
            state.parts += [call.takes, call.payload]
            if report.wanted:
                self._pools["llm"].queue.append(Call("llm", state, wanted=report.wanted))
                return
            if state.quarantine:
                state.quarantine.popleft()
            self._go_on(state)
        else:
            self._num_units -= 1
            self._on_commit(report)

    def _go_on(self, state: UnitState) -> None:
        """Run the next suspect, if there is one; else write."""
        if state.quarantine:
            row = state.quarantine[0]
            self._pools["llm"].queue.append(Call("llm", state, wanted={row: (state.wanted or {}).get(row, {})}))
        else:
            self._pools["writer"].queue.append(Call("writer", state))

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
        if not is_failure and not (is_death and died_by_itself(error)):
            # A node went, with replicas or objects. Nobody's fault: make them again.
            logger.warning("unit %s lost its place (%s); doing it again", state.unit.unit_id, type(error).__name__)
            state.restart()
            self._restart(state)
        elif call.stage == "writer":
            state.num_crashes += 1
            if state.num_crashes > MAX_FAILED_STARTS:
                raise RunStopped(f"unit {state.unit.unit_id} cannot be written: {error}")
            pool.queue.append(Call("writer", state))
        elif call.is_isolated:
            self._quarantined_row_failed(state, error, is_death=is_death, is_hang=call.replica.is_hung)
        else:
            state.num_crashes += 1
            if state.num_crashes >= self._max_crashes:
                logger.warning(
                    "unit %s took its replica down %d times; running its rows alone",
                    state.unit.unit_id,
                    state.num_crashes,
                )
                state.num_crashes = 0
                state.quarantine = deque()
            state.restart()
            self._restart(state)

    def _restart(self, state: UnitState) -> None:
        if state.quarantine is not None:
            self._go_on(state)
        else:
            self._pools["llm"].queue.appendleft(Call("llm", state, wanted=state.wanted))

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
            message = f"no step in {self._hang_timeout_s:g} s, {times}, with this row alone"
            return Rejection(RejectionCode.TIMED_OUT, message)
        if is_death:
            cause = ", at last for want of memory" if isinstance(error, OutOfMemoryError) else ""
            message = f"its replica died {times} while it synthesized this row in isolation{cause}"
            return Rejection(RejectionCode.REPLICA_CRASH, message)
        return internal_error(getattr(error, "cause", error))


def list_states(
    units: Iterator[WorkUnit], duplicates: dict[str, list[int]], committed: set[str]
) -> Iterator[UnitState]:
    """Yield what is left to do, with the rows that are rejected before they start."""
    reason = Rejection(
        RejectionCode.DUPLICATE_ID,
        "another row before this one has the same utterance_id; ids must be unique in the run",
    )
    by_shard = {shard: sorted(rows) for shard, rows in duplicates.items()}
    for unit in units:
        if unit.unit_id in committed:
            continue
        rows = by_shard.get(unit.shard, [])
        double = rows[bisect_left(rows, unit.first_row) : bisect_right(rows, unit.last_row)]
        yield UnitState(unit, dict.fromkeys(double, reason))
