"""What a run is: its pinned settings and starts (run.json), its shards (shards.parquet), its environments.

Three objects, since the first and last are read whenever a replica starts and must not grow with the manifest. Each is
checked whenever it is read, as people edit them and disks fail. Knows nothing of commits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.config.printable import to_json
from pipeline.config.quality import QUALITY_LIMITS
from pipeline.config.settings import canonical_json
from pipeline.errors import ConfigError
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.output.records import FORMAT_VERSION, newer_format
from pipeline.output.shard_table import ShardRecord, ShardTable, format_shards, parse_shards
from pipeline.storage import ObjectExists, PreconditionFailed, Storage, check_path

RUN_PATH, SHARDS_PATH, ENVIRONMENTS_PATH = "run.json", "shards.parquet", "environments.json"
_MAX_STARTS = 20
_FREE = frozenset(f"quality.{name}" for name in QUALITY_LIMITS)
_REMEDY = "put back a copy of it, or choose another output"


@dataclass(frozen=True)
class Run:
    """What run.json says."""

    pinned: Mapping[str, Any]
    """All that changes audio or plan."""
    starts: list[dict[str, Any]] = field(default_factory=list)
    """The last 20: when, with which config and versions, how fast."""

    @property
    def unit_size(self) -> int:
        """Rows of a unit."""
        return int(self.pinned["unit_size"])


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Pinned(_Checked):
    unit_size: int = Field(ge=1)


class _RunFile(_Checked):
    format_version: int
    pinned: _Pinned
    starts: list[dict[str, Any]] = []


class _ShardOfFormat1(_Checked):
    num_rows: int = Field(ge=0)
    fingerprint: str


class _Format1(_RunFile):
    num_rows: int = Field(ge=0)
    shards: dict[str, _ShardOfFormat1]
    grounds: dict[str, list[dict[str, Any]]] = {}


_ENVIRONMENTS = TypeAdapter(dict[str, list[dict[str, Any]]])


class RunRecord:
    """The record of one output's run. Thread-safe; pickles as its storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def begin(self, pinned: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Start a run, or go on with it; brings the record of an older format up to this one.

        Args:
            pinned: all that changes audio or plan; a resume must repeat it.
            info: the resolved config, versions, hardware; recorded with each start, of which the last 20 are kept.

        Raises:
            ConfigError: the output holds another run, lists every difference; or was made by a newer version.
        """
        pinned = _as_read(pinned)
        start = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **info}
        while True:
            found = self._read()
            try:
                if found is None:
                    self._refuse_foreign_commits()
                    self._put(Run(pinned, [start]), {"if_absent": True})
                    return
                self._refuse_differences(found.run, pinned)
                table, etag = self._read_table(found)  # Before anything is written: it may be damaged.
                if found.format_1 is not None and etag is None:
                    self._storage.put(SHARDS_PATH, format_shards(table), if_absent=True)
                if found.format_1 is not None:
                    self._storage.put(ENVIRONMENTS_PATH, _to_json(found.format_1.grounds))
                self._put(Run(pinned, [*found.run.starts, start][-_MAX_STARTS:]), {"if_match": found.etag})
                return
            except (ObjectExists, PreconditionFailed):
                continue  # Another start was quicker: look at what it wrote.

    def check(self, pinned: Mapping[str, Any]) -> bool:
        """Refuse what `begin` would refuse; writes nothing.

        Returns:
            False where no run began here.

        Raises:
            ConfigError: the output holds another run, lists every difference; or was made by a newer version.
        """
        found = self._read()
        if found is None:
            self._refuse_foreign_commits()
            return False
        self._refuse_differences(found.run, _as_read(pinned))
        return True

    def find(self) -> Run | None:
        """Return run.json, or None where no run began here; raises as `read` does."""
        found = self._read()
        return None if found is None else found.run

    def read(self) -> Run:
        """Return run.json.

        Raises:
            ConfigError: there is no run here, one of a newer version, or run.json is damaged.
        """
        return self._require().run

    def read_shards(self) -> Mapping[str, ShardRecord]:
        """Return the shards of the manifest that the output holds, or is being brought to; raises as `read_table`."""
        return self.read_table().shards

    def read_table(self) -> ShardTable:
        """Return the shards of the manifest, and those whose commits are still to go.

        Raises:
            ConfigError: there is no run here, or its table of shards is missing or damaged.
        """
        return self._read_table(self._require())[0]

    def write_table(self, table: ShardTable) -> None:
        """Replace the table of shards; the caller holds the lease, so that nobody else does."""
        _, etag = self._read_table(self._require())
        condition: dict[str, Any] = {"if_match": etag} if etag else {"if_absent": True}
        self._storage.put(SHARDS_PATH, format_shards(table), **condition)

    def read_environments(self) -> dict[str, list[dict[str, Any]]]:
        """Return what replicas reported that bytes depend on, by stage; the first of each stage is the measure.

        Raises:
            ConfigError: the object is damaged.
        """
        return self._read_environments()[0]

    def add_to_start(self, facts: Mapping[str, Any]) -> None:
        """Add to the record of the last start, which is the caller's as long as it holds the lease."""
        while True:
            found = self._read()
            if found is None or not found.run.starts:
                return
            starts = [*found.run.starts[:-1], {**found.run.starts[-1], **facts}]
            try:
                self._put(Run(found.run.pinned, starts), {"if_match": found.etag})
                return
            except PreconditionFailed:
                continue

    def add_environment(self, stage: str, environment: Mapping[str, Any], *, refuse: bool = False) -> list[str]:
        """Record what a replica's results depend on beside the settings.

        Args:
            stage: whose.
            environment: as `describe_environment` returns it.
            refuse: do not record one that differs, as nothing will be made in it.

        Returns:
            how it differs from the stage's first one; empty where it does not.
        """
        while True:
            environments, etag = self._read_environments()
            known = environments.get(stage, [])
            differences = list(compare(known[0], environment)) if known else []
            if environment in known or (differences and refuse):
                return differences
            environments = {**environments, stage: [*known, dict(environment)][:_MAX_STARTS]}
            condition: dict[str, Any] = {"if_absent": True} if etag is None else {"if_match": etag}
            try:
                self._storage.put(ENVIRONMENTS_PATH, _to_json(environments), **condition)
                return differences
            except (ObjectExists, PreconditionFailed):
                continue

    def compare_environment(self, stage: str, environment: Mapping[str, Any]) -> list[str]:
        """Return what `add_environment` would return; records nothing."""
        known = self.read_environments().get(stage, [])
        return list(compare(known[0], environment)) if known else []

    def _require(self) -> _Found:
        found = self._read()
        if found is None:
            raise ConfigError(f"{self._storage.uri}: no {RUN_PATH}, so no run began here; {self._advise()}")
        return found

    def _advise(self) -> str:
        """Return where to look instead: the corpus of a data set has its run's output in a folder."""
        inner = f"{self._storage.uri.rstrip('/')}/output"
        if self._storage.exists(f"output/{RUN_PATH}"):
            return f"one did in {inner}: name that"
        return "check the output's address"

    def _read(self) -> _Found | None:
        try:
            data, etag = self._storage.get_with_etag(RUN_PATH)
        except FileNotFoundError:
            return None
        return _parse_run(data, etag, self._storage.uri_of(RUN_PATH))

    def _put(self, run: Run, condition: dict[str, Any]) -> None:
        data = {
            "format_version": FORMAT_VERSION,
            "fingerprint": hashlib.sha256(canonical_json(dict(run.pinned)).encode()).hexdigest(),
            "pinned": run.pinned,
            "starts": run.starts,
        }
        self._storage.put(RUN_PATH, _to_json(data), **condition)

    def _read_table(self, found: _Found) -> tuple[ShardTable, str | None]:
        """Return the table with its object's etag; None where that is not there: in format 1, run.json has it."""
        place = self._storage.uri_of(SHARDS_PATH)
        try:
            data, etag = self._storage.get_with_etag(SHARDS_PATH)
        except FileNotFoundError:
            if found.format_1 is not None:
                old = found.format_1.shards.items()
                shards = {name: ShardRecord(shard.num_rows, shard.fingerprint, duplicates=None) for name, shard in old}
                return ShardTable(shards), None
            if (commit := next(self._storage.list("metadata/"), None)) is not None:
                raise ConfigError(f"{place}: missing, though {commit.path} is there; {_REMEDY}") from None
            return ShardTable(), None  # The first start was killed after it wrote run.json.
        try:
            return parse_shards(data, place), etag
        except (ValueError, *DAMAGED_PARQUET) as error:
            raise _not_ours(place, error) from None

    def _read_environments(self) -> tuple[dict[str, list[dict[str, Any]]], str | None]:
        try:
            data, etag = self._storage.get_with_etag(ENVIRONMENTS_PATH)
        except FileNotFoundError:
            found = self._read()
            return (found.format_1.grounds if found is not None and found.format_1 is not None else {}), None
        place = self._storage.uri_of(ENVIRONMENTS_PATH)
        try:
            return _ENVIRONMENTS.validate_python(_parse_json(data, place), strict=True), etag
        except ValidationError as error:
            raise _not_ours(place, error) from None

    def _refuse_differences(self, run: Run, pinned: Mapping[str, Any]) -> None:
        # Earlier versions pinned limits that are free now.
        known = {name: value for name, value in run.pinned.items() if name in pinned or name not in _FREE}
        differences = [*compare(known, pinned)]
        if differences:
            listed = "\n".join(f"  {text}" for text in differences[:50])
            rest = f"\n  and {len(differences) - 50:,} more" if len(differences) > 50 else ""
            raise ConfigError(
                f"{self._storage.uri}: this output was begun with other settings (old → new):\n{listed}{rest}\n"
                "go back to the old ones to resume, or choose another output"
            )

    def _refuse_foreign_commits(self) -> None:
        stray = next(self._storage.list("metadata/"), None)
        if stray is not None:
            raise ConfigError(
                f"{self._storage.uri}: holds {stray.path} but no {RUN_PATH}, so nobody knows how it was made; put "
                f"{RUN_PATH} back, or choose another output"
            )


@dataclass(frozen=True)
class _Found:
    run: Run
    etag: str
    format_1: _Format1 | None = None


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a text for each name that two mappings disagree on."""
    for name in sorted({*old, *new}):
        before, after = (canonical_json(side[name]) if name in side else "(absent)" for side in (old, new))
        if before != after:
            yield f"{name}: {before} → {after}"


def _as_read(pinned: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as run.json would give them back."""
    read: dict[str, Any] = json.loads(canonical_json(dict(pinned)))
    return read


def _parse_run(data: bytes, etag: str, place: str) -> _Found:
    run = _parse_json(data, place)
    version = run.get("format_version") if isinstance(run, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ConfigError(newer_format(place, version))
    try:
        if version == 1:
            old = _Format1.model_validate(run)
            for name in old.shards:
                check_path(name)
            return _Found(Run(run["pinned"], [_rename_speed(start) for start in old.starts]), etag, old)
        _RunFile.model_validate(run)
    except (ValidationError, ValueError) as error:
        raise _not_ours(place, error) from None
    return _Found(Run(run["pinned"], run.get("starts", [])), etag)


def _rename_speed(start: Mapping[str, Any]) -> dict[str, Any]:
    return {("synthesized" if name == "voiced" else name): value for name, value in start.items()}


def _to_json(value: Any) -> bytes:
    return to_json(value, indent=1, default=str).encode("utf-8", "surrogatepass")


def _parse_json(data: bytes, place: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _not_ours(place, error) from None


def _not_ours(place: str, error: Exception) -> ConfigError:
    detail = " ".join(str(error).split())[:200]
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        detail = f"{name + ': ' if name else ''}{problem['msg']}"[:200]
    return ConfigError(f"{place}: not a run of this program ({detail}); {_REMEDY}")
