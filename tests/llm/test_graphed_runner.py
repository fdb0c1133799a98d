"""The GPU's runner gives the CPU's answers: on a GPU, or else without graphs by Triton's interpreter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("triton", reason="the GPU's kernels need Triton; pip install triton")

from pipeline.llm import LLMEngine, Request, SamplingParams
from pipeline.llm.checkpoint import Qwen2Config
from pipeline.llm.eager_runner import EagerRunner
from pipeline.llm.fused_qwen2 import FusedQwen2
from pipeline.llm.gated_product import GateTiles, GateTrial
from pipeline.llm.graphed_runner import GraphedRunner
from pipeline.llm.kernels import NOT_LIVE, Tiles
from pipeline.llm.prompt import AnswerGrammar, Choice, Family, Forced, SpeechVocabulary
from pipeline.llm.qwen2 import Qwen2, StepShapes
from tests.llm.answers import answer
from tests.recorded_graph import RecordedGraph

# Few candidates: the interpreter takes milliseconds for each.
SAMPLING = SamplingParams(top_k=3)
NUM_SLOTS = 2


def load(
    network_class: type[Qwen2], tiny_dir: Path, num_layers: int = 1, cache_dtype: torch.dtype | None = None
) -> Any:
    """A network with few layers and no more rows than slots: the interpreter takes milliseconds for every program."""
    config = replace(Qwen2Config.read(tiny_dir / "LLM" / "config.json"), num_hidden_layers=num_layers)
    tensors = load_file(tiny_dir / "LLM" / "model.safetensors")
    device = "cuda" if network_class is FusedQwen2 and torch.cuda.is_available() else "cpu"
    tensors = {name: tensor.to(device, torch.float32) for name, tensor in tensors.items()}
    return network_class(config, tensors, NUM_SLOTS, 64, StepShapes(row_tile=1, can_shrink=False), cache_dtype)


def gate_inside_its_product(model: FusedQwen2, monkeypatch: pytest.MonkeyPatch) -> FusedQwen2:
    """As on a card that is faster with it, for calls of any size."""

    class Always(dict[int, GateTrial]):
        def get(self, num_tokens: int, default: Any = None) -> GateTrial:
            return GateTrial(GateTiles(16, 16, 16, 4, 2), {})

    monkeypatch.setattr(model, "gate_trials", Always())
    return model


@pytest.fixture(scope="module")
def eager(tiny_dir: Path, vocabulary: SpeechVocabulary) -> LLMEngine:
    return LLMEngine(EagerRunner(load(Qwen2, tiny_dir), NUM_SLOTS, vocabulary, SAMPLING))


@pytest.fixture(scope="module")
def graphed(tiny_dir: Path, vocabulary: SpeechVocabulary) -> LLMEngine:
    return LLMEngine(GraphedRunner(load(FusedQwen2, tiny_dir), NUM_SLOTS, vocabulary, SAMPLING, pack_tokens=16))


def make_request(
    vocabulary: SpeechVocabulary, number: int, length: int, cap: int, *opening: Forced | Choice
) -> Request:
    ids = torch.randint(1_000, (length,), generator=torch.Generator().manual_seed(number)).tolist()
    return Request(number, ids, AnswerGrammar((Forced((vocabulary.semantic_ids[0],)), *opening)), 100 + number, cap)


def read_prompt(model: FusedQwen2, ids: torch.Tensor, slot: int) -> torch.Tensor:
    """Run a prompt as a pack of its own, rounded up to whole tiles."""
    num_ids, size = len(ids), model.tile_tokens
    padded = -(-num_ids // size) * size
    position = torch.arange(padded, device=model.device)
    position[num_ids:] = NOT_LIVE
    first = torch.arange(0, padded, size, dtype=torch.int32, device=model.device)
    slots = torch.full((padded,), slot, dtype=torch.int32, device=model.device)
    tiles = Tiles(first, (num_ids - first).clamp(max=size).int(), slots[: len(first)], first, size)
    ids = torch.nn.functional.pad(ids, (0, padded - num_ids)).to(model.device)
    return model.run_tokens(ids, position, slots, tiles)[:num_ids]


@pytest.mark.parametrize("is_gate_inside", [False, True])
def test_the_network_gives_the_plain_hidden_states(
    tiny_dir: Path, is_gate_inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = load(Qwen2, tiny_dir, num_layers=2)
    if is_gate_inside:
        monkeypatch.setattr("pipeline.hardware.packed_linear._pack", lambda weight: None)  # As on a card.
    fused = load(FusedQwen2, tiny_dir, num_layers=2)
    if is_gate_inside:
        gate_inside_its_product(fused, monkeypatch)
    with torch.inference_mode():
        for slot, length in ((0, 5), (1, 21)):
            ids = torch.randint(1_000, (length,))
            found, expected = read_prompt(fused, ids, slot).cpu(), eager.prefill(ids, slot)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        ids, positions = torch.randint(1_000, (2,)), torch.tensor([5, 21])
        found = fused.decode_step(ids.to(fused.device), positions.to(fused.device)).cpu()
        expected = eager.decode_step(ids, positions, 22)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_answers_are_the_eager_runners_whatever_the_order(eager: LLMEngine, graphed: LLMEngine) -> None:
    """More requests than slots, a prompt longer than a pack, packs of several prompts, and one voice created."""
    vocabulary = eager.vocabulary
    lengths = [(3, 4), (20, 2), (5, 1)]
    requests = [make_request(vocabulary, number, *sizes) for number, sizes in enumerate(lengths)]
    opening = (Choice(Family.PITCH_VALUE, 1), Forced((vocabulary.semantic_ids[7],)), Choice(Family.GLOBAL, 2))
    requests.insert(2, make_request(vocabulary, 9, 4, 2, *opening))
    expected = answer(eager, requests)
    assert answer(graphed, requests) == expected
    assert answer(graphed, requests[::-1]) == expected


def test_answers_of_a_cache_in_float8_are_the_eager_runners(tiny_dir: Path, vocabulary: SpeechVocabulary) -> None:
    eager, graphed = (load(network, tiny_dir, cache_dtype=torch.float8_e4m3fn) for network in (Qwen2, FusedQwen2))
    requests = [make_request(vocabulary, number, *sizes) for number, sizes in enumerate([(3, 4), (20, 3)])]
    expected = answer(LLMEngine(EagerRunner(eager, NUM_SLOTS, vocabulary, SAMPLING)), requests)
    runner = GraphedRunner(graphed, NUM_SLOTS, vocabulary, SAMPLING, pack_tokens=16)
    assert answer(LLMEngine(runner), requests) == expected


def test_a_cancelled_request_leaves_no_trace(eager: LLMEngine, graphed: LLMEngine) -> None:
    first, second, third = (make_request(eager.vocabulary, number, 3, 3) for number in range(3))
    for request in (first, second, third):
        graphed.add(request)
    graphed.step()
    graphed.cancel(1)
    found = {}
    while graphed.has_work:
        found |= {generation.request_id: generation.semantic_tokens.tolist() for generation in graphed.step()}
    expected = answer(eager, [first, third])
    assert found == {number: record[0] for number, record in expected.items()}
    assert answer(graphed, [second]) == answer(eager, [second])


def test_graphs_replay_what_is_computed(eager: LLMEngine, tiny_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What must not move in memory: graphs as a card has them, recorded once and replayed with other inputs."""
    graphs = []

    def record(run: Callable[[], None], device: torch.device) -> Callable[[], None]:
        graphs.append(RecordedGraph(run, device))
        return graphs[-1]

    monkeypatch.setattr("pipeline.hardware.packed_linear._pack", lambda weight: None)  # As on a card.
    model = gate_inside_its_product(load(FusedQwen2, tiny_dir), monkeypatch)
    runner = GraphedRunner(model, NUM_SLOTS, eager.vocabulary, SAMPLING, pack_tokens=16, record=record)
    requests = [
        make_request(eager.vocabulary, number, *sizes) for number, sizes in enumerate([(3, 4), (20, 2), (5, 3)])
    ]
    assert answer(LLMEngine(runner), requests) == answer(eager, requests)
    assert len(graphs) == 2 and all(graph.threads for graph in graphs)


def test_a_card_is_tried_with_the_calls_that_will_come(tiny_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 on a card alone, and with rows enough for it to matter; the trial itself is tested elsewhere."""
    monkeypatch.setattr("pipeline.hardware.packed_linear._pack", lambda weight: None)
    model = load(FusedQwen2, tiny_dir, num_layers=2)
    trial = GateTrial(GateTiles(16, 16, 16, 4, 2), {"cuBLAS": 1.0})
    tried = []

    def try_on_card(weights: list[torch.Tensor], num_tokens: int) -> GateTrial:
        tried.append((len(weights), num_tokens))
        return trial

    monkeypatch.setattr("pipeline.llm.gated_product.try_on_card", try_on_card)
    model.try_gate(1_024)
    assert tried == [] and model.gate_trials == {}
    monkeypatch.setattr(FusedQwen2, "device", torch.device("cuda"))
    monkeypatch.setattr(FusedQwen2, "dtype", torch.bfloat16)
    for num_tokens in (8, 64, 1_024):
        model.try_gate(num_tokens)
    assert tried == [(2, 64), (2, 1_024)] and model.gate_trials == {64: trial, 1_024: trial}


def test_a_prompt_that_depends_on_its_place_is_reported(
    tiny_dir: Path, vocabulary: SpeechVocabulary, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def drift(self: FusedQwen2, ids: torch.Tensor, *others: Any) -> torch.Tensor:
        return torch.arange(len(ids), dtype=torch.float32)[:, None].expand(-1, 32)

    def even(self: FusedQwen2, ids: torch.Tensor, positions: torch.Tensor, num_live: int = 0) -> torch.Tensor:
        return torch.zeros(len(ids), 32)

    monkeypatch.setattr(FusedQwen2, "decode_step", even)
    monkeypatch.setattr(FusedQwen2, "run_tokens", drift)
    GraphedRunner(load(FusedQwen2, tiny_dir), NUM_SLOTS, vocabulary, SAMPLING, pack_tokens=16)
    assert "a take may depend on its place" in caplog.text


def test_a_row_that_depends_on_its_place_is_reported(
    tiny_dir: Path, vocabulary: SpeechVocabulary, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def drift(self: FusedQwen2, ids: torch.Tensor, positions: torch.Tensor, num_live: int = 0) -> torch.Tensor:
        return torch.arange(len(ids), dtype=torch.float32)[:, None].expand(-1, 32)

    monkeypatch.setattr(FusedQwen2, "decode_step", drift)
    GraphedRunner(load(FusedQwen2, tiny_dir), NUM_SLOTS, vocabulary, SAMPLING, pack_tokens=16)
    assert "a take may depend on its place" in caplog.text
