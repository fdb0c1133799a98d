"""What a night plans, over nights."""

import json
from collections import Counter, defaultdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.dataset import SplitConfig
from pipeline.dataset.corpus import Corpus
from pipeline.dataset.ledger import read_superseded
from pipeline.dataset.plan import choose_split, describe_plan, make_id
from pipeline.errors import ConfigError, ManifestError
from pipeline.output.tombstones import Tombstones, make_tombstones
from tests.dataset.planning import VOICES, Desk, rows_of

WORDS = "boat river house garden window street letter night morning winter bridge water stone bread".split()
N1, N2, N3 = "2026-11-21", "2026-11-22", "2026-11-23"


def text_of(number):
    return f"The {WORDS[number % 14]} and the {WORDS[number // 14 % 14]} by the {WORDS[number // 196 % 14]}."


def texts(first, count):
    return {f"n{number:04d}": text_of(number) for number in range(first, first + count)}


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path, split={"test": 0.1, "validation": 0.1, "test_speakers": ["iris"]})


def test_rows_are_compared_and_not_files(desk):
    desk.texts = [str(desk.folder / "texts/*.csv")]
    desk.write(texts(0, 20), "a.csv")
    assert desk.plan(N1).counts.num_texts == 20
    desk.write(texts(10, 15), "b.csv")
    desk.write(texts(0, 5), "a.csv")
    counts = desk.plan(N2).counts
    assert (counts.num_texts, counts.num_unchanged) == (5, 15), "those that were planned lie elsewhere now, or are gone"


def test_duplicates_are_counted_and_left_out(desk):
    desk.write({"a": "It costs $5.", "b": "it costs FIVE dollars", "c": "The cat sat.", "d": "Ellen laughs."})
    plan = desk.plan(N1)
    assert plan.counts.left_out == {"duplicate_in_night": 1} and plan.counts.num_texts == 3
    desk.write({"a": "It costs $5.", "e": "The cat, sat!", "f": "Ellen laughed."})
    plan = desk.plan(N2)
    assert plan.counts.left_out == {"duplicate_of_earlier_night": 1}
    assert plan.counts.examples == {"duplicate_of_earlier_night": ["news: e"]}
    assert [row["text_id"] for row in rows_of(plan)] == ["f"]
    assert desk.plan(N3).counts.left_out == {}, "what was left out as a duplicate is known"


def says(desk, *nights):
    """What a snapshot after these nights would say, and in which split."""
    rows = [row for night in nights for row in desk.rows(night)]
    left = read_superseded(desk.corpus, nights[-1])
    return {(row["text"], row["split"]) for row in rows if row["utterance_id"] not in left}


def test_texts_that_moved_to_other_ids_are_not_lost(desk):
    """As where ids are line numbers, and a line is put in on top; or where two texts change places."""
    before = texts(0, 8)
    desk.write(before)
    desk.plan(N1)
    first = says(desk, N1)
    moved = dict(zip([*before, "n0008"], ["The gate is open.", *before.values()], strict=True))
    desk.write(moved)
    counts = desk.plan(N2).counts
    assert (counts.num_texts, counts.num_corrected, counts.left_out) == (9, 8, {})
    second = says(desk, N1, N2)
    assert {text for text, _ in second} == {*moved.values()} and first < second, "each in the split that it was in"
    desk.write(moved | {"n0000": moved["n0001"], "n0001": moved["n0000"]})
    assert desk.plan(N3).counts.num_corrected == 2
    assert says(desk, N1, N2, N3) == second
    assert desk.plan("2026-11-24").counts.num_texts == 0


def test_a_text_that_was_corrected_may_come_back_under_another_id(desk):
    desk.write({"a": "We walk to school.", "b": "The cat sat."})
    desk.plan(N1)
    ((_, split),) = [said for said in says(desk, N1) if said[0] == "We walk to school."]
    desk.write({"a": "We walk to school.", "b": "The cat sat.", "c": "We walk to school!"})
    assert desk.plan(N2).counts.left_out == {"duplicate_of_earlier_night": 1}
    desk.write({"a": "Nobody was here.", "b": "The cat sat.", "c": "We walk to school!"})
    assert desk.plan(N3).counts.num_corrected == 1
    counts = desk.plan("2026-11-24").counts
    assert (counts.num_texts, counts.num_returned, counts.left_out) == (1, 0, {}), "what was a duplicate is none now"
    assert ("We walk to school!", split) in says(desk, N1, N2, N3, "2026-11-24")
    desk.write({"a": "Nobody was here.", "b": "The cat sat.", "d": "We walk to school.", "e": "the cat SAT"})
    assert desk.plan("2026-11-25").counts.left_out == {"duplicate_of_earlier_night": 2}


def test_a_night_that_would_correct_a_large_part_stops(desk):
    desk.write(texts(0, 60))
    desk.plan(N1)
    desk.texts[0]["language"] = "en"
    with pytest.raises(ConfigError, match=r"60 of 60 texts of earlier nights .*\(news 60\).*max_corrected \(10%\)"):
        desk.plan(N2)
    desk.dataset["max_corrected"] = 1.0
    assert desk.plan(N2).counts.num_corrected == 60
    desk.dataset["max_corrected"] = 0.0
    desk.write({**texts(0, 60), **dict.fromkeys(["n0001", "n0002"], "The gate is open.")})
    assert desk.plan(N3).counts.num_corrected == 1, "a few are always allowed"


def test_half_a_character_is_left_out_by_name(desk):
    desk.texts = [{"path": str(desk.folder / "texts/news.jsonl"), "name": "news"}]
    rows = [{"id": "a", "text": "half \ud800 a sign"}, {"id": "b\udfff", "text": "Two."}, {"id": "c", "text": "Three."}]
    (desk.folder / "texts/news.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan = desk.plan(N1)
    assert (plan.counts.num_texts, plan.counts.left_out) == (1, {"half_a_character": 2})
    assert "left out   2 half_a_character: news: a, news: b?" in describe_plan(plan.counts.to_json())


def test_copies_alone_are_duplicates_where_texts_are_compared_as_written(desk):
    desk.dataset["dedup"] = {"normalized": False}
    desk.write({"a": "The cat sat.", "b": "the cat sat", "c": "The cat sat."})
    rows = rows_of(desk.plan(N1))
    assert len(rows) == 2 and len({row["split"] for row in rows}) == 1, "one split, as they sound the same"
    desk.write({"d": "The cat sat.", "e": "the CAT sat"})
    desk.dataset["split"] = {"test": 0.9, "test_speakers": ["iris"]}
    later = rows_of(desk.plan(N2))
    assert [row["text_id"] for row in later] == ["e"] and later[0]["split"] == rows[0]["split"]


def test_what_must_never_be_spoken_is_left_out(desk):
    run = "one two three four five six seven eight nine ten eleven twelve thirteen"
    benchmark = desk.folder / "bench.parquet"
    pq.write_table(pa.table({"id": [1, 2], "sentence": [f"So {run}.", "Please open the door!"]}), benchmark)
    desk.dataset["dedup"] = {"never": [str(desk.folder / "*.parquet")]}
    desk.write(
        {
            "a": "please open the door",
            "b": "He counted 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 and slept.",
            "c": "He counted one two three four five six seven eight nine ten eleven twelve and slept.",
            "d": "Please open the door now.",
        }
    )
    plan = desk.plan(N1)
    assert plan.counts.left_out == {"never_exact": 1, "never_words": 1}
    assert {row["text_id"] for row in rows_of(plan)} == {"c", "d"}
    # Kept for the next night, and read again once it changes.
    kept = desk.corpus.storage.get("never.parquet")
    assert desk.plan(N2).counts.left_out == {"never_exact": 1, "never_words": 1}
    assert desk.corpus.storage.get("never.parquet") == kept
    pq.write_table(pa.table({"sentence": ["Something else."]}), benchmark)
    assert desk.plan(N3).counts.num_texts == 2
    pq.write_table(pa.table({"words": ["Something else."]}), benchmark)
    with pytest.raises(ManifestError, match=r"bench\.parquet: no column of texts: found words"):
        desk.plan("2026-11-24")


def test_a_correction_takes_the_place_of_its_text(desk):
    desk.dataset["plan"] = {"voices_per_text": 2}
    desk.write(texts(0, 40))
    desk.plan(N1)
    first = {row["utterance_id"]: row for row in desk.rows(N1)}
    desk.write({**texts(0, 40), "n0003": "Another text stands here.", "n0004": "...", "n0005": text_of(7)})
    plan = desk.plan(N2)
    rows = rows_of(plan)
    assert (plan.counts.num_corrected, plan.counts.num_texts) == (1, 1)
    assert plan.counts.left_out == {"duplicate_of_earlier_night": 1, "invalid_text": 1}
    before = [row for row in first.values() if row["text_id"] == "n0003"]
    assert {row["speaker_id"] for row in rows} == {row["speaker_id"] for row in before}
    assert {row["split"] for row in rows} == {row["split"] for row in before} and {row["version"] for row in rows} == {
        2
    }
    gone = {name for name, row in first.items() if row["text_id"] in ("n0003", "n0004", "n0005")}
    assert read_superseded(desk.corpus, N2) == dict.fromkeys(gone, N2)
    assert desk.rows(N1) == [*first.values()], "the shard of a night never changes"
    # Back to what it was: a third version. The others are as the ledger has them.
    desk.write({**texts(0, 40), "n0004": "...", "n0005": text_of(7)})
    plan = desk.plan(N3)
    assert [row["version"] for row in rows_of(plan)] == [3] * len(rows) and plan.counts.left_out == {}


def test_rows_that_contradict_each_other_correct_nothing(desk):
    desk.texts = [str(desk.folder / "texts/*.csv")]
    desk.write({"a": "The first text."}, "a.csv")
    desk.write({"a": "The second text."}, "b.csv")
    for night, planned in ((N1, 1), (N2, 0), (N3, 0)):
        counts = desk.plan(night).counts
        assert (counts.num_texts, counts.num_superseded, counts.left_out) == (planned, 0, {"id_contradicted": 1})


def test_a_contradiction_is_told_with_its_id_and_its_files(desk):
    desk.texts = [str(desk.folder / "texts/*.csv")]
    desk.write({"x": "Nothing else.", "a": "The first text."}, "a.csv")
    desk.plan(N1)
    desk.write({"b": "A text of its own.", "a": "The second text.", **{f"n{at}": "One." for at in range(9)}}, "b.csv")
    desk.write({f"n{at}": "Two." for at in range(9)}, "c.csv")
    plan = desk.plan(N2).counts.to_json()
    assert plan["left_out"]["id_contradicted"] == 10
    told = plan["examples"]["id_contradicted"]
    folder = desk.folder / "texts"
    assert told[0] == (
        f"texts: a: row 2 of {folder}/b.csv says another thing, or in another language, than row 2 of {folder}/a.csv, "
        "which counts"
    )
    assert len(told) == 5 and all(f"{folder}/c.csv says another thing, or in another" in line for line in told[1:])
    assert "text." not in json.dumps(told), "no texts, which would stay when they are withdrawn"
    lines = describe_plan(plan)
    at = next(at for at, line in enumerate(lines) if "10 id_contradicted: correct a text where it stands" in line)
    assert "than row 2 of" in lines[at + 1] and len(lines) == at + 6


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("ids", [[1, 2], [1.0, 2.0]], ids=["whole", "float"])
def test_ids_that_are_numbers_are_the_texts_that_manifests_make_of_them(desk, ids, form):
    desk.write({"1": "The boat.", "2": "The house."})
    desk.texts[0]["name"] = "news"
    desk.plan(N1)
    assert sorted(row["text_id"] for row in desk.rows(N1)) == ["1", "2"]
    said, path = ["The boat.", "The garden."], desk.folder / f"texts/numbers.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps({"id": ids[at], "text": said[at]}) + "\n" for at in range(2)))
    else:
        pq.write_table(pa.table({"id": ids, "text": said}), path)
    desk.texts[0]["path"] = str(path)
    counts = desk.plan(N2).counts
    assert (counts.num_unchanged, counts.num_corrected) == (1, 1)


def test_an_id_with_decimals_is_refused_with_its_place(desk):
    desk.texts = [str(desk.folder / "texts/a.jsonl")]
    (desk.folder / "texts/a.jsonl").write_text('{"id": 7, "text": "One."}\n{"id": 1.5, "text": "Two."}\n')
    with pytest.raises(ManifestError, match=r"a\.jsonl: line 2, column 'id': 1\.5 is a number with decimals"):
        desk.plan(N1)


@pytest.mark.parametrize("others", [{}, {"id": ["1"]}], ids=["no_known_column", "an_id"])
def test_a_parquet_file_without_texts_is_refused_with_the_columns_that_it_has(desk, others):
    pq.write_table(pa.table({**others, "body": ["One."], "mood": ["calm"]}), desk.folder / "texts/a.parquet")
    desk.texts = [str(desk.folder / "texts/a.parquet")]
    listed = ", ".join([*others, "body", "mood"])
    with pytest.raises(ManifestError, match=rf"a\.parquet: no column 'text'; found {listed}; set `text_column`"):
        desk.plan(N1)


def test_hours_and_rows_end_a_night_and_the_rest_waits(desk):
    desk.dataset["plan"] = {"rows": 31, "voices_per_text": 2}
    desk.write(texts(0, 100))
    seen = Counter()
    for night in (N1, N2):
        plan = desk.plan(night)
        assert 29 <= plan.counts.num_rows <= 31
        seen.update(row["text_id"] for row in rows_of(plan))
    assert max(seen.values()) == 2 and plan.counts.num_waiting == 100 - len(seen)
    desk.dataset["plan"] = {"hours": 0.01}
    counts = desk.plan(N3).counts
    assert 0.01 <= counts.hours < 0.012 and counts.num_waiting > 0
    desk.write({**texts(0, 100), next(iter(seen)): "A correction is never put off."})
    desk.dataset["plan"] = {"rows": 1}
    plan = desk.plan("2026-11-24")
    assert (plan.counts.num_corrected, plan.counts.num_texts) == (1, 1)


@pytest.mark.parametrize("balance", ["hours", "rows"])
def test_voices_have_the_same(desk, balance):
    desk.dataset["plan"] = {"balance": balance, "voices_per_text": 2}
    long = {f"l{number}": f"{text_of(number)} And {text_of(number + 50)}" for number in range(60)}
    desk.write({**texts(0, 100), **long})
    speakers = desk.plan(N1).counts.speakers
    found = [part[balance] for name, part in speakers.items() if name != "iris"]
    assert len(found) == 3 and max(found) - min(found) <= (1 if balance == "rows" else 0.004)


def test_a_plan_follows_from_its_night(desk):
    desk.dataset["plan"] = {"rows": 20}
    desk.write(texts(0, 200))
    first, again, other = desk.plan(N1, write=False), desk.plan(N1, write=False), desk.plan(N2, write=False)
    assert first.manifest == again.manifest and first.ledger.equals(again.ledger)
    assert {row["text_id"] for row in rows_of(first)} != {row["text_id"] for row in rows_of(other)}
    desk.plan(N1)
    desk.plan(N2)
    texts_of_both = [row["text_id"] for night in (N1, N2) for row in desk.rows(night)]
    assert len({*texts_of_both}) == len(texts_of_both) == 40


def test_splits_do_not_leak_and_never_change(desk):
    """Random nights with edits, copies and other shares: nobody and nothing is on both sides."""
    rows, known = {}, {}
    for number, night in enumerate((N1, N2, N3, "2026-11-24")):
        rows |= texts(number * 100, 100)
        rows |= {f"copy{number}-{at}": text_of(at).upper() for at in range(number * 90, number * 90 + 30)}
        for at in range(0, number * 100, 17):
            rows[f"n{at:04d}"] = f"Corrected {night[-2:]} {text_of(at)}"
        desk.write(rows)
        desk.dataset["split"] = {"test": 0.1 + 0.1 * number, "validation": 0.1, "test_speakers": ["iris"]}
        desk.dataset["plan"] = {"voices_per_text": 1 + number % 2}
        desk.plan(night)
        for row in desk.rows(night):
            words = row["text"].lower()
            assert known.setdefault(words, row["split"]) == row["split"]
            assert known.setdefault(row["text_id"], row["split"]) == row["split"], "a correction stays in its split"
    planned = [row for night in desk.corpus.list_nights() for row in desk.rows(night)]
    speakers = defaultdict(set)
    for row in planned:
        speakers[row["split"]].add(row["speaker_id"])
    assert speakers["test"] == {"iris"} and speakers["train"] == speakers["validation"] == {*VOICES} - {"iris"}
    assert len({row["utterance_id"] for row in planned}) == len(planned)


def test_shares_are_what_they_should_be():
    settings = SplitConfig(test=0.2, validation=0.1)
    found = Counter(choose_split(number.to_bytes(8, "big"), settings) for number in range(0, 2**64, 2**64 // 1_000))
    assert abs(found["test"] - 200) <= 2 and abs(found["validation"] - 100) <= 2


def test_texts_of_a_withdrawn_voice_are_read_by_others(desk):
    desk.dataset["plan"] = {"voices_per_text": 1}
    desk.write(texts(0, 60))
    desk.plan(N1)
    own = {row["text_id"]: row for row in desk.rows(N1) if row["speaker_id"] == "ross"}
    by_id = next(iter(own.values()))
    stones = [*make_tombstones("speaker", ["ross"], "x"), *make_tombstones("utterance", [by_id["utterance_id"]], "x")]
    desk.tombstones = Tombstones({(stone.kind, stone.id): stone for stone in stones})
    desk.voices = tuple(name for name in VOICES if name != "ross")
    corrected = [*own][1]
    desk.write({**texts(0, 62), corrected: "Another text stands here."})
    desk.dataset["plan"] = {"voices_per_text": 1, "rows": 5}
    counts = desk.plan(N2).counts
    assert (counts.num_corrected, counts.num_superseded) == (1, 0), "what he read has left already"
    assert counts.num_texts == 5 and counts.num_waiting > 0, "what returns waits as what is new does"
    desk.dataset["plan"] = {}
    later = desk.plan(N3).counts
    rows = [row for night in (N2, N3) for row in desk.rows(night)]
    returned = {row["text_id"]: row for row in rows if row["text_id"] in own}
    assert {*returned} == {*own} - {by_id["text_id"]}, "what was taken out by its id stays out, whoever reads it"
    assert counts.num_returned + later.num_returned == len(own) - 2
    assert counts.left_out + later.left_out == {"withdrawn": 1}
    for text_id, row in returned.items():
        assert row["split"] == own[text_id]["split"] and row["speaker_id"] != "ross"
        assert row["version"] == (2 if text_id == corrected else 1)
    assert len({row["utterance_id"] for row in [*desk.rows(N1), *rows]}) == 62 + len(returned)
    assert desk.plan("2026-11-24").counts.num_texts == 0


def test_forms_licenses_and_columns(desk):
    (desk.folder / "texts/faq.jsonl").write_text('{"text": "Who is there?", "domain": "faq", "license": "MIT"}\n')
    (desk.folder / "texts/lines.txt").write_text("A line of text.\nAnother line.\n\n")
    table = pa.table({"key": [7], "sentence": ["From Parquet."], "domain": [5], "language": ["en"]})
    pq.write_table(table, desk.folder / "texts/p.parquet")
    folder = f"{desk.folder}/texts"
    desk.texts = [
        f"{folder}/faq.jsonl",
        {"path": f"{folder}/lines.txt", "license": "CC0-1.0", "language": "en"},
        {"path": f"{folder}/p.parquet", "name": "old", "id_column": "key", "text_column": "sentence"},
    ]
    desk.columns = ["domain"]
    desk.plan(N1)
    rows = {row["text"]: row for row in desk.rows(N1)}
    assert {text: (row["license"], row["domain"], row["source"], row["language"]) for text, row in rows.items()} == {
        "Who is there?": ("MIT", "faq", "faq", None),
        "A line of text.": ("CC0-1.0", None, "lines", "en"),
        "Another line.": ("CC0-1.0", None, "lines", "en"),
        "From Parquet.": ("cc-by-4.0", "5", "old", "en"),
    }
    assert rows["From Parquet."]["utterance_id"].startswith("old-7.")
    assert desk.plan(N2).counts.num_texts == 0, "texts without ids are known by what they say"


def test_ids_are_read_in_one_way_only():
    parts = [("a", "b.c", "d", 1), ("a", "b", "c.d", 1), ("a", "b", "c%2Ed", 1), ("a", "b.c.d", "1", 1)]
    assert len({make_id(*part) for part in parts}) == len(parts)


def test_missing_columns_and_files_are_named(desk):
    desk.write({"a": "Text."})
    for change, named in [
        ({"path": f"{desk.folder}/texts/none.csv"}, "none.csv"),
        ({"path": f"{desk.folder}/texts/news.csv", "text_column": "body"}, "no column 'body'; found id, text"),
        ({"path": f"{desk.folder}/texts/news.csv", "id_column": "key"}, "no column 'key'"),
    ]:
        desk.texts = [change]
        with pytest.raises(ManifestError, match=named):
            desk.plan(N1)
    assert Corpus(desk.corpus.storage).list_nights() == []
