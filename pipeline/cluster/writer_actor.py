"""The writer replica: audio to clips and the unit's commit; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import chain
from typing import Any

from pipeline.audio.clips import encoder_versions
from pipeline.cluster.replica import ReplicaBase, ReplicaInfo, ReplicaSetup, describe_replica
from pipeline.config.manifest import OWN_COLUMNS
from pipeline.errors import RejectionCode
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import Lease
from pipeline.output.records import StoredClip, build_record, pack_clip, removed_record
from pipeline.output.replaced_takes import ReplacedTakes
from pipeline.output.row_counts import UnitReceipt
from pipeline.output.tombstones import Tombstones
from pipeline.storage import open_storage
from pipeline.synthesis.take_pool import KeptRecords, KeptTake, hash_rows
from pipeline.synthesis.takes import Rejection, UtteranceOutcome


class WriterActor(ReplicaBase):
    """Audio to clips and the unit's commit; imports no torch."""

    def __init__(self, setup: ReplicaSetup) -> None:
        self._setup = setup

    def _load(self) -> ReplicaInfo:
        """Open the store."""
        config = self._setup.config
        self._storage = open_storage(config.output, config.storage)
        self._log = CommitLog(self._storage)
        self._replaced = ReplacedTakes(self._storage)
        self._removed = Tombstones.read(self._storage)
        self._kept = KeptRecords(self._log)
        self._num_rows = 0
        self._uploads = ThreadPoolExecutor(config.storage.upload_threads, thread_name_prefix="upload")
        return describe_replica("writer", 1, "cpu", "float32", **encoder_versions(config.audio.format))

    def heartbeat(self) -> int:
        """Return a number that grows while work goes on: rows written."""
        return self._num_rows

    def write(
        self,
        unit: WorkUnit,
        rejections: Mapping[int, Rejection],
        kept: Mapping[int, KeptTake],
        lease: Lease,
        only: frozenset[int] | None,
        *results: Any,
    ) -> UnitReceipt:
        """Write a unit's clips, then its commit, or both at once where clips are packed.

        Args:
            unit: the rows.
            rejections: rows refused before they reached a stage.
            kept: rows whose take an earlier commit has: their records are written again, their audio is not.
            lease: this driver's right to write; checked right before the commit.
            only: rows that were synthesized again, whose records replace those in the unit's commit; none writes the
                unit's first commit.
            results: of each round of takes in turn, what the stages made: takes, audio, and, where somebody listens,
                what was heard.
        """
        outcomes = _collect(results, 3 if self._setup.config.quality.listens else 2)
        table = self._setup.rows.read_rows(unit)
        # Not all columns: some of the user's may hold values that Python cannot.
        rows = table.select([name for name in OWN_COLUMNS if name in table.column_names]).to_pylist()
        hashes = hash_rows(unit, rows, self._setup.speakers)
        records = self._kept.read(unit, kept, hashes)
        lease.check()
        futures = [
            self._uploads.submit(
                self._write_row, unit, row, fields, rejections.get(row), outcomes.get(row), hashes[row]
            )
            for row, fields in enumerate(rows, start=unit.first_row)
            if row not in kept and (only is None or row in only)
        ]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        # A failure is raised once no upload is under way: the process may end right after, and leave temporary files.
        for future in futures:
            future.cancel()
        wait(futures)
        for future in done:
            future.result()
        made = [future.result() for future in futures]
        lease.check()
        if only is not None:
            self._replaced.keep(unit, made)
            committed = self._log.amend(unit, made)
        else:
            records |= {record["row"]: record for record in made}
            is_packed = self._setup.config.audio.layout == "packed"
            commit = build_commit_table([records[row] for row in sorted(records)], table, is_packed=is_packed)
            committed = self._log.commit(unit, commit)
        return UnitReceipt.of(unit.unit_id, made, committed=committed, num_kept=len(kept))

    def _write_row(
        self,
        unit: WorkUnit,
        row: int,
        fields: Mapping[str, Any],
        rejection: Rejection | None,
        made: UtteranceOutcome | None,
        input_hash: str,
    ) -> dict[str, Any]:
        if (reason := self._removed.reason_for(fields)) is not None:
            return removed_record({**fields, "shard": unit.shard, "row": row}, reason)
        rejection = rejection or (made or UtteranceOutcome()).rejection
        outcome: StoredClip | tuple[RejectionCode, str]
        if rejection is not None:
            outcome = (rejection.code, rejection.message)
        else:
            assert made is not None
            outcome = self._store(unit, fields["utterance_id"], made)
            self._num_rows += 1
        facts = None if made is None else made.facts()
        return build_record(
            unit,
            row,
            fields,
            weights_sha256=self._setup.weights_sha256,
            facts=facts,
            outcome=outcome,
            input_hash=input_hash,
        )

    def _store(self, unit: WorkUnit, utterance_id: str, made: UtteranceOutcome) -> StoredClip:
        settings = self._setup.config.audio
        audio = made.finish(settings)
        data, num_tokens = audio.encode(settings.format), sum(segment.num_semantic_tokens for segment in made.segments)
        if settings.layout == "packed":
            packed, sha256 = pack_clip(utterance_id, data, settings.format)
            return StoredClip(None, settings.format, sha256, audio, num_tokens, packed)
        path, sha256 = self._log.put_audio(unit.shard, utterance_id, data, settings.format)
        return StoredClip(path, settings.format, sha256, audio, num_tokens)


def _collect(results: Sequence[Any], num_results: int) -> dict[int, UtteranceOutcome]:
    """Return each row's outcome from what the stages made in each round, so many results of each."""
    outcomes: dict[int, UtteranceOutcome] = {}
    for start in range(0, len(results), num_results):
        takes, audios, *heard = results[start : start + num_results]
        verdicts = {(row, segment, take): verdict for row, segment, take, verdict in chain.from_iterable(heard)}
        for made in takes:
            outcomes.setdefault(made.row, UtteranceOutcome()).add_takes(made)
        for row, audio in audios:
            outcomes[row].add_audio(audio.after(verdicts.get((row, audio.segment, audio.take))))
    return outcomes
