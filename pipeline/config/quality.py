"""When a take is good enough: the limits it is judged by, how often it is tried, who listens."""

from __future__ import annotations

from typing import Literal

from pipeline.config.settings import Address, Settings, setting

QUALITY_LIMITS = (
    "min_pace",
    "max_pace",
    "max_silence_ratio",
    "max_clipped_ratio",
    "max_wer",
    "max_cer",
    "max_missing",
    "max_extra",
    "min_heard",
    "max_heard",
    "min_similarity",
    "max_pause_s",
    "min_naturalness",
    "max_background_db",
)
"""Of `quality`: free to change, as rows are judged again from what is on record of them."""

_LOOSE = {"max_wer": 0.75, "max_cer": 0.5}
_LIMITS_OF_RECOGNIZER = {"whisper": {"max_wer": 1.0, "max_cer": 0.35}}
"""Measured on takes that were spoiled on purpose, see docs/quality.md."""


class QualityConfig(Settings):
    """When a take is good enough, and what happens when it is not."""

    max_takes: int = setting(3, changes="audio", ge=1, le=20)
    """Takes of a segment before its utterance is rejected; each take has its own seed."""
    choose: Literal["first_good", "best_of"] = setting("first_good", changes="audio", new=True)
    """`first_good` keeps a segment's first take that is good enough. `best_of` makes `best_of` takes of each and keeps
    the one with the fewest wrong words, then the most natural one; more are made only if none is good enough."""
    best_of: int = setting(4, changes="audio", new=True, ge=2, le=20)
    """Takes of each segment with `choose: best_of`."""
    min_pace: float = setting(0.65, ge=0.0)
    """Slowest plausible pace, as a share of the expected one; below it a take is `too_slow`. Lower it for voices that
    speak slowly."""
    max_pace: float = setting(2.5, gt=0.0)
    """Fastest plausible pace, as a multiple of the expected one; above it a take is `too_fast`."""
    length_cap_factor: float = setting(3.0, changes="audio", ge=1.0)
    """The cap on new tokens, as a multiple of the estimated speaking time."""
    length_cap_extra_s: float = setting(2.0, changes="audio", ge=0.0)
    """Added to the cap, so that short texts have room."""
    max_silence_ratio: float = setting(0.8, gt=0.0, le=1.0)
    """Largest share of 20 ms frames under -50 dBFS; above it a take is `mostly_silence`."""
    max_clipped_ratio: float = setting(0.001, gt=0.0, le=1.0)
    """Largest share of samples at full scale, or at whatever level the take is cut off; above it a take is
    `clipped`."""
    asr: Literal["none", "pocketsphinx", "whisper"] = setting("none", changes="audio")
    """The recognizer that hears every take (`pocketsphinx`: English only; extra `asr`. `whisper`: the languages of its
    model; extra `whisper`), in a stage of its own: `replicas.listener`. Voice and pauses are judged with it."""
    asr_model: Address | None = setting(None)
    """The model of `whisper`: a name such as `tiny.en` or `large-v3`, a directory, `hf://owner/name` or an object-store
    address; the content is pinned, not the path."""
    max_wer: float | None = setting(None, gt=0.0)
    """Most word errors, as a share of the text's words; above it a take has `wrong_words`. None takes what was measured
    for the recognizer: 0.75 with `pocketsphinx`, 1 with `whisper`, whose
    wrong words sound alike: see `max_cer`."""
    max_cer: float | None = setting(None, gt=0.0)
    """Most letter errors, as a share of the text's letters; above it a take has `wrong_words`. None takes what was
    measured for the recognizer: 0.5 with `pocketsphinx`, 0.35 with `whisper`."""
    max_missing: float = setting(0.05, ge=0.0, le=1.0)
    """Most words of the text that were not said, as a share; above it a take has `wrong_words`. Only `whisper` hears
    well enough for it."""
    max_extra: float = setting(0.05, ge=0.0)
    """Most words said that the text does not have, as a share of its words; above it a take has `wrong_words`. Only
    `whisper` hears well enough for it."""
    min_heard: float = setting(0.82, ge=0.0, le=1.0)
    """Fewest letters heard, as a share of the text's; below it a take is `cut_short`."""
    max_heard: float = setting(1.15, ge=1.0)
    """Most letters heard, as a share of the text's; above it a take is `repeated`."""
    min_similarity: float = setting(0.5, ge=-2.0, le=1.0)
    """Least likeness of the voice heard, 1 for the same global tokens, 0 for any; below it a take is `wrong_voice`.
    Differs between checkpoints: measure yours with `python -m jobs.benchmark quality`."""
    max_pause_s: float = setting(1.0, gt=0.0)
    """Longest silence inside a segment, in seconds; above it a take has a `long_pause`."""
    max_background_db: float = setting(-22.0, le=0.0)
    """Loudest background: how far a take's quietest moments are under its loud ones, in dB; above it a take is `noisy`.
    Takes under one second are not judged; 0 lets all pass."""
    naturalness: Literal["none", "dnsmos"] = setting("none", changes="audio", new=True)
    """Rate how natural every take sounds, from 1 to 5: `dnsmos` is the overall score of DNSMOS P.835 (extra
    `naturalness`). With or without a recognizer."""
    min_naturalness: float = setting(1.0, ge=1.0, le=5.0)
    """Lowest such score; below it a take is `unnatural`. 1 lets all pass: voices differ, measure yours."""
    stop_above_rejected: float = setting(0.2, gt=0.0, le=1.0)
    """The run stops (exit 3) once more than this share of rows is rejected; 1 never stops. Judged while it works, of
    the rows of this start, and at its end, of all rows: then without `_SUCCESS`."""
    stop_after_rows: int = setting(500, ge=1)
    """Rows to see before `stop_above_rejected` may act while the run works; at its end it acts on any number."""

    @property
    def listens(self) -> bool:
        """Whether takes are heard: then there are listeners, see `replicas.listener`."""
        return self.asr != "none" or self.naturalness != "none"

    def without_effect(self) -> list[str]:
        """Say of each setting that is not as by default, and that nobody looks at, what it needs."""
        missing = {
            "quality.asr": ("max_wer", "max_cer", "min_heard", "max_heard", "max_missing", "max_extra")
            if self.asr == "none"
            else (),
            "quality.asr or quality.naturalness": ("min_similarity", "max_pause_s", "max_background_db")
            if not self.listens
            else (),
            "quality.naturalness": ("min_naturalness",) if self.naturalness == "none" else (),
            "quality.choose: best_of": ("best_of",) if self.choose != "best_of" else (),
        }
        fields = type(self).model_fields
        return [
            f"quality.{name} has no effect without {needed}"
            for needed, names in missing.items()
            for name in names
            if getattr(self, name) != fields[name].default
        ]

    @property
    def num_first_takes(self) -> int:
        """Takes of each segment that are made whatever they are like."""
        return self.best_of if self.choose == "best_of" else 1

    @property
    def most_takes(self) -> int:
        """Takes of a segment, none of them good enough, after which its utterance is rejected."""
        return max(self.max_takes, self.num_first_takes)

    def limits(self) -> dict[str, float]:
        """Return the limits by which takes are judged."""
        return {name: self.limit(name) for name in QUALITY_LIMITS}

    def limit(self, name: str) -> float:
        """Return one of `QUALITY_LIMITS`; where it is None, that of the recognizer."""
        value = getattr(self, name)
        return float(_LIMITS_OF_RECOGNIZER.get(self.asr, _LOOSE)[name] if value is None else value)
