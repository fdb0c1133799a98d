"""The language model on a card: its tokens against the CPU's, then what prompts and a step take."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.benchmark.gpu.card import Ceilings
from pipeline.benchmark.gpu.clock import share_kernels, time_s
from pipeline.benchmark.gpu.verdict import Limit, PartResult
from pipeline.benchmark.gpu.workload import Networks, answer
from pipeline.benchmark.machine import GFLOP_PER_TOKEN
from pipeline.benchmark.workload import FRAME_RATE, make_tasks
from pipeline.llm import LLMEngine, Request, SamplingParams
from pipeline.llm.eager_runner import EagerRunner
from pipeline.llm.prompt import AnswerGrammar

_GREEDY = SamplingParams(temperature=0.0)
_NEAR_TIE = 1e-3
"""Logits that lie so near to each other may change places between two ways of adding up float32."""
_ISOLATED = 8
"""Prompts that are answered once more, by themselves."""
_LEAST_STEP_SHARE = 0.4


def check_equality(networks: Networks) -> PartResult:
    """Greedy tokens in float32 against the CPU's; sampled tokens in bfloat16, in isolation and in a crowd."""
    load = networks.load
    num_slots = min(32, load.num_prompts)
    tasks = make_tasks(networks.vocabulary, [load.num_frames] * load.num_prompts)
    requests = [task.request for task in tasks]
    expected = answer(
        LLMEngine(EagerRunner(networks.cpu_model(num_slots), num_slots, networks.vocabulary, _GREEDY)), requests
    )
    found = answer(networks.engine(num_slots, torch.float32, _GREEDY), requests)
    unequal = [request for request in requests if found[request.request_id] != expected[request.request_id]]
    ties = sum(_is_near_tie(networks, request, expected, found) for request in unequal)
    engine = networks.engine(num_slots, load.fast_dtype)
    crowd = answer(engine, requests)
    isolated = {name: tokens for request in requests[:_ISOLATED] for name, tokens in answer(engine, [request]).items()}
    reversed_order = answer(engine, requests[::-1])
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


def measure_step(
    networks: Networks, num_slots: int, ceilings: Ceilings, cache_dtype: torch.dtype | None = None
) -> PartResult:
    """What reading prompts and a step of all slots take, the host's part included; against the counted least."""
    load = networks.load
    dtype = load.fast_dtype
    engine = networks.engine(num_slots, dtype, cache_dtype=cache_dtype)
    ids = torch.randint(len(networks.vocabulary.semantic_ids), (num_slots, load.context)).tolist()
    num_steps = 100 if load.is_on_gpu else 1
    for row, prompt_ids in enumerate(ids):
        engine.add(Request(row, prompt_ids, AnswerGrammar(()), row, load.max_context - load.context))
    prefill_s = time_s(engine.step, load)

    def take_steps() -> None:
        for _ in range(num_steps):
            engine.step()

    step_s = time_s(take_steps, load) / num_steps
    kinds = share_kernels(engine.step, load)
    sizes = networks.config
    width = (cache_dtype or dtype).itemsize
    cache_bytes = 2 * sizes.num_hidden_layers * sizes.num_key_value_heads * sizes.head_dim * width
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
        **_describe_gate(engine),
    }
    is_judged = load.is_on_gpu and num_slots >= 1_024
    limits = [Limit("share of the least that reads and products take", share, ">=", _LEAST_STEP_SHARE)]
    return PartResult(numbers, limits if is_judged else [])


def _describe_gate(engine: LLMEngine) -> dict[str, Any]:
    """Return what the trials at load found, in ms for all layers; tiles that are missing gave other bits."""
    trials = getattr(engine.runner.model, "gate_trials", {})
    return {
        f"gates of {num_tokens} tokens, ms": {way: seconds * 1e3 for way, seconds in trial.seconds.items()}
        for num_tokens, trial in trials.items()
    }
