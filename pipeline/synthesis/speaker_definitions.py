"""Who should speak: definitions, as people write them.

A definition names a reference recording, a style (gender, pitch, speed) or the global tokens themselves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from pipeline.config.printable import one_line
from pipeline.config.run import LimitsConfig, StorageConfig
from pipeline.config.secrets import has_credentials, redact, without_signature
from pipeline.config.settings import canonical_json
from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError, SpeakerError
from pipeline.manifest.parquet_limits import OverLimit, read_small_table
from pipeline.manifest.shards import DAMAGED_PARQUET
from pipeline.storage import read_bytes, split_uri

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
