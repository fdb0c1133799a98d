from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError, WeightsError
from pipeline.llm import LLMEngine, Request, SamplingParams
from pipeline.llm.eager_runner import EagerRunner
from pipeline.llm.prompt import NUM_GLOBAL_TOKENS, AnswerGrammar, Forced, Voice, build_prompt
from tests.llm.answers import KNOWN, LABELS, answer, make_requests, record


@pytest.fixture(scope="module")
def random_dir(random_weights: str) -> Path:
    return Path(random_weights)


@pytest.fixture(scope="module")
def engine(random_dir: Path) -> LLMEngine:
    return LLMEngine.load(random_dir, num_slots=8, max_context=512)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_slots", [3, 8])
def test_a_take_is_the_same_in_isolation_in_a_crowd_and_in_reverse(
    random_dir: Path, dtype: torch.dtype, num_slots: int
) -> None:
    engine = LLMEngine.load(random_dir, num_slots=num_slots, max_context=512, dtype=dtype)
    requests = make_requests(engine, 3 * num_slots, cap=24)
    crowd = answer(engine, requests)
    assert set(crowd) == {request.request_id for request in requests}
    assert answer(engine, requests[::-1]) == crowd
    for request in requests[5:7]:
        assert answer(engine, [request]) == {request.request_id: crowd[request.request_id]}
    assert len({tuple(taken[0]) for taken in crowd.values()}) == len(crowd)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_running_only_the_rows_that_are_used_changes_no_token(random_dir: Path, dtype: torch.dtype) -> None:
    """As answers end, the rest move together and fewer rows run; compared with an engine that always runs all."""
    engine = LLMEngine.load(random_dir, num_slots=32, max_context=512, dtype=dtype)
    if not engine.runner._can_shrink:
        pytest.skip("on this machine a row's bits depend on the number of rows, so that all of them always run")
    requests = make_requests(engine, 40, cap=36)
    numbers_of_rows = []
    decode_step = engine.runner.model.decode_step

    def count_rows(ids: torch.Tensor, positions: torch.Tensor, num_live: int) -> torch.Tensor:
        numbers_of_rows.append(len(ids))
        return decode_step(ids, positions, num_live)

    engine.runner.model.decode_step = count_rows  # type: ignore[method-assign]
    shrinking = answer(engine, requests)
    assert set(numbers_of_rows) == {8, 16, 24, 32}
    numbers_of_rows.clear()
    engine.runner._can_shrink = False
    assert answer(engine, requests) == shrinking
    assert set(numbers_of_rows) == {32}


def test_another_engine_gives_the_same_takes(engine: LLMEngine, random_dir: Path) -> None:
    requests = make_requests(engine, 4)
    assert answer(LLMEngine.load(random_dir / "LLM", num_slots=8, max_context=512), requests) == answer(
        engine, requests
    )


def test_another_seed_gives_another_take(engine: LLMEngine) -> None:
    (request,) = make_requests(engine, 1)
    other = Request(1, request.prompt_ids, request.grammar, request.seed + 1, request.max_semantic_tokens)
    taken = answer(engine, [request, other])
    assert taken[0][0] != taken[1][0]


def test_answers_follow_the_grammar(engine: LLMEngine) -> None:
    for generation in engine.generate(make_requests(engine, 30, cap=30)):
        tokens = generation.semantic_tokens
        assert tokens.dtype == np.int64 and 0 <= len(tokens) <= 30
        assert len(tokens) == 0 or (tokens.min() >= 0 and tokens.max() < 8192)
        assert generation.hit_length_cap == (len(tokens) == 30)
        is_created = int(generation.request_id) % 3 == 1
        opening = 1 + 1 + 2 + NUM_GLOBAL_TOKENS + 2 if is_created else 0
        assert generation.num_steps == opening + len(tokens) + (not generation.hit_length_cap)
        if is_created:
            assert generation.global_tokens is not None and len(generation.global_tokens) == NUM_GLOBAL_TOKENS
            assert 0 <= generation.global_tokens.min() and generation.global_tokens.max() < 4096
            assert generation.pitch_value in range(1001) and generation.speed_value in range(11)
        else:
            assert (generation.global_tokens, generation.pitch_value, generation.speed_value) == (None,) * 3


def test_a_created_voice_repeated_continues_as_it_began(engine: LLMEngine) -> None:
    """The stored opening leads to the same state as the sampled one: greedy tokens agree."""
    greedy = LLMEngine(EagerRunner(engine.runner.model, 8, engine.vocabulary, SamplingParams(temperature=0.0)))
    prompt = build_prompt(engine.vocabulary, "Say it again.", LABELS)
    (first,) = greedy.generate([Request("a", prompt.ids, prompt.grammar, 1, 20)])
    assert first.global_tokens is not None
    stored = Voice(
        global_tokens=tuple(first.global_tokens.tolist()),
        gender=LABELS.gender,
        pitch=LABELS.pitch,
        speed=LABELS.speed,
        pitch_value=first.pitch_value,
        speed_value=first.speed_value,
    )
    prompt = build_prompt(engine.vocabulary, "Say it again.", stored)
    (again,) = greedy.generate([Request("b", prompt.ids, prompt.grammar, 2, 20)])
    assert again.semantic_tokens.tolist() == first.semantic_tokens.tolist() and again.global_tokens is None


def test_greedy_semantic_tokens_are_the_likeliest_legal_ones(tiny_dir: Path) -> None:
    """Compared with a plain loop that computes every logit and prefills anew at each step."""
    engine = LLMEngine.load(tiny_dir, num_slots=4, max_context=256, sampling=SamplingParams(temperature=0.0))
    prompt = build_prompt(engine.vocabulary, "The train leaves at seven.", KNOWN)
    (found,) = engine.generate([Request(0, prompt.ids, prompt.grammar, 5, 12)])
    vocabulary = engine.vocabulary
    ids = [*prompt.ids, vocabulary.control_id("<|start_semantic_token|>")]
    legal = list(vocabulary.speech_ids)
    model = engine.runner.model
    expected = []
    for _ in range(12):
        hidden = model.prefill(torch.tensor(ids), 0)[-1]
        column = int((model.head_rows() @ hidden)[legal].argmax())
        if column >= len(vocabulary.semantic_ids):
            break
        expected.append(column)
        ids.append(legal[column])
    assert found.semantic_tokens.tolist() == expected


def test_slots_are_filled_as_soon_as_they_are_free(engine: LLMEngine) -> None:
    requests = make_requests(engine, 20, cap=15)
    for request in requests:
        engine.add(request)
    finished = 0
    while engine.has_work:
        waiting = engine.num_waiting
        active = engine.num_active
        done = engine.step()
        assert engine.num_active + len(done) == min(engine.num_slots, active + waiting)
        finished += len(done)
    assert finished == 20 and engine.step() == []


def test_generate_takes_requests_only_as_slots_become_free(engine: LLMEngine) -> None:
    taken = 0

    def source() -> Iterator[Request]:
        nonlocal taken
        for request in make_requests(engine, 30, cap=10):
            taken += 1
            yield request

    answers = engine.generate(source())
    for number, _ in enumerate(answers):
        assert taken <= engine.num_slots + number + engine.num_slots
    assert taken == 30


def test_a_caller_that_stops_listening_leaves_the_engine_idle(engine: LLMEngine) -> None:
    answers = engine.generate(make_requests(engine, 20, cap=10))
    next(answers)
    with pytest.raises(RuntimeError, match="under way"):
        next(engine.generate([]))
    answers.close()  # type: ignore[attr-defined]
    assert not engine.has_work and engine.num_active == 0


def test_cancelled_requests_disappear_and_change_nothing(engine: LLMEngine) -> None:
    requests = make_requests(engine, 12, cap=25)
    expected = answer(engine, requests)
    for request in requests:
        engine.add(request)
    found = {}
    for generation in engine.step():
        found[generation.request_id] = record(generation)
    for request_id in (1, 2, 10):  # in an opening, speaking, waiting
        engine.cancel(request_id)
    while engine.has_work:
        for generation in engine.step():
            found[generation.request_id] = record(generation)
    assert found == {key: value for key, value in expected.items() if key not in (1, 2, 10)}
    with pytest.raises(KeyError):
        engine.cancel(1)


def test_the_context_may_be_filled_to_the_last_token(engine: LLMEngine) -> None:
    prompt = build_prompt(engine.vocabulary, "x" * 300, KNOWN)
    room = engine.max_context - len(prompt.ids)
    (filled,) = engine.generate([Request(0, prompt.ids, prompt.grammar, 3, room)])
    assert filled.hit_length_cap and len(filled.semantic_tokens) == room
    with pytest.raises(ValueError, match=f"need {engine.max_context + 1} positions; expected at most max_context 512"):
        engine.add(Request(0, prompt.ids, prompt.grammar, 3, room + 1))
    assert not engine.has_work


@pytest.mark.parametrize(
    ("prompt_ids", "cap", "message"),
    [([], 5, "prompt of ids"), ([-1], 5, "prompt of ids"), ([10**6], 5, "prompt of ids"), ([1], 0, "max_semantic")],
)
def test_malformed_requests_are_refused(engine: LLMEngine, prompt_ids: list[int], cap: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"request 'r': .*{message}"):
        engine.add(Request("r", prompt_ids, AnswerGrammar((Forced((1,)),)), 0, cap))


def test_unusable_settings_and_folders_are_refused(tiny_dir: Path, random_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float16"):
        LLMEngine.load(tiny_dir, dtype=torch.float16)
    with pytest.raises(ConfigError, match=r"llm\.slots: 0"):
        LLMEngine.load(tiny_dir, num_slots=0)
    with pytest.raises(WeightsError, match=r"config.json: cannot be read"):
        LLMEngine.load(tmp_path)
    foreign = LLMEngine.load(tiny_dir, num_slots=1, max_context=64).vocabulary
    with pytest.raises(WeightsError, match="must belong together"):
        LLMEngine.load(random_dir, vocabulary=foreign)


def test_random_answers_end_where_speech_would(random_dir: Path) -> None:
    engine = LLMEngine.load(random_dir, num_slots=16, max_context=512)
    for text, shortest, longest in (("Hello there.", 10, 120), ("The train leaves at seven, so be there.", 60, 220)):
        prompt = build_prompt(engine.vocabulary, text, KNOWN)
        requests = [Request(seed, prompt.ids, prompt.grammar, seed, 300) for seed in range(16)]
        lengths = [len(generation.semantic_tokens) for generation in engine.generate(requests)]
        assert shortest <= min(lengths) and max(lengths) <= longest


def test_a_gpu_without_triton_is_refused(tiny_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pipeline.llm.fused_qwen2", None)
    with pytest.raises(ConfigError, match=r"llm\.device: cuda:0: the GPU's kernels need Triton"):
        LLMEngine.load(tiny_dir, device="cuda:0")
