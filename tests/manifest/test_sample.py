"""sample.py: some rows of a manifest, exactly so many, spread over shards and speakers."""

import pytest

from pipeline.manifest import sample as sample_module
from pipeline.manifest.rows import Manifest
from pipeline.manifest.sample import choose_rows, find_places, source_of, spread, take_sample
from tests.runs import write_shard

SIZES = {"a": 40, "b": 7, "c": 0, "d": 130}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Shards of very different sizes; speakers lie in long stretches, as they do in many a manifest."""
    folder = tmp_path_factory.mktemp("manifest")
    for name, count in SIZES.items():
        rows = [
            {"utterance_id": f"{name}{n}", "text": f"{name} {n}", "speaker_id": f"s{n * 5 // count}", "page": n}
            for n in range(count)
        ]
        write_shard(folder / f"{name}.parquet", rows)
    return Manifest.open(str(folder))


def ids_of(manifest):
    units = manifest.plan(1_000)
    return [row["utterance_id"] for unit in units for row in manifest.read_rows(unit).to_pylist()]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 40, 176])
def test_a_sample_has_exactly_as_many_rows_as_asked(manifest, limit):
    taken = take_sample(manifest, limit)
    assert taken.num_rows == limit == len(set(ids_of(taken)))
    assert set(ids_of(taken)) <= set(ids_of(manifest))


def test_it_has_whole_rows_and_is_the_same_each_time(manifest):
    taken, again = (take_sample(manifest, 20) for _ in range(2))
    whole = {row["utterance_id"]: row for unit in manifest.plan(50) for row in manifest.read_rows(unit).to_pylist()}
    rows = [row for unit in taken.plan(50) for row in taken.read_rows(unit).to_pylist()]
    assert rows == [whole[row["utterance_id"]] for row in rows]
    assert [shard.fingerprint for shard in taken.shards] == [shard.fingerprint for shard in again.shards]
    assert len({shard.fingerprint for shard in (*taken.shards, *manifest.shards)}) == 7


def test_a_larger_sample_holds_a_smaller_one(manifest):
    before = set()
    for limit in range(1, 177, 7):
        found = {(name, row) for name, rows in choose_rows(manifest, limit).items() for row in rows}
        assert before < found and len(found) == limit
        before = found


def test_it_is_spread_over_shards_and_speakers(manifest):
    """The first rows of a manifest are often one speaker, one book, one kind of text."""
    assert {name: len(rows) for name, rows in choose_rows(manifest, 3).items()} == {"a": 1, "b": 1, "d": 1}
    rows = [
        row for unit in take_sample(manifest, 15).plan(50) for row in manifest_rows(take_sample(manifest, 15), unit)
    ]
    speakers = [row["speaker_id"] for row in rows]
    assert {speaker: speakers.count(speaker) for speaker in speakers} == {f"s{n}": 3 for n in range(5)}


def manifest_rows(manifest, unit):
    return manifest.read_rows(unit).to_pylist()


def test_rows_without_a_speaker_are_rows_too(tmp_path):
    write_shard(tmp_path / "a.parquet", [{"utterance_id": str(n), "text": "x", "speaker_id": None} for n in range(9)])
    assert take_sample(Manifest.open(str(tmp_path)), 4).num_rows == 4


def test_more_shards_than_are_looked_at_together_come_in_turns(manifest, monkeypatch):
    monkeypatch.setattr(sample_module, "_WINDOW", 2)
    assert len(choose_rows(manifest, 3)) == 2
    assert sum(map(len, choose_rows(manifest, 177).values())) == 177


def test_the_places_of_a_sample_are_found_again_in_its_own_manifest_only(manifest, tmp_path):
    former = {shard.name: (shard.num_rows, shard.fingerprint) for shard in take_sample(manifest, 12).shards}
    assert find_places(manifest, former) == choose_rows(manifest, 12)
    write_shard(tmp_path / "a.parquet", [{"utterance_id": "x", "text": "x", "speaker_id": "s"}])
    assert find_places(Manifest.open(str(tmp_path)), former) is None
    part = dict(list(former.items())[:2])
    assert find_places(manifest, part) is None
    assert {source_of(mark) for _, mark in former.values()} <= {shard.fingerprint for shard in manifest.shards}
    assert all(source_of(shard.fingerprint) is None for shard in manifest.shards)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 65, 1_000])
def test_every_number_comes_once(count):
    assert sorted(spread(count)) == list(range(count))
