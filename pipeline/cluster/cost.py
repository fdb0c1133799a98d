"""What so much audio costs on the configured machines: time, GPU-hours, CPU-hours, and where the speed is from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.cluster.trial_actor import Trial
from pipeline.config.run import Config

_STATED_PACE = {"demo": 1.2}
"""Seconds spoken for each that `pipeline.text` expects, by weights; see docs/performance.md. Others: 1."""
_REMEDY = "synthesize a sample first (--set limit=200), or state audiobook.x_real_time"


@dataclass(frozen=True)
class Cost:
    """Time and machines for what is left; None where nobody measured how fast they are."""

    source: str
    """Where the speed is from."""
    x_real_time: float | None = None
    """Seconds of audio in a second, of all replicas."""
    num_replicas: int = 1
    """LLM replicas that it is for."""
    elapsed_s: float | None = None
    gpu_hours: float | None = None
    cpu_hours: float | None = None


def stated_pace(weights: str) -> float:
    """Return how many seconds these weights speak for each that `pipeline.text` expects."""
    return _STATED_PACE.get(weights, 1.0)


@dataclass(frozen=True)
class KnownSpeed:
    """How fast a run is known to be, before anything is tried."""

    x_real_time: float
    num_replicas: int
    """LLM replicas that it is for."""
    replicas: Mapping[str, int]
    """By stage, as far as they are known; `auto` is one otherwise."""
    source: str


def find_speed(config: Config, starts: Sequence[Mapping[str, Any]]) -> KnownSpeed | None:
    """Return the speed that an output has shown, or that the config states; None where nobody knows it.

    Args:
        config: replicas and, in `audiobook`, a stated speed.
        starts: of the output's run, which say how fast they were.
    """
    measured = [start for start in starts if start.get("synthesized", {}).get("audio_s", 0) > 0]
    best = max(measured, key=lambda start: float(start["synthesized"]["audio_s"]), default=None)
    if best is not None:
        shown = best["synthesized"]
        known, num_then = shown["replicas"], shown["replicas"]["llm"]
        num_llm = _count(config, "llm", known)
        speed = shown["audio_s"] / max(shown["elapsed_s"], 1e-9) * num_llm / num_then
        source = f"measured by this output's start of {best['at']} with {num_then} LLM replica(s)"
        return KnownSpeed(speed, num_llm, known, source)
    stated = config.audiobook.x_real_time if config.audiobook else None
    if stated is None:
        return None
    num_llm = _count(config, "llm", {})
    note = "; `auto` is counted as one" if config.replicas.llm.count == "auto" else ""
    return KnownSpeed(stated * num_llm, num_llm, {}, f"as audiobook.x_real_time states it{note}")


def _find_speed_of_trial(config: Config, trial: Trial) -> KnownSpeed | None:
    """Return what a trial of single replicas means for all of them, which work at the same time."""
    speed = trial.speed
    if speed is None:
        return None
    num_llm, num_codec = (int(trial.counts.get(stage, 1)) for stage in ("llm", "codec"))
    seconds = [speed.llm_s / num_llm, speed.codec_s / num_codec]
    replicas = trial.replicas or config.replicas
    if speed.is_shared and replicas.llm.gpus + replicas.codec.gpus > 0:
        seconds.append((speed.llm_s + speed.codec_s) / num_llm)
    elif speed.is_shared:
        busy = speed.llm_s * replicas.llm.num_threads + speed.codec_s * replicas.codec.num_threads
        seconds.append(busy / max(trial.num_cpus, 1.0))
    source = f"measured here ({trial.place}) on {speed.num_rows:,} row(s)"
    if config.quality.listens:
        source += "; what listening takes is not counted"
    return KnownSpeed(1.0 / max(*seconds, 1e-9) / config.quality.num_first_takes, num_llm, trial.counts, source)


def estimate_cost(
    config: Config,
    audio_s: float,
    starts: Sequence[Mapping[str, Any]],
    trial: Trial | None = None,
    remedy: str = _REMEDY,
) -> Cost:
    """Estimate how long the configured replicas take for so much audio, and what they occupy meanwhile.

    Args:
        config: replicas and, in `audiobook`, a stated speed.
        audio_s: seconds of audio to make.
        starts: of the output's run, which say how fast they were.
        trial: of the networks, where there was one.
        remedy: what to do where nobody knows the speed.
    """
    known = find_speed(config, starts) or (_find_speed_of_trial(config, trial) if trial is not None else None)
    if known is None and audio_s > 0:
        why = (trial.skipped if trial is not None else "") or "no row with a voice could be spoken"
        return Cost(f"{why}: {remedy}")
    if known is None:
        return Cost("nothing is left to synthesize", elapsed_s=0.0, gpu_hours=0.0, cpu_hours=0.0)
    stages = ("llm", "codec", *(("listener",) if config.quality.listens else ()), "writer")
    counts = {stage: _count(config, stage, known.replicas) for stage in stages}
    hours = audio_s / known.x_real_time / 3_600
    fitted = (trial.replicas if trial is not None else None) or config.replicas
    taken = [(counts[stage], getattr(fitted, stage)) for stage in stages]
    cpu_hours = hours * sum(count * replica.cpus for count, replica in taken)
    # What `auto` comes to is for the cluster to say.
    is_known = fitted is not config.replicas or "auto" not in (fitted.llm.num_gpus, fitted.codec.num_gpus)
    gpu_hours = hours * sum(count * replica.gpus for count, replica in taken) if is_known else None
    return Cost(known.source, known.x_real_time, known.num_replicas, hours * 3_600, gpu_hours, cpu_hours)


def _count(config: Config, stage: str, known: Mapping[str, int]) -> int:
    """Return how many replicas a stage will have; `auto` is what it was at an earlier start, else one."""
    count = getattr(config.replicas, stage).count
    return int(known.get(stage, 1)) if count == "auto" else int(count)
