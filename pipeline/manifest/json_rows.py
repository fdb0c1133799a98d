"""JSON Lines, and JSON files that hold one array of objects."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.manifest.tables import MAX_CHARS, ROWS_AT_ONCE, Problems, Rows, Source, find_repeated

_CHARS_AT_ONCE = 16_000_000
_BLOCK_CHARS = 1 << 20
_SPACE = re.compile(r"[\s\ufeff]*")


class _Twice(ValueError):
    """A name that an object has twice: one of the values would be lost."""


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _Twice(find_repeated([name for name, _ in pairs]))
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_no_name_twice, parse_constant=lambda name: None)
"""NaN and the infinities are no JSON, but written often: for what is missing."""


class _Objects:
    """Gathers objects into batches; a column that an object lacks is None there."""

    def __init__(self, source: Source, label: str) -> None:
        self._label = label
        self._rows: list[dict[str, Any]] = []
        self._numbers: list[int] = []
        self._num_chars = 0
        self.problems = Problems(source)

    def add(self, value: Any, number: int, num_chars: int) -> Rows | None:
        if not isinstance(value, dict):
            self.problems.add(f"{self._label} {number:,}: expected an object {{...}}, found {_kind(value)}")
            return None
        self._rows.append(value)
        self._numbers.append(number)
        self._num_chars += num_chars
        full = len(self._rows) >= ROWS_AT_ONCE or self._num_chars >= _CHARS_AT_ONCE
        return self.flush() if full else None

    def flush(self) -> Rows:
        names = dict.fromkeys(name for row in self._rows for name in row)
        self.problems.source.check_columns(names)
        columns = {name: [row.get(name) for row in self._rows] for name in names}
        rows = Rows(columns, self._numbers, self._label, is_typed=True, is_complete=False)
        self._rows, self._numbers, self._num_chars = [], [], 0
        return rows


def _kind(value: Any) -> str:
    kinds = {list: "an array", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")


def read_json(source: Source) -> Iterator[Rows]:
    """Yield the rows of a JSON file: an array of objects, or an object in each line."""
    with source.open() as raw:
        encoding = source.table.encoding or json.detect_encoding(raw.read(4))
        raw.seek(0)
        text = io.TextIOWrapper(raw, encoding)
        try:
            head = text.read(_BLOCK_CHARS)
            begin = head[_SPACE.match(head).end() :][:1]  # type: ignore[union-attr]
            if begin == "[" and source.suffix == ".json":
                yield from _read_array(source, text, head)
                return
            if begin == "{" and source.suffix == ".json":
                _refuse_one_object(source, head)
        except (UnicodeDecodeError, LookupError) as error:
            raise source.error(f"not {encoding.upper()} ({str(error)[:100]}); save it as UTF-8") from None
    yield from _read_lines(source, encoding)


def _refuse_one_object(source: Source, head: str) -> None:
    """Say so where a file holds one object over several lines, rather than one in each."""
    try:
        _DECODER.decode(head.lstrip("\ufeff").splitlines()[0])
    except json.JSONDecodeError:
        names = re.findall(r'^[ \t]{0,4}"([^"\n]{1,40})"\s*:', head, re.M)[:5]
        listed = f" with {', '.join(dict.fromkeys(names))}" if names else ""
        raise source.error(
            f"line 1: expected an array of objects [{{...}}, ...] or an object in each line, found one object{listed}; "
            "write the array that holds the rows into a file of its own"
        ) from None
    except ValueError:
        return  # Reported with its line.


def _read_lines(source: Source, encoding: str) -> Iterator[Rows]:
    objects = _Objects(source, "line")
    with source.open() as raw:
        number = 0
        while data := raw.readline(MAX_CHARS):
            number += 1
            if len(data) >= MAX_CHARS:
                raise source.error(f"line {number:,}: longer than {MAX_CHARS:,} bytes; expected an object in each line")
            if encoding.startswith(("utf-16", "utf-32")):
                raise source.error(f"{encoding.upper()}: expected UTF-8 in JSON Lines; save it as UTF-8")
            try:
                line = data.decode(encoding).strip("\ufeff \t\r\n")
                value = _DECODER.decode(line) if line else None
            except UnicodeDecodeError as error:
                objects.problems.add(f"line {number:,}: not {encoding.upper()} ({str(error)[:100]}); save it as UTF-8")
                continue
            except (ValueError, RecursionError) as error:
                objects.problems.add(f"line {number:,}{_explain(error)}")
                continue
            if line and (rows := objects.add(value, number, len(line))):
                yield rows
    objects.problems.check()
    yield objects.flush()


def _explain(error: Exception) -> str:
    if isinstance(error, _Twice):
        return f": {str(error)!r:.80} is there twice in one object; keep one"
    if isinstance(error, json.JSONDecodeError):
        return f", character {error.colno:,}: not JSON ({error.msg}); expected an object {{...}}"
    if isinstance(error, RecursionError):
        return ": nested too deep; expected an object of texts and numbers"
    return f": not JSON ({str(error)[:100]})"


def _read_array(source: Source, text: io.TextIOWrapper, head: str) -> Iterator[Rows]:
    """Read an array object by object; what was read already is given back piece by piece."""
    objects, buffer, at, number, line = _Objects(source, "object"), head, head.index("[") + 1, 0, 1
    line += head.count("\n", 0, at)
    separators = re.compile(r"[\s,]*")
    while True:
        end = separators.match(buffer, at).end()  # type: ignore[union-attr]
        if buffer[at:end].count(",") > 1:
            raise source.error(f"line {line:,}: not JSON (a comma too many in the array)")
        line += buffer.count("\n", at, end)
        at = end
        if buffer[at : at + 1] == "]":
            break
        try:
            value, end = _DECODER.raw_decode(buffer, at)
            if end == len(buffer):
                raise json.JSONDecodeError("cut", buffer, end)  # A number may go on; nothing does after the last value.
        except (ValueError, RecursionError) as error:
            more = text.read(_BLOCK_CHARS) if isinstance(error, json.JSONDecodeError) else ""
            if more and len(buffer) - at < MAX_CHARS:
                buffer, at = buffer[at:] + more, 0
                continue
            where = f"line {line:,}, object {number + 1:,}"
            if isinstance(error, json.JSONDecodeError):
                line += buffer.count("\n", at, error.pos)
                problem = "the array is never closed" if error.pos >= len(buffer) else f"not JSON ({error.msg})"
                raise source.error(f"line {line:,}, object {number + 1:,}: {problem}") from None
            raise source.error(f"{where}{_explain(error)}") from None
        number += 1
        if rows := objects.add(value, number, end - at):
            yield rows
        line += buffer.count("\n", at, end)
        at = end
        if at > _BLOCK_CHARS:
            buffer, at = buffer[at:], 0
    objects.problems.check()
    if (buffer[at + 1 :] + text.read(_BLOCK_CHARS)).strip():
        raise source.error(f"line {line:,}: more text after the end of the array; expected nothing")
    yield objects.flush()
