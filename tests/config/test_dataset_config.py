from pathlib import Path

import pytest
import yaml

from pipeline.config.dataset import NIGHT_COLUMNS, load_night_config, parse_night_config
from pipeline.errors import ConfigError

MINIMAL = {
    "weights": "demo",
    "texts": ["texts/news/*.parquet", {"path": "s3://b/faq.csv", "license": "CC0-1.0"}],
    "speakers": "speakers.yaml",
    "output": "corpus/",
    "dataset": {"name": "acme/en-synth", "license": "cc-by-4.0"},
}


def parse(**changes):
    return parse_night_config({**MINIMAL, **changes})


def with_dataset(**changes):
    return {"dataset": {**MINIMAL["dataset"], **changes}}


def test_the_run_lies_in_the_corpus():
    config = parse(columns=["domain"], audio={"sample_rate": 24_000})
    assert (config.corpus, config.run.manifest, config.run.output) == ("corpus", "corpus/manifest", "corpus/output")
    assert config.run.columns.keep == (*NIGHT_COLUMNS, "domain") and config.extra_columns == ("domain",)
    assert (config.run.audio.format, config.run.audio.layout, config.run.audio.sample_rate) == (
        "flac",
        "packed",
        24_000,
    )
    assert config.run.quality.stop_above_rejected == 1.0, "the gate judges, and what it judges must be there"


def test_sources_are_named_after_their_path():
    assert [source.name for source in parse().texts] == ["news", "faq"]
    for path, name in [("a/b c.txt", "b_c"), ("*.csv", "texts"), ("s3://bucket/x/", "x")]:
        assert parse(texts=[path]).texts[0].name == name


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dataset": {"name": "acme"}}, "dataset.license: required"),
        (with_dataset(plam={}), "dataset.plam: unknown setting; did you mean plan?"),
        (with_dataset(gate={"max_wer_p95": 0.3}), "dataset.gate.max_wer_p95: nobody listens; set quality.asr"),
        (with_dataset(split={"test": 0.0, "test_speakers": ["iris"]}), "of which `test: 0` makes none"),
        (with_dataset(split={"test": 0.6, "validation": 0.4}), "leave nothing to train"),
        (with_dataset(split={"by": "speaker"}), "dataset.split.by"),
        (with_dataset(publish={"to": "hf://acme"}), "expected hf://owner/name"),
        (with_dataset(name="a/b/c"), "dataset.name"),
        ({"manifest": "m"}, "take manifest out"),
        ({"limit": 3}, "set dataset.plan.rows"),
        ({"weight": "demo"}, "weight: unknown setting; did you mean weights?"),
        ({"texts": []}, "texts"),
        ({"texts": ["a.csv", "b/a.parquet"]}, "two have the name 'a'"),
        ({"texts": [{"path": "a.csv", "name": "a b"}]}, "expected letters, digits and _ only"),
        ({"columns": "domain"}, "columns: expected a list"),
    ],
)
def test_what_is_wrong_is_named(change, named):
    with pytest.raises(ConfigError) as caught:
        parse(**change)
    assert named in str(caught.value)


def test_an_ordinary_run_is_sent_elsewhere():
    with pytest.raises(ConfigError, match=r"dataset: required.*use jobs.synthesize"):
        parse_night_config({"weights": "demo"})


def test_overrides_reach_both_parts(tmp_path):
    path = tmp_path / "night.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    config = load_night_config(path, ["dataset.plan.rows=7", "llm.slots=3"])
    assert (config.dataset.plan.rows, config.run.llm.slots) == (7, 3)
    with pytest.raises(ConfigError, match="cannot read"):
        load_night_config(Path(tmp_path / "none.yaml"))
