"""Speech with its phones and pitch known, from the statistical voices of Debian's `flite` library.

The library is spoken to through ctypes. Pitch is not left to it: what it predicts is rounded to a few steps for each
phone and rendered again from the rounded contour, so that audio and tokens say the same.

Source: Flite 2.2, Alan W Black and Kevin A. Lenzo; Clustergen, Interspeech 2006.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
FRAME_SECONDS = 0.02
TRACK_SECONDS = 0.005

F0Contour = Callable[[list[str], "NDArray[np.float64]", "NDArray[np.float32]"], "NDArray[np.float32]"]

_POINTER = ctypes.c_void_p
_AUDIO_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p
)
_STREAM_STOP = -1


class _Track(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("num_frames", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("times", ctypes.POINTER(ctypes.c_float)),
        ("frames", ctypes.POINTER(ctypes.POINTER(ctypes.c_float))),
    ]


class _Wave(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("features", _POINTER)]


class _Database(ctypes.Structure):
    """`cst_cg_db` as declared in cst_cg.h; only the spectral warp is of interest, the rest is copied along."""

    _fields_ = [
        ("name", _POINTER),
        ("types", _POINTER),
        ("num_types", ctypes.c_int),
        ("sample_rate", ctypes.c_int),
        ("f0_mean", ctypes.c_float),
        ("f0_stddev", ctypes.c_float),
        ("num_f0_models", ctypes.c_int),
        ("f0_trees", _POINTER),
        ("num_param_models", ctypes.c_int),
        ("param_trees", _POINTER),
        ("accent_tree", _POINTER),
        ("phrase_tree", _POINTER),
        ("num_channels", _POINTER),
        ("num_frames", _POINTER),
        ("model_vectors", _POINTER),
        ("num_channels_accent", ctypes.c_int),
        ("num_frames_accent", ctypes.c_int),
        ("accent_vectors", _POINTER),
        ("model_min", _POINTER),
        ("model_range", _POINTER),
        ("qtable", _POINTER),
        ("model_shape", ctypes.c_int),
        ("frame_advance", ctypes.c_float),
        ("num_dur_models", ctypes.c_int),
        ("dur_stats", _POINTER),
        ("dur_cart", _POINTER),
        ("phone_states", _POINTER),
        ("do_mlpg", ctypes.c_int),
        ("dynwin", _POINTER),
        ("dynwinsize", ctypes.c_int),
        ("mlsa_alpha", ctypes.c_float),
        ("mlsa_beta", ctypes.c_float),
        ("multimodel", ctypes.c_int),
        ("mixed_excitation", ctypes.c_int),
        ("ME_num", ctypes.c_int),
        ("ME_order", ctypes.c_int),
        ("me_h", _POINTER),
        ("spamf0", ctypes.c_int),
        ("gain", ctypes.c_float),
        ("phoneset", _POINTER),
        ("char_sym_map", _POINTER),
        ("sym_phone_map", _POINTER),
        ("freeable", ctypes.c_int),
    ]


class _StreamingInfo(ctypes.Structure):
    _fields_ = [
        ("min_buffsize", ctypes.c_int),
        ("asc", _AUDIO_CALLBACK),
        ("utt", _POINTER),
        ("item", _POINTER),
        ("userdata", _POINTER),
    ]


@dataclass(frozen=True, eq=False)
class Analysis:
    """What the library decided to say.

    Attributes:
        phones: CMU names, `pau` for a pause.
        words: (phones,) position of the word between white space that it belongs to, -1 for a pause.
        ends: (phones,) seconds.
        f0: (track frames,) Hz for each 5 ms, 0 where unvoiced.
        waveform: (samples,) float32 in [-1, 1], rendered from the given contour; empty where none was asked for.
    """

    phones: list[str]
    words: NDArray[np.int64]
    ends: NDArray[np.float64]
    f0: NDArray[np.float32]
    waveform: NDArray[np.float32]


@lru_cache(1)
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        for name in ("libflite_usenglish.so.1", "libflite_cmulex.so.1"):
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise SystemExit(f"{error}: the corpus is made with Debian's flite; run apt-get install libflite1") from error
    library.flite_init()
    for name in (
        "utt_relation",
        "relation_head",
        "item_next",
        "feat_val",
        "val_track",
        "val_cg_db",
        "flite_synth_text",
        "mlsa_resynthesis",
        "mlpg",
        "audio_streaming_info_val",
    ):
        getattr(library, name).restype = _POINTER
    library.flite_synth_text.argtypes = [ctypes.c_char_p, _POINTER]
    library.utt_relation.argtypes = [_POINTER, ctypes.c_char_p]
    library.relation_head.argtypes = library.item_next.argtypes = [_POINTER]
    for name in ("item_as", "item_parent", "item_feats"):
        getattr(library, name).restype = _POINTER
    library.item_as.argtypes = [_POINTER, ctypes.c_char_p]
    library.item_parent.argtypes = library.item_feats.argtypes = [_POINTER]
    library.item_feat_string.argtypes = library.item_feat_float.argtypes = [_POINTER, ctypes.c_char_p]
    library.item_feat_string.restype, library.item_feat_float.restype = ctypes.c_char_p, ctypes.c_float
    library.feat_val.argtypes = [_POINTER, ctypes.c_char_p]
    library.val_track.argtypes = library.val_cg_db.argtypes = [_POINTER]
    library.mlsa_resynthesis.argtypes = [_POINTER, _POINTER, _POINTER, _POINTER, ctypes.c_int]
    library.mlpg.argtypes, library.delete_track.argtypes = [_POINTER, _POINTER], [_POINTER]
    library.feat_set_float.argtypes = [_POINTER, ctypes.c_char_p, ctypes.c_float]
    library.feat_set.argtypes = [_POINTER, ctypes.c_char_p, _POINTER]
    library.feat_remove.argtypes = [_POINTER, ctypes.c_char_p]
    library.audio_streaming_info_val.argtypes = [_POINTER]
    library.delete_utterance.argtypes = library.delete_wave.argtypes = [_POINTER]
    return library


# Stopped at its first buffer, the library plans an utterance without rendering it.
_STOP = _AUDIO_CALLBACK(lambda *_: _STREAM_STOP)
_STREAMING = _StreamingInfo(256, _STOP, None, None, None)


@lru_cache
def _register(name: str) -> tuple[int, int]:
    """Return voice and features; once for each name, as the library hands out one object for all calls."""
    flite = _library()
    register = getattr(ctypes.CDLL(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
    register.restype = _POINTER
    voice = register(None)
    features = _Voice.from_address(voice).features
    flite.feat_set(features, b"streaming_info", flite.audio_streaming_info_val(ctypes.addressof(_STREAMING)))
    return voice, features


class FliteVoice:
    """One of flite's statistical voices.

    Args:
        name: slt, rms or awb.
        warp: added to the spectral warp of the mel cepstrum; above zero the formants fall, below they rise.
    """

    def __init__(self, name: str, warp: float = 0.0) -> None:
        self._flite = _library()
        self._voice, self._features = _register(name)
        source = self._flite.val_cg_db(self._flite.feat_val(self._features, b"cg_db"))
        self._database = _Database.from_buffer_copy(ctypes.string_at(source, ctypes.sizeof(_Database)))
        self._database.mlsa_alpha += warp

    def analyze(self, text: str, stretch: float, f0_of: F0Contour | None = None) -> Analysis:
        """Plan an utterance, and render it with a contour of one's own.

        Args:
            text: plain English.
            stretch: factor on all durations.
            f0_of: maps phones, their ends and the predicted track to the track to render with; None renders nothing.
        """
        flite = self._flite
        flite.feat_set_float(self._features, b"duration_stretch", stretch)
        utterance = flite.flite_synth_text(text.encode("ascii", "ignore"), self._voice)
        try:
            phones, words, ends = self._read_phones(utterance)
            features = ctypes.cast(utterance, ctypes.POINTER(_POINTER))[0]
            parameters = flite.val_track(flite.feat_val(features, b"param_track"))
            track = _Track.from_address(parameters)
            f0 = np.array([track.frames[index][0] for index in range(track.num_frames)], dtype=np.float32)
            waveform = np.zeros(0, np.float32)
            if f0_of is not None:
                f0 = f0_of(phones, ends, f0)
                smoothed = flite.mlpg(parameters, ctypes.addressof(self._database))
                track = _Track.from_address(smoothed)
                for index, value in enumerate(f0):
                    track.frames[index][0] = float(value)
                strengths = flite.val_track(flite.feat_val(features, b"str_track"))
                wave = flite.mlsa_resynthesis(smoothed, strengths, ctypes.addressof(self._database), None, 0)
                flite.delete_track(smoothed)
                content = _Wave.from_address(wave)
                samples = np.ctypeslib.as_array(content.samples, shape=(content.num_samples,))
                waveform = (samples / 32_768).astype(np.float32)
                flite.delete_wave(wave)
        finally:
            flite.delete_utterance(utterance)
        return Analysis(phones, words, ends, f0, waveform)

    def _read_phones(self, utterance: int) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
        flite = self._flite
        tokens: list[int] = []
        item = flite.relation_head(flite.utt_relation(utterance, b"Token"))
        while item:
            tokens.append(flite.item_feats(item))
            item = flite.item_next(item)
        phones, words, ends = [], [], []
        item = flite.relation_head(flite.utt_relation(utterance, b"Segment"))
        while item:
            phones.append(flite.item_feat_string(item, b"name").decode())
            ends.append(flite.item_feat_float(item, b"end"))
            words.append(self._find_token(item, tokens))
            item = flite.item_next(item)
        return phones, np.array(words), np.array(ends)

    def _find_token(self, segment: int, tokens: list[int]) -> int:
        """Climb from segment over syllable and word to the token; its feature table says which one it is."""
        flite = self._flite
        item = flite.item_as(segment, b"SylStructure")
        for _ in range(2):
            item = flite.item_parent(item) if item else None
        item = flite.item_as(item, b"Token") if item else None
        item = flite.item_parent(item) if item else None
        return tokens.index(flite.item_feats(item)) if item else -1
