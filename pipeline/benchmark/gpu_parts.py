"""What the GPU's benchmark measures: whether results are right, then what they take, against what the card can do.

Networks of the official size with random weights, as everywhere in the benchmark. `--device cpu` runs the same code
through Triton's interpreter, at tiny sizes: not for numbers, but so that the code is known to run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.benchmark.gpu_verdict import Limit, PartResult
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
from pipeline.llm.qwen2 import Qwen2, StepShapes
from pipeline.synthesis.load_networks import count_slots

_SPEECH = {"shortest_s": 2.0, "mean_s": 6.0, "longest_s": 20.0}
_GREEDY = SamplingParams(temperature=0.0)
_NEAR_TIE = 1e-3
"""Logits that lie so near to each other may change places between two ways of adding up float32."""
_ISOLATED = 8
"""Prompts that are answered once more, by themselves."""
_STEP_SLOTS = (64, 256, 1_024, 2_048)
_LEAST_STEP_SHARE = 0.4
_LEAST_RATIO = 20.0
"""Times as fast as the official way, at least."""
_SMALL_CARD_GIB = 2.0


@dataclass(frozen=True)
class GpuWorkload:
    """What is measured.

    Args:
        device: cuda, or cpu to try the code out.
        sizes_dir: folder with configs and tokenizer.
        folder: for weights that are made here, and for ceilings that later parts are compared with.
        slots: numbers of slots to measure a step with; the workload is synthesized with the last one. Empty: as many
            as the card has memory for.
        num_utterances: of the workload.
        num_prompts: whose greedy tokens are compared with the CPU's.
        num_frames: of each of these answers.
        context: positions in each slot's cache when a step is measured.
        max_context: of the engines.
        num_rows: of the runs through Ray.
    """

    device: str
    sizes_dir: Path
    folder: Path
    slots: tuple[int, ...] = ()
    num_utterances: int = 2_048
    num_prompts: int = 32
    num_frames: int = 48
    context: int = 350
    max_context: int = 1_536
    num_rows: int = 64

    @property
    def is_on_gpu(self) -> bool:
        """Whether numbers mean anything."""
        return self.device != "cpu"

    @property
    def fast_dtype(self) -> torch.dtype:
        """Of the language model on a GPU; the interpreter multiplies no bfloat16."""
        return torch.bfloat16 if self.is_on_gpu else torch.float32


@dataclass(frozen=True)
class Networks:
    """The weights, once on the CPU."""

    load: GpuWorkload
    config: Qwen2Config
    tensors: dict[str, Tensor]
    vocabulary: SpeechVocabulary

    @classmethod
    def make(cls, load: GpuWorkload) -> Networks:
        """Make random weights; the same ones in every process."""
        vocabulary = read_vocabulary(load.sizes_dir, load.folder)
        config = Qwen2Config.read(load.sizes_dir / "LLM" / "config.json")
        return cls(load, config, make_llm_tensors(config, vocabulary.stop_ids), vocabulary)

    def engine(self, num_slots: int, dtype: torch.dtype, sampling: SamplingParams | None = None) -> LLMEngine:
        """Return an engine on the device of the workload."""
        device = torch.device(self.load.device)
        tensors = {name: tensor.to(device, dtype) for name, tensor in self.tensors.items()}
        # The interpreter computes padding as slowly as anything else.
        shapes = None if self.load.is_on_gpu else StepShapes(row_tile=1)
        model = FusedQwen2(self.config, tensors, num_slots, self.load.max_context, shapes)
        pack_tokens = 1_024 if self.load.is_on_gpu else 16
        return LLMEngine(
            GraphedRunner(model, num_slots, self.vocabulary, sampling or SamplingParams(), pack_tokens=pack_tokens)
        )

    def cpu_model(self, num_slots: int) -> Qwen2:
        """Return the network on the CPU."""
        return Qwen2(self.config, dict(self.tensors), num_slots, self.load.max_context)

    def tasks(self, num_utterances: int, seed: int = 0) -> list[Task]:
        """Return utterances of the stated lengths."""
        if not self.load.is_on_gpu:
            return make_tasks(self.vocabulary, [self.load.num_frames] * num_utterances, seed)
        return make_tasks(self.vocabulary, draw_lengths(num_utterances, 0, **_SPEECH), seed)


@dataclass(frozen=True)
class Ceilings:
    """What the card does at most, measured: reads and writes, and products in each arithmetic."""

    copy_gb_s: float
    tflops: dict[str, float] = field(default_factory=dict)
    """By arithmetic: bfloat16, tf32, float32."""


def measure_machine(load: GpuWorkload) -> tuple[PartResult, Ceilings, list[int]]:
    """Return the machine, its ceilings, and the numbers of slots that a step is measured with."""
    numbers: dict[str, Any] = describe_machine(torch.get_num_threads(), "wall")
    slots = list(load.slots or (8,))
    if load.is_on_gpu:
        free, total = torch.cuda.mem_get_info()
        numbers |= {"memory, GiB": total / 2**30, "free, GiB": free / 2**30}
        numbers |= {"cuDNN": torch.backends.cudnn.version(), "CUDA": torch.version.cuda}  # type: ignore[no-untyped-call]
        if not load.slots:
            most = count_slots(load.sizes_dir, free, torch.bfloat16, load.max_context)
            slots = sorted({min(number, most) for number in _STEP_SLOTS})
    ceilings = _measure_ceilings(load)
    numbers |= {"slots": slots, "copy, GB/s": ceilings.copy_gb_s}
    numbers |= {f"{name}, TFLOP/s": rate for name, rate in ceilings.tflops.items()}
    return PartResult(numbers), ceilings, slots


def _measure_ceilings(load: GpuWorkload) -> Ceilings:
    size = (1 << 30, 8_192) if load.is_on_gpu else (1 << 20, 128)
    source = torch.randn(size[0], device=load.device)
    target = torch.empty_like(source)
    copy_s = _median_s(lambda: target.copy_(source), load)
    rates = {}
    allowed = torch.backends.cuda.matmul.allow_tf32
    for name, dtype in (("bfloat16", torch.bfloat16), ("tf32", torch.float32), ("float32", torch.float32)):
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        left, right = (torch.randn(size[1], size[1], device=load.device).to(dtype) for _ in range(2))
        seconds = _median_s(lambda left=left, right=right: left @ right, load)  # type: ignore[misc]
        rates[name] = 2 * size[1] ** 3 / seconds / 1e12
    torch.backends.cuda.matmul.allow_tf32 = allowed
    return Ceilings(2 * 4 * size[0] / copy_s / 1e9, rates)


def check_equality(networks: Networks) -> PartResult:
    """Greedy tokens in float32 against the CPU's; sampled tokens in bfloat16, in isolation and in a crowd."""
    load = networks.load
    num_slots = min(32, load.num_prompts)
    tasks = make_tasks(networks.vocabulary, [load.num_frames] * load.num_prompts)
    requests = [task.request for task in tasks]
    expected = _answer(
        LLMEngine(EagerRunner(networks.cpu_model(num_slots), num_slots, networks.vocabulary, _GREEDY)), requests
    )
    found = _answer(networks.engine(num_slots, torch.float32, _GREEDY), requests)
    unequal = [request for request in requests if found[request.request_id] != expected[request.request_id]]
    ties = sum(_is_near_tie(networks, request, expected, found) for request in unequal)
    engine = networks.engine(num_slots, load.fast_dtype)
    crowd = _answer(engine, requests)
    isolated = {name: tokens for request in requests[:_ISOLATED] for name, tokens in _answer(engine, [request]).items()}
    reversed_order = _answer(engine, requests[::-1])
    numbers = {"prompts": len(requests), "tokens of each": load.num_frames, "unequal from a near tie on": ties}
    return PartResult(
        numbers,
        [
            Limit("float32, greedy: prompts with the CPU's tokens, or up to a near tie",
                  len(requests) - len(unequal) + ties, "==", len(requests)),
            Limit(f"{load.fast_dtype}: takes as in isolation",
                  sum(crowd[name] == tokens for name, tokens in isolated.items()), "==", len(isolated)),
            Limit(f"{load.fast_dtype}: takes as in reversed order",
                  sum(reversed_order[name] == crowd[name] for name in crowd), "==", len(crowd)),
        ],
    )  # fmt: skip


def _is_near_tie(
    networks: Networks, request: Request, expected: dict[Any, list[int]], found: dict[Any, list[int]]
) -> bool:
    """Return whether the first token that differs was nearly as likely, by the CPU's logits."""
    ours, theirs = found[request.request_id], expected[request.request_id]
    place = next((index for index, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    if place is None:
        return False  # One of them ended before the other.
    semantic = networks.vocabulary.semantic_ids
    forced = [step for step in request.grammar.steps if isinstance(step, int)]
    ids = [*request.prompt_ids, *forced, *(semantic[token] for token in theirs[:place])]
    model = networks.cpu_model(1)
    hidden_H = model.prefill(torch.tensor(ids), 0)[-1].float()
    pair = torch.tensor([semantic[ours[place]], semantic[theirs[place]]])
    logits = model.head_rows(pair) @ hidden_H
    return bool((logits[0] - logits[1]).abs() < _NEAR_TIE)


def measure_codec(networks: Networks, ceilings: Ceilings) -> PartResult:
    """Audio against the CPU's, and what a second of it takes, in float32 and bfloat16."""
    load = networks.load
    tasks = networks.tasks(min(load.num_utterances, 256))
    model_dir = write_codec(load.sizes_dir, load.folder)
    codec = BiCodec.load(model_dir, device=load.device)
    items = [draw_tokens(codec, task) for task in tasks]
    few = items[:4]
    official = OfficialDecoder(model_dir, codec.config)
    expected = [official.decode(tokens, voice) for tokens, voice in few]
    audio_s = sum(task.num_frames for task in tasks) / FRAME_RATE
    result = PartResult()
    for dtype, bound in ((torch.float32, -50.0), (torch.bfloat16, -25.0)):
        name = str(dtype).removeprefix("torch.")
        codec = BiCodec.load(model_dir, device=load.device, dtype=dtype)
        error = _error_db(_decode(codec, few), expected)
        result.limits.append(Limit(f"{name}: error against the official decoder on the CPU, dB", error, "<=", bound))

        def decode(codec: BiCodec = codec) -> None:
            _decode(codec, items)

        seconds = _median_s(decode, load, num_tries=3)
        arithmetic = "tf32" if dtype == torch.float32 and torch.backends.cudnn.allow_tf32 else name
        rate = audio_s * GFLOP_PER_S_OF_CODEC / 1e3 / seconds
        result.numbers |= {
            f"{name}: x real time": audio_s / seconds,
            f"{name}: TFLOP/s": rate,
            f"{name}: share of the card's {arithmetic}": rate / ceilings.tflops[arithmetic],
            **{f"{name}: {kind}": time_ms for kind, time_ms in _share_kernels(decode, load).items()},
        }
        del codec
    return result


def check_two_threads(networks: Networks) -> PartResult:
    """Two units decoded at once in one codec, as two calls of a replica are: to the bit as one after the other."""
    load = networks.load
    model_dir = write_codec(load.sizes_dir, load.folder)
    codec = BiCodec.load(model_dir, device=load.device)
    num_items = 24 if load.is_on_gpu else 2
    units = [
        [draw_tokens(codec, task) for task in networks.tasks(num_items, seed=1_000 * number)] for number in range(2)
    ]
    expected = [_decode(codec, unit) for unit in units]
    num_equal = num_decoded = 0
    for _ in range(5 if load.is_on_gpu else 1):
        with ThreadPoolExecutor(len(units)) as pool:
            found = list(pool.map(lambda unit: _decode(codec, unit), units))
        pairs = [pair for ours, theirs in zip(found, expected, strict=True) for pair in zip(ours, theirs, strict=True)]
        # On a CPU the libraries' bits follow from the place in a pack.
        num_equal += sum(torch.equal(*pair) if load.is_on_gpu else torch.allclose(*pair, atol=1e-4) for pair in pairs)
        num_decoded += len(pairs)
    return PartResult({}, [Limit("takes of two units at once as of each by itself", num_equal, "==", num_decoded)])


def _error_db(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    error = sum(float((a - b).square().sum()) for a, b in zip(found, expected, strict=True))
    power = sum(float(b.square().sum()) for b in expected)
    return 10 * torch.log10(torch.tensor(max(error, 1e-30) / power)).item()


def measure_step(networks: Networks, num_slots: int, ceilings: Ceilings) -> PartResult:
    """What reading prompts and a step of all slots take, the host's part included; against the counted least."""
    load = networks.load
    dtype = load.fast_dtype
    engine = networks.engine(num_slots, dtype)
    ids = torch.randint(len(networks.vocabulary.semantic_ids), (num_slots, load.context)).tolist()
    num_steps = 100 if load.is_on_gpu else 1
    for row, prompt_ids in enumerate(ids):
        engine.add(Request(row, prompt_ids, AnswerGrammar(()), row, load.max_context - load.context))
    prefill_s = _time(engine.step, load)

    def take_steps() -> None:
        for _ in range(num_steps):
            engine.step()

    step_s = _time(take_steps, load) / num_steps
    kinds = _share_kernels(engine.step, load)
    sizes = networks.config
    cache_bytes = 2 * sizes.num_hidden_layers * sizes.num_key_value_heads * sizes.head_dim * dtype.itemsize
    read_s = num_slots * (load.context + num_steps / 2) * cache_bytes / (ceilings.copy_gb_s * 1e9)
    product_s = num_slots * GFLOP_PER_TOKEN * 1e9 / (ceilings.tflops["bfloat16"] * 1e12)
    share = (read_s + product_s) / step_s
    numbers = {
        "step, ms": step_s * 1e3,
        "x real time": num_slots / FRAME_RATE / step_s,
        "least for products, ms": product_s * 1e3,
        "least for reading the cache, ms": read_s * 1e3,
        "share of the least": share,
        "tokens of prompts a second": num_slots * load.context / prefill_s,
        **kinds,
    }
    is_judged = load.is_on_gpu and num_slots >= 1_024
    limits = [Limit("share of the least that reads and products take", share, ">=", _LEAST_STEP_SHARE)]
    return PartResult(numbers, limits if is_judged else [])


def measure_small(networks: Networks) -> PartResult:
    """Peak memory of configs/small_gpu.yaml: 8 slots of 1,024 positions and packs of 512 frames, both in bfloat16."""
    small = replace(networks, load=replace(networks.load, max_context=min(1_024, networks.load.max_context)))
    load = small.load
    free_before = 0
    if load.is_on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        free_before = torch.cuda.mem_get_info()[0]
    engine = small.engine(8 if load.is_on_gpu else 2, load.fast_dtype)
    codec = BiCodec.load(
        write_codec(load.sizes_dir, load.folder), device=load.device, dtype=load.fast_dtype, pack_frames=512
    )
    codec.prepare_decoding()
    tasks = small.tasks(16 if load.is_on_gpu else 2)
    begin = time.perf_counter()
    _synthesize(engine, codec, tasks)
    seconds = time.perf_counter() - begin
    result = PartResult({"x real time": sum(task.num_frames for task in tasks) / FRAME_RATE / seconds})
    if load.is_on_gpu:
        taken = (free_before - torch.cuda.mem_get_info()[0]) / 2**30
        result.numbers["allocated at most, GiB"] = torch.cuda.max_memory_allocated() / 2**30
        result.limits.append(Limit("taken from the card, GiB", taken, "<=", _SMALL_CARD_GIB))
    return result


def measure_pipeline(networks: Networks, num_slots: int, ceilings: Ceilings) -> PartResult:
    """Synthesize the workload: the official way on few utterances, then ours, one stage after the other."""
    load = networks.load
    tasks = networks.tasks(load.num_utterances)
    tasks.sort(key=lambda task: -task.num_frames)  # As a replica starts a unit's rows.
    audio_s = sum(task.num_frames for task in tasks) / FRAME_RATE
    model_dir = write_codec(load.sizes_dir, load.folder)
    official_rate = _synthesize_officially(networks, model_dir)
    engine = networks.engine(num_slots, load.fast_dtype)
    codec = BiCodec.load(model_dir, device=load.device, dtype=load.fast_dtype)
    _synthesize(engine, codec, tasks[:2])
    llm_s = _time(lambda: _answer(engine, [task.request for task in tasks]), load)
    items = [draw_tokens(codec, task) for task in tasks]
    codec_s = _time(lambda: _decode(codec, items), load)
    counted = audio_s * (GFLOP_PER_TOKEN * FRAME_RATE + GFLOP_PER_S_OF_CODEC) / 1e3 / ceilings.tflops["bfloat16"]
    ratio = audio_s / (llm_s + codec_s) / official_rate
    numbers = {
        "audio, s": audio_s,
        "language model, x real time": audio_s / llm_s,
        "codec, x real time": audio_s / codec_s,
        "together, x real time": audio_s / (llm_s + codec_s),
        "official way, x real time": official_rate,
        "times as fast as the official way": ratio,
        "share of the counted products": counted / (llm_s + codec_s),
    }
    limits = [Limit("times as fast as the official way", ratio, ">=", _LEAST_RATIO)]
    return PartResult(numbers, limits if load.is_on_gpu else [])


def _synthesize_officially(networks: Networks, model_dir: Path) -> float:
    """Return seconds of audio a second: float32, full head, one utterance at a time, on the same device."""
    load = networks.load
    tasks = networks.tasks(3, seed=1_000_000)
    llm = OfficialLLM(networks.config, dict(networks.tensors), networks.vocabulary.stop_ids[0])
    codec = BiCodec.load(model_dir, device="cpu")
    decoder = OfficialDecoder(model_dir, codec.config, load.device)
    llm.network.to(load.device)
    items = [draw_tokens(codec, task) for task in tasks]

    def synthesize() -> None:
        for task, (tokens, speaker) in zip(tasks, items, strict=True):
            llm.generate([task])
            decoder.decode(tokens.to(load.device), speaker.to(load.device))

    seconds = _time(synthesize, load)
    # Ours has a copy of its own on the device.
    llm.network.to("cpu")
    return sum(task.num_frames for task in tasks) / FRAME_RATE / seconds


def _synthesize(engine: LLMEngine, codec: BiCodec, tasks: list[Task]) -> None:
    _answer(engine, [task.request for task in tasks])
    items = [draw_tokens(codec, task) for task in tasks]
    _decode(codec, items)


def _answer(engine: LLMEngine, requests: list[Request]) -> dict[Any, list[int]]:
    return {answer.request_id: answer.semantic_tokens.tolist() for answer in engine.generate(requests)}


def _decode(codec: BiCodec, items: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    return codec.decode([tokens for tokens, _ in items], torch.stack([voice for _, voice in items]))


def _time(run: Callable[[], Any], load: GpuWorkload) -> float:
    _settle(load)
    begin = time.perf_counter()
    run()
    _settle(load)
    return time.perf_counter() - begin


def _median_s(run: Callable[[], Any], load: GpuWorkload, *, num_tries: int = 20) -> float:
    """Return the median time of a call, in seconds, after one that is not counted."""
    run()
    return statistics.median(_time(run, load) for _ in range(num_tries if load.is_on_gpu else 1))


def _settle(load: GpuWorkload) -> None:
    if load.is_on_gpu:
        torch.cuda.synchronize()


def _share_kernels(run: Callable[[], Any], load: GpuWorkload) -> dict[str, float]:
    """Return the device's time for each kind of kernel in one call, in ms; by torch's own profiler."""
    if not load.is_on_gpu:
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
