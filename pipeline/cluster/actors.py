"""The Ray actors: LLM, codec and writer replicas, each a thin shell around one stage.

A replica loads its network in `start`, so that a failure there arrives as an error with a message, not as a dead actor.
Large results stay in Ray's object store; the coordinator sees only the small report returned beside them.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from pipeline.audio.samples import measure
from pipeline.cluster.metrics import SlotMetrics
from pipeline.config.run import Config
from pipeline.config.secrets import redact
from pipeline.errors import RejectionCode, UtteranceError, WeightsError
from pipeline.manifest.rows import Manifest, WorkUnit, read_utterance
from pipeline.manifest.shards import OWN_COLUMNS, REQUIRED_COLUMNS
from pipeline.output.commit_log import CommitLog, Lease, build_commit_table
from pipeline.output.environment import describe_environment
from pipeline.storage import open_storage
from pipeline.synthesis.speakers import SpeakerRegistry
from pipeline.synthesis.takes import (
    Rejection,
    SegmentAudio,
    UtteranceTakes,
    Wanted,
    describe_hearing,
    finish_audio,
    next_takes,
    utterance_seed,
)

if TYPE_CHECKING:  # These load torch, which the driver and the writers do without.
    from pipeline.synthesis.stages import UtteranceJob

logger = logging.getLogger(__name__)

UnitTakes = list[UtteranceTakes]
UnitAudio = list[tuple[int, SegmentAudio]]


@dataclass(frozen=True)
class ReplicaSetup:
    """What every replica is told when it is created."""

    config: Config
    manifest: Manifest
    lexicon: Mapping[str, str]
    weights_sha256: str
    num_threads: int
    networks: Networks | None = None
    """In place of those of the weights."""


@dataclass(frozen=True)
class Networks:
    """Where replicas get their networks from; other ones than the weights' measure a run without them."""

    load_engine: Callable[[Config, Path], Any]
    load_codec: Callable[[Config, Path], Any]


@dataclass(frozen=True)
class ReplicaInfo:
    """Where a replica runs."""

    host: str
    pid: int
    device: str
    num_threads: int
    environment: Mapping[str, Any] = field(default_factory=dict)
    """What its results depend on beside the settings."""


@dataclass(frozen=True)
class DecodeReport:
    """What the coordinator must know of a decoded part."""

    wanted: Wanted
    """Takes to make again."""
    sample_rate: int


@dataclass(frozen=True)
class UnitReceipt:
    """What one commit added to the run."""

    unit_id: str
    num_ok: int
    rejected: Mapping[str, int]
    audio_s: float
    num_retakes: int
    committed: bool
    """False if another driver had committed the unit already."""
    examples: Sequence[tuple[str, str, str]] = field(default_factory=tuple)
    """(utterance_id, code, message) of the first few rejections."""


def locate_process() -> str:
    """Return process, host and, where it can be told, the file that this process's errors go to."""
    place = f"process {os.getpid()} on {socket.gethostname()}"
    with suppress(OSError):
        log = os.readlink("/proc/self/fd/2")
        if log.startswith("/"):
            place += f", log {log}"
    return place


@contextmanager
def stack_in_log(timeout_s: float) -> Iterator[None]:
    """Write every thread's stack to the log shortly before the block has taken `timeout_s` and its process is ended."""
    # A thread of C's own: it also writes while something holds on to the interpreter.
    faulthandler.dump_traceback_later(0.9 * timeout_s, file=2)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class _Replica:
    """What the coordinator asks of every replica beside its work."""

    _setup: ReplicaSetup

    def locate(self) -> str:
        """Tell where this replica runs; answered as soon as its process is there."""
        return locate_process()

    def start(self) -> ReplicaInfo:
        """Get ready to work."""
        with stack_in_log(self._setup.config.replicas.start_timeout_s):
            return self._load()

    def _load(self) -> ReplicaInfo:
        raise NotImplementedError


def _describe_replica(stage: str, num_threads: int, device: str, dtype: str, **chosen: int) -> ReplicaInfo:
    """Describe a replica; `chosen` is what it settled by itself and takes depend on."""
    environment = {**describe_environment(stage, device, dtype.removeprefix("torch."), num_threads), **chosen}
    return ReplicaInfo(socket.gethostname(), os.getpid(), device, num_threads, environment)


def load_networks(setup: ReplicaSetup) -> Networks:
    """Return where this replica's networks come from."""
    if setup.networks is not None:
        return setup.networks
    from pipeline.synthesis.stages import load_codec, load_engine

    return Networks(load_engine, load_codec)


def find_weights(setup: ReplicaSetup) -> Path:
    """Return this machine's copy of the weights, which must be the driver's bit for bit."""
    from pipeline.weights.weights import fingerprint_weights, resolve_weights

    config = setup.config
    weights_dir = resolve_weights(config.weights, storage=config.storage)
    found = fingerprint_weights(weights_dir)
    if found != setup.weights_sha256:
        raise WeightsError(
            f"{weights_dir} on {socket.gethostname()}: sha256 {found[:12]}, but the run has "
            f"{setup.weights_sha256[:12]}; copy the same files to every machine, or name a revision "
            "(hf://owner/name@revision) in `weights`"
        )
    return weights_dir


def set_torch_threads(num_threads: int) -> None:
    """Give torch the threads that this replica's CPUs allow."""
    import torch

    torch.set_num_threads(num_threads)


def internal_error(error: BaseException) -> Rejection:
    """Turn a failure that nobody foresaw into a row's rejection."""
    return Rejection(RejectionCode.INTERNAL_ERROR, redact(f"{type(error).__name__}: {error}")[:1_000])


@ray.remote(max_restarts=0)
class LLMActor(_Replica):
    """Text to semantic tokens; several units at a time share its slots."""

    def __init__(self, setup: ReplicaSetup) -> None:
        self._setup = setup
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._num_steps = 0

    def _load(self) -> ReplicaInfo:
        """Load the network and begin to serve."""
        from pipeline.synthesis.stages import TokenStage

        set_torch_threads(self._setup.num_threads)
        config = self._setup.config
        engine = load_networks(self._setup).load_engine(config, find_weights(self._setup))
        speakers = open_storage(config.output, config.storage).get("speakers.parquet")
        self._engine, self._slots = engine, SlotMetrics(engine.num_slots)
        self._stage = TokenStage(config, engine, SpeakerRegistry.from_parquet(speakers), self._setup.lexicon)
        threading.Thread(target=self._serve, name="llm-engine", daemon=True).start()
        chosen = {"slots": engine.num_slots} if config.llm.slots == "auto" else {}
        return _describe_replica("llm", self._setup.num_threads, str(engine.device), str(engine.dtype), **chosen)

    def heartbeat(self) -> int:
        """Return a number that grows while work goes on: rows prepared and tokens made."""
        return self._num_steps

    def generate(self, unit: WorkUnit, skipped: frozenset[int], wanted: Wanted | None) -> tuple[UnitTakes, int]:
        """Make takes for a unit.

        Args:
            unit: the rows.
            skipped: rows that are not to be synthesized.
            wanted: takes to make, by row and segment; none means every row from take 0 on.

        Returns:
            the takes, and how many there are.
        """
        rows = self._setup.manifest.read_rows(unit, OWN_COLUMNS).to_pylist()
        results: UnitTakes = []
        jobs: list[UtteranceJob] = []
        for row, fields in enumerate(rows, start=unit.first_row):
            if row in skipped or (wanted is not None and row not in wanted):
                continue
            self._num_steps += 1
            seed: int | None = None
            try:
                utterance = read_utterance(fields)
                seed = utterance_seed(utterance, self._setup.config.seed)
                job = self._stage.prepare(row, utterance, wanted[row] if wanted else None)
            except UtteranceError as error:
                results.append(UtteranceTakes(row, seed, 0, rejection=Rejection.from_error(error)))
                continue
            except Exception as error:  # The one place where a failure of a single row becomes its record.
                logger.exception("row %d of %s", row, unit.shard)
                results.append(UtteranceTakes(row, seed, 0, rejection=internal_error(error)))
                continue
            job.owner = Future()
            jobs.append(job)
        for job in self._stage.longest_first(jobs):
            self._inbox.put(job)
        results += [job.owner.result() for job in jobs]
        return results, sum(len(result.takes) for result in results)

    def _serve(self) -> None:
        """Own the engine: take in jobs, step, hand out results; ends only with the process."""
        try:
            while True:
                while not self._inbox.empty() or not self._stage.has_work:
                    self._stage.start(self._inbox.get())
                ended = self._stage.step()
                self._num_steps += 1
                self._slots.add_step(self._engine.num_active)
                for job in ended:
                    job.owner.set_result(job.result)
        except BaseException:
            # An engine in an unknown state must not answer again: the coordinator replaces the process, and finds
            # the row that did it if one did.
            logger.exception("the engine failed; this replica ends")
            os._exit(1)


@ray.remote(max_restarts=0)
class CodecActor(_Replica):
    """Semantic tokens to judged audio."""

    def __init__(self, setup: ReplicaSetup) -> None:
        self._setup = setup

    def _load(self) -> ReplicaInfo:
        """Load the network."""
        from pipeline.synthesis.stages import AudioStage

        set_torch_threads(self._setup.num_threads)
        config = self._setup.config
        codec = load_networks(self._setup).load_codec(config, find_weights(self._setup))
        self._stage = AudioStage(config, codec)
        return _describe_replica("codec", self._setup.num_threads, str(codec.device), str(codec.dtype))

    def heartbeat(self) -> int:
        """Return a number that grows while work goes on: takes decoded."""
        return self._stage.num_batches

    def decode(self, unit_takes: UnitTakes) -> tuple[UnitAudio, DecodeReport]:
        """Decode every take of the rows that are not rejected."""
        takes = [(result.row, take) for result in unit_takes if result.rejection is None for take in result.takes]
        audios = self._stage.decode([take for _, take in takes])
        heard = [(row, audio) for (row, _), audio in zip(takes, audios, strict=True)]
        wanted = next_takes(heard, self._setup.config.quality.max_takes)
        return heard, DecodeReport(wanted, self._stage.sample_rate)


@ray.remote(max_restarts=0)
class WriterActor(_Replica):
    """Audio to WAV files and the unit's commit; imports no torch."""

    def __init__(self, setup: ReplicaSetup) -> None:
        self._setup = setup

    def _load(self) -> ReplicaInfo:
        """Open the store."""
        config = self._setup.config
        self._storage = open_storage(config.output, config.storage)
        self._log = CommitLog(self._storage)
        self._num_rows = 0
        self._uploads = ThreadPoolExecutor(config.storage.upload_threads, thread_name_prefix="upload")
        return _describe_replica("writer", 1, "cpu", "float32")

    def heartbeat(self) -> int:
        """Return a number that grows while work goes on: rows written."""
        return self._num_rows

    def write(
        self,
        unit: WorkUnit,
        model_rate: int,
        rejections: Mapping[int, Rejection],
        lease: Lease,
        only: frozenset[int] | None,
        *parts: Any,
    ) -> UnitReceipt:
        """Write a unit's WAVs, then its commit.

        Args:
            unit: the rows.
            model_rate: Hz of the samples.
            rejections: rows refused before they reached a stage.
            lease: this driver's right to write; checked right before the commit.
            only: rows that were synthesized again, whose records replace those in the unit's commit; none writes the
                unit's first commit.
            parts: takes and audio in turn, in the order in which they were made; later ones replace earlier ones.
        """
        merged = _merge_parts(parts)
        table = self._setup.manifest.read_rows(unit)
        # Not all columns: some of the user's may hold values that Python cannot.
        rows = table.select(REQUIRED_COLUMNS).to_pylist()
        lease.check()
        futures = [
            self._uploads.submit(self._write_row, unit, row, fields, rejections.get(row), merged.get(row), model_rate)
            for row, fields in enumerate(rows, start=unit.first_row)
            if only is None or row in only
        ]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        # A failure is told once no upload is under way: the process may end right after, and leave its temporary files.
        for future in futures:
            future.cancel()
        wait(futures)
        for future in done:
            future.result()
        records = [future.result() for future in futures]
        lease.check()
        if only is not None:
            committed = self._log.amend(unit, records)
        else:
            committed = self._log.commit(unit, build_commit_table(records, table))
        return _receipt(unit, records, committed)

    def _write_row(
        self,
        unit: WorkUnit,
        row: int,
        fields: Mapping[str, Any],
        rejection: Rejection | None,
        made: _RowParts | None,
        model_rate: int,
    ) -> dict[str, Any]:
        record: dict[str, Any] = {
            "utterance_id": fields["utterance_id"],
            "speaker_id": fields["speaker_id"],
            "text": fields["text"],
            "shard": unit.shard,
            "row": row,
            "weights_sha256": self._setup.weights_sha256,
            "created_at": datetime.now(UTC),
        }
        if made is not None:
            record |= {"seed": made.seed, "num_segments": made.num_segments, "take": made.last_take}
            record |= describe_hearing(made.in_order())
            rejection = rejection or made.rejection
        if rejection is None and (made is None or len(made.segments) != made.num_segments):
            rejection = Rejection(RejectionCode.INTERNAL_ERROR, "no stage returned this row's audio; please report it")
        if rejection is not None:
            code, message = str(rejection.code), rejection.message
            return record | {"status": "rejected", "error_code": code, "error_message": message}
        assert made is not None
        segments = made.in_order()
        audio = finish_audio(segments, model_rate, self._setup.config.audio)
        stats = measure(audio.samples, audio.sample_rate)
        wav = audio.wav_bytes()
        path, sha256 = self._log.put_audio(unit.shard, fields["utterance_id"], wav)
        self._num_rows += 1
        return record | {
            "status": "ok",
            "audio_uri": self._storage.uri_of(path),
            "audio_sha256": sha256,
            "sample_rate": audio.sample_rate,
            "num_samples": len(audio.samples),
            "duration_s": audio.duration_s,
            "num_semantic_tokens": sum(segment.num_semantic_tokens for segment in segments),
            "peak_dbfs": stats.peak_dbfs,
            "rms_dbfs": stats.rms_dbfs,
            "silence_ratio": stats.silence_ratio,
            "chars_per_s": len(fields["text"]) / audio.duration_s,
        }


@dataclass
class _RowParts:
    """All that was made of one row, over all retakes."""

    seed: int | None = None
    num_segments: int = 0
    segments: dict[int, SegmentAudio] = field(default_factory=dict)
    failed: Rejection | None = None

    def in_order(self) -> list[SegmentAudio]:
        return [self.segments[index] for index in sorted(self.segments)]

    @property
    def last_take(self) -> int:
        return max((segment.take for segment in self.segments.values()), default=0)

    @property
    def rejection(self) -> Rejection | None:
        return self.failed or next((s.rejection for s in self.segments.values() if s.rejection is not None), None)


def _merge_parts(parts: Sequence[Any]) -> dict[int, _RowParts]:
    merged: dict[int, _RowParts] = {}
    for takes, audios in zip(parts[::2], parts[1::2], strict=True):
        for result in takes:
            made = merged.setdefault(result.row, _RowParts())
            made.seed, made.num_segments = result.seed, result.num_segments
            made.failed = made.failed or result.rejection
        for row, audio in audios:
            merged[row].segments[audio.segment] = audio
    return merged


def _receipt(unit: WorkUnit, records: Sequence[Mapping[str, Any]], committed: bool) -> UnitReceipt:
    rejected: dict[str, int] = {}
    examples: list[tuple[str, str, str]] = []
    for record in records:
        if record["status"] == "rejected":
            rejected[record["error_code"]] = rejected.get(record["error_code"], 0) + 1
            if len(examples) < 5:
                examples.append((str(record["utterance_id"]), record["error_code"], record["error_message"]))
    return UnitReceipt(
        unit_id=unit.unit_id,
        num_ok=sum(record["status"] == "ok" for record in records),
        rejected=rejected,
        audio_s=sum(record.get("duration_s", 0.0) for record in records),
        num_retakes=sum(record.get("take") or 0 for record in records),
        committed=committed,
        examples=tuple(examples),
    )
