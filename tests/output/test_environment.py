"""environment.py and its record: what equal bytes depend on beside settings."""

from pipeline.output.environment import describe_environment
from pipeline.output.run_record import RunRecord
from tests.fakes import MemoryStorage


def test_another_environment_is_reported_by_each_start():
    record = RunRecord(MemoryStorage())
    record.begin({"seed": 1, "unit_size": 3}, {})
    like = describe_environment("llm", "float32", 2)
    unlike = {**like, "dtype": "bfloat16", "threads": 4}
    assert record.add_environment("llm", like) == record.add_environment("llm", like) == []
    assert record.add_environment("codec", unlike) == []
    differences = ['dtype: "float32" → "bfloat16"', "threads: 2 → 4"]
    assert record.add_environment("llm", unlike, refuse=True) == differences
    assert record.read_environments() == {"llm": [like], "codec": [unlike]}
    assert record.add_environment("llm", unlike) == record.add_environment("llm", unlike) == differences
    record.begin({"seed": 1, "unit_size": 3}, {})
    assert record.read_environments()["llm"] == [like, unlike]


def test_an_output_begun_by_other_arithmetic_of_ours_is_reported():
    record = RunRecord(MemoryStorage())
    record.begin({"seed": 1, "unit_size": 3}, {})
    ours = describe_environment("codec", "float32", 2)
    number = ours["arithmetic"]
    record.add_environment("codec", {**ours, "arithmetic": number - 1})
    assert record.add_environment("codec", ours) == [f"arithmetic: {number - 1} → {number}"]
