"""Runs through Ray with both networks on the card: a plain one, and one whose codec meets a CUDA error on purpose."""

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
from pipeline.run import synthesize_manifest
from pipeline.synthesis.load_networks import load_codec, load_engine

_UNIT_SIZE = 8


def check_cluster(load: GpuWorkload) -> PartResult:
    """Synthesize a manifest twice, the second time with a CUDA error in the first codec process.

    Args:
        load: device and number of rows.
    """
    folder = load.folder / "runs"
    # The demo's network is small and trained.
    config = _configure(make_run(load.num_rows, folder, "demo"), load)
    with ray_cluster():
        calm = synthesize_manifest(config)
        # The voice is there already.
        sick = config.model_copy(update={"output": str(folder / "sick")})
        Path(sick.output).mkdir()
        shutil.copy(Path(config.output) / "speakers.parquet", sick.output)
        marker = folder / "failed"
        sick_summary = synthesize_manifest(sick, networks=Networks(load_engine, partial(_load_sick_codec, marker)))
    hashes, sick_hashes = _hashes(config.output), _hashes(sick.output)
    internal = calm.rejected.get("internal_error", 0) + calm.rejected.get("replica_crash", 0)
    same = sum(sick_hashes.get(name) == found for name, found in hashes.items())
    rate = calm.audio_s / calm.elapsed_s if calm.elapsed_s else 0.0
    return PartResult(
        {"rows": load.num_rows, "x real time": rate},
        [
            Limit("rows that failed for no fault of theirs", internal, "==", 0),
            # The voice is none that the demo was trained on: some takes fail their checks.
            Limit("rows accepted", calm.num_ok, ">=", 1),
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
