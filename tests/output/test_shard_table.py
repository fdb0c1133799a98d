"""shard_table.py: what a manifest that takes another's place is planned as."""

from __future__ import annotations

from dataclasses import replace

from pipeline.output.shard_table import FormerShard, ShardRecord, ShardTable, format_shards, parse_shards
from tests.outputs import make_shard

FIRST = ShardTable().adopt([make_shard("a"), make_shard("b/c", 3)], {"a": [2, 4]}, {"ann": 0, "bob": -1})


def test_a_first_manifest_has_no_revisions() -> None:
    assert FIRST.shards == {"a": ShardRecord(6, "f", duplicates=(2, 4)), "b/c": ShardRecord(3, "f")}
    assert FIRST.former == () and FIRST.speakers == {"ann": 0, "bob": -1}
    assert FIRST.holds("a/000000000-000000003") and FIRST.holds("b/c/000000000-000000002")
    assert not FIRST.holds("a@1/000000000-000000003") and not FIRST.holds("b/000000000-000000002")


def test_only_what_changed_is_planned_anew() -> None:
    table = FIRST.adopt([make_shard("a", fingerprint="g"), make_shard("b/c", 3), make_shard("0")], {}, {})
    assert list(table.shards) == ["a", "b/c", "0"], "what is committed comes first, whatever its name"
    assert table.shards["a"] == ShardRecord(6, "g", revision=1, since=1)
    assert table.shards["b/c"] == FIRST.shards["b/c"] and table.shards["0"].revision == 0
    assert table.former == (FormerShard("a", FIRST.shards["a"], until=1),)
    assert table.holds("a@1/0-1") and not table.holds("a/0-1")


def test_a_revision_is_never_used_twice_while_its_commits_may_be_there() -> None:
    table = FIRST
    for fingerprint in ("g", "f", "g"):
        table = table.adopt([make_shard("a", fingerprint=fingerprint)], {}, {})
    assert table.shards["a"].revision == 3
    gone = table.adopt([make_shard("b")], {}, {})
    assert [former.folder for former in gone.former if former.name == "a"] == ["a", "a@1", "a@2", "a@3"]
    assert gone.adopt([make_shard("a")], {}, {}).shards["a"].revision == 4


def test_stale_shards_are_planned_anew_with_the_same_content() -> None:
    table = FIRST.adopt([make_shard("a"), make_shard("b/c", 3)], {}, {}, stale={"b/c"})
    assert table.shards["b/c"].revision == 1 and table.shards["a"].revision == 0


def test_the_table_is_read_as_it_was_written() -> None:
    table = FIRST.adopt([make_shard("a", fingerprint="g")], {"a": [1]}, {"ann": 3}).leave()
    assert parse_shards(format_shards(table), "here") == table
    old = replace(table, shards={"a": ShardRecord(1, "f", duplicates=None)}, speakers=None)
    assert parse_shards(format_shards(old), "here") == old


def test_what_differs_from_a_manifest_is_named() -> None:
    shards = [make_shard("a", 5), make_shard("new")]
    assert list(FIRST.differs_from(shards)) == [
        "shard a: 6 rows → 5 rows of other content",
        "shard b/c: 3 rows → missing from the manifest",
        "shard new: new",
    ]
    assert not list(FIRST.differs_from([make_shard("a"), make_shard("b/c", 3)]))
