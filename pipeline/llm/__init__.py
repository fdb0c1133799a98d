"""Qwen2 with a fixed number of slots: prompts in, semantic tokens out."""

from pipeline.llm.engine import Generation, LLMEngine, Request
from pipeline.llm.sampling import SamplingParams

__all__ = ["Generation", "LLMEngine", "Request", "SamplingParams"]
