"""A few rows brought to their commits in this process, without Ray: the replicas' own code, called in turn.

What comes out is what a run's replicas make, byte for byte: each network has the threads that its replica would have,
and what is beside a row never reaches its takes. Nobody watches over it: a row that hangs or kills its process is for
Ray.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pipeline.cluster import ray_api
from pipeline.cluster.codec_actor import CodecActor
from pipeline.cluster.listener_actor import ListenerActor
from pipeline.cluster.llm_actor import LLMActor, UnitTakes
from pipeline.cluster.replica import ReplicaSetup, set_torch_threads
from pipeline.cluster.replica_counts import fit_replicas
from pipeline.cluster.run_units import check_environments
from pipeline.cluster.stage_order import STAGES
from pipeline.cluster.work_items import Stage, UnitState
from pipeline.cluster.writer_actor import WriterActor
from pipeline.config.run import ReplicasConfig
from pipeline.errors import RunStopped, SynthesisError
from pipeline.hardware.cpus import count_cpus
from pipeline.output.lease import Lease
from pipeline.output.progress import Progress
from pipeline.output.run_record import RunRecord

logger = logging.getLogger(__name__)
FEW_ROWS = 32
"""So many are made faster here than Ray and its replicas start."""


def can_work_here(replicas: ReplicasConfig) -> bool:
    """Tell whether this process has what the replicas would have: no cluster is named, and a GPU is there if wanted."""
    if ray_api.is_initialized() or os.environ.get("RAY_ADDRESS"):
        return False
    if not (replicas.llm.gpus or replicas.codec.gpus):
        return True
    import torch

    return torch.cuda.is_available()


def fit_here(setup: ReplicaSetup) -> ReplicaSetup:
    """Return the setup with what `auto` comes to on this machine, as it would for a Ray that is started here."""
    import torch

    resources = {"here": {"CPU": float(count_cpus()), "GPU": float(torch.cuda.device_count())}}
    plan, _ = fit_replicas(setup.config, resources)
    return replace(setup, config=plan.config)


def count_rows(states: Iterable[UnitState]) -> int:
    """Count the rows that units are to make."""
    return sum(len(state.wanted) if state.wanted is not None else state.unit.num_rows for state in states)


class _LLM(LLMActor):
    """The LLM replica without its thread: whoever asks for a unit drives the engine."""

    def _begin_serving(self) -> None:
        pass

    def _complete(self, jobs: Any) -> UnitTakes:
        for job in self._stage.longest_first(jobs):
            self._stage.start(job)
        while self._stage.has_work:
            self._stage.step()
        return [job.result for job in jobs]


def run_units_here(
    setup: ReplicaSetup, units: Iterable[UnitState], record: RunRecord, lease: Lease, progress: Progress
) -> dict[Stage, int]:
    """Bring units to their commits, one after the other; arguments and result as of `run_units`.

    Raises:
        RunStopped: something failed in a way that nobody foresaw.
        SynthesisError: as `run_units`.
    """
    setup = fit_here(setup)
    replicas = setup.config.replicas
    llm, codec, writer = _LLM(setup), CodecActor(setup), WriterActor(setup)
    listener = ListenerActor(setup) if setup.config.quality.listens else None
    for actor in (llm, codec, writer) if listener is None else (llm, codec, listener, writer):
        check_environments(replicas, record, actor.start())
    progress.begin()
    for state in units:
        only = None if state.wanted is None else frozenset(state.wanted)
        results: list[Any] = []
        wanted = state.wanted
        try:
            while not results or wanted:
                set_torch_threads(replicas.llm.num_threads)
                takes, _ = llm.generate(state.unit, state.skipped, wanted)
                set_torch_threads(replicas.codec.num_threads)
                heard, wanted = codec.decode(takes)
                results += [takes, heard]
                if listener is not None:
                    set_torch_threads(replicas.listener.num_threads)
                    verdicts, wanted = listener.listen(takes, heard)
                    results.append(verdicts)
                lease.renew_if_due()
            receipt = writer.write(state.unit, state.rejections, state.kept, lease, only, *results)
        except SynthesisError:
            raise
        except Exception as error:
            logger.exception("unit %s", state.unit.unit_id)
            raise RunStopped(
                f"unit {state.unit.unit_id}: {type(error).__name__}: {error}; with --ray replicas do it, which find "
                "the row that fails"
            ) from error
        progress.add(receipt)
        progress.report_if_due()
    return {spec.stage: 1 for spec in STAGES if spec.stage != Stage.LISTENER or listener is not None}
