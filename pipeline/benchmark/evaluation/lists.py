"""What is spoken in an evaluation: a list as seed-tts-eval has it, a manifest, or the weights' own voices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.printable import one_line
from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError, StorageError
from pipeline.manifest.rows import Manifest
from pipeline.storage import read_bytes

_FIELDS = (4, 5)
_MAX_PROBLEMS = 10
"""Wrong lines that are named."""
_LINE = "name|text of the prompt|its recording|text to say"
_MAX_LINES = 100_000
_UNIT_ROWS = 10_000


@dataclass(frozen=True)
class Item:
    """One utterance of an evaluation."""

    name: str
    text: str
    prompt_audio: str | None = None
    """A recording of the voice that should say it; None where a speaker of the weights does."""
    prompt_text: str | None = None
    speaker_id: str | None = None


def read_list(place: str, storage: StorageConfig) -> list[Item]:
    """Read a list of utterances.

    Args:
        place: a file with the lines of seed-tts-eval's `meta.lst` (name, text of the prompt, its recording, text to
            say, and perhaps a recording of that, which is not used), or a manifest of Parquet files.
        storage: how to reach it.

    Raises:
        ConfigError: a line or a row is wrong, or there is none.
    """
    if place.endswith((".lst", ".txt")):
        return _read_lines(place, storage)
    return _read_manifest(place, storage)


def _read_lines(place: str, storage: StorageConfig) -> list[Item]:
    try:
        text = read_bytes(place, storage).decode("utf-8-sig")
    except (OSError, StorageError) as error:
        raise ConfigError(f"{place}: cannot be read: {error}; correct --list") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    folder = place.rpartition("/")[0]
    items: dict[str, Item] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        parts = [part.strip() for part in line.split("|")]
        if parts == [""]:
            continue
        if len(parts) not in _FIELDS or not all(parts[index] for index in (0, 2, 3)):
            problems.append(f"{place}:{number}: expected {_LINE}, found {one_line(line):.80}")
            continue
        name, prompt_text, audio, said = parts[:4]
        if name in items:
            problems.append(
                f"{place}:{number}: the name {one_line(name):.80} stands on a line before; give each its own"
            )
        is_absolute = "://" in audio or Path(audio).is_absolute() or not folder
        items[name] = Item(name, said, audio if is_absolute else f"{folder}/{audio}", prompt_text or None)
        if len(items) > _MAX_LINES:
            raise ConfigError(f"{place}: more than {_MAX_LINES:,} lines; split it")
    if len(problems) > _MAX_PROBLEMS:
        problems[_MAX_PROBLEMS:] = [f"{place}: {len(problems) - _MAX_PROBLEMS:,} more lines are wrong"]
    if problems or not items:
        raise ConfigError("\n".join(problems) or f"{place}: holds no line; expected {_LINE}")
    return [*items.values()]


def _read_manifest(place: str, storage: StorageConfig) -> list[Item]:
    manifest = Manifest.open(place, storage)
    columns = ("utterance_id", "text", "speaker_id")
    items = [
        Item(str(row["utterance_id"]), str(row["text"]), speaker_id=str(row["speaker_id"]))
        for unit in manifest.plan(_UNIT_ROWS)
        for row in manifest.read_rows(unit, columns).to_pylist()
    ]
    if not items:
        raise ConfigError(f"{place}: holds no row")
    return items


def take_some(items: Sequence[Item], count: int | None) -> list[Item]:
    """Return so many items, spread evenly over the list, as lists are often sorted; None takes all."""
    if count is None or count >= len(items):
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]
