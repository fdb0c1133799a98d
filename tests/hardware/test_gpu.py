"""What is said where a GPU cannot be used, and which failures end a process; no GPU is needed."""

import sys
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from pipeline.errors import ConfigError
from pipeline.hardware import gpu
from pipeline.run.synthesize import synthesize_manifest
from tests.inline_ray import InlineRay, inline_ray
from tests.runs import SMALL, make_config, simple_rows, write_shard


@pytest.fixture
def machine(monkeypatch):
    """Make torch see what a machine would show it."""

    def pretend(*, is_built=True, available=False, count=1, init_error=None, visible=None):
        def init():
            if init_error is not None:
                raise init_error

        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: is_built)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return pretend


TOO_OLD = RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update your driver.")
NO_DRIVER = RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU")


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"is_built": False}, r"is a build for CPUs; install .*--torch-backend auto torch==\d"),
        ({"init_error": TOO_OLD}, r"driver on your system is too old \(found version 11040\)"),
        ({"init_error": NO_DRIVER}, "Found no NVIDIA driver"),
        ({"visible": ""}, "CUDA_VISIBLE_DEVICES hides all GPUs"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_refused_with_the_reason(machine, seen, reason):
    machine(**seen)
    for wish, num_gpus in (("auto", 0.7), ("cuda", 0.0), ("cuda:1", 1.0)):
        with pytest.raises(ConfigError, match=reason) as refused:
            gpu.find_device("llm.device", wish, num_gpus)
        assert "llm.device" in str(refused.value) and "install triton" not in str(refused.value)


def test_without_a_reserved_gpu_auto_is_what_there_is(machine):
    machine()
    assert gpu.find_device("llm.device", "auto", 0.0).type == "cpu"
    assert gpu.find_device("llm.device", "cpu", 1.0).type == "cpu"


def test_a_gpu_that_can_be_used_is_used(machine, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    machine(available=True, count=2)
    assert gpu.find_device("llm.device", "auto", 0.0) == torch.device("cuda")
    assert gpu.find_device("llm.device", "cuda:1", 1.0) == torch.device("cuda:1")
    with pytest.raises(ConfigError, match=r"cuda:2: this process sees 2 GPU"):
        gpu.find_device("llm.device", "cuda:2", 1.0)


def test_triton_that_cannot_start_is_named_before_work(machine, monkeypatch, tmp_path):
    triton = pytest.importorskip("triton")
    machine(available=True)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    class Driver:
        @property
        def active(self):
            raise RuntimeError("Failed to find C compiler.")

    monkeypatch.setattr(triton.runtime, "driver", Driver())
    with pytest.raises(ConfigError, match=r"Triton cannot start .*no C compiler is there: `apt-get install gcc`"):
        gpu.find_device("codec.device", "cuda", 1.0)


def test_missing_triton_is_missing_torch(machine, monkeypatch):
    machine(available=True)
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ConfigError, match="install torch again") as refused:
        gpu.find_device("codec.device", "cuda", 1.0)
    assert "install triton" not in str(refused.value)


def test_pythons_headers_are_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "cc")
    monkeypatch.setattr(gpu.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    assert "python3-dev" in gpu.find_compiler_problem()
    (tmp_path / "Python.h").touch()
    assert gpu.find_compiler_problem() is None


@pytest.mark.parametrize(
    ("share", "limit"), [(0.25, 0.25 - 0.5 / 16), (0.04, 0.02), (1.0, None), (0.0, None), (2.0, None)]
)
def test_a_process_stays_within_its_share_less_its_context(monkeypatch, share, limit):
    limits = []
    card = SimpleNamespace(total_memory=16 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *arguments: limits.append(arguments))
    gpu.limit_memory(torch.device("cuda:1"), share)
    gpu.limit_memory(torch.device("cpu"), share)
    assert limits == ([] if limit is None else [(pytest.approx(limit), torch.device("cuda:1"))])


@pytest.mark.parametrize(("is_urgent", "priority"), [(True, -1), (False, 0)])
def test_a_graph_is_captured_on_a_stream_of_its_priority(monkeypatch, is_urgent, priority):
    """Its kernels keep that priority wherever it is replayed; warm-ups run on the same stream."""
    events = []

    class Stream(SimpleNamespace):
        def wait_stream(self, other):
            pass

    @contextmanager
    def capture(graph, stream, capture_error_mode):
        events.append(("capture", stream.priority))
        yield

    @contextmanager
    def on_stream(stream):
        events.append(("stream", stream.priority))
        yield

    monkeypatch.setattr(torch.cuda, "Stream", lambda device, priority: Stream(priority=priority))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: Stream(priority=0))
    monkeypatch.setattr(torch.cuda, "stream", on_stream)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay="replay"))
    monkeypatch.setattr(gpu, "on_device", lambda device: nullcontext())
    replay = gpu.record(lambda: events.append("run"), torch.device("cuda:0"), is_urgent=is_urgent)
    assert replay == "replay"
    assert events == [("stream", priority), "run", "run", "run", ("capture", priority), "run"]


def test_a_stream_of_ones_own_waits_for_what_was_loaded(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: calls.append(("synchronize", device)))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device, priority: (device, priority))
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: calls.append(("set_stream", stream)))
    gpu.use_own_stream(torch.device("cpu"), is_urgent=True)
    assert calls == []
    card = torch.device("cuda:1")
    gpu.use_own_stream(card, is_urgent=True)
    gpu.use_own_stream(card)
    waits = ("synchronize", card)
    assert calls == [waits, ("set_stream", (card, -1)), waits, ("set_stream", (card, 0))]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (torch.AcceleratorError("an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"), True),
        (MemoryError(), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("the text says CUDA error"), False),
    ],
)
def test_which_failures_end_a_process(error, expected):
    assert gpu.is_device_failure(error) is expected
    wrapped = KeyError("no such take")
    wrapped.__cause__ = error
    assert gpu.is_device_failure(wrapped) is expected


def test_a_run_that_reserves_a_gpu_it_cannot_use_stops_before_work(tmp_path, random_weights, machine):
    """Ray gave the GPU, the replica computed on the CPU, and the run ended with 0."""
    machine(is_built=False)
    with_gpu = InlineRay(resources={"CPU": 4.0, "GPU": 1.0})
    write_shard(tmp_path / "manifest" / "a.parquet", simple_rows(0, 2))
    for stage in ("llm", "codec"):
        replicas = {**SMALL, stage: {**SMALL[stage], "num_gpus": 0.5}}
        config = make_config(tmp_path, random_weights, replicas=replicas, output=str(tmp_path / stage))
        with (
            inline_ray(with_gpu),
            pytest.raises(ConfigError, match=rf"{stage}.device: auto: 0.5 GPUs .* build for CPUs"),
        ):
            synthesize_manifest(config)
        assert not list((tmp_path / stage).glob("metadata/**/*.parquet"))
