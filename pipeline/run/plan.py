"""What a config comes to before any work, and which of its units a start concerns."""

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
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardTable
from pipeline.output.tombstones import Tombstones
from pipeline.storage import check_apart, check_writable, open_storage
from pipeline.synthesis.listening_stage import check_listening
from pipeline.synthesis.recognition import fingerprint_recognizer
from pipeline.synthesis.speakers import SpeakerDefinition, read_definitions
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

    @property
    def num_units(self) -> int:
        """Units of the whole manifest."""
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
    asr_sha256 = fingerprint_recognizer(config)
    manifest = manifest or Manifest.open(config.manifest, config.storage, config.reading)
    definitions = read_definitions(config.speakers.path, config.storage)
    removed = Tombstones.read(open_storage(config.output, config.storage)).ids("speaker")
    if gone := sorted(removed.intersection(definition.speaker_id for definition in definitions)):
        logger.warning("removed from %s, and speaking no more: %.200s", config.output, ", ".join(gone))
        definitions = [definition for definition in definitions if definition.speaker_id not in removed]
    weights_dir = resolve_weights(config.weights, storage=config.storage)
    lexicon = read_lexicon(config)
    return RunPlan(config, manifest, definitions, weights_dir, fingerprint_weights(weights_dir), lexicon, asr_sha256)


def pin_settings(plan: RunPlan) -> dict[str, Any]:
    """Return all that changes audio or plan."""
    lexicon_sha256 = hashlib.sha256(canonical_json(dict(plan.lexicon)).encode()).hexdigest()
    pins = {**plan.config.pinned(), "weights_sha256": plan.weights_sha256, "lexicon_sha256": lexicon_sha256}
    return pins if plan.asr_sha256 is None else {**pins, "asr_sha256": plan.asr_sha256}


def place_in_output(plan: RunPlan, record: RunRecord) -> RunPlan:
    """Return the plan with the output's revisions of the shards.

    Raises:
        ConfigError: the manifest is not the one that the output holds.
    """
    table = record.read_table()
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


def list_limited(plan: RunPlan) -> Iterator[WorkUnit]:
    """Yield the units of the plan that a start concerns: all, or with `limit` so many rows in whole units.

    These are spread over the manifest, and a higher limit adds to those of a lower one.
    """
    units = plan.manifest.plan(plan.config.unit_size)
    if plan.config.limit is None:
        return units
    sizes = [unit.num_rows for unit in plan.manifest.plan(plan.config.unit_size)]
    chosen, num_rows = set(), 0
    for index in _spread(len(sizes)):
        if num_rows >= plan.config.limit:
            break
        chosen.add(index)
        num_rows += sizes[index]
    return (unit for index, unit in enumerate(units) if index in chosen)


def _spread(count: int) -> Iterator[int]:
    """Yield the numbers below a count so that the first few, however many, lie far apart: by their bits in reverse."""
    num_bits = max(count - 1, 0).bit_length()
    for number in range(1 << num_bits):
        index = int(f"{number:0{num_bits}b}"[::-1], 2) if num_bits else 0
        if index < count:
            yield index


@dataclass(frozen=True)
class Left:
    """What a start has to do: units without a commit and their rows, and the rows that are committed already."""

    num_units: int
    num_rows: int
    num_rows_done: int


def count_left(plan: RunPlan, committed: Collection[str]) -> Left:
    """Count what this start will do."""
    num_units = num_rows = num_rows_done = 0
    for unit in list_limited(plan):
        if unit.unit_id in committed:
            num_rows_done += unit.num_rows
        else:
            num_units += 1
            num_rows += unit.num_rows
    return Left(num_units, num_rows, num_rows_done)


def count_committed(plan: RunPlan, committed: Collection[str]) -> int:
    """Return how many of the plan's units are committed."""
    return sum(unit.unit_id in committed for unit in plan.manifest.plan(plan.config.unit_size))
