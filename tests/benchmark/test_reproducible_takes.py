"""`--parts reproducible-takes`: what is around an utterance does not change it, and what would is counted."""

from __future__ import annotations

from pathlib import Path

from pipeline.benchmark import reproducible_takes


def test_takes_are_the_same_in_isolation_in_a_crowd_and_in_random_order(random_weights: str, tmp_path: Path) -> None:
    """The short version of `--parts reproducible-takes`; test_run.py and test_survival.py check whole runs."""
    rows = reproducible_takes.read_rows(["Alice was tired. She had nothing to do.\n\nOnce or twice she had peeped."], 5)
    assert len({row["text"] for row in rows}) >= 2 and len({row["utterance_id"] for row in rows}) == 5
    for dtype, count in (("float32", 5), ("bfloat16", 3)):
        results = reproducible_takes.compare_takes(
            rows[:count], random_weights, dtype, tmp_path / dtype, with_runs=False
        )
        assert reproducible_takes.are_all_equal(results), results
        assert results["rejected"] == 0 and results["in a crowd"].startswith(f"{count} of {count} WAVs equal, ")


def test_unequal_takes_are_counted() -> None:
    isolated = reproducible_takes.Takes({"a": "1", "b": "2"}, {7: "x", 8: "y"})
    other = reproducible_takes.Takes({"a": "1", "b": "3"}, {7: "x", 8: "y"})
    found = reproducible_takes.describe_equality(isolated, other)
    assert found == "1 of 2 WAVs equal, 2 of 2 token sequences"
    assert not reproducible_takes.are_all_equal({"utterances": 2, "in a crowd": found})
    assert reproducible_takes.are_all_equal(
        {"utterances": 2, "in a crowd": reproducible_takes.describe_equality(isolated, isolated)}
    )
