"""The rows of a run, chapter by chapter in reading order; what assembly reads.

Knows two orders: that of the run's own shards, and that of a catalogue's contents, which forget the rows that a changed
book no longer has and put new ones in their place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.books.importing import CONTENTS
from pipeline.errors import ConfigError
from pipeline.manifest.shards import shard_name
from pipeline.manifest.units import plan_units
from pipeline.output.commit_log import CommitLog
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardRecord
from pipeline.storage import Storage

_BOOK = ("book_id", "book_title", "author", "chapter", "chapter_title", "position", "boundary")
_CLIP = (
    "utterance_id",
    "speaker_id",
    "text",
    "status",
    "audio_path",
    "audio_sha256",
    "sample_rate",
    "num_samples",
    "error_code",
    "shard",
    "row",
)
Chapter = tuple[int, list[dict[str, Any]]]


def read_chapters(source: Storage, contents: Storage | None = None) -> Iterator[tuple[str, Iterator[Chapter]]]:
    """Yield the books of a run, each with its chapters: number and rows.

    With contents, the clips of one book are held as an Arrow table (about 200 bytes a sentence), and a row that has no
    commit yet has the status `missing`; without, only the rows of one chapter are.

    Args:
        source: a run's output.
        contents: the manifest that `import_books` keeps; without it, books are as the run's shards have them.

    Raises:
        ConfigError: there is no run, or its rows belong to no book.
    """
    log, record = CommitLog(source), RunRecord(source)
    shards, unit_size = record.read_shards(), record.read().unit_size
    if contents is None:
        rows = itertools.chain.from_iterable(
            table.to_pylist()
            for shard in sorted(shards)
            for table in _read_shard(log, shard, shards[shard], unit_size, _BOOK)
        )
        for book_id, book in itertools.groupby(rows, key=lambda row: str(row["book_id"])):
            yield book_id, _by_chapter(book)
        return
    paths = sorted(info.path for info in contents.list(CONTENTS) if info.path.endswith(".parquet"))
    if not paths:
        raise ConfigError(f"{contents.uri}: holds no contents of books; expected a manifest of jobs.import_books")
    for path in paths:
        book_id = path.removeprefix(CONTENTS).removesuffix(".parquet")
        listed = pq.read_table(pa.BufferReader(contents.get(path)))
        yield book_id, _by_chapter(_join(listed, _read_clips(log, shards, unit_size, book_id)))


def _by_chapter(rows: Iterator[dict[str, Any]]) -> Iterator[Chapter]:
    for number, chapter in itertools.groupby(rows, key=lambda row: int(row["chapter"])):
        yield number, list(chapter)


def _read_shard(
    log: CommitLog, shard: str, known: ShardRecord, unit_size: int, extra: tuple[str, ...] = ()
) -> Iterator[pa.Table]:
    """Yield the commits of a shard in order; a unit that is not committed yet is a gap."""
    for unit in plan_units(shard, known.num_rows, unit_size, known.revision):
        try:
            table = log.read_commit(unit)
        except FileNotFoundError:
            continue
        wrong = [name for name in extra if not _is_usable(table, name)]
        if wrong:
            raise ConfigError(
                f"shard {shard}: the column(s) {', '.join(wrong)} are missing, or hold empty or other values than text "
                "and whole numbers; expected a run whose manifest jobs.import_books made"
            )
        # Where a packed clip is to be read.
        unit_ids = pa.array([unit.unit_id] * table.num_rows, pa.string())
        yield table.select([*_CLIP, *extra]).append_column("unit_id", unit_ids)


def _is_usable(table: pa.Table, name: str) -> bool:
    if name not in table.column_names:
        return False
    column = table[name]
    if name in ("chapter", "position"):
        return bool(pa.types.is_integer(column.type)) and column.null_count == 0
    # A book without a title or an author has nulls there.
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
    is_needed = name in ("book_id", "boundary")
    return any(is_kind(column.type) for is_kind in kinds) and not (is_needed and column.null_count)


def _read_clips(log: CommitLog, shards: Mapping[str, ShardRecord], unit_size: int, book_id: str) -> pa.Table | None:
    folder = shard_name(f"{book_id}/x")[:-1]  # Letters beyond ASCII are escaped in it.
    names = sorted(name for name in shards if name.startswith(folder))
    tables = [table for name in names for table in _read_shard(log, name, shards[name], unit_size)]
    return pa.concat_tables(tables) if tables else None


def _join(listed: pa.Table, clips: pa.Table | None) -> Iterator[dict[str, Any]]:
    """Give each row of the contents the clip with its id; a few rows at a time become Python objects."""
    places = pc.index_in(listed["utterance_id"], value_set=clips["utterance_id"]) if clips is not None else None
    start = 0
    for batch in listed.to_batches(max_chunksize=512):
        held = batch.to_pylist()
        found = [None] * len(held) if places is None else places.slice(start, len(held)).to_pylist()
        known = [place for place in found if place is not None]
        taken = iter(clips.take(known).to_pylist() if clips is not None and known else ())
        for row, place in zip(held, found, strict=True):
            yield {**row, "status": "missing", "error_code": None} if place is None else {**row, **next(taken)}
        start += len(held)
