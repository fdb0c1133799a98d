"""A whole run: check everything, enroll, synthesize, report. What `jobs.synthesize` calls.

Composes the cluster and the output. Each error class has one outcome, and this is where it is decided:

| error | outcome |
|---|---|
| ConfigError, ManifestError, WeightsError, SpeakerError | stop before work starts, exit 2 |
| UtteranceError, and anything a single row causes | the row's rejection; the run goes on |
| StorageError | the unit is tried again until nothing was committed for `storage.give_up_after_s`; then as below |
| StoreRefused, RunStopped | stop; what is committed is safe; exit 3 |
| a dead replica, lost objects | the units in flight are done again |
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.cluster.forecast import Forecast, Forecaster
from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.cluster.ray_cluster import ray_cluster
from pipeline.cluster.replay_actor import replay_remotely
from pipeline.cluster.replica import Networks, ReplicaSetup
from pipeline.cluster.replica_counts import plan_replicas
from pipeline.cluster.run_units import run_units
from pipeline.cluster.unit_states import UnitPlanner, commit_kept_units, find_other_verdicts
from pipeline.cluster.work_items import UnitState
from pipeline.config.run import Config
from pipeline.config.secrets import redact_all
from pipeline.config.settings import canonical_json
from pipeline.errors import ConfigError, RunStopped
from pipeline.manifest.rows import Manifest
from pipeline.manifest.units import WorkUnit
from pipeline.output.adoption import (
    describe_adoption,
    drop_former_shards,
    find_duplicates,
    is_change,
    list_former_units,
    plan_adoption,
)
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import Lease
from pipeline.output.progress import Progress, RunSummary
from pipeline.output.removal import carry_out_removals
from pipeline.output.row_counts import RowCounts, check_rejected_share
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardTable
from pipeline.output.tombstones import Tombstones
from pipeline.storage import Storage, check_apart, check_writable, open_storage, probe_store
from pipeline.synthesis.recognition import fingerprint_recognizer
from pipeline.synthesis.replay import Replay, find_rows
from pipeline.synthesis.speakers import SpeakerDefinition, SpeakerRegistry, read_definitions
from pipeline.synthesis.take_pool import TakePool
from pipeline.text import read_text_support
from pipeline.text.lexicon import read_lexicon
from pipeline.weights.weights import check_headers, fingerprint_weights, resolve_weights

logger = logging.getLogger(__name__)
_MOST_UNITS_AT_ONCE = 64
"""Of an LLM replica: each is a thread of its process."""


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
    asr_sha256 = fingerprint_recognizer(config)
    manifest = manifest or Manifest.open(config.manifest, config.storage)
    definitions = read_definitions(config.speakers.path, config.storage)
    removed = Tombstones.read(open_storage(config.output, config.storage)).ids("speaker")
    if gone := sorted(removed.intersection(definition.speaker_id for definition in definitions)):
        logger.warning("removed from %s, and speaking no more: %.200s", config.output, ", ".join(gone))
        definitions = [definition for definition in definitions if definition.speaker_id not in removed]
    weights_dir = resolve_weights(config.weights, storage=config.storage)
    lexicon = read_lexicon(config)
    return RunPlan(config, manifest, definitions, weights_dir, fingerprint_weights(weights_dir), lexicon, asr_sha256)


def forecast_run(config: Config) -> Forecast:
    """Check all that a run checks, and count what it would do; synthesizes and writes nothing.

    Raises:
        ConfigError, ManifestError, WeightsError, SpeakerError: what a run would refuse, with the same message.
    """
    plan = plan_run(config)
    storage, table, speakers = _check_plan(plan)
    adopted = _plan_adoption(plan, storage, table, speakers)
    plan = _with_revisions(plan, adopted)
    support, tombstones = read_text_support(plan.weights_dir), Tombstones.read(storage)
    forecaster = Forecaster(
        config, plan.manifest, CommitLog(storage), adopted, speakers.generations, plan.lexicon, support, tombstones
    )
    found = forecaster.count(_list_limited(plan), CommitLog(storage).committed())
    if table.shards:
        forecaster.judge_again(table.quality or _find_limits(plan, RunRecord(storage)))
    if found.num_synthesized or speakers.missing:
        with ray_cluster():
            plan_replicas(config.replicas)
    return found


def check_setup(config: Config) -> None:
    """Check all that a run checks, but for its manifest, which is not written yet; raises as `forecast_run`."""
    _check_plan(plan_run(config, Manifest(open_storage(config.output, config.storage), [])))
    with ray_cluster():
        plan_replicas(config.replicas)


def _check_plan(plan: RunPlan) -> tuple[Storage, ShardTable, OutputSpeakers]:
    """Compare a plan with its output, and look at the files that a run would read; writes nothing."""
    check_headers(plan.weights_dir)
    storage = open_storage(plan.config.output, plan.config.storage)
    record = RunRecord(storage)
    Lease.refuse_if_held(storage)
    table = record.read_table() if record.check(_pin(plan)) else ShardTable()
    speakers = OutputSpeakers.read(storage, plan.definitions)
    speakers.note_failures(table.speakers or {})
    speakers.check_recordings(plan.config)
    return storage, table, speakers


def synthesize_manifest(config: Config, *, networks: Networks | None = None) -> RunSummary:
    """Synthesize a manifest, or what is left of it.

    Connects to the Ray cluster that `RAY_ADDRESS` names, or starts a local one, unless Ray is already initialized.

    Args:
        config: the whole run.
        networks: in place of those of the weights, to measure or test all that is around them.

    Returns:
        what the output holds now, and how this start went.

    Raises:
        ConfigError, ManifestError, WeightsError, SpeakerError: before work starts.
        StorageError, RunStopped: the run stopped; what is committed is safe, and the same call resumes.
    """
    plan = plan_run(config)
    with _open_output(plan) as output:
        plan = _adopt(plan, output)
        committed = output.log.committed()
        left = _count_left(plan, committed)
        progress = Progress(left.num_rows, left.num_rows_done, config.progress.interval_s)
        if plan.manifest.num_rows == 0:
            logger.warning("nothing to do: %s holds no rows", config.manifest)
        elif left.num_units == 0:
            logger.info("nothing to do: every unit%s is committed", " within `limit`" if config.limit else "")
        else:
            output.log.clear_success()
            plan = _synthesize_left(plan, output, committed, progress, networks)
            plan.manifest.check_unchanged()
        _judge_again(plan, output, progress, networks)
        return _finish(plan, output, progress)


def synthesize_again(config: Config, choose: Callable[[RunPlan], Iterator[UnitState]]) -> RowCounts:
    """Synthesize chosen rows of committed units again and replace their records; or whole units whose commit was lost.

    Args:
        config: of the run that the output holds.
        choose: called once the lease is held; says which rows.

    Returns:
        what came of them.

    Raises:
        ConfigError: the manifest is not the output's.
        SynthesisError: as `synthesize_manifest`; what was replaced until then stays.
    """
    plan = plan_run(config)
    with _open_output(plan) as output:
        plan = _place(plan, output.record)
        # A commit that makes no sense is deleted before its unit is made anew: the note says that it was there.
        output.log.begin_repair()
        states = choose(plan)
        first = next(states, None)
        progress = Progress(None, 0, config.progress.interval_s)
        if first is not None:
            output.log.clear_success()
            with ray_cluster():
                output.speakers.enroll(config)
                _synthesize(plan, output, progress, chain([first], states))
        if output.log.was_finished() and _count_committed(plan, output.log.committed()) == plan.num_units:
            _finish(plan, output, progress, is_repair=True)
            output.log.end_repair()
    return RowCounts(progress.num_ok, progress.rejected, progress.audio_s, progress.num_removed)


def replay_rows(config: Config, ids: Collection[str]) -> list[Replay]:
    """Synthesize rows again, each with nothing beside it, and compare them with what the output has; writes nothing.

    Args:
        config: of the run that the output holds.
        ids: utterance_ids.

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
    if not record.check(_pin(plan)) or not speakers.registry:
        raise ConfigError(f"{config.output}: holds no voices yet; run jobs.enroll or jobs.synthesize with it first")
    plan = _place(plan, record)
    rows = find_rows(plan.manifest, CommitLog(storage), ids, config.unit_size)
    tombstones = Tombstones.read(storage)
    for row in rows:
        if (reason := tombstones.reason_for(row.fields)) is not None:
            raise ConfigError(
                f"--only {row.utterance_id}: was removed from {config.output} ({reason}); name other rows"
            )
    with ray_cluster():
        return replay_remotely(_make_setup(plan, speakers), rows)


@dataclass(frozen=True)
class Enrollment:
    """What the speakers of a config came to."""

    speakers: SpeakerRegistry
    """Every voice of the output."""
    rejected: tuple[str, ...]
    """Why a speaker has no voice, for each that has none; only with `speakers.on_error: reject`."""


def enroll_speakers(config: Config, replaced: Collection[str] = ()) -> Enrollment:
    """Enroll the speakers of a config ahead of its run.

    Args:
        config: of the run.
        replaced: ids of speakers to enroll anew, as their definition or recording has changed. The next start
            synthesizes their rows again.

    Raises:
        ConfigError, ManifestError, WeightsError, SpeakerError: something is wrong; the message says what to do.
    """
    plan = plan_run(config)
    undefined = sorted({*replaced} - {definition.speaker_id for definition in plan.definitions})
    if undefined:
        raise ConfigError(
            f"--replace {undefined[0]}: not defined in {config.speakers.path}, or removed from {config.output}; check "
            "the spelling, or take a new speaker_id"
        )
    with _open_output(plan, replaced) as output:
        if replaced:
            _adopt(plan, output)  # Which voices rows were planned with must be on record before they go.
            output.log.clear_success()
        if not output.speakers.missing:
            return Enrollment(output.speakers.registry, ())
        with ray_cluster():
            failures = output.speakers.enroll(config)
        return Enrollment(output.speakers.registry, tuple(failures))


@dataclass(frozen=True)
class _Output:
    storage: Storage
    record: RunRecord
    log: CommitLog
    lease: Lease
    speakers: OutputSpeakers


@contextmanager
def _open_output(plan: RunPlan, replaced: Collection[str] = ()) -> Iterator[_Output]:
    """Hold the lease of an output whose run.json and voices agree with the plan."""
    config = plan.config
    storage = open_storage(config.output, config.storage)
    record = RunRecord(storage)
    _probe(storage, config)
    with Lease.acquire(storage, timeout_s=config.storage.lease_timeout_s) as lease:
        record.begin(_pin(plan), _describe_start(config))
        if not carry_out_removals(storage, lease):
            logger.warning("%s: what was removed may have left audio; run jobs.verify --repair", config.output)
        speakers = OutputSpeakers.read(storage, plan.definitions, replaced)
        yield _Output(storage, record, CommitLog(storage), lease, speakers)


def _adopt(plan: RunPlan, output: _Output) -> RunPlan:
    """Let the manifest take the place of the one that the output holds; return the plan with its revisions."""
    table = output.record.read_table()
    if any(former.is_leaving for former in table.former):
        # The last start was killed while it deleted what had gone; its audio must not be kept any more.
        drop_former_shards(output.storage, output.record, output.log, output.lease)
        table = output.record.read_table()
    output.speakers.note_failures(table.speakers or {})
    output.speakers.update_notes()
    adopted = _plan_adoption(plan, output.storage, table, output.speakers)
    if adopted.quality is None:
        adopted = replace(
            adopted, quality=_find_limits(plan, output.record) if table.shards else plan.config.quality.limits()
        )
    if adopted != table:
        if is_change(table, adopted):
            output.log.clear_success()
            output.log.end_repair()
            if table.shards:
                logger.info("%s", describe_adoption(table, adopted))
        output.record.write_table(adopted)
    return _with_revisions(plan, adopted)


def _find_limits(plan: RunPlan, record: RunRecord) -> dict[str, float]:
    """Return the limits that an older version pinned: those that its rows were judged by."""
    pinned = record.read().pinned
    return {name: pinned.get(f"quality.{name}", limit) for name, limit in plan.config.quality.limits().items()}


def _judge_again(plan: RunPlan, output: _Output, progress: Progress, networks: Networks | None) -> None:
    """Make again the rows that other limits of `quality` judge otherwise; all others stay as they are."""
    table, quality = output.record.read_table(), plan.config.quality
    if table.quality is None or table.quality == quality.limits():
        return
    states = find_other_verdicts(output.log, table, table.quality, quality)
    first = next(states, None)
    if first is not None:
        logger.info("the limits of quality have changed: rows are judged again")
        output.log.clear_success()
        with ray_cluster():
            output.speakers.enroll(plan.config)
            _synthesize(plan, output, progress, chain([first], states), networks)
    output.record.write_table(replace(table, quality=quality.limits()))


def _plan_adoption(plan: RunPlan, storage: Storage, table: ShardTable, speakers: OutputSpeakers) -> ShardTable:
    return plan_adoption(
        plan.manifest,
        CommitLog(storage),
        table,
        speakers=speakers.generations,
        enrolled=speakers.enrolled,
        withdrawn=Tombstones.read(storage).ids("speaker"),
        columns=plan.config.columns,
    )


def _place(plan: RunPlan, record: RunRecord) -> RunPlan:
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
    return _with_revisions(plan, table)


def _with_revisions(plan: RunPlan, table: ShardTable) -> RunPlan:
    revisions = {name: shard.revision for name, shard in table.shards.items()}
    return replace(plan, manifest=plan.manifest.of_output(revisions, table.columns))


def _pin(plan: RunPlan) -> dict[str, Any]:
    """Return all that changes audio or plan."""
    lexicon_sha256 = hashlib.sha256(canonical_json(dict(plan.lexicon)).encode()).hexdigest()
    pins = {**plan.config.pinned(), "weights_sha256": plan.weights_sha256, "lexicon_sha256": lexicon_sha256}
    return pins if plan.asr_sha256 is None else {**pins, "asr_sha256": plan.asr_sha256}


@dataclass(frozen=True)
class _Left:
    num_units: int
    num_rows: int
    num_rows_done: int


def _count_left(plan: RunPlan, committed: Collection[str]) -> _Left:
    """Count what this start will do."""
    num_units = num_rows = num_rows_done = 0
    for unit in _list_limited(plan):
        if unit.unit_id in committed:
            num_rows_done += unit.num_rows
        else:
            num_units += 1
            num_rows += unit.num_rows
    return _Left(num_units, num_rows, num_rows_done)


def _list_limited(plan: RunPlan) -> Iterator[WorkUnit]:
    """Yield the whole plan's first units that hold `limit` rows, or all."""
    num_rows = 0
    for unit in plan.manifest.plan(plan.config.unit_size):
        if plan.config.limit is not None and num_rows >= plan.config.limit:
            return
        num_rows += unit.num_rows
        yield unit


def _count_committed(plan: RunPlan, committed: Collection[str]) -> int:
    return sum(unit.unit_id in committed for unit in plan.manifest.plan(plan.config.unit_size))


def _probe(storage: Storage, config: Config) -> None:
    promises = probe_store(storage)
    if not promises.read_after_write or not promises.list_after_write:
        raise ConfigError(
            f"{config.output}: the store does not show an object right after it was put, so progress could be lost; "
            "use a store with read-after-write and list-after-write consistency"
        )
    if not promises.conditional_put:
        message = (
            f"{config.output}: the store ignores `If-None-Match`, so two drivers at once could replace each other's "
            "commits (with equal bytes)"
        )
        if config.storage.require_conditional_put:
            raise ConfigError(f"{message}; use another store or set storage.require_conditional_put: false")
        logger.warning("%s; make sure that only one driver runs", message)


def _describe_start(config: Config) -> dict[str, Any]:
    """Return what is recorded of a start, beside what is pinned."""
    return {
        "config": redact_all(config.model_dump(mode="json")),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "tokenizers", "ray", "soxr")},
        },
        "machine": {"processor": platform.machine(), "cpus": os.cpu_count(), "host": platform.node()},
    }


def _synthesize_left(
    plan: RunPlan, output: _Output, committed: set[str], progress: Progress, networks: Networks | None
) -> RunPlan:
    """Commit the units that have no commit: first those of which every take is there already, then the others.

    Returns:
        the plan, with later revisions where speakers turned out not to be enrollable.
    """
    planner = _make_planner(plan, output)
    left = (unit for unit in _list_limited(plan) if unit.unit_id not in committed)
    if planner.pool:
        is_packed = plan.config.audio.layout == "packed"
        kept = commit_kept_units(
            planner, output.log, output.lease, left, weights_sha256=plan.weights_sha256, is_packed=is_packed
        )
        num_units = num_rows = 0
        for state, receipt in kept:
            if receipt is not None:
                progress.add(receipt)
                committed.add(receipt.unit_id)
            else:
                num_units += 1
                num_rows += state.unit.num_rows - len(state.skipped)
        plan = _fill_slots(plan, num_units, num_rows)
    if _count_left(plan, committed).num_units == 0:
        return plan
    with ray_cluster():
        output.speakers.enroll(plan.config)
        if output.speakers.generations != planner.speakers:
            plan = _adopt(plan, output)
            planner = _make_planner(plan, output)
        units = (unit for unit in _list_limited(plan) if unit.unit_id not in committed)
        _synthesize(plan, output, progress, map(planner.plan, units), networks)
    return plan


def _fill_slots(plan: RunPlan, num_units: int, num_rows: int) -> RunPlan:
    """Let each LLM replica work on more units at a time where few of their rows are left, or its slots stay empty."""
    replicas, unit_size = plan.config.replicas, plan.config.unit_size
    more = min(_MOST_UNITS_AT_ONCE, round(replicas.units_per_llm * unit_size * num_units / max(num_rows, 1)))
    replicas = replicas.model_copy(update={"units_per_llm": max(replicas.units_per_llm, more)})
    return replace(plan, config=plan.config.model_copy(update={"replicas": replicas}))


def _make_planner(plan: RunPlan, output: _Output) -> UnitPlanner:
    table = output.record.read_table()
    pool = TakePool.read(output.log, list_former_units(output.log, table), plan.config)
    duplicates, tombstones = find_duplicates(plan.manifest, table), Tombstones.read(output.storage)
    return UnitPlanner(plan.manifest, duplicates, output.speakers.generations, pool, tombstones)


def _synthesize(
    plan: RunPlan,
    output: _Output,
    progress: Progress,
    units: Iterator[UnitState],
    networks: Networks | None = None,
) -> None:
    located = (replace(state, unit=plan.manifest.locate(state.unit)) for state in units)
    setup = _make_setup(plan, output.speakers, networks)
    counts = run_units(setup, located, output.record, output.lease, progress)
    logger.info("%s", progress.line())
    synthesized = {"audio_s": progress.audio_s, "elapsed_s": progress.elapsed_s, "replicas": counts}
    output.record.add_to_start({"synthesized": synthesized})


def _make_setup(plan: RunPlan, speakers: OutputSpeakers, networks: Networks | None = None) -> ReplicaSetup:
    rows, generations = plan.manifest.rows, speakers.generations
    return ReplicaSetup(plan.config, rows, plan.lexicon, plan.weights_sha256, generations, plan.asr_sha256, networks)


def _finish(plan: RunPlan, output: _Output, progress: Progress, *, is_repair: bool = False) -> RunSummary:
    log = output.log
    summary = log.summarize(output.record.read_table().holds)
    committed = log.committed()
    num_committed = _count_committed(plan, committed)
    result = RunSummary(
        output=plan.config.output,
        num_rows=plan.manifest.num_rows,
        num_ok=summary.num_ok,
        rejected=dict(summary.rejected.most_common()),
        audio_s=summary.audio_s,
        num_units_done=progress.num_units,
        num_units_skipped=max(0, num_committed - progress.num_units),
        num_units_left=plan.num_units - num_committed,
        elapsed_s=progress.elapsed_s if progress.num_units else 0.0,
        x_real_time=progress.x_real_time if progress.num_units else 0.0,
        examples=tuple(progress.examples),
        num_removed=summary.num_removed,
        num_synthesized=progress.num_synthesized,
        num_kept=progress.num_kept,
    )
    is_short = result.num_units_left == 0 and summary.num_rows < result.num_rows  # Stray commits make it more.
    if is_short or (not is_repair and _count_left(plan, committed).num_units):
        raise RunStopped(
            f"{result.output}: {summary.num_rows:,} rows are committed, expected the manifest's {result.num_rows:,}: "
            "commits were deleted or replaced while the run was at work. Find out who else writes there; the same "
            "command makes again what is gone, and jobs.verify names what is wrong"
        )
    # A start that was killed between its last commit and the mark left only this to do.
    if result.num_units_left == 0 and (progress.num_units or not log.is_finished()):
        if not is_repair:
            # Before anything former goes: with its manifest put back, a run that was spoiled finds its takes again.
            check_rejected_share(summary.rejected, summary.num_rows, plan.config.quality)
        drop_former_shards(output.storage, output.record, log, output.lease)
        log.finish(summary.report(result.num_rows))
    return result
