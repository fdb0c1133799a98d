"""What a start would do: rows by what would become of them, the audio to come; a run without its synthesis.

Writes nothing. Texts of rows that would be synthesized are spelled out as a run does.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.cluster.trial_actor import MAX_ROWS, Trial
from pipeline.cluster.unit_states import UnitPlanner, find_other_verdicts
from pipeline.config.manifest import OWN_COLUMNS
from pipeline.config.run import Config
from pipeline.errors import RejectionCode, UtteranceError
from pipeline.manifest.rows import Manifest, read_utterance
from pipeline.manifest.units import WorkUnit
from pipeline.output.adoption import find_duplicates, list_former_units
from pipeline.output.commit_log import CommitLog, map_ahead
from pipeline.output.row_counts import COUNTED_COLUMNS, RowCounts
from pipeline.output.shard_table import ShardTable
from pipeline.output.tombstones import Tombstones
from pipeline.synthesis.speakers import NOT_ENROLLED
from pipeline.synthesis.take_pool import KeptTake, TakePool
from pipeline.synthesis.takes import write_script
from pipeline.text import TextSupport, describe_unread

_FORMER_COLUMNS = ("utterance_id", *COUNTED_COLUMNS)
_METADATA_BYTES = 1_000
"""Of a row, in its commit."""


class RowSample:
    """Rows drawn evenly from however many, the same ones at each call."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self._num_seen, self._random = 0, random.Random(0)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row in, perhaps."""
        self._num_seen += 1
        own = {name: row.get(name) for name in OWN_COLUMNS}
        if len(self.rows) < MAX_ROWS:
            self.rows.append(own)
        elif (place := self._random.randrange(self._num_seen)) < MAX_ROWS:
            self.rows[place] = own


@dataclass
class Forecast:
    """What a start would do.

    Counts are of rows within `limit`. `num_unchanged`, `num_moved`, `num_changed`, `num_new`, duplicates and withdrawn
    rows make up `num_rows`; rows of units that have their commit are unchanged, whatever came of them, or withdrawn.
    """

    num_shards: int = 0
    """Of the manifest."""
    num_rows: int = 0
    num_units: int = 0
    """That would be committed."""
    num_unchanged: int = 0
    """Rows with the take that they have, where they are; their shard may be another one's bytes."""
    num_moved: int = 0
    """Rows with the take that they have elsewhere."""
    num_changed: int = 0
    """Rows whose id is known with another text, voice, seed or language."""
    num_new: int = 0
    num_duplicates: int = 0
    num_withdrawn: int = 0
    """Rows that were removed for good, committed as such or yet to be; they are not synthesized."""
    num_refused: int = 0
    """Of the new and changed rows, those that are rejected for their text, speaker or seed."""
    num_gone: int = 0
    """Rows that the manifest has no more: their takes would be deleted."""
    num_judged_again: int = 0
    """Of the unchanged rows, those on which other limits of `quality` may change the verdict: they are made again."""
    num_kept: int = 0
    """Of the unchanged and moved rows, those whose commit would be written anew."""
    committed: RowCounts = field(default_factory=RowCounts)
    """What there is already and stays, by outcome."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Rows that would be rejected for what can be seen before synthesis, by code."""
    examples: list[tuple[str, str, str]] = field(default_factory=list)
    """(utterance_id, code, message) of a few of them."""
    unread: Counter[str] = field(default_factory=Counter)
    """Rows with something that would not be spoken, by its kind: symbol, digit, script, emoji."""
    unread_examples: dict[str, tuple[str, str]] = field(default_factory=dict)
    """(utterance_id, what it is) of the first of each kind."""
    expected_s: float = 0.0
    """Seconds of audio that would be made, as `pipeline.text` expects them."""
    num_takes: int = 0
    """Requests to the LLM, if none has to be repeated."""
    pauses_s: float = 0.0
    """Between the segments of rows; `expected_s` is without them."""
    num_segments: int = 0
    """Requests to the LLM."""
    sample: RowSample = field(default_factory=RowSample)
    """Of the rows that would be synthesized."""
    trial: Trial | None = None
    """Of the networks; None where there is nothing to synthesize."""

    @property
    def num_synthesized(self) -> int:
        """Rows that would be synthesized, or rejected for their text."""
        return self.num_new + self.num_changed + self.num_judged_again

    @property
    def all_rejected(self) -> Counter[str]:
        """Rejected rows of the whole output, as far as can be seen before synthesis."""
        return self.committed.rejected + self.rejected

    @property
    def metadata_bytes(self) -> int:
        """Of the commits that would be written."""
        return _METADATA_BYTES * (self.num_synthesized + self.num_kept + self.num_duplicates)


class Forecaster:
    """Counts what a start would do.

    Args:
        config: of the run.
        manifest: with the revisions that it would get.
        log: of the output.
        table: of shards, as it would be.
        speakers: who may speak, see `SpeakerRegistry.generations`.
        lexicon: how to say certain words.
        support: what the weights were taught to read.
        tombstones: of the output.
    """

    def __init__(
        self,
        config: Config,
        manifest: Manifest,
        log: CommitLog,
        table: ShardTable,
        speakers: Mapping[str, int],
        lexicon: Mapping[str, str],
        support: TextSupport,
        tombstones: Tombstones,
    ) -> None:
        self._config, self._manifest, self._log, self._table = config, manifest, log, table
        self._lexicon, self._support, self._tombstones = lexicon, support, tombstones
        self._speakers = [name for name, generation in speakers.items() if generation != NOT_ENROLLED]
        self._former = [*list_former_units(log, table)]
        pool = TakePool.read(log, self._former, config)
        self._planner = UnitPlanner(manifest, find_duplicates(manifest, table), speakers, pool)
        self._ids: set[str | None] = set()
        """Of rows of former shards."""
        self._records: dict[WorkUnit, list[dict[str, Any]]] = {}
        self.found = Forecast(num_shards=len(manifest.shards))

    def count(self, units: Iterator[WorkUnit], committed: Collection[str]) -> Forecast:
        """Go through the units of a start.

        Args:
            units: all that the start looks at, within `limit`.
            committed: ids of those that have a commit.
        """
        self._read_former()
        removed = self._read_committed()
        left_ids: set[str | None] = set()
        for unit in units:
            self.found.num_rows += unit.num_rows
            if unit.unit_id in committed:
                self.found.num_withdrawn += removed[unit.unit_id]
                self.found.num_unchanged += unit.num_rows - removed[unit.unit_id]
                continue
            self.found.num_units += 1
            rows = self._manifest.read_rows(unit, OWN_COLUMNS).to_pylist()
            self._count_unit(unit, rows)
            if self._former:
                left_ids.update(row["utterance_id"] for row in rows)
        self.found.num_gone = len(self._ids - left_ids)
        return self.found

    def judge_again(self, before: Mapping[str, float]) -> None:
        """Count the committed rows that are made again where limits of `quality` have changed.

        Args:
            before: the limits that rows were judged by.
        """
        if before != self._config.quality.limits():
            for state in find_other_verdicts(self._log, self._table, before, self._config.quality):
                self.found.num_judged_again += state.num_rows
                self.found.num_units += 1
                rows = self._manifest.read_rows(state.unit, OWN_COLUMNS).to_pylist()
                for number in state.wanted or ():
                    with suppress(UtteranceError):  # Which a run would find once more.
                        self._count_script(rows[number - state.unit.first_row])

    def _read_committed(self) -> Counter[str]:
        """Count what is committed and stays; return the rows that were removed, by unit."""
        names, removed = COUNTED_COLUMNS, Counter[str]()
        for unit_id, table in self._log.iter_commits(names, self._table.holds):
            before = self.found.committed.num_removed
            self.found.committed.add(*(table[name].to_pylist() for name in names))
            if self.found.committed.num_removed > before:
                removed[unit_id] = self.found.committed.num_removed - before
        return removed

    def _read_former(self) -> None:
        def read(unit: WorkUnit) -> tuple[WorkUnit, list[dict[str, Any]]]:
            return unit, self._log.read_commit(unit, _FORMER_COLUMNS).to_pylist()

        for unit, rows in map_ahead(read, self._former):
            self._records[unit] = rows
            self._ids.update(row["utterance_id"] for row in rows)

    def _count_unit(self, unit: WorkUnit, rows: Sequence[Mapping[str, Any]]) -> None:
        state = self._planner.plan(unit)
        for number, row in enumerate(rows, unit.first_row):
            if self._tombstones.reason_for(row) is not None:
                self.found.num_withdrawn += 1
            elif number in state.rejections:
                self.found.num_duplicates += 1
                self._reject(row, RejectionCode.DUPLICATE_ID, state.rejections[number].message)
            elif number in state.kept:
                self._keep(unit, number, state.kept[number])
            else:
                self._count_left(row)

    def _keep(self, unit: WorkUnit, number: int, take: KeptTake) -> None:
        is_here = (take.unit.shard, take.unit.first_row + take.position) == (unit.shard, number)
        self.found.num_unchanged += is_here
        self.found.num_moved += not is_here
        self.found.num_kept += 1
        record = self._records[take.unit][take.position]
        self.found.committed.add(*([record[name]] for name in COUNTED_COLUMNS))

    def _count_left(self, row: Mapping[str, Any]) -> None:
        if row["utterance_id"] in self._ids:
            self.found.num_changed += 1
        else:
            self.found.num_new += 1
        try:
            self._count_script(row)
        except UtteranceError as error:
            self.found.num_refused += 1
            self._reject(row, error.code, error.message)

    def _count_script(self, row: Mapping[str, Any]) -> None:
        script = write_script(read_utterance(row), self._speakers, self._config, self._lexicon, self._support)
        for kind in sorted({unread.kind for unread in script.unread}):
            self.found.unread[kind] += 1
            note = describe_unread(unread for unread in script.unread if unread.kind == kind)
            self.found.unread_examples.setdefault(kind, (str(row["utterance_id"]), str(note)))
        self.found.num_takes += len(script.segments) * self._config.quality.num_first_takes
        self.found.sample.add(row)
        self.found.num_segments += len(script.segments)
        self.found.pauses_s += sum(self._config.audio.pause_s(segment.boundary) for segment in script.segments[:-1])
        self.found.expected_s += sum(segment.estimated_s for segment in script.segments)

    def _reject(self, row: Mapping[str, Any], code: RejectionCode, message: str) -> None:
        self.found.rejected[str(code)] += 1
        if len(self.found.examples) < 5:
            self.found.examples.append((str(row["utterance_id"]), str(code), message))
