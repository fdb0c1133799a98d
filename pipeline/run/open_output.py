"""An output under lease: its record, commits and voices agree with the plan."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pipeline.cluster.output_speakers import OutputSpeakers
from pipeline.config.run import Config
from pipeline.config.secrets import redact, redact_all
from pipeline.errors import ConfigError, SynthesisError
from pipeline.output.commit_log import CommitLog
from pipeline.output.lease import Lease, LeaseLost
from pipeline.output.removal import carry_out_removals
from pipeline.output.run_record import RunRecord
from pipeline.run.plan import RunPlan, pin_settings
from pipeline.storage import Storage, open_storage, probe_store

logger = logging.getLogger(__name__)
_MAX_PROBLEM = 2_000


@dataclass(frozen=True)
class OpenOutput:
    """What a command writes through while it holds the lease."""

    storage: Storage
    record: RunRecord
    log: CommitLog
    lease: Lease
    speakers: OutputSpeakers


@contextmanager
def open_output(plan: RunPlan, replaced: Collection[str] = ()) -> Iterator[OpenOutput]:
    """Hold the lease of an output whose run.json and voices agree with the plan."""
    config = plan.config
    storage = open_storage(config.output, config.storage)
    record = RunRecord(storage)
    check_promises(storage, config)
    with Lease.acquire(storage, timeout_s=config.storage.lease_timeout_s) as lease:
        record.begin(pin_settings(plan), describe_start(config))
        if not carry_out_removals(storage, lease):
            logger.warning("%s: what was removed may have left audio; run jobs.verify --repair", config.output)
        with _recorded_failure(record):
            speakers = OutputSpeakers.read(storage, plan.definitions, replaced)
            speakers.check_voices(record.read_table().voices or {}, replaced)
            yield OpenOutput(storage, record, CommitLog(storage), lease, speakers)


@contextmanager
def _recorded_failure(record: RunRecord) -> Iterator[None]:
    """Note in the record of this start which error stopped it, for `jobs.status`, where the store lets us."""
    try:
        yield
    except LeaseLost:
        raise  # The record's last start is another driver's.
    except SynthesisError as error:
        with suppress(SynthesisError):
            record.add_to_start({"failed": redact(str(error))[:_MAX_PROBLEM]})
        raise


def check_promises(storage: Storage, config: Config) -> None:
    """Refuse a store that could lose progress.

    Raises:
        ConfigError: reads or listings lag behind writes, or conditions are ignored where they are required.
    """
    promises = probe_store(storage)
    if not promises.read_after_write or not promises.list_after_write:
        raise ConfigError(
            f"{config.output}: the store does not show an object right after it was put, so progress could be lost; "
            "use a store with read-after-write and list-after-write consistency"
        )
    if not promises.conditional_put:
        message = (
            f"{config.output}: the store ignores `If-None-Match`, so two drivers at once could replace each other's "
            "commits (with equal bytes)"
        )
        if config.storage.require_conditional_put:
            raise ConfigError(f"{message}; use another store or set storage.require_conditional_put to false")
        logger.warning("%s; make sure that only one driver runs", message)


def describe_start(config: Config) -> dict[str, Any]:
    """Return what is recorded of a start, beside what is pinned."""
    return {
        "config": redact_all(config.model_dump(mode="json")),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "tokenizers", "ray", "soxr")},
        },
        "machine": {"processor": platform.machine(), "cpus": os.cpu_count(), "host": platform.node()},
    }
