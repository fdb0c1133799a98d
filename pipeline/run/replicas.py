"""Units go through replicas: what a replica starts with, what is planned for it, what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.cluster.replica import Networks, ReplicaSetup, read_voices
from pipeline.cluster.run_units import run_units
from pipeline.cluster.unit_states import UnitPlanner
from pipeline.cluster.work_items import Stage, UnitState
from pipeline.output.adoption import find_duplicates, list_former_units
from pipeline.output.progress import Progress
from pipeline.output.tombstones import Tombstones
from pipeline.run.open_output import OpenOutput
from pipeline.run.plan import RunPlan
from pipeline.run.sample import find_sampled_rows
from pipeline.synthesis.take_pool import TakePool


def synthesize_units(
    plan: RunPlan,
    output: OpenOutput,
    progress: Progress,
    units: Iterator[UnitState],
    networks: Networks | None = None,
    run: Callable[..., dict[Stage, int]] = run_units,
) -> None:
    """Send units through all stages until each is committed; record how long it took with which replicas."""
    located = (replace(state, unit=plan.manifest.locate(state.unit)) for state in units)
    setup = make_setup(plan, output.speakers, networks)
    _record_voices(output)
    progress.report_loading()
    counts = run(setup, located, output.record, output.lease, progress)
    read_voices(setup)  # Replicas that started late have seen them, but not the others.
    progress.report()
    synthesized = {"audio_s": progress.audio_s, "elapsed_s": progress.elapsed_s, "replicas": counts}
    output.record.add_to_start({"synthesized": synthesized})


def _record_voices(output: OpenOutput) -> None:
    """Note with which voices rows are spoken from now on, so that later starts see that they still are the same."""
    table, speakers = output.record.read_table(), output.speakers
    before = table.voices or {}
    speakers.check_voices(before)  # Once more: some may just have been enrolled.
    voices = {name: voice for name, voice in before.items() if name in speakers.registry} | speakers.voices
    if voices != before:
        output.record.write_table(replace(table, voices=voices))


def make_setup(plan: RunPlan, speakers: OutputSpeakers, networks: Networks | None = None) -> ReplicaSetup:
    """Return what every replica of a run starts with; nothing in it grows with the manifest."""
    return ReplicaSetup(
        plan.config,
        plan.manifest.rows,
        plan.lexicon,
        plan.weights_sha256,
        speakers.generations,
        speakers.voices,
        plan.asr_sha256,
        networks,
    )


def make_planner(plan: RunPlan, output: OpenOutput) -> UnitPlanner:
    """Return what says of each unit which rows are left, and which takes are there already."""
    table = output.record.read_table()
    pool = TakePool.read(output.log, list_former_units(output.log, table), plan.config)
    duplicates, tombstones = find_duplicates(plan.manifest, table), Tombstones.read(output.storage)
    places = find_sampled_rows(plan, table) if pool else None
    return UnitPlanner(plan.manifest, duplicates, output.speakers.generations, pool, tombstones, places)
