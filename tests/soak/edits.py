"""Random edits of a manifest and its output, by the hundred: `python -m tests.soak.edits [--cases 200] [--seed 0]`.

Beside the edits of tests/run/test_changing_manifest.py: shards of other columns, types and row groups, shards renamed
to names that were there before; speakers renamed; rows removed for good and added again, redone, damaged and
repaired. Every second case is killed at random points. Each must end as an output that is made from its last manifest
alone, and a dry run must foretell each start.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline import forecast_run, redo_rows, repair_output, synthesize_manifest, verify_output
from pipeline.errors import SynthesisError
from pipeline.llm.prompt import Voice
from pipeline.output.removal import remove_rows
from pipeline.output.run_record import RunRecord
from pipeline.output.shard_table import ShardTable
from pipeline.output.tombstones import Tombstones
from pipeline.run import replicas
from pipeline.run.repair import Selection
from pipeline.storage import open_storage
from pipeline.synthesis.speaker_definitions import read_definitions
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry
from tests.inline_ray import inline_ray
from tests.run.test_changing_manifest import ECHO, INPUT, Deadly, World, make_row
from tests.runs import make_config, read_metadata

AUDIO = (
    {},
    {"format": "flac", "layout": "packed"},
    {"format": "flac"},
    {"layout": "packed"},
)
MORE_EDITS = (
    "layout layout drop_column drop_seed drop_language rename_speaker undefine define swap_ids old_name one_row"
    " add_again"
).split()
TYPES = {
    "utterance_id": [pa.string(), pa.large_string()],
    "text": [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())],
    "speaker_id": [pa.string(), pa.dictionary(pa.int8(), pa.string())],
    "seed": [pa.int64(), pa.int32(), pa.int16()],
    "language": [pa.string(), pa.dictionary(pa.int32(), pa.string())],
    "domain": [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())],
    "rating": [pa.int32(), pa.int64(), pa.int16(), pa.float64()],
}
EXPECTED = (
    "killed here",
    "none of the manifest's",
    "run jobs.synthesize first",
    "are in no commit, voice or manifest",
    "has the utterance_id(s)",
)


class WideWorld(World):
    """A manifest whose files change their form as well, and whose output is worked on between the starts."""

    def __init__(self, folder, weights, seed):
        self.layouts, self.redone, self.is_clean = {}, set(), True
        self.voices, self.undefined, self.num_names = {name: n for n, name in enumerate(("ada", "iris", "ross"))}, {}, 0
        self.rng, self.number = random.Random(seed), 0
        self.old_names = []
        self.config = make_config(folder, weights, unit_size=3, audio=AUDIO[seed % 4])
        self.shards = {"b": self.new_rows(7), "d/e": self.new_rows(4), "m": self.new_rows(5)}
        self.write()

    @property
    def removed(self):
        return Tombstones.read(open_storage(self.config.output)).ids("utterance")

    @property
    def removed_speakers(self):
        return Tombstones.read(open_storage(self.config.output)).ids("speaker")

    def new_rows(self, count):
        self.number += count
        rows = [make_row(self.rng, self.number - at) for at in range(count)]
        return [
            {**row, "speaker_id": self.rng.choice([*self.voices]), "rating": self.rng.choice([None, 1, 2])}
            for row in rows
        ]

    def write(self, folder=None):
        """Write the manifest; in another folder in its plainest form."""
        plain = folder is not None
        folder = Path(folder or self.config.manifest)
        shutil.rmtree(folder, ignore_errors=True)
        for name, rows in self.shards.items():
            path = folder / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            layout = {} if plain else self.layouts.get(name, {})
            columns = layout.get("columns", [*TYPES])
            kinds = layout.get("types", {})
            table = pa.table(
                {
                    column: pa.array([row[column] for row in rows], TYPES[column][0]).cast(
                        kinds.get(column, TYPES[column][0])
                    )
                    for column in columns
                }
            )
            pq.write_table(table, path, **layout.get("file", {"row_group_size": 4}))
        speakers = [{"speaker_id": n, "global_tokens": [*range(v, v + 32)]} for n, v in self.voices.items()]
        Path(self.config.speakers.path).write_text(yaml.safe_dump(speakers))

    def run(self, config=None):
        config = config or self.config
        storage = open_storage(config.output)
        voices = [
            Speaker(d.speaker_id, Voice(global_tokens=d.global_tokens), d.kind, d.canonical())
            for d in read_definitions(config.speakers.path, config.storage)
            if d.speaker_id not in self.removed_speakers
        ]
        known = (
            SpeakerRegistry.from_parquet(storage.get("speakers.parquet"))
            if storage.exists("speakers.parquet")
            else SpeakerRegistry()
        )
        registry = known.add(voice for voice in voices if voice.speaker_id not in known)
        if {**registry} != {**known}:
            storage.put("speakers.parquet", registry.to_parquet())
        return synthesize_manifest(config, networks=ECHO)

    def edit(self):
        if self.rng.random() < 0.6:
            names = {*self.shards}
            super().edit()
            self.old_names += names - {*self.shards}
        else:
            self.edit_more(self.rng.choice(MORE_EDITS))
        self.settle()

    def edit_more(self, kind):
        rng = self.rng
        full = [name for name in self.shards if self.shards[name]]
        name = rng.choice(full)
        rows = self.shards[name]
        at = rng.randrange(len(rows))
        if kind == "layout":
            self.layouts[name] = self.new_layout(self.layouts.get(name, {}))
        elif kind in ("drop_column", "drop_seed", "drop_language"):
            column = {"drop_seed": "seed", "drop_language": "language"}.get(kind) or rng.choice(["domain", "rating"])
            layout = self.layouts.setdefault(name, {})
            columns = layout.get("columns", [*TYPES])
            if column in columns:
                layout["columns"] = [other for other in columns if other != column]
            else:  # It comes back, with other values.
                layout["columns"] = [*columns, column]
        elif kind == "rename_speaker":
            old = rng.choice([*self.voices])
            self.num_names += 1
            new = f"{old[:4]}{self.num_names}"
            self.voices[new] = self.voices.pop(old)
            self.undefined[old] = self.voices[new]
            if rng.random() < 0.7:
                for shard in self.shards.values():
                    shard[:] = [{**row, "speaker_id": new} if row["speaker_id"] == old else row for row in shard]
        elif kind == "undefine" and len(self.voices) > 1:
            old = rng.choice([*self.voices])
            self.undefined[old] = self.voices.pop(old)
        elif kind == "define" and self.undefined:
            old = rng.choice([*self.undefined])
            self.voices[old] = self.undefined.pop(old)
        elif kind == "swap_ids":
            other = self.shards[rng.choice(full)]
            there = rng.randrange(len(other))
            first, second = rows[at]["utterance_id"], other[there]["utterance_id"]
            rows[at] = {**rows[at], "utterance_id": second}
            if not (other is rows and there == at):
                other[there] = {**other[there], "utterance_id": first}
        elif kind == "old_name" and self.old_names:
            self.shards[rng.choice(self.old_names)] = self.shards.pop(name)
            self.old_names.append(name)
        elif kind == "one_row":
            self.shards[name] = rows[:1]
        elif kind == "add_again" and self.removed:
            row = {**self.new_rows(1)[0], "utterance_id": rng.choice(sorted(self.removed))}
            rows.insert(at, row)

    def settle(self):
        """Rows of shards without a column have no value there."""
        for name, rows in self.shards.items():
            left_out = {*TYPES} - {*self.layouts.get(name, {}).get("columns", TYPES)}
            rows[:] = [{**row, **dict.fromkeys(left_out)} for row in rows]

    def new_layout(self, layout):
        rng = self.rng
        columns = [*layout.get("columns", TYPES)]
        rng.shuffle(columns)
        file = {
            "row_group_size": rng.choice([1, 2, 5, 100]),
            "compression": rng.choice(["snappy", "zstd", "gzip", "none"]),
            "data_page_version": rng.choice(["1.0", "2.0"]),
            "use_dictionary": rng.random() < 0.5,
        }
        return {"columns": columns, "types": {c: rng.choice(TYPES[c]) for c in columns}, "file": file}

    def order(self):
        storage = open_storage(self.config.output)
        record = RunRecord(storage)
        known = [*record.read_table().shards] if record.find() else []
        return [*(n for n in known if n in self.shards), *sorted({*self.shards} - {*known})]

    def accepted(self):
        found = {}
        for name in self.order():
            for row in self.shards[name]:
                if row["utterance_id"] not in self.removed and row["speaker_id"] not in self.removed_speakers:
                    key = (*(row[c] for c in INPUT), row["speaker_id"] in self.voices)
                    found.setdefault(row["utterance_id"], key)
        return set(found.values())

    def work_on_output(self):
        """Remove, redo, damage and repair: what is done to a finished output between two starts."""
        rng, storage = self.rng, open_storage(self.config.output)
        rows = read_metadata(self.config.output)
        kind = rng.choice(["remove", "remove", "remove_speaker", "redo", "nothing"])
        if kind == "remove":
            chosen = sorted({row["utterance_id"] for row in rng.sample(rows, min(2, len(rows)))})
            remove_rows(storage, chosen, [], "asked to")
        elif kind == "remove_speaker" and rng.random() < 0.4 and len(self.voices) > 1:
            enrolled = SpeakerRegistry.from_parquet(storage.get("speakers.parquet"))
            gone = rng.choice(sorted(enrolled))
            self.voices.pop(gone, None)
            self.undefined.pop(gone, None)
            if not self.voices:
                self.voices["bea"] = 9
            remove_rows(storage, [], [gone], "asked to")
        elif kind == "redo":
            spoken = [row for row in rows if row["status"] == "ok"]
            if spoken:
                row, self.is_clean = rng.choice(spoken), False
                redo_rows(self.config, Selection(ids=[row["utterance_id"]]), next_take=True)
                self.redone.add(row["utterance_id"])

    def damage(self):
        """Delete or cut files of the output."""
        self.is_clean = False
        for _ in range(self.rng.randint(1, 3)):
            folders = (Path(self.config.output) / name for name in ("metadata", "audio"))
            paths = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
            if paths:
                path = self.rng.choice(paths)
                if self.rng.random() < 0.5:
                    path.unlink()
                else:
                    path.write_bytes(path.read_bytes()[: self.rng.randrange(40)])

    def check(self, folder):
        output, fresh = self.config.output, str(folder / "fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        self.write(folder / "plain")
        config = self.config.model_copy(update={"output": fresh, "manifest": str(folder / "plain")})
        if open_storage(output).exists("removed.parquet"):
            Path(fresh).mkdir()
            shutil.copy(f"{output}/removed.parquet", fresh)
        order = self.order()
        with pytest.MonkeyPatch.context() as patch:
            # Of equal ids that row wins whose shard was there first.
            patch.setattr(ShardTable, "order", lambda table, shards: order)
            self.run(config)
        got, want = (describe(place, self.redone) for place in (output, fresh))
        assert got == want, first_difference(got, want)
        report = verify_output(open_storage(output))
        assert report.is_intact, report
        return report


def describe(output, redone):
    rows = {}
    for row in read_metadata(output):
        audio = row.pop("audio", None)
        if row["audio_sha256"] is not None:
            data = audio["bytes"] if audio else (Path(output) / row["audio_path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == row["audio_sha256"], row
        # Whom an unknown speaker's message lists follows from when it was written.
        del row["created_at"], row["audio_path"], row["error_message"]
        if row["utterance_id"] in redone:
            row = {name: row[name] for name in ("utterance_id", "text", "speaker_id", "status", "domain", "rating")}
        key = (row.pop("shard", None), row.pop("row", None))
        rows[key if key[0] else ("redone", row["utterance_id"], len(rows))] = row
    return rows


def first_difference(got, want):
    for key in [*want, *got]:
        if got.get(key) != want.get(key):
            return f"{key}:\n  output {got.get(key)}\n  fresh  {want.get(key)}"
    return "none"


def run_case(seed, weights, folder):
    """Edit, kill and compare; raises where the output is not what its manifest says."""
    world = WideWorld(folder, weights, seed)
    with pytest.MonkeyPatch.context() as patch:
        make_setup = replicas.make_setup
        patch.setattr(replicas, "make_setup", lambda plan, speakers, networks=None: make_setup(plan, speakers, ECHO))
        deadly = Deadly(patch, world.config.output)
        world.run()
        world.check(folder)
        for _ in range(5):
            before = world.accepted()
            world.work_on_output()
            if world.rng.random() < 0.3:
                world.damage()
                if seed % 2:
                    kill(world, deadly, lambda: repair_output(world.config))
                repair_output(world.config)
                world.check(folder)
            for _ in range(world.rng.randint(1, 4)):
                world.edit()
            world.write()
            if seed % 2:
                kill(world, deadly, lambda: start_and_edit(world))
            if not any(world.shards.values()):
                return
            shared = {row["utterance_id"] for rows in world.shards.values() for row in rows}
            if not shared & {row["utterance_id"] for row in read_metadata(world.config.output)}:
                return  # Nothing in common: refused, as it should be.
            found = forecast_run(world.config, networks=ECHO)
            expected = len(world.accepted() - before)
            summary = world.run()
            foretold = (found.num_rows, found.num_synthesized, found.num_kept, found.num_units, found.num_withdrawn)
            reported = (
                summary.num_rows,
                summary.num_synthesized,
                summary.num_kept,
                summary.num_units_done,
                summary.num_removed,
            )
            assert foretold == reported, f"foretold {foretold}, reported {reported}"
            assert dict(found.all_rejected) == summary.rejected, (found.all_rejected, summary.rejected)
            if not seed % 2:
                assert summary.num_synthesized == expected, f"synthesized {summary.num_synthesized}, not {expected}"
            report = world.check(folder)
            assert seed % 2 or not world.is_clean or not report.orphaned
            assert world.run().num_units_done == 0


def kill(world, deadly, work):
    for _ in range(world.rng.randint(1, 3)):
        deadly.left, deadly.after = world.rng.randint(2, 30), world.rng.random() < 0.5
        try:
            work()
        except SynthesisError as error:
            assert any(words in str(error) for words in EXPECTED), error
        deadly.left = None


def start_and_edit(world):
    """Start, or work on the output; half of the time the manifest has changed before."""
    if world.rng.random() < 0.4:
        world.edit()
        world.write()
    if world.rng.random() < 0.3:
        world.work_on_output()
    else:
        world.run()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    from pipeline.weights.random_weights import make_random_weights

    failed = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as top, inline_ray():
        weights = str(Path(top) / "weights")
        make_random_weights(weights)
        for seed in range(options.seed, options.seed + options.cases):
            folder = Path(top) / str(seed)
            folder.mkdir()
            try:
                run_case(seed, weights, folder)
            except Exception:  # Whatever it is, it is what is looked for.
                failed.append(seed)
                print(f"seed {seed}:\n{traceback.format_exc(limit=-4)}", flush=True)
            shutil.rmtree(folder)
    print(f"{options.cases} cases from seed {options.seed} in {time.monotonic() - began:.0f} s, failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
