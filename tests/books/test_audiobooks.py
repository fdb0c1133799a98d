"""A catalogue in one call: a second one does only what is missing."""

import hashlib
import json
import re
from pathlib import Path

import pytest

import jobs.audiobooks
from pipeline import make_audiobooks
from pipeline.benchmark.instant import INSTANT_NETWORKS
from pipeline.books import audiobooks
from pipeline.books.estimate import estimate_catalogue
from pipeline.config import books as audiobook_config
from pipeline.config.run import load_config, parse_config
from pipeline.errors import ConfigError, RunStopped
from pipeline.llm.prompt import Voice
from pipeline.storage import open_storage
from pipeline.synthesis.speaker_definitions import SpeakerDefinition
from pipeline.synthesis.speakers import Speaker, SpeakerRegistry
from tests.books.small_book import BOOK, TOKENS, configure
from tests.inline_ray import inline_ray


def enroll(config):
    """Enrolling would load the networks that are left out here."""
    definition = SpeakerDefinition(speaker_id="anna", global_tokens=TOKENS)
    speaker = Speaker("anna", Voice(global_tokens=TOKENS), definition.kind, definition.canonical())
    open_storage(config.output).put("speakers.parquet", SpeakerRegistry([speaker]).to_parquet())


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(folder).rglob("*.*"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A catalogue whose first start was stopped after its first unit, then gone on with, then run once more."""
    folder = tmp_path_factory.mktemp("audiobooks")
    config = configure(folder, audiobook={"assembly": {"formats": ["wav", "m4b"]}})
    enroll(config)
    with inline_ray(), pytest.MonkeyPatch.context() as patch:
        stop = pytest.raises(RunStopped)
        with stop, pytest.MonkeyPatch.context() as stopping:
            stopping.setattr(audiobooks, "synthesize_manifest", stopped)
            make_audiobooks(config, networks=INSTANT_NETWORKS)
        audition = make_audiobooks(config.model_copy(update={"limit": 1}), networks=INSTANT_NETWORKS)
        first = make_audiobooks(config, networks=INSTANT_NETWORKS)
        files = hashes(folder / "chapters")
        second = make_audiobooks(config, networks=INSTANT_NETWORKS)
        assert hashes(folder / "chapters") == files
        (folder / "in" / "cats.md").write_text(BOOK.replace("Nobody saw it.", "Everybody saw it. It rained."))
        patch.setattr("pipeline.books.audiobooks.make_audiobooks", lambda config: make_audiobooks(
            config, networks=INSTANT_NETWORKS))  # fmt: skip
        code = jobs.audiobooks.main(["--config", str(folder / "run.yaml")])
    return folder, audition, first, second, files, code


def stopped(*_, **__):
    raise RunStopped("a test's stop")


def test_books_become_chapters_after_a_stop_and_an_audition(made):
    _, audition, first, _, files, _ = made
    assert (audition.run.num_ok, audition.run.num_rows_left, audition.num_failed) == (1, 5, 0)
    assert {chapter.state for chapter in audition.chapters} == {"incomplete"}
    assert (first.run.num_ok, first.num_failed) == (6, 0)
    assert [chapter.state for chapter in first.chapters] == ["made", "made"]
    assert {"001.wav", "002.wav", "002.vtt", "cats.m4b"} <= files.keys()
    assert 'src="../chapters/cats/002.wav"' in Path(first.report).read_text()


def test_a_second_call_finds_nothing_to_do(made):
    _, _, _, second, _, _ = made
    assert [book["state"] for book in second.books] == ["kept"]
    assert second.run.num_units_done == 0
    assert [chapter.state for chapter in second.chapters] == ["kept", "kept"]


def test_a_changed_book_costs_its_new_sentences_and_its_chapter(made):
    folder, *_, files, code = made
    assert code == 0
    after = hashes(folder / "chapters")
    assert {name for name in files if files[name] != after[name]} == {
        "002.wav", "002.vtt", "002.srt", "002.json", "cats.m4b", "m4b.json"}  # fmt: skip
    read = [sentence["text"] for sentence in json.loads((folder / "chapters/cats/002.json").read_text())["sentences"]]
    assert read[-3:] == ["The second cat went out.", "Everybody saw it.", "It rained."]
    assert json.loads((folder / "output" / "report.json").read_text())["num_rows"] == 7
    assert [path.name for path in (folder / "manifest").rglob("part-*")] == ["part-00000.parquet"]
    starts = json.loads((folder / "output" / "run.json").read_text())["starts"]
    assert [start.get("synthesized", {}).get("audio_s") for start in starts] == [0.5, 2.5, None, 1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audiobook": None}, "audiobook: required"),
        ({"output": "{}/in/output"}, "lies in the catalogue"),
        ({"manifest": "{}/in/manifest"}, "lies in the catalogue"),
        ({"manifest": "{}/run.yaml"}, "run.yaml is not a folder; name another folder"),
        ({"output": "{}/run.yaml/output"}, "run.yaml is not a folder; name another folder"),
        ({"output": "/proc/output"}, "holds no files of yours; name another folder"),
        ({"audiobook": {"chapters": "{}/in/chapters"}}, "lies in the catalogue"),
        ({"output": "{}/manifest/output"}, "lies in the manifest"),
        ({"audiobook": {"casting": None}}, "audiobook.narrator: nobody defined the voice(s) 'narrator' (book cats)"),
        ({"audiobook": {"assembly": {"formats": ["ogg"]}}}, "audiobook.assembly.formats"),
    ],
)
def test_what_is_wrong_is_reported_before_anything_is_written(tmp_path, capsys, changes, message):
    filled = json.loads(json.dumps(changes).replace("{}/", f"{tmp_path}/"))
    try:
        configure(tmp_path, **filled)
    except ConfigError:
        pass
    assert jobs.audiobooks.main(["--config", str(tmp_path / "run.yaml")]) == 2
    assert message in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"in", "speakers.yaml", "casting.yaml", "run.yaml"}


def test_acx_is_where_the_assembly_begins_from():
    config = load_config("configs/audiobook.yaml", {"audiobook.acx": True, "audiobook.assembly": {"lead_in_s": 0.6}})
    assembly = config.audiobook.assembly
    assert (assembly.sample_rate, assembly.lead_in_s, assembly.target_rms_dbfs) == (44_100, 0.6, -20.5)
    assert parse_config(config.model_dump(mode="json")).audiobook == config.audiobook


def test_a_missing_library_is_reported_before_anything_is_read(tmp_path, monkeypatch):
    """It was a traceback of the first book, and for the loudness one after the last sentence was synthesized."""
    monkeypatch.setattr(audiobook_config, "find_spec", lambda name: None if name in ("lxml", "av") else name)
    with pytest.raises(ConfigError, match=r"^lxml, av: needed for books.*'\.\[books\]'"):
        make_audiobooks(configure(tmp_path))
    assert not (tmp_path / "manifest").exists()


def test_a_chapter_that_no_wav_holds_is_named_before_anything_is_synthesized(tmp_path, capsys):
    """A WAV ends at 4 GiB, which was found out when all of it had been synthesized."""
    configure(tmp_path, audiobook={"assembly": {"sample_rate": 192_000}})
    sentence = "The first cat sat down and said that it was rather late for such a long walk home. "
    (tmp_path / "in" / "cats.md").write_text(f"# One\n\nHello.\n\n# Two\n\n{(sentence * 20 + chr(10) * 2) * 90}")
    for extra in (["--dry-run"], []):
        assert jobs.audiobooks.main(["--config", str(tmp_path / "run.yaml"), *extra]) == 2
        assert re.search(
            r"cats: chapter 2 \('Two'\) has 32,401 words, about 4 h\n.*3.1 h; cut", capsys.readouterr().err
        )
    assert not (tmp_path / "output").exists()


def test_a_bad_book_stops_no_other_and_is_in_the_exit_code(tmp_path, capsys, monkeypatch):
    enroll(configure(tmp_path, audiobook={"narrator": "anna"}))
    (tmp_path / "in" / "bad.epub").write_bytes(b"PK")
    arguments = ["--config", str(tmp_path / "run.yaml")]
    with inline_ray():
        assert jobs.audiobooks.main([*arguments, "--dry-run"]) == 2
    printed = capsys.readouterr()
    assert "cats: " in printed.out and "bad: not imported, see below" in printed.out
    assert "bad.epub: not an EPUB" in printed.err
    monkeypatch.setattr("pipeline.books.audiobooks.make_audiobooks", lambda config: make_audiobooks(
        config, networks=INSTANT_NETWORKS))  # fmt: skip
    with inline_ray():
        assert jobs.audiobooks.main(arguments) == 2
    assert "bad.epub: not an EPUB" in capsys.readouterr().err
    assert (tmp_path / "chapters" / "cats" / "002.wav").exists()


def test_the_numbers_of_a_dry_run_are_those_of_its_run(tmp_path):
    """First of a new book with a sentence that is rejected, then of an edited one."""
    config = configure(tmp_path)
    enroll(config)
    book = tmp_path / "in" / "cats.md"
    book.write_text(BOOK + "\n\nΟ γάτος κοιμάται όλη μέρα στον ήλιο.\n")
    with inline_ray():
        for edit in (lambda text: text, lambda text: text.replace("Nobody saw it.", "Everybody saw it. It rained.")):
            book.write_text(edit(book.read_text()))
            estimate = estimate_catalogue(config)
            summary = make_audiobooks(config, networks=INSTANT_NETWORKS)
            total, run = estimate.total, summary.run
            assert (total.num_rows, dict(total.rejected)) == (run.num_rows, run.rejected)
            assert total.num_rows - total.num_done == run.num_synthesized
            assert total.num_chapters == len(summary.chapters)
            (found,), (imported,) = estimate.books, summary.books
            assert found.account["words"] == imported["words"] and found.account["left_out"] == imported["left_out"]
    assert run.rejected and run.num_synthesized < run.num_rows


@pytest.mark.parametrize("name", ["kätzchen", "猫@2", "с пробелом"])
def test_a_book_named_in_any_letters_becomes_chapters(tmp_path, name):
    """Shards escape what is not ASCII; a book whose id has such letters was synthesized and never joined."""
    config = configure(tmp_path, audiobook={"narrator": "anna", "casting": None})
    enroll(config)
    (tmp_path / "in" / "cats.md").rename(tmp_path / "in" / f"{name}.md")
    with inline_ray():
        summary = make_audiobooks(config, networks=INSTANT_NETWORKS)
    assert [chapter.state for chapter in summary.chapters] == ["made", "made"]
