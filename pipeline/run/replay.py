"""Rows of an output synthesized once more, each with nothing beside it, and compared."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.cluster.in_process import FEW_ROWS, can_work_here, fit_here
from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.cluster.ray_cluster import ray_cluster
from pipeline.cluster.replay_actor import ReplayActor, replay_remotely
from pipeline.config.run import Config
from pipeline.errors import ConfigError
from pipeline.output.commit_log import CommitLog
from pipeline.output.run_record import RunRecord
from pipeline.output.tombstones import Tombstones
from pipeline.run.plan import pin_settings, place_in_output, plan_run
from pipeline.run.replicas import make_setup
from pipeline.run.sample import follow_sample
from pipeline.storage import open_storage
from pipeline.synthesis.replay import Replay, find_rows


def replay_rows(config: Config, ids: Collection[str], *, on_ray: bool = False) -> list[Replay]:
    """Synthesize rows again, each with nothing beside it, and compare them with what the output has; writes nothing.

    Args:
        config: of the run that the output holds.
        ids: utterance_ids.
        on_ray: also for a few rows, which this process makes by itself.

    Returns:
        a take for each id, in order.

    Raises:
        ManifestError: an id is not in the manifest.
        ConfigError: the output holds another run, or its voices are not enrolled yet.
        SynthesisError: as `synthesize_manifest`.
    """
    plan = plan_run(config)
    storage = open_storage(config.output, config.storage)
    record = RunRecord(storage)
    speakers = OutputSpeakers.read(storage, plan.definitions)
    if not record.check(pin_settings(plan)) or not speakers.registry:
        raise ConfigError(f"{config.output}: holds no voices yet; run jobs.enroll or jobs.synthesize with it first")
    table = record.read_table()
    plan = place_in_output(follow_sample(plan, table), table)
    rows = find_rows(plan.manifest, CommitLog(storage), ids, config.unit_size)
    tombstones = Tombstones.read(storage)
    for row in rows:
        if (reason := tombstones.reason_for(row.fields)) is not None:
            raise ConfigError(
                f"--only {row.utterance_id}: was removed from {config.output} ({reason}); name other rows"
            )
    setup = make_setup(plan, speakers)
    if not on_ray and len(rows) <= FEW_ROWS and can_work_here(config.replicas):
        return ReplayActor(fit_here(setup)).replay(rows)
    with ray_cluster():
        return replay_remotely(setup, rows)
