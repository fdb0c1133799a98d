"""Every error this project raises on purpose, and what becomes of it.

    SynthesisError
    ├── ConfigError, ManifestError, WeightsError, SpeakerError   stop before work starts, exit 2
    ├── UtteranceError                                          becomes that row's rejection
    ├── StorageError                                            the unit is tried again, for a while; then as below
    │   └── StoreRefused (ObjectChanged, DamagedCommit)         stop, resumable, exit 3
    └── RunStopped (HangError, LeaseLost)                       stop, resumable, exit 3

A message gives the place, the value, what was expected and the remedy.
"""

from __future__ import annotations

from enum import StrEnum


class RejectionCode(StrEnum):
    """Why a row has no audio; the metadata's `error_code`."""

    EMPTY_TEXT = "empty_text"
    INVALID_TEXT = "invalid_text"
    TEXT_TOO_LONG = "text_too_long"
    UNKNOWN_SPEAKER = "unknown_speaker"
    INVALID_SPEAKER = "invalid_speaker"
    INVALID_ID = "invalid_id"
    DUPLICATE_ID = "duplicate_id"
    INVALID_SEED = "invalid_seed"
    UNSUPPORTED_LANGUAGE = "unsupported_language"
    NO_SPEECH = "no_speech"
    HIT_LENGTH_CAP = "hit_length_cap"
    TOO_FAST = "too_fast"
    TOO_SLOW = "too_slow"
    MOSTLY_SILENCE = "mostly_silence"
    CLIPPED = "clipped"
    NOISY = "noisy"
    LONG_PAUSE = "long_pause"
    CUT_SHORT = "cut_short"
    REPEATED = "repeated"
    WRONG_WORDS = "wrong_words"
    WRONG_VOICE = "wrong_voice"
    UNNATURAL = "unnatural"
    REPLICA_CRASH = "replica_crash"
    TIMED_OUT = "timed_out"
    INTERNAL_ERROR = "internal_error"


class SynthesisError(Exception):
    """Base of all errors raised on purpose; its text is written for the user."""


class ConfigError(SynthesisError):
    """A setting is unknown, malformed, out of range, or differs from the run being resumed."""


class ManifestError(SynthesisError):
    """The manifest cannot be read or has the wrong schema."""


class WeightsError(SynthesisError):
    """A model directory is missing, incomplete, or does not fit its config."""


class SpeakerError(SynthesisError):
    """A speaker's definition or reference audio cannot be used."""


class UtteranceError(SynthesisError):
    """One manifest row cannot be synthesized; the run records it and goes on.

    Args:
        code: what went wrong, for machines.
        message: what was found and expected, for people.
    """

    def __init__(self, code: RejectionCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[UtteranceError], tuple[RejectionCode, str]]:
        # Exceptions cross process borders by pickle, which would otherwise call us with one argument.
        return (type(self), (self.code, self.message))


class StorageError(SynthesisError):
    """The store failed for longer than the retries last; what is committed is safe."""


class StoreRefused(StorageError):
    """The store will not do what was asked, however often: rights, room, credentials, a name."""


class DamagedCommit(StoreRefused):
    """The store gave back a commit that is not Parquet."""


class ObjectChanged(StoreRefused):
    """An object that is in use was replaced, rewritten or deleted: what is read now may not fit what was read."""


class RunStopped(SynthesisError):
    """The run stopped early on purpose (lost its lease, too many rejections); it can be resumed."""


class HangError(RunStopped):
    """Something made no step for longer than it may, again and again; the text names its process and log."""
