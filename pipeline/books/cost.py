"""What so much audio costs on the configured machines: time, GPU-hours, CPU-hours, and where the speed is from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.run import Config

_CPU_S_PER_S = {"demo": 0.22}
"""CPU seconds for a second of audio, by weights; see docs/performance.md."""
_STATED_PACE = {"demo": 1.2}
"""Seconds spoken for each that `pipeline.text` expects, by weights; see docs/performance.md. Others: 1."""
_OFFICIAL_CPU_S_PER_S = 2.3


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


def estimate_cost(config: Config, audio_s: float, starts: Sequence[Mapping[str, Any]]) -> Cost:
    """Estimate how long the configured replicas take for so much audio, and what they occupy meanwhile.

    Args:
        config: replicas, weights and, in `audiobook`, a stated speed.
        audio_s: seconds of audio to make.
        starts: of the output's run, which say how fast they were.
    """
    measured = [start for start in starts if start.get("synthesized", {}).get("audio_s", 0) > 0]
    best = max(measured, key=lambda start: float(start["synthesized"]["audio_s"]), default=None)
    known = best["synthesized"]["replicas"] if best else {}
    stages = ("llm", "codec", *(("listener",) if config.quality.listens else ()), "writer")
    counts = {stage: _count(config, stage, known) for stage in stages}
    num_llm = counts["llm"]
    stated = config.audiobook.x_real_time if config.audiobook else None
    if best is not None:
        synthesized = best["synthesized"]
        speed = synthesized["audio_s"] / max(synthesized["elapsed_s"], 1e-9) * num_llm / synthesized["replicas"]["llm"]
        source = f"measured by this output's start of {best['at']} with {synthesized['replicas']['llm']} LLM replica(s)"
    elif stated is not None:
        speed, source = stated * num_llm, "as audiobook.x_real_time states it"
    elif any(getattr(config.replicas, stage).num_gpus for stage in stages):
        return Cost(
            "nobody measured these GPUs: synthesize a sample first (--set limit=200), or state audiobook.x_real_time",
            num_replicas=num_llm,
        )
    else:
        cpus = sum(counts[stage] * getattr(config.replicas, stage).num_cpus for stage in ("llm", "codec"))
        speed = cpus / _CPU_S_PER_S.get(config.weights, _OFFICIAL_CPU_S_PER_S) / config.quality.num_first_takes
        source = "as docs/performance.md states it for one core of an AMD EPYC"
    if best is None and config.replicas.llm.count == "auto":
        source += "; `auto` is counted as one"
    hours = audio_s / speed / 3_600
    occupied = {
        kind: hours * sum(counts[stage] * getattr(getattr(config.replicas, stage), kind) for stage in stages)
        for kind in ("num_gpus", "num_cpus")
    }
    return Cost(source, speed, num_llm, hours * 3_600, occupied["num_gpus"], occupied["num_cpus"])


def _count(config: Config, stage: str, known: Mapping[str, int]) -> int:
    """Return how many replicas a stage will have; `auto` is what it was at an earlier start, else one."""
    count = getattr(config.replicas, stage).count
    return int(known.get(stage, 1)) if count == "auto" else int(count)
