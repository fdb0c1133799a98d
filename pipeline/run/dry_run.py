"""The checks of a run and its numbers, without synthesis."""

from __future__ import annotations

from pipeline.cluster.forecast import Forecast, Forecaster
from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.cluster.ray_cluster import ray_cluster
from pipeline.cluster.replica_counts import plan_replicas
from pipeline.config.run import Config
from pipeline.manifest.rows import Manifest
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import Lease
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardTable
from pipeline.output.tombstones import Tombstones
from pipeline.run.changed_manifest import find_former_limits, plan_shards
from pipeline.run.plan import RunPlan, list_limited, pin_settings, plan_run, with_revisions
from pipeline.storage import Storage, open_storage
from pipeline.text import read_text_support
from pipeline.weights.weights import check_headers


def forecast_run(config: Config) -> Forecast:
    """Check all that a run checks, and count what it would do; synthesizes and writes nothing.

    Raises:
        ConfigError, ManifestError, WeightsError, SpeakerError: what a run would refuse, with the same message.
    """
    plan = plan_run(config)
    storage, table, speakers = check_plan(plan)
    adopted = plan_shards(plan, storage, table, speakers)
    plan = with_revisions(plan, adopted)
    support, tombstones = read_text_support(plan.weights_dir), Tombstones.read(storage)
    forecaster = Forecaster(
        config, plan.manifest, CommitLog(storage), adopted, speakers.generations, plan.lexicon, support, tombstones
    )
    found = forecaster.count(list_limited(plan), CommitLog(storage).committed())
    if table.shards:
        forecaster.judge_again(table.quality or find_former_limits(plan, RunRecord(storage)))
    if found.num_synthesized or speakers.missing:
        with ray_cluster():
            plan_replicas(config)
    return found


def check_setup(config: Config) -> None:
    """Check all that a run checks, but for its manifest, which is not written yet; raises as `forecast_run`."""
    check_plan(plan_run(config, Manifest(open_storage(config.output, config.storage), [])))
    with ray_cluster():
        plan_replicas(config)


def check_plan(plan: RunPlan) -> tuple[Storage, ShardTable, OutputSpeakers]:
    """Compare a plan with its output, and look at the files that a run would read; writes nothing."""
    check_headers(plan.weights_dir)
    storage = open_storage(plan.config.output, plan.config.storage)
    record = RunRecord(storage)
    Lease.refuse_if_held(storage)
    table = record.read_table() if record.check(pin_settings(plan)) else ShardTable()
    speakers = OutputSpeakers.read(storage, plan.definitions)
    speakers.check_voices(table.voices or {})
    speakers.note_failures(table.speakers or {})
    speakers.check_recordings(plan.config)
    return storage, table, speakers
