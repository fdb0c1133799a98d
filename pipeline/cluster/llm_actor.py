"""The LLM replica: text to semantic tokens; several units at a time share the engine's slots.

Large results stay in Ray's object store; the coordinator sees only the small report returned beside them.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cluster.metrics import SlotMetrics
from pipeline.cluster.replica import (
    ReplicaBase,
    ReplicaInfo,
    ReplicaSetup,
    describe_replica,
    find_weights,
    internal_error,
    limit_gpu_memory,
    load_networks,
    read_voices,
    set_torch_threads,
)
from pipeline.config.manifest import OWN_COLUMNS
from pipeline.errors import UtteranceError
from pipeline.manifest.rows import read_utterance, utterance_seed
from pipeline.manifest.units import WorkUnit
from pipeline.output.tombstones import Tombstones
from pipeline.storage import open_storage
from pipeline.synthesis.takes import Rejection, UtteranceTakes, Wanted
from pipeline.text import read_text_support

if TYPE_CHECKING:  # Loads torch, which the driver does without.
    from pipeline.synthesis.stages import UtteranceJob

logger = logging.getLogger(__name__)
_SWITCH_S = 0.0005

UnitTakes = list[UtteranceTakes]


class LLMActor(ReplicaBase):
    """Text to semantic tokens; several units at a time share its slots."""

    def __init__(self, setup: ReplicaSetup) -> None:
        self._setup = setup
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._num_steps = 0

    def _load(self) -> ReplicaInfo:
        limit_gpu_memory(self._setup.config.llm.device, self._setup.config.replicas.llm.gpus)
        return self.load_network(find_weights(self._setup))

    def load_network(self, weights_dir: Path) -> ReplicaInfo:
        """Load the network and begin to serve."""
        from pipeline.synthesis.stages import TokenStage

        config = self._setup.config
        num_threads = config.replicas.llm.num_threads
        set_torch_threads(num_threads)
        engine = load_networks(self._setup).load_engine(config, weights_dir)
        self._removed = Tombstones.read(open_storage(config.output, config.storage))
        self._engine = engine
        registry = read_voices(self._setup)
        self._stage = TokenStage(config, engine, registry, self._setup.lexicon, read_text_support(weights_dir))
        self._begin_serving()
        chosen = {"slots": engine.num_slots} if config.llm.slots == "auto" else {}
        return describe_replica("llm", num_threads, str(engine.device), str(engine.dtype), **chosen)

    def heartbeat(self) -> int:
        """Return a number that grows while work goes on: rows prepared and tokens made."""
        return self._num_steps

    def generate(self, unit: WorkUnit, skipped: frozenset[int], wanted: Wanted | None) -> tuple[UnitTakes, Wanted]:
        """Make takes for a unit.

        Args:
            unit: the rows.
            skipped: rows that are not to be synthesized.
            wanted: takes to make, by row and segment; none means every row from take 0 on.

        Returns:
            the takes. None is to be made again: the stage did that by itself.
        """
        rows = self._setup.rows.read_rows(unit, OWN_COLUMNS).to_pylist()
        results: UnitTakes = []
        jobs: list[UtteranceJob] = []
        for row, fields in enumerate(rows, start=unit.first_row):
            if row in skipped or (wanted is not None and row not in wanted):
                continue
            if self._removed.reason_for(fields) is not None:
                continue  # The writer says so.
            self._num_steps += 1
            seed: int | None = None
            try:
                utterance = read_utterance(fields)
                seed = utterance_seed(utterance, self._setup.config.seed)
                job = self._stage.prepare(row, utterance, wanted[row] if wanted else None)
            except UtteranceError as error:
                results.append(UtteranceTakes(row, seed, 0, rejection=Rejection.from_error(error)))
                continue
            except Exception as error:  # The one place where a failure of a single row becomes its record.
                logger.exception("row %d of %s", row, unit.shard)
                results.append(UtteranceTakes(row, seed, 0, rejection=internal_error(error)))
                continue
            job.owner = Future()
            jobs.append(job)
        return results + self._complete(jobs), {}

    def _begin_serving(self) -> None:
        self._slots = SlotMetrics(self._engine.num_slots)
        # Threads that prepare rows would keep the engine's waiting for 5 ms, longer than a step of a GPU takes.
        sys.setswitchinterval(_SWITCH_S)
        threading.Thread(target=self._serve, name="llm-engine", daemon=True).start()

    def _complete(self, jobs: list[UtteranceJob]) -> UnitTakes:
        for job in self._stage.longest_first(jobs):
            self._inbox.put(job)
        return [job.owner.result() for job in jobs]

    def _serve(self) -> None:
        """Own the engine: take in jobs, step, hand out results; ends only with the process."""
        from pipeline.hardware.gpu import use_own_stream

        try:
            # Its kernels are short and wait for each other; a codec beside it fills what they leave.
            use_own_stream(self._engine.device, is_urgent=True)
            while True:
                while not self._inbox.empty() or not self._stage.has_work:
                    self._stage.start(self._inbox.get())
                ended = self._stage.step()
                self._num_steps += 1
                self._slots.add_step(self._engine.num_active)
                for job in ended:
                    job.owner.set_result(job.result)
        except BaseException:
            # An engine in an unknown state must not answer again: the coordinator replaces the process, and finds
            # the row that did it if one did.
            logger.exception("the engine failed; this replica ends")
            os._exit(1)
