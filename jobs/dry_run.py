"""Dry runs: the checks of a run, what it would do, and the exit code of the checks."""

from __future__ import annotations

from jobs.console import EXIT_OK, EXIT_REJECTIONS, say
from pipeline import Config, forecast_run
from pipeline.audio.chapter_formats import bytes_per_second
from pipeline.books.catalogue import refuse_unreadable
from pipeline.books.estimate import CatalogueEstimate
from pipeline.cluster.cost import estimate_cost, stated_pace
from pipeline.config.printable import one_line
from pipeline.output.progress import format_duration
from pipeline.output.row_counts import check_rejected_share
from pipeline.output.run_record import RunRecord
from pipeline.run.dry_run import check_setup
from pipeline.storage import open_storage


def show_forecast(config: Config) -> int:
    """Check what a run checks and print what it would do; the exit code is that of the checks."""
    found = forecast_run(config)
    measured = found.trial.speed.pace if found.trial is not None and found.trial.speed is not None else None
    audio_s = found.expected_s * (measured or stated_pace(config.weights)) + found.pauses_s
    run = RunRecord(open_storage(config.output, config.storage)).find()
    cost = estimate_cost(config, audio_s, run.starts if run else (), found.trial)
    within = " within `limit`" if config.limit else ""
    say(f"manifest   {config.manifest}: {found.num_rows:,} rows{within} in {found.num_shards:,} shard(s)")
    kinds = ("new", "changed", "moved", "unchanged", "gone", "duplicates", "withdrawn")
    say("rows       " + ", ".join(f"{getattr(found, f'num_{kind}'):,} {kind}" for kind in kinds))
    say(
        f"to do      {found.num_synthesized:,} rows to synthesize, {found.num_kept:,} kept, {found.num_units:,} unit(s)"
    )
    if found.trial is not None and found.trial.skipped:
        say(f"not tried  {found.trial.skipped}: whether the networks can be loaded comes out at the start of the run")
    if found.all_rejected:
        reasons = ", ".join(f"{code} {count:,}" for code, count in sorted(found.all_rejected.items()))
        say(f"rejected   {found.all_rejected.total():,}: {reasons}")
        for utterance_id, code, message in found.examples:
            say(f"  {utterance_id!r:.60} {code}: {one_line(message):.200}")
    for kind, count in sorted(found.unread.items()):
        utterance_id, note = found.unread_examples[kind]
        say(f"not spoken {count:,} rows with a {kind}, such as {utterance_id!r:.60}: {one_line(note):.200}")
    num_bytes = bytes_per_second(config.audio.format, config.audio.sample_rate) * audio_s + found.metadata_bytes
    say(f"audio      about {format_duration(audio_s)} to come, {num_bytes / 1e6:,.1f} MB")
    if config.quality.choose == "best_of":
        say(f"takes      {found.num_takes:,} to make, the best of {config.quality.best_of} for each segment")
    if cost.elapsed_s is None:
        say(f"time       not known: {cost.source}")
    else:
        say(f"time       about {format_duration(cost.elapsed_s)}, {cost.source}")
    say(f"output     {config.output}")
    say("Nothing was synthesized: this was a dry run.")
    check_rejected_share(found.all_rejected, found.num_rows, config.quality)
    return EXIT_REJECTIONS if found.all_rejected else EXIT_OK


def check_books(config: Config, estimate: CatalogueEstimate) -> CatalogueEstimate:
    """Check what a run over a catalogue checks, but for the manifest that is not written yet.

    Returns:
        the estimate, with what a trial of the networks measured.
    """
    if not estimate.books:
        refuse_unreadable([book.problem for book in estimate.refused])
    return estimate.with_trial(config, check_setup(config, estimate.sample.rows))
