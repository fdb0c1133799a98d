"""Chapters out: a run's WAVs and metadata become one file a chapter, with the time of every sentence.

Needs neither Ray nor weights. One clip is held at a time, and the rows of one chapter: a first pass measures, a second
writes. A chapter depends on its own rows and settings alone, so that a new take of one sentence changes one chapter.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.chapter_formats import encode_audio, write_m4b
from pipeline.audio.clips import MAX_WAV_BYTES, decode_clip, to_pcm16
from pipeline.audio.loudness import Loudness, LoudnessMeter, check_acx, limit_peaks, quieten_noise
from pipeline.audio.samples import resample
from pipeline.books.reading_order import read_chapters
from pipeline.config.books import AssemblyConfig, check_libraries
from pipeline.config.run import StorageConfig
from pipeline.config.settings import canonical_json
from pipeline.errors import ConfigError, StorageError
from pipeline.manifest.rows import safe_file_name
from pipeline.output.commit_log import CommitLog
from pipeline.storage import Storage, open_storage

_FORMAT_VERSION = 1
_PEAK_MARGIN_DB = 0.1


@dataclass
class ChapterReport:
    """What became of a chapter. `problems` are rows that are missing; `acx` says where its limits are missed."""

    book_id: str
    chapter: int
    title: str
    state: Literal["made", "kept", "incomplete"]
    num_samples: int = 0
    sample_rate: int = 0
    loudness: Loudness | None = None
    problems: list[str] = field(default_factory=list)
    acx: list[str] = field(default_factory=list)


def assemble(
    output: str,
    to: str,
    config: AssemblyConfig,
    *,
    allow_missing: bool = False,
    covers: str | None = None,
    contents: str | None = None,
    settings: StorageConfig | None = None,
) -> Iterator[ChapterReport]:
    """Make the chapters of every book of a run, and yield each as it is done.

    A chapter whose files are there and whose rows and settings are the same is kept. Files are
    `<to>/<book_id>/<chapter>.wav`, `.flac`, `.opus`, `.mp3`, `.vtt`, `.json`, and `<to>/<book_id>/<book_id>.m4b`.

    Args:
        output: of the run, made from a manifest of `jobs.import_books` or one with the same columns.
        to: a folder or an object-store prefix; to a store a file goes in one piece.
        config: pauses, loudness, formats.
        allow_missing: make chapters without their rejected sentences.
        covers: folder or prefix of `<book_id>.jpg` or `.png`.
        contents: the manifest of `import_books`, whose contents say which rows a book has now; without it all rows of
            the run are read, in their order.
        settings: how to reach the store.

    Raises:
        ConfigError: there is no run, its rows belong to no book, or a library is not installed.
        StorageError: a store does not answer, or a WAV is not the one that was committed.
    """
    check_libraries()
    source, target = open_storage(output, settings), open_storage(to, settings)
    listed = open_storage(contents, settings) if contents is not None else None
    for book_id, chapters in read_chapters(source, listed):
        with tempfile.TemporaryDirectory() as work:
            assembler = _BookAssembler(source, target, safe_file_name(book_id), config, Path(work))
            for number, rows in chapters:
                yield assembler.make_chapter(number, rows, allow_missing)
            if "m4b" in config.formats:
                assembler.make_m4b(_read_cover(covers, book_id, settings))


def _read_cover(covers: str | None, book_id: str, settings: StorageConfig | None) -> bytes | None:
    if covers is None:
        return None
    storage = open_storage(covers, settings)
    path = next((path for path in (f"{book_id}.jpg", f"{book_id}.png") if storage.exists(path)), None)
    return storage.get(path) if path else None


class _BookAssembler:
    def __init__(self, source: Storage, target: Storage, name: str, config: AssemblyConfig, work: Path) -> None:
        self.source, self.target, self.name, self.config, self.work = source, target, name, config, work
        self.chapters: list[ChapterReport] = []
        self.title = self.author = ""

    def make_chapter(self, number: int, rows: Sequence[Mapping[str, Any]], allow_missing: bool) -> ChapterReport:
        """Make a chapter's files, or keep them where nothing changed."""
        first = rows[0]
        self.title, self.author = str(first["book_title"] or ""), str(first["author"] or "")
        report = ChapterReport(str(first["book_id"]), number, str(first["chapter_title"] or ""), "made")
        report.problems = _find_gaps(rows)
        spoken = [row for row in rows if row["status"] == "ok"]
        if not spoken or (report.problems and not allow_missing):
            report.state = "incomplete"
            return report
        inputs = self._fingerprint(spoken, report)
        stem = f"{self.name}/{number:03d}"
        known = self._read_known(stem, inputs)
        if known is not None:
            report.state, report.num_samples = "kept", known["num_samples"]
            report.sample_rate, report.loudness = known["sample_rate"], Loudness(**known["loudness"])
        else:
            self._make_files(stem, spoken, report, inputs)
        assert report.loudness is not None
        report.acx = check_acx(report.loudness)
        self.chapters.append(report)
        return report

    def _fingerprint(self, spoken: Sequence[Mapping[str, Any]], report: ChapterReport) -> str:
        kept = [
            [row[name] for name in ("utterance_id", "text", "speaker_id", "boundary", "audio_sha256")] for row in spoken
        ]
        settings = self.config.model_dump(exclude={"formats"})
        parts = [_FORMAT_VERSION, settings, report.title, self.title, self.author, report.problems, kept]
        return hashlib.sha256(canonical_json(parts).encode("utf-8", "surrogatepass")).hexdigest()

    def _chapter_formats(self) -> list[str]:
        # M4B is made from the chapters' WAVs, so they stay beside it.
        wanted = {"wav" if name == "m4b" else name for name in self.config.formats}
        return sorted(wanted)

    def _read_known(self, stem: str, inputs: str) -> dict[str, Any] | None:
        try:
            known: dict[str, Any] = json.loads(self.target.get(f"{stem}.json"))
        except (FileNotFoundError, ValueError):
            return None
        files = [f"{stem}.{suffix}" for suffix in (*self._chapter_formats(), "vtt")]
        return known if known.get("inputs_sha256") == inputs and all(map(self.target.exists, files)) else None

    def _make_files(self, stem: str, spoken: Sequence[Mapping[str, Any]], report: ChapterReport, inputs: str) -> None:
        rate = self.config.sample_rate or int(spoken[0]["sample_rate"])
        meter = LoudnessMeter(rate)
        for _, samples in self._stream(spoken, rate):
            meter.add(samples)
        gain_db = self._gain_db(meter.read())
        path = self.work / "chapter.wav"
        report.loudness, cues, report.num_samples = self._write_wav(path, spoken, rate, gain_db)
        report.sample_rate = rate
        for suffix in self._chapter_formats():
            encoded = path if suffix == "wav" else self.work / f"chapter.{suffix}"
            if suffix != "wav":
                encode_audio(path, encoded, {"title": report.title, "album": self.title, "artist": self.author})
        for suffix in self._chapter_formats():
            self._deliver(self.work / f"chapter.{suffix}", f"{stem}.{suffix}")
        self.target.put(f"{stem}.vtt", _write_vtt(cues, rate).encode())
        about = {
            "book_id": report.book_id, "book_title": self.title, "author": self.author, "chapter": report.chapter,
            "title": report.title, "sample_rate": rate, "num_samples": report.num_samples, "gain_db": round(gain_db, 4),
            "loudness": asdict(report.loudness), "missing": report.problems, "inputs_sha256": inputs, "sentences": cues,
        }  # fmt: skip
        # Last, as it is what says that the others are whole.
        self.target.put(f"{stem}.json", json.dumps(about, indent=1, ensure_ascii=False).encode("utf-8", "replace"))

    def _gain_db(self, found: Loudness) -> float:
        if self.config.target_rms_dbfs is not None:
            return self.config.target_rms_dbfs - found.rms_dbfs if found.rms_dbfs > -100 else 0.0
        return self.config.target_lufs - found.lufs if found.lufs > -100 else 0.0

    def _stream(
        self, spoken: Sequence[Mapping[str, Any]], rate: int
    ) -> Iterator[tuple[Mapping[str, Any] | None, NDArray[np.float32]]]:
        """Yield the clips with their rows, and the pauses between them without."""
        yield None, _silence(self.config.lead_in_s, rate)
        for index, row in enumerate(spoken):
            yield row, self._read_clip(row, rate)
            is_last = index + 1 == len(spoken)
            pause = self.config.lead_out_s if is_last else self.config.pause_s(str(row["boundary"]))
            yield None, _silence(pause, rate)

    def _read_clip(self, row: Mapping[str, Any], rate: int) -> NDArray[np.float32]:
        path = CommitLog.audio_path(row["shard"], row["utterance_id"], row["audio_sha256"])
        try:
            data = self.source.get(path)
        except FileNotFoundError:
            data = b""
        if hashlib.sha256(data).hexdigest() != row["audio_sha256"]:
            raise StorageError(
                f"{self.source.uri_of(path)}: {'changed' if data else 'missing'} since it was committed; "
                "run jobs.verify --repair"
            )
        clip = decode_clip(data)
        return resample(clip.samples.astype(np.float64), clip.sample_rate, rate).astype(np.float32)

    def _write_wav(
        self, path: Path, spoken: Sequence[Mapping[str, Any]], rate: int, gain_db: float
    ) -> tuple[Loudness, list[dict[str, Any]], int]:
        meter, cues, position = LoudnessMeter(rate), list[dict[str, Any]](), 0
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", "not compressed"))
            for row, samples in self._stream(spoken, rate):
                loud = (samples * np.float32(10 ** (gain_db / 20))).astype(np.float32)
                if row is not None and self.config.noise_gate_dbfs is not None:
                    loud = quieten_noise(loud, self.config.noise_gate_dbfs, rate)
                loud = limit_peaks(loud, self.config.max_peak_dbfs - _PEAK_MARGIN_DB, rate)
                steps = to_pcm16(loud)
                meter.add((steps / 32_768).astype(np.float32), is_pause=row is None)
                if row is not None:
                    cue = {name: row[name] for name in ("utterance_id", "speaker_id", "text")}
                    cues.append({**cue, "start_sample": position, "end_sample": position + steps.size})
                position += steps.size
                if 2 * position > MAX_WAV_BYTES:
                    raise ConfigError(
                        f"{self.name}: a chapter of over {position / rate / 3600:.0f} h; a WAV holds 4 GiB"
                    )
                file.writeframesraw(steps.tobytes())
        return meter.read(), cues, position

    def _deliver(self, path: Path, name: str) -> None:
        if "://" in self.target.uri:
            self.target.put(name, path.read_bytes())
            return
        # Beside its place first: a rename within a folder is whole or not at all.
        place = Path(self.target.uri_of(name))
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name}.part")
        shutil.copyfile(path, beside)
        beside.replace(place)

    def make_m4b(self, cover: bytes | None) -> None:
        """Make the book's file where a chapter changed."""
        name = f"{self.name}/{self.name}.m4b"
        if not self.chapters or (all(done.state == "kept" for done in self.chapters) and self.target.exists(name)):
            return
        parts: list[tuple[str, Path]] = []
        for done in self.chapters:
            stored = f"{self.name}/{done.chapter:03d}.wav"
            path = Path(self.target.uri_of(stored))
            if "://" in self.target.uri:
                path = self.work / f"{done.chapter:03d}.wav"
                path.write_bytes(self.target.get(stored))
            parts.append((done.title or f"Chapter {done.chapter}", path))
        made = self.work / "book.m4b"
        write_m4b(parts, made, {"title": self.title, "album": self.title, "artist": self.author}, cover)
        self._deliver(made, name)


def _silence(seconds: float, rate: int) -> NDArray[np.float32]:
    return np.zeros(round(seconds * rate), np.float32)


def _find_gaps(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tell which rows of a chapter have no audio, rejected or not synthesized yet."""
    gaps = [
        f"{row['utterance_id']}: "
        + ("not synthesized yet" if row["status"] == "missing" else f"rejected as {row['error_code']}")
        + f": {str(row['text'])[:60]}"
        for row in rows
        if row["status"] != "ok"
    ]
    expected = 0
    for row in rows:
        if row["position"] != expected:
            gaps.append(f"{row['position'] - expected} row(s) before {row['utterance_id']} are not synthesized yet")
        expected = row["position"] + 1
    if rows[-1]["boundary"] != "chapter":
        gaps.append(f"the rows after {rows[-1]['utterance_id']} are not synthesized yet")
    return gaps


def _write_vtt(cues: Sequence[Mapping[str, Any]], rate: int) -> str:
    lines = ["WEBVTT", ""]
    for number, cue in enumerate(cues, 1):
        times = " --> ".join(_vtt_time(cue[name], rate) for name in ("start_sample", "end_sample"))
        text = " ".join(str(cue["text"]).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        lines += [str(number), times, text, ""]
    return "\n".join(lines)


def _vtt_time(sample: int, rate: int) -> str:
    milliseconds = (2_000 * sample + rate) // (2 * rate)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1_000:02d}.{rest % 1_000:03d}"
