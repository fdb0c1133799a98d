"""The commands: their exit codes and what they print. None of these needs Ray."""

import errno
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import jobs.make_manifest
import jobs.say
import jobs.status
import jobs.synthesize
import jobs.verify
from jobs.console import run_command
from pipeline.config.dataset import load_night_config
from pipeline.errors import RunStopped, StorageError
from pipeline.manifest.rows import Manifest
from tests.inline_ray import InlineRay, inline_ray


class ManyGPUs(InlineRay):
    """A cluster with room for every shipped config."""

    def nodes(self):
        return [{**node, "Resources": {"CPU": 512.0, "GPU": 64.0}} for node in super().nodes()]


@pytest.fixture(autouse=True)
def without_processes():
    """For what only looks at the cluster, or nobody kills."""
    with inline_ray(ManyGPUs()):
        yield


GOOD_ROW = {"utterance_id": ["a"], "text": ["Hello."], "speaker_id": ["anna"]}


@pytest.fixture
def run_file(tmp_path, random_weights):
    """Write a run whose parts can be replaced, and return its path."""

    def write(**changes):
        pq.write_table(pa.table(GOOD_ROW), tmp_path / "manifest.parquet")
        (tmp_path / "speakers.yaml").write_text("- {speaker_id: anna, gender: female}\n")
        raw = {
            "weights": random_weights,
            "manifest": str(tmp_path / "manifest.parquet"),
            "speakers": str(tmp_path / "speakers.yaml"),
            "output": str(tmp_path / "output"),
            **changes,
        }
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(raw))
        return str(path)

    return write


def synthesize(capsys, *arguments):
    code = jobs.synthesize.main(arguments)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    return code, captured.out, captured.err


def test_dry_run_shows_the_plan_and_writes_nothing(run_file, capsys, tmp_path):
    code, out, _ = synthesize(capsys, "--config", run_file(), "--dry-run")
    assert code == 0
    assert "1 rows in 1 shard(s)" in out
    assert not (tmp_path / "output").exists()


DATASETS = ["dataset_demo", "nightly_dataset"]


@pytest.mark.parametrize("name", DATASETS)
def test_every_shipped_config_of_a_data_set_is_understood(name):
    assert load_night_config(f"configs/{name}.yaml").dataset.name


@pytest.mark.parametrize("name", sorted({path.stem for path in Path("configs").glob("*.yaml")} - {*DATASETS}))
def test_every_shipped_config_can_be_planned(name, run_file, capsys, tmp_path, random_weights):
    """The paths in a template are placeholders; all else is checked as a user would."""
    run_file()
    lexicon = tmp_path / "lexicon.yaml"
    lexicon.write_text("ibuprofen: eye byoo proh fen\n")
    paths = {
        "weights": random_weights,
        "manifest": tmp_path / "manifest.parquet",
        "speakers": tmp_path / "speakers.yaml",
        "output": tmp_path / "output",
    }
    overrides = [f"--set={key}={value}" for key, value in paths.items()]
    if name == "healthcare":
        overrides.append(f"--set=text.lexicon={lexicon}")
    code, out, err = synthesize(capsys, "--config", f"configs/{name}.yaml", "--dry-run", *overrides)
    assert code == 0, err
    assert "dry run" in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"manifest": "nowhere.parquet"}, "nowhere.parquet"),
        ({"speakers": "nowhere.yaml"}, "nowhere.yaml"),
        ({"weights": "nowhere"}, "nowhere"),
        ({"unit_sise": 3}, "unit_sise"),
        ({"manifest": "pyproject.toml"}, "pyproject.toml"),
        ({"weights": "configs"}, "configs"),
        ({"text": {"lexicon": "nowhere.yaml"}}, "nowhere.yaml"),
        ({"output": "pyproject.toml"}, "is not a folder"),
        ({"output": "pyproject.toml/x"}, "is not a folder"),
        ({"output": "ftp://x/y"}, "unknown kind of store"),
        ({"output": ""}, "output"),
        ({"manifest": "a\0b"}, "manifest"),
        ({"speakers": "configs"}, "configs"),
        ({"speakers": ".."}, "found a folder"),
        ({"speakers": "a\\b"}, "no name that every store can hold"),
        ({"text": {"lexicon": ".."}}, "found a folder"),
        ({"weights": "x" * 5_000}, "there is no such directory"),
    ],
)
def test_bad_input_stops_before_work_with_exit_2(run_file, capsys, changes, message):
    code, _, err = synthesize(capsys, "--config", run_file(**changes), "--dry-run")
    assert code == 2
    assert message in err


def test_a_wrong_schema_is_reported(run_file, capsys, tmp_path):
    path = run_file()
    pq.write_table(pa.table({"utterance_id": [1], "words": ["Hello."]}), tmp_path / "manifest.parquet")
    code, _, err = synthesize(capsys, "--config", path, "--dry-run")
    assert code == 2
    assert "text" in err
    assert "utterance_id" in err


@pytest.mark.parametrize("override", ["seed=2026-99-99", "weights=2026-99-99", "llm.slots", "output=[", "=1"])
def test_a_bad_override_is_reported(run_file, capsys, override):
    code, _, err = synthesize(capsys, "--config", run_file(), "--dry-run", f"--set={override}")
    assert code == 2
    assert override.partition("=")[0] in err


def test_a_missing_config_is_reported(capsys):
    code, _, err = synthesize(capsys, "--config", "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["synthesize"],
        ["audiobooks"],
        ["dataset"],
        ["enroll"],
        ["redo", "output", "--rejected"],
        ["verify", "output", "--repair"],
        ["assemble", "output", "--to", "chapters"],
        ["import_books", "books", "--dry-run"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_misspelled_setting_is_refused_before_anything_large_is_imported(arguments, tmp_path):
    beside = ", texts: [{path: t}], output: o, dataset: {name: n, license: l}" if arguments == ["dataset"] else ""
    (tmp_path / "run.yaml").write_text(f"{{unit_sise: 4{beside}}}")
    code = (
        "import importlib, sys\n"
        "code = importlib.import_module('jobs.' + sys.argv[1]).main([*sys.argv[2:], '--config', 'run.yaml'])\n"
        "print(code, sorted({'ray', 'torch', 'scipy', 'pandas'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path().absolute())}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "2 []\n", done.stderr
    assert "unit_sise: unknown setting" in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(RunStopped("enough"), 3), (StorageError("away"), 3), (KeyboardInterrupt(), 130)],
)
def test_each_end_has_its_exit_code(error, code, capsys):
    def command():
        raise error

    assert run_command(command, commits=True) == code
    assert "committed work is safe; run the same command again" in capsys.readouterr().err.lower()
    assert run_command(command) == code
    assert "committed" not in capsys.readouterr().err.lower()


@pytest.mark.parametrize("name", sorted(path.stem for path in Path("jobs").glob("*.py")))
def test_every_command_has_a_help_with_its_exit_codes(name, capsys):
    module = importlib.import_module(f"jobs.{name}")
    if not hasattr(module, "main"):
        pytest.skip("a part of another command")
    try:
        code = module.main(["--help"])
    except SystemExit as end:
        code = end.code
    assert code == 0
    out = " ".join(capsys.readouterr().out.split())
    usage = "spark-tts-batch COMMAND" if name == "cli" else f"python -m jobs.{name}"
    assert out.startswith(f"usage: {usage} ") and "exit codes: 0 done; 1 done, but" in out


def test_a_name_that_is_too_long_for_a_file_is_reported(capsys):
    assert jobs.status.main(["x" * 5_000]) == 3
    assert "File name too long" in capsys.readouterr().err


def test_status_and_verify_of_nothing_say_so(tmp_path, capsys):
    assert jobs.status.main([str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err
    assert jobs.verify.main([str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lines.csv", 'utterance_id,text,speaker_id,n\n001,"Hello, you.",anna,1\n2,Bye.,007,2\n'),
        ("lines.tsv", "utterance_id\ttext\tspeaker_id\tn\n001\tHello, you.\tanna\t1\n2\tBye.\t007\t2\n"),
        (
            "lines.jsonl",
            '{"utterance_id": "001", "text": "Hello, you.", "speaker_id": "anna", "n": 1}\n'
            '{"utterance_id": "2", "text": "Bye.", "speaker_id": "007", "n": 2}\n',
        ),
    ],
)
def test_a_manifest_is_made_from_lines(tmp_path, capsys, name, content):
    (tmp_path / name).write_text(content)
    arguments = [str(tmp_path / name), "--output", str(tmp_path / "manifest"), "--rows-per-shard", "1"]
    assert jobs.make_manifest.main(arguments) == 0
    manifest = Manifest.open(str(tmp_path / "manifest"))
    assert (manifest.num_rows, len(manifest.shards)) == (2, 2)
    rows = [row for unit in manifest.plan(10) for row in manifest.read_rows(unit).to_pylist()]
    assert rows[0] == {"utterance_id": "001", "text": "Hello, you.", "speaker_id": "anna", "n": 1}
    assert rows[1]["speaker_id"] == "007"
    assert jobs.make_manifest.main(arguments) == 2
    assert "not empty" in capsys.readouterr().err


def read_rows(path):
    manifest = Manifest.open(str(path))
    return [row for unit in manifest.plan(100) for row in manifest.read_rows(unit).to_pylist()]


def test_ids_and_texts_that_look_like_dates_stay_text(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"utterance_id": "2024-01-01", "text": "2024-05-05", "speaker_id": "a", "more": {"b": 1}}\n')
    assert read_rows(path) == [
        {"utterance_id": "2024-01-01", "text": "2024-05-05", "speaker_id": "a", "more": {"b": 1}}
    ]


def test_a_manifest_that_cannot_be_written_is_reported(tmp_path, capsys):
    (tmp_path / "lines.csv").write_text("utterance_id,text,speaker_id\n1,a,b\n")
    assert jobs.make_manifest.main([str(tmp_path / "lines.csv"), "--output", str(tmp_path / "lines.csv")]) == 2
    assert "lines.csv is not a folder; name another folder" in capsys.readouterr().err


def test_shards_are_written_all_or_none(tmp_path, capsys, monkeypatch):
    """A full disk left the first shards, which the next start took for a folder of somebody else."""
    (tmp_path / "lines.csv").write_text("utterance_id,text,speaker_id\n1,a,b\n2,a,b\n3,a,b\n")
    arguments = [str(tmp_path / "lines.csv"), "--output", str(tmp_path / "m"), "--rows-per-shard", "1"]
    fsync, calls = os.fsync, []

    def fill(handle):
        calls.append(handle)
        if len(calls) == 5:  # Of file and folder each, and of the folder's own parent.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fill)
    assert jobs.make_manifest.main(arguments) == 3
    assert "No space left on device; free some space" in capsys.readouterr().err
    assert os.listdir(tmp_path / "m") == []
    assert jobs.make_manifest.main(arguments) == 0
    assert Manifest.open(str(tmp_path / "m")).num_rows == 3


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "utterance_id,text,speaker_id\n1,2\n"])
def test_lines_that_make_no_manifest_are_refused(tmp_path, capsys, content):
    (tmp_path / "lines.csv").write_text(content)
    assert jobs.make_manifest.main([str(tmp_path / "lines.csv"), "--output", str(tmp_path / "m")]) == 2
    assert "lines.csv" in capsys.readouterr().err


def test_columns_of_others_stay_as_they_are_written(tmp_path):
    (tmp_path / "lines.csv").write_text(
        "\ufeffutterance_id,text,speaker_id,zip,day,price,seed,word\n1,A.,b,01234,2024-01-02,1.50,7,\n2,B.,b,0,x,2,,null\n"
    )
    rows = read_rows(tmp_path / "lines.csv")
    assert [row["zip"] for row in rows] == ["01234", "0"]
    assert [row["day"] for row in rows] == ["2024-01-02", "x"]
    assert [row["price"] for row in rows] == ["1.50", "2"]
    assert [row["seed"] for row in rows] == [7, None]
    assert [row["word"] for row in rows] == ["", "null"]
    assert [row["utterance_id"] for row in rows] == ["1", "2"]


@pytest.mark.parametrize(("make", "code"), [(Path.mkdir, 2), (os.mkfifo, 3)])
def test_lines_from_no_file_are_refused_and_not_waited_for(tmp_path, capsys, make, code):
    make(tmp_path / "lines.csv")
    assert jobs.make_manifest.main([str(tmp_path / "lines.csv"), "--output", str(tmp_path / "m")]) == code
    assert "expected a file" in capsys.readouterr().err


def test_a_manifest_is_appended_to_and_no_row_twice(tmp_path, capsys):
    (tmp_path / "one.csv").write_text("utterance_id,text,speaker_id\n1,A.,b\n2,B.,b\n")
    (tmp_path / "two.jsonl").write_text('{"key": 2, "line": "B."}\n{"key": 3, "line": "C."}\n')
    output = ["--output", str(tmp_path / "m")]
    assert jobs.make_manifest.main([str(tmp_path / "one.csv"), *output]) == 0
    named = ["--set", "columns.utterance_id=key", "--set", "columns.text=line", "--set", "default_speaker=b"]
    for _ in range(2):  # The second time all of it is there.
        assert jobs.make_manifest.main([str(tmp_path / "two.jsonl"), *output, "--append", *named]) == 0
    assert "0 rows in 0 shard(s)" in (said := capsys.readouterr().out)
    assert "1 rows in 1 shard(s)" in said
    assert [row["utterance_id"] for row in read_rows(tmp_path / "m")] == ["1", "2", "3"]
    (tmp_path / "two.jsonl").write_text('{"key": 2, "line": "Other."}\n')
    assert jobs.make_manifest.main([str(tmp_path / "two.jsonl"), *output, "--append", *named]) == 2
    assert "'2' with another text or speaker" in capsys.readouterr().err


def test_the_demo_manifest_holds_its_lines():
    manifest = Manifest.open("configs/demo/manifest")
    rows = [row for unit in manifest.plan(100) for row in manifest.read_rows(unit).to_pylist()]
    assert rows == read_rows("configs/demo/lines.csv")
    assert len(manifest.shards) == 2
    assert len(rows) >= 48
    assert json.dumps(rows)


def test_words_to_say_need_no_quotes(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(jobs.say, "_speak", lambda options: said.append(options.text) or 0)
    for words in (["Hi", "there"], ["Hi there"]):
        assert jobs.say.main([*words, "--out", str(tmp_path / "a.wav")]) == 0
    assert said == ["Hi there"] * 2


def test_a_speaker_whom_nobody_knows_is_the_users_mistake(tmp_path, random_weights, capsys):
    (tmp_path / "speakers.yaml").write_text("- {speaker_id: anna, gender: female}\n")
    options = ["--weights", random_weights, "--speakers", str(tmp_path / "speakers.yaml"), "--speaker", "nobody"]
    assert jobs.say.main(["Hello.", "--out", str(tmp_path / "a.wav"), *options]) == 2
    assert "nobody of this name; use one of: anna" in capsys.readouterr().err
    # Not a word to say: known before the weights are loaded.
    assert jobs.say.main([" ", "--out", str(tmp_path / "a.wav"), "--weights", str(tmp_path / "nothing")]) == 2
    assert "the text: is empty" in capsys.readouterr().err
