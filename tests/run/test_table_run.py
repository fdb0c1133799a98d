"""Runs whose manifest is a table as people have it: exactly once, and the table may change."""

from pathlib import Path

import pytest
import yaml

import jobs.status
import jobs.synthesize
import jobs.verify
from pipeline import forecast_run, redo_rows, synthesize_manifest, verify_output
from pipeline.config.run import parse_config
from pipeline.errors import ObjectChanged
from pipeline.manifest.rows import Manifest
from pipeline.run.repair import Selection
from pipeline.storage import open_storage
from tests.inline_ray import inline_ray
from tests.run.test_changing_manifest import ECHO
from tests.runs import LOOSE, SMALL, read_metadata

WORDS = "boat river house garden window street letter night".split()


class Table:
    """A CSV file without ids, and the config of its run."""

    def __init__(self, folder: Path, weights: str) -> None:
        self.path = folder / "lines.csv"
        self.lines = [f"{word} {number};{number % 2}" for number, word in enumerate(WORDS)]
        self.write()
        speakers = [{"speaker_id": f"{n}", "global_tokens": [*range(n, n + 32)]} for n in (0, 1)]
        (folder / "speakers.yaml").write_text(yaml.safe_dump(speakers))
        self.raw = {
            "weights": weights,
            "manifest": str(self.path),
            "columns": {"text": "sentence", "speaker_id": "who"},
            "speakers": str(folder / "speakers.yaml"),
            "output": str(folder / "output"),
            "unit_size": 3,
            "llm": {"slots": 8},
            "quality": LOOSE,
            "replicas": SMALL,
        }
        self.config = parse_config(self.raw)

    def write(self) -> None:
        self.path.write_text("sentence;who\n" + "".join(f"{line}\n" for line in self.lines))

    def texts(self) -> dict[str, str]:
        return {row["text"]: row["audio_sha256"] for row in read_metadata(self.config.output)}


@pytest.fixture
def table(tmp_path: Path, random_weights: str) -> Table:
    return Table(tmp_path, random_weights)


def test_a_table_is_synthesized_and_its_changes_are(table: Table, tmp_path: Path, capsys) -> None:
    with inline_ray():
        assert forecast_run(table.config).num_rows == 8
        assert synthesize_manifest(table.config, networks=ECHO).num_synthesized == 8
        assert synthesize_manifest(table.config, networks=ECHO).num_synthesized == 0
        before = table.texts()
        del table.lines[2]
        table.lines[4:5] = ["another one;0", table.lines[4], "boat 0;0"]
        table.write()
        assert (found := forecast_run(table.config)).num_synthesized == 2, found
        assert synthesize_manifest(table.config, networks=ECHO).num_synthesized == 2
    rows = read_metadata(table.config.output)
    assert [row["text"] for row in rows] == [line.split(";")[0] for line in table.lines]
    assert len({row["utterance_id"] for row in rows}) == 9
    assert {text: sha for text, sha in table.texts().items() if text in before and text != "boat 0"}.items() <= (
        before.items()
    )
    storage = open_storage(table.config.output)
    manifest = Manifest.open(table.config.manifest, None, table.config.reading)
    assert verify_output(storage, manifest=manifest).is_intact
    assert jobs.verify.main([table.config.output, "--manifest", str(table.path)]) == 0
    assert jobs.status.main([table.config.output]) == 0
    assert "9 of 9 committed" in capsys.readouterr().out


def test_a_table_that_is_replaced_under_a_run_stops_it(table: Table, monkeypatch) -> None:
    planned = Manifest.locate

    def replace_then_locate(self, unit):
        if unit.first_row == 3 and table.lines:
            table.path.write_text("sentence;who\nother;0\n")
        return planned(self, unit)

    with inline_ray(), monkeypatch.context() as patch:
        patch.setattr(Manifest, "locate", replace_then_locate)
        with pytest.raises(ObjectChanged, match=r"lines\.csv: this shard was replaced or rewritten during the run"):
            synthesize_manifest(table.config, networks=ECHO)
    assert not (Path(table.config.output) / "_SUCCESS").exists()
    table.write()
    with inline_ray():
        assert synthesize_manifest(table.config, networks=ECHO).num_rows_left == 0
    assert len(read_metadata(table.config.output)) == 8


def test_the_command_line_sets_how_a_table_is_read(table: Table, tmp_path: Path, capsys) -> None:
    raw = {name: value for name, value in table.raw.items() if name != "columns"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw))
    arguments = ["--config", str(tmp_path / "run.yaml"), "--dry-run"]
    assert jobs.synthesize.main(arguments) == 2
    assert "set columns.text to 'sentence'" in capsys.readouterr().err
    named = ["--set", "columns.text=sentence", "--set", "columns.speaker_id=speaker"]
    assert jobs.synthesize.main([*arguments, *named]) == 2
    assert "columns.speaker_id: there is no column 'speaker'; found 'sentence', 'who'" in capsys.readouterr().err
    with inline_ray():
        assert jobs.synthesize.main([*arguments, "--set", "columns={text: sentence, speaker_id: who}"]) == 0
    assert "8 rows" in capsys.readouterr().out


def test_rows_of_a_table_are_redone(table: Table, random_weights: str) -> None:
    with inline_ray():
        synthesize_manifest(table.config, networks=ECHO)
        (row,) = [row for row in read_metadata(table.config.output) if row["text"] == "house 2"]
        counts = redo_rows(table.config, Selection(ids=[row["utterance_id"]]))
    assert counts.num_rows == 1
