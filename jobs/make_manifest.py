"""Make a manifest from a CSV or JSON Lines file: `python -m jobs.make_manifest LINES.csv --output FOLDER`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from jobs.console import EXIT_CODES, EXIT_OK, run_command, say
from jobs.guard import run_guarded
from jobs.options import CommandParser
from pipeline.errors import ManifestError
from pipeline.manifest.write_shards import write_shards

REQUIRED = ("utterance_id", "text", "speaker_id")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = CommandParser(
        prog="python -m jobs.make_manifest",
        description="Turn a CSV (.csv, .tsv) or JSON Lines (.jsonl) file into Parquet shards.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("lines", type=Path, help="file with columns utterance_id, text, speaker_id and any others")
    parser.add_argument("--output", required=True, help="folder for the shards; must be new or empty")
    parser.add_argument("--rows-per-shard", type=int, default=100_000, help="rows of each shard (default 100,000)")
    options = parser.parse_args(arguments)

    def make() -> int:
        table = read_lines(options.lines)
        if options.rows_per_shard < 1:
            raise ManifestError(f"--rows-per-shard {options.rows_per_shard}: expected at least 1")
        num_shards = write_shards(table, options.output, "--output", options.rows_per_shard)
        say(f"{table.num_rows:,} rows in {num_shards:,} shard(s) under {options.output}")
        return EXIT_OK

    return run_command(make)


def read_lines(path: Path) -> pa.Table:
    """Read a text table; ids, texts and speakers stay text even where they look like numbers.

    Raises:
        ManifestError: the file cannot be read or lacks a column.
    """
    if path.exists() and not path.is_file():  # Arrow waits for ever at a pipe into which nobody writes.
        raise ManifestError(f"{path}: expected a file, found a folder, a pipe or a device; write the lines to a file")
    as_text = dict.fromkeys((*REQUIRED, "language"), pa.string())
    try:
        if path.suffix == ".jsonl":
            options = pa.json.ParseOptions(
                explicit_schema=pa.schema(list(as_text.items())), unexpected_field_behavior="infer"
            )
            table = pa.json.read_json(path, parse_options=options)
        else:
            table = _read_csv(path, "\t" if path.suffix == ".tsv" else ",", as_text)
    except (OSError, pa.ArrowException) as error:
        raise ManifestError(
            f"{path}: cannot be read: {' '.join(str(error).split()):.300}; expected UTF-8, commas in .csv, tabs in "
            ".tsv, one JSON object a line in .jsonl, with the same types in every row"
        ) from None
    # A schema given to the JSON reader makes columns that the file never names.
    absent = [name for name in as_text if name in table.column_names and table[name].null_count == table.num_rows]
    table = table.drop_columns(absent if path.suffix == ".jsonl" else [])
    missing = [name for name in REQUIRED if name not in table.column_names]
    if missing:
        raise ManifestError(
            f"{path}: lacks the column(s) {', '.join(missing)}; it has {', '.join(table.column_names)}; expected "
            "commas in .csv, tabs in .tsv, one JSON object a line in .jsonl"
        )
    return table


def _read_csv(path: Path, delimiter: str, as_text: Mapping[str, pa.DataType]) -> pa.Table:
    """Read every column as text, but for whole numbers that are written as such: `0012` and `1.50` stay as they are."""
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with open(path, encoding="utf-8-sig", newline="", errors="replace") as file:
        names = next(csv.reader(file, delimiter=delimiter), [])
    text = {name: pa.string() for name in names} | dict(as_text)
    convert = pa.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
    table = pa.csv.read_csv(path, parse_options=parse, convert_options=convert)
    for at, name in enumerate(table.column_names):
        if name not in as_text and _holds_whole_numbers(table[name]):
            table = table.set_column(at, name, _to_numbers(table[name]))
    return table


def _holds_whole_numbers(column: pa.ChunkedArray) -> bool:
    """Tell whether numbers say all that the texts do: no leading zeros, signs or spaces; an empty text is no number."""
    filled = pc.filter(column, pc.not_equal(column, ""))
    return len(filled) > 0 and bool(pc.all(pc.match_substring_regex(filled, "^(0|-?[1-9][0-9]{0,17})$")).as_py())


def _to_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column), pa.int64())


if __name__ == "__main__":
    sys.exit(run_guarded(main))
