import numpy as np
import pyarrow as pa
import pytest

from pipeline.dataset.corpus import Corpus
from pipeline.dataset.ledger import LEDGER_SCHEMA, HashIndex, Ledger, read_counts, read_superseded, write_ledger
from pipeline.errors import ConfigError
from pipeline.storage import open_storage


def h(text):
    return text.encode().ljust(16, b"\0")


def entry(key, content="c", spoken="s", outcome="planned", **more):
    entry = {"key": h(key), "content": h(content), "spoken": h(spoken), "written": h("w" + spoken)}
    return {**entry, "outcome": outcome, "version": 1, "split": "train", "voices": ["ada"], **more}


@pytest.fixture
def corpus(storage):
    return Corpus(storage)


def write(corpus, night, entries):
    write_ledger(corpus, night, pa.Table.from_pylist(entries, LEDGER_SCHEMA), {"night": night})
    corpus.storage.put(f"manifest/{night}.parquet", b"")


def test_hashes_are_found_also_where_their_halves_are_equal():
    half = b"A" * 8
    known = [half + bytes([n]) * 8 for n in (1, 2, 3, 2)]
    index = HashIndex(b"".join(known))
    asked = [half + bytes([n]) * 8 for n in (1, 2, 4, 3)]
    assert index.find(b"".join(asked)).tolist() == [0, 3, -1, 2], "of equal ones the last counts"
    assert index.find(b"").tolist() == [] and HashIndex(b"").find(known[0]).tolist() == [-1]


def test_many_hashes_are_found():
    rng = np.random.default_rng(0)
    data = rng.bytes(16 * 5_000)
    found = HashIndex(data).find(data[: 16 * 100] + rng.bytes(16 * 100))
    assert found.tolist() == [*range(100), *[-1] * 100]


def test_the_last_version_of_a_text_counts(corpus):
    write(corpus, "2026-11-21", [entry("a"), entry("b", "c2", "t"), entry("d", outcome="duplicate", spoken="s")])
    write(corpus, "2026-11-22", [entry("a", "c3", "u", version=2, supersedes=["old"], voices=["ross"], split="test")])
    ledger = Ledger(corpus, corpus.list_nights())
    rows = ledger.keys.find(h("a") + h("b") + h("x"))
    assert rows.tolist() == [3, 1, -1]
    assert ledger.is_content(rows, h("c3") + h("c") + h("c")).tolist() == [True, False, False]
    last = ledger.read(3)
    assert (last.version, last.voices, last.split, last.night) == (2, ("ross",), "test", "2026-11-22")
    # Of what was planned in any version the split is known; but only the last one is read. What was left out is not.
    assert ledger.find_planned([h("zz"), h("wu")]) == 3 and ledger.key_of(ledger.find_planned([h("s")])) == h("a")
    assert ledger.find_read([h("zz"), h("wu")]) == 3 and ledger.find_read([h("s")]) is None
    assert ledger.find_planned([bytes(16)]) is None
    assert ledger.find_content(h("c2")) == 1 and ledger.find_content(h("c9")) is None


def test_what_a_night_superseded_is_listed_up_to_that_night(corpus):
    write(corpus, "2026-11-21", [entry("a")])
    write(
        corpus, "2026-11-22", [entry("a", supersedes=["x", "y"]), entry("b", outcome="never_exact", supersedes=["z"])]
    )
    write(corpus, "2026-11-23", [entry("a", supersedes=["q"])])
    assert read_superseded(corpus, "2026-11-21") == {}
    assert read_superseded(corpus, "2026-11-22") == dict.fromkeys("xyz", "2026-11-22")
    assert read_counts(corpus, "2026-11-23") == {"night": "2026-11-23"}


def test_a_ledger_without_its_manifest_does_not_count(corpus):
    write(corpus, "2026-11-21", [entry("a")])
    corpus.storage.delete("manifest/2026-11-21.parquet")
    assert corpus.list_nights() == [] and read_superseded(corpus, "2026-11-21") == {}


def test_a_lost_or_damaged_ledger_stops_the_night(tmp_path):
    corpus = Corpus(open_storage(str(tmp_path)))
    write(corpus, "2026-11-21", [entry("a")])
    data = corpus.storage.get("ledger/2026-11-21.parquet")
    for damage in (data[:-40], b"nonsense"):
        corpus.storage.put("ledger/2026-11-21.parquet", damage)
        with pytest.raises(ConfigError, match=r"damaged.*put back a copy"):
            Ledger(corpus, ["2026-11-21"])
    corpus.storage.delete("ledger/2026-11-21.parquet")
    with pytest.raises(ConfigError, match=r"missing.*texts would be said again"):
        Ledger(corpus, ["2026-11-21"])
