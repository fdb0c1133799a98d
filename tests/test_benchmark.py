from __future__ import annotations

from pathlib import Path

import pytest
import torch

from jobs import benchmark
from pipeline.benchmark import machine, parts, report
from pipeline.benchmark.official import OfficialDecoder, OfficialLLM
from pipeline.benchmark.workload import draw_lengths, make_llm_tensors, make_tasks, write_codec
from pipeline.codec import BiCodec
from pipeline.errors import ConfigError
from pipeline.llm.checkpoint import Qwen2Config
from pipeline.llm.qwen2 import Qwen2
from pipeline.prompt import SpeechVocabulary

TINY = Path(__file__).parent / "fixtures" / "reference" / "tiny"


@pytest.fixture(scope="module")
def contestants(tmp_path_factory: pytest.TempPathFactory) -> parts.Contestants:
    vocabulary = SpeechVocabulary.load(TINY / "LLM")
    config = Qwen2Config.read(TINY / "LLM" / "config.json")
    tensors = make_llm_tensors(config, vocabulary.stop_ids)
    model_dir = write_codec(TINY, tmp_path_factory.mktemp("codec"))
    codec = BiCodec.load(model_dir)
    return parts.Contestants(
        Qwen2(config, dict(tensors), 8, 384),
        8,
        vocabulary,
        codec,
        OfficialLLM(config, tensors, vocabulary.stop_ids[0]),
        OfficialDecoder(model_dir, codec.config),
    )


def test_lengths_follow_the_stated_distribution() -> None:
    for num_utterances in (3, 64, 1_000):
        lengths = draw_lengths(num_utterances, 0, shortest_s=2.0, mean_s=6.0, longest_s=20.0)
        assert min(lengths) >= 100 and max(lengths) <= 1_000
        assert sum(lengths) / len(lengths) == pytest.approx(300, rel=0.01)
    with pytest.raises(ValueError, match="mean_s is 30"):
        draw_lengths(3, 0, shortest_s=2.0, mean_s=30.0, longest_s=20.0)


def test_both_sides_compute_the_same(contestants: parts.Contestants) -> None:
    (task,) = make_tasks(contestants.vocabulary, [30])
    ids = torch.tensor(task.prompt_ids)
    with torch.inference_mode():
        expected = contestants.official_llm.network(ids[None]).logits[0]
        found = contestants.model.prefill(ids, 0) @ contestants.model.head_rows().T
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    result = parts.compare_codec(contestants, [task], 1, iter(range(100)).__next__)
    assert result["largest_difference"] <= 2e-5


def test_every_answer_has_the_length_of_the_workload(contestants: parts.Contestants) -> None:
    tasks = make_tasks(contestants.vocabulary, [3, 40, 11, 7])
    engine = contestants.make_engine()
    for answer in engine.generate([task.request for task in tasks]):
        assert len(answer.semantic_tokens) == tasks[int(answer.request_id)].num_frames
    assert contestants.official_llm.generate(tasks[:2]) == [3, 40]


def test_parts_report_ratios_of_their_clock(contestants: parts.Contestants) -> None:
    ticks = iter(range(10_000))

    def clock() -> float:
        return float(next(ticks))

    tasks = make_tasks(contestants.vocabulary, [25, 25, 25])
    (numbers,) = parts.compare_pipeline(contestants, tasks, tasks[:1], 1, clock)["rounds"]
    # Each tick is a second: 2 for one official utterance of half a second, 2 for three of ours.
    assert numbers["official_s_per_audio_s"] == 4.0 and numbers["ours_s_per_audio_s"] == pytest.approx(4 / 3)
    assert numbers["ratio"] == pytest.approx(3.0)
    shapes = parts.price_shapes(contestants, tasks, 1, clock)
    assert shapes["price"] == 0.0 and set(shapes) == {"free_s", "default_s", "all_rows_s", "price"}
    shares = parts.share_step(contestants, 50, clock)
    assert shares["products"] > 0 and shares["attention"] > 0
    assert "| pipeline 1 | ratio | 3 |" in report.to_table({"pipeline": {"rounds": [numbers]}})


def test_unlike_things_are_not_compared(contestants: parts.Contestants) -> None:
    with pytest.raises(ConfigError, match="dtype 'float32' against 'bfloat16'"):
        parts.refuse_unlike({"dtype": "float32", "seconds": 1}, {"dtype": "bfloat16", "seconds": 2})
    short, long = make_tasks(contestants.vocabulary, [25, 200])
    with pytest.raises(ConfigError, match="unlike things"):
        parts.compare_pipeline(contestants, [short], [long], 1, iter(range(99)).__next__)
    with pytest.raises(ConfigError, match="--threads 1"):
        machine.choose_clock("cpu", 2)


def test_the_command_refuses_a_folder_without_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    assert benchmark.main(["--threads", "1", "--sizes", str(tmp_path)]) == 2
    torch.set_num_threads(threads)
    assert "no tokenizer.json" in capsys.readouterr().err
