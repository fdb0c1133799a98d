"""What others wrote, made fit to be shown: ids and titles must not steer a terminal or forge the lines of a log."""

from __future__ import annotations

import json
import re
from typing import Any

# Controls but tab and newline (ESC and the C1 range begin terminal sequences), what turns the writing direction, other
# line breaks, and halves of surrogate pairs, which no terminal can be sent.
_UNFIT = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROLS = re.compile(f"[{_UNFIT}]")
_CONTROLS_AND_BREAKS = re.compile(f"[{_UNFIT}\t\n]")


def printable(text: str) -> str:
    """Return a text of any number of lines, in which whatever steers a terminal is written as an escape."""
    return _CONTROLS.sub(_escape, text)


def one_line(text: str) -> str:
    """Return a text as one line: as `printable`, with tabs and line breaks written as escapes, too."""
    return _CONTROLS_AND_BREAKS.sub(_escape, text)


def in_script(text: str) -> str:
    """Return JSON, or a script's strings, with the same characters as escapes of both languages: it means the same.

    Some readers end a line of JSON at U+0085 or U+2028; a terminal that shows it obeys the controls from U+0080 on.
    """
    return _CONTROLS.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def to_json(value: Any, **options: Any) -> str:
    """Return a value as JSON that people read and programs cut into lines: letters as they are, no raw controls.

    Args:
        value: what `json.dumps` takes.
        options: its options, as `indent` and `default`.
    """
    return in_script(json.dumps(value, ensure_ascii=False, **options))


def without_controls(text: str) -> str:
    """Return a text as one line without what steers a terminal: for tags and subtitles, which people read."""
    return " ".join(_CONTROLS.sub(" ", text).split())


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
