"""Small corpora: nights of a manifest, synthesized by networks that answer at once, as a nightly run leaves them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipeline import synthesize_manifest
from pipeline.config.dataset import parse_night_config
from pipeline.dataset.corpus import Corpus
from pipeline.dataset.snapshot import write_snapshot
from pipeline.storage import open_storage
from tests.run.test_changing_manifest import ECHO
from tests.runs import LOOSE, SMALL

NIGHTS = ("2026-11-27", "2026-11-28", "2026-11-29")
NAMES = ("ada", "iris", "ross")
WORDS = "boat river house garden window street letter night morning winter".split()
PASSED = ("text_id", "version", "night", "split", "license", "source")


def text_of(number):
    return " ".join(WORDS[(number // 10**at + at) % 10] for at in range(4)).capitalize() + "."


def make_night(night, first, count, *, names=NAMES):
    """Return the rows of a night; every tenth text is of validation, every tenth of test."""
    splits = {3: "validation", 7: "test"}
    return [
        {
            "utterance_id": f"news-{number:04d}-{names[number % len(names)]}",
            "text": text_of(number),
            "speaker_id": names[number % len(names)],
            "text_id": f"news-{number:04d}",
            "version": 1,
            "night": night,
            "split": splits.get(number % 10, "train"),
            "license": [None, "CC0-1.0"][number % 2],
            "source": "news",
        }
        for number in range(first, first + count)
    ]


def put_night(config, night, rows):
    """Write a night's manifest shard."""
    names = ["utterance_id", "text", "speaker_id", *PASSED]
    types = {"version": pa.int32()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema), sink)
    open_storage(config.corpus, config.run.storage).put(f"manifest/{night}.parquet", sink.getvalue().to_pybytes())


def make_config(folder, weights, corpus=None, **dataset):
    """Return the config of a nightly data set; its corpus is in the folder unless it is given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speakers.yaml").write_text(
        yaml.safe_dump([{"speaker_id": name, "gender": "female", "pitch": "low"} for name in NAMES])
    )
    raw = {
        "texts": [str(folder / "texts")],
        "weights": weights,
        "speakers": str(folder / "speakers.yaml"),
        "output": corpus or str(folder / "corpus"),
        "unit_size": 4,
        "text": {"language": "en"},
        "quality": LOOSE,
        "replicas": SMALL,
        "dataset": {"name": "acme/en-synth", "license": "cc-by-4.0", **dataset},
    }
    return parse_night_config(raw)


def run_night(config, night, rows):
    """Write and synthesize a night, as far as its snapshot."""
    put_night(config, night, rows)
    synthesize_manifest(config.run, networks=ECHO)


def make_corpus(config, num_nights=3, count=12):
    """Make nights with a snapshot each."""
    Corpus(open_storage(config.corpus)).begin(config.dataset.name)
    for at, night in enumerate(NIGHTS[:num_nights]):
        run_night(config, night, make_night(night, 100 * at, count))
        write_snapshot(config.corpus, night, config)


def files_of(config, night):
    """Return what files.json says, with the paths of its files below the corpus."""
    folder = Path(config.corpus) / "snapshots" / night
    found = json.loads((folder / "files.json").read_text())
    return [(folder / file["path"]).resolve() for file in found["files"]]


def all_hashes(config, folder="snapshots"):
    """Return size and content of every object of a folder, by path."""
    root = Path(config.corpus) / folder
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
