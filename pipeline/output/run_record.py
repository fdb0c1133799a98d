"""run.json: what a run is, checked whenever it is read, as people edit it and disks fail; and how two runs differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pipeline.config.settings import canonical_json
from pipeline.errors import ConfigError
from pipeline.manifest.shards import Shard
from pipeline.storage import check_path

FORMAT_VERSION = 1


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Pinned(_Record):
    unit_size: int = Field(ge=1)


class _Shard(_Record):
    num_rows: int = Field(ge=0)
    fingerprint: str


class _Run(_Record):
    format_version: int
    pinned: _Pinned
    num_rows: int = Field(ge=0)
    shards: dict[Annotated[str, AfterValidator(check_path)], _Shard]
    starts: list[dict[str, Any]] = []
    environments: dict[str, list[dict[str, Any]]] = {}


def parse_run(data: bytes, place: str) -> dict[str, Any]:
    """Return what run.json says.

    Args:
        data: its bytes.
        place: where it is, for messages.

    Raises:
        ConfigError: it is of a newer version, or no run.json of ours.
    """
    remedy = "put back a copy of it, or choose another output"
    try:
        run = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place}: not a run of this program ({str(error)[:100]}); {remedy}") from None
    version = run.get("format_version") if isinstance(run, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ConfigError(
            f"{place}: format_version {version}, but this version knows up to {FORMAT_VERSION}; upgrade "
            "spark-tts-batch, or choose another output"
        )
    try:
        _Run.model_validate(run)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        told = f"{name + ': ' if name else ''}{problem['msg']}"[:200]
        raise ConfigError(f"{place}: not a run of this program ({told}); {remedy}") from None
    return dict(run)


def format_run(pinned: Any, shards: Any, starts: Any, environments: Any) -> bytes:
    """Return run.json's bytes."""
    run = {
        "format_version": FORMAT_VERSION,
        "fingerprint": hashlib.sha256(canonical_json(pinned).encode()).hexdigest(),
        "pinned": pinned,
        "num_rows": sum(shard["num_rows"] for shard in shards.values()),
        "shards": shards,
        "starts": starts,
        "environments": environments,
    }
    return json.dumps(run, indent=1, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")


def normalize_run(pinned: Mapping[str, Any], shards: Iterable[Shard]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return both as run.json would give them back."""
    described = {shard.name: {"num_rows": shard.num_rows, "fingerprint": shard.fingerprint} for shard in shards}
    return json.loads(canonical_json(dict(pinned))), described


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a text for each name that two mappings disagree on."""
    for name in sorted({*old, *new}):
        before, after = (canonical_json(side[name]) if name in side else "(absent)" for side in (old, new))
        if before != after:
            yield f"{name}: {before} → {after}"


def compare_shards(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a text for each old shard that is not as it was."""
    for name, before in sorted(old.items()):
        after = new.get(name)
        if after is None:
            yield f"shard {name}: {before['num_rows']:,} rows → missing from the manifest"
        elif after["num_rows"] != before["num_rows"]:
            yield f"shard {name}: {before['num_rows']:,} rows → {after['num_rows']:,} rows; add rows as new shards"
        elif after["fingerprint"] != before["fingerprint"]:
            yield f"shard {name}: content {before['fingerprint']:.24}... → {after['fingerprint']:.24}..."
