"""The table of voices (speakers.parquet), as far as an output itself needs it: who is in it, and how somebody leaves.

What a voice is made of is `pipeline.synthesis.speakers`' business; here its columns are passed on as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.settings import canonical_json
from pipeline.errors import ConfigError
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.storage import PreconditionFailed, Storage

SPEAKERS_PATH = "speakers.parquet"
VOICE_COLUMNS = (
    "global_tokens",
    "reference_text",
    "reference_semantic_tokens",
    "gender",
    "pitch",
    "speed",
    "pitch_value",
    "speed_value",
)
"""What a voice is; the others say where it comes from."""


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


def hash_voice(generation: int, voice: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal voices: how often it was replaced, and the hash of `VOICE_COLUMNS`."""
    return f"{generation}-{hashlib.sha256(canonical_json(voice).encode()).hexdigest()[:16]}"


def hash_voices(storage: Storage) -> dict[str, str]:
    """Return `hash_voice` of each enrolled speaker; raises as `list_enrolled`."""
    table, _ = _read(storage)
    hashes = {}
    for row in [] if table is None else table.to_pylist():
        voice = {name: row.get(name) for name in VOICE_COLUMNS}
        hashes[str(row["speaker_id"])] = hash_voice(row.get("generation") or 0, voice)
    return hashes


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
