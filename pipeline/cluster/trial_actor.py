"""A run's networks tried out on the cluster before the run: loaded once, a few rows spoken against the clock.

What cannot be loaded is refused here as a replica would refuse it, and how fast the machine is comes out. Writes
nothing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.cluster import ray_api
from pipeline.cluster.replica import (
    ReplicaInfo,
    ReplicaSetup,
    describe_replica,
    ending_a_sick_process,
    find_weights,
    load_networks,
    locate_process,
    set_torch_threads,
    stack_in_log,
)
from pipeline.cluster.replica_counts import plan_replicas
from pipeline.cluster.stage_order import list_stages
from pipeline.cluster.supervised import SupervisedActor
from pipeline.config.run import ReplicasConfig
from pipeline.errors import UtteranceError
from pipeline.manifest.rows import read_utterance
from pipeline.synthesis.speaker_definitions import SpeakerDefinition
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry
from pipeline.synthesis.takes import Take
from pipeline.text import read_text_support

if TYPE_CHECKING:
    from pipeline.synthesis.stages import AudioStage, TokenStage, UtteranceJob  # Load torch.

MAX_ROWS = 2_048
"""Of a trial: more than an LLM replica has slots."""
_MAX_LLM_S = 8.0
"""That rows are spoken for, once the networks are loaded."""
_MAX_CODEC_AUDIO_S = 15.0
_FRAMES_PER_S = 50
_MIN_ROWS_FOR_PACE = 5
_ROOM_S = 5.0


@dataclass(frozen=True)
class Speed:
    """What a trial measured; of one replica of each stage, with nothing beside it."""

    num_rows: int
    """That were spoken, or begun."""
    llm_s: float
    """Seconds of the language model for a second of audio."""
    codec_s: float
    """Seconds of the codec for a second of audio."""
    is_shared: bool
    """Whether the replicas of both stages share what computes: the cores of CPUs, or a card."""
    pace: float | None
    """Seconds spoken for each that `pipeline.text` expects; None where too few rows ended in time."""


@dataclass(frozen=True)
class Trial:
    """What became of a trial."""

    environments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of the replicas that were tried, by stage."""
    place: str = ""
    """The host."""
    speed: Speed | None = None
    """None where no row was spoken."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Replicas that the run would have, by stage."""
    num_cpus: float = 0.0
    """Of the cluster."""
    replicas: ReplicasConfig | None = None
    """What each of them takes; None where nobody asked the cluster."""
    skipped: str = ""
    """Why nothing was tried; empty where it was."""


class TrialActor:
    """Loads both networks, one after the other where they need a card, and speaks a few rows."""

    def __init__(self, setup: ReplicaSetup) -> None:
        self._setup, self._num_steps = setup, 0
        self._stage: AudioStage | None = None
        self._voices = SpeakerRegistry()

    def locate(self) -> str:
        """Tell where this replica runs; answered as soon as its process is there."""
        return locate_process()

    def heartbeat(self) -> int:
        """Return how many token steps and decodes there were."""
        return self._num_steps + (self._stage.num_takes if self._stage is not None else 0)

    def attempt(
        self, rows: Sequence[Mapping[str, Any]], enrolled: Sequence[Speaker], missing: Sequence[SpeakerDefinition]
    ) -> Trial:
        """Load the networks; speak rows whose voice is at hand.

        Args:
            rows: the manifest's own columns of each; none only loads.
            enrolled: voices of the output.
            missing: definitions; those with given tokens, and the first of each other kind, are enrolled for the trial.
        """
        with ending_a_sick_process(), stack_in_log(self._setup.config.replicas.start_timeout_s):
            return self._attempt(rows, enrolled, missing)

    def _attempt(
        self, rows: Sequence[Mapping[str, Any]], enrolled: Sequence[Speaker], missing: Sequence[SpeakerDefinition]
    ) -> Trial:
        from pipeline.synthesis.stages import AudioStage

        config, networks = self._setup.config, load_networks(self._setup)
        self._weights_dir = weights_dir = find_weights(self._setup)
        self._use_threads("llm")
        codec = networks.load_codec(config, weights_dir)
        heard = [definition for definition in missing if definition.kind != "created"]
        voices = [*enrolled, *self._enroll(heard, None, codec)]
        device, dtype = codec.device, codec.dtype
        if device.type != "cpu":
            del codec  # Replicas may be promised a whole card each.
        llm, llm_device, llm_s, jobs, is_whole = self._try_llm(rows, voices, missing)
        if device.type != "cpu":
            codec = networks.load_codec(config, weights_dir)
        self._use_threads("codec")
        num_threads = config.replicas.codec.num_threads
        self._stage = AudioStage(config, codec)
        decoder = describe_replica("codec", num_threads, str(device), str(dtype))
        environments, place = {**llm.environments, **decoder.environments}, socket.gethostname()
        if not jobs:
            return Trial(environments, place)
        is_shared = llm_device == device.type and (
            llm_device == "cpu" or config.replicas.llm.gpus + config.replicas.codec.gpus <= 1.0
        )
        pace = _find_pace(jobs) if is_whole else None
        return Trial(environments, place, Speed(len(jobs), llm_s, self._time_audio(jobs), is_shared, pace))

    def _enroll(self, definitions: Sequence[SpeakerDefinition], engine: Any, codec: Any) -> list[Speaker]:
        """Enroll those with given tokens, and the first of each other kind; who cannot be is counted elsewhere."""
        from pipeline.synthesis.enrollment import Enroller, enroll

        given = [definition for definition in definitions if definition.kind == "given"]
        first = {definition.kind: definition for definition in reversed(definitions) if definition.kind != "given"}
        config = self._setup.config
        make = partial(Enroller, config, self._weights_dir, engine, codec)
        return enroll([*given, *first.values()], make, config)[0]

    def _try_llm(
        self, rows: Sequence[Mapping[str, Any]], voices: Sequence[Speaker], missing: Sequence[SpeakerDefinition]
    ) -> tuple[ReplicaInfo, str, float, list[UtteranceJob], bool]:
        """Return what a replica would be, its kind of device, seconds for one of audio, jobs, and whether all ended."""
        from pipeline.synthesis.stages import TokenStage

        setup, config, weights_dir = self._setup, self._setup.config, self._weights_dir
        engine = load_networks(setup).load_engine(config, weights_dir)
        created = [definition for definition in missing if definition.kind == "created"]
        self._voices = SpeakerRegistry([*voices, *self._enroll(created, engine, None)]).only(setup.speakers)
        tokens = TokenStage(config, engine, self._voices, setup.lexicon, read_text_support(weights_dir))
        jobs = self._prepare(tokens, rows, self._voices, engine.num_slots)
        llm_s, is_whole = self._time_tokens(tokens, engine, jobs)
        chosen = {"slots": engine.num_slots} if config.llm.slots == "auto" else {}
        num_threads = config.replicas.llm.num_threads
        replica = describe_replica("llm", num_threads, str(engine.device), str(engine.dtype), **chosen)
        return replica, engine.device.type, llm_s, jobs, is_whole

    def _use_threads(self, stage: str) -> None:
        replicas = self._setup.config.replicas
        set_torch_threads({"llm": replicas.llm, "codec": replicas.codec}[stage].num_threads)

    def _prepare(
        self, tokens: TokenStage, rows: Sequence[Mapping[str, Any]], registry: SpeakerRegistry, num_slots: int
    ) -> list[UtteranceJob]:
        jobs: list[UtteranceJob] = []
        for number, row in enumerate(rows):
            if len(jobs) == num_slots:
                break
            if row["speaker_id"] not in registry:
                continue
            try:
                jobs.append(tokens.prepare(number, read_utterance(row)))
            except UtteranceError:
                continue  # Counted where all rows are looked at.
        return tokens.longest_first(jobs)

    def _time_tokens(self, stage: TokenStage, engine: Any, jobs: Sequence[UtteranceJob]) -> tuple[float, bool]:
        """Return the seconds for a second of audio, and whether all jobs ended in time."""
        for job in jobs:
            stage.start(job)
        num_tokens, begin = 0, time.perf_counter()
        while stage.has_work and time.perf_counter() - begin < _MAX_LLM_S:
            ended = stage.step()
            num_tokens += engine.num_active + len(ended)
            self._num_steps += 1
        elapsed_s = time.perf_counter() - begin
        if not stage.has_work:  # What was made again was no audio.
            num_tokens = sum(len(take.semantic_tokens) for job in jobs for take in job.result.takes)
        return elapsed_s * _FRAMES_PER_S / max(num_tokens, 1), not stage.has_work

    def _time_audio(self, jobs: Sequence[UtteranceJob]) -> float:
        """Return the seconds for a second of audio."""
        assert self._stage is not None
        takes = [take for job in jobs for take in job.result.takes] or [self._make_up_take(job) for job in jobs]
        chosen: list[Take] = []
        for take in takes:
            if chosen and _seconds_of([*chosen, take]) > _MAX_CODEC_AUDIO_S:
                break
            chosen.append(take)
        self._stage.decode(chosen[:1])  # What is compiled or loaded at the first decode is nobody's speed.
        begin = time.perf_counter()
        self._stage.decode(chosen)
        return (time.perf_counter() - begin) / _seconds_of(chosen)

    def _make_up_take(self, job: UtteranceJob) -> Take:
        """Return a take of the expected length, where none ended in time; what it says is all one to the codec."""
        segment, voice = job.script.segments[0], self._voices[job.script.utterance.speaker_id].voice
        tokens = np.zeros(max(1, round(segment.estimated_s * _FRAMES_PER_S)), np.int32)
        voice_tokens, language = voice.global_tokens or (), job.script.language
        return Take(0, 0, tokens, voice_tokens, segment.boundary, segment.text, language, segment.estimated_s)


def _seconds_of(takes: Sequence[Take]) -> float:
    return sum(len(take.semantic_tokens) for take in takes) / _FRAMES_PER_S


def _find_pace(jobs: Sequence[UtteranceJob]) -> float | None:
    ended = [job for job in jobs if job.result.rejection is None and job.result.takes]
    if len(ended) < _MIN_ROWS_FOR_PACE:
        return None
    expected_s = sum(take.estimated_s for job in ended for take in job.result.takes)
    return sum(_seconds_of(job.result.takes) for job in ended) / max(expected_s, 1e-9)


def try_remotely(
    setup: ReplicaSetup,
    rows: Sequence[Mapping[str, Any]],
    enrolled: Sequence[Speaker],
    missing: Sequence[SpeakerDefinition],
) -> Trial:
    """Try the networks where there is what the LLM replicas have; arguments as of `TrialActor.attempt`.

    Raises:
        ConfigError: the cluster has no room for the replicas, or a setting does not fit it.
        HangError, RunStopped: the process stood still or died, time and again.
        SynthesisError: the weights cannot be used.
    """
    plan = plan_replicas(setup.config)
    setup = replace(setup, config=plan.config)
    replicas = setup.config.replicas
    num_gpus = max(replicas.llm.gpus, replicas.codec.gpus)
    nodes = ray_api.total_resources().values()
    counts = {
        str(stage): plan.counts[spec.stage]
        for spec in list_stages(setup.config)
        for stage in (spec.stage, *spec.others)
    }
    num_cpus = sum(node.get("CPU", 0.0) for node in nodes)
    if not _has_room(replicas.llm.cpus, num_gpus):
        needs = f"{replicas.llm.cpus:g} CPUs" + (f" and {num_gpus:g} GPUs" if num_gpus else "")
        return Trial(
            counts=counts,
            num_cpus=num_cpus,
            replicas=replicas,
            skipped=f"no node of the cluster has {needs} free just now",
        )
    actor = SupervisedActor(
        lambda: ray_api.create_actor(TrialActor, setup, num_cpus=replicas.llm.cpus, num_gpus=num_gpus, max_calls=1),
        timeout_s=max(replicas.start_timeout_s, replicas.hang_timeout_s),
        remedy="Raise replicas.start_timeout_s if the networks only load slowly",
    )
    with actor:
        trial: Trial = actor.call(
            lambda replica: replica.attempt.remote(rows, enrolled, missing), "trying the networks"
        )
    return replace(trial, counts=counts, num_cpus=num_cpus, replicas=replicas)


def _has_room(num_cpus: float, num_gpus: float) -> bool:
    """Tell whether a node has so much free; what Ray says is of a moment ago, and a new cluster says nothing."""
    give_up = time.monotonic() + _ROOM_S
    while True:
        for node in ray_api.free_resources().values():
            if node.get("CPU", 0.0) >= num_cpus and node.get("GPU", 0.0) >= num_gpus:
                return True
        if time.monotonic() > give_up:
            return False
        time.sleep(0.2)
