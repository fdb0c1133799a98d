"""What passes between the stages: scripts, takes, judged audio, and what an utterance came to over all its retakes.

Here, too: the seeds of takes, and which takes are made again.

Knows nothing of networks, Ray or storage, so that a writer can import it without torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.clips import Audio
from pipeline.audio.samples import AudioStats, join_segments, resample, set_level
from pipeline.config.run import AudioConfig, Config, TextConfig
from pipeline.errors import RejectionCode, UtteranceError
from pipeline.manifest.rows import Utterance, hash_seed, utterance_seed
from pipeline.output.records import TakeFacts
from pipeline.synthesis.listening import Hearing
from pipeline.text import (
    Segment,
    TextSupport,
    Unread,
    describe_unread,
    end_with_mark,
    estimate_seconds,
    normalize_text,
    split_into_segments,
    use_known_marks,
)


def segment_seed(seed: int, segment: int, take: int) -> int:
    """Return the seed of one take of one segment, in [0, 2**63)."""
    return hash_seed(seed, segment, take)


@dataclass(frozen=True)
class Script:
    """An utterance ready to be synthesized: its segments and its seed."""

    utterance: Utterance
    language: str
    segments: tuple[Segment, ...]
    seed: int
    unread: tuple[Unread, ...] = ()
    """What of the text is not spoken, or was not taught to the weights."""

    @property
    def spoken_text(self) -> str:
        """What is sent to the model: the segments' texts in reading order, joined by a space."""
        return " ".join(segment.text for segment in self.segments)


def write_script(
    utterance: Utterance,
    speakers: Collection[str],
    config: Config,
    lexicon: Mapping[str, str],
    support: TextSupport,
    slowness: float = 1.0,
) -> Script:
    """Normalize an utterance and cut it into segments.

    Args:
        utterance: what to say, and who says it.
        speakers: ids of the enrolled voices.
        config: `text` and `seed` apply.
        lexicon: how to say certain words.
        support: what the weights were taught to read.
        slowness: of the voice, see `Voice.slowness`; segments are as much shorter, and expected to take as long.

    Raises:
        UtteranceError: the row cannot be synthesized.
    """
    if utterance.speaker_id not in speakers:
        known = sorted(speakers)
        near = difflib.get_close_matches(utterance.speaker_id.strip().casefold(), known, n=1)
        listed = ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
        raise UtteranceError(
            RejectionCode.UNKNOWN_SPEAKER,
            f"speaker {utterance.speaker_id!r:.80} is not enrolled"
            + (f"; did you mean {near[0]!r}? Else" if near else ";")
            + f" add it to the speakers file, or use one of: {listed}",
        )
    settings = config.text
    normalized = normalize_text(
        utterance.text,
        language=utterance.language or settings.language,
        normalize=settings.normalize,
        lexicon=lexicon,
        max_chars=settings.max_text_chars,
        footnote_marks=settings.footnote_marks == "read",
        known_languages=settings.languages or support.languages,
    )
    _check_language(normalized.language, settings, support)
    segments = split_into_segments(
        use_known_marks(normalized.text, support.marks),
        normalized.language,
        max_chars=min(settings.max_segment_chars, support.max_segment_chars or settings.max_segment_chars),
        max_s=settings.max_segment_s / slowness,
    )
    if support.needs_end_mark:
        segments = [_end_with_mark(segment, normalized.language, support.marks) for segment in segments]
    segments = [replace(segment, estimated_s=segment.estimated_s * slowness) for segment in segments]
    seed = utterance_seed(utterance, config.seed)
    return Script(utterance, normalized.language, tuple(segments), seed, normalized.unread)


def _end_with_mark(segment: Segment, language: str, known: str | None) -> Segment:
    text = end_with_mark(segment.text, known, goes_on=segment.boundary == "clause")
    return replace(segment, text=text, estimated_s=estimate_seconds(text, language))


def _check_language(language: str, settings: TextConfig, support: TextSupport) -> None:
    spoken = settings.languages or support.languages
    if settings.other_languages == "reject" and language not in spoken:
        raise UtteranceError(
            RejectionCode.UNSUPPORTED_LANGUAGE,
            f"the text's language is {language}, but the weights speak {', '.join(spoken)}; name its language"
            " if it was mistaken, list in text.languages what finetuned weights speak, or set text.other_languages to"
            " pass",
        )


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
    estimated_s: float = 0.0
    """Expected speaking time."""


@dataclass(frozen=True)
class Rejection:
    """Why an utterance has no audio."""

    code: RejectionCode
    message: str

    @classmethod
    def from_error(cls, error: UtteranceError) -> Rejection:
        """Keep what an error says."""
        return cls(error.code, error.message)

    def of_take(self, segment: int, take: int) -> Rejection:
        """Return it with the place of the take that it is about."""
        return Rejection(self.code, f"segment {segment + 1}, take {take + 1}: {self.message}")


@dataclass
class UtteranceTakes:
    """What the LLM stage made of one manifest row: takes of the segments asked for, or a rejection."""

    row: int
    seed: int | None
    num_segments: int
    """Of the whole utterance; 0 where it could not be cut into segments."""
    language: str | None = None
    """That it was spoken in; None where it did not come to that."""
    spoken_text: str | None = None
    """See `Script.spoken_text`; None where it did not come to that."""
    text_note: str | None = None
    """What of the text was not spoken, if anything."""
    takes: list[Take] = field(default_factory=list)
    rejection: Rejection | None = None
    num_takes: int = 0
    """That were made, good or not."""

    @classmethod
    def of_script(cls, row: int, script: Script) -> UtteranceTakes:
        """Begin the takes of a script."""
        note = describe_unread(script.unread)
        return cls(row, script.seed, len(script.segments), script.language, script.spoken_text, note)


@dataclass(frozen=True)
class Verdict:
    """What was heard in a decoded take, and whether it is good enough."""

    hearing: Hearing
    rejection: Rejection | None


@dataclass(frozen=True)
class SegmentAudio:
    """A decoded take that was judged by its sound."""

    segment: int
    take: int
    num_semantic_tokens: int
    boundary: str
    samples: NDArray[np.float32]
    """(num_frames * samples_per_frame,)."""
    sample_rate: int
    """Hz of the samples: the model's."""
    rejection: Rejection | None
    """Why the take is not good enough, if so."""
    hearing: Hearing | None = None
    """What a listener heard in it, if one was asked."""
    stats: AudioStats | None = None
    """How loud it is."""
    estimated_s: float = 0.0
    """Expected speaking time."""
    similarity: float | None = None
    """Of its voice and the one that was asked for, where somebody listens."""

    def after(self, verdict: Verdict | None) -> SegmentAudio:
        """Return it as it was judged by ear; as it is where nobody listened."""
        return self if verdict is None else replace(self, hearing=verdict.hearing, rejection=verdict.rejection)

    @property
    def rank(self) -> tuple[int, float, int, int]:
        """What decides between takes that are good enough, the least first: words, naturalness, letters, take."""
        hearing = self.hearing
        reading = None if hearing is None else hearing.reading
        naturalness = None if hearing is None else hearing.naturalness
        num_word_errors, num_letter_errors = (
            (0, 0) if reading is None else (reading.num_word_errors, reading.num_letter_errors)
        )
        return num_word_errors, -(naturalness or 0.0), num_letter_errors, self.take

    def measures(self) -> dict[str, Any]:
        """Return what gates judged of it, as the metadata keeps it; see `SEGMENT_TYPE`."""
        found: dict[str, Any] = {
            "take": self.take,
            "estimated_s": self.estimated_s,
            "num_semantic_tokens": self.num_semantic_tokens,
        }
        if self.stats is not None:
            found |= {"silence_ratio": self.stats.silence_ratio, "clipped_ratio": self.stats.clipped_ratio}
        if self.hearing is not None:
            found |= asdict(self.hearing.contour)
            found |= {"similarity": self.hearing.similarity, "naturalness": self.hearing.naturalness}
            found |= {} if self.hearing.reading is None else asdict(self.hearing.reading)
        return found


Wanted = Mapping[int, Mapping[int, int]]
"""Takes to make: row -> segment -> take. A row with no segments wants all of them, from the first takes on."""


def next_takes(audios: Sequence[tuple[int, SegmentAudio]], max_takes: int) -> dict[int, dict[int, int]]:
    """Return what must be taken again, by row and segment: the next take of segments of which no take is good enough.

    Args:
        audios: takes that were judged together, with their rows.
        max_takes: of a segment.
    """
    groups: dict[tuple[int, int], list[SegmentAudio]] = {}
    for row, audio in audios:
        groups.setdefault((row, audio.segment), []).append(audio)
    wanted: dict[int, dict[int, int]] = {}
    for (row, segment), takes in groups.items():
        following = max(audio.take for audio in takes) + 1
        if following < max_takes and all(audio.rejection is not None for audio in takes):
            wanted.setdefault(row, {})[segment] = following
    return wanted


def recorded_takes(record: Mapping[str, Any] | None) -> Mapping[int, int]:
    """Return the takes that make a committed utterance's audio once more, by segment; none means all from take 0 on.

    Args:
        record: `status`, `num_segments`, `take` and `segments` of its commit, if there is one.
    """
    if record is not None and record["status"] == "ok" and record.get("segments"):
        return {segment: found["take"] for segment, found in enumerate(record["segments"])}
    # Commits of older formats record the highest take alone: of a single segment it is the one to make, as it may be a
    # later one on request; several segments are made from take 0 on, as the run did.
    if record is None or record["status"] != "ok" or record["num_segments"] != 1:
        return {}
    return {0: record["take"] or 0}


@dataclass
class UtteranceOutcome:
    """What became of one utterance: all that the stages made of it, over its retakes.

    Of each segment the best take counts among those that are good enough, see `SegmentAudio.rank`, else the last one.

    Example:
        >>> outcome = UtteranceOutcome()
        >>> outcome.add_takes(takes)
        >>> outcome.add_audio(audio)
        >>> outcome.finish(config.audio).write("a.wav")
    """

    seed: int | None = None
    """None where the row was refused before it had one."""
    num_segments: int = 0
    language: str | None = None
    spoken_text: str | None = None
    text_note: str | None = None
    num_takes: int = 0
    """That were made, of all segments, good or not."""
    _failure: Rejection | None = field(default=None, init=False)
    _takes: dict[int, dict[int, SegmentAudio]] = field(default_factory=dict, init=False)

    def add_takes(self, made: UtteranceTakes) -> None:
        """Take in what the LLM stage made of it; the first failure counts."""
        self.seed, self.num_segments = made.seed, made.num_segments
        self.language, self.spoken_text, self.text_note = made.language, made.spoken_text, made.text_note
        self.num_takes += made.num_takes
        self._failure = self._failure or made.rejection

    def add_audio(self, audio: SegmentAudio) -> None:
        """Take in a decoded take."""
        self._takes.setdefault(audio.segment, {})[audio.take] = audio

    def reject(self, rejection: Rejection) -> None:
        """Refuse the utterance, unless it failed before."""
        self._failure = self._failure or rejection

    @property
    def segments(self) -> list[SegmentAudio]:
        """The take of each segment that counts, in reading order."""
        return [_choose(self._takes[index]) for index in sorted(self._takes)]

    @property
    def last_take(self) -> int:
        """The highest take of all segments, of those that count."""
        return max((segment.take for segment in self.segments), default=0)

    @property
    def rejection(self) -> Rejection | None:
        """Why it has no audio; None where it has."""
        if self._failure is not None:
            return self._failure
        # In reading order, not in that of decoding, which depends on the utterance's neighbors.
        for segment in self.segments:
            if segment.rejection is not None:
                return segment.rejection
        if not self._takes or len(self._takes) != self.num_segments:
            return Rejection(RejectionCode.INTERNAL_ERROR, "no stage returned this row's audio; please report it")
        return None

    def facts(self) -> TakeFacts:
        """Return what the metadata says of it, whether it was accepted or not.

        `wer` and `cer` are over all words and letters, `speaker_similarity` is that of the segment that is least like
        its voice, `naturalness` that of the least natural one, and `quality_note` tells what was not spoken, and why
        something was not judged.
        """
        hearings = [segment.hearing for segment in self.segments if segment.hearing is not None]
        readings = [hearing.reading for hearing in hearings if hearing.reading is not None]
        num_words = sum(reading.num_words for reading in readings)
        num_letters = sum(reading.num_letters for reading in readings)
        similarities = [hearing.similarity for hearing in hearings if hearing.similarity is not None]
        unjudged = next((hearing.note for hearing in hearings if hearing.note is not None), None)
        notes = [note for note in (self.text_note, unjudged) if note is not None]
        heard = [hearing.heard for hearing in hearings if hearing.heard is not None]
        ratings = [hearing.naturalness for hearing in hearings if hearing.naturalness is not None]
        return TakeFacts(
            seed=self.seed,
            num_segments=self.num_segments,
            take=self.last_take,
            language=self.language,
            spoken_text=self.spoken_text,
            wer=sum(reading.num_word_errors for reading in readings) / num_words if num_words else None,
            cer=sum(reading.num_letter_errors for reading in readings) / num_letters if num_letters else None,
            speaker_similarity=min(similarities, default=None),
            naturalness=min(ratings, default=None),
            recognized_text=" ".join(heard) if heard else None,
            num_takes=self.num_takes,
            quality_note="; ".join(notes) or None,
            segments=[segment.measures() for segment in self.segments] or None,
        )

    def finish(self, settings: AudioConfig) -> Audio:
        """Join the segments, with the pauses, level and rate that the settings ask for.

        Raises:
            UtteranceError: it was rejected.
        """
        rejection = self.rejection
        if rejection is not None:
            raise UtteranceError(rejection.code, rejection.message)
        return finish_audio(self.segments, settings)


def _choose(takes: Mapping[int, SegmentAudio]) -> SegmentAudio:
    """Return the best of a segment's takes that are good enough, whatever their order; else the last one."""
    good = [audio for audio in takes.values() if audio.rejection is None]
    return min(good, key=lambda audio: audio.rank) if good else takes[max(takes)]


def finish_audio(segments: Sequence[SegmentAudio], settings: AudioConfig) -> Audio:
    """Join the segments of an utterance with the pauses that their boundaries ask for.

    Args:
        segments: in reading order, at least one.
        settings: pauses, level and rate of the result.
    """
    model_rate = segments[0].sample_rate
    pauses = [settings.pause_s(segment.boundary) for segment in segments[:-1]]
    samples = join_segments([segment.samples for segment in segments], pauses, model_rate)
    if settings.sample_rate != model_rate:
        samples = resample(samples, model_rate, settings.sample_rate).astype(np.float32)
    if settings.target_rms_dbfs is not None:
        samples = set_level(samples, settings.target_rms_dbfs)
    return Audio(samples, settings.sample_rate)
