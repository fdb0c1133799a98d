"""The shards of an output (shards.parquet): which content of the manifest its commits hold, and whose are to go.

A shard whose content changed becomes a new revision, planned anew; what stood in its place is a former shard as long
as its commits are there, since takes are kept from them. Knows nothing of commits or stores.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.manifest.shards import Shard
from pipeline.manifest.units import shard_folder
from pipeline.output.records import FORMAT_KEY, FORMAT_VERSION, newer_format
from pipeline.storage import check_path

_SPEAKERS_KEY = b"spark_tts_batch.speakers"
_QUALITY_KEY = b"spark_tts_batch.quality"
_VOICES_KEY = b"spark_tts_batch.voices"
_COLUMNS_KEY = b"spark_tts_batch.columns"
_SCHEMA_OF_FORMAT_2 = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("num_rows", pa.int64(), nullable=False),
        pa.field("fingerprint", pa.string(), nullable=False),
    ]
)
_SCHEMA = pa.schema(
    [
        *_SCHEMA_OF_FORMAT_2,
        pa.field("revision", pa.int32(), nullable=False),
        pa.field("since", pa.int32(), nullable=False),
        pa.field("until", pa.int32()),
        pa.field("is_leaving", pa.bool_(), nullable=False),
        pa.field("duplicates", pa.list_(pa.int64())),
    ]
)


@dataclass(frozen=True)
class ShardRecord:
    """What an output knows of one shard of its manifest."""

    num_rows: int
    fingerprint: str
    revision: int = 0
    since: int = 0
    """The change of the manifest by which this content came: 0 for the first manifest, then 1, 2, ..."""
    duplicates: tuple[int, ...] | None = ()
    """Rows whose id an earlier row has, ascending; None where an older version planned the shard."""


@dataclass(frozen=True)
class FormerShard:
    """A shard that changed or left the manifest, as long as its commits are there."""

    name: str
    record: ShardRecord
    until: int
    """The change of the manifest by which it went."""
    is_leaving: bool = False
    """Whether its commits are being deleted: nothing may be kept from them any more."""

    @property
    def folder(self) -> str:
        """Where its commits are, below `metadata/`."""
        return shard_folder(self.name, self.record.revision)


@dataclass(frozen=True)
class ShardTable:
    """The shards of an output: those of its manifest, and those whose commits are still to go."""

    shards: Mapping[str, ShardRecord] = field(default_factory=dict)
    """In the order in which they joined: of two equal ids the earlier one's wins. Without that order a new shard could
    make a duplicate of a row that is committed already."""
    former: tuple[FormerShard, ...] = ()
    speakers: Mapping[str, int] | None = None
    """The speakers that rows were planned with, by id; see `SpeakerRegistry.generations`. None where an older version
    planned the rows."""
    columns: pa.Schema | None = None
    """The columns that are passed through, pinned by the first start; None where an older version began."""

    quality: Mapping[str, float] | None = None
    """The limits that every row was judged by, see `QualityConfig.limits`; None where an older version judged them."""
    voices: Mapping[str, str] | None = None
    """Of the speakers who spoke, see `SpeakerRegistry.hash_voices`; None where nobody did since an older version."""

    def order(self, shards: Sequence[Shard]) -> list[str]:
        """Return the names of a manifest's shards in the order in which they join this output."""
        names = [shard.name for shard in shards]
        return [
            *(name for name in self.shards if name in {*names}),
            *(name for name in names if name not in self.shards),
        ]

    def is_current(self, shard: Shard) -> bool:
        """Tell whether the output has a shard with this content."""
        known = self.shards.get(shard.name)
        return known is not None and (known.num_rows, known.fingerprint) == (shard.num_rows, shard.fingerprint)

    def differs_from(self, shards: Sequence[Shard]) -> Iterator[str]:
        """Yield a text for each shard that is not the output's."""
        found = {shard.name: shard for shard in shards}
        for name, known in self.shards.items():
            if name not in found:
                yield f"shard {name}: {known.num_rows:,} rows → missing from the manifest"
            elif not self.is_current(found[name]):
                yield f"shard {name}: {known.num_rows:,} rows → {found[name].num_rows:,} rows of other content"
        yield from (f"shard {name}: new" for name in found if name not in self.shards)

    def adopt(
        self,
        shards: Sequence[Shard],
        duplicates: Mapping[str, Sequence[int]],
        speakers: Mapping[str, int],
        stale: Collection[str] = (),
        columns: pa.Schema | None = None,
    ) -> ShardTable:
        """Return the table of a manifest that takes this one's place.

        Args:
            shards: of the manifest.
            duplicates: of the manifest, by shard, with the shards in `order`.
            speakers: that rows are planned with from now on.
            stale: names of shards to plan anew although their content is the same.
            columns: that are passed through.
        """
        wanted = {shard.name: shard for shard in shards}
        change = 1 + max([-1, *(s.since for s in self.shards.values()), *(f.until for f in self.former)])
        current: dict[str, ShardRecord] = {}
        for name in self.order(shards):
            shard, known = wanted[name], self.shards.get(name)
            found = tuple(duplicates.get(name, ()))
            if known is not None and self.is_current(shard) and name not in stale:
                current[name] = replace(known, duplicates=found)
            else:
                current[name] = ShardRecord(shard.num_rows, shard.fingerprint, self._next_revision(name), change, found)
        gone = [
            FormerShard(name, known, change)
            for name, known in self.shards.items()
            if name not in current or current[name].revision != known.revision
        ]
        return ShardTable(current, (*self.former, *gone), speakers, columns, self.quality, self.voices)

    def _next_revision(self, name: str) -> int:
        known = [self.shards[name].revision] if name in self.shards else []
        return 1 + max([*known, *(former.record.revision for former in self.former if former.name == name)], default=-1)

    def leave(self) -> ShardTable:
        """Return the table in which all former shards are leaving: every current row is committed."""
        return replace(self, former=tuple(replace(former, is_leaving=True) for former in self.former))

    def holds(self, unit_id: str) -> bool:
        """Tell whether a unit is of a current shard."""
        return unit_id.rpartition("/")[0] in self._folders

    @cached_property
    def _folders(self) -> frozenset[str]:
        return frozenset(shard_folder(name, shard.revision) for name, shard in self.shards.items())


def format_shards(table: ShardTable) -> bytes:
    """Return the table as a Parquet file."""
    rows = [_to_row(name, shard) for name, shard in table.shards.items()]
    rows += [
        _to_row(former.name, former.record) | {"until": former.until, "is_leaving": former.is_leaving}
        for former in table.former
    ]
    metadata = {FORMAT_KEY: str(FORMAT_VERSION).encode()}
    if table.speakers is not None:
        metadata[_SPEAKERS_KEY] = json.dumps(table.speakers).encode()
    if table.columns is not None:
        metadata[_COLUMNS_KEY] = base64.b64encode(table.columns.serialize().to_pybytes())
    if table.quality is not None:
        metadata[_QUALITY_KEY] = json.dumps(table.quality).encode()
    if table.voices is not None:
        metadata[_VOICES_KEY] = json.dumps(table.voices).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, _SCHEMA.with_metadata(metadata)), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _to_row(name: str, shard: ShardRecord) -> dict[str, Any]:
    return {
        "shard": name,
        "num_rows": shard.num_rows,
        "fingerprint": shard.fingerprint,
        "revision": shard.revision,
        "since": shard.since,
        "until": None,
        "is_leaving": False,
        "duplicates": None if shard.duplicates is None else list(shard.duplicates),
    }


def parse_shards(data: bytes, place: str) -> ShardTable:
    """Read what `format_shards` wrote, or an older version.

    Raises:
        ValueError, pa.ArrowException, OSError: it is something else.
        ConfigError: a newer version wrote it.
    """
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        metadata = file.schema_arrow.metadata or {}
        version = int(metadata.get(FORMAT_KEY, b"0"))
        if version > FORMAT_VERSION:
            raise ConfigError(newer_format(place, version))
        expected = _SCHEMA if version >= 3 else _SCHEMA_OF_FORMAT_2
        if not file.schema_arrow.remove_metadata().equals(expected):
            raise pa.ArrowInvalid("its columns are not those of a table of shards")
        table = file.read(use_threads=False)
    table.validate(full=True)
    shards: dict[str, ShardRecord] = {}
    former = []
    for row in table.to_pylist():
        name, shard = check_path(row["shard"]), _from_row(row)
        if row.get("until") is not None:
            former.append(FormerShard(name, shard, row["until"], row["is_leaving"]))
        elif name in shards or shard.num_rows < 0:
            raise pa.ArrowInvalid("a shard is in it twice, or has less than no rows")
        else:
            shards[name] = shard
    columns = metadata.get(_COLUMNS_KEY)
    schema = None if columns is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(columns)))
    speakers, quality = (_parse(metadata.get(key), int | float) for key in (_SPEAKERS_KEY, _QUALITY_KEY))
    return ShardTable(shards, tuple(former), speakers, schema, quality, _parse(metadata.get(_VOICES_KEY), str))


def _from_row(row: Mapping[str, Any]) -> ShardRecord:
    duplicates = row.get("duplicates")
    return ShardRecord(
        row["num_rows"],
        row["fingerprint"],
        row.get("revision", 0),
        row.get("since", 0),
        None if duplicates is None else tuple(duplicates),
    )


def _parse(data: bytes | None, kind: Any) -> dict[str, Any] | None:
    if data is None:
        return None
    found = json.loads(data)
    if not isinstance(found, dict) or not all(isinstance(value, kind) for value in found.values()):
        raise ValueError("its speakers, limits or voices are not what stands under such names")
    return found
