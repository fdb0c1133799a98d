"""The commits of an output: what is durable and what is left; the metadata objects are the only truth.

Knows nothing of audio or replicas. A unit's metadata object is its commit: built in memory, put once. Only `amend`
replaces one, by compare-and-swap.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import pyarrow as pa

from pipeline.audio.clips import ClipFormat
from pipeline.errors import DamagedCommit, ObjectChanged
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.manifest.units import WorkUnit, shard_folder
from pipeline.output.commit_file import CommitFile, open_commit, replace_records, write_commit
from pipeline.output.counts_note import CountsNote
from pipeline.output.records import AUDIO_COLUMN, audio_path
from pipeline.output.row_counts import COUNTED_COLUMNS, RowCounts
from pipeline.storage import ObjectExists, ObjectInfo, PreconditionFailed, Storage

REPORT_PATH, SUCCESS_PATH, REPAIR_PATH = "report.json", "_SUCCESS", "_REPAIRING"
_METADATA, _SUFFIX = "metadata/", ".parquet"
_READ_THREADS = 8
_READ_WHOLE = 256 * 1024
"""Bytes up to which a commit is read by one request; of a larger one, which has clips in it, only what is asked for."""
Item = TypeVar("Item")
Result = TypeVar("Result")


class CommitLog:
    """The commits of one output. Thread-safe; pickles as its storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @staticmethod
    def metadata_path(unit: WorkUnit) -> str:
        """Return where a unit's commit is."""
        return CommitLog.path_of(unit.unit_id)

    @staticmethod
    def path_of(unit_id: str) -> str:
        """Return where the commit of the unit with this id is."""
        return f"{_METADATA}{unit_id}{_SUFFIX}"

    def put_audio(self, shard: str, utterance_id: str, data: bytes, audio_format: ClipFormat) -> tuple[str, str]:
        """Write a clip; it counts once a commit names it.

        Returns:
            its path below the output, and the sha256 of its bytes in hexadecimal.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = audio_path(shard, utterance_id, sha256, audio_format)
        self._storage.put(path, data)
        return path, sha256

    def commit(self, unit: WorkUnit, table: pa.Table) -> bool:
        """Make a unit durable; clips that are objects of their own must be so already.

        Returns:
            False where the unit has a commit already, which stays as it is.
        """
        rows = table.column("row").to_pylist()
        if rows != list(range(unit.first_row, unit.last_row + 1)):
            raise ValueError(f"{unit.unit_id}: a commit holds every row of its unit, in order")
        try:
            self._storage.put(self.metadata_path(unit), write_commit(table), if_absent=True)
        except ObjectExists:
            return False
        return True

    def amend(self, unit: WorkUnit, records: Sequence[Mapping[str, Any]]) -> bool:
        """Replace some rows of a commit, by compare-and-swap; the others stay as they are, to the bit.

        Args:
            unit: the commit's.
            records: as for `build_commit_table`, of the rows to replace.

        Returns:
            False where the commit says the same of these rows already, so that it stays.

        Raises:
            FileNotFoundError: the unit is not committed.
            DamagedCommit: it is not readable.
        """
        return self.rewrite(unit.unit_id, lambda old: replace_records(old, records))

    def rewrite(self, unit_id: str, change: Callable[[pa.Table], pa.Table]) -> bool:
        """Replace a commit, by compare-and-swap.

        Args:
            unit_id: whose.
            change: returns the new metadata for the old one, clips included; called again if the commit was replaced
                meanwhile.

        Returns:
            False where that says the same, so that the commit stays; raises as `amend`.
        """
        path = self.path_of(unit_id)
        while True:
            data, etag = self._storage.get_with_etag(path)
            old = self._parse(path, data, _read_with_clips)
            table = change(old)
            # When a row was made is no reason to replace a commit.
            if table.drop_columns(["created_at"]).equals(old.drop_columns(["created_at"])):
                return False
            try:
                self._storage.put(path, write_commit(table), if_match=etag)
                return True
            except PreconditionFailed:
                continue  # Somebody else changed it: what they say of the other rows must stay.

    def committed(self) -> set[str]:
        """List the ids of the units that are done."""
        return set(self.list_units())

    def read_commit(self, unit: WorkUnit, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a unit's metadata: only these columns, where the commit has them, or all but packed clips.

        Raises:
            FileNotFoundError: the unit is not committed.
            DamagedCommit: it is not readable.
        """
        return self.read(unit.unit_id, lambda file: file.read(columns))

    def read_whole(self, unit: WorkUnit) -> pa.Table:
        """Read a unit's metadata with its packed clips, if it has any; raises as `read_commit`."""
        return self.read(unit.unit_id, _read_with_clips)

    def iter_metadata(
        self, columns: Sequence[str] | None = None, holds: Callable[[str], bool] = lambda unit_id: True
    ) -> Iterator[pa.Table]:
        """Yield the commits one by one, a few read ahead, as `read_commit` reads them.

        Args:
            columns: only these, where a commit has them.
            holds: only the units whose id it takes, as `ShardTable.holds` does.
        """
        yield from (table for _, table in self.iter_commits(columns, holds))

    def iter_commits(
        self,
        columns: Sequence[str] | None = None,
        holds: Callable[[str], bool] = lambda unit_id: True,
        on_damage: Callable[[DamagedCommit], None] | None = None,
    ) -> Iterator[tuple[str, pa.Table]]:
        """Yield the id of a unit with its commit, as `iter_metadata`.

        Args:
            columns: as there.
            holds: as there.
            on_damage: called with what is wrong with a commit that cannot be read, which is left out then.

        Raises:
            ObjectChanged: one was deleted since it was listed.
            DamagedCommit: one cannot be read, and there is no `on_damage`.
        """
        for info, table in self._iter(self._list_held(holds), columns, on_damage):
            yield _unit_id_of(info.path), table

    def _iter(
        self,
        infos: Iterable[ObjectInfo],
        columns: Sequence[str] | None,
        on_damage: Callable[[DamagedCommit], None] | None = None,
    ) -> Iterator[tuple[ObjectInfo, pa.Table]]:
        def read(info: ObjectInfo) -> tuple[ObjectInfo, pa.Table | DamagedCommit]:
            try:
                return info, self.read(_unit_id_of(info.path), lambda file: file.read(columns), info)
            except DamagedCommit as error:
                if on_damage is None:
                    raise
                return info, error
            except FileNotFoundError:
                raise ObjectChanged(
                    f"{self._storage.uri_of(info.path)}: this commit was deleted while the output was read; find out "
                    "who else writes there"
                ) from None

        for info, found in map_ahead(read, infos):
            if isinstance(found, DamagedCommit):
                assert on_damage is not None
                on_damage(found)
            else:
                yield info, found

    def summarize(self, holds: Callable[[str], bool] = lambda unit_id: True) -> RowCounts:
        """Count the rows of commits, see `iter_metadata`; those of folders that are as they were are known from a note.

        The caller holds the output's lease.
        """
        note = CountsNote.read(self._storage, self._list_held(holds))
        for info, table in self._iter(note.unknown, COUNTED_COLUMNS):
            note.counts_of(info).add(*(table.column(name).to_pylist() for name in COUNTED_COLUMNS))
        return note.keep(self._storage)

    def finish(self, report: Mapping[str, Any]) -> None:
        """Write the report, then the mark that says the output is complete."""
        data = json.dumps({**report, "finished_at": datetime.now(UTC).isoformat(timespec="seconds")}, indent=1)
        self._storage.put(REPORT_PATH, data.encode())
        self._storage.put(SUCCESS_PATH, b"")
        self.end_repair()

    def clear_success(self) -> None:
        """Take the mark away before new work."""
        self._storage.delete(SUCCESS_PATH)

    def is_finished(self) -> bool:
        """Tell whether the mark is there."""
        return self._storage.exists(SUCCESS_PATH)

    def begin_repair(self) -> None:
        """Note that a finished output is being repaired, so that a repair that is killed does not look unfinished."""
        if self.is_finished():
            self._storage.put(REPAIR_PATH, b"")

    def end_repair(self) -> None:
        """Take the note away: the output is finished again."""
        self._storage.delete(REPAIR_PATH)

    def was_finished(self) -> bool:
        """Tell whether every unit had its commit once, so that one without has lost it."""
        return self.is_finished() or self._storage.exists(REPAIR_PATH)

    def list_units(self, shard: str = "") -> Iterator[str]:
        """Yield the ids of the units that have a commit, of one shard and those below it, or of all."""
        yield from (_unit_id_of(info.path) for info in self._list(shard))

    def _list(self, shard: str = "") -> Iterator[ObjectInfo]:
        prefix = f"{_METADATA}{shard}/" if shard else _METADATA
        yield from (info for info in self._storage.list(prefix) if info.path.endswith(_SUFFIX))

    def _list_held(self, holds: Callable[[str], bool]) -> Iterator[ObjectInfo]:
        return (info for info in self._list() if holds(_unit_id_of(info.path)))

    def list_shard(self, shard: str, revision: int = 0) -> Iterator[WorkUnit]:
        """Yield the units of one revision of a shard that have a commit."""
        folder = shard_folder(shard, revision)
        for unit_id in self.list_units(folder):
            first, _, last = unit_id.removeprefix(f"{folder}/").partition("-")
            if first.isdecimal() and last.isdecimal():  # Not one of a shard in a folder of this name.
                yield WorkUnit(shard, int(first), int(last), revision=revision)

    def read(self, unit_id: str, read: Callable[[CommitFile], Result], info: ObjectInfo | None = None) -> Result:
        """Read of a commit what `read` asks for; the store is asked for no more, where the commit is large.

        Args:
            unit_id: whose.
            read: called with the open commit; once more if the commit is replaced meanwhile.
            info: of the commit, where it has been listed.

        Raises:
            FileNotFoundError: the unit is not committed.
            DamagedCommit: it is not readable.
        """
        path = self.path_of(unit_id)
        while True:
            info = info or self._storage.find(path)
            if info is None:
                raise FileNotFoundError(errno.ENOENT, "not committed", self._storage.uri_of(path))
            try:
                if info.size <= _READ_WHOLE:
                    return self._parse(path, self._storage.get(path), read)
                return self._parse(path, self._storage.open_input(info, read_ahead=0), read)
            except ObjectChanged:
                info = None  # Amended since it was looked for.

    def _parse(self, path: str, source: bytes | pa.NativeFile, read: Callable[[CommitFile], Result]) -> Result:
        place = self._storage.uri_of(path)
        try:
            return read(open_commit(source, place) if isinstance(source, bytes) else CommitFile(source, place))
        except DAMAGED_PARQUET as error:
            detail = " ".join(str(error).split())[:200]
            raise DamagedCommit(
                f"{place}: not a readable commit ({detail}); run jobs.verify --repair, which makes the unit again"
            ) from error


def _unit_id_of(path: str) -> str:
    return path.removeprefix(_METADATA).removesuffix(_SUFFIX)


def _read_with_clips(file: CommitFile) -> pa.Table:
    table = file.read()
    if not file.is_packed:
        return table
    return table.append_column(AUDIO_COLUMN, file.read([AUDIO_COLUMN]).column(AUDIO_COLUMN))


def map_ahead(call: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map in threads and in order, with a bounded number of results waiting."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        for item in items:
            waiting.append(pool.submit(call, item))
            if len(waiting) >= 2 * _READ_THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
