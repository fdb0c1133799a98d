"""What a config comes to before any work, and which of its units a start concerns.

What `limit` makes of it says `sample.py` beside it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config.run import Config
from pipeline.config.settings import canonical_json
from pipeline.errors import ConfigError
from pipeline.manifest.rows import Manifest
from pipeline.manifest.units import WorkUnit
from pipeline.output.shard_table import ShardTable
from pipeline.output.tombstones import Tombstones
from pipeline.storage import check_apart, check_writable, open_storage
from pipeline.synthesis.listening_stage import check_listening
from pipeline.synthesis.recognition import fingerprint_recognizer
from pipeline.synthesis.speaker_definitions import SpeakerDefinition, read_definitions
from pipeline.text.lexicon import read_lexicon
from pipeline.weights.weights import fingerprint_weights, resolve_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunPlan:
    """What a config comes to, before any work."""

    config: Config
    manifest: Manifest
    definitions: list[SpeakerDefinition]
    weights_dir: Path
    weights_sha256: str
    lexicon: Mapping[str, str]
    asr_sha256: str | None = None
    """Of the recognizer's model, where it has one."""
    whole: Manifest | None = None
    """All of the manifest, where `manifest` is the sample of it that `limit` asks for."""
    is_enough: bool = False
    """Whether the output holds more than `limit` asks for, although not all: then there is nothing to do."""

    @property
    def num_units(self) -> int:
        """Units of the manifest, or of the sample."""
        return self.manifest.count_units(self.config.unit_size)


def plan_run(config: Config, manifest: Manifest | None = None) -> RunPlan:
    """Check everything that can be checked without work: manifest, speakers, weights.

    Args:
        config: the whole run.
        manifest: in place of the one that the config names, where that is not written yet.

    Raises:
        ManifestError, SpeakerError, WeightsError, ConfigError: something is wrong; the message says what to do.
        StorageError: a store does not answer, or the output is on a file system that is read-only.
    """
    # All that is below a folder of shards is read.
    check_apart(
        "output", config.output, "manifest", config.manifest, "where it would be read as shards", config.storage
    )
    check_writable("output", config.output, config.storage)
    check_listening(config)
    for idle in config.quality.without_effect():
        logger.warning("%s", idle)
    asr_sha256 = fingerprint_recognizer(config)
    manifest = manifest or Manifest.open(config.manifest, config.storage, config.reading)
    definitions = read_definitions(config.speakers.path, config.storage)
    removed = Tombstones.read(open_storage(config.output, config.storage)).ids("speaker")
    if gone := sorted(removed.intersection(definition.speaker_id for definition in definitions)):
        logger.warning("removed from %s, and speaking no more: %.200s", config.output, ", ".join(gone))
        definitions = [definition for definition in definitions if definition.speaker_id not in removed]
    _check_speakers(config, manifest, removed.union(definition.speaker_id for definition in definitions))
    weights_dir = resolve_weights(config.weights, storage=config.storage)
    lexicon = read_lexicon(config)
    return RunPlan(config, manifest, definitions, weights_dir, fingerprint_weights(weights_dir), lexicon, asr_sha256)


def _check_speakers(config: Config, manifest: Manifest, speaker_ids: Collection[str]) -> None:
    """Refuse the speakers of another manifest: every row would be rejected, and a finished output lose its clips.

    Most often the first shard has one of them, and no other is read.
    """
    if manifest.num_rows and not any(manifest.has_speaker(shard, speaker_ids) for shard in manifest.shards):
        raise ConfigError(
            f"{config.speakers.path}: no row of {config.manifest} is by one of its speakers "
            f"({', '.join(sorted(speaker_ids)[:5]):.200}); name the file that belongs to this manifest"
        )


def pin_settings(plan: RunPlan) -> dict[str, Any]:
    """Return all that changes audio or plan."""
    lexicon_sha256 = hashlib.sha256(canonical_json(dict(plan.lexicon)).encode()).hexdigest()
    pins = {**plan.config.pinned(), "weights_sha256": plan.weights_sha256, "lexicon_sha256": lexicon_sha256}
    return pins if plan.asr_sha256 is None else {**pins, "asr_sha256": plan.asr_sha256}


def place_in_output(plan: RunPlan, table: ShardTable) -> RunPlan:
    """Return the plan with the output's revisions of the shards.

    Raises:
        ConfigError: the manifest is not the one that the output holds.
    """
    differences = list(table.differs_from(plan.manifest.shards))
    if differences:
        listed = "\n".join(f"  {text}" for text in differences[:20])
        raise ConfigError(
            f"{plan.config.manifest}: has changed since the last start of {plan.config.output}:\n{listed}\n"
            "run jobs.synthesize first, which brings the output up to date"
        )
    return with_revisions(plan, table)


def with_revisions(plan: RunPlan, table: ShardTable) -> RunPlan:
    """Return the plan with the revisions and columns of a shard table."""
    revisions = {name: shard.revision for name, shard in table.shards.items()}
    return replace(plan, manifest=plan.manifest.of_output(revisions, table.columns))


def list_units(plan: RunPlan) -> Iterator[WorkUnit]:
    """Yield the units that a start concerns."""
    return iter(()) if plan.is_enough else plan.manifest.plan(plan.config.unit_size)


@dataclass(frozen=True)
class Left:
    """What a start has to do: units without a commit and their rows, and the rows that are committed already."""

    num_units: int
    num_rows: int
    num_rows_done: int


def count_left(plan: RunPlan, committed: Collection[str]) -> Left:
    """Count what this start will do."""
    num_units = num_rows = num_rows_done = 0
    for unit in list_units(plan):
        if unit.unit_id in committed:
            num_rows_done += unit.num_rows
        else:
            num_units += 1
            num_rows += unit.num_rows
    return Left(num_units, num_rows, num_rows_done)


def count_committed(plan: RunPlan, committed: Collection[str]) -> int:
    """Return how many of the plan's units are committed."""
    return sum(unit.unit_id in committed for unit in plan.manifest.plan(plan.config.unit_size))
