"""What every replica is: its setup, where it runs, how it starts, and the weights it loads.

A replica loads its network in `start`, so that a failure there arrives as an error with a message, not as a dead actor.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.cluster import ray_api
from pipeline.config.run import Config
from pipeline.config.secrets import redact
from pipeline.errors import ObjectChanged, RejectionCode, SpeakerError, WeightsError
from pipeline.manifest.rows import RowReader
from pipeline.output.environment import describe_environment
from pipeline.output.voices import SPEAKERS_PATH
from pipeline.storage import open_storage
from pipeline.synthesis.listening_stage import ListeningStage, load_listening
from pipeline.synthesis.speakers import SpeakerRegistry
from pipeline.synthesis.takes import Rejection

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplicaSetup:
    """What every replica gets when it is created."""

    config: Config
    rows: RowReader
    """Of the manifest: units carry their shard, so that a start reads nothing that grows with the manifest."""
    lexicon: Mapping[str, str]
    weights_sha256: str
    speakers: Mapping[str, int]
    """Who may speak: the speakers of the current definitions, see `SpeakerRegistry.generations`."""
    voices: Mapping[str, str] = field(default_factory=dict)
    """What these speakers' voices must be, see `SpeakerRegistry.hash_voices`."""
    asr_sha256: str | None = None
    """Of the recognizer's model, where it has one."""
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
    environments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What its results depend on beside the settings, by stage."""
    node_id: str | None = None
    """Of Ray's node."""


def locate_process() -> str:
    """Return process, host and, where it can be found, the file that this process's errors go to."""
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


@contextmanager
def ending_a_sick_process() -> Iterator[None]:
    """End this process if its device fails in the block: whatever it did next would fail, or worse.

    The coordinator replaces the process, does the unit again, and finds the row that did it if one did.
    """
    try:
        yield
    except Exception as error:
        from pipeline.hardware.gpu import is_device_failure

        if is_device_failure(error):
            logger.exception("the device failed; this replica ends")
            os._exit(1)
        raise


class ReplicaBase:
    """What the coordinator asks of every replica beside its work."""

    _setup: ReplicaSetup

    def locate(self) -> str:
        """Tell where this replica runs; answered as soon as its process is there."""
        return locate_process()

    def start(self) -> ReplicaInfo:
        """Get ready to work; the coordinator ends a process that cannot, whatever its device is in."""
        with stack_in_log(self._setup.config.replicas.start_timeout_s):
            return self._load()

    def _load(self) -> ReplicaInfo:
        raise NotImplementedError


def describe_replica(stage: str, num_threads: int, device: str, dtype: str, **chosen: int | str) -> ReplicaInfo:
    """Describe a replica; `chosen` is what it settled by itself and takes depend on."""
    gpu = None
    if device.startswith("cuda"):
        import torch

        gpu = torch.cuda.get_device_name(device)
        # A wheel of its own, which may be another one than torch was built with.
        chosen["cudnn"] = torch.backends.cudnn.version() or 0  # type: ignore[no-untyped-call]
    environment = {**describe_environment(stage, dtype.removeprefix("torch."), num_threads, gpu), **chosen}
    return ReplicaInfo(
        socket.gethostname(), os.getpid(), device, num_threads, {stage: environment}, ray_api.own_node_id()
    )


def load_networks(setup: ReplicaSetup) -> Networks:
    """Return where this replica's networks come from."""
    if setup.networks is not None:
        return setup.networks
    from pipeline.synthesis.load_networks import load_codec, load_engine

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


def read_voices(setup: ReplicaSetup) -> SpeakerRegistry:
    """Return who may speak, in the voices that the driver saw.

    Raises:
        ObjectChanged: the output has other voices by now, or none.
    """
    storage = open_storage(setup.config.output, setup.config.storage)
    try:
        registry = SpeakerRegistry.from_parquet(storage.get(SPEAKERS_PATH)).only(setup.speakers)
    except (FileNotFoundError, SpeakerError):
        registry = SpeakerRegistry()
    if registry.hash_voices() != setup.voices:
        raise ObjectChanged(
            f"{storage.uri_of(SPEAKERS_PATH)}: was replaced or deleted during the run, and rows were spoken with other "
            "voices than it holds; put it back as it was and run the same command again"
        )
    return registry


def load_listening_of(setup: ReplicaSetup) -> ListeningStage | None:
    """Return who hears the run's takes, if anybody does; with the driver's model of the recognizer bit for bit."""
    listener = setup.config.replicas.listener
    device = "cuda" if listener.gpus else "cpu"
    return load_listening(setup.config, device, listener.num_threads, setup.asr_sha256)


def set_torch_threads(num_threads: int) -> None:
    """Give torch the threads that this replica's CPUs allow."""
    import torch

    torch.set_num_threads(num_threads)


def internal_error(error: BaseException) -> Rejection:
    """Turn a failure that nobody foresaw into a row's rejection."""
    return Rejection(RejectionCode.INTERNAL_ERROR, redact(f"{type(error).__name__}: {error}")[:1_000])


def limit_gpu_memory(device: str, num_gpus: float) -> None:
    """Keep this process within the share of a card that Ray reserved for it, whatever its neighbors take."""
    import torch

    from pipeline.hardware.gpu import limit_memory

    if device != "cpu" and torch.cuda.is_available():
        limit_memory(torch.device("cuda" if device == "auto" else device), num_gpus)
