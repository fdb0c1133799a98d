"""What weights were taught to read: languages, marks, lengths; declared by `text.yaml` in their directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.yaml_reader import read_yaml
from pipeline.errors import ConfigError, WeightsError

TEXT_SUPPORT_FILE = "text.yaml"
_OFFICIAL_LANGUAGES = ("en", "zh")
_EXPECTED = {
    "languages": "a list of ISO 639 codes such as [en, zh]",
    "marks": 'the marks in one string, such as ".,;!?\'-"',
    "max_segment_chars": "a number of at least 20",
    "needs_end_mark": "true or false",
}


@dataclass(frozen=True)
class TextSupport:
    """What weights can read.

    Attributes:
        languages: ISO 639-1 codes of the languages that they speak.
        marks: every punctuation mark that they were taught; None for all.
        max_segment_chars: the longest text that they were taught in one piece; None for no limit of their own.
        needs_end_mark: whether every text that they were taught ended in a mark, so that they do not know where to stop
            without one.
    """

    languages: tuple[str, ...] = _OFFICIAL_LANGUAGES
    marks: str | None = None
    max_segment_chars: int | None = None
    needs_end_mark: bool = False


def read_text_support(weights_dir: str | Path) -> TextSupport:
    """Read what the weights in a directory declare; without a declaration it is what the official weights can.

    Raises:
        WeightsError: the declaration is malformed.
    """
    path = Path(weights_dir) / TEXT_SUPPORT_FILE
    if not path.is_file():
        return TextSupport()
    return parse_text_support(path.read_text(encoding="utf-8"), str(path))


def parse_text_support(text: str, path: str) -> TextSupport:
    """Check a declaration.

    Args:
        text: YAML.
        path: of the file, for messages.

    Raises:
        WeightsError: it is malformed.
    """
    try:
        declared: Any = read_yaml(text, path)
    except ConfigError as error:
        raise WeightsError(str(error)) from None
    if not isinstance(declared, dict) or not declared:
        raise WeightsError(f"{path}: expected a mapping of {', '.join(_EXPECTED)}, found {declared!r:.80}")
    for key, value in declared.items():
        if key not in _EXPECTED:
            raise WeightsError(f"{path}: {key!r:.40} is unknown; expected {', '.join(_EXPECTED)}")
        if not _is_right(key, value):
            raise WeightsError(f"{path}: {key} is {value!r:.80}; expected {_EXPECTED[key]}")
    languages = declared.pop("languages", _OFFICIAL_LANGUAGES)
    return TextSupport(tuple(languages), **declared)


def _is_right(key: str, value: Any) -> bool:
    if key == "languages":
        return isinstance(value, list) and bool(value) and all(isinstance(c, str) and c.isalpha() for c in value)
    if key == "marks":
        return isinstance(value, str) and not any(c.isalnum() for c in value)
    if key == "needs_end_mark":
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 20
