"""Runs through Ray with both networks on the card: in two processes and in one, and with a CUDA error on purpose."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import torch
from torch import Tensor

from pipeline.benchmark.gpu.verdict import Limit, PartResult
from pipeline.benchmark.gpu.workload import GpuWorkload
from pipeline.benchmark.overhead import make_run
from pipeline.cluster.ray_cluster import ray_cluster
from pipeline.cluster.replica import Networks
from pipeline.codec import BiCodec, DecodedItem
from pipeline.config.run import Config
from pipeline.run.synthesize import synthesize_manifest
from pipeline.synthesis.load_networks import load_codec, load_engine

_UNIT_SIZE = 8


def check_cluster(load: GpuWorkload) -> PartResult:
    """Synthesize a manifest three times: in two processes, in one, and with a CUDA error in the first codec process.

    Args:
        load: device and number of rows.
    """
    folder = load.folder / "runs"
    # The demo's network is small and trained.
    config = _configure(make_run(load.num_rows, folder, "demo"), load)
    with ray_cluster():
        calm = synthesize_manifest(config)
        joint = _copy_to(folder / "joint", config)
        joint = joint.model_copy(update={"replicas": joint.replicas.model_copy(update={"one_process": True})})
        together = synthesize_manifest(joint)
        sick = _copy_to(folder / "sick", config)
        marker = folder / "failed"
        sick_summary = synthesize_manifest(sick, networks=Networks(load_engine, partial(_load_sick_codec, marker)))
    hashes, joint_hashes, sick_hashes = (_hashes(run.output) for run in (config, joint, sick))
    internal = calm.rejected.get("internal_error", 0) + calm.rejected.get("replica_crash", 0)
    same_together, same = (
        sum(others.get(name) == found for name, found in hashes.items()) for others in (joint_hashes, sick_hashes)
    )
    rates = {"x real time": calm, "x real time in one process": together}
    return PartResult(
        {"rows": load.num_rows, **{name: run.audio_s / max(run.elapsed_s, 1e-9) for name, run in rates.items()}},
        [
            Limit("rows that failed for no fault of theirs", internal, "==", 0),
            # The voice is none that the demo was trained on: some takes fail their checks.
            Limit("rows accepted", calm.num_ok, ">=", 1),
            Limit("rows with the same bytes in one process", same_together, "==", len(hashes)),
            Limit("processes that met the CUDA error", int(marker.exists()), "==", 1),
            Limit("rows accepted in spite of it", sick_summary.num_ok, "==", calm.num_ok),
            Limit("rows with the same bytes in spite of it", same, "==", len(hashes)),
        ],
    )


def _configure(config: Config, load: GpuWorkload) -> Config:
    """Put both replicas on the card, as big_gpu.yaml does."""
    replicas = config.replicas
    if load.is_on_gpu:
        shares = {"llm": 0.6, "codec": 0.4}
        replicas = replicas.model_copy(
            update={
                stage: getattr(replicas, stage).model_copy(update={"num_gpus": share})
                for stage, share in shares.items()
            }
        )
    llm = config.llm.model_copy(update={"slots": 32 if load.is_on_gpu else 8, "device": load.device})
    codec = config.codec.model_copy(update={"device": load.device})
    return config.model_copy(update={"unit_size": _UNIT_SIZE, "replicas": replicas, "llm": llm, "codec": codec})


def _copy_to(output: Path, config: Config) -> Config:
    """Return the same run into another place, where the voice is already."""
    output.mkdir()
    shutil.copy(Path(config.output) / "speakers.parquet", output)
    return config.model_copy(update={"output": str(output)})


def _hashes(output: str) -> dict[str, str | None]:
    rows = ds.dataset(f"{output}/metadata").to_table(columns=["utterance_id", "audio_sha256"]).to_pylist()
    return {row["utterance_id"]: row["audio_sha256"] for row in rows}


class _SickCodec:
    """A codec that meets one CUDA error, in its second call; the next process finds the marker and is well."""

    def __init__(self, codec: BiCodec, marker: Path) -> None:
        self._codec = codec
        self._marker = marker
        self._num_calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def decode_each(self, semantic_tokens: Sequence[Tensor], global_tokens: Tensor) -> Iterator[DecodedItem]:
        """Decode as the codec does."""
        self._num_calls += 1
        if self._num_calls == 2 and not self._marker.exists():
            self._marker.touch()
            _break_device(self._codec.device)
        yield from self._codec.decode_each(semantic_tokens, global_tokens)


def _load_sick_codec(marker: Path, config: Config, weights_dir: Path) -> Any:
    return _SickCodec(load_codec(config, weights_dir), marker)


def _break_device(device: torch.device) -> None:
    """Let a kernel fail, after which nothing works on this device in this process any more."""
    if device.type != "cuda":
        raise RuntimeError("CUDA error: on purpose")
    outside = torch.tensor([1 << 20], device=device)
    torch.zeros(4, device=device)[outside].sum().item()
    raise AssertionError("an index outside of a tensor went unnoticed")
