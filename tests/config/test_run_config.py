from pathlib import Path

import pytest

from pipeline.config.dataset import load_night_config
from pipeline.config.run import Config, load_config, parse_config
from pipeline.errors import ConfigError

MINIMAL = {"weights": "demo", "manifest": "m", "speakers": "s.yaml", "output": "o"}
CONFIGS = sorted(Path("configs").glob("*.yaml"))


def load_run(path: str | Path) -> Config:
    """Load the run of any shipped file."""
    return load_night_config(path).run if "dataset" in Path(path).stem else load_config(path)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_loads_and_says_what_it_is_for(path):
    config = load_run(path)
    first_line = path.read_text().splitlines()[0]
    assert first_line.startswith("# ")
    assert len(first_line) > 40
    assert config.output


def test_shipped_configs_differ_where_their_use_does():
    names = "audiobook podcast education healthcare customer_service accessibility nightly_dataset".split()
    pinned = [tuple(load_run(f"configs/{name}.yaml").pinned().values()) for name in names]
    assert len(set(pinned)) == len(names)


@pytest.mark.parametrize("name", ["cluster_s3", "nightly_dataset"])
def test_shipped_configs_for_stores_put_one_object_a_unit(name):
    audio = load_run(f"configs/{name}.yaml").audio
    assert (audio.format, audio.layout) == ("flac", "packed")


def test_plain_speakers_path_is_a_mapping_with_path():
    assert parse_config(MINIMAL) == parse_config({**MINIMAL, "speakers": {"path": "s.yaml"}})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"unit_sise": 3}, "unit_sise: unknown setting; did you mean unit_size?"),
        ({"sampling": {"temperatures": 1.0}}, "sampling.temperatures: unknown setting; did you mean temperature?"),
        ({"quality": {"zzz": 1}}, "quality.zzz: unknown setting; expected one of: "),
        ({"output": None}, "output"),
        ({"llm": {"dtype": "float16"}}, "float16 gives garbage"),
        ({"sampling": {"top_p": 0}}, "sampling.top_p"),
        ({"sampling": {"temperature": float("nan")}}, "sampling.temperature"),
        ({"quality": {"min_pace": 3.0}}, "quality.min_pace (3)"),
        ({"replicas": {"llm": {"count": "many"}}}, "replicas.llm.count"),
        ({"speakers": {"path": "s", "on_error": "ignore"}}, "speakers.on_error"),
        ({"replicas": {"one_process": True, "llm": {"count": 2}, "codec": {"count": 1}}}, "replicas.codec.count: 1"),
        (
            {"replicas": {"one_process": True, "llm": {"num_gpus": 0.7}, "codec": {"num_gpus": 0.4}}},
            "replicas.codec.num_gpus are 1.1 together",
        ),
        ({"seed": -1}, "seed"),
        ({"llm": 3}, "llm"),
    ],
)
def test_wrong_settings_are_refused_with_their_place(change, named):
    with pytest.raises(ConfigError) as caught:
        parse_config({**MINIMAL, **change})
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"import": {"max_left_out": "10%"}}, "expected a number (at least 0, at most 1), got '10%'; write 0.1"),
        ({"import": {"max_left_out": "0,2"}}, "got '0,2'; write 0.2"),
        ({"import": {"languages": "en"}}, "languages: expected a mapping, got 'en'; write `NAME: ...` below it"),
        ({"import": {"max_left_out": 10}}, "max_left_out: expected a number (at least 0, at most 1), got 10"),
        ({"import": {"chapters": {"a-b": {"include": 1}}}},
         "chapters.a-b.include: expected all or list of whole number or text, got 1; write [1]"),
        ({"import": {"chapters": {"a-b": {"includes": [1]}}}},
         "chapters.a-b.includes: unknown setting; did you mean include? (known: include, exclude)"),
        ({"import": {"chapters": {"a-b": [1]}}}, "chapters.a-b: expected a mapping, got [1]; write settings, such as"),
        ({"imports": {}}, "audiobook.imports: unknown setting; did you mean import?"),
        ({"assembly": {"formats": "mp3"}}, "or epub, got 'mp3'; write [mp3]"),
        ({"narrator": 12}, "audiobook.narrator: expected text, got 12; put it in quotes: '12'"),
        ({"narrator": ""}, "audiobook.narrator: is empty; write a text"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_said_once_with_what_to_write(changes, said):
    with pytest.raises(ConfigError) as caught:
        parse_config({**MINIMAL, "audiobook": {"catalogue": "c", "chapters": "d", **changes}})
    assert said in str(caught.value) and "1 wrong setting(s)" in str(caught.value)


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError, match=r"3 wrong setting") as caught:
        parse_config({"weights": "demo", "manifest": 1, "speakers": "s", "nonsense": 1})
    assert "output: required" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "- a\n- b", "weights: [", "\x00", "a: !!python/object/apply:os.system ['true']", "[" * 3000]
)
def test_files_that_are_no_mapping_are_refused(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    assert "run.yaml" in str(caught.value)


def test_missing_file_is_named():
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config("nowhere.yaml")


def test_overrides_win_and_are_checked(tmp_path):
    path = write(tmp_path, "weights: demo\nmanifest: m\nspeakers: s.yaml\noutput: o\nllm: {slots: 4}\n")
    config = load_config(path, ["llm.slots=16", "speakers.on_error=reject", "text.language=en"])
    assert (config.llm.slots, config.speakers.on_error, config.speakers.path) == (16, "reject", "s.yaml")
    assert config.text.language == "en"
    assert load_config(path, ["speakers=other.yaml"]).speakers.path == "other.yaml"
    for wrong in ("llm.slots", "=3", "llm.slots.deep=3", "llm.slotz=3", "llm.slots=[1"):
        with pytest.raises(ConfigError):
            load_config(path, [wrong])


def test_pinned_settings_are_those_that_change_audio_or_plan():
    pinned = parse_config(MINIMAL).pinned()
    audio = {"seed", "sampling.temperature", "text.max_segment_chars", "llm.slots", "quality.max_takes"}
    free = {"weights", "output", "replicas.llm.count", "storage.upload_threads", "progress.interval_s"}
    assert audio | {"unit_size"} <= set(pinned)
    assert not free & set(pinned)


def test_what_older_outputs_have_not_pinned_is_pinned_where_it_is_not_the_default():
    """Or a new setting would refuse the resume of every output that was begun before it."""
    assert "text.other_languages" not in parse_config(MINIMAL).pinned()
    changed = parse_config({**MINIMAL, "text": {"other_languages": "pass", "languages": ["en", "de"]}}).pinned()
    assert (changed["text.other_languages"], changed["text.languages"]) == ("pass", ("en", "de"))


def leaf_settings(model, prefix=""):
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from leaf_settings(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def test_every_setting_is_documented():
    assert [name for name, field in leaf_settings(Config) if not field.description] == []


def test_a_dotted_name_in_a_file_is_answered_with_its_nested_form():
    raw = {"weights": "demo", "manifest": "m", "speakers": "s", "output": "o", "llm.slots": 2, "quality": {"asr.x": 1}}
    with pytest.raises(ConfigError) as caught:
        parse_config(raw)
    assert "llm.slots: unknown setting; settings are nested in a file: llm: {slots: ...}" in str(caught.value)
    assert "quality.asr.x: unknown setting; did you mean asr?" in str(caught.value)


def test_a_setting_without_its_group_is_answered_with_its_whole_name():
    with pytest.raises(ConfigError, match=r"asr: unknown setting; did you mean quality\.asr\?"):
        parse_config({"weights": "demo", "manifest": "m", "speakers": "s", "output": "o", "asr": "whisper"})


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        ({"max_wer": 0.3}, ["quality.max_wer has no effect without quality.asr"]),
        ({"max_pause_s": 2.0, "naturalness": "dnsmos", "min_naturalness": 2.0}, []),
        ({"min_naturalness": 2.0}, ["quality.min_naturalness has no effect without quality.naturalness"]),
        ({"best_of": 2}, ["quality.best_of has no effect without quality.choose: best_of"]),
        ({"asr": "pocketsphinx", "max_wer": 0.3, "max_pause_s": 2.0, "choose": "best_of", "best_of": 2}, []),
        ({}, []),
    ],
)
def test_limits_that_nobody_looks_at_are_named(quality, said):
    assert parse_config({**MINIMAL, "quality": quality}, source="test").quality.without_effect() == said
