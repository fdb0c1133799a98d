"""The checks of a run and its numbers, without synthesis; the networks are tried out where there is work for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.cluster.cost import find_speed
from pipeline.cluster.forecast import Forecast, Forecaster
from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.cluster.ray_cluster import ray_cluster
from pipeline.cluster.replica import Networks
from pipeline.cluster.run_units import check_environment
from pipeline.cluster.trial_actor import Trial, try_remotely
from pipeline.config.run import Config
from pipeline.manifest.rows import Manifest
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import Lease
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardTable
from pipeline.output.tombstones import Tombstones
from pipeline.run.changed_manifest import find_former_limits, plan_shards
from pipeline.run.plan import RunPlan, list_units, pin_settings, plan_run, with_revisions
from pipeline.run.replicas import make_setup
from pipeline.run.sample import limit_plan
from pipeline.storage import Storage, open_storage
from pipeline.text import read_text_support
from pipeline.weights.weights import check_headers


def forecast_run(config: Config, *, networks: Networks | None = None) -> Forecast:
    """Check all that a run checks, and count what it would do; synthesizes and writes nothing.

    Where there is something to synthesize the networks are loaded on the cluster, as replicas load them, and where
    nobody knows yet how fast they are a few rows are spoken.

    Args:
        config: the whole run.
        networks: as `synthesize_manifest` takes them.

    Raises:
        ConfigError, ManifestError, WeightsError, SpeakerError: what a run would refuse, with the same message.
    """
    plan = plan_run(config)
    storage, table, speakers = check_plan(plan)
    committed = CommitLog(storage).committed()
    plan = limit_plan(plan, table, committed)
    adopted = plan_shards(plan, storage, table, speakers)
    plan = with_revisions(plan, adopted)
    support, tombstones = read_text_support(plan.weights_dir), Tombstones.read(storage)
    forecaster = Forecaster(
        config, plan.manifest, CommitLog(storage), adopted, speakers.generations, plan.lexicon, support, tombstones
    )
    found = forecaster.count(list_units(plan), committed)
    if table.shards:
        forecaster.judge_again(table.quality or find_former_limits(plan, RunRecord(storage)))
    if found.num_synthesized or speakers.missing:
        found.trial = try_networks(plan, storage, speakers, found.sample.rows, networks)
    return found


def check_setup(config: Config, rows: Sequence[Mapping[str, Any]] = ()) -> Trial:
    """Check all that a run checks, but for its manifest, which is not written yet; raises as `forecast_run`.

    Args:
        config: the whole run.
        rows: some of those that it would synthesize.
    """
    plan = plan_run(config, Manifest(open_storage(config.output, config.storage), []))
    storage, _, speakers = check_plan(plan)
    return try_networks(plan, storage, speakers, rows)


def try_networks(
    plan: RunPlan,
    storage: Storage,
    speakers: OutputSpeakers,
    rows: Sequence[Mapping[str, Any]],
    networks: Networks | None = None,
) -> Trial:
    """Load the networks as replicas do, and speak some rows unless it is known how long that takes.

    Args:
        plan: of the run.
        storage: the output.
        speakers: as `check_plan` returns them.
        rows: some of those to synthesize.
        networks: as `synthesize_manifest` takes them.

    Raises:
        ConfigError, WeightsError, SpeakerError: what a run would refuse, with the same message.
    """
    record = RunRecord(storage)
    run = record.find()
    chosen = rows if find_speed(plan.config, run.starts if run else ()) is None else ()
    with ray_cluster():
        setup = make_setup(plan, speakers, networks)
        trial = try_remotely(setup, chosen, [*speakers.registry.values()], speakers.missing)
    if trial.skipped:
        check_headers(plan.weights_dir)
    for stage, environment in trial.environments.items():
        check_environment(plan.config.replicas, record, stage, environment, trial.place)
    return trial


def check_plan(plan: RunPlan) -> tuple[Storage, ShardTable, OutputSpeakers]:
    """Compare a plan with its output, and look at the files that a run would read; writes nothing."""
    storage = open_storage(plan.config.output, plan.config.storage)
    record = RunRecord(storage)
    Lease.refuse_if_held(storage)
    table = record.read_table() if record.check(pin_settings(plan)) else ShardTable()
    speakers = OutputSpeakers.read(storage, plan.definitions)
    speakers.check_voices(table.voices or {})
    speakers.note_failures(table.speakers or {})
    speakers.check_missing(plan.config, plan.weights_dir)
    return storage, table, speakers
