"""A night in one call: three of them with an edit, a duplicate and a benchmark text; a withdrawal; kills anywhere."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import random
import re
import struct
import wave
from collections import defaultdict
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import jobs.dataset
import jobs.redo
import jobs.remove
import jobs.report
import jobs.status
import jobs.verify
from pipeline.cluster.trial_actor import Trial
from pipeline.config.dataset import load_night_config
from pipeline.dataset.corpus import Corpus
from pipeline.dataset.listing import iter_data_files
from pipeline.dataset.night import forecast_night, make_night
from pipeline.errors import ConfigError, RunStopped, StoreRefused
from pipeline.output.lease import Lease
from pipeline.output.reader import read_output
from pipeline.storage import open_storage
from pipeline.storage.local import LocalStorage
from tests.run.test_changing_manifest import ECHO
from tests.runs import LOOSE, SMALL

NIGHTS = ("2026-11-21", "2026-11-22", "2026-11-23")
WORDS = "boat river house garden window street letter morning".split()
BENCHMARK = "The benchmark has a sentence that nobody may ever speak, whatever the night."


class World:
    """Texts, voices and a corpus."""

    def __init__(self, folder: Path, weights: str) -> None:
        self.folder, self.corpus = folder, folder / "corpus"
        (folder / "texts").mkdir(parents=True)
        names = ["ada", "iris", "ross"]
        speakers = [{"speaker_id": name, "global_tokens": [*range(n, n + 32)]} for n, name in enumerate(names)]
        (folder / "speakers.yaml").write_text(yaml.safe_dump(speakers))
        pq.write_table(pa.table({"text": [BENCHMARK]}), folder / "bench.parquet")
        raw = {
            "weights": weights,
            "texts": [{"path": str(folder / "texts/*.csv"), "license": "CC0-1.0"}],
            "speakers": str(folder / "speakers.yaml"),
            "output": str(self.corpus),
            "unit_size": 8,
            "llm": {"slots": 8},
            "text": {"language": "en"},
            "quality": LOOSE,
            "replicas": SMALL,
            "dataset": {
                "name": "acme/en",
                "license": "cc-by-4.0",
                "dedup": {"never": [str(folder / "bench.parquet")]},
                "split": {"test": 0.2, "validation": 0.2, "test_speakers": ["iris"]},
                "gate": {"min_accepted": 0.5},
            },
        }
        self.file = folder / "night.yaml"
        self.file.write_text(yaml.safe_dump(raw))
        self.rows: dict[str, str] = {}

    def config(self, *overrides):
        return load_night_config(self.file, overrides)

    def write(self, night):
        """Write the texts of a night: some are new; on the second one is corrected, copied, or of a benchmark."""
        first = 16 * NIGHTS.index(night)
        for number in range(first, first + 16):
            self.rows[f"n{number}"] = f"The {WORDS[number % 8]} and the {WORDS[number // 8]}."
        if night == NIGHTS[1]:
            self.rows |= {"n3": "Quite another text.", "copy": "the BOAT, and the boat", "bench": BENCHMARK}
        lines = [f'{text_id},"{text}"' for text_id, text in self.rows.items()]
        (self.folder / "texts/all.csv").write_text("\n".join(["id,text", *lines]) + "\n")

    def make(self, night, *overrides):
        return make_night(self.config(*overrides), night, networks=ECHO)

    def withdraw(self):
        assert jobs.remove.main([str(self.corpus), "--speakers", "ross", "--reason", "withdrew his consent"]) == 0

    def snapshot(self, night):
        storage = open_storage(str(self.corpus))
        rows = []
        for split, address in iter_data_files(storage, night):
            rows += [{**row, "split": split} for row in pq.read_table(address).drop_columns(["audio"]).to_pylist()]
        return rows

    def hashes(self):
        """Of all that a kill must not change."""
        paths = [path for part in ("manifest", "ledger", "snapshots") for path in (self.corpus / part).rglob("*")]
        files = [path for path in paths if path.is_file() and path.name != "seen.json"]
        return {str(path.relative_to(self.corpus)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory, random_weights, without_processes):
    world = World(tmp_path_factory.mktemp("nights"), random_weights)
    summaries = []
    for night in NIGHTS:
        world.write(night)
        summaries.append(world.make(night))
    return world, summaries


def test_a_night_plans_what_is_new_and_counts_what_is_not(three_nights):
    world, summaries = three_nights
    plans = [summary.record.plan for summary in summaries]
    assert [plan["num_texts"] for plan in plans] == [16, 17, 16]
    assert (
        plans[1]["left_out"] == {"duplicate_of_earlier_night": 1, "never_exact": 1} and plans[1]["num_corrected"] == 1
    )
    assert plans[2]["left_out"] == {"never_exact": 1}
    assert all(summary.record.has_passed and summary.snapshot is not None for summary in summaries)
    assert not any(row["text"] == BENCHMARK for row in read_output(str(world.corpus / "output")))


def test_a_corrected_text_leaves_the_next_snapshot_and_the_old_one_keeps_it(three_nights):
    world, _ = three_nights
    texts = [{row["text"] for row in world.snapshot(night) if row["text_id"] == "n3"} for night in NIGHTS]
    assert texts == [{"The garden and the boat."}, {"Quite another text."}, {"Quite another text."}]
    removed = pq.read_table(world.corpus / f"snapshots/{NIGHTS[1]}/removed.parquet").to_pylist()
    assert [(row["night"], row["reason"]) for row in removed] == [(NIGHTS[0], f"corrected by {NIGHTS[1]}")]


def test_nothing_is_on_both_sides(three_nights):
    world, _ = three_nights
    splits, speakers = defaultdict(set), defaultdict(set)
    for night in NIGHTS:
        for row in world.snapshot(night):
            splits[row["text"]].add(row["split"])
            speakers[row["split"]].add(row["speaker"])
    assert all(len(found) == 1 for found in splits.values())
    assert speakers["test"] == {"iris"} and speakers["train"] | speakers["validation"] == {"ada", "ross"}


def test_a_second_call_does_nothing(three_nights):
    world, _ = three_nights
    before = {path: path.stat().st_mtime_ns for path in world.corpus.rglob("*") if path.is_file()}
    summary = world.make(NIGHTS[2])
    assert not summary.is_new and summary.record.state == "published"
    assert {path: path.stat().st_mtime_ns for path in world.corpus.rglob("*") if path.is_file()} == before


def test_the_page_shows_all_nights(three_nights):
    _, summaries = three_nights
    page = Path(summaries[2].report).read_text()
    assert all(night in page for night in NIGHTS) and page.count(">published<") == 3
    assert "duplicate_of_earlier_night 1" in page and "trigrams" in page and ">iris<" in page
    assert "Quite another text" not in page
    assert ">Returned<" in page and ">Consent<" in page and "<td>not stated</td>" in page
    # Nobody listened, and licenses are not judged.
    assert "Word error rate" not in page and "WER" not in page and "()" not in page.partition("<script>")[0]
    tables = {name: page.partition(f'id="{name}-table"')[2].partition("</table>")[0] for name in ("splits", "licenses")}
    assert ">Accepted<" in tables["splits"] and "100.0%" in tables["splits"]
    assert ">Accepted<" not in tables["licenses"] and "–" not in tables["licenses"]


@pytest.fixture
def world(tmp_path, random_weights):
    world = World(tmp_path / "world", random_weights)
    world.write(NIGHTS[0])
    return world


def test_a_night_that_fails_its_gate_is_not_published(world, monkeypatch, capsys):
    monkeypatch.setattr(
        "pipeline.dataset.night.make_night", lambda config, night: make_night(config, night, networks=ECHO)
    )
    command = ["--config", str(world.file), "--night", NIGHTS[0]]
    assert jobs.dataset.main([*command, "--set", "dataset.gate.min_hours=1"]) == 1
    assert "hours: 0.002 of accepted audio, at least 1 wanted" in capsys.readouterr().out
    assert not (world.corpus / "latest.json").exists()
    record = Corpus(open_storage(str(world.corpus))).read_night(NIGHTS[0])
    assert record.state == "failed its gate" and record.measures["distributions"]["duration_s"]["num"] == 16
    assert jobs.dataset.main([*command, "--dry-run"]) == 0
    assert "planned already, failed its gate; what is left of its run" in capsys.readouterr().out
    made = {path: path.stat().st_mtime_ns for path in world.corpus.glob("output/metadata/**/*.parquet")}
    assert jobs.dataset.main(command) == 0, "another gate, and no new synthesis"
    assert {path: path.stat().st_mtime_ns for path in world.corpus.glob("output/metadata/**/*.parquet")} == made
    assert json.loads((world.corpus / "latest.json").read_bytes())["night"] == NIGHTS[0]
    assert jobs.dataset.main(command) == 0 and "nothing to do" in capsys.readouterr().out
    assert jobs.dataset.main([*command[:-1], "yesterday"]) == 2


def test_rows_of_a_failed_night_are_in_no_snapshot_until_it_passes(world):
    assert not world.make(NIGHTS[0], "dataset.gate.min_hours=1").record.has_passed
    world.write(NIGHTS[1])
    assert world.make(NIGHTS[1]).record.has_passed
    assert {row["night"] for row in world.snapshot(NIGHTS[1])} == {NIGHTS[1]}
    late = world.make(NIGHTS[0])
    assert late.record.night == NIGHTS[0] and late.record.state == "published"
    assert {row["night"] for row in world.snapshot(NIGHTS[0])} == {NIGHTS[0]}
    assert json.loads((world.corpus / "latest.json").read_bytes())["night"] == NIGHTS[1]


def test_a_row_stays_until_what_corrects_it_is_published(world):
    world.make(NIGHTS[0])
    (old,) = [row["text"] for row in world.snapshot(NIGHTS[0]) if row["text_id"] == "n3"]
    world.write(NIGHTS[1])
    assert not world.make(NIGHTS[1], "dataset.gate.min_hours=1").record.has_passed
    world.write(NIGHTS[2])
    world.make(NIGHTS[2])
    assert [row["text"] for row in world.snapshot(NIGHTS[2]) if row["text_id"] == "n3"] == [old]
    assert world.make(NIGHTS[1]).record.has_passed
    assert [row["text"] for row in world.snapshot(NIGHTS[1]) if row["text_id"] == "n3"] == ["Quite another text."]


def test_rows_that_other_limits_reject_leave_with_that_reason(world):
    world.make(NIGHTS[0])
    world.write(NIGHTS[1])
    rows = {row["id"] for row in world.snapshot(NIGHTS[0])}
    world.make(NIGHTS[1], "quality.min_pace=0.9", "quality.max_pace=1.0", "dataset.gate.min_accepted=0.0")
    removed = pq.read_table(world.corpus / "snapshots" / NIGHTS[1] / "removed.parquet").to_pylist()
    left = rows - {row["id"] for row in world.snapshot(NIGHTS[1])}
    reasons = {row["id"]: row["reason"] for row in removed}
    assert left and {*reasons} == left
    judged = {reason for reason in reasons.values() if not reason.startswith("corrected")}
    assert judged and judged <= {"rejected: too_slow", "rejected: too_fast"}


def test_a_voice_that_left_the_speakers_file_stops_a_night(world, dry_run, capsys):
    plan = world.make(NIGHTS[0]).record.plan
    speakers = yaml.safe_load((world.folder / "speakers.yaml").read_text())
    (world.folder / "speakers.yaml").write_text(
        yaml.safe_dump([one for one in speakers if one["speaker_id"] != "ross"])
    )
    world.write(NIGHTS[1])
    rows = plan["speakers"]["ross"]["rows"]
    with pytest.raises(ConfigError, match=rf"speakers\.yaml: who read earlier nights .*: ross \({rows:,} rows\)"):
        world.make(NIGHTS[1])
    assert dry_run("--night", NIGHTS[1]) == 2 and "--speakers" in capsys.readouterr().err
    assert len(world.snapshot(NIGHTS[0])) == plan["num_rows"]
    world.withdraw()
    assert world.make(NIGHTS[1]).record.has_passed, "who was withdrawn is not expected"


@pytest.fixture
def dry_run(world, monkeypatch):
    """The command's dry run of the first night, with networks that answer at once."""
    forecast = partial(forecast_night, networks=ECHO)
    monkeypatch.setattr("pipeline.dataset.night.forecast_night", forecast)
    return lambda *options: jobs.dataset.main(
        ["--config", str(world.file), "--night", NIGHTS[0], "--dry-run", *options]
    )


def test_a_dry_run_writes_nothing_and_tells_what_the_night_does(world, dry_run, capsys):
    assert dry_run("--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert dry_run() == 0
    told = capsys.readouterr().out
    assert "16 planned" in told
    assert "no license 3 of 3 speakers have no `license` in the speakers file: ada, iris, ross" in told
    assert "no consent 3 of 3 speakers" in told
    assert re.search(r"time +about .* of audio: measured here \(.*\) on 8 row\(s\)", told), told
    assert not world.corpus.exists(), "nor is a salt drawn: the splits are those of the run"
    assert world.make(NIGHTS[0]).record.plan == plan and len(plan["splits"]) == 3


def test_a_dry_run_that_knows_no_speed_says_why_and_what_to_do(world, dry_run, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.dataset.night.try_networks", lambda *_: Trial(skipped="no node has 9 GPUs"))
    assert dry_run() == 0
    assert "time       not known: no node has 9 GPUs: make a small night first (--set dataset.plan.rows=200)" in (
        capsys.readouterr().out
    )


def test_a_dry_run_warns_once_and_speaks_of_no_committed_work(world, dry_run, monkeypatch, caplog, capsys):
    with wave.open(str(world.folder / "short.wav"), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(16_000)
        file.writeframes(b"".join(struct.pack("<h", round(9_000 * math.sin(at * 0.05))) for at in range(17_000)))
    speakers = yaml.safe_load((world.folder / "speakers.yaml").read_text())
    speakers.append({"speaker_id": "zoe", "reference_audio": str(world.folder / "short.wav")})
    (world.folder / "speakers.yaml").write_text(yaml.safe_dump(speakers))
    monkeypatch.setattr("pipeline.dataset.night.try_networks", lambda *_: Trial())  # It enrolls somebody, too.
    with caplog.at_level(logging.WARNING):
        assert dry_run() == 0
    assert sum("speaker 'zoe'" in message and "s long" in message for message in caplog.messages) == 1
    world.write(NIGHTS[0])
    (world.folder / "speakers.yaml").write_text(yaml.safe_dump(speakers[:-1]))
    world.make(NIGHTS[0])
    capsys.readouterr()
    monkeypatch.setattr("jobs.dry_run.check_rejected_share", stop)
    assert dry_run() == 3
    assert capsys.readouterr().err.strip().endswith("a run would stop: stopped here")


def test_a_default_speaker_is_refused(world):
    with pytest.raises(ConfigError, match="default_speaker: the plan gives every text to a voice"):
        world.config("default_speaker=ada")


def test_commands_for_outputs_take_a_corpus(three_nights, capsys):
    world, _ = three_nights
    record = world.corpus / "output/run.json"
    kept = record.read_text()
    record.write_text(kept.replace(f"{world.corpus}/manifest", "corpus/manifest"))  # As from a folder of its own.
    for job in (jobs.status, jobs.verify, jobs.report):
        code, told = job.main([str(world.corpus)]), capsys.readouterr()
        assert code == 0 and "not compared" not in told.out, told
        assert f"this is about its run, {world.corpus}/output" in told.err
    record.write_text(kept)
    assert jobs.redo.main([str(world.corpus), "--ids", "nobody"]) == 2
    with pytest.raises(ConfigError, match=f"one did in {world.corpus}/output: name that"):
        next(read_output(str(world.corpus)))


def test_a_withdrawn_speaker_is_planned_no_more(world):
    world.make(NIGHTS[0])
    before = {row["text_id"]: row for row in world.snapshot(NIGHTS[0])}
    world.withdraw()
    world.write(NIGHTS[1])
    summary = world.make(NIGHTS[1])
    assert "ross" not in summary.record.plan["speakers"]
    rows = world.snapshot(NIGHTS[1])
    assert "ross" not in {row["speaker"] for row in rows}
    assert summary.record.plan["num_returned"] == sum(
        row["speaker"] == "ross" for name, row in before.items() if name != "n3"
    )
    after = {row["text_id"]: row for row in rows if row["text_id"] in before and row["text_id"] != "n3"}
    assert {*after} == {*before} - {"n3"}, "others read what he has read"
    assert all(row["split"] == before[text_id]["split"] for text_id, row in after.items())


def test_copies_of_a_snapshot_follow_a_withdrawal(world):
    copy = ["dataset.publish.to=" + str(world.folder / "copy"), "dataset.gate.min_hours=0.002"]
    assert world.make(NIGHTS[0], *copy).is_new and not world.make(NIGHTS[0], *copy).is_new
    voices = {path for path in (world.folder / "copy").rglob("*.parquet") if b"ross" in path.read_bytes()}
    world.withdraw()
    summary = world.make(NIGHTS[0], *copy)
    assert summary.is_new and summary.record.has_passed, "it was judged before, and stays published"
    assert voices and not any(b"ross" in path.read_bytes() for path in voices if path.exists())
    assert not world.make(NIGHTS[0], *copy).is_new


def test_a_published_night_ends_a_takedown_that_was_cut_short(world, monkeypatch):
    world.make(NIGHTS[0])
    assert "ross" in {row["speaker"] for row in world.snapshot(NIGHTS[0])}
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.dataset.takedown.finish_takedown", stop)
        command = [str(world.corpus), "--speakers", "ross", "--reason", "withdrew his consent"]
        assert jobs.remove.main(command) == 3
    assert world.make(NIGHTS[0]).is_new
    assert "ross" not in {row["speaker"] for row in world.snapshot(NIGHTS[0])}
    assert not world.make(NIGHTS[0]).is_new


def test_nights_are_planned_in_order(world):
    world.make(NIGHTS[1])
    with pytest.raises(ConfigError, match="2026-11-22 is planned already, and nights are planned in order"):
        world.make(NIGHTS[0])
    for lost in ("dataset.json", f"manifest/{NIGHTS[1]}.parquet"):
        (world.corpus / lost).rename(world.folder / "lost")
        for refuse in (world.make, lambda night: forecast_night(world.config(), night, networks=ECHO)):
            with pytest.raises(ConfigError, match=f"{lost}: missing, though"):
                refuse(NIGHTS[2])
        (world.folder / "lost").rename(world.corpus / lost)


def test_one_driver_at_a_time(world):
    with Lease.acquire(open_storage(str(world.corpus))), pytest.raises(ConfigError, match="another driver is at work"):
        world.make(NIGHTS[0])


def test_a_night_that_was_interrupted_is_judged_with_the_next(world, monkeypatch):
    monkeypatch.setattr("pipeline.dataset.night.synthesize_manifest", stop)
    with pytest.raises(RunStopped):
        world.make(NIGHTS[0])
    monkeypatch.undo()
    world.write(NIGHTS[1])
    world.make(NIGHTS[1])
    assert Corpus(open_storage(str(world.corpus))).read_night(NIGHTS[0]).state == "passed its gate"
    assert {row["night"] for row in world.snapshot(NIGHTS[1])} == {*NIGHTS[:2]}


def stop(*_, **__):
    raise RunStopped("stopped here")


class Deadly:
    """Ends the n-th change in the corpus, before or after its effect."""

    def __init__(self, monkeypatch, corpus):
        self.left, self.after = None, False
        for name in ("_put", "_delete"):
            monkeypatch.setattr(LocalStorage, name, self.wrap(getattr(LocalStorage, name), str(corpus)))

    def wrap(self, call, corpus):
        def deadly(storage, path, *arguments):
            if self.left is None or not storage.uri.startswith(corpus) or path == "lease.json":
                return call(storage, path, *arguments)
            self.left -= 1
            if self.left < 0 or (self.left == 0 and not self.after):
                raise StoreRefused("killed here")
            result = call(storage, path, *arguments)
            if self.left == 0:
                raise StoreRefused("killed here")
            return result

        return deadly


def test_a_night_that_is_killed_anywhere_comes_to_the_same(three_nights, tmp_path, random_weights, monkeypatch):
    world, rng = World(tmp_path / "killed", random_weights), random.Random(3)
    deadly, kills = Deadly(monkeypatch, world.corpus), 0
    for night in NIGHTS[:2]:
        world.write(night)
        while True:
            deadly.left, deadly.after = rng.randint(1, 25), rng.random() < 0.5
            try:
                summary = world.make(night)
            except StoreRefused:
                kills += 1
                continue
            finally:
                deadly.left = None
            break
        assert summary.record.has_passed
    assert kills >= 6
    twin = {path: found for path, found in three_nights[0].hashes().items() if NIGHTS[2] not in path}
    assert world.hashes() == twin
