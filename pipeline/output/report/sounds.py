"""What a page plays and draws without asking for a file: clips up to a number of bytes, then drawings of clips alone.

A page that was opened from a disk may play a file beside it, but not read it: waveform and spectrogram of such a clip
are drawn here. Of a clip in the page's data, or on a server, `report.js` draws them itself.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.clips import data_uri, decode_clip
from pipeline.errors import DamagedCommit
from pipeline.output.clip_reader import ClipReader
from pipeline.output.commit_log import map_ahead
from pipeline.output.report.data import PageData

DEFAULT_CLIPS_MB = 32
MAX_PICTURES = 2_000
WAVE_WIDTH, SPECTRUM_WIDTH, SPECTRUM_HEIGHT = 200, 100, 48
"""Of a drawing: columns of the waveform, columns and rows of the spectrogram; a byte each."""
_CHARS_IN_SCRIPT = 4_000_000
_MOST_LOST = 100
"""Clips that are not there, after which none is asked for: the audio may lie elsewhere altogether."""
_WINDOW = 512
_DEPTH_DB, _SILENCE_DB = 70.0, -30.0


@dataclass(frozen=True)
class SoundOf:
    """A row whose clip is wanted."""

    number: int
    """On the page."""
    unit_id: str
    record: Mapping[str, Any]
    """`row` and `audio_path`."""
    data: bytes | None = None
    """The clip, where it is at hand."""


class Sounds:
    """Clips and drawings on their way into a page's data.

    Args:
        clips: reads them.
        data: of the page.
        clip_bytes: of clips that may be in it.
    """

    def __init__(self, clips: ClipReader, data: PageData, clip_bytes: int) -> None:
        self._clips, self._data = clips, data
        self._bytes_left, self._pictures_left = clip_bytes, MAX_PICTURES
        self._waiting: dict[str, dict[int, str]] = {"clips": {}, "pictures": {}}
        self._most_of_a_clip = clip_bytes // 8
        self._asked: set[int] = set()
        self._num_lost = 0
        self._lock = Lock()

    def add(self, wanted: Iterable[SoundOf]) -> None:
        """Take clips as long as there is room; one that cannot be read is left to the page, which says so."""
        for number, data in map_ahead(self._read, self._while_room(wanted)):
            if data is None:
                self._num_lost += 1
                continue
            if len(data) <= self._bytes_left and len(data) <= self._most_of_a_clip:
                self._bytes_left -= len(data)
                self._keep("clips", number, data_uri(data))
                continue
            if len(data) <= self._most_of_a_clip or not self._pictures_left:
                self._bytes_left = 0  # Or all clips would be read, to find the few that fit.
            if self._pictures_left and (picture := _draw(data)) is not None:
                self._pictures_left -= 1
                self._keep("pictures", number, picture)

    def end(self) -> None:
        """Hand over what is left."""
        for kind in self._waiting:
            self._flush(kind)

    def _while_room(self, wanted: Iterable[SoundOf]) -> Iterator[SoundOf]:
        for sound in wanted:
            if self._num_lost > _MOST_LOST or not (self._bytes_left or self._pictures_left):
                return
            if sound.number not in self._asked:
                self._asked.add(sound.number)
                yield sound

    def _read(self, sound: SoundOf) -> tuple[int, bytes | None]:
        try:
            if sound.data is not None:
                return sound.number, sound.data
            if sound.record["audio_path"] is not None:
                return sound.number, self._clips.read(sound.unit_id, sound.record)
            with self._lock:  # The reader keeps the row group that it read last.
                return sound.number, self._clips.read(sound.unit_id, sound.record)
        except (FileNotFoundError, DamagedCommit):
            return sound.number, None

    def _keep(self, kind: str, number: int, text: str) -> None:
        waiting = self._waiting[kind]
        waiting[number] = text
        if sum(map(len, waiting.values())) >= _CHARS_IN_SCRIPT:
            self._flush(kind)

    def _flush(self, kind: str) -> None:
        if waiting := self._waiting[kind]:
            self._data.add(kind, waiting, of=list(waiting))
            self._waiting[kind] = {}


def _draw(data: bytes) -> str | None:
    """Return waveform and spectrogram of a clip as bytes in base64, or None where it is damaged."""
    try:
        samples = decode_clip(data).samples
    except ValueError:
        return None
    return base64.b64encode(draw_samples(samples).tobytes()).decode("ascii")


def draw_samples(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw a waveform and a spectrogram.

    Args:
        samples: (num_samples,) in [-1, 1].

    Returns:
        (WAVE_WIDTH + SPECTRUM_WIDTH * SPECTRUM_HEIGHT,): peaks as shares of the highest one, then levels column by
        column, low frequencies first, over the 70 dB below the loudest.
    """
    tops = np.array([np.abs(part).max(initial=0.0) for part in np.array_split(samples, WAVE_WIDTH)])
    padded = np.pad(samples, (0, max(0, _WINDOW - len(samples))))
    starts = np.linspace(0, len(padded) - _WINDOW, SPECTRUM_WIDTH).astype(int)
    frames = padded[starts[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames)[:, : _WINDOW // 2]) ** 2
    edges = np.linspace(0, _WINDOW // 2, SPECTRUM_HEIGHT, endpoint=False).astype(int)
    level_db = 10 * np.log10(np.add.reduceat(power, edges, axis=1) + 1e-12)
    shares = np.clip(1 + (level_db - max(level_db.max(), _SILENCE_DB)) / _DEPTH_DB, 0, 1)
    drawing = np.concatenate([tops / max(tops.max(), 1e-6), shares.ravel()])
    return np.asarray(np.rint(255 * drawing), np.uint8)
