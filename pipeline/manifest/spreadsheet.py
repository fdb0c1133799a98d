"""Excel files (.xlsx): the values that are shown, not the formulas behind them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import IO, Any
from xml.parsers import expat

from pipeline.config.extras import need_extra
from pipeline.config.figures import apart
from pipeline.errors import ManifestError
from pipeline.manifest.tables import ROWS_AT_ONCE, Problems, Rows, Source, find_repeated

_MAX_COLUMNS, _MAX_ROWS = 16_384, 1_048_576
"""Of a sheet, in Excel."""
_CELL_BYTES, _OTHER_BYTES = 100, 2_000
"""Of memory, at least, that a cell or a shared text takes, and any other element that is read: a format, a name, ..."""


def read_spreadsheet(source: Source) -> Iterator[Rows]:
    """Yield the rows of a sheet: the only one that has cells, or `table.sheet`; its first row names the columns."""
    if find_spec("openpyxl") is None:
        raise ManifestError(need_extra(f"{source.uri}: Excel", "openpyxl", "excel"))
    data = _read_whole(source)
    import openpyxl

    try:
        # Twice: a formula whose value was never computed shows as an empty cell.
        values, formulas = (
            openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=data_only) for data_only in (True, False)
        )
        name = _choose_sheet(values, source)
        yield from _read_sheet(values[name], formulas[name], source)
    except ManifestError:
        raise
    except Exception as error:  # Its readers raise whatever a damaged file makes of them.
        raise source.error(
            f"not an Excel file that can be read ({type(error).__name__}: {str(error)[:100]}); save it as .xlsx or CSV "
            "without a password"
        ) from None


def _read_whole(source: Source) -> bytes:
    """Return the file's bytes, once it is known how much they unpack to."""
    limit_mb = source.limits.max_row_group_mb
    with source.open() as file:
        data = file.read(int(source.limits.max_file_mb * 1e6) + 1)
    if len(data) > source.limits.max_file_mb * 1e6:
        raise source.error(
            f"more than storage.limits.max_file_mb ({source.limits.max_file_mb:g}), which is read whole; save it as "
            "CSV, or raise it"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked_mb = sum(entry.file_size for entry in archive.infolist()) / 1e6
            if unpacked_mb <= limit_mb:
                for entry in archive.infolist():
                    with archive.open(entry) as part:
                        _PartCount(source).read(part)
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise source.error(
            f"not an Excel file of today ({str(error)[:100]}); an .xls, or one with a password? save it as .xlsx or CSV"
        ) from None
    if unpacked_mb > limit_mb:
        found, most = apart(unpacked_mb, limit_mb)
        raise source.error(f"unpacks to {found} MB, more than storage.limits.max_row_group_mb ({most}); save it as CSV")
    return data


class _PartCount:
    """Counts what a part of the file stands for, before it is read into memory: a few bytes may name the last cell."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._num_bytes = self._row = self._column = 0
        self._is_within = False

    def read(self, part: IO[bytes]) -> None:
        """Raise `ManifestError` if it is more than a sheet may hold, or than `storage.limits.max_row_group_mb`."""
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._begin, self._end
        try:
            parser.ParseFile(part)
        except expat.ExpatError:
            pass  # A picture; or what is read as XML and is none is reported then.

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if name == "row":
            self._is_within, self._column = True, 0
            self._add_row(_number(attributes.get("r"), self._row + 1))
        elif name == "c":
            self._add_cell(attributes.get("r", ""))
        elif name == "dimension":
            for corner in attributes.get("ref", "").split(":"):
                column, row = _split_place(corner)
                self._check_place(column, row)
        elif name == "si":
            self._is_within = True
        self._add(_CELL_BYTES if self._is_within else _OTHER_BYTES)

    def _end(self, tag: str) -> None:
        if tag.rpartition(":")[2] in ("row", "si"):
            self._is_within = False

    def _add_row(self, row: int) -> None:
        self._check_place(0, row)
        if row <= self._row:
            raise self._source.error(f"row {row:,} comes after row {self._row:,}; save it again with Excel, or as CSV")
        self._add(8 * max(0, row - self._row))  # Rows that are left out are read as empty ones.
        self._row = row

    def _add_cell(self, place: str) -> None:
        column = _split_place(place)[0] or self._column + 1
        self._check_place(column, 0)
        self._add(8 * max(0, column - self._column))  # So are cells.
        self._column = column

    def _check_place(self, column: int, row: int) -> None:
        if column > _MAX_COLUMNS or row > _MAX_ROWS:
            raise self._source.error(
                f"a cell in column {column:,} of row {row or self._row:,}; a sheet has {_MAX_COLUMNS:,} columns and "
                f"{_MAX_ROWS:,} rows; save it again with Excel, or as CSV"
            )

    def _add(self, num_bytes: int) -> None:
        self._num_bytes += num_bytes
        limit_mb = self._source.limits.max_row_group_mb
        if self._num_bytes > limit_mb * 1e6:
            raise self._source.error(
                f"a part of it takes more than {limit_mb:,g} MB of memory, which storage.limits.max_row_group_mb "
                "allows; save it as CSV, or raise it"
            )


def _number(text: str | None, default: int) -> int:
    """Return a row's number; one of more digits than any has is too large, whatever it is."""
    text = (text or "").strip()
    return int(text[:12]) if text[:12].isdecimal() and text.isascii() else default


def _split_place(place: str) -> tuple[int, int]:
    """Return column and row of a cell's place such as `$B$12`, 0 where it names none."""
    letters, digits = re.fullmatch(r"([A-Z]*)([0-9]*)(?s:.*)", place.replace("$", "").upper()).groups()  # type: ignore[union-attr]
    column = 0
    for letter in letters[:5]:
        column = 26 * column + ord(letter) - 64
    return column, _number(digits, 0)


def _choose_sheet(workbook: Any, source: Source) -> str:
    names = [sheet.title for sheet in workbook.worksheets]
    if source.table.sheet is not None:
        if source.table.sheet not in names:
            raise source.error(
                f"table.sheet: no sheet is called {source.table.sheet!r}; it has {', '.join(names)[:200]}"
            )
        return source.table.sheet
    filled = [sheet.title for sheet in workbook.worksheets if next(sheet.iter_rows(values_only=True), None)]
    if len(filled) > 1:
        raise source.error(
            f"has {len(filled)} sheets with cells ({', '.join(filled)[:200]}); name one with table.sheet"
        )
    if not filled:
        raise source.error("has no sheet with cells; expected the names of the columns, then a row for each utterance")
    return str(filled[0])


def _read_sheet(values: Any, formulas: Any, source: Source) -> Iterator[Rows]:
    problems, names, columns = Problems(source), source.table.header, list[int]()
    rows: list[Sequence[Any]] = []
    numbers: list[int] = []
    sheets = zip(values.iter_rows(values_only=True), formulas.iter_rows(values_only=True), strict=False)
    for number, (cells, behind) in enumerate(sheets, start=1):
        if all(cell is None for cell in behind):
            continue
        if names is None:
            columns = [at for at, cell in enumerate(cells) if cell is not None]
            names = tuple(str(cells[at]).strip() for at in columns)
            _check_names(names, number, source)
            continue
        columns = columns or list(range(len(names)))
        _check_cells(cells, behind, number, columns, names, problems)
        rows.append([cells[at] if at < len(cells) else None for at in columns])
        numbers.append(number)
        if len(rows) >= ROWS_AT_ONCE:
            yield _batch(rows, numbers, names)
            rows, numbers = [], []
    problems.check()
    if names is None:
        raise source.error("has no cells; expected the names of the columns, then a row for each utterance")
    yield _batch(rows, numbers, names)


def _batch(rows: Sequence[Sequence[Any]], numbers: Sequence[int], names: Sequence[str]) -> Rows:
    cells = zip(*rows, strict=True) if rows else ([] for _ in names)
    return Rows(dict(zip(names, map(list, cells), strict=True)), numbers, "row", is_typed=True)


def _check_names(names: Sequence[str], number: int, source: Source) -> None:
    source.check_columns(names)
    if (name := find_repeated(names)) is not None:
        raise source.error(f"row {number:,}: column {name!r} occurs {names.count(name)} times; rename all but one")


def _check_cells(
    cells: Sequence[Any],
    behind: Sequence[Any],
    number: int,
    columns: Sequence[int],
    names: Sequence[str],
    problems: Problems,
) -> None:
    from openpyxl.cell.cell import ERROR_CODES
    from openpyxl.utils import get_column_letter

    for at, (cell, formula) in enumerate(zip(cells, behind, strict=False)):
        place = f"cell {get_column_letter(at + 1)}{number}"
        if cell is None and formula is not None and at in columns:
            problems.add(
                f"{place}: the formula {str(formula)!r:.60} has no value; open and save the file in Excel, once"
            )
        elif isinstance(cell, str) and cell in ERROR_CODES:
            problems.add(f"{place}: {cell} in place of a value; mend the formula")
        elif cell is not None and at not in columns:
            head = f"a name in its first row, as for {', '.join(names)[:80]}"
            problems.add(f"{place}: {str(cell)!r:.60} stands in a column without {head}; name the column")
