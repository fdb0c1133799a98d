"""Chapters out: a run's clips and metadata become one file a chapter, with the time of every sentence.

Needs neither Ray nor weights. A chapter depends on its own rows and settings only, so that a new take of one sentence
changes one chapter. Every file is put into its store whole and once.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, BinaryIO, Literal

from pipeline.audio.chapter_formats import BookPart, encode_chapter, encode_m4b
from pipeline.audio.clips import ClipHeader, read_header
from pipeline.audio.loudness import Loudness, check_acx
from pipeline.books.chapter_audio import ChapterAudio, WrittenChapter
from pipeline.books.read_along import SpokenChapter, make_read_along
from pipeline.books.reading_order import read_chapters
from pipeline.books.subtitles import write_srt, write_vtt
from pipeline.books.tags import BookTags, mark_titles, read_tags
from pipeline.config.books import AssemblyConfig, check_libraries
from pipeline.config.printable import to_json
from pipeline.config.run import StorageConfig
from pipeline.config.settings import canonical_json
from pipeline.errors import StorageError
from pipeline.manifest.rows import safe_file_name
from pipeline.output.report import FOLDER_FILE
from pipeline.storage import Storage, open_storage

_FORMAT_VERSION = 2
_WITH_COVER = frozenset(("flac", "opus", "mp3"))


@dataclass
class ChapterReport:
    """What became of a chapter.

    Attributes:
        state: `incomplete` where rows are missing, so that nothing was made.
        problems: rows that are missing.
        acx: ACX's limits that are missed.
        tags: of its files.
        inputs_sha256: of all that the chapter's bytes depend on.
    """

    book_id: str
    chapter: int
    title: str
    state: Literal["made", "kept", "incomplete"]
    num_samples: int = 0
    sample_rate: int = 0
    loudness: Loudness | None = None
    problems: list[str] = field(default_factory=list)
    acx: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    inputs_sha256: str = ""


def assemble(
    output: str,
    to: str,
    config: AssemblyConfig,
    *,
    allow_missing: bool = False,
    covers: str | None = None,
    contents: str | None = None,
    books: str | None = None,
    settings: StorageConfig | None = None,
) -> Iterator[ChapterReport]:
    """Make the chapters of every book of a run, and yield each as it is done.

    A chapter whose files are there and whose rows and settings are the same is kept. Files are
    `<to>/<book_id>/<chapter>.wav`, `.flac`, `.opus`, `.mp3`, `.vtt`, `.srt`, `.json`, and
    `<to>/<book_id>/<book_id>.m4b`; or they lie in `<to>/<author>/<series>/<title>` (`folders: author`).

    Args:
        output: of the run, made from a manifest of `jobs.import_books` or one with the same columns.
        to: a folder or an object-store prefix. A file is put in one piece, so that memory must hold the largest.
        config: pauses, loudness, formats.
        allow_missing: make chapters without their rejected sentences.
        covers: folder or prefix of `<book_id>.jpg` or `.png`.
        contents: the manifest of `import_books`, whose contents say which rows a book has now; without it all rows of
            the run are read, in their order.
        books: the catalogue, whose EPUBs give their pages to books to read along; others have plain pages.
        settings: how to reach the store.

    Raises:
        ConfigError: there is no run, its rows belong to no book, or a library is not installed.
        StorageError: a store does not answer or has no room, or a clip is not the one that was committed.
    """
    check_libraries()
    source, target = open_storage(output, settings), open_storage(to, settings)
    listed = open_storage(contents, settings) if contents is not None else None
    catalogue = open_storage(books, settings) if books is not None else None
    taken = set[str]()
    for book_id, chapters in read_chapters(source, listed):
        assembler = _BookAssembler(source, target, safe_file_name(book_id), config, read_tags(listed, book_id))
        assembler.cover = _read_cover(covers, book_id, settings)
        for number, rows in chapters:
            assembler.choose_folder(rows[0], taken)
            yield assembler.make_chapter(number, rows, allow_missing)
        if "m4b" in config.formats:
            assembler.make_m4b()
        if "epub" in config.formats:
            assembler.make_read_along(catalogue)


def _read_cover(covers: str | None, book_id: str, settings: StorageConfig | None) -> bytes | None:
    if covers is None:
        return None
    storage = open_storage(covers, settings)
    for suffix in (".jpg", ".png"):
        try:
            return storage.get(f"{book_id}{suffix}")
        except (FileNotFoundError, ValueError):  # An id such as `a/../b` is no path, so that no cover has its name.
            continue
    return None


class _BookAssembler:
    def __init__(self, source: Storage, target: Storage, name: str, config: AssemblyConfig, tags: BookTags) -> None:
        self.source, self.target, self.name, self.config, self.tags = source, target, name, config, tags
        self.chapters: list[ChapterReport] = []
        self.folder = ""
        self.cover: bytes | None = None
        self.is_withdrawn = False
        """Whether a chapter cannot be made any more, as rows were removed."""

    def make_chapter(self, number: int, rows: Sequence[Mapping[str, Any]], allow_missing: bool) -> ChapterReport:
        """Make a chapter's files, or keep them where nothing changed."""
        first = rows[0]
        report = ChapterReport(str(first["book_id"]), number, str(first["chapter_title"] or ""), "made")
        report.problems = _find_gaps(rows)
        spoken = [row for row in rows if row["status"] == "ok"]
        if not spoken or (report.problems and not allow_missing):
            report.state = "incomplete"
            if any(row["status"] == "removed" for row in rows):
                # What was made before holds what was withdrawn.
                self.is_withdrawn = True
                self._delete(f"{self._stem(report)}.")
            return report
        speakers = Counter(str(row["speaker_id"]) for row in spoken)
        self.tags.speakers += speakers
        report.tags = self.tags.of_chapter(number, report.title, speakers)
        report.inputs_sha256 = self._fingerprint(spoken, report)
        if not self._fill_from_record(report):
            self._make_files(spoken, report)
        assert report.loudness is not None
        report.acx = check_acx(report.loudness)
        self.chapters.append(report)
        return report

    def choose_folder(self, row: Mapping[str, Any], taken: set[str]) -> None:
        """Choose where the book's files go, once: `taken` has the folders of the books before it."""
        if self.folder:
            return
        self.tags.title, self.tags.author = str(row["book_title"] or ""), str(row["author"] or "")
        self.folder = self.name
        if self.config.folders == "author":
            self.folder = self.tags.folder()
            if self.folder.lower() in taken:
                self.folder += f" ({self.name})"
            taken.add(self.folder.lower())
        if self.folder != self.name or self.target.exists(f"{self.name}/{FOLDER_FILE}"):
            # By which a report finds the chapters.
            pointer = to_json({"folder": self.folder})
            self.target.put(f"{self.name}/{FOLDER_FILE}", pointer.encode("utf-8", "replace"))

    def _book_name(self) -> str:
        return self.folder.rpartition("/")[2]

    def _delete(self, prefix: str) -> None:
        for info in list(self.target.list(prefix)):
            self.target.delete(info.path)

    def _fingerprint(self, spoken: Sequence[Mapping[str, Any]], report: ChapterReport) -> str:
        kept = [
            [row[name] for name in ("utterance_id", "text", "speaker_id", "boundary", "audio_sha256")] for row in spoken
        ]
        settings = self.config.model_dump(exclude={"formats", "folders"})
        with_cover = not _WITH_COVER.isdisjoint(self.config.formats)
        cover = hashlib.sha256((self.cover or b"") if with_cover else b"").hexdigest()
        return _hash([_FORMAT_VERSION, settings, report.tags, cover, report.problems, kept])

    def _stem(self, report: ChapterReport) -> str:
        return f"{self.folder}/{report.chapter:03d}"

    def _chapter_formats(self) -> list[str]:
        # M4B and EPUB are made from the chapters' WAVs, so they stay beside them.
        wanted = {"wav" if name in ("m4b", "epub") else name for name in self.config.formats}
        return sorted(wanted)

    def _fill_from_record(self, report: ChapterReport) -> bool:
        """Complete the report from the chapter's JSON; False where that, or a file, is not that of these inputs."""
        stem = self._stem(report)
        known = self._read_record(f"{stem}.json", report.inputs_sha256)
        if not known or not all(
            self.target.exists(f"{stem}.{name}") for name in (*self._chapter_formats(), "vtt", "srt")
        ):
            return False
        try:
            loudness = Loudness(**known["loudness"])
            report.num_samples, report.sample_rate = int(known["num_samples"]), int(known["sample_rate"])
        except (KeyError, TypeError, ValueError):
            return False
        report.state, report.loudness = "kept", loudness
        return True

    def _read_record(self, path: str, inputs_sha256: str) -> dict[str, Any]:
        """Return a record that is about these inputs; an empty one where there is none."""
        try:
            known = json.loads(self.target.get(path))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) and known.get("inputs_sha256") == inputs_sha256 else {}

    def _put_record(self, path: str, record: Mapping[str, Any]) -> None:
        self.target.put(path, to_json(record, indent=1).encode("utf-8", "replace"))

    def _make_files(self, spoken: Sequence[Mapping[str, Any]], report: ChapterReport) -> None:
        rate = self.config.sample_rate or int(spoken[0]["sample_rate"])
        audio = ChapterAudio(self.source, spoken, rate, self.config)
        stem = self._stem(report)
        with _temporary_file() as wav:
            written = audio.write_wav(wav, audio.choose_gain_db())
            for suffix in self._chapter_formats():
                is_wav = suffix == "wav"
                data = _read_all(wav) if is_wav else encode_chapter(wav, suffix, report.tags, self.cover)
                self.target.put(f"{stem}.{suffix}", data)
        self.target.put(f"{stem}.vtt", write_vtt(written.cues, rate).encode())
        self.target.put(f"{stem}.srt", write_srt(written.cues, rate).encode())
        report.loudness, report.num_samples, report.sample_rate = written.loudness, written.num_samples, rate
        # Last, as it is what says that the others are whole.
        self._put_record(f"{stem}.json", self._describe(report, written))

    def _describe(self, report: ChapterReport, written: WrittenChapter) -> dict[str, Any]:
        return {
            "book_id": report.book_id, "book_title": self.tags.title, "author": self.tags.author,
            "chapter": report.chapter,
            "title": report.title, "sample_rate": report.sample_rate, "num_samples": written.num_samples,
            "gain_db": round(written.gain_db, 4), "loudness": asdict(written.loudness), "missing": report.problems,
            "inputs_sha256": report.inputs_sha256, "sentences": written.cues,
        }  # fmt: skip

    def make_m4b(self) -> None:
        """Make the book's file, or keep it where no chapter changed, came or went, and the cover is the same."""
        path, record_path = f"{self.folder}/{self._book_name()}.m4b", f"{self.folder}/m4b.json"
        if not self.chapters:
            if self.is_withdrawn:
                self._delete(path)
                self._delete(record_path)
            return
        cover, tags = hashlib.sha256(self.cover or b"").hexdigest(), self.tags.of_book()
        marks = mark_titles([(done.chapter, done.title) for done in self.chapters], self.tags.parts)
        inputs = _hash([_FORMAT_VERSION, [done.inputs_sha256 for done in self.chapters], cover, tags, marks])
        if self._read_record(record_path, inputs) and self.target.exists(path):
            return
        parts = [
            BookPart(mark, done.num_samples, partial(self._open_wav, done))
            for mark, done in zip(marks, self.chapters, strict=True)
        ]
        self.target.put(path, encode_m4b(parts, self.chapters[0].sample_rate, tags, self.cover))
        self._put_record(record_path, {"inputs_sha256": inputs})

    def make_read_along(self, catalogue: Storage | None) -> None:
        """Make the book to read along, or keep it where no chapter changed, came or went, and the book is the same."""
        path, record_path = f"{self.folder}/{self._book_name()}.epub", f"{self.folder}/epub.json"
        if not self.chapters:
            if self.is_withdrawn:
                self._delete(path)
                self._delete(record_path)
            return
        own = self._read_own_pages(catalogue)
        inputs = _hash(
            [_FORMAT_VERSION, [done.inputs_sha256 for done in self.chapters], hashlib.sha256(own or b"").hexdigest()]
        )
        if self._read_record(record_path, inputs) and self.target.exists(path):
            return
        spoken = [
            SpokenChapter(
                done.chapter, done.title, self._read_cues(done), done.sample_rate, partial(self._encode, done)
            )
            for done in self.chapters
        ]
        made = make_read_along(spoken, own, self.tags.of_book(), self.name)
        self.target.put(path, made.data)
        counts = {"num_marked": made.num_marked, "num_sentences": made.num_sentences}
        self._put_record(record_path, {"inputs_sha256": inputs, **counts})

    def _read_own_pages(self, catalogue: Storage | None) -> bytes | None:
        if catalogue is None or not self.tags.path.lower().endswith(".epub"):
            return None
        try:
            return catalogue.get(self.tags.path)
        except (FileNotFoundError, ValueError):
            return None

    def _read_cues(self, done: ChapterReport) -> list[dict[str, Any]]:
        return list(self._read_record(f"{self._stem(done)}.json", done.inputs_sha256).get("sentences", ()))

    def _encode(self, done: ChapterReport) -> bytes:
        return encode_chapter(self._open_wav(done), "m4b", done.tags)

    def _open_wav(self, done: ChapterReport) -> BinaryIO:
        path = f"{self._stem(done)}.wav"
        try:
            data = self.target.get(path)
        except FileNotFoundError:
            data = b""
        if read_header(data) != ClipHeader(done.sample_rate, done.num_samples):
            raise StorageError(
                f"{self.target.uri_of(path)}: {'changed' if data else 'gone'} since it was made; delete "
                f"{self._stem(done)}.json beside it and run the same command again, which makes the chapter anew"
            )
        return io.BytesIO(data)


def _hash(parts: Sequence[Any]) -> str:
    return hashlib.sha256(canonical_json(parts).encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def _temporary_file() -> Iterator[BinaryIO]:
    """Open a file without a name, which nobody can foresee and which is gone with the process."""
    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except OSError as error:
        raise StorageError(
            f"{tempfile.tempdir or 'TMPDIR'}: a chapter's WAV cannot be kept there: {error.strerror or error}; free "
            "some space, or set TMPDIR to a folder with room"
        ) from error


def _read_all(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _describe_gap(row: Mapping[str, Any]) -> str:
    if row["status"] == "removed":
        return f"{row['utterance_id']}: removed from the output"
    reason = "not synthesized yet" if row["status"] == "missing" else f"rejected as {row['error_code']}"
    return f"{row['utterance_id']}: {reason}: {str(row['text'])[:60]}"


def _find_gaps(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return which rows of a chapter have no audio, rejected or not synthesized yet."""
    gaps = [_describe_gap(row) for row in rows if row["status"] != "ok"]
    expected = 0
    for row in rows:
        if row["position"] != expected:
            gaps.append(f"{row['position'] - expected} row(s) before {row['utterance_id']} are not synthesized yet")
        expected = row["position"] + 1
    if rows[-1]["boundary"] != "chapter":
        gaps.append(f"the rows after {rows[-1]['utterance_id']} are not synthesized yet")
    return gaps
