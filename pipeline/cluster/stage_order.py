"""The stages of a run in their order.

A new one is a name in `Stage`, its `replicas` settings, its actor, and an entry here. Its results follow those of the
stages before it, for those that come after it.

Every stage but the last works on one round of takes after the other, and answers with its result and the takes to make
instead of those that it found wanting (`Wanted`; often empty). A round goes through all of them; failed takes begin
another round. The last one gets a unit whose rounds are complete, and answers with the receipt of its commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.cluster.codec_actor import CodecActor
from pipeline.cluster.listener_actor import ListenerActor
from pipeline.cluster.llm_actor import LLMActor
from pipeline.cluster.speech_actor import SpeechActor
from pipeline.cluster.work_items import Call, Stage
from pipeline.cluster.writer_actor import WriterActor
from pipeline.config.run import Config, ReplicaConfig, ReplicasConfig
from pipeline.output.lease import Lease


class Sent(NamedTuple):
    """References to what a call will give."""

    results: Sequence[Any]
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
        needs = {
            "num_cpus": round(sum(need.cpus for need in taken), 4),
            "num_gpus": round(sum(need.gpus for need in taken), 4),
        }
        return own.model_copy(update=needs) if self.others else own


def _generate(handle: Any, call: Call, lease: Lease) -> Sent:
    return _make_takes(handle.generate, 2, call)


def _speak(handle: Any, call: Call, lease: Lease) -> Sent:
    return _make_takes(handle.speak, 3, call)


def _make_takes(method: Any, num_returns: int, call: Call) -> Sent:
    assert call.round is not None
    state = call.state
    *results, report = method.options(num_returns=num_returns).remote(state.unit, state.skipped, call.round.wanted)
    return Sent(results, report)


def _decode(handle: Any, call: Call, lease: Lease) -> Sent:
    assert call.round is not None
    audio, report = handle.decode.options(num_returns=2).remote(*call.round.results)
    return Sent([audio], report)


def _listen(handle: Any, call: Call, lease: Lease) -> Sent:
    assert call.round is not None
    heard, report = handle.listen.options(num_returns=2).remote(*call.round.results)
    return Sent([heard], report)


def _write(handle: Any, call: Call, lease: Lease) -> Sent:
    state = call.state
    only = None if state.wanted is None else frozenset(state.wanted)
    # Side by side, as Ray fetches only what an argument itself refers to.
    results = [result for made in state.rounds for result in made.results]
    return Sent((), handle.write.remote(state.unit, state.rejections, state.kept, lease, only, *results))


STAGES = (
    StageSpec(Stage.LLM, LLMActor, _generate, max_calls=lambda replicas: replicas.units_per_llm),
    StageSpec(Stage.CODEC, CodecActor, _decode),
    StageSpec(Stage.LISTENER, ListenerActor, _listen),
    StageSpec(Stage.WRITER, WriterActor, _write),
)
_ONE_PROCESS = (
    # One more than the language model alone is given: some are being decoded.
    StageSpec(Stage.LLM, SpeechActor, _speak, lambda replicas: replicas.units_per_llm + 1, others=(Stage.CODEC,)),
    *STAGES[2:],
)


def list_stages(config: Config) -> tuple[StageSpec, ...]:
    """Return the stages of a run; nobody listens unless `quality` asks for it."""
    stages = _ONE_PROCESS if config.replicas.one_process else STAGES
    return tuple(spec for spec in stages if spec.stage != Stage.LISTENER or config.quality.listens)
