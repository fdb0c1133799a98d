"""Both networks on a card: the small configuration's memory, and the workload against the official way."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch

from pipeline.benchmark.gpu.card import Ceilings
from pipeline.benchmark.gpu.clock import time_s
from pipeline.benchmark.gpu.verdict import Limit, PartResult
from pipeline.benchmark.gpu.workload import Networks, answer, decode_items
from pipeline.benchmark.machine import GFLOP_PER_S_OF_CODEC, GFLOP_PER_TOKEN
from pipeline.benchmark.official import OfficialDecoder, OfficialLLM
from pipeline.benchmark.workload import FRAME_RATE, Task, draw_tokens, write_codec
from pipeline.codec import BiCodec
from pipeline.llm import LLMEngine

_LEAST_RATIO = 20.0
"""Times as fast as the official way, at least."""
_SMALL_CARD_GIB = 2.0


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
    llm_s = time_s(lambda: answer(engine, [task.request for task in tasks]), load)
    items = [draw_tokens(codec, task) for task in tasks]
    codec_s = time_s(lambda: decode_items(codec, items), load)
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

    seconds = time_s(synthesize, load)
    # Ours has a copy of its own on the device.
    llm.network.to("cpu")
    return sum(task.num_frames for task in tasks) / FRAME_RATE / seconds


def _synthesize(engine: LLMEngine, codec: BiCodec, tasks: list[Task]) -> None:
    answer(engine, [task.request for task in tasks])
    items = [draw_tokens(codec, task) for task in tasks]
    decode_items(codec, items)
