"""The tiny reference model, loaded once, and what the official code made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
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


@pytest.fixture
def on_the_gpu() -> Iterator[None]:
    """Where there is one, all tensors are made there."""
    torch.manual_seed(0)
    torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
    yield
    torch.set_default_device("cpu")
