"""The sound of one chapter: its clips and pauses in a row, measured, brought to its loudness, written as a WAV.

One clip is held at a time: a first pass measures, a second writes.
"""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.clips import MAX_WAV_BYTES, decode_clip, to_pcm16
from pipeline.audio.loudness import Loudness, LoudnessMeter, limit_peaks, quieten_noise
from pipeline.audio.samples import resample
from pipeline.config.books import AssemblyConfig
from pipeline.errors import ConfigError, StorageError
from pipeline.output.clip_reader import ClipReader
from pipeline.storage import Storage

_PEAK_MARGIN_DB = 0.1
_SILENT_DB = -100.0


@dataclass(frozen=True)
class WrittenChapter:
    """What was written.

    Attributes:
        num_samples: of the WAV.
        gain_db: what the clips were turned up by.
        loudness: measured on the WAV.
        cues: id, speaker, text, first and last sample of each sentence.
    """

    num_samples: int
    gain_db: float
    loudness: Loudness
    cues: list[dict[str, Any]]


class ChapterAudio:
    """Joins the clips of a chapter.

    Args:
        source: the run's output.
        rows: those with audio, in reading order.
        sample_rate: Hz of the chapter.
        config: pauses and levels.
    """

    def __init__(
        self, source: Storage, rows: Sequence[Mapping[str, Any]], sample_rate: int, config: AssemblyConfig
    ) -> None:
        self._clips, self._rows, self._rate, self._config = ClipReader(source), rows, sample_rate, config

    def choose_gain_db(self) -> float:
        """Return what brings the clips to the wanted level; reads all of them."""
        meter = LoudnessMeter(self._rate)
        for _, samples in self._stream():
            meter.add(samples)
        found = meter.read()
        if self._config.target_rms_dbfs is not None:
            return self._config.target_rms_dbfs - found.rms_dbfs if found.rms_dbfs > _SILENT_DB else 0.0
        return self._config.target_lufs - found.lufs if found.lufs > _SILENT_DB else 0.0

    def write_wav(self, to: BinaryIO, gain_db: float) -> WrittenChapter:
        """Write the chapter.

        Args:
            to: an empty file that can seek.
            gain_db: of `choose_gain_db`.

        Raises:
            ConfigError: it is longer than a WAV can be.
            StorageError: a clip is not the one that was committed.
        """
        meter, cues, position = LoudnessMeter(self._rate), list[dict[str, Any]](), 0
        with wave.open(to, "wb") as file:
            file.setparams((1, 2, self._rate, 0, "NONE", "not compressed"))
            for row, samples in self._stream():
                steps = to_pcm16(self._bring_to_level(samples, gain_db, is_pause=row is None))
                meter.add((steps / 32_768).astype(np.float32), is_pause=row is None)
                if row is not None:
                    cue = {name: row[name] for name in ("utterance_id", "speaker_id", "text", "boundary")}
                    cues.append({**cue, "start_sample": position, "end_sample": position + steps.size})
                position += steps.size
                if 2 * position > MAX_WAV_BYTES:
                    raise ConfigError(
                        f"{self._rows[0]['book_id']}: a chapter of over {position / self._rate / 3600:.0f} h; a WAV "
                        "holds 4 GiB; cut the chapter in two, or lower sample_rate"
                    )
                file.writeframesraw(steps.tobytes())
        return WrittenChapter(position, gain_db, meter.read(), cues)

    def _bring_to_level(self, samples: NDArray[np.float32], gain_db: float, *, is_pause: bool) -> NDArray[np.float32]:
        loud = (samples * np.float32(10 ** (gain_db / 20))).astype(np.float32)
        if not is_pause and self._config.noise_gate_dbfs is not None:
            loud = quieten_noise(loud, self._config.noise_gate_dbfs, self._rate)
        return limit_peaks(loud, self._config.max_peak_dbfs - _PEAK_MARGIN_DB, self._rate)

    def _stream(self) -> Iterator[tuple[Mapping[str, Any] | None, NDArray[np.float32]]]:
        """Yield the clips with their rows, and the pauses between them without."""
        yield None, self._silence(self._config.lead_in_s)
        for index, row in enumerate(self._rows):
            yield row, self._read_clip(row)
            is_last = index + 1 == len(self._rows)
            yield (
                None,
                self._silence(self._config.lead_out_s if is_last else self._config.pause_s(str(row["boundary"]))),
            )

    def _silence(self, seconds: float) -> NDArray[np.float32]:
        return np.zeros(round(seconds * self._rate), np.float32)

    def _read_clip(self, row: Mapping[str, Any]) -> NDArray[np.float32]:
        try:
            data = self._clips.read(row["unit_id"], row)
        except FileNotFoundError:
            data = b""
        address = self._clips.address(row["unit_id"], row)
        if hashlib.sha256(data).hexdigest() != row["audio_sha256"]:
            raise StorageError(
                f"{address}: {'changed' if data else 'missing'} since it was committed; run jobs.verify --repair"
            )
        try:
            clip = decode_clip(data)
        except ValueError as error:
            raise StorageError(f"{address}: {error}; run jobs.redo for {row['utterance_id']}") from None
        return resample(clip.samples.astype(np.float64), clip.sample_rate, self._rate).astype(np.float32)
