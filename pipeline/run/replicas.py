"""Units go through replicas: what a replica starts with, what is planned for it, what is recorded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.cluster.replica import Networks, ReplicaSetup
from pipeline.cluster.run_units import run_units
from pipeline.cluster.unit_states import UnitPlanner
from pipeline.cluster.work_items import UnitState
from pipeline.output.adoption import find_duplicates, list_former_units
from pipeline.output.progress import Progress
from pipeline.output.tombstones import Tombstones
from pipeline.run.open_output import OpenOutput
from pipeline.run.plan import RunPlan
from pipeline.synthesis.take_pool import TakePool

logger = logging.getLogger(__name__)


def synthesize_units(
    plan: RunPlan,
    output: OpenOutput,
    progress: Progress,
    units: Iterator[UnitState],
    networks: Networks | None = None,
) -> None:
    """Send units through all stages until each is committed; record how long it took with which replicas."""
    located = (replace(state, unit=plan.manifest.locate(state.unit)) for state in units)
    setup = make_setup(plan, output.speakers, networks)
    counts = run_units(setup, located, output.record, output.lease, progress)
    logger.info("%s", progress.line())
    synthesized = {"audio_s": progress.audio_s, "elapsed_s": progress.elapsed_s, "replicas": counts}
    output.record.add_to_start({"synthesized": synthesized})


def make_setup(plan: RunPlan, speakers: OutputSpeakers, networks: Networks | None = None) -> ReplicaSetup:
    """Return what every replica of a run starts with; nothing in it grows with the manifest."""
    rows, generations = plan.manifest.rows, speakers.generations
    return ReplicaSetup(plan.config, rows, plan.lexicon, plan.weights_sha256, generations, plan.asr_sha256, networks)


def make_planner(plan: RunPlan, output: OpenOutput) -> UnitPlanner:
    """Return what says of each unit which rows are left, and which takes are there already."""
    table = output.record.read_table()
    pool = TakePool.read(output.log, list_former_units(output.log, table), plan.config)
    duplicates, tombstones = find_duplicates(plan.manifest, table), Tombstones.read(output.storage)
    return UnitPlanner(plan.manifest, duplicates, output.speakers.generations, pool, tombstones)
