"""CSV files with any delimiter, and text with a row in each line."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from typing import IO

from pipeline.manifest.tables import MAX_CHARS, Problems, RowBuffer, Rows, Source, find_repeated

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Before that of UTF-16, which it begins with.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BY_SUFFIX = {".tsv": "\t", ".tab": "\t", ".psv": "|"}
_DELIMITERS = ",;\t|"
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "'|'"}
_SAMPLE_CHARS = 65_536
_ZERO_BYTE = (
    "holds a zero byte, as if the text were UTF-16; set table.encoding to utf-16-le (or utf-16-be), or save it as UTF-8"
)


def read_text_lines(source: Source) -> Iterator[Rows]:
    """Yield a row for each line of a text that is not blank, with the one column `text`."""
    buffer = RowBuffer(source.table.header or ("text",))
    for number, line in _lines(source):
        text = line.strip()
        if text and (rows := buffer.add((text,), number)):
            yield rows
    yield buffer.flush()


def read_delimited(source: Source) -> Iterator[Rows]:
    """Yield the rows of a CSV file. Its first line names the columns, unless `table.header` does."""
    delimiter = _find_delimiter(source)
    problems = Problems(source)
    records = _records(source, delimiter)
    if source.table.header is not None:
        names: Sequence[str] = source.table.header
    else:
        first = next(records, None)
        if first is None:
            raise source.error("is empty; expected a line with the names of the columns, then a row in each line")
        names = [name.strip() for name in first[1]]
    buffer = RowBuffer(_unique(names, source))
    for number, cells in records:
        if len(cells) != len(names):
            problems.add(_describe_ragged(number, cells, names, delimiter, source))
        elif rows := buffer.add(cells, number):
            yield rows
    problems.check()
    yield buffer.flush()


def _describe_ragged(number: int, cells: Sequence[str], names: Sequence[str], delimiter: str, source: Source) -> str:
    first = " | ".join(cells)[:80]
    head = "table.header has" if source.table.header is not None else "the first line has"
    return (
        f"line {number:,}: {len(cells)} cell(s), but {head} {len(names)} ({', '.join(names)[:80]}), with the delimiter "
        f"{_NAMES.get(delimiter, repr(delimiter))}: {first!r}; put a cell that holds the delimiter into double quotes, "
        "or set table.delimiter"
    )


def _unique(names: Sequence[str], source: Source) -> Sequence[str]:
    source.check_columns(names)
    name = find_repeated(names)
    if name is not None:
        places = ", ".join(str(at + 1) for at, other in enumerate(names) if other == name)
        what = f"column {name!r}" if name else "a column without a name"
        raise source.error(f"line 1: {what} occurs {names.count(name)} times, as column {places}; rename all but one")
    return names


def _records(source: Source, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each record that is not blank, with the number of its first line."""
    last = 0

    def count_lines() -> Iterator[str]:
        nonlocal last
        for number, line in _lines(source):
            last = number
            yield line

    csv.field_size_limit(MAX_CHARS)
    reader = _reader(count_lines(), source, delimiter)
    first = 1
    try:
        for cells in reader:
            if cells and any(cells):
                yield first, cells
            first = last + 1
    except csv.Error as error:
        raise source.error(_explain(error, first, last)) from None


def _reader(lines: Iterator[str], source: Source, delimiter: str, *, strict: bool = True) -> Iterator[list[str]]:
    if source.table.quoting == "none":
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=strict)
    return csv.reader(lines, delimiter=delimiter, strict=strict)


def _explain(error: csv.Error, first: int, last: int) -> str:
    if "unexpected end of data" in str(error) or "field larger" in str(error):
        return (
            f"line {first:,}: a double quote opens a cell and is never closed; close it, or set table.quoting to none "
            "if quotes are characters like any other"
        )
    place = f"line {first:,}" if first >= last else f"lines {first:,} to {last:,}"
    return (
        f"{place}: not a record of CSV ({error}); a cell that begins with a double quote ends with one, and those "
        "within are doubled; or set table.quoting to none if quotes are characters like any other"
    )


def _find_delimiter(source: Source) -> str:
    """Return the delimiter that cuts the first lines into as many cells each, more than one."""
    if source.table.delimiter is not None:
        return source.table.delimiter
    sample, num_chars = [], 0
    for _, line in _lines(source):
        sample.append(line)
        num_chars += len(line)
        if num_chars >= _SAMPLE_CHARS:
            break
    found = {delimiter: _count_cells(sample, source, delimiter) for delimiter in _DELIMITERS}
    given = _BY_SUFFIX.get(source.suffix)
    if given is not None and found[given]:
        return given
    best = max(found, key=lambda delimiter: found[delimiter])  # Of equal ones the first.
    return best if found[best] else given or ","


def _count_cells(sample: list[str], source: Source, delimiter: str) -> tuple[float, int] | tuple[()]:
    """Return the share of lines that have as many cells as the first, and that number; nothing where it is one."""
    counts: list[int] = []
    try:
        counts.extend(len(cells) for cells in _reader(iter(sample), source, delimiter, strict=False) if cells)
    except csv.Error:
        pass  # The sample may end within quotes.
    if not counts or counts[0] == 1:
        return ()
    return counts.count(counts[0]) / len(counts), counts[0]


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text with their numbers, however they end; decoded as they are read."""
    number = 0
    with source.open() as raw:
        encoding = _find_encoding(raw, source)
        # Line ends stay as they are: within quotes they are part of a cell.
        text = io.TextIOWrapper(raw, encoding, newline="")
        try:
            while line := text.readline(MAX_CHARS):
                number += 1
                if len(line) >= MAX_CHARS:
                    raise source.error(f"line {number:,}: longer than {MAX_CHARS:,} characters; cut it into rows")
                if "\0" in line:
                    raise source.error(f"line {number:,}: {_ZERO_BYTE}")
                yield number, line
        except UnicodeDecodeError as error:
            raise source.error(_locate(source, encoding, number, error)) from None


def _find_encoding(raw: IO[bytes], source: Source) -> str:
    head = raw.read(4)
    raw.seek(0)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    encoding = source.table.encoding
    if encoding is None:
        return marked or "utf-8"
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise source.error(
            f"table.encoding: no encoding is called {encoding!r}; expected utf-8, latin-1, cp1252, utf-16-le, ..."
        ) from None
    return "utf-8-sig" if marked == "utf-8-sig" and codecs.lookup(encoding).name == "utf-8" else encoding


def _locate(source: Source, encoding: str, number: int, error: UnicodeDecodeError) -> str:
    """Say where a text cannot be decoded; the file is read again up to there, as its decoder works by blocks."""
    if b"\0" in error.object:
        return f"line {number + 1:,}: {_ZERO_BYTE}"
    place = f"after line {number:,}"
    found = error.object[error.start : error.start + 1].hex()
    if encoding.startswith("utf-8"):
        with source.open() as raw:
            for at, line in enumerate(iter(lambda: raw.readline(4 * MAX_CHARS), b""), start=1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as there:
                    column = len(line[: there.start].decode("utf-8", "replace")) + 1
                    place, found = f"line {at:,}, character {column:,}", line[there.start : there.start + 1].hex()
                    break
    return (
        f"{place}: the byte 0x{found} is not {encoding.removesuffix('-sig').upper()}; save the file as UTF-8, or name "
        "its encoding with table.encoding, such as latin-1 or cp1252"
    )
