"""Takes heard in a stage of their own: which is kept follows from the takes alone; resume, replay and repair, too."""

import json
import zlib
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from pipeline import repair_output, replay_rows, synthesize_manifest
from pipeline.benchmark.instant import INSTANT_NETWORKS
from pipeline.benchmark.overhead import make_run
from pipeline.cluster import codec_actor, llm_actor, replay_actor
from pipeline.errors import RejectionCode
from pipeline.output.verify import verify_output
from pipeline.run.repair import Selection, redo_rows
from pipeline.storage import open_storage
from pipeline.synthesis import listening_stage
from pipeline.synthesis.recognition import Heard
from tests.inline_ray import inline_ray
from tests.runs import audio_hashes, read_metadata

NUM_ROWS, NUM_WORDS = 12, 9


class CrcRecognizer:
    """Hears from none to all of nine words wrong, as a take's samples will have it; more than four are too many."""

    languages = frozenset({"en"})
    hears_gaps = False
    environment = MappingProxyType({"dtype": "float32", "ears": "two"})

    def recognize_all(self, clips, sample_rate, languages, texts):
        for clip in clips:
            yield Heard(str(zlib.crc32(np.ascontiguousarray(clip).tobytes()) % (NUM_WORDS + 1)))

    def fold(self, text, language):
        num_wrong = int(text) if text.isdecimal() else 0
        return " ".join([f"w{number}" for number in range(NUM_WORDS - num_wrong)] + ["xx"] * num_wrong)


LOOSE = {"max_wer": 0.5, "max_cer": 9.0, "min_heard": 0.0, "max_heard": 99.0, "max_pause_s": 99.0}


@pytest.fixture
def configure(tmp_path, random_weights, monkeypatch):
    """Make a config of small units; networks answer at once, and `CrcRecognizer` hears what they say."""
    monkeypatch.setattr(listening_stage, "load_recognizer", lambda *_: CrcRecognizer())
    for module in (llm_actor, codec_actor, replay_actor):
        monkeypatch.setattr(module, "load_networks", lambda setup: INSTANT_NETWORKS)
    made = make_run(NUM_ROWS, tmp_path / "run", random_weights)
    speakers = (Path(made.output) / "speakers.parquet").read_bytes()

    def configure(name, unit_size=4, **quality):
        output = tmp_path / name
        output.mkdir()
        (output / "speakers.parquet").write_bytes(speakers)
        changes = {"asr": "pocketsphinx", "max_takes": 3, **LOOSE, "stop_above_rejected": 1.0, **quality}
        quality = made.quality.model_copy(update=changes)
        return made.model_copy(update={"output": str(output), "unit_size": unit_size, "quality": quality})

    with inline_ray():
        yield configure


def num_wrong(row):
    return round(row["wer"] * NUM_WORDS)


def test_takes_are_heard_in_a_stage_of_their_own(configure):
    config = configure("heard", max_takes=20)
    summary = synthesize_manifest(config)
    rows = read_metadata(config.output)
    assert summary.num_ok == len(rows) == NUM_ROWS
    assert max(map(num_wrong, rows)) <= 4 and len(set(map(num_wrong, rows))) > 2
    assert all(row["recognized_text"] == str(num_wrong(row)) for row in rows)
    assert max(row["take"] for row in rows) > 0
    # One after the other, and each was the first that was good enough.
    assert all(row["num_takes"] == row["take"] + 1 for row in rows)
    environments = json.loads((Path(config.output) / "environments.json").read_text())
    assert environments["listener"][0]["ears"] == "two"
    (start,) = json.loads((Path(config.output) / "run.json").read_text())["starts"]
    assert start["synthesized"]["replicas"]["listener"] >= 1


def test_a_row_that_nobody_understands_is_rejected(configure):
    config = configure("unheard", max_takes=2, max_wer=1e-9)
    summary = synthesize_manifest(config)
    assert summary.rejected and set(summary.rejected) == {RejectionCode.WRONG_WORDS}
    rejected = [row for row in read_metadata(config.output) if row["status"] == "rejected"]
    assert all(row["num_takes"] == 2 and "take 2: word error rate" in row["error_message"] for row in rejected)


def test_the_best_of_several_takes_is_kept_whatever_lies_around_it(configure):
    single = [configure(f"take{take}", max_takes=1, max_wer=99.0) for take in range(1)]
    synthesize_manifest(single[0])
    first = {row["utterance_id"]: num_wrong(row) for row in read_metadata(single[0].output)}
    best = configure("best", choose="best_of", best_of=4, max_takes=20)
    summary = synthesize_manifest(best)
    rows = {row["utterance_id"]: row for row in read_metadata(best.output)}
    assert all(num_wrong(row) <= first[name] for name, row in rows.items())
    assert sum(map(num_wrong, rows.values())) < sum(first.values()) / 2
    assert all(row["num_takes"] >= 4 for row in rows.values())
    assert summary.takes_per_row == sum(row["num_takes"] for row in rows.values()) / NUM_ROWS
    # Other units, a start that was stopped in between, one process: the same takes.
    other = configure("other", unit_size=5, choose="best_of", best_of=4, max_takes=20)
    synthesize_manifest(other.model_copy(update={"limit": 5}))
    one_process = other.replicas.model_copy(update={"one_process": True})
    resumed = synthesize_manifest(other.model_copy(update={"replicas": one_process}))
    assert (resumed.num_synthesized, resumed.takes_per_row) == (NUM_ROWS - 5, summary.takes_per_row)
    assert audio_hashes(other.output) == audio_hashes(best.output)
    assert {row["utterance_id"]: row["take"] for row in read_metadata(other.output)} == {
        name: row["take"] for name, row in rows.items()
    }


def test_a_chosen_take_is_replayed_repaired_and_taken_again(configure):
    config = configure("best", choose="best_of", best_of=4, max_takes=20)
    synthesize_manifest(config)
    before = {row["utterance_id"]: row for row in read_metadata(config.output)}
    names = sorted(before)[:4]
    assert {before[name]["take"] for name in names} != {0}
    assert [take.is_same for take in replay_rows(config, names)] == [True] * 4
    clip = Path(config.output) / before[names[0]]["audio_path"]
    clip.unlink()
    assert repair_output(config).num_ok == 1 and clip.is_file()
    assert verify_output(open_storage(config.output)).is_intact
    assert audio_hashes(config.output) == {name: row["audio_sha256"] for name, row in before.items()}
    # All takes up to the fourth were heard: another one is the fifth or a later one.
    redo_rows(config, Selection(ids=names), next_take=True)
    after = {row["utterance_id"]: row for row in read_metadata(config.output)}
    assert all(after[name]["take"] >= max(4, before[name]["take"] + 1) for name in names)
    redo_rows(config, Selection(ids=names))
    assert audio_hashes(config.output) == {name: row["audio_sha256"] for name, row in before.items()}


def test_other_limits_judge_again_what_was_heard(configure):
    config = configure("heard", max_takes=20)
    synthesize_manifest(config)
    before = {row["utterance_id"]: row for row in read_metadata(config.output)}
    strict = config.model_copy(update={"quality": config.quality.model_copy(update={"max_wer": 0.2})})
    summary = synthesize_manifest(strict)
    after = {row["utterance_id"]: row for row in read_metadata(config.output)}
    again = {name for name, row in before.items() if num_wrong(row) > 1}
    assert again and summary.num_synthesized == len(again)
    assert all(num_wrong(row) <= 1 for row in after.values())
    assert all(after[name]["audio_sha256"] == before[name]["audio_sha256"] for name in set(before) - again)
