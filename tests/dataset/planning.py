"""A corpus of which only the plan is made."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.dataset import parse_night_config
from pipeline.config.run import StorageConfig
from pipeline.dataset.corpus import Corpus
from pipeline.dataset.ledger import Ledger
from pipeline.dataset.never import read_never_texts
from pipeline.dataset.normal_form import TextReader
from pipeline.dataset.plan import Planner
from pipeline.dataset.scan import scan_texts
from pipeline.dataset.text_hashes import TextHashes
from pipeline.dataset.texts import find_files
from pipeline.dataset.voices import Turns, divide_speakers
from pipeline.output.tombstones import Tombstones
from pipeline.storage import open_storage
from pipeline.synthesis.speaker_definitions import SpeakerDefinition
from pipeline.text import TextSupport

VOICES = ("ada", "angus", "iris", "ross")


class Desk:
    """Texts in files, planned night by night."""

    def __init__(self, folder: Path, **dataset) -> None:
        self.folder, self.dataset, self.voices = folder, dataset, VOICES
        self.texts = [{"path": str(folder / "texts/news.csv"), "license": "CC0-1.0"}]
        self.columns: list[str] = []
        self.tombstones = Tombstones()
        self.keeps_hashes = True
        (folder / "texts").mkdir()
        self.corpus = Corpus(open_storage(str(folder / "corpus"), StorageConfig()))

    @property
    def config(self):
        return parse_night_config(
            {
                "weights": "demo",
                "texts": self.texts,
                "speakers": "speakers.yaml",
                "columns": self.columns,
                "output": str(self.folder / "corpus"),
                "text": {"language": "en"},
                "dataset": {"name": "acme/en", "license": "cc-by-4.0", **self.dataset},
            }
        )

    def write(self, rows, name="news.csv"):
        lines = ["id,text", *(f"{text_id},{json.dumps(text)}" for text_id, text in rows.items())]
        (self.folder / "texts" / name).write_text("\n".join(lines) + "\n")

    def plan(self, night, write=True):
        config, corpus = self.config, self.corpus
        settings = config.dataset
        definitions = [SpeakerDefinition(speaker_id=name, gender="female") for name in self.voices]
        speakers = divide_speakers(definitions, settings.split)
        test = speakers["test"] if speakers["test"] != speakers["train"] else ()
        identity = corpus.begin(settings.name, test, speakers["train"])
        reader = TextReader(config.run.text, {}, TextSupport())
        never = read_never_texts(corpus, identity, settings.dedup, reader, keep=True)
        files = [file for source in config.texts for file in find_files(source, config.run.storage)]
        ledger = Ledger(corpus, [name for name in corpus.list_nights() if name != night], self.tombstones)
        scan = scan_texts(files, ledger, self.hashes(identity), night)
        plan = Planner(config, night, identity, ledger, reader, never, Turns(speakers, settings.plan, night)).plan(scan)
        if write:
            plan.write(corpus)
        return plan

    def hashes(self, identity):
        return TextHashes(identity.key, self.corpus, keep=True) if self.keeps_hashes else TextHashes(identity.key)

    def rows(self, night):
        return pq.read_table(self.folder / f"corpus/manifest/{night}.parquet").to_pylist()


def rows_of(plan):
    return pq.read_table(pa.BufferReader(plan.manifest)).to_pylist()
