"""The GPU's path: first whether it is right, then what it takes, compared with what the card can do.

Networks of the official size with random weights, as everywhere in the benchmark. `--device cpu` runs the same code
through Triton's interpreter, at tiny sizes: not for numbers, but so that the code is known to run.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.benchmark.machine import GFLOP_PER_S_OF_CODEC, GFLOP_PER_TOKEN, describe_machine
from pipeline.benchmark.official import OfficialDecoder, OfficialLLM
from pipeline.benchmark.workload import (
    FRAME_RATE,
    Task,
    draw_lengths,
    draw_tokens,
    make_llm_tensors,
    make_tasks,
    read_vocabulary,
    write_codec,
)
from pipeline.codec import BiCodec
from pipeline.llm import LLMEngine, Request, SamplingParams
from pipeline.llm.checkpoint import Qwen2Config
from pipeline.llm.eager_runner import EagerRunner
from pipeline.llm.fused_qwen2 import FusedQwen2
from pipeline.llm.graphed_runner import GraphedRunner
from pipeline.llm.prompt import AnswerGrammar, SpeechVocabulary
from pipeline.llm.qwen2 import Qwen2

logger = logging.getLogger(__name__)

_SPEECH = {"shortest_s": 2.0, "mean_s": 6.0, "longest_s": 20.0}
_GREEDY = SamplingParams(temperature=0.0)


@dataclass(frozen=True)
class GpuWorkload:
    """What is measured.

    Args:
        device: cuda, or cpu to try the code out.
        sizes_dir: folder with configs and tokenizer.
        slots: numbers of slots to measure a step with; the workload is synthesized with the last one.
        num_utterances: of the workload.
        num_prompts: whose greedy tokens are compared with the CPU's.
        num_frames: of each of these answers.
        context: positions in each slot's cache when a step is measured.
        max_context: of the engines.
    """

    device: str
    sizes_dir: Path
    slots: tuple[int, ...] = (64, 256, 1_024)
    num_utterances: int = 2_048
    num_prompts: int = 32
    num_frames: int = 48
    context: int = 350
    max_context: int = 1_536


@dataclass(frozen=True)
class _Networks:
    """The weights, once on the CPU."""

    config: Qwen2Config
    tensors: dict[str, Tensor]
    vocabulary: SpeechVocabulary
    model_dir: Path

    def engine(
        self, load: GpuWorkload, num_slots: int, dtype: torch.dtype, sampling: SamplingParams | None = None
    ) -> LLMEngine:
        device = torch.device(load.device)
        tensors = {name: tensor.to(device, dtype) for name, tensor in self.tensors.items()}
        model = FusedQwen2(self.config, tensors, num_slots, load.max_context)
        # The interpreter computes padding as slowly as anything else.
        pack_tokens = 1_024 if load.device != "cpu" else 16
        return LLMEngine(
            GraphedRunner(model, num_slots, self.vocabulary, sampling or SamplingParams(), pack_tokens=pack_tokens)
        )


def measure_gpu(load: GpuWorkload, folder: Path) -> dict[str, Any]:
    """Check the GPU's path against the CPU's, then measure it.

    Args:
        load: what to measure.
        folder: for the weights, which are made here.

    Returns:
        plain numbers by part; each part is also logged as soon as it is there.
    """
    vocabulary = read_vocabulary(load.sizes_dir, folder)
    config = Qwen2Config.read(load.sizes_dir / "LLM" / "config.json")
    tensors = make_llm_tensors(config, vocabulary.stop_ids)
    networks = _Networks(config, tensors, vocabulary, write_codec(load.sizes_dir, folder))
    results: dict[str, Any] = {"machine": describe_machine(torch.get_num_threads(), "wall")}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "ceilings": lambda: measure_ceilings(load.device),
        "equality": lambda: check_equality(networks, load),
        "codec": lambda: measure_codec(networks, load, results["ceilings"]),
        **{
            f"{num_slots} slots": lambda num_slots=num_slots: measure_step(  # type: ignore[misc]
                networks, load, num_slots, results["ceilings"]
            )
            for num_slots in load.slots
        },
        "small card": lambda: measure_small(networks, load),
        "pipeline": lambda: measure_pipeline(networks, load, results["ceilings"]),
    }
    for name, part in parts.items():
        begin = time.perf_counter()
        try:
            results[name] = part()
        except RuntimeError as error:  # One part that does not run here must not cost the others' numbers.
            results[name] = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
        if load.device != "cpu":
            torch.cuda.empty_cache()
        logger.info("%s (%.0f s): %s", name, time.perf_counter() - begin, results[name])
    return results


def measure_ceilings(device: str) -> dict[str, Any]:
    """Return what the card copies and multiplies at most: GB/s (read and written) and TFLOP/s."""
    size = (1 << 30, 8_192) if device != "cpu" else (1 << 20, 128)
    source = torch.randn(size[0], device=device)
    target = torch.empty_like(source)
    copy_s = _median_s(lambda: target.copy_(source), device)
    rates = {}
    for name, dtype in (("bf16", torch.bfloat16), ("float32", torch.float32)):
        left, right = (torch.randn(size[1], size[1], device=device).to(dtype) for _ in range(2))
        seconds = _median_s(lambda left=left, right=right: left @ right, device)  # type: ignore[misc]
        rates[f"{name}_tflops"] = 2 * size[1] ** 3 / seconds / 1e12
    return {"copy_gb_s": 2 * 4 * size[0] / copy_s / 1e9, **rates}


def check_equality(networks: _Networks, load: GpuWorkload) -> dict[str, Any]:
    """Greedy tokens in float32 against the CPU's; sampled tokens in bfloat16, in isolation and in a crowd."""
    num_slots = min(32, load.slots[-1])
    tasks = make_tasks(networks.vocabulary, [load.num_frames] * load.num_prompts)
    requests = [task.request for task in tasks]
    model = Qwen2(networks.config, dict(networks.tensors), num_slots, load.max_context)
    expected = _answer(LLMEngine(EagerRunner(model, num_slots, networks.vocabulary, _GREEDY)), requests)
    found = _answer(networks.engine(load, num_slots, torch.float32, _GREEDY), requests)
    equal = sum(found[name] == tokens for name, tokens in expected.items())
    same = sum(a == b for name in expected for a, b in zip(found[name], expected[name], strict=True))
    results: dict[str, Any] = {
        "greedy float32": f"{equal} of {len(expected)} prompts have the CPU's tokens",
        "greedy float32, tokens": f"{same} of {load.num_frames * len(expected)}",
    }
    # The interpreter multiplies no bfloat16.
    dtype = torch.bfloat16 if load.device != "cpu" else torch.float32
    engine = networks.engine(load, num_slots, dtype)
    crowd = _answer(engine, requests)
    isolated = {name: tokens for request in requests[:8] for name, tokens in _answer(engine, [request]).items()}
    results["reproducible takes"] = (
        f"{sum(crowd[name] == tokens for name, tokens in isolated.items())} of {len(isolated)} as in isolation"
    )
    reversed_order = _answer(engine, requests[::-1])
    results["reproducible takes, reversed order"] = (
        f"{sum(reversed_order[name] == crowd[name] for name in crowd)} of {len(crowd)}"
    )
    return results


def measure_codec(networks: _Networks, load: GpuWorkload, ceilings: dict[str, Any]) -> dict[str, Any]:
    """Audio against the CPU's, and what a second of it takes, in float32 and bfloat16."""
    num_items = min(load.num_utterances, 256)
    tasks = make_tasks(networks.vocabulary, _lengths(load, num_items))
    codec = BiCodec.load(networks.model_dir, device=load.device)
    items = [draw_tokens(codec, task) for task in tasks]
    few = items[:4]
    official = OfficialDecoder(networks.model_dir, codec.config)
    expected = [official.decode(tokens, voice) for tokens, voice in few]
    audio_s = sum(task.num_frames for task in tasks) / FRAME_RATE
    results: dict[str, Any] = {}
    for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        codec = BiCodec.load(networks.model_dir, device=load.device, dtype=dtype)
        found = _decode(codec, few)
        error = sum(float((a - b).square().sum()) for a, b in zip(found, expected, strict=True))
        power = sum(float(b.square().sum()) for b in expected)
        results[f"{name}: error, dB"] = 10 * torch.log10(torch.tensor(max(error, 1e-30) / power)).item()

        def decode(codec: BiCodec = codec) -> None:
            _decode(codec, items)

        seconds = _median_s(decode, load.device, num_tries=3)
        results[f"{name}: x real time"] = audio_s / seconds
        results[f"{name}: TFLOP/s"] = audio_s * GFLOP_PER_S_OF_CODEC / 1e3 / seconds
        results[f"{name}: share of the card's products"] = (
            results[f"{name}: TFLOP/s"] / ceilings["float32_tflops" if name == "float32" else "bf16_tflops"]
        )
        results |= {f"{name}: {kind}": share for kind, share in _share_kernels(decode, load.device).items()}
        del codec
    return results


def measure_step(networks: _Networks, load: GpuWorkload, num_slots: int, ceilings: dict[str, Any]) -> dict[str, Any]:
    """What reading prompts and a step of all slots take, the host's part included; against the counted least."""
    dtype = torch.bfloat16 if load.device != "cpu" else torch.float32
    engine = networks.engine(load, num_slots, dtype)
    ids = torch.randint(len(networks.vocabulary.semantic_ids), (num_slots, load.context)).tolist()
    num_steps = 100 if load.device != "cpu" else 2
    for row, prompt_ids in enumerate(ids):
        engine.add(Request(row, prompt_ids, AnswerGrammar(()), row, load.max_context - load.context))
    prefill_s = _time(engine.step, load.device)

    def take_steps() -> None:
        for _ in range(num_steps):
            engine.step()

    step_s = _time(take_steps, load.device) / num_steps
    kinds = _share_kernels(engine.step, load.device)
    sizes = networks.config
    cache_bytes = 2 * sizes.num_hidden_layers * sizes.num_key_value_heads * sizes.head_dim * dtype.itemsize
    read_s = num_slots * (load.context + num_steps / 2) * cache_bytes / (ceilings["copy_gb_s"] * 1e9)
    product_s = num_slots * GFLOP_PER_TOKEN * 1e9 / (ceilings["bf16_tflops"] * 1e12)
    return {
        "step, ms": step_s * 1e3,
        "x real time": num_slots / FRAME_RATE / step_s,
        "least for products, ms": product_s * 1e3,
        "least for reading the cache, ms": read_s * 1e3,
        "share of the least": (read_s + product_s) / step_s,
        "tokens of prompts a second": num_slots * load.context / prefill_s,
        **kinds,
    }


def measure_small(networks: _Networks, load: GpuWorkload) -> dict[str, Any]:
    """Peak memory of configs/small_gpu.yaml: 8 slots of 1,024 positions and packs of 512 frames, both in bfloat16."""
    small = replace(load, max_context=min(1_024, load.max_context))
    dtype = torch.bfloat16 if load.device != "cpu" else torch.float32
    if load.device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        free_before = torch.cuda.mem_get_info()[0]
    engine = networks.engine(small, 8, dtype)
    codec = BiCodec.load(networks.model_dir, device=load.device, dtype=dtype, pack_frames=512)
    codec.prepare_decoding()
    tasks = make_tasks(networks.vocabulary, _lengths(load, 16))
    frames_s = _synthesize(engine, codec, tasks)
    result: dict[str, Any] = {"x real time": sum(task.num_frames for task in tasks) / FRAME_RATE / frames_s}
    if load.device != "cpu":
        result["allocated at most, GiB"] = torch.cuda.max_memory_allocated() / 2**30
        result["taken from the card, GiB"] = (free_before - torch.cuda.mem_get_info()[0]) / 2**30
    return result


def measure_pipeline(networks: _Networks, load: GpuWorkload, ceilings: dict[str, Any]) -> dict[str, Any]:
    """Synthesize the workload: the official way on few utterances, then ours, one stage after the other."""
    dtype = torch.bfloat16 if load.device != "cpu" else torch.float32
    tasks = make_tasks(networks.vocabulary, _lengths(load, load.num_utterances))
    tasks.sort(key=lambda task: -task.num_frames)  # As a replica starts a unit's rows.
    audio_s = sum(task.num_frames for task in tasks) / FRAME_RATE
    official_s = _synthesize_officially(networks, load)
    engine = networks.engine(load, load.slots[-1], dtype)
    codec = BiCodec.load(networks.model_dir, device=load.device, dtype=dtype)
    _synthesize(engine, codec, tasks[:2])
    llm_s = _time(lambda: _answer(engine, [task.request for task in tasks]), load.device)
    items = [draw_tokens(codec, task) for task in tasks]
    codec_s = _time(lambda: _decode(codec, items), load.device)
    counted = audio_s * (GFLOP_PER_TOKEN * FRAME_RATE + GFLOP_PER_S_OF_CODEC) / 1e3 / ceilings["bf16_tflops"]
    return {
        "audio, s": audio_s,
        "language model, x real time": audio_s / llm_s,
        "codec, x real time": audio_s / codec_s,
        "together, x real time": audio_s / (llm_s + codec_s),
        "official way, x real time": official_s,
        "ratio": audio_s / (llm_s + codec_s) / official_s,
        "share of the counted products": counted / (llm_s + codec_s),
    }


def _synthesize_officially(networks: _Networks, load: GpuWorkload) -> float:
    """Return seconds of audio a second: float32, full head, one utterance at a time, on the same device."""
    tasks = make_tasks(networks.vocabulary, _lengths(load, 3), seed=1_000_000)
    llm = OfficialLLM(networks.config, dict(networks.tensors), networks.vocabulary.stop_ids[0])
    codec = BiCodec.load(networks.model_dir, device=load.device)
    decoder = OfficialDecoder(networks.model_dir, codec.config, load.device)
    llm.network.to(load.device)
    items = [draw_tokens(codec, task) for task in tasks]

    def synthesize() -> None:
        for task, (tokens, speaker) in zip(tasks, items, strict=True):
            llm.generate([task])
            decoder.decode(tokens.to(load.device), speaker.to(load.device))

    seconds = _time(synthesize, load.device)
    # Ours has a copy of its own on the device.
    llm.network.to("cpu")
    return sum(task.num_frames for task in tasks) / FRAME_RATE / seconds


def _synthesize(engine: LLMEngine, codec: BiCodec, tasks: list[Task]) -> float:
    begin = time.perf_counter()
    _answer(engine, [task.request for task in tasks])
    items = [draw_tokens(codec, task) for task in tasks]
    _decode(codec, items)
    return time.perf_counter() - begin


def _answer(engine: LLMEngine, requests: list[Request]) -> dict[Any, list[int]]:
    return {answer.request_id: answer.semantic_tokens.tolist() for answer in engine.generate(requests)}


def _lengths(load: GpuWorkload, num_utterances: int) -> list[int]:
    if load.device == "cpu":
        return [load.num_frames] * num_utterances
    return draw_lengths(num_utterances, 0, **_SPEECH)


def _decode(codec: BiCodec, items: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    return codec.decode([tokens for tokens, _ in items], torch.stack([voice for _, voice in items]))


def _time(run: Callable[[], Any], device: str) -> float:
    _settle(device)
    begin = time.perf_counter()
    run()
    _settle(device)
    return time.perf_counter() - begin


def _median_s(run: Callable[[], Any], device: str, *, num_tries: int = 20) -> float:
    """Return the median time of a call, in seconds, after one that is not counted."""
    run()
    return statistics.median(_time(run, device) for _ in range(num_tries if device != "cpu" else 1))


def _settle(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _share_kernels(run: Callable[[], Any], device: str) -> dict[str, float]:
    """Return the device's time for each kind of kernel in one call, in ms; by torch's own profiler."""
    if device == "cpu":
        return {}
    from torch.profiler import ProfilerActivity, profile

    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as record:
        run()
        torch.cuda.synchronize()
    kinds = {
        "attention": ("_attend",),
        "sampling": ("_sample",),
        "convolutions": ("conv", "wgrad", "dgrad", "fprop", "implicit"),
        "products": ("gemm", "nvjet", "cutlass", "xmma", "splitK", "cublas"),
        "copies": ("Memcpy", "Memset"),
    }
    shares = dict.fromkeys([*kinds, "elementwise"], 0.0)
    for event in record.key_averages():
        kind = next((kind for kind, names in kinds.items() if any(name in event.key for name in names)), "elementwise")
        shares[kind] += event.self_device_time_total / 1e3
    return {f"{kind}, ms": time_ms for kind, time_ms in shares.items() if time_ms}
