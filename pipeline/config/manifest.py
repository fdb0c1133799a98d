"""How a manifest is read: which of its columns is which, who speaks where nobody is named, how its text is cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.config.settings import Settings, check_settings, setting

ColumnName = Annotated[str, Field(min_length=1)]
REQUIRED_COLUMNS = ("utterance_id", "text", "speaker_id")
OWN_COLUMNS = (*REQUIRED_COLUMNS, "seed", "language")
"""Of every manifest; all others are passed through."""


class ColumnsConfig(Settings):
    """Which columns of the manifest are read as what. Written as a mapping, or as a plain list: that of `keep`."""

    utterance_id: ColumnName | None = setting(None)
    """The column that holds the ids; None takes `utterance_id`, and makes ids where there is none."""
    text: ColumnName | None = setting(None)
    """The column that holds what to say; None takes `text`."""
    speaker_id: ColumnName | None = setting(None)
    """The column that holds who says it; None takes `speaker_id`, or `default_speaker` where there is none."""
    seed: ColumnName | None = setting(None)
    """The column of seeds; None takes `seed`."""
    language: ColumnName | None = setting(None)
    """The column of languages; None takes `language`."""
    keep: tuple[ColumnName, ...] | None = setting(None)
    """Other columns that the metadata passes through; None takes all. The first start pins names and types, so that
    all nights are one table."""

    @property
    def sources(self) -> dict[str, str]:
        """The columns that were named, by what they are."""
        named = {name: getattr(self, name) for name in OWN_COLUMNS}
        return {name: column for name, column in named.items() if column is not None}


class TableConfig(Settings):
    """How CSV, text and Excel files of a manifest are read; other forms say so themselves."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = setting(None)
    """Between the cells of a line of a CSV file; None finds it out: comma, semicolon, tab or `|`."""
    quoting: Literal["standard", "none"] = setting("standard")
    """`standard`: cells with delimiters or line ends stand in double quotes. `none`: quotes mean nothing."""
    encoding: str | None = setting(None)
    """Such as `latin-1` or `utf-16-le`; None takes UTF-8, or what a byte order mark says."""
    header: tuple[ColumnName, ...] | None = setting(None)
    """Names of the columns where the first line is a row already; None takes the first line for the names."""
    sheet: str | None = setting(None)
    """Name of the sheet of an Excel file; None takes the only one that has cells."""


@dataclass(frozen=True)
class Reading:
    """All that says how a manifest is read."""

    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    default_speaker: str | None = None
    table: TableConfig = field(default_factory=TableConfig)


class _ReadingConfig(Settings):
    columns: ColumnsConfig = ColumnsConfig()
    default_speaker: Annotated[str, Field(min_length=1)] | None = None
    table: TableConfig = TableConfig()


def parse_reading(raw: Mapping[str, Any], source: str) -> Reading:
    """Check the settings of a config that say how its manifest is read; raises ConfigError as `parse_config`."""
    if "columns" in raw:
        raw = {**raw, "columns": accept_plain_columns(raw["columns"])}
    found = check_settings(_ReadingConfig, raw, source)
    return Reading(found.columns, found.default_speaker, found.table)


def recorded_reading(config: Mapping[str, Any], source: str) -> Reading:
    """Return how the manifest of a recorded config is read; raises ConfigError where no version wrote the record."""
    names = _ReadingConfig.model_fields
    return parse_reading({name: config[name] for name in names if config.get(name) is not None}, source)


def accept_plain_columns(raw: Any) -> Any:
    """Turn the plain list of `columns` into a mapping."""
    return {"keep": raw} if isinstance(raw, list | tuple) else {} if raw is None else raw
