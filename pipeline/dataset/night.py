"""A night of a data set in one call: planned, synthesized, judged, published. What `jobs.dataset` calls.

Each step finds out by itself what is done, so that a second call does nothing more, and one after a kill the rest. The
corpus's lease is held for all of it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cluster.cost import stated_pace
from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.cluster.replica import Networks
from pipeline.cluster.trial_actor import MAX_ROWS, Trial
from pipeline.config.dataset import NightConfig
from pipeline.config.manifest import OWN_COLUMNS
from pipeline.config.printable import one_line
from pipeline.dataset.corpus import Corpus, Identity, NightRecord, check_night, open_run_output
from pipeline.dataset.gate import judge_night, measure_night
from pipeline.dataset.ledger import Ledger, read_counts, read_superseded
from pipeline.dataset.listing import read_snapshot
from pipeline.dataset.never import read_never_texts
from pipeline.dataset.normal_form import TextReader
from pipeline.dataset.plan import Plan, Planner
from pipeline.dataset.publish import publish
from pipeline.dataset.report import write_corpus_report
from pipeline.dataset.scan import scan_texts
from pipeline.dataset.snapshot import SnapshotSummary, write_snapshot
from pipeline.dataset.takedown import finish_takedown, is_finished
from pipeline.dataset.text_hashes import TextHashes
from pipeline.dataset.texts import find_files
from pipeline.dataset.voices import Turns, divide_speakers, find_without_terms
from pipeline.errors import ConfigError
from pipeline.manifest.rows import Manifest
from pipeline.output.lease import Lease
from pipeline.output.progress import RunSummary
from pipeline.output.tombstones import Tombstones
from pipeline.run.dry_run import check_plan, try_networks
from pipeline.run.plan import RunPlan, plan_run
from pipeline.run.synthesize import synthesize_manifest
from pipeline.storage import Storage, check_writable, open_storage
from pipeline.synthesis.speaker_definitions import read_definitions
from pipeline.text import read_text_support

logger = logging.getLogger(__name__)
_THREADS = 8


@dataclass(frozen=True)
class NightSummary:
    """What became of a night."""

    record: NightRecord
    is_new: bool = True
    """Whether this call did anything."""
    snapshot: SnapshotSummary | None = None
    """Where this call wrote it."""
    report: str | None = None
    """Address of the page about the corpus, where this call wrote it."""

    def to_json(self) -> dict[str, Any]:
        """Return what became of the night, for programs."""
        return {**asdict(self.record), "state": self.record.state, "is_new": self.is_new, "report": self.report}


def make_night(config: NightConfig, night: str, *, networks: Networks | None = None) -> NightSummary:
    """Make a night of a data set, or what is missing of it.

    Args:
        config: all of it.
        night: its name, a date.
        networks: as `synthesize_manifest` takes them.

    Returns:
        what became of it; a night that fails its gate is not published, and its record says why.

    Raises:
        ConfigError, ManifestError, SpeakerError, WeightsError: something is wrong; the message says what to do.
        StorageError, RunStopped: stopped; what is done is safe, and the same call goes on.
    """
    corpus = open_corpus(config, night)
    record = corpus.read_night(night)
    if _is_done(config, corpus, record):
        return NightSummary(record, is_new=False)
    _check_voices(config, corpus)
    with Lease.acquire(corpus.storage, timeout_s=config.run.storage.lease_timeout_s) as lease:
        finish_takedown(corpus.storage, lease)
        if record.snapshot is not None:
            # Rows may have been withdrawn since: the copies follow. What was judged then stands.
            again = _publish_night(config, corpus, record, lease)
            return NightSummary(corpus.read_night(night), snapshot=again, report=_report(corpus))
        if night not in corpus.list_nights():
            checked = _check_run(config, corpus, night)
            plan_night(config, corpus, night, checked.plan, keep=True).write(corpus)
        record = corpus.read_night(night)
        if record.plan is None:
            record = record.note("planned", plan=read_counts(corpus, night))
            corpus.write_night(record)
        run = synthesize_manifest(config.run, networks=networks)
        lease.check()
        record = _judge_nights(config, corpus, night, run)
        snapshot = _publish_night(config, corpus, record, lease) if record.has_passed else None
        return NightSummary(corpus.read_night(night), snapshot=snapshot, report=_report(corpus))


@dataclass(frozen=True)
class NightForecast:
    """What a night would plan."""

    counts: Mapping[str, Any]
    """As `PlanCounts.to_json` returns them."""
    trial: Trial
    """Of the networks."""


def forecast_night(config: NightConfig, night: str, *, networks: Networks | None = None) -> NightForecast | NightRecord:
    """Return what a night would plan, and try the networks; what became of it where it is planned. Writes nothing.

    Args:
        config: all of the night.
        night: its name.
        networks: as `synthesize_manifest` takes them.

    Raises:
        ConfigError, ManifestError, SpeakerError, WeightsError: what `make_night` would refuse, with the same message.
    """
    corpus = open_corpus(config, night)
    if night in corpus.list_nights():
        return corpus.read_night(night)
    _check_voices(config, corpus)
    checked = _check_run(config, corpus, night)
    plan = plan_night(config, corpus, night, checked.plan, keep=False)
    rows, trial = _sample_rows(plan), Trial()
    if rows or checked.speakers.missing:
        trial = try_networks(checked.plan, checked.output, checked.speakers, rows, networks)
    return NightForecast(plan.counts.to_json(), trial)


def _check_voices(config: NightConfig, corpus: Corpus) -> None:
    """Refuse a speakers file without a voice that read earlier nights: a run would reject all its rows.

    Raises:
        ConfigError, SpeakerError: names voices and rows.
    """
    read = Counter[str]()
    for record in read_nights(corpus):
        for name, part in (record.plan or {}).get("speakers", {}).items():
            read[name] += int(part["rows"])
    known = {definition.speaker_id for definition in read_definitions(config.run.speakers.path, config.run.storage)}
    known |= Tombstones.read(open_run_output(corpus.storage)).ids("speaker")
    if missing := sorted(read.keys() - known):
        listed = ", ".join(f"{one_line(name)} ({read[name]:,} rows)" for name in missing)
        raise ConfigError(
            f"{config.run.speakers.path}: who read earlier nights is not there any more: {listed:.300}; put the "
            f"definitions back, or take the voices out for good with jobs.remove {config.corpus} --speakers"
        )


@dataclass(frozen=True)
class _CheckedRun:
    """The run of a night, whose manifest is not planned yet, compared with its output."""

    plan: RunPlan
    output: Storage
    speakers: OutputSpeakers


def _check_run(config: NightConfig, corpus: Corpus, night: str) -> _CheckedRun:
    nights = corpus.list_nights()
    if nights and night < nights[-1]:
        raise ConfigError(
            f"--night {night}: {nights[-1]} is planned already, and nights are planned in order; name a later one"
        )
    plan = plan_run(config.run, Manifest(open_storage(config.run.output, config.run.storage), []))
    output, _, speakers = check_plan(plan)
    return _CheckedRun(plan, output, speakers)


def _sample_rows(plan: Plan) -> list[dict[str, Any]]:
    """Return rows from all over a plan, for a trial."""
    with pq.ParquetFile(pa.BufferReader(plan.manifest)) as file:
        table = file.read([name for name in OWN_COLUMNS if name in file.schema_arrow.names], use_threads=False)
    chosen = np.unique(np.linspace(0, max(table.num_rows - 1, 0), min(table.num_rows, MAX_ROWS)).astype(np.int64))
    return [{**dict.fromkeys(OWN_COLUMNS), **row} for row in table.take(chosen).to_pylist()]


def plan_night(config: NightConfig, corpus: Corpus, night: str, run_plan: RunPlan, *, keep: bool) -> Plan:
    """Plan a night; writes none of the plan.

    Args:
        config: all of the night.
        corpus: whose.
        night: which.
        run_plan: of its run, checked.
        keep: whether the corpus gets its name and salt, and what it keeps to plan faster.

    Raises:
        ConfigError, ManifestError: a text file or a setting is wrong; the message says what to do.
    """
    nights, settings = corpus.list_nights(), config.dataset
    files = [file for source in config.texts for file in find_files(source, config.run.storage, config.run.table)]
    speakers = divide_speakers(run_plan.definitions, settings.split)
    test = speakers["test"] if speakers["test"] != speakers["train"] else ()
    identity = _identify(config, corpus, test, sorted({*speakers["train"], *speakers["validation"]}), keep)
    reader = TextReader(config.run.text, run_plan.lexicon, read_text_support(run_plan.weights_dir))
    never = read_never_texts(corpus, identity, settings.dedup, reader, keep=keep)
    tombstones = Tombstones.read(open_run_output(corpus.storage))
    ledger = Ledger(corpus, [name for name in nights if name != night], tombstones)
    scan = scan_texts(files, ledger, TextHashes(identity.key, corpus, keep=keep), night)
    logger.info("%s texts, of which %s are known", f"{scan.num_rows:,}", f"{scan.num_unchanged:,}")
    turns = Turns(speakers, settings.plan, night)
    plan = Planner(config, night, identity, ledger, reader, never, turns, stated_pace(config.run.weights)).plan(scan)
    plan.counts.speakers_without = find_without_terms(run_plan.definitions, plan.counts.speakers)
    return plan


def open_corpus(config: NightConfig, night: str) -> Corpus:
    """Return the corpus, once night and place are such that a night can be made.

    Raises:
        ConfigError: they are not, or the manifest of a night is missing.
    """
    check_night(night)
    check_writable("output", config.corpus, config.run.storage)
    corpus = Corpus(open_storage(config.corpus, config.run.storage))
    corpus.check_manifests()
    return corpus


def _identify(
    config: NightConfig, corpus: Corpus, test_speakers: Sequence[str], other_speakers: Sequence[str], keep: bool
) -> Identity:
    if keep:
        return corpus.begin(config.dataset.name, test_speakers, other_speakers)
    identity = corpus.read_identity() or Identity.new(config.dataset.name)
    corpus.check(identity, config.dataset.name, test_speakers, other_speakers)
    return identity


def _report(corpus: Corpus) -> str:
    return write_corpus_report(corpus, read_nights(corpus))


def _is_done(config: NightConfig, corpus: Corpus, record: NightRecord) -> bool:
    """Tell whether a night is published as it should be, and as it is now."""
    if record.published is None or record.published.get("wanted") != _wanted(config):
        return False
    snapshot = read_snapshot(corpus.storage, record.night)
    if snapshot is None or snapshot.revision != record.published.get("revision"):
        return False
    return is_finished(corpus.storage)  # A takedown that was cut short left its rows in snapshots.


def _wanted(config: NightConfig) -> list[str | None]:
    return [config.dataset.publish.format, config.dataset.publish.to]


def _judge_nights(config: NightConfig, corpus: Corpus, night: str, run: RunSummary) -> NightRecord:
    """Measure and judge a night, and those before it that were interrupted: the run has made their rows, too."""
    output = open_storage(config.run.output, config.run.storage)
    gate = config.dataset.gate
    unjudged = [record for record in read_nights(corpus) if record.night < night and record.gate is None]
    for record in (*unjudged, corpus.read_night(night)):
        name = record.night
        if name != night:
            logger.warning("night %s was interrupted before its gate; it is judged with %s", name, night)
        measures = measure_night(output, name).to_json()
        problems = judge_night(measures, gate)
        made = {"num_synthesized": run.num_synthesized, "elapsed_s": run.elapsed_s, "x_real_time": run.x_real_time}
        record = record.note(
            "judged",
            plan=record.plan or read_counts(corpus, name),
            run=made if run.num_units_done or record.run is None else record.run,
            measures=measures,
            gate={"passed": not problems, "limits": gate.limits(), "problems": problems},
        )
        corpus.write_night(record)
    return record


def _publish_night(config: NightConfig, corpus: Corpus, record: NightRecord, lease: Lease) -> SnapshotSummary:
    night = record.night
    excluded = [other.night for other in read_nights(corpus) if other.night <= night and not other.has_passed]
    # A row stays until what corrects it is published.
    superseded = {name: when for name, when in read_superseded(corpus, night).items() if when not in excluded}
    reasons = {utterance_id: f"corrected by {when}" for utterance_id, when in superseded.items()}
    snapshot = write_snapshot(config.corpus, night, config, excluded=excluded, reasons=reasons)
    lease.check()
    record = record.note("snapshot", snapshot=asdict(snapshot))
    corpus.write_night(record)
    published = publish(config.corpus, night, config)
    lease.check()
    corpus.write_night(record.note("published", published={"wanted": _wanted(config), **asdict(published)}))
    return snapshot


def read_nights(corpus: Corpus) -> list[NightRecord]:
    """Return what became of each night that is planned, in order."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(corpus.read_night, corpus.list_nights()))
