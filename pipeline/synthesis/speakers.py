"""Who speaks: read definitions, and keep what enrollment made of each, unchanged, in `speakers.parquet`.

A definition names a reference recording, a style (gender, pitch, speed) or the global tokens themselves. Enrollment
turns it into the tokens that every prompt of the speaker repeats, so that the voice never drifts.
"""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from pipeline.config.printable import one_line
from pipeline.config.run import LimitsConfig, StorageConfig
from pipeline.config.secrets import has_credentials, redact, without_signature
from pipeline.config.settings import canonical_json
from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError, SpeakerError
from pipeline.llm.prompt import Voice
from pipeline.manifest.parquet_limits import OverLimit, read_small_table
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.output.voices import VOICE_COLUMNS, hash_voice
from pipeline.storage import read_bytes, split_uri

logger = logging.getLogger(__name__)

Level = Literal["very_low", "low", "moderate", "high", "very_high"]
Kind = Literal["reference", "created", "given"]
NOTE_FIELDS = ("license", "consent", "notes")
"""Of a definition: what says nothing of how the voice sounds."""


class SpeakerDefinition(BaseModel):
    """One speaker as the user wrote it; exactly one of the three kinds."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    speaker_id: str = Field(min_length=1, max_length=1_000)
    reference_audio: Annotated[str, Field(min_length=1)] | None = None
    """Path or URI of a recording, a path relative to the speakers file; its first 6 seconds make the voice."""
    reference_text: str | None = None
    """What the recording says."""
    gender: Literal["female", "male"] | None = None
    pitch: Level | None = None
    speed: Level | None = None
    language: Literal["en", "zh"] = "en"
    """Language of the one sentence that a created voice is made from."""
    global_tokens: tuple[int, ...] | None = None
    """32 ints, each in [0, 4096)."""
    license: str | None = None
    """Under which terms the voice may be used; like `consent` and `notes` kept with it, and free to change."""
    consent: str | None = None
    """Who agreed to its use, when, to what."""
    notes: str | None = None
    split: Literal["train", "validation", "test"] | None = None
    """Of a nightly data set: the only one whose texts the voice reads."""

    @model_validator(mode="after")
    def _check_one_kind(self) -> SpeakerDefinition:
        given = [
            name
            for name, is_given in (
                ("reference_audio", self.reference_audio is not None),
                ("gender, pitch, speed", bool(self.gender or self.pitch or self.speed)),
                ("global_tokens", self.global_tokens is not None),
            )
            if is_given
        ]
        if len(given) != 1:
            raise ValueError(
                "expected exactly one of reference_audio, global_tokens, or gender with pitch and speed; "
                f"found {' and '.join(given) or 'none'}"
            )
        if given == ["gender, pitch, speed"] and not self.gender:
            raise ValueError("a created voice needs gender: female or male (pitch and speed default to moderate)")
        if self.reference_audio is not None and has_credentials(self.reference_audio):
            raise ValueError(
                f"reference_audio: {redact(self.reference_audio)}: credentials in an address; take them out, and give "
                "a path or an address that needs none"
            )
        if self.reference_text is not None and self.reference_audio is None:
            raise ValueError("reference_text without reference_audio: a transcript needs its recording")
        return self

    _folder: str | None = PrivateAttr(None)
    """Of the speakers file, in which a relative path is looked up first."""

    def find_audio(self) -> str:
        """Return where the recording is: relative to the speakers file, else to the working folder."""
        audio = self.reference_audio or ""
        if self._folder is None or "://" in audio or audio.startswith(("/", "~")):
            return audio
        beside = f"{self._folder}/{audio}"
        return beside if "://" in beside or os.path.exists(beside) or not os.path.exists(audio) else audio

    @property
    def kind(self) -> Kind:
        """Which of the three ways defines the voice."""
        if self.reference_audio is not None:
            return "reference"
        return "given" if self.global_tokens is not None else "created"

    def canonical(self) -> str:
        """Return the definition as JSON, with defaults filled in: equal text means the same voice.

        The address of a recording is in it without what signs it: a signature is new each time, and a key.
        """
        left_out = {*NOTE_FIELDS, "split"}
        if self.kind != "created":
            left_out.add("language")
        fields = self.model_dump(exclude_none=True, exclude=left_out)
        if self.kind == "created":
            fields = {"pitch": "moderate", "speed": "moderate", **fields}
        if self.reference_audio is not None:
            fields["reference_audio"] = without_signature(self.reference_audio)
        return canonical_json(fields)


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


def read_definitions(uri: str, settings: StorageConfig) -> list[SpeakerDefinition]:
    """Read speaker definitions from a Parquet or YAML file.

    Args:
        uri: the file, local or in object storage. YAML is a list of mappings, or a mapping of id to mapping.
        settings: how to reach the store.

    Raises:
        SpeakerError: the file cannot be read, or a definition is wrong or double; lists every problem.
    """
    try:
        data = read_bytes(uri, settings)
    except (FileNotFoundError, IsADirectoryError):
        raise SpeakerError(f"{uri}: there is no such speakers file; set `speakers` to a Parquet or YAML file") from None
    except ValueError as error:
        raise SpeakerError(f"speakers: {error}; set `speakers` to a Parquet or YAML file") from None
    rows = _read_parquet(uri, data, settings.limits) if data[:4] == b"PAR1" else _read_yaml(uri, data)
    definitions: dict[str, SpeakerDefinition] = {}
    problems = []
    for number, row in enumerate(rows):
        place = f"  speaker {number} ({row.get('speaker_id')!r})" if isinstance(row, dict) else f"  speaker {number}"
        unknown = sorted(map(str, row.keys() - SpeakerDefinition.model_fields.keys())) if isinstance(row, dict) else []
        if unknown and data[:4] != b"PAR1":
            # Parquet may carry columns for others; in a file written by hand this is a typing error.
            problems.append(_describe_unknown(place, unknown))
            continue
        try:
            definition = SpeakerDefinition.model_validate(row)
        except ValidationError as error:
            problems += [f"{place}: {_problem(problem, _IN_QUOTES)}" for problem in error.errors()]
            continue
        if definition.speaker_id in definitions:
            problems.append(f"{place}: this speaker_id is defined twice")
        definition._folder = split_uri(uri)[0]
        definitions[definition.speaker_id] = definition
    if problems:
        raise SpeakerError(f"{uri}: {len(problems)} problem(s):\n" + "\n".join(problems[:20]))
    if not definitions:
        raise SpeakerError(f"{uri}: defines no speaker; add one with reference_audio, gender, or global_tokens")
    return list(definitions.values())


def make_definition(fields: Mapping[str, Any]) -> SpeakerDefinition:
    """Check the definition of one speaker, given in Python.

    Raises:
        SpeakerError: a field is wrong or unknown; lists every problem.
    """
    place = f"speaker {fields.get('speaker_id')!r}"
    fields = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in fields.items()}
    unknown = sorted(fields.keys() - SpeakerDefinition.model_fields.keys())
    if unknown:
        raise SpeakerError(_describe_unknown(place, unknown))
    try:
        return SpeakerDefinition.model_validate(fields)
    except ValidationError as error:
        raise SpeakerError("\n".join(f"{place}: {_problem(problem)}" for problem in error.errors())) from None


def _describe_unknown(place: str, names: Sequence[str]) -> str:
    known = ", ".join(SpeakerDefinition.model_fields)
    return f"{place}: unknown field(s) {one_line(', '.join(names))}; expected some of: {known}"


_IN_QUOTES = "; put it in quotes, as in '0012' or 'no'"
"""What to do in a file about a text that reads as a number."""


def _problem(problem: Any, for_a_text: str = "") -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    name = ".".join(str(part) for part in problem["loc"]) or "definition"
    if problem["type"] == "model_type":
        return f"expected a mapping with speaker_id and what the voice comes from, found {problem['input']!r:.60}"
    remedy = for_a_text if problem["type"] == "string_type" else ""
    found = f"{redact(repr(problem['input'])):.60}"
    return f"{name}: {problem['msg'][0].lower()}{problem['msg'][1:]}, got {found}{remedy}"


def _read_parquet(uri: str, data: bytes, limits: LimitsConfig) -> list[Any]:
    try:
        rows = read_small_table(data, limits).to_pylist()
    except OverLimit as error:
        raise SpeakerError(f"{uri}: {error}") from None
    except DAMAGED_PARQUET as error:
        raise SpeakerError(f"{uri}: not a readable Parquet file: {error}") from None
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _read_yaml(uri: str, data: bytes) -> list[Any]:
    try:
        content = read_yaml(data, uri)
    except ConfigError as error:
        raise SpeakerError(f"{error}; a speakers file is Parquet or YAML") from None
    if isinstance(content, dict):
        if not any(isinstance(fields, dict) for fields in content.values()) and "speaker_id" in content:
            raise SpeakerError(
                f"{uri}: is one speaker's definition; expected a list of them: put `- ` before its first line, and "
                "indent the others by two spaces"
            )
        content = [
            {"speaker_id": name, **fields} if isinstance(fields, dict) else fields for name, fields in content.items()
        ]
    if not isinstance(content, list):
        raise SpeakerError(f"{uri}: expected a list of speakers, or a mapping of speaker_id to its definition")
    return content
