"""The GPU's benchmark: one command with a verdict. Each part runs in a process of its own (`__main__` beside it)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipeline.benchmark.gpu.card import Ceilings, measure_machine
from pipeline.benchmark.gpu.codec import check_two_threads, measure_codec
from pipeline.benchmark.gpu.language_model import check_equality, measure_step
from pipeline.benchmark.gpu.verdict import (
    Limit,
    PartResult,
    describe,
    describe_verdict,
    python_module,
    run_parts,
)
from pipeline.benchmark.gpu.whole import measure_pipeline, measure_small
from pipeline.benchmark.gpu.workload import GpuWorkload, Networks
from pipeline.storage import write_bytes
from pipeline.synthesis.load_networks import FIRST_WITH_FLOAT8

_CEILINGS = "ceilings.json"
_FIRST = "machine"
_PARTS = ("equality", "two threads", "cluster", "small card", "codec", "steps", "pipeline")
"""After the first one; right before fast. `steps` stands for a part for each number of slots, and one in float8."""
_PART_S, _QUICK_PART_S, _CPU_PART_S = 240.0, 120.0, 3_600.0
"""After which a part is ended."""
_WHOLE_S, _QUICK_WHOLE_S = 600.0, 360.0
"""After which no part goes on, on a card: it may be lent for so long only."""


def measure_part(name: str, load: GpuWorkload) -> PartResult:
    """Measure one part in this process.

    Args:
        name: `machine` first, which leaves the ceilings and numbers of slots in the workload's folder; then any of
            `list_parts`.
        load: what to measure.
    """
    file = load.folder / _CEILINGS
    if name == _FIRST:
        result, ceilings, slots = measure_machine(load)
        file.write_text(json.dumps({"ceilings": asdict(ceilings), "slots": slots}), encoding="utf-8")
        return result
    if name == "cluster":
        # Here, so that the other parts run where there is no Ray.
        from pipeline.benchmark.gpu.cluster import check_cluster

        return check_cluster(load)
    known = json.loads(file.read_text(encoding="utf-8"))
    ceilings = Ceilings(**known["ceilings"])
    most = known["slots"][-1]
    parts: dict[str, Callable[[Networks], PartResult]] = {
        "equality": check_equality,
        "two threads": check_two_threads,
        "small card": measure_small,
        "codec": partial(measure_codec, ceilings=ceilings),
        "pipeline": partial(measure_pipeline, num_slots=most, ceilings=ceilings),
        **{f"{slots} slots": partial(measure_step, num_slots=slots, ceilings=ceilings) for slots in known["slots"]},
        _name_float8(most): partial(measure_step, num_slots=most, ceilings=ceilings, cache_dtype=torch.float8_e4m3fn),
    }
    return parts[name](Networks.make(load))


def _name_float8(num_slots: int) -> str:
    return f"{num_slots} slots, cache in float8"


def list_parts(load: GpuWorkload) -> list[str]:
    """Return the parts that come after `machine`, in order."""
    slots = json.loads((load.folder / _CEILINGS).read_text(encoding="utf-8"))["slots"]
    steps = [f"{number} slots" for number in slots]
    if not load.is_on_gpu or torch.cuda.get_device_capability() >= FIRST_WITH_FLOAT8:
        steps.append(_name_float8(slots[-1]))
    return [name for part in _PARTS for name in (steps if part == "steps" else [part])]


def measure_gpu(load: GpuWorkload, json_file: Path | None, *, is_quick: bool, say: Callable[[str], None]) -> bool:
    """Measure every part, each in a process of its own, and say what was found as soon as it is known.

    Args:
        load: what to measure.
        json_file: takes all numbers so far after each part.
        is_quick: the limits of time are shorter. Parts that they leave no time for have failed.
        say: prints lines.

    Returns:
        whether every part came to its end and met its limits.
    """
    options = load.folder / "options.json"
    raw = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(load).items()}
    options.write_text(json.dumps(raw), encoding="utf-8")
    results: dict[str, PartResult] = {}
    begin = time.perf_counter()

    def on_part(name: str, result: PartResult) -> None:
        results[name] = result
        say(describe(name, result))
        if json_file is not None:
            found = {part: result.to_json() for part, result in results.items()}
            write_bytes(str(json_file), f"{json.dumps(found, indent=1)}\n".encode())

    def command(name: str, file: Path) -> list[str]:
        return python_module("pipeline.benchmark.gpu", name, str(file), str(options))

    whole_s = _QUICK_WHOLE_S if is_quick else _WHOLE_S

    def timeout_s(name: str) -> float:
        if not load.is_on_gpu:
            return _CPU_PART_S  # Nothing is judged by its time there.
        return min(_QUICK_PART_S if is_quick else _PART_S, begin + whole_s - time.perf_counter())

    run_parts([_FIRST], command, timeout_s, on_part)
    if results[_FIRST].failure is None:
        run_parts(list_parts(load), command, timeout_s, on_part)
    if load.is_on_gpu:
        elapsed_s = time.perf_counter() - begin
        on_part("whole command", PartResult({}, [Limit("seconds", elapsed_s, "<=", whole_s)], None, elapsed_s))
    say(describe_verdict(results))
    return all(result.has_passed for result in results.values())


def make_quick(load: GpuWorkload) -> GpuWorkload:
    """Return less of the same work."""
    return replace(load, num_utterances=min(load.num_utterances, 512), num_frames=min(load.num_frames, 24))


def read_options(file: Path) -> GpuWorkload:
    """Return what `measure_gpu` left for the processes of its parts."""
    raw: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    places = {name: Path(raw[name]) for name in ("sizes_dir", "folder")}
    return GpuWorkload(**{**raw, **places, "slots": tuple(raw["slots"])})
