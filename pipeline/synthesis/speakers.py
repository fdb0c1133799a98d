"""Who speaks: what enrollment made of each definition, kept unchanged in `speakers.parquet`.

Enrollment turns a definition into the tokens that every prompt of the speaker repeats, so that the voice never drifts.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.secrets import without_signature
from pipeline.config.settings import canonical_json
from pipeline.errors import SpeakerError
from pipeline.llm.prompt import Voice
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.output.voices import VOICE_COLUMNS, hash_voice
from pipeline.synthesis.speaker_definitions import NOTE_FIELDS, Kind, SpeakerDefinition

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speaker:
    """An enrolled speaker."""

    speaker_id: str
    voice: Voice
    kind: Kind
    definition: str
    """The definition's canonical JSON, to notice when it changes."""
    generation: int = 0
    """How often its voice was replaced by another."""
    license: str | None = None
    consent: str | None = None
    notes: str | None = None
    recording: Mapping[str, Any] | None = None
    """What was measured of the recording: the fields of `RecordingQuality`, `sample_rate` in Hz, and `doubts`, each
    what makes it a poor model of a voice. None of a voice without one, or where an older version enrolled it."""

    @property
    def doubts(self) -> Sequence[str]:
        """What makes the recording a poor model of a voice."""
        return self.recording["doubts"] if self.recording is not None else ()


_RECORDING = pa.struct(
    [
        ("duration_s", pa.float64()),
        ("noise_distance_db", pa.float64()),
        ("clipped_ratio", pa.float64()),
        ("silence_ratio", pa.float64()),
        ("sample_rate", pa.int32()),
        ("doubts", pa.list_(pa.string())),
    ]
)
_SCHEMA = pa.schema(
    [
        ("speaker_id", pa.string()),
        ("kind", pa.string()),
        ("global_tokens", pa.list_(pa.int32())),
        ("reference_text", pa.string()),
        ("reference_semantic_tokens", pa.list_(pa.int32())),
        ("gender", pa.string()),
        ("pitch", pa.string()),
        ("speed", pa.string()),
        ("pitch_value", pa.int32()),
        ("speed_value", pa.int32()),
        ("definition", pa.string()),
        ("generation", pa.int32()),
        *((name, pa.string()) for name in NOTE_FIELDS),
        ("recording", _RECORDING),
    ]
)

NOT_ENROLLED = -1
"""In the place of a generation: the speaker is defined, but could not be enrolled."""


class SpeakerRegistry(Mapping[str, Speaker]):
    """The enrolled speakers by id; never changed in place.

    Example:
        >>> registry = SpeakerRegistry.from_parquet(data)
        >>> registry["anna"].voice.global_tokens
    """

    def __init__(self, speakers: Iterable[Speaker] = ()) -> None:
        self._speakers = {speaker.speaker_id: speaker for speaker in speakers}

    def __getitem__(self, speaker_id: str) -> Speaker:
        return self._speakers[speaker_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._speakers)

    def __len__(self) -> int:
        return len(self._speakers)

    def add(self, speakers: Iterable[Speaker]) -> SpeakerRegistry:
        """Return a registry that has these speakers too, in the place of others with their ids."""
        return SpeakerRegistry([*self._speakers.values(), *speakers])

    def only(self, speaker_ids: Collection[str]) -> SpeakerRegistry:
        """Return a registry of these speakers alone, as far as they are enrolled."""
        return SpeakerRegistry(speaker for name, speaker in self._speakers.items() if name in speaker_ids)

    def missing(
        self, definitions: Iterable[SpeakerDefinition], replaced: Collection[str] = ()
    ) -> list[SpeakerDefinition]:
        """Return the definitions that are not enrolled yet.

        Args:
            definitions: of the speakers file.
            replaced: ids of speakers whose definition may be another than the enrolled one.

        Raises:
            SpeakerError: the definition of another enrolled speaker has changed.
        """
        new = []
        for definition in definitions:
            enrolled = self._speakers.get(definition.speaker_id)
            if enrolled is None:
                new.append(definition)
            elif definition.speaker_id in replaced:
                continue
            elif (before := _without_signatures(enrolled.definition)) != definition.canonical():
                raise SpeakerError(
                    f"speaker {definition.speaker_id!r} was enrolled as {before} and is now defined as "
                    f"{definition.canonical()}; a voice never changes within an output unless it is asked for: put "
                    "the old definition back to keep the voice, or run jobs.enroll --replace "
                    f"{definition.speaker_id}, which synthesizes this speaker's rows again"
                )
        return new

    def generations(self, definitions: Iterable[SpeakerDefinition], failed: Collection[str] = ()) -> dict[str, int]:
        """Return which voice each defined speaker has: the number of times that it was replaced.

        Together with the id it stands for the voice itself, which never changes otherwise within an output.

        Args:
            definitions: of the speakers file: nobody else may speak.
            failed: ids that could not be enrolled; they get `NOT_ENROLLED`, the others are taken for enrolled.
        """
        generations = {}
        for definition in definitions:
            enrolled = self._speakers.get(definition.speaker_id)
            if enrolled is not None:
                generations[definition.speaker_id] = enrolled.generation
            else:
                generations[definition.speaker_id] = NOT_ENROLLED if definition.speaker_id in failed else 0
        return generations

    def hash_voices(self) -> dict[str, str]:
        """Return a text for each speaker: the voice's generation and hash, whatever else is noted of the speaker."""
        return {name: hash_voice(speaker.generation, asdict(speaker.voice)) for name, speaker in self._speakers.items()}

    def with_notes(self, definitions: Iterable[SpeakerDefinition]) -> SpeakerRegistry:
        """Return a registry with the license, consent and notes that enrolled speakers have now."""
        notes = {definition.speaker_id: _notes_of(definition) for definition in definitions}
        return SpeakerRegistry(
            replace(speaker, **notes[name]) if name in notes else speaker for name, speaker in self._speakers.items()
        )

    def to_parquet(self) -> bytes:
        """Return the registry as a Parquet file, sorted by id."""
        rows = []
        for speaker_id in sorted(self._speakers):
            speaker = self._speakers[speaker_id]
            rows.append(
                {
                    "speaker_id": speaker_id,
                    "kind": speaker.kind,
                    "definition": speaker.definition,
                    "generation": speaker.generation,
                    **{name: getattr(speaker, name) for name in (*NOTE_FIELDS, "recording")},
                    **asdict(speaker.voice),
                }
            )
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink)
        return sink.getvalue()

    @classmethod
    def from_parquet(cls, data: bytes) -> SpeakerRegistry:
        """Read what `to_parquet` wrote.

        Raises:
            SpeakerError: the data is something else.
        """
        try:
            rows = pq.read_table(io.BytesIO(data)).to_pylist()
            return cls(_speaker_from_row(row) for row in rows)
        except (*DAMAGED_PARQUET, ValueError, KeyError, TypeError) as error:
            raise SpeakerError(
                f"speakers.parquet of the output is damaged: {error}; restore it from a backup"
            ) from None


def _without_signatures(definition: str) -> str:
    """Return a stored definition as it would be stored today: once, signatures were."""
    try:
        fields = json.loads(definition)
    except ValueError:
        return definition
    if isinstance(fields, dict) and isinstance(fields.get("reference_audio"), str):
        fields["reference_audio"] = without_signature(fields["reference_audio"])
    return canonical_json(fields)


def _speaker_from_row(row: Mapping[str, Any]) -> Speaker:
    fields = {name: row[name] for name in VOICE_COLUMNS}
    for name in ("global_tokens", "reference_semantic_tokens"):
        fields[name] = None if row[name] is None else tuple(row[name])
    notes = {name: row.get(name) for name in (*NOTE_FIELDS, "recording")}
    return Speaker(
        row["speaker_id"], Voice(**fields), row["kind"], row["definition"], row.get("generation") or 0, **notes
    )


def describe_recording(recording: Mapping[str, Any] | None) -> str:
    """Return what was measured of a speaker's recording, for a person; empty where there is nothing."""
    if recording is None:
        return ""
    return (
        f"recording of {recording['duration_s']:.1f} s at {recording['sample_rate']:,} Hz: "
        f"{recording['silence_ratio']:.0%} silent, "
        f"speech {recording['noise_distance_db']:.0f} dB above what is behind it, "
        f"{recording['clipped_ratio']:.2%} cut off at the peak"
    )


def report_doubts(speaker_id: str, doubts: Iterable[str]) -> None:
    """Say what is poor about a speaker's recording."""
    for doubt in doubts:
        logger.warning("speaker %r: %s; the voice may not be as expected", speaker_id, doubt)


def _notes_of(definition: SpeakerDefinition) -> dict[str, Any]:
    return {name: getattr(definition, name) for name in NOTE_FIELDS}
