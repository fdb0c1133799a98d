import pytest

from pipeline.dataset.corpus import Corpus, Identity, NightRecord, check_night, tonight
from pipeline.errors import ConfigError
from pipeline.storage import open_storage


@pytest.mark.parametrize(
    "night", ["2026-13-01", "today", "2026-1-2", "2026-11-29/x", "2026-11-29B", "", "2026-11-29\n"]
)
def test_a_night_is_a_date(night):
    with pytest.raises(ConfigError, match="expected a date such as"):
        check_night(night)


def test_nights_sort_by_name():
    nights = ["2026-11-29", "2026-11-29.2", "2026-11-29b", "2026-11-30"]
    assert [check_night(night) for night in nights] == sorted(nights) and check_night(tonight())


def test_name_and_salt_stay(storage):
    corpus = Corpus(storage)
    assert corpus.read_identity() is None
    first = corpus.begin("acme/en", ["iris"], ["ada"])
    assert Corpus(storage).begin("acme/en", ["iris"], ["ada"]) == first == corpus.read_identity()
    assert len(first.key) == 16
    assert first.key == Identity.new("acme/en").key != Identity.new("acme/de").key, "a dry run has the same splits"
    later = corpus.begin("acme/en", [], ["ross"])
    assert (later.test_speakers, later.other_speakers, later.salt) == (("iris",), ("ada", "ross"), first.salt)


def test_nobody_changes_between_test_and_training(tmp_path):
    corpus = Corpus(open_storage(str(tmp_path)))
    corpus.begin("acme/en", ["iris"], ["ada"])
    with pytest.raises(ConfigError, match="ada: read other texts"):
        corpus.begin("acme/en", ["ada"], [])
    with pytest.raises(ConfigError, match="iris: was a test speaker"):
        corpus.begin("acme/en", [], ["iris"])
    with pytest.raises(ConfigError, match="is the corpus of acme/en"):
        corpus.begin("acme/de")


def test_a_record_says_how_far_a_night_is(storage):
    corpus = Corpus(storage)
    record = corpus.read_night("2026-11-29")
    assert record == NightRecord("2026-11-29") and record.state == "new"
    for state, parts in [
        ("planned", {"plan": {}}),
        ("failed its gate", {"gate": {"passed": False}}),
        ("passed its gate", {"gate": {"passed": True}}),
        ("published", {"snapshot": {}, "published": {}}),
    ]:
        record = record.note(state, **parts)
        corpus.write_night(record)
        record = corpus.read_night("2026-11-29")
        assert record.state == state
    assert [note["what"] for note in record.history][-1] == "published"


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"format": 9}', b'{"plan": 3}', b'{"name": "x", "salt": "zz"}'])
def test_what_is_damaged_is_named(tmp_path, data):
    corpus = Corpus(open_storage(str(tmp_path)))
    for path, read in [("dataset.json", corpus.read_identity), ("nights/n.json", lambda: corpus.read_night("n"))]:
        corpus.storage.put(path, data)
        if path == "nights/n.json" and b"salt" in data:
            continue
        with pytest.raises(ConfigError, match=r"json: (damaged|written in format 9)"):
            read()


def test_a_corpus_that_has_nights_is_given_no_new_salt(tmp_path):
    corpus = Corpus(open_storage(str(tmp_path)))
    corpus.storage.put("ledger/2026-11-29.parquet", b"as a kill before the manifest leaves it")
    corpus.begin("acme/en")
    corpus.storage.put("manifest/2026-11-29.parquet", b"")
    corpus.storage.delete("dataset.json")
    for call in (corpus.read_identity, lambda: corpus.begin("acme/en")):  # As a dry run and a night call it.
        with pytest.raises(ConfigError, match=r"/dataset\.json: missing, though .* put back a copy"):
            call()
    assert not corpus.storage.exists("dataset.json")


def test_a_planned_night_without_its_manifest_is_refused(tmp_path):
    corpus = Corpus(open_storage(str(tmp_path)))
    corpus.storage.put("ledger/2026-11-28.parquet", b"as a kill before the manifest leaves it")
    corpus.write_night(NightRecord("2026-11-28"))
    corpus.storage.put("manifest/2026-11-29.parquet", b"")
    corpus.write_night(NightRecord("2026-11-29", plan={"num_rows": 3}))
    corpus.check_manifests()
    corpus.storage.delete("manifest/2026-11-29.parquet")
    with pytest.raises(ConfigError, match=r"/manifest/2026-11-29\.parquet: missing, though .*put back a copy"):
        corpus.check_manifests()
