"""What a run is, what of it is durable, and what is left; the metadata objects are the only truth.

Knows nothing of audio or replicas. A unit's metadata object is its commit: built in memory, put once. Only `amend`
replaces one, by compare-and-swap.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.audio.clips import suffix_of
from pipeline.errors import ConfigError, DamagedCommit
from pipeline.manifest.rows import WorkUnit, safe_file_name
from pipeline.manifest.shards import DAMAGED_PARQUET, REQUIRED_COLUMNS, Shard
from pipeline.output.lease import Lease, LeaseLost
from pipeline.output.run_record import compare, compare_shards, format_run, normalize_run, parse_run
from pipeline.storage import ObjectExists, PreconditionFailed, Storage

__all__ = [
    "COMMIT_SCHEMA",
    "CommitLog",
    "Lease",
    "LeaseLost",
    "OutputSummary",
    "build_commit_table",
    "map_ahead",
]

RUN_PATH, REPORT_PATH, SUCCESS_PATH, REPAIR_PATH = "run.json", "report.json", "_SUCCESS", "_REPAIRING"
_METADATA, _AUDIO, _SUFFIX = "metadata/", "audio/", ".parquet"
_MAX_STARTS = 20
_READ_THREADS = 8
Item = TypeVar("Item")
Result = TypeVar("Result")

COMMIT_SCHEMA = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("speaker_id", pa.string()),
        ("text", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        ("audio_uri", pa.string()),
        ("audio_sha256", pa.string()),
        ("sample_rate", pa.int32()),
        ("num_samples", pa.int64()),
        ("duration_s", pa.float64()),
        ("seed", pa.int64()),
        ("take", pa.int32()),
        ("num_segments", pa.int32()),
        ("num_semantic_tokens", pa.int32()),
        ("peak_dbfs", pa.float32()),
        ("rms_dbfs", pa.float32()),
        ("silence_ratio", pa.float32()),
        ("chars_per_s", pa.float32()),
        ("wer", pa.float32()),
        ("cer", pa.float32()),
        ("speaker_similarity", pa.float32()),
        ("recognized_text", pa.string()),
        ("quality_note", pa.string()),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        ("weights_sha256", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""Columns of every commit, in this order; the manifest's other columns follow."""


def build_commit_table(records: Sequence[Mapping[str, Any]], manifest_rows: pa.Table) -> pa.Table:
    """Make a unit's metadata.

    Args:
        records: one mapping a row with columns of `COMMIT_SCHEMA`; what is left out is null.
        manifest_rows: the same rows as in the manifest. Its own columns are passed through; a name that is taken gets
            the prefix `manifest_`.
    """
    if len(records) != manifest_rows.num_rows:
        raise ValueError(f"{len(records)} records for {manifest_rows.num_rows} manifest rows")
    table = pa.Table.from_pylist([dict(record) for record in records], COMMIT_SCHEMA)
    taken = {*COMMIT_SCHEMA.names, *manifest_rows.column_names}
    for name in manifest_rows.column_names:
        if name in REQUIRED_COLUMNS or name == "seed":
            continue  # Ours say the same; `seed` says what was used.
        new_name = name
        if name in COMMIT_SCHEMA.names:
            new_name = f"manifest_{name}"
            while new_name in taken:
                new_name = f"manifest_{new_name}"
            taken.add(new_name)
        table = table.append_column(manifest_rows.field(name).with_name(new_name), manifest_rows.column(name))
    return table


@dataclass(frozen=True)
class OutputSummary:
    """What the commits hold so far."""

    num_units: int = 0
    num_ok: int = 0
    num_rejected: int = 0
    rejected_by_code: Mapping[str, int] = field(default_factory=dict)
    audio_seconds: float = 0.0

    @property
    def num_rows(self) -> int:
        """Committed rows."""
        return self.num_ok + self.num_rejected


class CommitLog:
    """The record of one output. Thread-safe; pickles as its storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def begin(self, pinned: Mapping[str, Any], info: Mapping[str, Any], shards: Iterable[Shard]) -> None:
        """Start a run, or go on with it.

        Args:
            pinned: all that changes audio or plan; a resume must repeat it.
            info: the resolved config, versions, hardware; recorded with each start, of which the last 20 are kept.
            shards: new ones are added to the run.

        Raises:
            ConfigError: the output holds another run, lists every difference; or was made by a newer version.
        """
        pinned, wanted = normalize_run(pinned, shards)
        start = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **info}
        while True:
            found = self._read_run()
            try:
                if found is None:
                    self._refuse_foreign_commits()
                    self._put_run(pinned, wanted, [start], {}, {"if_absent": True})
                    return
                run, etag = found
                self._refuse_differences(run, pinned, wanted)
                starts = [*run.get("starts", ()), start][-_MAX_STARTS:]
                # In the order in which they joined the run: see `shard_order`.
                joined = {name: wanted[name] for name in run["shards"]} | wanted
                self._put_run(pinned, joined, starts, run.get("environments", {}), {"if_match": etag})
                return
            except (ObjectExists, PreconditionFailed):
                continue  # Another start was quicker: look at what it wrote.

    def check(self, pinned: Mapping[str, Any], shards: Iterable[Shard]) -> bool:
        """Refuse what `begin` would refuse; writes nothing.

        Returns:
            False where no run began here.

        Raises:
            ConfigError: the output holds another run, lists every difference; or was made by a newer version.
        """
        found = self._read_run()
        if found is not None:
            self._refuse_differences(found[0], *normalize_run(pinned, shards))
        return found is not None

    def add_to_start(self, facts: Mapping[str, Any]) -> None:
        """Add to the record of the last start, which is the caller's as long as it holds the lease."""
        while True:
            run, etag = self._read_run() or ({}, "")
            if not run.get("starts"):
                return
            starts = [*run["starts"][:-1], {**run["starts"][-1], **facts}]
            try:
                self._put_run(run["pinned"], run["shards"], starts, run.get("environments", {}), {"if_match": etag})
                return
            except PreconditionFailed:
                continue

    def add_environment(self, stage: str, environment: Mapping[str, Any], *, refuse: bool = False) -> list[str]:
        """Record what a replica's results depend on beside the settings; the run's first of each stage is the measure.

        Args:
            stage: whose.
            environment: as `describe_environment` returns it.
            refuse: do not record what is unlike, as nothing will be made on it.

        Returns:
            how it differs from the stage's first one; empty where it does not.
        """
        while True:
            run, etag = self._read_run() or ({}, "")
            environments = run.get("environments", {})
            known = environments.get(stage, [])
            differences = list(compare(known[0], environment)) if known else []
            if not run or environment in known or (differences and refuse):
                return differences
            environments = {**environments, stage: [*known, dict(environment)][:_MAX_STARTS]}
            try:
                self._put_run(run["pinned"], run["shards"], run.get("starts", []), environments, {"if_match": etag})
                return differences
            except PreconditionFailed:
                continue

    def _refuse_differences(self, run: Mapping[str, Any], pinned: Any, shards: Any) -> None:
        differences = [*compare(run["pinned"], pinned), *compare_shards(run["shards"], shards)]
        if differences:
            listed = "\n".join(f"  {text}" for text in differences[:50])
            rest = f"\n  and {len(differences) - 50:,} more" if len(differences) > 50 else ""
            raise ConfigError(
                f"{self._storage.uri}: this output was begun with other settings (old → new):\n{listed}{rest}\n"
                "go back to the old ones to resume, or choose another output"
            )

    def read_run(self) -> dict[str, Any]:
        """Return run.json.

        Raises:
            ConfigError: there is no run here, or one of a newer version.
        """
        found = self._read_run()
        if found is None:
            raise ConfigError(f"{self._storage.uri}: no {RUN_PATH}, so no run began here; check the output's address")
        return found[0]

    def shard_order(self) -> list[str]:
        """Return the shards' names in the order in which they joined the run; of two equal ids the earlier one's wins.

        Without it a new shard could make a duplicate of a row that is committed already.
        """
        return list(self.read_run()["shards"])

    def _read_run(self) -> tuple[dict[str, Any], str] | None:
        place = self._storage.uri_of(RUN_PATH)
        try:
            data, etag = self._storage.get_with_etag(RUN_PATH)
        except FileNotFoundError:
            return None
        return parse_run(data, place), etag

    def _put_run(self, pinned: Any, shards: Any, starts: Any, environments: Any, condition: dict[str, Any]) -> None:
        data = format_run(pinned, shards, starts, environments)
        self._storage.put(RUN_PATH, data, **condition)

    def _refuse_foreign_commits(self) -> None:
        stray = next(self._storage.list(_METADATA), None)
        if stray is not None:
            raise ConfigError(
                f"{self._storage.uri}: holds {stray.path} but no {RUN_PATH}, so nobody knows how it was made; put "
                f"{RUN_PATH} back, or choose another output"
            )

    @staticmethod
    def metadata_path(unit: WorkUnit) -> str:
        """Return where a unit's commit is."""
        return f"{_METADATA}{unit.unit_id}{_SUFFIX}"

    @staticmethod
    def audio_path(shard: str, utterance_id: str, sha256: str) -> str:
        """Return where a WAV is; its content is part of the name, so other bytes never replace it."""
        return f"{_AUDIO}{shard}/{safe_file_name(utterance_id)}.{sha256[:12]}{suffix_of('wav')}"

    def put_audio(self, shard: str, utterance_id: str, wav: bytes) -> tuple[str, str]:
        """Write a WAV; it counts once a commit names it.

        Returns:
            its path below the output, and the sha256 of its bytes in hexadecimal.
        """
        sha256 = hashlib.sha256(wav).hexdigest()
        path = self.audio_path(shard, utterance_id, sha256)
        self._storage.put(path, wav)
        return path, sha256

    def commit(self, unit: WorkUnit, table: pa.Table) -> bool:
        """Make a unit durable; its WAVs must be so already.

        Returns:
            False where the unit has a commit already, which stays as it is.
        """
        rows = table.column("row").to_pylist()
        if rows != list(range(unit.first_row, unit.last_row + 1)):
            raise ValueError(f"{unit.unit_id}: a commit holds every row of its unit, in order")
        try:
            self._storage.put(self.metadata_path(unit), _to_parquet(table), if_absent=True)
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
        path = self.metadata_path(unit)
        while True:
            data, etag = self._storage.get_with_etag(path)
            old = self._parse(path, data, None)
            by_row = {record["row"]: record for record in records}
            merged = old.select(COMMIT_SCHEMA.names).to_pylist()
            merged = [by_row.get(row["row"], row) for row in merged]
            table = pa.Table.from_pylist([dict(row) for row in merged], COMMIT_SCHEMA)
            for name in old.column_names[len(COMMIT_SCHEMA.names) :]:
                table = table.append_column(old.field(name), old.column(name))
            # When a row was made, and where an output was before it was moved, is no reason to replace a commit.
            if table.drop_columns(["created_at", "audio_uri"]).equals(old.drop_columns(["created_at", "audio_uri"])):
                return False
            try:
                self._storage.put(path, _to_parquet(table), if_match=etag)
                return True
            except PreconditionFailed:
                continue  # Somebody else changed it: what they say of the other rows must stay.

    def committed(self) -> set[str]:
        """List the ids of the units that are done."""
        return set(self.list_units())

    def read_commit(self, unit: WorkUnit, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a unit's metadata. Raises `FileNotFoundError` where it is not committed."""
        return self._read(unit.unit_id, columns)

    def iter_metadata(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the commits one by one, a few read ahead; only these columns, where a commit has them."""
        yield from map_ahead(lambda unit_id: self._read(unit_id, columns), self.list_units())

    def summarize(self) -> OutputSummary:
        """Count rows, reasons and audio of all commits; streams."""
        num_units = num_ok = 0
        seconds = 0.0
        codes: Counter[str] = Counter()
        for table in self.iter_metadata(["status", "error_code", "duration_s"]):
            num_units += 1
            statuses = table.column("status").to_pylist()
            num_ok += statuses.count("ok")
            pairs = zip(statuses, table.column("error_code").to_pylist(), strict=True)
            codes.update(str(code) for status, code in pairs if status != "ok")
            seconds += sum(duration or 0.0 for duration in table.column("duration_s").to_pylist())
        return OutputSummary(num_units, num_ok, codes.total(), dict(codes.most_common()), seconds)

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
        prefix = f"{_METADATA}{shard}/" if shard else _METADATA
        for info in self._storage.list(prefix):
            if info.path.endswith(_SUFFIX):
                yield info.path.removeprefix(_METADATA).removesuffix(_SUFFIX)

    def _read(self, unit_id: str, columns: Sequence[str] | None) -> pa.Table:
        path = f"{_METADATA}{unit_id}{_SUFFIX}"
        return self._parse(path, self._storage.get(path), columns)

    def _parse(self, path: str, data: bytes, columns: Sequence[str] | None) -> pa.Table:
        try:
            with pq.ParquetFile(pa.BufferReader(data)) as file:
                found = file.schema_arrow
                ours = pa.schema(list(found)[: len(COMMIT_SCHEMA)])
                if not ours.equals(COMMIT_SCHEMA) or len({*found.names}) < len(found):
                    raise pa.ArrowInvalid("its columns are not those of a commit")
                names = None if columns is None else [name for name in columns if name in found.names]
                table = file.read(names, use_threads=False)
            table.validate(full=True)  # Parquet does not check that text is UTF-8.
        except DAMAGED_PARQUET as error:
            detail = " ".join(str(error).split())[:200]
            raise DamagedCommit(
                f"{self._storage.uri_of(path)}: not a readable commit ({detail}); run jobs.verify --repair, "
                "which makes the unit again"
            ) from error
        return table


def _to_parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


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
