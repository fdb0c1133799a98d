"""Whatever a run refuses, its dry run refuses: with the same exit code, and the same words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

import jobs.synthesize
from pipeline.output.lease import Lease
from pipeline.storage import open_storage
from tests.inline_ray import inline_ray
from tests.runs import LOOSE, SMALL, simple_rows, write_shard


class Place:
    """A finished output of eight rows, with two more in its manifest; what is wrong with it is up to the case."""

    def __init__(self, folder, weights):
        self.folder, self.output = folder, folder / "output"
        self.weights = Path(weights)
        self.raw = {
            "weights": str(self.weights), "manifest": str(folder / "manifest"),
            "speakers": str(folder / "speakers.yaml"),
            "output": str(self.output), "unit_size": 4, "llm": {"slots": 8}, "quality": LOOSE, "replicas": SMALL,
        }  # fmt: skip
        self.speakers = [{"speaker_id": name, "global_tokens": [n] * 32} for n, name in enumerate(("anna", "carl"))]

    def own_weights(self):
        self.weights = Path(shutil.copytree(self.weights, self.folder / "weights"))
        self.raw["weights"] = str(self.weights)
        return self.weights

    def speaker(self, **fields):
        self.speakers.append({"speaker_id": "new", **fields})

    def recording(self, samples, rate=16_000, **fields):
        soundfile.write(self.folder / "voice.wav", samples, rate, subtype="FLOAT")
        self.speaker(reference_audio=str(self.folder / "voice.wav"), **fields)

    def fresh(self):
        shutil.rmtree(self.output)

    def damage(self, name, data=b"{"):
        (self.output / name).write_bytes(data)

    def run(self, *options):
        (self.folder / "speakers.yaml").write_text(yaml.safe_dump(self.speakers))
        (self.folder / "run.yaml").write_text(yaml.safe_dump(self.raw))
        return jobs.synthesize.main(["--config", str(self.folder / "run.yaml"), *options])


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def new_column(place):
    write_shard(place.folder / "manifest/b.parquet", [{**row, "mood": "glad"} for row in simple_rows(8, 2)])


def other_type(place):
    write_shard(place.folder / "manifest/b.parquet", [{**row, "chapter": "x"} for row in simple_rows(8, 2)])


def no_text(place):
    pq.write_table(pa.table({"utterance_id": ["x"], "speaker_id": ["anna"]}), place.folder / "manifest/b.parquet")


def damaged_page(place):
    path = place.folder / "manifest/b.parquet"
    data = bytearray(path.read_bytes())
    data[4:60] = bytes(56)
    path.write_bytes(data)


def other_manifest(place):
    shutil.rmtree(place.folder / "manifest")
    write_shard(place.folder / "manifest/z.parquet", simple_rows(500, 3))


def all_rejected(place):
    place.fresh()
    rows = [{**row, "text": ""} for row in simple_rows(0, 6)]
    shutil.rmtree(place.folder / "manifest")
    write_shard(place.folder / "manifest/a.parquet", rows)
    place.raw["quality"] = {**LOOSE, "stop_above_rejected": 0.5}


def foreign_commits(place):
    (place.output / "run.json").unlink()


def other_environment(place):
    found = json.loads((place.output / "environments.json").read_text())
    found["llm"][0]["torch"] = "0.1"
    (place.output / "environments.json").write_text(json.dumps(found))
    place.raw["replicas"] = {**SMALL, "on_mismatch": "refuse"}


def file_in_the_way(place):
    place.fresh()
    place.output.write_text("a file")


def damaged_commit(place):
    path = next((place.output / "metadata/a").iterdir())
    path.write_bytes(b"PAR1 and no more")


def lexicon(content):
    def write(place):
        (place.folder / "lexicon.yaml").write_text(content)
        place.raw["text"] = {"lexicon": str(place.folder / "lexicon.yaml")}

    return write


def weights_file(name, change):
    return lambda place: change(place.own_weights() / name) or place.fresh()


CASES = {
    "tokens of the wrong length": lambda place: place.speaker(global_tokens=[1] * 31),
    "a token that does not exist": lambda place: place.speaker(global_tokens=[4_096, *[1] * 31]),
    "no recording": lambda place: place.speaker(reference_audio="/nowhere/voice.wav"),
    "an address that is none": lambda place: place.speaker(reference_audio="ftp://host/voice.wav"),
    "a recording of another rate": lambda place: place.recording([0.1] * 10, 100),
    "a silent recording": lambda place: place.recording([0.0] * 16_000),
    "a recording with a NaN": lambda place: place.recording([0.1] * 9_000 + [np.nan]),
    "a recording of nothing": lambda place: place.recording([]),
    "a short recording": lambda place: place.recording([0.1, -0.1] * 50),
    "two bad speakers": lambda place: place.recording([0.0] * 100) or place.speakers.append(
        {"speaker_id": "newer", "global_tokens": [1]}
    ),
    "no audio": lambda place: place.speaker(reference_audio=str(place.folder / "run.yaml")),
    "a changed definition": lambda place: place.speakers[0].update(global_tokens=[9] * 32),
    "one speaker, no list": lambda place: setattr(place, "speakers", {"speaker_id": "anna", "gender": "female"}),
    "speakers of a kind": lambda place: setattr(place, "speakers", "anna"),
    "speakers of another manifest": lambda place: setattr(
        place, "speakers", [{"speaker_id": "zoe", "global_tokens": [1] * 32}]
    ),
    "twice the same": lambda place: place.speakers.append(place.speakers[0]),
    "weights cut short": weights_file("LLM/model.safetensors", cut),
    "codec cut short": weights_file("BiCodec/model.safetensors", cut),
    "another network's sizes": weights_file("LLM/config.json", lambda path: edit_json(path, hidden_size=96)),
    "no Qwen2": weights_file("LLM/config.json", lambda path: edit_json(path, model_type="gpt2")),
    "no tokenizer": weights_file("LLM/tokenizer.json", lambda path: path.write_text("{}") and None),
    "no codec": weights_file("BiCodec/config.yaml", lambda path: path.write_text("audio_tokenizer: {}") and None),
    "other weights": lambda place: edit_json(place.own_weights() / "LLM/config.json", note="other"),
    "a layout that lacks a file": weights_file("LLM/tokenizer.json", lambda path: path.unlink()),
    "no GPU": lambda place: place.fresh() or place.raw.update(llm={"slots": 8, "device": "cuda"}),
    "no GPU for the codec": lambda place: place.fresh() or place.raw.update(codec={"device": "cuda:1"}),
    "a context that is too long": lambda place: place.fresh() or place.raw["llm"].update(max_context=10_000_000),
    "another setting": lambda place: place.raw.update(seed=5),
    "an unknown setting": lambda place: place.raw.update(sed=5),
    "too many replicas": lambda place: place.raw.update(
        replicas={**SMALL, "llm": {"count": 40, "num_cpus": 1}}
    ),
    "another environment": other_environment,
    "no lexicon": lambda place: place.raw.update(text={"lexicon": "/nowhere/lexicon.yaml"}),
    "a lexicon that is a list": lexicon("[a, b]"),
    "no manifest": lambda place: shutil.rmtree(place.folder / "manifest"),
    "no text": no_text,
    "a new column": new_column,
    "another type": other_type,
    "an unknown column": lambda place: place.raw.update(columns=["mood"]),
    "a damaged page": damaged_page,
    "another manifest": other_manifest,
    "all rejected": all_rejected,
    "run.json": lambda place: place.damage("run.json"),
    "shards.parquet": lambda place: place.damage("shards.parquet"),
    "speakers.parquet": lambda place: place.damage("speakers.parquet"),
    "environments.json": lambda place: place.damage("environments.json"),
    "removed.parquet": lambda place: place.damage("removed.parquet"),
    "no shards.parquet": lambda place: (place.output / "shards.parquet").unlink(),
    "a newer version": lambda place: edit_json(place.output / "run.json", format_version=99),
    "commits without a run": foreign_commits,
    "a damaged commit": damaged_commit,
    "a file in the output's place": file_in_the_way,
    "a name that is too long": lambda place: place.raw.update(output=str(place.folder / ("x" * 300))),
    "a link that leads nowhere": lambda place: place.fresh() or place.output.symlink_to(place.folder / "gone/far"),
    "a folder of the kernel's": lambda place: place.raw.update(output="/proc/output"),
    "an output within the manifest": lambda place: place.raw.update(output=str(place.folder / "manifest/out")),
    "a recognizer that is not there": lambda place: place.raw.update(
        quality={**LOOSE, "asr": {"backend": "faster-whisper", "model": "/nowhere"}}
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def without_processes():
    with inline_ray():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory, random_weights):
    place = Place(tmp_path_factory.mktemp("finished"), random_weights)
    write_shard(place.folder / "manifest/a.parquet", simple_rows(0, 8))
    assert place.run() == 0
    write_shard(place.folder / "manifest/b.parquet", simple_rows(8, 2))
    return place.folder


@pytest.fixture
def place(finished, tmp_path, random_weights):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path, random_weights)


def last_words(capsys):
    """What a command says at its end, without what it says on the way, and without what is only true of a run."""
    text = capsys.readouterr().err.replace("a run would stop: ", "stopped: ")
    text = text.replace("Committed work is safe; run the same command again to go on.\n", "")
    starts = [at for word in ("error: ", "stopped: ") if (at := text.rfind(word)) >= 0]
    return text[max(starts, default=len(text)) :]


@pytest.mark.parametrize("case", CASES)
def test_a_dry_run_refuses_what_its_run_refuses(case, place, capsys):
    CASES[case](place)
    before = {path: path.lstat().st_mtime_ns for path in place.folder.rglob("*")}
    code = place.run("--dry-run")
    words = last_words(capsys)
    after = {path: path.lstat().st_mtime_ns for path in place.folder.rglob("*")}
    mine = {place.folder / "run.yaml", place.folder / "speakers.yaml", place.folder}
    assert {path: at for path, at in after.items() if path not in mine} == {
        path: at for path, at in before.items() if path not in mine
    }
    assert code == place.run()
    assert words == last_words(capsys)
    assert code == (3 if case in ("a damaged commit", "all rejected") else 2) and words


def test_a_dry_run_refuses_an_output_where_somebody_is_at_work(place, capsys):
    with Lease.acquire(open_storage(str(place.output))):
        code, words = place.run("--dry-run"), last_words(capsys)
        assert (code, words.partition("since")[0]) == (place.run(), last_words(capsys).partition("since")[0])
    assert code == 2
