"""An output follows its manifest: random edits, killed at random points, against an output made from the last manifest.

Networks answer at once; what they answer follows from prompt and seed, so that another text, voice or seed is heard.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline import enroll_speakers, forecast_run, repair_output, synthesize_manifest, verify_output
from pipeline.benchmark.instant import InstantCodec, InstantEngine
from pipeline.cluster.replica import Networks
from pipeline.errors import ConfigError, ManifestError, RunStopped, SpeakerError, StoreRefused, SynthesisError
from pipeline.llm import Generation
from pipeline.llm.prompt import SpeechVocabulary, Voice
from pipeline.storage import open_storage
from pipeline.storage.local import LocalStorage
from pipeline.synthesis.speaker_definitions import read_definitions
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry
from tests.inline_ray import inline_ray
from tests.runs import make_config, read_metadata

NAMES = ("ada", "iris", "ross")
WORDS = "boat river house garden window street letter night morning winter".split()
PACKED_FLAC = {"format": "flac", "layout": "packed"}
INPUT = ("utterance_id", "text", "speaker_id", "seed", "language")


class EchoEngine(InstantEngine):
    """Answers with a number that follows from prompt and seed."""

    def _answer(self, request):
        digest = hashlib.blake2b(f"{request.prompt_ids} {request.seed}".encode(), digest_size=8).digest()
        tokens = np.full(25, int.from_bytes(digest, "big") % 8_192, np.int64)
        return Generation(request.request_id, tokens, None, None, None, hit_length_cap=False, num_steps=1)


ECHO = Networks(
    lambda config, weights_dir: EchoEngine(SpeechVocabulary.load(weights_dir / "LLM"), config.llm.slots),
    lambda config, weights_dir: InstantCodec(),
)


class Deadly:
    """Ends a run at the n-th change of its output, before or after its effect; nothing has an effect after that."""

    def __init__(self, monkeypatch, output):
        self.left, self.after = None, False
        for name in ("_put", "_delete"):
            monkeypatch.setattr(LocalStorage, name, self.wrap(getattr(LocalStorage, name), str(output)))

    def wrap(self, call, output):
        def deadly(storage, *arguments):
            if storage.uri != output or self.left is None:
                return call(storage, *arguments)
            self.left -= 1
            if self.left < 0 or (self.left == 0 and not self.after):
                raise StoreRefused("killed here")
            result = call(storage, *arguments)
            if self.left == 0:
                raise StoreRefused("killed here")
            return result

        return deadly


def make_row(rng, number):
    return {
        "utterance_id": f"u{number:04d}",
        "text": " ".join(rng.choices(WORDS, k=4)),
        "speaker_id": rng.choice(NAMES),
        "seed": rng.choice([None, None, 7]),
        "language": rng.choice([None, "en"]),
        "domain": rng.choice(["story", "news"]),
    }


class World:
    """A manifest that is edited at random, and its output."""

    def __init__(self, tmp_path, weights, seed):
        self.rng, self.number = random.Random(seed), 0
        # Where commits hold their clips, what is kept is the clip itself.
        self.config = make_config(tmp_path, weights, unit_size=3, audio=PACKED_FLAC if seed % 2 else {})
        self.define(NAMES)
        self.shards = {"b": self.new_rows(7), "d/e": self.new_rows(4), "m": self.new_rows(5)}
        self.write()

    def define(self, names, shift=0, **notes):
        """Write definitions; `shift` gives the first of these speakers another voice."""
        voices = [(name, NAMES.index(name) + (shift if name == names[0] else 0)) for name in names]
        speakers = [{"speaker_id": name, "global_tokens": [*range(n, n + 32)], **notes} for name, n in voices]
        Path(self.config.speakers.path).write_text(yaml.safe_dump(speakers))

    def count_rows_of(self, name):
        return sum(row["speaker_id"] == name for rows in self.shards.values() for row in rows)

    def new_rows(self, count):
        self.number += count
        return [make_row(self.rng, self.number - at) for at in range(count)]

    def write(self):
        folder = Path(self.config.manifest)
        shutil.rmtree(folder, ignore_errors=True)
        types = {"seed": pa.int64()}
        for name, rows in self.shards.items():
            path = folder / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            columns = ("utterance_id", "text", "speaker_id", "seed", "language", "domain")
            table = pa.table({c: pa.array([r[c] for r in rows], types.get(c, pa.string())) for c in columns})
            compression = self.rng.choice(["snappy", "zstd"]) if self.rng.random() < 0.2 else "snappy"
            pq.write_table(table, path, row_group_size=4, compression=compression)

    def run(self, config=None):
        config = config or self.config
        storage = open_storage(config.output)
        if not storage.exists("speakers.parquet"):
            voices = [
                Speaker(d.speaker_id, Voice(global_tokens=d.global_tokens), d.kind, d.canonical())
                for d in read_definitions(config.speakers.path, config.storage)
            ]
            storage.put("speakers.parquet", SpeakerRegistry(voices).to_parquet())
        return synthesize_manifest(config, networks=ECHO)

    def edit(self):
        rng, shards = self.rng, self.shards
        full = [name for name in shards if shards[name]]
        name = rng.choice(full)
        rows = shards[name]
        at = rng.randrange(len(rows))
        kind = rng.choice(EDITS)
        if kind == "append":
            rows += self.new_rows(rng.randint(1, 3))
        elif kind == "add_shard":
            shards[f"n{self.number}"] = self.new_rows(rng.randint(1, 5))
        elif kind == "insert":
            rows[at:at] = self.new_rows(1)
        elif kind == "delete" and sum(map(len, shards.values())) > 3:
            del rows[at]
        elif kind == "move":
            shards[rng.choice(list(shards))].append(rows.pop(at))
        elif kind == "shuffle":
            rng.shuffle(rows)
        elif kind == "rename":
            shards[f"r{rng.randrange(100)}"] = shards.pop(name)
        elif kind == "split":
            shards[name], shards[f"s{self.number}{rng.randrange(100)}"] = rows[:at], rows[at:]
        elif kind == "merge" and len(full) > 1:
            shards[rng.choice([other for other in full if other != name])] += shards.pop(name)
        elif kind == "remove" and len(full) > 2:
            del shards[name]
        elif kind == "repeat":
            rows.append({**rows[at], "text": rng.choice([rows[at]["text"], "another text"])})
        elif kind in ("text", "speaker_id", "seed", "language", "domain"):
            values = {
                "text": f"edited {rng.randrange(10**6)}",
                "speaker_id": rng.choice(NAMES),
                "seed": rng.randrange(9),
            }
            values |= {"language": rng.choice([None, "en"]), "domain": "edited"}
            rows[at] = {**rows[at], kind: values[kind]}

    def accepted(self):
        """What rows of the manifest ask for, without those whose id an earlier row has."""
        found = {}
        for name in sorted(self.shards):
            for row in self.shards[name]:
                found.setdefault(row["utterance_id"], tuple(row[column] for column in INPUT))
        return set(found.values())

    def check(self, tmp_path):
        """Hold the output against one made from this manifest alone."""
        fresh = self.config.model_copy(update={"output": str(tmp_path / "fresh")})
        shutil.rmtree(fresh.output, ignore_errors=True)
        self.run(fresh)
        assert describe(self.config.output) == describe(fresh.output)
        report = verify_output(open_storage(self.config.output))
        assert report.is_intact
        assert not (tmp_path / "output/.lock").exists()
        return report


EDITS = (
    "append add_shard insert delete move shuffle rename split merge remove repeat text text speaker_id seed language"
    " domain"
).split()


def describe(output):
    rows = read_metadata(output)
    for row in rows:
        if row["audio_path"] is not None:
            data = (Path(output) / row["audio_path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == row["audio_sha256"]
        del row["created_at"], row["audio_path"]
    return rows


@pytest.fixture
def without_processes():
    with inline_ray():
        yield


@pytest.mark.usefixtures("without_processes")
@pytest.mark.parametrize("seed", range(2))  # The clips in files, and in the commits.
def test_random_edits_synthesize_what_changed_and_nothing_else(tmp_path, random_weights, seed):
    world = World(tmp_path, random_weights, seed)
    world.run()
    for _ in range(4):
        before = world.accepted()
        for _ in range(world.rng.randint(1, 4)):
            world.edit()
        world.write()
        summary = world.run()
        assert summary.num_synthesized == len(world.accepted() - before)
        assert not world.check(tmp_path).orphaned
        assert world.run().num_units_done == 0


@pytest.mark.usefixtures("without_processes")
@pytest.mark.parametrize("seed", range(2))
def test_killed_anywhere_it_ends_the_same(tmp_path, random_weights, monkeypatch, seed):
    """Half of the time the manifest changes once more before the killed start is made good."""
    world = World(tmp_path, random_weights, 1_000 + seed)
    deadly = Deadly(monkeypatch, world.config.output)
    num_killed = Counter()
    for round_number in range(5):
        for _ in range(world.rng.randint(1, 3)):
            world.edit()
        world.write()
        for _ in range(world.rng.randint(1, 3)):
            deadly.left, deadly.after = world.rng.randint(3, 30), world.rng.random() < 0.5
            try:
                world.run()
            except SynthesisError as error:
                assert "killed here" in str(error)
                num_killed[round_number] += 1
                if (Path(world.config.output) / "_SUCCESS").exists():
                    # Killed before the mark went, or after it came: this is a whole output, of either manifest.
                    assert verify_output(open_storage(world.config.output)).is_intact
            if world.rng.random() < 0.5:
                world.edit()
                world.write()
        deadly.left = None
        world.run()
        world.check(tmp_path)
    assert num_killed.total() > 2


@pytest.mark.usefixtures("without_processes")
def test_nobody_speaks_who_is_not_in_the_current_definitions(tmp_path, random_weights):
    """A speaker taken out of the file went on speaking, and repairs made his deleted files again."""
    world = World(tmp_path, random_weights, 0)
    world.run()
    before = describe(world.config.output)
    num_rows = world.count_rows_of("ross")
    assert 0 < num_rows < len(before)
    world.define(["ada", "iris"])
    summary = world.run()
    assert (summary.num_synthesized, summary.rejected) == (num_rows, {"unknown_speaker": num_rows})
    assert not world.check(tmp_path).orphaned
    world.define(NAMES)
    assert world.run().num_synthesized == num_rows
    assert describe(world.config.output) == before
    # Gone from the definitions and damaged before the next start: a repair does not bring the voice back.
    world.define(["ada", "iris"])
    clip = next(row for row in read_metadata(world.config.output) if row["speaker_id"] == "ross")
    (tmp_path / "output" / clip["audio_path"]).unlink()
    assert repair_output(world.config).rejected == {"unknown_speaker": 1}


@pytest.mark.usefixtures("without_processes")
def test_a_replaced_voice_is_heard_in_that_speakers_rows_alone(tmp_path, random_weights, capsys):
    world = World(tmp_path, random_weights, 0)
    world.run()
    before = {row["utterance_id"]: row for row in describe(world.config.output)}
    world.define(NAMES, shift=7)
    with pytest.raises(SpeakerError, match=r"ada.*put the old definition back .* jobs\.enroll --replace ada"):
        world.run()
    with pytest.raises(ConfigError, match="--replace bob: not defined"):
        enroll_speakers(world.config, ["bob"])
    enroll_speakers(world.config, ["ada"])
    assert not (tmp_path / "output" / "_SUCCESS").exists()
    summary = world.run()
    assert summary.num_synthesized == world.count_rows_of("ada")
    after = {row["utterance_id"]: row for row in describe(world.config.output)}
    changed = {name for name, row in after.items() if row["audio_sha256"] != before[name]["audio_sha256"]}
    assert changed == {name for name, row in before.items() if row["speaker_id"] == "ada"}
    assert world.run().num_units_done == 0


@pytest.mark.usefixtures("without_processes")
def test_license_and_consent_of_a_speaker_are_kept_and_free_to_change(tmp_path, random_weights):
    world = World(tmp_path, random_weights, 0)
    for notes in ({"license": "CC0"}, {"license": "CC-BY", "consent": "signed 2026-11-01", "notes": "hoarse"}):
        world.define(NAMES, **notes)
        world.run()
        stored = SpeakerRegistry.from_parquet(open_storage(world.config.output).get("speakers.parquet"))["ada"]
        assert {name: getattr(stored, name) for name in notes} == notes
    assert world.run().num_units_done == 0


@pytest.mark.usefixtures("without_processes")
def test_a_run_of_few_rows_that_are_rejected_is_not_finished(tmp_path, random_weights):
    """30 of 30 rejected rows gave `_SUCCESS`, as fewer than 500 were not judged."""
    world = World(tmp_path, random_weights, 0)
    for rows in world.shards.values():
        for row in rows:
            row["text"] = ""
    world.write()
    strict = world.config.quality.model_copy(update={"stop_above_rejected": 0.9})
    for _ in range(2):
        with pytest.raises(RunStopped, match=r"16 of 16 rows \(100%\) were rejected \(empty_text 16\)"):
            world.run(world.config.model_copy(update={"quality": strict}))
        assert not (tmp_path / "output" / "_SUCCESS").exists()
    assert world.run().num_rejected == 16 and (tmp_path / "output" / "_SUCCESS").exists()


@pytest.mark.usefixtures("without_processes")
@pytest.mark.parametrize("seed", [0, 1])
def test_other_limits_of_quality_touch_the_rows_alone_that_they_judge_otherwise(
    tmp_path, random_weights, monkeypatch, caplog, seed
):
    world = World(tmp_path, random_weights, seed)
    world.shards["b"][0]["text"] = "boat " * 12
    world.shards["m"][1]["text"] = "river " * 12
    world.write()
    loose = world.config
    world.run()
    before = describe(loose.output)
    paces = sorted(row["segments"][0]["estimated_s"] / 0.5 for row in before)
    assert paces[-3] < paces[-2] < paces[-1]
    limit = (paces[-3] + paces[-2]) / 2
    strict = loose.model_copy(update={"quality": loose.quality.model_copy(update={"max_pace": limit})})
    commits = {path: path.read_bytes() for path in Path(loose.output).glob("metadata/**/*.parquet")}
    with caplog.at_level("INFO"):
        summary = world.run(strict)
    assert (summary.num_synthesized, summary.rejected) == (2, {"too_fast": 2})
    assert "nothing to do" not in caplog.text and "/16 utterances" not in caplog.text  # These were done before.
    assert sum(path.read_bytes() != data for path, data in commits.items()) == 2
    assert world.run(strict).num_synthesized == 0
    judged = describe(loose.output)
    found = forecast_run(loose)
    assert (found.num_synthesized, found.num_takes, found.num_refused) == (2, 2, 0) and found.expected_s > 0
    deadly = Deadly(monkeypatch, loose.output)
    for config, expected in ((loose, before), (strict, judged)):
        for left in (4, 7, 9):
            deadly.left = left
            with suppress(SynthesisError):
                world.run(config)
        deadly.left = None
        world.run(config)
        assert describe(loose.output) == expected
    assert world.run(loose).num_synthesized == 2
    assert describe(loose.output) == before
    assert verify_output(open_storage(loose.output)).is_intact


@pytest.mark.usefixtures("without_processes")
def test_a_manifest_of_another_run_takes_nothing(tmp_path, random_weights):
    world = World(tmp_path, random_weights, 3)
    world.run()
    before = describe(world.config.output)
    kept = world.shards
    for shards in ({"b": world.new_rows(3)}, {"b": []}):
        world.shards = shards
        world.write()
        with pytest.raises(ManifestError, match=r"none of the manifest's [03] rows is among the 16 "):
            world.run()
        assert (Path(world.config.output) / "_SUCCESS").exists()
        assert describe(world.config.output) == before
    # One row is enough to be the same run, whatever became of its text.
    world.shards = {"x": [{**kept["m"][2], "text": "another text"}]}
    world.write()
    assert world.run().num_synthesized == 1
    world.check(tmp_path)
