"""Who and what was withdrawn from an output (removed.parquet): obeyed by whoever synthesizes, never taken back.

Replicas read it when they start, which is in time: a removal holds the lease that a run needs. Knows nothing of how a
removal is carried out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.storage import ObjectExists, PreconditionFailed, Storage

REMOVED_PATH = "removed.parquet"
Kind = Literal["utterance", "speaker"]
_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("removed_at", pa.timestamp("us", tz="UTC"), nullable=False),
        # False until nothing of it is left.
        pa.field("is_carried_out", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Tombstone:
    """One id that was withdrawn."""

    kind: Kind
    id: str
    reason: str
    removed_at: datetime
    is_carried_out: bool = False


@dataclass(frozen=True)
class Tombstones:
    """All of an output.

    Example:
        >>> tombstones = Tombstones.read(storage)
        >>> tombstones.reason_for({"utterance_id": "a", "speaker_id": "ross"})
        'withdrew his consent'
    """

    stones: Mapping[tuple[Kind, str], Tombstone] = field(default_factory=dict)
    """By kind and id."""

    @classmethod
    def read(cls, storage: Storage) -> Tombstones:
        """Read those of an output; none where nothing was ever removed.

        Raises:
            ConfigError: the object is damaged.
        """
        return cls._read(storage)[0]

    @classmethod
    def _read(cls, storage: Storage) -> tuple[Tombstones, str | None]:
        try:
            data, etag = storage.get_with_etag(REMOVED_PATH)
        except FileNotFoundError:
            return cls(), None
        try:
            table = pq.read_table(pa.BufferReader(data))
            if not table.schema.remove_metadata().equals(_SCHEMA):
                raise pa.ArrowInvalid("its columns are not those of a table of what was removed")
            table.validate(full=True)
            found = [Tombstone(**row) for row in table.to_pylist()]
        except DAMAGED_PARQUET as error:
            # Without it, what was withdrawn would be synthesized again.
            raise ConfigError(
                f"{storage.uri_of(REMOVED_PATH)}: damaged ({' '.join(str(error).split())[:200]}); put back a copy of it"
            ) from error
        return cls({(stone.kind, stone.id): stone for stone in found}), etag

    @classmethod
    def add(cls, storage: Storage, stones: Iterable[Tombstone]) -> Tombstones:
        """Write more of them, by compare-and-swap; one that is there already stays, with its reason."""
        return cls._change(storage, lambda known: {**{(stone.kind, stone.id): stone for stone in stones}, **known})

    @classmethod
    def carried_out(cls, storage: Storage) -> Tombstones:
        """Note that nothing is left of what they name."""
        return cls._change(
            storage, lambda known: {key: replace(stone, is_carried_out=True) for key, stone in known.items()}
        )

    @classmethod
    def _change(cls, storage: Storage, change: Any) -> Tombstones:
        while True:
            known, etag = cls._read(storage)
            changed = cls(change(known.stones))
            if changed == known:
                return known
            condition: dict[str, Any] = {"if_absent": True} if etag is None else {"if_match": etag}
            try:
                storage.put(REMOVED_PATH, changed._to_parquet(), **condition)
                return changed
            except (ObjectExists, PreconditionFailed):
                continue

    def _to_parquet(self) -> bytes:
        rows = [
            {name: getattr(self.stones[key], name) for name in _SCHEMA.names}
            for key in sorted(self.stones, key=lambda key: (key[0], key[1]))
        ]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), sink, compression="zstd")
        return bytes(sink.getvalue().to_pybytes())

    def reason_for(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row with this `utterance_id` and `speaker_id` was removed; None where it was not."""
        stone = self.stones.get(("utterance", row["utterance_id"])) or self.stones.get(("speaker", row["speaker_id"]))
        return None if stone is None else stone.reason

    def ids(self, kind: Kind) -> frozenset[str]:
        """Return the ids of one kind."""
        return frozenset(stone_id for stone_kind, stone_id in self.stones if stone_kind == kind)

    @property
    def is_carried_out(self) -> bool:
        """Whether nothing is left of what they name."""
        return all(stone.is_carried_out for stone in self.stones.values())


def make_tombstones(kind: Kind, ids: Collection[str], reason: str) -> list[Tombstone]:
    """Return what is to be written for ids that are withdrawn now."""
    now = datetime.now(UTC)
    return [Tombstone(kind, stone_id, reason, now) for stone_id in ids]
