"""Whether an utterance's bytes depend on what is around it: the same rows synthesized in many ways, and compared.

In one process: in isolation, in a crowd, in random order. As whole runs on Ray: one and two language models, other unit
sizes and uploads, and killed and resumed. Tokens are compared where one process shows them, the WAV's bytes everywhere.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipeline.audio.clips import Audio
from pipeline.config.run import Config, parse_config
from pipeline.errors import ConfigError, RunStopped
from pipeline.llm import Generation, LLMEngine, Request
from pipeline.output.commit_log import CommitLog
from pipeline.run.synthesize import synthesize_manifest
from pipeline.storage import open_storage
from pipeline.synthesis.enrollment import enroll_from_file
from pipeline.synthesis.load_networks import load_codec, load_engine
from pipeline.synthesis.speakers import SpeakerRegistry
from pipeline.synthesis.synthesizer import Synthesizer
from pipeline.text import normalize_text, read_text_support, split_into_segments
from pipeline.weights.weights import resolve_weights

logger = logging.getLogger(__name__)
_LONGEST_START_S = 600.0
_NUM_CHARS = 120
_SPEAKERS = [
    {"speaker_id": "anna", "gender": "female"},
    {"speaker_id": "carl", "gender": "male", "pitch": "low"},
]
# The weights may be random: then an answer ends when it likes.
_LOOSE = {"min_pace": 0.0, "max_pace": 10_000.0, "length_cap_factor": 10.0, "length_cap_extra_s": 20.0}
_REPLICAS = {
    "llm": {"count": 1, "num_cpus": 0.5},
    "codec": {"count": 1, "num_cpus": 0.5},
    "writer": {"count": 1, "num_cpus": 0.25},
}
_RUNS: Mapping[str, Mapping[str, Any]] = {
    "one language model": {},
    "two language models": {"replicas": {**_REPLICAS, "llm": {"count": 2, "num_cpus": 0.5}, "units_per_llm": 1}},
    "units of 7, one upload at a time": {"unit_size": 7, "storage": {"upload_threads": 1}},
}


@dataclass
class Takes:
    """What one way of synthesis gave, as hashes."""

    wavs: dict[str, str] = field(default_factory=dict)
    """By utterance_id; of a rejected row its code."""
    tokens: dict[int, str] = field(default_factory=dict)
    """By the seed of a segment's take; empty where they are not seen."""


def read_rows(texts: Iterable[str], num_utterances: int) -> list[dict[str, str]]:
    """Cut texts into sentences that are spoken in turns; too few of them begin anew under other ids, hence seeds."""
    segments = [
        segment.text
        for text in texts
        for paragraph in text.split("\n\n")
        if any(character.isalnum() for character in paragraph)
        for segment in split_into_segments(
            normalize_text(" ".join(paragraph.split()), language="en").text, "en", max_chars=_NUM_CHARS
        )
    ]
    if not segments:
        raise ConfigError("--book: holds no text")
    names = [str(speaker["speaker_id"]) for speaker in _SPEAKERS]
    return [
        {
            "utterance_id": f"u{number:05d}",
            "text": segments[number % len(segments)],
            "speaker_id": names[number % len(names)],
        }
        for number in range(num_utterances)
    ]


def compare_takes(
    rows: Sequence[Mapping[str, str]], weights: str, dtype: str, folder: Path, *, with_runs: bool = True
) -> dict[str, Any]:
    """Synthesize rows in every way; return for each way how many utterances are as in isolation.

    Args:
        rows: a manifest's.
        weights: `demo` or a model directory.
        dtype: of both networks.
        folder: for manifests and outputs.
        with_runs: also as whole runs on Ray.

    Raises:
        ConfigError: settings or weights that cannot be used.
    """
    folder.mkdir(parents=True)
    config, registry = _prepare(rows, weights, dtype, folder)
    engine, codec = (
        _Recorder(load_engine(config, resolve_weights(weights))),
        load_codec(config, resolve_weights(weights)),
    )
    synthesizer = Synthesizer(config, engine, codec, registry, read_text_support(resolve_weights(weights)))  # type: ignore[arg-type]
    mixed = random.Random(0).sample(rows, len(rows))

    ways: dict[str, Callable[[], Takes]] = {
        "in a crowd": lambda: _speak(synthesizer, engine, [rows]),
        "in random order": lambda: _speak(synthesizer, engine, [mixed]),
    }
    runs: dict[str, Callable[[], Takes]] = {
        **{name: partial(_run, config, registry, changes) for name, changes in _RUNS.items()},
        "killed and resumed": lambda: _run_killed(config, registry),
    }
    isolated = _speak(synthesizer, engine, [[row] for row in rows])
    results: dict[str, Any] = {"utterances": len(rows), "dtype": dtype, "rejected": 0}
    results["rejected"] = sum(len(value) != 64 for value in isolated.wavs.values())
    for name, synthesize in (ways | (runs if with_runs else {})).items():
        results[name] = describe_equality(isolated, synthesize())
        logger.info("%s, %s: %s", dtype, name, results[name])
    return results


def describe_equality(expected: Takes, found: Takes) -> str:
    """Say how many WAVs are equal, and tokens where both sides show them."""
    same = sum(found.wavs.get(name) == value for name, value in expected.wavs.items())
    text = f"{same} of {len(expected.wavs)} WAVs equal"
    if found.tokens:
        same_tokens = sum(found.tokens.get(seed) == value for seed, value in expected.tokens.items())
        text += f", {same_tokens} of {len(expected.tokens)} token sequences"
    return text


def are_all_equal(results: Mapping[str, Any]) -> bool:
    """Return whether every way gave what synthesis in isolation did."""
    counts = [value for value in results.values() if isinstance(value, str) and " equal" in value]
    return all(
        part.split(" of ")[0] == part.split(" of ")[1].split()[0] for value in counts for part in value.split(", ")
    )


class _Recorder:
    """An engine that notes the hash of each answer's tokens."""

    def __init__(self, engine: LLMEngine) -> None:
        self._engine = engine
        self._seeds: dict[Any, int] = {}
        self.hashes: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def add(self, request: Request) -> None:
        self._seeds[request.request_id] = request.seed
        self._engine.add(request)

    def step(self) -> list[Generation]:
        ended = self._engine.step()
        for answer in ended:
            digest = hashlib.sha256(answer.semantic_tokens.tobytes()).hexdigest()
            self.hashes[self._seeds.pop(answer.request_id)] = digest
        return ended


def _speak(synthesizer: Synthesizer, engine: _Recorder, groups: Sequence[Sequence[Mapping[str, str]]]) -> Takes:
    """Speak groups of rows, one group after the other."""
    engine.hashes = {}
    takes = Takes()
    for group in groups:
        for row, result in zip(group, synthesizer.speak_many(group, on_error="return"), strict=True):
            takes.wavs[row["utterance_id"]] = (
                hashlib.sha256(result.encode()).hexdigest() if isinstance(result, Audio) else str(result.code)
            )
    takes.tokens = engine.hashes
    return takes


def _prepare(
    rows: Sequence[Mapping[str, str]], weights: str, dtype: str, folder: Path
) -> tuple[Config, SpeakerRegistry]:
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "manifest.parquet", row_group_size=100)
    (folder / "speakers.yaml").write_text(yaml.safe_dump(_SPEAKERS))
    raw = {
        "weights": weights,
        "manifest": str(folder / "manifest.parquet"),
        "speakers": str(folder / "speakers.yaml"),
        "output": str(folder / "output"),
        "unit_size": max(2, len(rows) // 8),
        "llm": {"slots": 8, "dtype": dtype},
        "codec": {"dtype": dtype},
        "quality": {**_LOOSE, "stop_above_rejected": 1.0},
        "replicas": _REPLICAS,
    }
    config = parse_config(raw, source="reproducible-takes")
    return config, enroll_from_file(config, resolve_weights(weights), config.speakers.path)


def _place(config: Config, registry: SpeakerRegistry, changes: Mapping[str, Any], name: str) -> Config:
    """Return the config of a run of its own, whose voices are there already."""
    raw = {**config.model_dump(mode="json"), **changes, "output": f"{config.output}-{name}"}
    changed = parse_config(raw, source="reproducible-takes")
    open_storage(changed.output).put("speakers.parquet", registry.to_parquet())
    return changed


def _run(config: Config, registry: SpeakerRegistry, changes: Mapping[str, Any]) -> Takes:
    placed = _place(config, registry, changes, str(len(list(Path(config.output).parent.iterdir()))))
    synthesize_manifest(placed)
    return _read_output(placed)


def _run_killed(config: Config, registry: SpeakerRegistry) -> Takes:
    """Kill the driver (SIGKILL) after its first commit, then run the same again."""
    placed = _place(config, registry, {}, "killed")
    path = Path(f"{placed.output}.yaml")
    path.write_text(yaml.safe_dump(placed.model_dump(mode="json")))
    command = [sys.executable, "-m", "jobs.synthesize", "--config", str(path)]
    log = CommitLog(open_storage(placed.output))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as driver:
        deadline = time.monotonic() + _LONGEST_START_S
        while driver.poll() is None and not log.committed() and time.monotonic() < deadline:
            time.sleep(0.02)
        if driver.poll() is not None or not log.committed():
            driver.kill()
            raise RunStopped(
                f"reproducible-takes: the run to be killed ended by itself: {(driver.communicate()[1])[-500:]}"
            )
        os.kill(driver.pid, signal.SIGKILL)
    summary = synthesize_manifest(placed)
    if not summary.num_units_skipped or not summary.num_units_done:
        raise RunStopped("reproducible-takes: the kill came too late to leave work; give more --utterances")
    return _read_output(placed)


def _read_output(config: Config) -> Takes:
    takes = Takes()
    for table in CommitLog(open_storage(config.output)).iter_metadata(["utterance_id", "audio_sha256", "error_code"]):
        for row in table.to_pylist():
            takes.wavs[row["utterance_id"]] = row["audio_sha256"] or row["error_code"]
    return takes
