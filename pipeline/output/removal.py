"""Take rows and speakers out of an output for good: text, audio and enrolled tokens.

Tombstones come first, so that whatever is killed later, nobody synthesizes again what was withdrawn; what they name is
then taken away in steps that may be repeated. A start of a run or repair ends a removal that was cut short.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.manifest import recorded_reading
from pipeline.errors import ConfigError, DamagedCommit, SynthesisError
from pipeline.manifest.rows import Manifest, safe_file_name
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.output.commit_file import replace_records
from pipeline.output.commit_log import CommitLog, map_ahead
from pipeline.output.lease import Lease
from pipeline.output.pages import delete_page
from pipeline.output.records import removed_record
from pipeline.output.replaced_takes import ReplacedTakes
from pipeline.output.row_counts import COUNTED_COLUMNS, RowCounts
from pipeline.output.run_record import RunRecord
from pipeline.output.tombstones import Tombstones, make_tombstones
from pipeline.output.verify import Audit
from pipeline.output.voices import drop_speakers, list_enrolled
from pipeline.storage import Storage

_COLUMNS = ("utterance_id", "speaker_id", *COUNTED_COLUMNS, "shard", "row")
_MAX_LISTED = 20


@dataclass
class Removal:
    """What a removal took away, or would."""

    rows: RowCounts = field(default_factory=RowCounts)
    """By what they were; `audio_s` is that of the clips."""
    speakers: list[str] = field(default_factory=list)
    """Whose enrolled tokens were there."""
    books: set[str] = field(default_factory=set)
    """That have such rows: their chapters hold what was said until they are assembled again."""
    is_complete: bool = True
    """Whether nothing is left; False where a damaged output does not tell whose audio some files are."""


@dataclass(frozen=True)
class _Choice:
    """Which rows of commits; those of either kind."""

    ids: pa.Array
    speakers: pa.Array

    @classmethod
    def of(cls, ids: Collection[str], speakers: Collection[str]) -> _Choice:
        return cls(pa.array(list(ids), pa.string()), pa.array(list(speakers), pa.string()))

    def select(self, table: pa.Table) -> list[dict[str, Any]]:
        is_chosen = pc.or_(
            pc.is_in(table.column("utterance_id"), self.ids), pc.is_in(table.column("speaker_id"), self.speakers)
        )
        rows: list[dict[str, Any]] = table.filter(is_chosen).to_pylist()
        return rows


def plan_removal(
    storage: Storage, ids: Collection[str], speakers: Collection[str], *, known: Collection[str] = ()
) -> Removal:
    """Count what a removal would take away; changes nothing.

    Args:
        storage: the output.
        ids: utterance_ids.
        speakers: speaker_ids.
        known: ids of either kind that are elsewhere, if not here.

    Raises:
        ConfigError: there is no run here, or it knows an id neither by its commits, voices or tombstones nor by its
            manifest; lists all of them.
        DamagedCommit: a commit cannot be read.
    """
    record = RunRecord(storage)
    run, current = record.read(), record.read_table()
    tombstones = Tombstones.read(storage)
    wanted = {"utterance": frozenset(ids), "speaker": frozenset(speakers)}
    unknown = {
        kind: set(names - tombstones.ids(kind)) - {*known}  # type: ignore[arg-type]
        for kind, names in wanted.items()
    }
    found = Removal()
    log = CommitLog(storage)
    choice = _Choice.of(ids, speakers)
    # Commits that a changed manifest is about to replace say who is known, too, but are not counted.
    for unit_id, table in log.iter_commits((*_COLUMNS, "book_id")):
        for row in choice.select(table):
            unknown["utterance"].discard(row["utterance_id"])
            unknown["speaker"].discard(row["speaker_id"])
            if not current.holds(unit_id):
                continue
            found.rows.add(*([row[name]] for name in COUNTED_COLUMNS))
            if isinstance(row.get("book_id"), str):
                found.books.add(row["book_id"])
    enrolled = list_enrolled(storage)
    found.speakers = sorted(wanted["speaker"].intersection(enrolled))
    unknown["speaker"] -= set(enrolled)
    _refuse_unknown(storage, unknown, run.starts)
    return found


def _refuse_unknown(storage: Storage, unknown: Mapping[str, set[str]], starts: list[dict[str, Any]]) -> None:
    left, note = set(unknown["utterance"]), ""
    if left:
        place = starts[-1].get("config", {}).get("manifest") if starts else None
        try:
            if place:
                reading = recorded_reading(starts[-1]["config"], f"{storage.uri}/run.json")
                left -= Manifest.open(str(place), storage.settings, reading).find_ids(left).keys()
        except SynthesisError as error:
            note = f"\n  (rows that are not synthesized yet could not be looked up: {str(error).splitlines()[0]:.200})"
    problems = [f"utterance {name!r}" for name in sorted(left)] + [
        f"speaker {name!r}" for name in sorted(unknown["speaker"])
    ]
    if problems:
        listed = "\n".join(f"  {text:.200}" for text in islice(problems, _MAX_LISTED))
        rest = f"\n  and {len(problems) - _MAX_LISTED:,} more" if len(problems) > _MAX_LISTED else ""
        raise ConfigError(
            f"{storage.uri}: {len(problems):,} of the ids are in no commit, voice or manifest of this output, so that "
            f"nothing was removed:\n{listed}{rest}{note}\ncheck the spelling; upper and lower case differ"
        )


def remove_rows(
    storage: Storage, ids: Collection[str], speakers: Collection[str], reason: str, *, known: Collection[str] = ()
) -> Removal:
    """Remove rows and speakers for good; the same call again goes on where it was killed, and changes nothing else.

    Args:
        storage: the output.
        ids: utterance_ids of rows to remove.
        speakers: speaker_ids, whose rows are all removed, and who never speak again.
        reason: kept with each row and each tombstone.
        known: as `plan_removal` takes it.

    Returns:
        what was taken away by this call.

    Raises:
        ConfigError: as `plan_removal`, and nothing was changed; or a driver is at work.
        StorageError: the store failed; the same call goes on.
    """
    RunRecord(storage).read()  # Nothing is put where no run began, not even a lease.
    with Lease.acquire(storage, timeout_s=storage.settings.lease_timeout_s) as lease:
        found = plan_removal(storage, ids, speakers, known=known)
        stones = [*make_tombstones("utterance", ids, reason), *make_tombstones("speaker", speakers, reason)]
        lease.check()
        Tombstones.add(storage, stones)
        found.is_complete = carry_out_removals(storage, lease, force=True)
    return found


def carry_out_removals(storage: Storage, lease: Lease, *, force: bool = False) -> bool:
    """Take away what tombstones name: texts and audio of rows, files of audio, enrolled tokens, pages.

    Args:
        storage: the output.
        lease: held by the caller.
        force: also where they are noted as carried out.

    Returns:
        whether nothing is left. Where commits are damaged or lost, files of audio that nobody names are left alone.
    """
    tombstones = Tombstones.read(storage)
    if not tombstones.stones or (tombstones.is_carried_out and not force):
        return True
    log = CommitLog(storage)
    log.begin_repair()
    log.clear_success()
    names = set(map(safe_file_name, tombstones.ids("utterance")))
    choice = _Choice.of(tombstones.ids("utterance"), tombstones.ids("speaker"))

    def blank(unit_id: str) -> set[str]:
        try:
            return _blank_rows(log, unit_id, choice, tombstones, lease)
        except (FileNotFoundError, DamagedCommit):  # For `jobs.verify --repair`, which obeys tombstones, too.
            return set()

    for removed in map_ahead(blank, log.list_units()):
        names |= set(map(safe_file_name, removed))
    drop_speakers(storage, tombstones.ids("speaker"))
    ReplacedTakes(storage).forget(tombstones.ids("utterance"), tombstones.ids("speaker"))
    delete_page(storage)
    is_complete = _delete_audio(storage, names, lease)
    if is_complete:
        _finish_again(storage, log)
        Tombstones.carried_out(storage)
    return is_complete


def _blank_rows(log: CommitLog, unit_id: str, choice: _Choice, tombstones: Tombstones, lease: Lease) -> set[str]:
    """Turn rows of a commit into removed ones; return the ids of all that are removed."""
    table = log.read(unit_id, lambda file: file.read(_COLUMNS))
    rows = choice.select(table)
    records = [removed_record(row, str(tombstones.reason_for(row))) for row in rows if row["status"] != "removed"]
    if records:
        lease.check()
        log.rewrite(unit_id, lambda old: replace_records(old, records))
    return {str(row["utterance_id"]) for row in rows}


def _delete_audio(storage: Storage, names: Collection[str], lease: Lease) -> bool:
    """Delete the files that no commit names: those of removed rows, of whatever take, and of units that were cut short.

    Args:
        storage: the output.
        names: of files of removed rows, all that is deleted where commits are damaged.
        lease: held by the caller.

    Returns:
        whether all of them could be deleted.
    """
    is_clear, orphans = True, []
    for finding in Audit(storage, check_clips=False).findings():
        is_clear = is_clear and finding.kind not in ("damaged_commit", "uncommitted", "stray_commit")
        if finding.kind == "orphaned":
            orphans.append(finding.path)
    for path in orphans:
        # <id>.<hash>.<format>
        if is_clear or path.rpartition("/")[2].rsplit(".", 2)[0] in names:
            lease.check()
            storage.delete(path)
    storage.delete_temporary()
    return is_clear


def _finish_again(storage: Storage, log: CommitLog) -> None:
    """Write report and mark again where the output had them: every unit has its commit."""
    if log.was_finished():
        table = RunRecord(storage).read_table()
        num_rows = sum(shard.num_rows for shard in table.shards.values())
        log.finish(log.summarize(table.holds).report(num_rows))


def read_ids(data: bytes, place: str) -> list[str]:
    """Return the ids of a file: text with one a line, or Parquet with the column `utterance_id`.

    Args:
        data: the file's bytes.
        place: its name, for messages.

    Raises:
        ConfigError: it is neither, or has no ids.
    """
    try:
        if data[:4] == b"PAR1":
            names = pq.read_table(pa.BufferReader(data), columns=["utterance_id"]).column(0).to_pylist()
        else:
            names = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except (*DAMAGED_PARQUET, IndexError) as error:
        raise ConfigError(
            f"{place}: not a list of ids ({' '.join(str(error).split())[:200]}); expected text with one id a line, or "
            "Parquet with a column utterance_id"
        ) from error
    if not (found := list(dict.fromkeys(str(name) for name in names if name))):
        raise ConfigError(f"{place}: holds no id; expected one a line")
    return found
