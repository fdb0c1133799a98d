"""Nothing that is read runs code, reaches out, or reads and writes elsewhere; what an install takes is pinned."""

from __future__ import annotations

import os
import pickle
import re
from importlib import metadata
from pathlib import Path

import pytest
import torch
import yaml

from pipeline import Synthesizer
from pipeline.codec.features import _read_weights
from pipeline.config.run import StorageConfig, load_config
from pipeline.errors import ConfigError, SpeakerError, WeightsError
from pipeline.run.open_output import open_output
from pipeline.run.plan import plan_run
from pipeline.synthesis.speaker_definitions import read_definitions
from tests.runs import make_config, simple_rows, write_shard
from tests.soak.watch import Watch

ROOT = Path(__file__).parent.parent


class Owned:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self._path = str(path)

    def __reduce__(self):
        return (open, (self._path, "w"))


def test_pickled_weights_run_no_code(tmp_path):
    mark = tmp_path / "owned"
    for save in (lambda path: path.write_bytes(pickle.dumps(Owned(mark))), lambda path: torch.save(Owned(mark), path)):
        save(tmp_path / "pytorch_model.bin")
        with pytest.raises(WeightsError, match="cannot be read"):
            _read_weights(tmp_path)
        assert not mark.exists()


def test_yaml_runs_no_code(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(f"!!python/object/apply:os.system ['touch {tmp_path}/owned']")
    with pytest.raises(ConfigError):
        load_config(path)
    with pytest.raises(SpeakerError):
        read_definitions(str(path), StorageConfig())
    assert not (tmp_path / "owned").exists()


def test_code_of_others_is_never_loaded():
    """No pickle but with `weights_only`, no `trust_remote_code`, no class that looks for code beside the weights."""
    for path in sorted([*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("jobs/*.py")]):
        source = path.read_text()
        for call in re.findall(r"torch\.load\([^)]*\)", source):
            assert "weights_only=True" in call, path
        assert not re.search(
            r"trust_remote_code|yaml\.(unsafe_|full_)?load\(|\bAuto(Model|Tokenizer|Config)", source
        ), path
        if "training" not in path.parts:  # Its own scratch files, never another's.
            assert not re.search(r"pickle\.loads?\(|\bmarshal\b|\bshelve\b", source), path


def test_files_are_written_by_the_storage_alone():
    """One path writes what a user names: a random name, no links followed, synced, renamed when whole."""
    own_folders = {
        "pipeline/storage/local.py",
        "pipeline/weights/fetching.py",  # A partial folder of the cache, renamed when whole.
        "pipeline/weights/random_weights.py",  # The same.
        "pipeline/demo_voice/training/progress.py",  # A log.
        "pipeline/demo_voice/training/measure.py",  # A folder for one measurement.
    }
    writes = re.compile(
        r"""open\([^)]*["'][rwax+bt]*[wax+][bt]*["']|\.write_(text|bytes)\(|save_file\(|write_table\([^)]*path|os\.replace"""
    )
    for path in sorted([*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("jobs/*.py")]):
        name = str(path.relative_to(ROOT))
        if name in own_folders or name.startswith("pipeline/benchmark/"):  # Benchmarks work in folders of their own.
            continue
        lines = [
            line
            for line in path.read_text().splitlines()
            if writes.search(line) and "BytesIO" not in line and "fileobj=" not in line
        ]
        lines = [line for line in lines if not re.search(r"(wave|av)\.open\((to|result), ", line)]  # In memory.
        assert not lines, f"{name}: write through pipeline.storage: {lines}"


def test_a_plan_reads_what_it_names_and_writes_its_output(tmp_path, random_weights):
    rows = simple_rows(0, 2)
    rows[0] |= {"utterance_id": "/etc/passwd", "text": "file:///etc/shadow", "speaker_id": "../../etc/hosts"}
    write_shard(tmp_path / "manifest" / "a.parquet", rows)
    config = make_config(tmp_path, random_weights)
    with Watch(config.output) as watch, open_output(plan_run(config)) as output:
        output.log.put_audio("a", rows[0]["utterance_id"], b"wav", "wav")
    assert watch.offences == []
    assert not [
        path for path in map(os.fsdecode, filter(None, map(_as_path, watch.opened))) if path.startswith("/etc/")
    ]


def _as_path(name):
    return name if isinstance(name, str | bytes) else None


def test_speaking_needs_no_network_and_starts_no_process(random_weights):
    with Watch("/dev") as watch:
        synthesizer = Synthesizer.load(random_weights, settings={"llm": {"slots": 8}})
        for _ in synthesizer.speak_many(
            [{"utterance_id": "a", "text": "Hello.", "speaker_id": synthesizer.speakers[0]}], on_error="return"
        ):
            pass
    assert [offence for offence in watch.offences if offence[0] != "open"] == []


def test_voices_that_come_with_weights_reach_for_nothing(tmp_path, random_weights):
    """A folder of weights from elsewhere could name any file of the machine, or make it call any address."""
    from pipeline.synthesis.enrollment import read_own_definitions

    for address in ("https://example.org/a.wav", "/etc/passwd", "../secret.wav", "s3://bucket/a.wav"):
        (tmp_path / "speakers.yaml").write_text(yaml.safe_dump([{"speaker_id": "x", "reference_audio": address}]))
        with pytest.raises(SpeakerError, match="outside"):
            read_own_definitions(tmp_path)
    (tmp_path / "speakers.yaml").write_text("- {speaker_id: x, reference_audio: voices/x.wav}\n")
    (definition,) = read_own_definitions(tmp_path)
    assert definition.reference_audio == str(tmp_path / "voices/x.wav")


def test_installs_are_pinned():
    """Whatever the demo and the tests need, and what that needs in turn, has one version in constraints.txt."""
    pinned = {
        _name(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    makefile = (ROOT / "Makefile").read_text()
    assert "--constraint constraints.txt" in makefile
    assert not re.findall(r"^\t(?!.*--constraint constraints\.txt).*pip install", makefile, re.M), (
        "an install without the constraints"
    )
    left, seen = [("spark-tts-batch", {"s3", "dev"})], set()
    while left:
        name, extras = left.pop()
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # Of another platform.
        for need in needs:
            requirement, _, condition = need.partition(";")
            wanted = re.findall(r"extra\s*==\s*['\"]([^'\"]+)", condition)
            found = re.match(r"\s*([\w.-]+)\s*(?:\[([^\]]*)\])?", requirement)
            if "win32" in condition or "Windows" in condition:
                continue
            if (wanted and not extras & set(wanted)) or (key := (_name(found[1]), found[2])) in seen:
                continue
            seen.add(key)
            left.append((found[1], {part.strip() for part in (found[2] or "").split(",")}))
    installed = {_name(distribution.metadata["Name"]) for distribution in metadata.distributions()}
    needed = {name for name, _ in seen} & installed
    assert (
        needed - pinned - {"setuptools", "pip", "triton"} - {n for n in needed if n.startswith(("nvidia", "cuda"))}
        == set()
    )


def _name(text):
    return re.sub(r"[-_.]+", "-", text.strip()).lower()
