"""Requests of many kinds, and an engine's answers as values that can be compared."""

from __future__ import annotations

from typing import Any

from pipeline.llm import Generation, LLMEngine, Request
from pipeline.llm.prompt import Voice, build_prompt

KNOWN = Voice(global_tokens=tuple(range(0, 3200, 100)))

LABELS = Voice(gender="male", pitch="low", speed="high")


def make_requests(engine: LLMEngine, num_requests: int, cap: int = 60) -> list[Request]:
    """Texts of very different lengths, known and created voices in turn."""
    requests = []
    for index in range(num_requests):
        text = "word " * (index * 5 % 13) + f"and {index}."
        prompt = build_prompt(engine.vocabulary, text, LABELS if index % 3 == 1 else KNOWN)
        requests.append(Request(index, prompt.ids, prompt.grammar, 1000 + index, cap))
    return requests


def record(generation: Generation) -> tuple[Any, ...]:
    globals_ = generation.global_tokens
    return (
        generation.semantic_tokens.tolist(),
        None if globals_ is None else globals_.tolist(),
        generation.pitch_value,
        generation.speed_value,
        generation.hit_length_cap,
        generation.num_steps,
    )


def answer(engine: LLMEngine, requests: list[Request]) -> dict[Any, tuple[Any, ...]]:
    return {generation.request_id: record(generation) for generation in engine.generate(requests)}
