from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.errors import ConfigError, WeightsError
from pipeline.llm.checkpoint import Qwen2Config, list_tensor_shapes
from pipeline.llm.qwen2 import Qwen2

CPU = torch.device("cpu")


def load(llm_dir: Path, *, num_slots: int = 4, max_context: int = 384, dtype: torch.dtype = torch.float32) -> Qwen2:
    return Qwen2.load(llm_dir, device=CPU, dtype=dtype, num_slots=num_slots, max_context=max_context)


def generate_greedily(model: Qwen2, prompts: list[list[int]], num_steps: int) -> list[list[int]]:
    """The likeliest ids over the whole vocabulary, all prompts side by side."""
    head = model.head_rows()
    hidden = torch.zeros(model.num_rows, model.config.hidden_size)
    positions = torch.zeros(model.num_rows, dtype=torch.int64)
    for slot, prompt in enumerate(prompts):
        hidden[slot] = model.prefill(torch.tensor(prompt), slot)[-1]
        positions[slot] = len(prompt)
    answers: list[list[int]] = [[] for _ in prompts]
    for _ in range(num_steps):
        ids = F.linear(hidden, head).argmax(-1)
        for slot, answer in enumerate(answers):
            answer.append(int(ids[slot]))
        hidden = model.decode_step(ids, positions, int(positions.max()) + 1)
        positions += 1
    return answers


def test_logits_equal_the_official_ones(
    tiny_dir: Path, golden_cases: list[dict[str, Any]], golden_tensors: dict[str, Tensor]
) -> None:
    model = load(tiny_dir / "LLM")
    for case in golden_cases:
        name = case["name"]
        logits = F.linear(model.prefill(torch.tensor(case["input_ids"]), 1), model.head_rows())
        torch.testing.assert_close(logits[-1], golden_tensors[f"{name}.last_logits"], atol=1e-4, rtol=0)
        assert torch.equal(logits.argmax(-1), golden_tensors[f"{name}.logits_argmax_all_positions"])
        expected = golden_tensors[f"{name}.logsumexp_all_positions"]
        torch.testing.assert_close(logits.logsumexp(-1), expected, atol=1e-4, rtol=0)


def test_greedy_ids_equal_the_official_ones_together_and_one_by_one(
    tiny_dir: Path, golden_cases: list[dict[str, Any]]
) -> None:
    prompts = [case["input_ids"] for case in golden_cases]
    expected = [case["greedy_new_ids"] for case in golden_cases]
    assert len({len(prompt) for prompt in prompts}) > 1
    model = load(tiny_dir / "LLM", num_slots=5)
    assert generate_greedily(model, prompts, len(expected[0])) == expected
    isolated = load(tiny_dir / "LLM", num_slots=1)
    for prompt, answer in zip(prompts, expected, strict=True):
        assert generate_greedily(isolated, [prompt], len(answer)) == [answer]


def make_model(config: Qwen2Config, num_slots: int, dtype: torch.dtype) -> Qwen2:
    generator = torch.Generator().manual_seed(1)
    tensors = {
        name: (torch.randn(shape, generator=generator) * (1.0 if len(shape) == 1 else shape[1] ** -0.5)).to(dtype)
        for name, shape in list_tensor_shapes(config).items()
    }
    return Qwen2(config, tensors, num_slots, 512)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("num_slots", "heads", "kv_heads", "head_dim", "num_threads"),
    [(32, 14, 2, 64, 2), (8, 14, 2, 64, 1), (7, 9, 3, 20, 2), (3, 5, 1, 14, 1)],
)
def test_a_row_has_the_same_bits_whatever_is_beside_it(
    dtype: torch.dtype, num_slots: int, heads: int, kv_heads: int, head_dim: int, num_threads: int
) -> None:
    """Neighbors of every length make the live part of the cache longer; odd sizes leave vector tails."""
    config = Qwen2Config(97, heads * head_dim, 333, 1, heads, kv_heads, head_dim, 512, 1e-6, 1e6, True)
    torch.set_num_threads(num_threads)
    model = make_model(config, num_slots, dtype)
    prompt = torch.arange(41) % 97
    outcomes = []
    for slot, other_length in [(0, 1), (num_slots - 1, 130), (num_slots // 2, 470)]:
        ids = torch.full((model.num_rows,), 5)
        positions = torch.full((model.num_rows,), other_length)
        for neighbor in {0, num_slots - 1} - {slot}:
            model.prefill((torch.arange(other_length) * 7 + slot) % 97, neighbor)
        hidden = model.prefill(prompt, slot)[-1]
        positions[slot] = len(prompt)
        steps = [hidden]
        for step in range(3):
            ids[slot] = 11 + step
            steps.append(model.decode_step(ids, positions, int(positions.max()) + 1)[slot])
            positions += 1
        outcomes.append(torch.stack(steps))
    assert all(torch.equal(outcome, outcomes[0]) for outcome in outcomes[1:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_cache_that_grows_and_shrinks_keeps_what_is_in_it(dtype: torch.dtype) -> None:
    config = Qwen2Config(97, 9 * 20, 333, 2, 9, 3, 20, 512, 1e-6, 1e6, True)
    outcomes, widths = [], []
    for neighbors in ([0] * 6, [90, 91, 300, 301, 0, 0]):
        model = make_model(config, 8, dtype)
        model.prefill(torch.arange(41), 3)
        steps = []
        for step, other_length in enumerate(neighbors):
            if other_length == 90 or other_length == 300:
                model.prefill(torch.arange(other_length) % 97, 0)
            positions = torch.full((8,), other_length)
            positions[3] = 41 + step
            steps.append(model.decode_step(torch.full((8,), 7), positions, int(positions.max()) + 1)[3])
            widths.append(model._keys[0].shape[1])
        outcomes.append(torch.stack(steps))
    assert widths == [64] * 6 + [128, 128, 320, 320, 64, 64]
    assert torch.equal(*outcomes)


def test_a_cache_in_float8_rounds_keys_and_values(tiny_dir: Path) -> None:
    """As a GPU does that keeps them so; and prompt and steps alike."""
    model = Qwen2.load(
        tiny_dir / "LLM",
        device=CPU,
        dtype=torch.float32,
        num_slots=2,
        max_context=64,
        cache_dtype=torch.float8_e4m3fn,
    )
    plain = load(tiny_dir / "LLM", num_slots=2, max_context=64)
    ids = torch.arange(9)
    whole = model.prefill(ids, 0)
    model.prefill(ids[:-1], 1)
    step = model.decode_step(torch.full((model.num_rows,), 8), torch.full((model.num_rows,), 8), 9)[1]
    torch.testing.assert_close(step, whole[-1], atol=1e-5, rtol=1e-5)
    plain.prefill(ids, 0)
    num_kv = model.config.num_key_value_heads
    for rounded, exact in zip((model._keys[0], model._values[0]), (plain._keys[0], plain._values[0]), strict=True):
        expected = exact[:num_kv, :9].to(torch.float8_e4m3fn).float()
        assert torch.equal(rounded[:num_kv, :9], expected) and not torch.equal(expected, exact[:num_kv, :9])


def copy_llm(tiny_dir: Path, tmp_path: Path, **changes: Any) -> Path:
    folder = tmp_path / "LLM"
    folder.mkdir()
    shutil.copy(tiny_dir / "LLM" / "model.safetensors", folder)
    config = json.loads((tiny_dir / "LLM" / "config.json").read_text())
    config = {name: value for name, value in {**config, **changes}.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "model_type is 'llama'; expected qwen2"),
        ({"use_sliding_window": True}, "use_sliding_window is True"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope type is 'linear'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6}}, "rope type is 'yarn'"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; expected silu"),
        ({"hidden_size": ...}, "hidden_size is None; expected a positive number"),
        ({"num_hidden_layers": "4"}, "num_hidden_layers is '4'"),
        ({"num_key_value_heads": 3}, "do not divide evenly"),
        ({"hidden_size": 64, "head_dim": 16}, r"has shape \[14016, 32\]; expected \[14016, 64\]"),
        ({"num_hidden_layers": 5}, "model.layers.4.*is missing"),
        ({"num_hidden_layers": 3}, "model.layers.3.*is unexpected"),
        ({"tie_word_embeddings": False}, "lm_head.weight is missing"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    tiny_dir: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        load(copy_llm(tiny_dir, tmp_path, **changes))


def test_the_newer_style_of_config_means_the_same(tiny_dir: Path, tmp_path: Path) -> None:
    newer = {"rope_type": "default", "rope_theta": 123.0}
    folder = copy_llm(tiny_dir, tmp_path, rope_theta=..., rope_scaling=..., rope_parameters=newer)
    assert Qwen2Config.read(folder / "config.json").rope_theta == 123.0


def edit_tensors(folder: Path, edit: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_broken_files_are_refused_with_their_place(tiny_dir: Path, tmp_path: Path) -> None:
    folder = copy_llm(tiny_dir, tmp_path)
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"model.safetensors: cannot be read .* copy it again"):
        load(folder)
    path.unlink()
    with pytest.raises(WeightsError, match=r"model.safetensors: cannot be read"):
        load(folder)
    path.write_bytes(whole)

    def poison(tensors: dict[str, Tensor]) -> None:
        tensors["model.layers.2.mlp.up_proj.weight"][3, 3] = float("nan")

    edit_tensors(folder, poison)
    with pytest.raises(WeightsError, match=r"model.layers.2.mlp.up_proj.weight .* no finite floats"):
        load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config.json: not JSON"):
        load(folder)


def test_a_tied_head_may_be_repeated_but_not_differ(tiny_dir: Path, tmp_path: Path) -> None:
    folder = copy_llm(tiny_dir, tmp_path)
    edit_tensors(
        folder, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"].clone()})
    )
    load(folder)
    edit_tensors(folder, lambda tensors: tensors["lm_head.weight"].add_(1))
    with pytest.raises(WeightsError, match=r"lm_head\.weight differs from the embeddings"):
        load(folder)


def test_several_files_load_as_one(tiny_dir: Path, tmp_path: Path, golden_cases: list[dict[str, Any]]) -> None:
    folder = copy_llm(tiny_dir, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for index in range(2):
        name = f"model-{index + 1:05}-of-00002.safetensors"
        part = dict(sorted(tensors.items())[index::2])
        save_file(part, folder / name)
        weight_map.update(dict.fromkeys(part, name))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    prompt = golden_cases[0]["input_ids"]
    assert generate_greedily(load(folder), [prompt], 5) == [golden_cases[0]["greedy_new_ids"][:5]]
    weight_map["model.norm.weight"] = "../model.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(WeightsError, match="outside its folder"):
        load(folder)


def test_float16_and_too_long_a_context_are_refused(tiny_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"llm.dtype: float16 .* use bfloat16 or float32"):
        load(tiny_dir / "LLM", dtype=torch.float16)
    with pytest.raises(ConfigError, match=r"llm.max_context: 40000; expected at most 32768"):
        load(tiny_dir / "LLM", max_context=40_000)
