"""The table of voices (speakers.parquet), as far as an output itself needs it: who is in it, and how somebody leaves.

What a voice is made of is `pipeline.synthesis.speakers`' business; here its columns are passed on as they are.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.storage import PreconditionFailed, Storage

SPEAKERS_PATH = "speakers.parquet"


def list_enrolled(storage: Storage) -> list[str]:
    """Return the ids of the speakers that are enrolled; raises `ConfigError` where the table is damaged."""
    table, _ = _read(storage)
    return [] if table is None else [str(name) for name in table.column("speaker_id").to_pylist()]


def read_terms(storage: Storage) -> dict[str, dict[str, Any]]:
    """Return `kind`, `license` and `consent` of each enrolled speaker; raises as `list_enrolled`."""
    table, _ = _read(storage)
    if table is None:
        return {}
    names = [name for name in ("kind", "license", "consent") if name in table.column_names]
    return dict(zip(table.column("speaker_id").to_pylist(), table.select(names).to_pylist(), strict=True))


def drop_speakers(storage: Storage, speakers: Collection[str]) -> None:
    """Take speakers out of the table, by compare-and-swap; raises `ConfigError` where it is damaged."""
    while True:
        table, etag = _read(storage)
        if table is None:
            return
        is_leaving = pc.is_in(table.column("speaker_id"), pa.array(sorted(speakers), pa.string()))
        if not pc.any(is_leaving).as_py():
            return
        sink = pa.BufferOutputStream()
        pq.write_table(table.filter(pc.invert(is_leaving)), sink)
        try:
            storage.put(SPEAKERS_PATH, bytes(sink.getvalue().to_pybytes()), if_match=etag)
            return
        except PreconditionFailed:
            continue


def _read(storage: Storage) -> tuple[pa.Table | None, str | None]:
    try:
        data, etag = storage.get_with_etag(SPEAKERS_PATH)
    except FileNotFoundError:
        return None, None
    try:
        table = pq.read_table(pa.BufferReader(data))
        if "speaker_id" not in table.column_names:
            raise pa.ArrowInvalid("it has no column speaker_id")
        return table, etag
    except DAMAGED_PARQUET as error:
        raise ConfigError(
            f"{storage.uri_of(SPEAKERS_PATH)}: damaged ({' '.join(str(error).split())[:200]}); restore it from a backup"
        ) from error
