"""The codec on a card: its audio against the official decoder's and its own, then what a second of it takes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from pipeline.benchmark.gpu.card import Ceilings
from pipeline.benchmark.gpu.clock import median_s, share_kernels
from pipeline.benchmark.gpu.verdict import Limit, PartResult
from pipeline.benchmark.gpu.workload import Networks, decode_items
from pipeline.benchmark.machine import GFLOP_PER_S_OF_CODEC
from pipeline.benchmark.official import OfficialDecoder
from pipeline.benchmark.workload import FRAME_RATE, draw_tokens, write_codec
from pipeline.codec import BiCodec

_MOST_ERROR_DB = -50.0


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
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        codec = BiCodec.load(model_dir, device=load.device, dtype=dtype)
        error = _error_db(decode_items(codec, few), expected)
        result.limits.append(
            Limit(f"{name}: error against the official decoder on the CPU, dB", error, "<=", _MOST_ERROR_DB)
        )

        def decode(codec: BiCodec = codec) -> None:
            decode_items(codec, items)

        seconds = median_s(decode, load, num_tries=3)
        arithmetic = "tf32" if dtype == torch.float32 and torch.backends.cudnn.allow_tf32 else name
        rate = audio_s * GFLOP_PER_S_OF_CODEC / 1e3 / seconds
        result.numbers |= {
            f"{name}: x real time": audio_s / seconds,
            f"{name}: TFLOP/s": rate,
            f"{name}: share of the card's {arithmetic}": rate / ceilings.tflops[arithmetic],
            **{f"{name}: {kind}": time_ms for kind, time_ms in share_kernels(decode, load).items()},
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
    expected = [decode_items(codec, unit) for unit in units]
    num_equal = num_decoded = 0
    for _ in range(5 if load.is_on_gpu else 1):
        with ThreadPoolExecutor(len(units)) as pool:
            found = list(pool.map(lambda unit: decode_items(codec, unit), units))
        pairs = [pair for ours, theirs in zip(found, expected, strict=True) for pair in zip(ours, theirs, strict=True)]
        # On a CPU the libraries' bits follow from the place in a pack.
        num_equal += sum(torch.equal(*pair) if load.is_on_gpu else torch.allclose(*pair, atol=1e-4) for pair in pairs)
        num_decoded += len(pairs)
    return PartResult({}, [Limit("takes of two units at once as of each by itself", num_equal, "==", num_decoded)])


def _error_db(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    error = sum(float((a - b).square().sum()) for a, b in zip(found, expected, strict=True))
    power = sum(float(b.square().sum()) for b in expected)
    return 10 * torch.log10(torch.tensor(max(error, 1e-30) / power)).item()
