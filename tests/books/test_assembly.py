"""Chapters from clips: exact times, equal bytes, one loudness, only what changed is made again."""

import hashlib
import io
import json
import re
import resource
import tempfile
import tracemalloc
import zipfile
from fractions import Fraction

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyloudnorm
import pytest
import soundfile

from jobs.assemble import main
from pipeline.audio.clips import Audio
from pipeline.audio.loudness import Loudness, LoudnessMeter, check_acx, limit_peaks, quieten_noise
from pipeline.books.assembly import _BookAssembler, assemble
from pipeline.books.chapter_audio import ChapterAudio
from pipeline.books.reading_order import read_chapters
from pipeline.books.subtitles import write_srt, write_vtt
from pipeline.books.tags import BookTags
from pipeline.config.books import ACX, AssemblyConfig
from pipeline.config.run import StorageConfig
from pipeline.errors import StorageError
from pipeline.manifest.rows import Shard
from pipeline.manifest.units import WorkUnit
from pipeline.output.commit_file import build_commit_table
from pipeline.output.commit_log import CommitLog
from pipeline.output.records import pack_clip
from pipeline.output.removal import remove_rows
from pipeline.output.report import write_report
from pipeline.storage import ObjectInfo, open_storage
from tests.fakes import MemoryStorage
from tests.outputs import begin_run

RATE = 16_000


def speechlike(seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE)
    envelope = np.clip(np.sin(np.arange(count) / RATE * 9), 0, 1) ** 2
    return (rng.standard_normal(count) * envelope * 0.05).astype(np.float32)


def make_run(folder, seeds, rejected=(), is_packed=False, **columns):
    """Three rows a chapter, a clip of 1 s and more each."""
    storage = open_storage(str(folder), StorageConfig())
    log = CommitLog(storage)
    info = ObjectInfo("book/part-00000.parquet", 1, "e")
    begin_run(storage, [Shard("book/part-00000", "x", len(seeds), "f", info)], unit_size=100)
    records, rows = [], []
    for row, seed in enumerate(seeds):
        utterance_id = f"book.c{row // 3}.{row}"
        samples = speechlike(1 + row / 10, seed)
        clip, packed, path = Audio(samples, RATE).encode(), {}, None
        if is_packed:
            packed["audio"], sha = pack_clip(utterance_id, clip, "wav")
        else:
            path, sha = log.put_audio("book/part-00000", utterance_id, clip, "wav")
        status = {"status": "rejected", "error_code": "no_speech"} if row in rejected else {
            "status": "ok", "audio_path": path, "audio_format": "wav", "audio_sha256": sha,
            "sample_rate": RATE, "num_samples": samples.size, **packed}  # fmt: skip
        records.append({"utterance_id": utterance_id, "speaker_id": "a", "text": f"Sentence <{row}>.",
                        "shard": "book/part-00000", "row": row, **status})  # fmt: skip
        rows.append(
            {
                "utterance_id": utterance_id,
                "text": "",
                "speaker_id": "a",
                "book_id": "book",
                "book_title": "Book",
                "author": "Writer",
                "chapter": row // 3 + 1,
                "chapter_title": f"Chapter {row // 3 + 1}",
                "position": row % 3,
                "boundary": ("heading", "sentence", "chapter")[row % 3],
                **columns,
            }
        )
    table = build_commit_table(records, pa.Table.from_pylist(rows), is_packed=is_packed)
    assert log.commit(WorkUnit("book/part-00000", 0, len(seeds) - 1), table)
    return str(folder)


def files_of(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.*"))}


def test_times_are_exact_and_loudness_meets_its_target(tmp_path):
    run = make_run(tmp_path / "run", range(6))
    reports = list(assemble(run, str(tmp_path / "out"), AssemblyConfig(formats=("wav", "flac"))))
    assert [report.state for report in reports] == ["made", "made"]
    samples, rate = soundfile.read(tmp_path / "out" / "book" / "001.wav")
    flac, _ = soundfile.read(tmp_path / "out" / "book" / "001.flac")
    assert (samples == flac).all()
    about = json.loads((tmp_path / "out" / "book" / "001.json").read_text())
    starts = [sentence["start_sample"] for sentence in about["sentences"]]
    assert starts == [8_000, 8_000 + 16_000 + 24_000, 48_000 + 17_600 + 5_600]
    assert about["num_samples"] == samples.size == starts[2] + 19_200 + 24_000
    assert not samples[24_000:48_000].any()
    for sentence, seed in zip(about["sentences"], range(3), strict=True):
        clip = samples[sentence["start_sample"] : sentence["end_sample"]]
        assert np.corrcoef(clip, speechlike(1 + seed / 10, seed))[0, 1] > 0.98
    assert pyloudnorm.Meter(rate).integrated_loudness(samples) == pytest.approx(-19, abs=0.6)
    assert np.abs(samples).max() < 10 ** (-3 / 20)
    vtt = (tmp_path / "out" / "book" / "001.vtt").read_text()
    assert "00:00:00.500 --> 00:00:01.500\nSentence &lt;0&gt;." in vtt


def test_packed_clips_make_the_same_chapters_and_are_read_a_row_group_at_a_time(tmp_path, monkeypatch):
    config = AssemblyConfig(formats=("wav", "flac"))
    monkeypatch.setattr("pipeline.output.commit_file._ROW_GROUP_BYTES", 80_000)  # Two clips.
    for name in ("files", "packed"):
        run = make_run(tmp_path / f"{name}-run", range(6), is_packed=name == "packed")
        list(assemble(run, str(tmp_path / name), config))
    assert files_of(tmp_path / "files") == files_of(tmp_path / "packed") and len(files_of(tmp_path / "files")) == 10
    assert not (tmp_path / "packed-run" / "audio").exists()
    commit = next((tmp_path / "packed-run").rglob("0*.parquet"))
    data = bytearray(commit.read_bytes())
    data[data.index(b"RIFF") + 1_000] ^= 1
    commit.write_bytes(bytes(data))
    with pytest.raises(StorageError, match=r"5\.parquet, row 0: changed since it was committed; run jobs.verify"):
        list(assemble(run, str(tmp_path / "again"), config))


@pytest.mark.parametrize("is_packed", [False, True])
def test_chapters_that_hold_what_was_removed_are_deleted(tmp_path, is_packed):
    config = AssemblyConfig(formats=("wav", "m4b"))
    run, out = make_run(tmp_path / "run", range(6), is_packed=is_packed), tmp_path / "out"
    list(assemble(run, str(out), config))
    before = files_of(out)
    remove_rows(open_storage(run), ["book.c0.1"], (), "withdrew")
    first, second = assemble(run, str(out), config)
    assert (first.state, second.state) == ("incomplete", "kept")
    assert first.problems == ["book.c0.1: removed from the output"]
    after = files_of(out)
    assert not [name for name in after if name.startswith("001.")]
    assert {name: after[name] for name in after if name.startswith("002.")} == {
        name: before[name] for name in before if name.startswith("002.")
    }
    assert after["book.m4b"] != before["book.m4b"]
    assert [report.state for report in assemble(run, str(out), config, allow_missing=True)] == ["made", "kept"]
    remove_rows(open_storage(run), ["book.c1.4", "book.c0.0"], (), "withdrew")
    assert [report.state for report in assemble(run, str(out), config)] == ["incomplete"] * 2
    assert files_of(out) == {}


def test_bytes_repeat_and_a_new_take_changes_one_chapter(tmp_path):
    config = AssemblyConfig(formats=("wav", "flac"))
    run = make_run(tmp_path / "run", range(6))
    for name in ("one", "two"):
        list(assemble(run, str(tmp_path / name), config))
    before = files_of(tmp_path / "one")
    assert before == files_of(tmp_path / "two")
    revoiced = make_run(tmp_path / "again", [0, 1, 2, 3, 99, 5])
    reports = list(assemble(revoiced, str(tmp_path / "one"), config))
    assert [report.state for report in reports] == ["kept", "made"]
    after = files_of(tmp_path / "one")
    assert {name for name in before if before[name] != after[name]} == {"002.wav", "002.flac", "002.json"}


def test_a_chapter_with_a_hole_is_made_only_when_asked(tmp_path, capsys):
    run = make_run(tmp_path / "run", range(6), rejected={4})
    assert main([run, "--to", str(tmp_path / "out")]) == 1
    assert "no_speech" in capsys.readouterr().out
    assert not (tmp_path / "out" / "book" / "002.wav").exists()
    assert main([run, "--to", str(tmp_path / "out"), "--allow-missing"]) == 1
    assert (tmp_path / "out" / "book" / "002.wav").exists()


@pytest.mark.parametrize(
    ("name", "value"), [("chapter", None), ("position", "first"), ("book_id", None), ("boundary", None), ("author", 7)]
)
def test_rows_that_belong_to_no_book_are_refused(tmp_path, capsys, name, value):
    run = make_run(tmp_path / "run", range(3), **{name: value})
    assert main([run, "--to", str(tmp_path / "out")]) == 2
    assert f"shard book/part-00000: the column(s) {name} are missing, or hold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "expected settings with a name each"),
        ("{1: 2}", "1: unknown setting"),
        ("target_lufs: [", "not YAML"),
        ("target_lufs: loud", "target_lufs: expected a number (at least -60, at most -5), got 'loud'"),
        ("loudness: 3", "loudness: unknown setting"),
        ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
            "once aliases"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(tmp_path, capsys, text, message):
    (tmp_path / "settings.yaml").write_text(text)
    assert main(["run", "--to", "out", "--config", str(tmp_path / "settings.yaml")]) == 2
    assert message in capsys.readouterr().err
    assert main(["run", "--to", "out", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_m4b_has_chapters_title_author_and_cover(tmp_path):
    run = make_run(tmp_path / "run", range(6))
    covers = tmp_path / "covers"
    covers.mkdir()
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 16, 16, "yuvj420p", Fraction(1)
    (covers / "book.jpg").write_bytes(bytes(codec.encode(av.VideoFrame(16, 16, "yuvj420p"))[0]))
    config = AssemblyConfig(formats=("m4b", "opus", "mp3"))
    list(assemble(run, str(tmp_path / "out"), config, covers=str(covers)))
    with av.open(str(tmp_path / "out" / "book" / "book.m4b")) as book:
        assert [chapter["metadata"]["title"] for chapter in book.chapters()] == ["Chapter 1", "Chapter 2"]
        assert (book.metadata["title"], book.metadata["artist"]) == ("Book", "Writer")
        assert len(book.streams.video) == 1
    for name in ("001.opus", "001.mp3"):
        with av.open(str(tmp_path / "out" / "book" / name)) as file:
            assert file.duration / av.time_base == pytest.approx(7.3, abs=0.2)


@pytest.mark.parametrize("name", ["001.wav", ".001.wav.part", "book.m4b", ".book.m4b.part", "001.json"])
def test_a_link_at_a_foreseeable_name_is_not_followed(tmp_path, name):
    """Chapters went through `.001.wav.part`, and so into whatever file such a link named."""
    run = make_run(tmp_path / "run", range(3))
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "out" / "book").mkdir(parents=True)
    (tmp_path / "out" / "book" / name).symlink_to(tmp_path / "victim")
    assert main([run, "--to", str(tmp_path / "out"), "--formats", "wav,m4b"]) == 0
    assert (tmp_path / "victim").read_text() == "mine"
    made = {path.name for path in (tmp_path / "out" / "book").iterdir() if not path.is_symlink()}
    assert made == {"001.wav", "001.vtt", "001.srt", "001.json", "book.m4b", "m4b.json"}


def test_a_full_disk_stops_with_a_message_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    run = make_run(tmp_path / "run", range(3))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        assert main([run, "--to", str(tmp_path / "out")]) == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"stopped: {tmp_path / 'tmp'}: a chapter's WAV cannot be kept there" in capsys.readouterr().err
    assert not [*(tmp_path / "tmp").iterdir(), *(tmp_path / "out").glob("**/*")]


@pytest.mark.parametrize("refused", ["001.flac", "001.vtt", "001.json", "book.m4b", "m4b.json"])
def test_a_store_that_refuses_a_file_stops_and_the_next_call_completes(tmp_path, refused):
    """The disk is full when the file is put: what is there then never passes for a whole chapter."""
    run = make_run(tmp_path / "run", range(3))
    config = AssemblyConfig(formats=("wav", "flac", "m4b"))
    rows = [chapter for _, chapters in read_chapters(open_storage(run)) for chapter in chapters]

    class FullStorage(MemoryStorage):
        is_full = True

        def _put(self, path, data, if_absent, if_match):
            if self.is_full and path == f"book/{refused}":
                raise StorageError(f"put {path!r}: no space left on device; free some space on the disk")
            return super()._put(path, data, if_absent, if_match)

    target = FullStorage()

    def make():
        assembler = _BookAssembler(open_storage(run), target, "book", config, BookTags())
        assembler.choose_folder(rows[0][1][0], set())
        states = [assembler.make_chapter(number, chapter, False).state for number, chapter in rows]
        assembler.make_m4b()
        return states

    with pytest.raises(StorageError, match=refused):
        make()
    target.is_full = False
    assert make() == ["made" if refused.startswith("001") else "kept"]
    whole = {info.path: target.get(info.path) for info in target.list()}
    assert {path.removeprefix("book/") for path in whole} == {
        "001.wav", "001.flac", "001.vtt", "001.srt", "001.json", "book.m4b", "m4b.json"}  # fmt: skip
    assert make() == ["kept"]
    assert {path: target.get(path) for path in whole} == whole


def test_the_book_follows_its_chapters_and_its_cover(tmp_path):
    """A book of earlier chapters stayed where a kill, or a change of formats, came between them and it."""
    run, out = make_run(tmp_path / "run", range(6)), tmp_path / "out"
    both, wav_only = AssemblyConfig(formats=("wav", "m4b")), AssemblyConfig()
    list(assemble(run, str(out), both))
    first = (out / "book" / "book.m4b").read_bytes()
    revoiced = make_run(tmp_path / "again", [0, 1, 2, 3, 99, 5])
    list(assemble(revoiced, str(out), wav_only))
    reports = list(assemble(revoiced, str(out), both))
    assert [report.state for report in reports] == ["kept", "kept"]
    second = (out / "book" / "book.m4b").read_bytes()
    (tmp_path / "covers").mkdir()
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 4, 4, "rgb24", Fraction(1)
    picture = av.VideoFrame.from_ndarray(np.zeros((4, 4, 3), np.uint8), "rgb24")
    (tmp_path / "covers" / "book.png").write_bytes(bytes(codec.encode(picture)[0]))
    list(assemble(revoiced, str(out), both, covers=str(tmp_path / "covers")))
    assert len({first, second, (out / "book" / "book.m4b").read_bytes()}) == 3


def test_a_book_is_not_made_of_a_chapter_that_somebody_changed(tmp_path, capsys):
    run, out = make_run(tmp_path / "run", range(3)), tmp_path / "out"
    list(assemble(run, str(out), AssemblyConfig()))
    (out / "book" / "001.wav").write_bytes(Audio(speechlike(1, 1), RATE).encode())
    assert main([run, "--to", str(out), "--formats", "m4b"]) == 3
    assert "001.wav: changed since it was made; delete book/001.json" in capsys.readouterr().err
    (out / "book" / "001.json").unlink()
    assert main([run, "--to", str(out), "--formats", "m4b"]) == 0


@pytest.mark.parametrize(
    "record", ["[1]", "{}", "[" * 100_000, '{"inputs_sha256": "@"}', '{"inputs_sha256": "@", "loudness": 3}']
)
def test_a_record_of_nonsense_is_no_record(tmp_path, record):
    run, out = make_run(tmp_path / "run", range(3)), tmp_path / "out"
    (report,) = assemble(run, str(out), AssemblyConfig())
    good = (out / "book" / "001.json").read_text()
    (out / "book" / "001.json").write_text(record.replace("@", report.inputs_sha256))
    (report,) = assemble(run, str(out), AssemblyConfig())
    assert report.state == "made" and (out / "book" / "001.json").read_text() == good


def test_a_rate_that_a_format_cannot_hold_is_refused(tmp_path, capsys):
    run = make_run(tmp_path / "run", range(3))
    (tmp_path / "settings.yaml").write_text("{sample_rate: 96000, formats: [mp3]}")
    assert main([run, "--to", str(tmp_path / "out"), "--config", str(tmp_path / "settings.yaml")]) == 2
    assert "mp3: cannot hold audio of 96,000 Hz" in capsys.readouterr().err


def test_the_acx_preset_meets_its_own_check(tmp_path):
    run = make_run(tmp_path / "run", range(3))
    (report,) = assemble(run, str(tmp_path / "out"), AssemblyConfig.model_validate({**ACX, "formats": ("wav",)}))
    assert report.acx == []
    assert report.sample_rate == 44_100
    misses = check_acx(Loudness(-30, -25.0, -1.0, -50.0))
    assert [text.partition(" (")[2] for text in misses] == ["misses by 2.0 dB)", "over by 2.0 dB)", "over by 10.0 dB)"]


def test_the_meter_agrees_with_pyloudnorm_in_any_pieces():
    samples = speechlike(10, 3)
    meter = LoudnessMeter(RATE)
    for piece in np.split(samples, [100, 5_003, 90_000]):
        meter.add(piece)
    assert meter.read().lufs == pytest.approx(pyloudnorm.Meter(RATE).integrated_loudness(samples), abs=0.01)


def test_the_limiter_never_lets_a_peak_pass():
    samples = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    assert np.abs(limit_peaks(samples, -3.0, RATE)).max() <= np.float32(10 ** (-3 / 20))


def test_memory_does_not_grow_with_the_chapter(tmp_path):
    def peak(count: int) -> int:
        run = make_run(tmp_path / f"run{count}", range(count))
        storage = open_storage(run)
        rows = [row for _, chapters in read_chapters(storage) for _, chapter in chapters for row in chapter]
        chapter = ChapterAudio(storage, rows, RATE, AssemblyConfig())
        tracemalloc.start()
        with open(tmp_path / "x.wav", "w+b") as file:
            chapter.write_wav(file, chapter.choose_gain_db())
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(3)  # Imports count once.
    assert peak(12) - peak(6) < 1_500_000


def test_noise_between_words_is_turned_down_and_words_are_not():
    rng = np.random.default_rng(1)
    noise = (rng.standard_normal(RATE) * 10 ** (-58 / 20)).astype(np.float32)
    synthesized = noise.copy()
    synthesized[4_000:8_000] += np.sin(np.arange(4_000) * 0.2).astype(np.float32) * 0.2
    quiet = quieten_noise(synthesized, -50, RATE)
    assert (quiet[4_000:8_000] == synthesized[4_000:8_000]).all()
    assert np.allclose(quiet[10_000:], synthesized[10_000:] * 10 ** (-15 / 20), atol=1e-7)
    meter = LoudnessMeter(RATE)
    meter.add(quiet)
    assert meter.read().noise_floor_dbfs == pytest.approx(-73, abs=0.5)


REPORT = {
    "language": "en", "path": "b.epub", "chapter_numbers": [1, 2], "chapter_parts": [["Part I"], ["Part II"]],
    "edition": {"date": "1900", "publisher": "House", "description": "A tale.", "series": "Tales",
                "series_number": "2"},
}  # fmt: skip


def make_book(folder, **columns):
    """A run of two chapters called `I`, the contents of its import, and a cover."""
    run = make_run(folder / "run", range(6), chapter_title="I", **columns)
    (folder / "m" / "_contents").mkdir(parents=True)
    rows = [row for table in CommitLog(open_storage(run)).iter_metadata() for row in table.to_pylist()]
    names = ("utterance_id", "book_id", "book_title", "author", "chapter", "chapter_title", "position", "boundary")
    listed = pa.Table.from_pylist([{name: row[name] for name in names} for row in rows])
    pq.write_table(listed, folder / "m" / "_contents" / "book.parquet")
    (folder / "m" / "_contents" / "book.json").write_text(json.dumps({"report": REPORT}))
    (folder / "m" / "_covers").mkdir()
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 16, 16, "yuvj420p", Fraction(1)
    cover = bytes(codec.encode(av.VideoFrame(16, 16, "yuvj420p"))[0])
    (folder / "m" / "_covers" / "book.jpg").write_bytes(cover)
    return run, {"contents": str(folder / "m"), "covers": str(folder / "m" / "_covers")}, cover


def test_players_find_title_narrator_series_and_cover_in_every_format(tmp_path):
    run, places, cover = make_book(tmp_path)
    config = AssemblyConfig(formats=("flac", "m4b", "mp3", "opus"))
    list(assemble(run, str(tmp_path / "out"), config, **places))
    folder = tmp_path / "out" / "book"
    wanted = {"title": "I", "artist": "Writer", "album": "Book", "composer": "a", "date": "1900"}
    for suffix in ("flac", "mp3", "opus"):
        with av.open(str(folder / f"002.{suffix}")) as file:
            tags = {**file.metadata, **file.streams.audio[0].metadata}
            found = {name.lower(): text for name, text in tags.items()}
            assert {name: found[name] for name in wanted} == wanted, suffix
            assert (found["track"], found["language"], found["series"]) == ("2", "en", "Tales"), suffix
            assert found["publisher"] == "House" and "A tale." in (found.get("comment"), found.get("description"))
            if suffix == "opus":  # FFmpeg shows the picture of the comment as a stream, too.
                assert cover in (folder / "002.opus").read_bytes() or len(file.streams.video) == 1
            else:
                assert len(file.streams.video) == 1
    with av.open(str(folder / "book.m4b")) as book:
        assert [mark["metadata"]["title"] for mark in book.chapters()] == ["Part I: I", "Part II: I"]
        assert book.streams.audio[0].metadata["language"] == "eng" and len(book.streams.video) == 1
        tags = book.metadata
        assert (tags["genre"], tags["composer"], tags["grouping"]) == ("Audiobook", "a", "Tales, 2")
        assert (tags["date"], tags["description"]) == ("1900", "A tale.")


def test_a_book_lies_where_players_look_for_it(tmp_path):
    run, places, _ = make_book(tmp_path, author="A. Writer/", book_title='What: "Now?"')
    config = AssemblyConfig(formats=("m4b",), folders="author")
    list(assemble(run, str(tmp_path / "out"), config, **places))
    folder = tmp_path / "out" / "A. Writer" / "Tales" / "What Now"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["What Now.m4b", "m4b.json", *(f"00{n}.{suffix}" for n in (1, 2) for suffix in ("json", "srt", "vtt", "wav"))]
    )
    assert json.loads((tmp_path / "out" / "book" / "folder.json").read_text()) == {"folder": "A. Writer/Tales/What Now"}
    assert [report.state for report in assemble(run, str(tmp_path / "out"), config, **places)] == ["kept", "kept"]
    write_report(run, str(tmp_path / "page.html"), chapters=str(tmp_path / "out"))
    assert "A.%20Writer/Tales/What%20Now/001.wav" in (tmp_path / "page.html").read_text()


def test_a_text_breaks_no_subtitles():
    cue = {
        "text": "One\r\n\n2\n00:00:05,000 --> 00:00:06,000\x1b[2J\n<v Eve>Two\u2028",
        "start_sample": 0,
        "end_sample": RATE,
    }
    vtt, srt = write_vtt([cue], RATE), write_srt([cue], RATE)
    times = "00:00:00{0}000 --> 00:00:01{0}000\n"
    assert vtt == f"WEBVTT\n\n1\n{times.format('.')}One 2 00:00:05,000 --&gt; 00:00:06,000 [2J &lt;v Eve&gt;Two\n"
    assert srt == f"1\n{times.format(',')}One 2 00:00:05,000 -> 00:00:06,000 [2J <v Eve>Two\n"


def test_srt_has_the_times_of_vtt(tmp_path):
    run = make_run(tmp_path / "run", range(3))
    list(assemble(run, str(tmp_path / "out"), AssemblyConfig()))
    srt = (tmp_path / "out" / "book" / "001.srt").read_text()
    assert srt.startswith("1\n00:00:00,500 --> 00:00:01,500\nSentence <0>.\n\n2\n00:00:03,000 --> ")


def test_a_book_to_read_along_is_made_once_and_follows_its_chapters(tmp_path):
    run, places, _ = make_book(tmp_path)
    config, out = AssemblyConfig(formats=("epub",)), tmp_path / "out"
    list(assemble(run, str(out), config, books=str(tmp_path / "books"), **places))
    first = files_of(out)
    record = json.loads((out / "book" / "epub.json").read_text())
    assert (record["num_marked"], record["num_sentences"]) == (6, 6)
    with zipfile.ZipFile(out / "book" / "book.epub") as book:
        smil, package = book.read("OPS/read-along/002.smil").decode(), book.read("OPS/package.opf").decode()
        with av.open(io.BytesIO(book.read("OPS/read-along/002.m4a"))) as audio:
            assert audio.streams.audio[0].codec_context.name == "aac"
    about = json.loads((out / "book" / "002.json").read_text())
    begins = [sentence["start_sample"] / RATE for sentence in about["sentences"]]
    assert re.findall(r'clipBegin="([\d.]+)s"', smil) == [f"{begin:.3f}" for begin in begins]
    assert "<dc:title>Book</dc:title><dc:creator>Writer</dc:creator><dc:language>en</dc:language>" in package
    list(assemble(run, str(out), config, books=str(tmp_path / "books"), **places))
    assert files_of(out) == first
