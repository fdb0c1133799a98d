"""Both sides of a comparison do the same work, and ratios follow from the clock."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from pipeline.benchmark import machine, parts, report
from pipeline.benchmark.official import OfficialDecoder, OfficialLLM
from pipeline.benchmark.workload import make_llm_tensors, make_tasks, write_codec
from pipeline.codec import BiCodec
from pipeline.errors import ConfigError
from pipeline.llm.checkpoint import Qwen2Config
from pipeline.llm.prompt import SpeechVocabulary
from pipeline.llm.qwen2 import Qwen2

TINY = Path(__file__).parents[1] / "fixtures" / "reference" / "tiny"


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> parts.Candidates:
    vocabulary = SpeechVocabulary.load(TINY / "LLM")
    config = Qwen2Config.read(TINY / "LLM" / "config.json")
    tensors = make_llm_tensors(config, vocabulary.stop_ids)
    model_dir = write_codec(TINY, tmp_path_factory.mktemp("codec"))
    codec = BiCodec.load(model_dir)
    return parts.Candidates(
        Qwen2(config, dict(tensors), 8, 384),
        8,
        vocabulary,
        codec,
        OfficialLLM(config, tensors, vocabulary.stop_ids[0]),
        OfficialDecoder(model_dir, codec.config),
    )


def test_both_sides_compute_the_same(candidates: parts.Candidates) -> None:
    (task,) = make_tasks(candidates.vocabulary, [30])
    ids = torch.tensor(task.prompt_ids)
    with torch.inference_mode():
        expected = candidates.official_llm.network(ids[None]).logits[0]
        found = candidates.model.prefill(ids, 0) @ candidates.model.head_rows().T
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    result = parts.compare_codec(candidates, [task], 1, iter(range(100)).__next__)
    assert result["error_db"] <= -90
    shares = {name: value for name, value in result.items() if name.startswith("share of ")}
    assert len(shares) == 3 + len(candidates.codec.config.decoder.rates) and sum(shares.values()) == pytest.approx(1.0)
    picture = report.to_picture({"codec": result, "steps": {"products": 3.0, "attention": 1.5, "total": 4.5}})
    assert "products           " + 40 * "#" + " 3" in picture and "attention          " + 20 * "#" in picture
    assert "share" not in picture and "total" not in picture


def test_every_answer_has_the_length_of_the_workload(candidates: parts.Candidates) -> None:
    tasks = make_tasks(candidates.vocabulary, [3, 40, 11, 7])
    engine = candidates.make_engine()
    for answer in engine.generate([task.request for task in tasks]):
        assert len(answer.semantic_tokens) == tasks[int(answer.request_id)].num_frames
    assert candidates.official_llm.generate(tasks[:2]) == [3, 40]


def test_peers_answer_at_the_same_lengths_and_meet_us_at_their_best(candidates: parts.Candidates) -> None:
    tasks = make_tasks(candidates.vocabulary, [12, 5, 9])
    # A second for us, then 5, 4 and 3 for the three sizes of batches, 2 and 6 for the two kinds of attention.
    seconds = iter([0, 1, *[moment for length in (5, 4, 3, 2, 6) for moment in (10, 10 + length)]])
    found = parts.compare_peers(candidates, tasks, lambda: float(next(seconds)))
    assert found["utterances"] == 3 and found["frames"] == 26
    assert found["batched_ratio"] == 3.0 and found["continuous_ratio"] == 2.0
    assert not [value for value in found.values() if "does not run" in str(value)]
    assert [name for name in found if name.endswith(", s")] == [
        "batched, of 1, s",
        "batched, of 2, s",
        "batched, of 3, s",
        "continuous, sdpa, s",
        "continuous, eager, s",
    ]


def test_parts_report_ratios_of_their_clock(candidates: parts.Candidates) -> None:
    ticks = iter(range(10_000))

    def clock() -> float:
        return float(next(ticks))

    tasks = make_tasks(candidates.vocabulary, [25, 25, 25])
    (numbers,) = parts.compare_pipeline(candidates, tasks, tasks[:1], 1, clock)["rounds"]
    # Each tick is a second: 2 for one official utterance of half a second, 2 for three of ours.
    assert numbers["official_s_per_audio_s"] == 4.0 and numbers["ours_s_per_audio_s"] == pytest.approx(4 / 3)
    assert numbers["ratio"] == pytest.approx(3.0)
    assert numbers["ours_prefill"] == pytest.approx(numbers["ours_llm"])  # A tick each.
    shapes = parts.price_shapes(candidates, tasks, 1, clock)
    assert shapes["price"] == 0.0 and set(shapes) == {"free_s", "default_s", "all_rows_s", "price"}
    shares = parts.share_step(candidates, 50, clock)
    assert shares["products"] > 0 and shares["attention"] > 0
    assert shares["python_at_most"] == 0.0  # A step takes a tick, and so does the draw in it.
    assert "| pipeline 1 | ratio | 3 |" in report.to_table({"pipeline": {"rounds": [numbers]}})


def test_our_side_may_compute_in_bfloat16(
    candidates: parts.Candidates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seconds each where the processor has no such product; the best of ten is for those who read the figure.
    monkeypatch.setattr(parts, "measure_product_rate", partial(machine.measure_product_rate, num_tries=1))
    tensors = make_llm_tensors(candidates.model.config, candidates.vocabulary.stop_ids)
    tensors = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    model_dir = write_codec(TINY, tmp_path)
    ours = replace(
        candidates,
        model=Qwen2(candidates.model.config, tensors, 8, 384),
        codec=BiCodec.load(model_dir, dtype=torch.bfloat16),
        official_decoder=OfficialDecoder(model_dir, candidates.codec.config),
    )
    tasks = make_tasks(candidates.vocabulary, [25, 25])
    (numbers,) = parts.compare_pipeline(ours, tasks, tasks[:1], 1, iter(range(10_000)).__next__)["rounds"]
    assert numbers["ratio"] == pytest.approx(2.0)
    assert parts.share_step(ours, 50, iter(range(10_000)).__next__)["products"] > 0
    # Rounded, and yet the same audio.
    assert -80 < parts.compare_codec(ours, tasks, 1, iter(range(100)).__next__)["error_db"] < -30


def test_unlike_things_are_not_compared(candidates: parts.Candidates) -> None:
    with pytest.raises(ConfigError, match="dtype 'float32' against 'bfloat16'"):
        parts.refuse_unlike({"dtype": "float32", "seconds": 1}, {"dtype": "bfloat16", "seconds": 2})
    short, long = make_tasks(candidates.vocabulary, [25, 200])
    with pytest.raises(ConfigError, match="unlike things"):
        parts.compare_pipeline(candidates, [short], [long], 1, iter(range(99)).__next__)
    with pytest.raises(ConfigError, match="--threads 1"):
        machine.choose_clock("cpu", 2)
