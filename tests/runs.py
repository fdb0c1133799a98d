"""Small runs: a manifest, a config for it, and what a run made of it."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from pipeline.config.run import parse_config

SPEAKERS = [
    {"speaker_id": "anna", "gender": "female"},
    {"speaker_id": "carl", "gender": "male", "pitch": "low"},
]

# The weights are random: they end when they like.
LOOSE = {
    "min_pace": 0.0,
    "max_pace": 10_000.0,
    "length_cap_factor": 10.0,
    "length_cap_extra_s": 20.0,
    "stop_above_rejected": 1.0,
}

SMALL = {
    "llm": {"count": 1, "num_cpus": 1},
    "codec": {"count": 1, "num_cpus": 0.5},
    "writer": {"count": 1, "num_cpus": 0.25},
}


def text_of(number):
    return f"Line {number}."


def write_shard(path, rows):
    columns = [
        "utterance_id",
        "text",
        "speaker_id",
        *sorted({k for row in rows for k in row} - {"utterance_id", "text", "speaker_id"}),
    ]
    table = pa.table({name: [row.get(name) for row in rows] for name in columns})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=4)


def simple_rows(first, count):
    names = ["anna", "carl"]
    return [
        {"utterance_id": f"u{n:03d}", "text": text_of(n), "speaker_id": names[n % 2], "chapter": n // 5}
        for n in range(first, first + count)
    ]


def make_config(tmp_path, random_weights, **changes):
    (tmp_path / "speakers.yaml").write_text(yaml.safe_dump(SPEAKERS))
    raw = {
        "weights": random_weights,
        "manifest": str(tmp_path / "manifest"),
        "speakers": str(tmp_path / "speakers.yaml"),
        "output": str(tmp_path / "output"),
        "unit_size": 4,
        "llm": {"slots": 8},
        "quality": LOOSE,
        "replicas": SMALL,
        **changes,
    }
    return parse_config(raw)


def read_metadata(output):
    return (
        ds.dataset(f"{output}/metadata").to_table().sort_by([("shard", "ascending"), ("row", "ascending")]).to_pylist()
    )


def audio_hashes(output):
    return {row["utterance_id"]: row["audio_sha256"] for row in read_metadata(output)}


def audio_hashes_of_shard(output, shard):
    return {row["utterance_id"]: row["audio_sha256"] for row in read_metadata(output) if row["shard"] == shard}


def check_audio(output, rows):
    """Every ok row's file is there, is what the metadata says, and no other file is."""
    for row in rows:
        if row["status"] != "ok":
            assert row["audio_path"] is None
            continue
        path = Path(output) / row["audio_path"]
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["audio_sha256"]
        info = soundfile.info(path)
        assert (info.samplerate, info.frames, info.subtype) == (row["sample_rate"], row["num_samples"], "PCM_16")
        assert row["duration_s"] == pytest.approx(info.frames / info.samplerate)
