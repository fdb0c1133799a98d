"""What a catalogue comes to, estimated before anything is spent."""

import json
import shutil

import pytest

import jobs.audiobooks
from pipeline.benchmark import BOOK
from pipeline.books.catalogue import read_catalogue
from pipeline.books.checked_catalogue import open_catalogue
from pipeline.books.estimate import _Estimator, estimate_catalogue, find_doubt
from pipeline.cluster.cost import estimate_cost
from pipeline.config.run import load_config, parse_config
from pipeline.output.tombstones import Tombstones, make_tombstones
from pipeline.storage import open_storage
from tests.books.small_book import configure
from tests.inline_ray import inline_ray

MEASURED_S = 796.5
"""Of audio, as the demo voice `ross` read the extract: 88 of its 91 sentences, 3 were rejected."""


@pytest.fixture(autouse=True)
def without_processes():
    """A dry run only looks at the cluster."""
    with inline_ray():
        yield


@pytest.fixture(scope="module")
def extract(tmp_path_factory):
    folder = tmp_path_factory.mktemp("estimate")
    config = configure(folder, audiobook={"casting": None, "narrator": "anna"})
    shutil.copy(BOOK, folder / "in" / "alice.txt")
    return folder, config, estimate_catalogue(config)


def test_the_hours_of_audio_are_those_of_a_real_run(extract):
    (alice,) = [book for book in extract[2].books if book.book_id == "alice"]
    assert alice.audio_s == pytest.approx(MEASURED_S, rel=0.15)
    assert (alice.num_rows, alice.num_chapters, alice.num_units) == (91, 3, 46)
    assert alice.chapters_s == pytest.approx(alice.audio_s + 56, abs=10)
    assert not alice.rejected and not alice.suspicious


def test_the_total_adds_the_books_up(extract):
    _, config, estimate = extract
    cats, alice = sorted(estimate.books, key=lambda book: book.num_rows)
    total = estimate.total
    assert (total.num_rows, total.num_units) == (cats.num_rows + alice.num_rows, cats.num_units + alice.num_units)
    assert total.audio_s == pytest.approx(cats.audio_s + alice.audio_s)
    clips, chapters = 32_000 * total.audio_s, 32_000 * total.chapters_s
    assert total.output_bytes == pytest.approx(clips + chapters, rel=0.01)
    assert estimate.cost == estimate_cost(config, total.audio_s, [])


def test_the_dry_run_shows_it_and_writes_nothing(extract, capsys):
    folder, _, estimate = extract
    before = sorted(folder.rglob("*"))
    assert jobs.audiobooks.main(["--config", str(folder / "run.yaml"), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["audio_s"] == pytest.approx(estimate.total.audio_s)
    assert jobs.audiobooks.main(["--config", str(folder / "run.yaml"), "--dry-run"]) == 0
    assert "measured here" in capsys.readouterr().out
    assert sorted(folder.rglob("*")) == before


def test_lines_that_will_be_rejected_and_doubtful_ones_are_reported(tmp_path):
    config = configure(tmp_path, text={"max_text_chars": 60})
    text = "## One\n\nSee http://example.org/x now.\n\n" + "A line that is far too long for this run. " * 3
    (tmp_path / "in" / "cats.md").write_text(text.replace(". A", "; a"))
    total = estimate_catalogue(config).total
    assert dict(total.rejected) == {"text_too_long": 1}
    assert dict(total.suspicious) == {"web address or markup": 1}
    assert [line.reason.partition(":")[0] for line in total.examples] == ["web address or markup", "text_too_long"]


def test_what_was_removed_is_not_estimated(tmp_path, capsys):
    config = configure(tmp_path)
    (tmp_path / "in" / "cats.md").write_text("## One\n\nThe first line of two.\n\nThe second line of two.\n")
    before = estimate_catalogue(config).total
    output = open_storage(config.output)
    Tombstones.add(output, make_tombstones("utterance", [before_id(tmp_path, "second")], "withdrew"))
    after = estimate_catalogue(config).total
    assert (after.num_removed, after.num_rows) == (1, before.num_rows) and 0 < after.audio_s < before.audio_s
    assert jobs.audiobooks.main(["--config", str(tmp_path / "run.yaml"), "--dry-run"]) == 0
    assert "removed    1 sentences were withdrawn" in capsys.readouterr().out


def before_id(folder, word):
    """The id that an import gives to the row with this word."""
    settings = open_catalogue(load_config(folder / "run.yaml"))
    (book,) = read_catalogue(settings.storage, settings.casts, settings.default, settings.settings.import_)
    return next(row["utterance_id"] for row in book.rows if word in row["text"])


def test_what_is_not_spoken_is_counted_by_kind_with_examples(tmp_path):
    config = configure(tmp_path)
    (tmp_path / "in" / "cats.md").write_text("## One\n\nSay λόγος ⟁ now.\n\nSnow ☃ falls.\n")
    total = estimate_catalogue(config).total
    kinds = ("script", "symbol", "emoji")
    assert dict(total.suspicious) == {f"with a {kind} that is not spoken": 1 for kind in kinds}
    assert [line.reason for line in total.examples] == [
        "not spoken: script Greek (λόγος), symbol ⟁ (WHITE TRIANGLE CONTAINING SMALL WHITE TRIANGLE)",
        "not spoken: emoji ☃ (SNOWMAN)",
    ]


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("A good line, with a dash - and 'quotes'.", None),
        ("Aaaaah!", "the same letter again and again"),
        ("Na\ufffdve.", "unreadable characters"),
        ("<b>bold", "web address or markup"),
        ("Он сказал это вслух.", "letters of another script"),
        ("x" + "ab" * 20, "a word of over 30 letters"),
    ],
)
def test_doubts(text, doubt):
    assert find_doubt(text, text, "en") == doubt


def test_numbers_that_take_long_to_say_are_doubtful():
    assert find_doubt("1,234,567 8,901,234", "one million two hundred " * 10, "en") is not None


def make_config(llm, **audiobook):
    groups = {"catalogue": "a", "chapters": "b", **audiobook}
    replicas = {"llm": llm, "codec": {"count": 1, "num_gpus": 0.5}, "writer": {"count": 1}}
    return parse_config(
        {"weights": "w", "manifest": "m", "speakers": "s", "output": "o", "audiobook": groups, "replicas": replicas}
    )


def test_the_speed_is_measured_else_stated_else_not_known():
    gpus = {"count": 4, "num_gpus": 0.5}
    unknown = estimate_cost(make_config(gpus), 3_600, [])
    assert unknown.elapsed_s is None and "limit" in unknown.source
    stated = estimate_cost(make_config(gpus, x_real_time=10.0), 3_600, [])
    assert (stated.elapsed_s, stated.gpu_hours) == (pytest.approx(90), pytest.approx(0.025 * 2.5))
    synthesized = [{"audio_s": 100.0, "elapsed_s": 10.0, "replicas": {"llm": 2, "codec": 1, "writer": 1}},
              {"audio_s": 5.0, "elapsed_s": 100.0, "replicas": {"llm": 1, "codec": 1, "writer": 1}}]  # fmt: skip
    starts = [{"at": "today", "synthesized": found} for found in synthesized] + [{"at": "now"}]
    measured = estimate_cost(make_config(gpus, x_real_time=1.0), 3_600, starts)
    assert measured.elapsed_s == pytest.approx(180) and "today with 2" in measured.source
    automatic = estimate_cost(make_config({"count": "auto", "num_gpus": 0.5}), 3_600, starts)
    assert (automatic.num_replicas, automatic.elapsed_s) == (2, pytest.approx(360))


def test_the_pace_follows_what_the_output_holds(tmp_path, monkeypatch):
    config = configure(tmp_path)
    rows = [{"utterance_id": f"u{n}", "text": "The cat sat down on the mat.", "speaker_id": "anna"} for n in range(20)]
    monkeypatch.setattr(
        "pipeline.books.estimate._read_spoken", lambda log: iter([{**row, "duration_s": 6.0} for row in rows])
    )
    estimator = _Estimator(config, open_catalogue(config))
    pace, source = estimator._measure_pace(None)
    assert pace == pytest.approx(6.0 / 1.82) and "20 rows" in source
