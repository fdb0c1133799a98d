"""What a page says of the run itself: weights, settings, seed, versions, speed, machines, and when rows were made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.config.secrets import redact_all
from pipeline.output.progress import format_duration
from pipeline.output.report.page import draw_bars
from pipeline.output.report.rows import Times
from pipeline.output.run_record import RunRecord

_MAX_VALUE = 300


def describe_run(record: RunRecord) -> dict[str, Any]:
    """Return `facts` and `settings` (name and value each), `starts` and `environments` of a run, without credentials.

    Raises:
        ConfigError: the record is damaged.
    """
    run = record.read()
    pinned: dict[str, Any] = redact_all(dict(run.pinned))
    starts: list[dict[str, Any]] = [redact_all(start) for start in run.starts]
    last = starts[-1] if starts else {}
    config = last.get("config") if isinstance(last.get("config"), dict) else {}
    settings = dict(_flatten({**pinned, **(config or {})}))
    versions = last.get("versions")
    facts = [
        ("Weights", settings.get("weights")),
        ("SHA-256 of the weights", settings.get("weights_sha256")),
        ("Seed", settings.get("seed")),
        ("Sampling", _join(settings, "sampling.")),
        ("Takes", _join(settings, "quality.", ("choose", "best_of", "max_takes", "asr", "naturalness"))),
        ("Audio", _join(settings, "audio.", ("format", "layout", "sample_rate"))),
        ("Versions", _join(versions, "") if isinstance(versions, dict) else None),
        ("Machines", ", ".join(dict.fromkeys(filter(None, map(_name_machine, starts)))) or None),
    ]
    environments = [
        {"stage": stage, "facts": [(str(name), _plain(value)) for name, value in environment.items()]}
        for stage, found in record.read_environments().items()
        for environment in redact_all(found)
    ]
    return {
        "facts": [(name, value) for name, value in facts if value],
        "settings": sorted(settings.items()),
        "starts": [_describe_start(start) for start in reversed(starts)],
        "environments": environments,
    }


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            found += _flatten(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", _plain(value)))
    return found


def _plain(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]} …"


def _join(values: Mapping[str, Any], prefix: str, names: tuple[str, ...] | None = None) -> str:
    found = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    return ", ".join(f"{name} {_plain(found[name])}" for name in names or found if name in found)


def _name_machine(start: Mapping[str, Any]) -> str:
    machine = start.get("machine")
    if not isinstance(machine, dict):
        return ""
    return f"{machine.get('host', '?')} ({machine.get('cpus', '?')} CPUs, {machine.get('processor', '?')})"


def _describe_start(start: Mapping[str, Any]) -> dict[str, Any]:
    made = start.get("synthesized")
    made = made if isinstance(made, dict) else {}
    audio_s, elapsed_s = made.get("audio_s") or 0.0, made.get("elapsed_s") or 0.0
    replicas = made.get("replicas")
    return {
        "at": str(start.get("at", "")),
        "machine": _name_machine(start),
        "replicas": _join(replicas, "") if isinstance(replicas, dict) else "",
        "audio_s": audio_s,
        "elapsed_s": elapsed_s,
        "speed": audio_s / elapsed_s if elapsed_s else None,
        "failed": str(start.get("failed", "")),
    }


def draw_times(times: Times) -> dict[str, Any] | None:
    """Return bars of rows made in each slot of time, points of a line of all until then, and what is said of them."""
    slots = times.slots()
    if not slots:
        return None
    counts = [count for _, count in slots]
    total, points = 0, ["0,100"]
    for index, count in enumerate(counts, start=1):
        total += count
        points.append(f"{500 * index / len(counts):.1f},{100 - 100 * total / sum(counts):.1f}")
    length_s = slots[1][0] - slots[0][0]
    return {
        "bars": draw_bars(counts, [_clock(start) for start, _ in slots], [False] * len(slots)),
        "points": " ".join(points),
        "first": _clock(slots[0][0]),
        "last": _clock(slots[-1][0] + length_s),
        "slot": format_duration(length_s),
        "most": max(counts),
    }


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
