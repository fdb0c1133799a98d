"""What passes between the stages: scripts, takes, finished utterances, and the seeds that make a take repeatable.

Knows nothing of networks, Ray or storage, so that a writer can import it without torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.clips import Audio
from pipeline.audio.samples import join_segments, resample, set_level
from pipeline.config.run import AudioConfig, Config
from pipeline.errors import RejectionCode, UtteranceError
from pipeline.manifest.rows import Utterance
from pipeline.synthesis.listening import Hearing
from pipeline.text import Segment, normalize_text, split_into_segments


def utterance_seed(utterance: Utterance, run_seed: int) -> int:
    """Return the manifest's own seed, else one that follows from the run's seed and the id; in [0, 2**63)."""
    return utterance.seed if utterance.seed is not None else hash_seed(run_seed, utterance.utterance_id)


def segment_seed(seed: int, segment: int, take: int) -> int:
    """Return the seed of one take of one segment, in [0, 2**63)."""
    return hash_seed(seed, segment, take)


def hash_seed(*parts: int | str) -> int:
    """Mix integers and strings into a seed in [0, 2**63), the same on every machine and Python."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = str(part).encode("utf-8", "surrogatepass")
        # The length in front keeps ("ab", "c") and ("a", "bc") apart.
        digest.update(f"{type(part).__name__}{len(encoded)}:".encode())
        digest.update(encoded)
    return int.from_bytes(digest.digest(), "big") >> 1


@dataclass(frozen=True)
class Script:
    """An utterance ready to be synthesized: its segments and its seed."""

    utterance: Utterance
    language: str
    segments: tuple[Segment, ...]
    seed: int


def write_script(utterance: Utterance, speakers: Collection[str], config: Config, lexicon: Mapping[str, str]) -> Script:
    """Normalize an utterance and cut it into segments.

    Args:
        utterance: what to say, and who says it.
        speakers: ids of the enrolled voices.
        config: `text` and `seed` apply.
        lexicon: how to say certain words.

    Raises:
        UtteranceError: the row cannot be synthesized.
    """
    if utterance.speaker_id not in speakers:
        known = sorted(speakers)
        listed = ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
        raise UtteranceError(
            RejectionCode.UNKNOWN_SPEAKER,
            f"speaker {utterance.speaker_id!r:.80} is not enrolled; add it to the speakers file, or use one of: "
            f"{listed}",
        )
    settings = config.text
    normalized = normalize_text(
        utterance.text,
        language=utterance.language or settings.language,
        normalize=settings.normalize,
        lexicon=lexicon,
        max_chars=settings.max_text_chars,
    )
    segments = split_into_segments(
        normalized.text, normalized.language, max_chars=settings.max_segment_chars, max_s=settings.max_segment_s
    )
    return Script(utterance, normalized.language, tuple(segments), utterance_seed(utterance, config.seed))


@dataclass(frozen=True)
class Take:
    """Speech tokens of one segment that passed the checks made on tokens."""

    segment: int
    take: int
    """Counted from 0."""
    semantic_tokens: NDArray[np.int32]
    """(num_frames,), 50 a second."""
    global_tokens: tuple[int, ...]
    boundary: str
    """What follows the segment: clause, sentence or paragraph."""
    text: str
    """What it should say, spelled out."""
    language: str


@dataclass(frozen=True)
class Rejection:
    """Why an utterance has no audio."""

    code: RejectionCode
    message: str

    @classmethod
    def from_error(cls, error: UtteranceError) -> Rejection:
        """Keep what an error says."""
        return cls(error.code, error.message)


@dataclass
class UtteranceTakes:
    """What the LLM stage made of one manifest row: takes of the segments asked for, or a rejection."""

    row: int
    seed: int | None
    num_segments: int
    takes: list[Take] = field(default_factory=list)
    rejection: Rejection | None = None


@dataclass(frozen=True)
class SegmentAudio:
    """A decoded take that was judged by its sound."""

    segment: int
    take: int
    num_semantic_tokens: int
    boundary: str
    samples: NDArray[np.float32]
    """(num_frames * samples_per_frame,) at the model's rate."""
    rejection: Rejection | None
    """Why the take is not good enough, if so."""
    hearing: Hearing | None = None
    """What a listener heard in it, if one was asked."""


Wanted = Mapping[int, Mapping[int, int]]
"""Takes to make: row -> segment -> take. A row with no segments wants all of them, from take 0 on."""


def next_takes(audios: Sequence[tuple[int, SegmentAudio]], max_takes: int) -> dict[int, dict[int, int]]:
    """Return what must be taken again, by row and segment: the failed takes that have a next one."""
    wanted: dict[int, dict[int, int]] = {}
    for row, audio in audios:
        if audio.rejection is not None and audio.take + 1 < max_takes:
            wanted.setdefault(row, {})[audio.segment] = audio.take + 1
    return wanted


def describe_hearing(segments: Sequence[SegmentAudio]) -> dict[str, Any]:
    """Return the metadata of what was heard in an utterance.

    Args:
        segments: in reading order.

    Returns:
        `wer` and `cer` over all words and letters, `speaker_similarity` of the segment that is least like its voice,
        `recognized_text`, and in `quality_note` why something was not judged; None for what is not known.
    """
    hearings = [segment.hearing for segment in segments if segment.hearing is not None]
    readings = [hearing.reading for hearing in hearings if hearing.reading is not None]
    num_words = sum(reading.num_words for reading in readings)
    num_letters = sum(reading.num_letters for reading in readings)
    heard = [hearing.heard for hearing in hearings if hearing.heard is not None]
    return {
        "wer": sum(reading.num_word_errors for reading in readings) / num_words if num_words else None,
        "cer": sum(reading.num_letter_errors for reading in readings) / num_letters if num_letters else None,
        "speaker_similarity": min(
            (hearing.similarity for hearing in hearings if hearing.similarity is not None), default=None
        ),
        "recognized_text": " ".join(heard) if heard else None,
        "quality_note": next((hearing.note for hearing in hearings if hearing.note is not None), None),
    }


def finish_audio(segments: Sequence[SegmentAudio], model_rate: int, settings: AudioConfig) -> Audio:
    """Join the segments of an utterance with the pauses that their boundaries ask for.

    Args:
        segments: in reading order.
        model_rate: Hz of the segments' samples.
        settings: pauses, level and rate of the result.
    """
    pause_s = {
        "clause": settings.pause_clause_s,
        "sentence": settings.pause_sentence_s,
        "paragraph": settings.pause_paragraph_s,
    }
    pauses = [pause_s[segment.boundary] for segment in segments[:-1]]
    samples = join_segments([segment.samples for segment in segments], pauses, model_rate)
    if settings.sample_rate != model_rate:
        samples = resample(samples, model_rate, settings.sample_rate).astype(np.float32)
    if settings.target_rms_dbfs is not None:
        samples = set_level(samples, settings.target_rms_dbfs)
    return Audio(samples, settings.sample_rate)
