"""The stages of a run in their order.

A new one is a name in `Stage`, its `replicas` settings, its actor, and an entry here; if the writer is to have its
results, `_write` names it, too.

Every stage but the last works on one round of takes after the other, and answers with its result and the takes to make
instead of those that it found wanting (`Wanted`; often empty). A round goes through all of them; failed takes begin
another round. The last one gets a unit whose rounds are complete, and answers with the receipt of its commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.cluster.codec_actor import CodecActor
from pipeline.cluster.llm_actor import LLMActor
from pipeline.cluster.speech_actor import SpeechActor
from pipeline.cluster.work_items import Call, Round, Stage
from pipeline.cluster.writer_actor import WriterActor
from pipeline.config.run import ReplicaConfig, ReplicasConfig
from pipeline.output.lease import Lease


class Sent(NamedTuple):
    """References to what a call will give."""

    result: Any
    """For later stages; none of the last one."""
    report: Any
    """For the coordinator: takes to make, or a receipt."""


@dataclass(frozen=True)
class StageSpec:
    """One stage as the coordinator and its pool see it."""

    stage: Stage
    actor: type
    send: Callable[[Any, Call, Lease], Sent]
    """Asks a replica, by its handle, for a call's work. The lease is this driver's right to write."""
    max_calls: Callable[[ReplicasConfig], int] = lambda replicas: 2
    """Calls that a replica has at a time: one at work, and the next one at hand."""
    others: tuple[Stage, ...] = ()
    """Stages whose work, CPUs and GPUs its replicas have, too."""

    def settings(self, replicas: ReplicasConfig) -> ReplicaConfig:
        """Return the settings of this stage's replicas."""
        own: ReplicaConfig = getattr(replicas, self.stage)
        taken = [own, *(getattr(replicas, stage) for stage in self.others)]
        needs = {name: round(sum(getattr(need, name) for need in taken), 4) for name in ("num_cpus", "num_gpus")}
        return own.model_copy(update=needs) if self.others else own


def _generate(handle: Any, call: Call, lease: Lease) -> Sent:
    assert call.round is not None
    state = call.state
    return Sent(*handle.generate.options(num_returns=2).remote(state.unit, state.skipped, call.round.wanted))


def _decode(handle: Any, call: Call, lease: Lease) -> Sent:
    assert call.round is not None
    return Sent(*handle.decode.options(num_returns=2).remote(call.round.results[Stage.LLM]))


def _speak(handle: Any, call: Call, lease: Lease) -> Sent:
    assert call.round is not None
    skipped = frozenset(call.state.rejections)
    *results, report = handle.speak.options(num_returns=3).remote(call.state.unit, skipped, call.round.wanted)
    return Sent(results, report)


def _write(handle: Any, call: Call, lease: Lease) -> Sent:
    return _write_results(handle, call, lease, lambda made: [made.results[Stage.LLM], made.results[Stage.CODEC]])


def _write_spoken(handle: Any, call: Call, lease: Lease) -> Sent:
    return _write_results(handle, call, lease, lambda made: made.results[Stage.LLM])


def _write_results(handle: Any, call: Call, lease: Lease, list_results: Callable[[Round], list[Any]]) -> Sent:
    state = call.state
    only = None if state.wanted is None else frozenset(state.wanted)
    # Side by side, as Ray fetches only what an argument itself refers to.
    results = [result for made in state.rounds for result in list_results(made)]
    return Sent(None, handle.write.remote(state.unit, state.rejections, state.kept, lease, only, *results))


STAGES = (
    StageSpec(Stage.LLM, LLMActor, _generate, max_calls=lambda replicas: replicas.units_per_llm),
    StageSpec(Stage.CODEC, CodecActor, _decode),
    StageSpec(Stage.WRITER, WriterActor, _write),
)
_ONE_PROCESS = (
    # One more than the language model alone is given: some are being decoded.
    StageSpec(Stage.LLM, SpeechActor, _speak, lambda replicas: replicas.units_per_llm + 1, others=(Stage.CODEC,)),
    StageSpec(Stage.WRITER, WriterActor, _write_spoken),
)


def list_stages(replicas: ReplicasConfig) -> tuple[StageSpec, ...]:
    """Return the stages of a run."""
    return _ONE_PROCESS if replicas.one_process else STAGES
