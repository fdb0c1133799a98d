"""The tiny reference model, loaded once, and what the official code made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from pipeline.llm.prompt import SpeechVocabulary

REFERENCE = Path(__file__).parents[1] / "fixtures" / "reference"


@pytest.fixture(scope="session")
def tiny_dir() -> Path:
    return REFERENCE / "tiny"


@pytest.fixture(scope="session")
def vocabulary() -> SpeechVocabulary:
    return SpeechVocabulary.load(REFERENCE / "tiny" / "LLM")


@pytest.fixture(scope="session")
def golden_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((REFERENCE / "golden" / "llm.json").read_text())
    return cases


@pytest.fixture(scope="session")
def golden_tensors() -> dict[str, Tensor]:
    return load_file(REFERENCE / "golden" / "llm.safetensors")
