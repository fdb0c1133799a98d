"""Dry runs: the checks of a run, what it would do, and the exit code of the checks."""

from __future__ import annotations

from jobs.console import EXIT_OK, EXIT_REJECTIONS, EXIT_STOPPED, say
from pipeline import Config, forecast_run
from pipeline.audio.chapter_formats import bytes_per_second
from pipeline.books.account import describe_words
from pipeline.books.catalogue import refuse_unreadable
from pipeline.books.estimate import BookEstimate, CatalogueEstimate
from pipeline.cluster.cost import estimate_cost, stated_pace
from pipeline.config.printable import one_line
from pipeline.errors import RunStopped
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
    if found.num_rows == 0:
        say(f"nothing to do: {config.manifest} holds no rows")
    kinds = ("new", "changed", "moved", "unchanged", "gone", "duplicates", "withdrawn")
    say("rows       " + ", ".join(f"{getattr(found, f'num_{kind}'):,} {kind}" for kind in kinds))
    if found.num_gone:
        say(f"gone       {found.num_gone:,} rows of the output are in no shard any more: a run deletes their audio")
    spoken = (
        f"{found.num_synthesized - found.num_refused:,} rows to synthesize ({found.num_judged_again:,} judged again)"
    )
    say(f"to do      {spoken}, {found.num_refused:,} to reject, {found.num_kept:,} kept, {found.num_units:,} unit(s)")
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
        replicas = f"with {cost.num_replicas} LLM replica(s), " if cost.elapsed_s else ""
        say(f"time       about {format_duration(cost.elapsed_s)}, {replicas}{cost.source}")
    say(f"output     {config.output}")
    say("Nothing was synthesized: this was a dry run.")
    try:
        check_rejected_share(found.all_rejected, found.num_rows, config.quality)
    except RunStopped as error:
        say(f"a run would stop: {error}", error=True)
        return EXIT_STOPPED
    return EXIT_REJECTIONS if found.all_rejected else EXIT_OK


def check_books(config: Config, estimate: CatalogueEstimate) -> CatalogueEstimate:
    """Check what a run over a catalogue checks, but for the manifest that is not written yet.

    Returns:
        the estimate, with what a trial of the networks measured.
    """
    if not estimate.books:
        refuse_unreadable([book.problem for book in estimate.refused])
    return estimate.with_trial(config, check_setup(config, estimate.sample.rows))


def describe_books(config: Config, estimate: CatalogueEstimate) -> str:
    """Return what a catalogue comes to, for a person."""
    total, cost = estimate.total, estimate.cost
    lines = [f"{one_line(book.book_id)}: {one_line(book.title)}\n{_describe_book(book)}" for book in estimate.books]
    for refused in estimate.refused:
        lines.append(f"{one_line(refused.book_id)}: not imported, see below")
        lines += describe_words(refused.report, with_parts=True)
    lines.append(f"total: {len(estimate.books):,} book(s)\n{_describe_book(total)}")
    lines.append(f"  pace       {estimate.pace:.2f} x the expected seconds, {estimate.pace_source}")
    if total.num_removed:
        lines.append(f"  removed    {total.num_removed:,} sentences were withdrawn, and are not spoken")
    if total.num_done:
        left = f"{format_duration(total.left_s)} of audio are left"
        lines.append(f"  done       {total.num_done:,} sentences are in {config.output}; {left}")
    if cost.elapsed_s is None or cost.x_real_time is None:
        lines.append(f"  time       not known: {cost.source}")
    else:
        machines = [f"{cost.gpu_hours:.2f} GPU-hours"] * bool(cost.gpu_hours) + [f"{cost.cpu_hours:.2f} CPU-hours"]
        lines += [
            f"  time       {format_duration(cost.elapsed_s)} with {cost.num_replicas} LLM replica(s), "
            f"{cost.x_real_time:.2f} x real time, {cost.source}",
            f"  machines   {', '.join(machines)}",
        ]
    lines += [f"  look at    {line.utterance_id}: {line.reason}: {line.text}" for line in total.examples]
    return "\n".join([*lines, "Nothing was written: this was a dry run."])


def _describe_book(book: BookEstimate) -> str:
    reasons = [f"{count:,} {reason}" for reason, count in (book.rejected + book.suspicious).most_common()]
    return "\n".join(
        [
            *describe_words(book.account, with_parts=True),
            f"  text       {book.num_chars:,} characters in {book.num_rows:,} sentences, "
            f"{book.num_segments:,} segments, {book.num_units:,} units",
            f"  audio      {format_duration(book.audio_s)} ({book.audio_s / 3_600:.2f} h), "
            f"{format_duration(book.chapters_s)} in {book.num_chapters:,} chapters with their pauses",
            f"  output     {book.output_bytes / 1e6:,.1f} MB",
            f"  lines      {book.rejected.total():,} rejected, {book.suspicious.total():,} suspicious"
            + (f": {', '.join(reasons)}" if reasons else ""),
        ]
    )
