"""Manifests of every form: what they say, row by row, and how what is wrong with them is reported."""

import bz2
import datetime
import gzip
import json
import lzma
import re
import zipfile
from pathlib import Path

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.manifest import ColumnsConfig, Reading, TableConfig
from pipeline.config.run import StorageConfig
from pipeline.errors import ManifestError, ObjectChanged
from pipeline.manifest.rows import Manifest
from pipeline.manifest.tables import read_table
from pipeline.storage import open_storage

openpyxl = pytest.importorskip("openpyxl")
ROWS = [
    {"utterance_id": "1", "text": 'Hello, "you";\nall.', "speaker_id": "ada"},
    {"utterance_id": "a/b ☃", "text": "Grüße|\tdir.", "speaker_id": "007"},
]


def reading(speaker: str | None = None, table: dict | None = None, **columns: object) -> Reading:
    return Reading(ColumnsConfig(**columns), speaker, TableConfig(**(table or {})))


def read(path: Path, how: Reading | None = None) -> list[dict]:
    manifest = Manifest.open(str(path), None, how)
    return [row for unit in manifest.plan(10_000) for row in manifest.read_rows(unit).to_pylist()]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_excel(path: Path, rows: list[list[object]]) -> Path:
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.active.append(row)
    workbook.save(path)
    return path


def refusal(path: Path, how: Reading | None = None) -> str:
    with pytest.raises(ManifestError) as caught:
        Manifest.open(str(path), None, how)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_csv_as_pandas_writes_it(tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = tmp_path / "lines.csv"
    pandas.DataFrame(ROWS).to_csv(path, sep=delimiter, encoding=encoding, index=False)
    assert read(path) == ROWS


@pytest.mark.parametrize(
    ("name", "pack"), [("l.jsonl", bytes), ("l.json.gz", gzip.compress), ("l.ndjson.bz2", bz2.compress)]
)
def test_json_lines_packed_or_not(tmp_path: Path, name: str, pack: object) -> None:
    lines = "".join(json.dumps(row) + "\n\n" for row in ROWS)
    assert read(write(tmp_path / name, pack(lines.encode()))) == ROWS


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_objects(tmp_path: Path, indent: int | None) -> None:
    many = [{**row, "text": f"{row['text']} {number}"} for number in range(3_000) for row in ROWS]
    many = [{**row, "utterance_id": f"{at}"} for at, row in enumerate(many)]
    assert read(write(tmp_path / "lines.json", json.dumps(many, indent=indent))) == many


def test_text_has_a_row_in_each_line(tmp_path: Path) -> None:
    path = write(tmp_path / "lines.txt.xz", lzma.compress(b"Good morning.\r\n\n  Good night.  \nGood morning."))
    assert "default_speaker" in refusal(path)
    rows = read(path, reading("ada"))
    assert [row["text"] for row in rows] == ["Good morning.", "Good night.", "Good morning."]
    assert {row["speaker_id"] for row in rows} == {"ada"}
    assert rows[2]["utterance_id"] == f"{rows[0]['utterance_id']}-2"


def test_excel_with_formulas_dates_and_numbers(tmp_path: Path) -> None:
    day = datetime.date(2024, 5, 6)
    path = write_excel(
        tmp_path / "l.xlsx", [["id", "text", "speaker_id", "n"], [1, day, 7, 2], [2.0, "Hi.", "b", None]]
    )
    assert read(path, reading(utterance_id="id")) == [
        {"utterance_id": "1", "text": "2024-05-06T00:00:00", "speaker_id": "7", "n": 2},
        {"utterance_id": "2", "text": "Hi.", "speaker_id": "b", "n": None},
    ]
    write_excel(path, [["text", "speaker_id"], ["=A1&A1", "b"], ["#N/A", "b"]])
    assert "cell A2: the formula '=A1&A1' has no value" in (said := refusal(path))
    assert "cell A3: #N/A in place of a value" in said
    workbook = openpyxl.load_workbook(path)
    workbook.create_sheet("more").append(["text"])
    workbook.save(path)
    assert "2 sheets with cells (Sheet, more)" in refusal(path)
    assert "no sheet is called 'other'" in refusal(path, reading(table={"sheet": "other"}))


def test_a_data_set_of_hugging_face(tmp_path: Path) -> None:
    features = {"speaker": {"names": ["ada", "ben"], "_type": "ClassLabel"}}
    (tmp_path / "data").mkdir()
    table = pa.table(
        {
            "sentence": ["One.", "Two.", None],
            "id": [10, 20, 30],
            "speaker": [0, 1, 1],
            "audio": [{"bytes": b"x", "path": "p"}] * 3,
            "up": [1.5, 2.0, 0.0],
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    how = reading(text="sentence", utterance_id="id", speaker_id="speaker")
    assert read(tmp_path, how) == [
        {"utterance_id": "10", "text": "One.", "speaker_id": "ada", "up": 1.5},
        {"utterance_id": "20", "text": "Two.", "speaker_id": "ben", "up": 2.0},
        {"utterance_id": "30", "text": None, "speaker_id": "ben", "up": 0.0},
    ]


def test_ids_are_stable_and_apart(tmp_path: Path) -> None:
    rows = [("Hello.", "ada"), ("Hello.", "ben"), ("Hello.", "ada"), ("Bye.", "ada")]
    lines = [f"{text},{speaker}\n" for text, speaker in rows]
    before = read(write(tmp_path / "a.csv", "text,speaker_id\n" + "".join(lines)))
    ids = [row["utterance_id"] for row in before]
    assert len(set(ids)) == 4
    assert ids[2] == f"{ids[0]}-2"
    after = read(write(tmp_path / "a.csv", "text,speaker_id\nNew.,ada\n" + "".join(reversed(lines))))
    assert {row["utterance_id"]: row["text"] for row in before}.items() <= {
        row["utterance_id"]: row["text"] for row in after
    }.items()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "l.csv",
            "text,speaker_id\nna\xefve,ada\n".encode("latin-1"),
            "line 2, character 3: the byte 0xef is not UTF-8",
        ),
        ("l.csv", "text;speaker_id\nna\xefve;ada\n".encode("utf-16-le"), "line 1: holds a zero byte"),
        ("l.csv", "text,speaker_id\nHello, you,ada\nx\n", "line 2: 3 cell(s), but the first line has 2"),
        ("l.csv", "text,speaker_id\nHello, you,ada\nx\n", "line 3: 1 cell(s)"),
        ("l.csv", "Hello.,ada\nBye.,ada\n", "the first line is a row already, name the columns with table.header"),
        ("l.csv", "text,text,speaker_id\na,b,c\n", "column 'text' occurs 2 times, as column 1, 2"),
        ("l.csv", 'text,speaker_id\n"Hello,ada\nBye,ada\n', "line 2: a double quote opens a cell and is never closed"),
        ("l.csv", 'text|speaker_id\n"Oh," he said|ada\n', "line 2: not a record of CSV"),
        (
            "de.csv",
            "Satz;Sprecher\nGuten Tag;anna\n",
            "columns 'text', 'speaker_id' are missing; found 'Satz', 'Sprecher': set columns.text to COLUMN; "
            "set columns.speaker_id to COLUMN, or set default_speaker",
        ),
        (
            "l.csv",
            "text,speaker\nHi.,ada\n",
            "column 'speaker_id' is missing; found 'text', 'speaker': set columns.speaker_id to 'speaker'",
        ),
        ("l.txt", "Hi.\n", "column 'speaker_id' is missing; found 'text': set default_speaker"),
        ("l.csv", "text,speaker_id,seed\nHi.,ada,1.5\n", "line 2, column 'seed': '1.5' is no whole number"),
        ("l.csv", "", "is empty; expected a line with the names of the columns"),
        ("l.csv.gz", b"text", "cannot be unpacked"),
        ("l.json", '[{"text": "Hi."},\n {"text": }]', "line 2, object 2: not JSON"),
        ("l.json", '[{"text": "Hi."},\n 7]', "object 2: expected an object {...}, found a number"),
        ("l.json", '{\n  "rows": [\n {"text": "Hi."}]}', "found one object with rows; write the array"),
        ("l.json", '[{"text": "Hi."}', "the array is never closed"),
        ("l.json", '[{"text": "Hi."},,{"text": "Ho."}]', "a comma too many"),
        ("l.jsonl", '{"text": "Hi."}\n{"text": "Hi."\n', "line 2, character 1"),
        ("l.jsonl", '{"text": "Hi.", "text": "Ho."}\n', "line 1: 'text' is there twice in one object"),
        (
            "l.jsonl",
            '{"text": {"en": "Hi."}, "speaker_id": "a"}',
            "line 1, column 'text': expected a text, found an obj",
        ),
        ("l.jsonl", '{"text": "a", "speaker_id": 1.5}', "line 1, column 'speaker_id': 1.5 is a number with decimals"),
        ("l.jsonl", '{"text": "a", "speaker_id": true}', "expected a text, found true"),
        ("l.jsonl", "[" * 100_000, "line 1: nested too deep"),
        ("l.xlsx", b"no zip", "not an Excel file of today"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    assert said in refusal(write(tmp_path / name, content))


def test_what_the_messages_advise_helps(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "na\xefve,ada\n".encode("latin-1"))
    how = reading(table={"encoding": "latin-1", "header": ("text", "speaker_id")})
    assert [row["text"] for row in read(path, how)] == ["naïve"]
    path = write(tmp_path / "metadata.csv", 'L1|"Oh," he said|7\nL2|Well|8\n')
    how = reading("ada", {"quoting": "none", "header": ("utterance_id", "text", "n")})
    assert [(row["utterance_id"], row["text"], row["n"]) for row in read(path, how)] == [
        ("L1", '"Oh," he said', 7),
        ("L2", "Well", 8),
    ]


def test_what_is_missing_in_a_row_is_null(tmp_path: Path) -> None:
    lines = (
        '{"k": 1, "text": NaN, "speaker_id": "a"}\n{"k": "x", "text": "Hi.", "tags": [1]}\n{"k": 3, "tags": {"b": 1}}\n'
    )
    assert read(write(tmp_path / "l.jsonl", lines), reading("ben", utterance_id="k")) == [
        {"utterance_id": "1", "text": None, "speaker_id": "a", "tags": None},
        {"utterance_id": "x", "text": "Hi.", "speaker_id": "ben", "tags": "[1]"},
        {"utterance_id": "3", "text": None, "speaker_id": "ben", "tags": '{"b": 1}'},
    ]
    assert read(write(tmp_path / "l.csv", "text,speaker_id\n")) == []
    assert read(write(tmp_path / "l.json", "[]")) == []


def test_columns_of_several_files_have_one_type(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "text,speaker_id,n,m\nA.,x,1,\n")
    write(tmp_path / "b.csv", "text,speaker_id,n,m\nB.,x,no,2\n")
    assert [(row["n"], row["m"]) for row in read(tmp_path)] == [("1", None), ("no", 2)]
    assert [{*row} for row in read(tmp_path, reading(keep=("m",)))] == [{"utterance_id", "text", "speaker_id", "m"}] * 2


def test_only_rows_at_the_end_make_only_the_last_shard_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.manifest.converted_shards._ROWS_PER_SHARD", 4_000)
    lines = [f"u{number},Line {number}.,ada\n" for number in range(10_000)]

    def shards(count: int) -> dict[str, str]:
        write(tmp_path / "l.csv", "utterance_id,text,speaker_id\n" + "".join(lines[:count]))
        return {shard.name: shard.fingerprint for shard in Manifest.open(str(tmp_path / "l.csv")).shards}

    before, after = shards(9_000), shards(10_000)
    assert [*before] == [*after] == ["l.csv-00000", "l.csv-00001", "l.csv-00002"]
    assert [name for name in after if after[name] != before[name]] == ["l.csv-00002"]
    manifest = Manifest.open(str(tmp_path / "l.csv"))
    (unit,) = [unit for unit in manifest.plan(100) if unit.shard == "l.csv-00002" and unit.first_row == 1_900]
    assert manifest.read_rows(unit).column("utterance_id").to_pylist()[-1] == "u9999"
    assert manifest.find_ids(["u5000"])["u5000"][1] == 1_000


def test_a_file_that_is_replaced_is_noticed_when_rows_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "text,speaker_id\nA.,x\n")
    manifest = Manifest.open(str(path))
    (unit,) = manifest.plan(10)
    path.touch()
    assert manifest.locate(unit).rows.num_rows == 1  # The same bytes.
    manifest.check_unchanged()
    write(path, "text,speaker_id\nB.,x\n")
    with pytest.raises(ObjectChanged, match="replaced"):
        manifest.locate(unit)
    with pytest.raises(ObjectChanged, match="replaced"):
        manifest.check_unchanged()


def test_folders_are_of_shards_or_else_of_tables(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a.csv", "text,speaker_id\nA.,x\n")
    write(tmp_path / "README.txt", "Not a row.\n")
    assert [row["text"] for row in read(tmp_path)] == ["A."]
    pq.write_table(pa.table({"utterance_id": ["u"], "text": ["B."], "speaker_id": ["x"]}), tmp_path / "b.parquet")
    assert [row["text"] for row in read(tmp_path)] == ["B."]
    assert "so that a.csv is not read" in caplog.text
    assert [row["text"] for row in read(f"{tmp_path}/*.csv")] == ["A."]


def test_a_long_cell_or_line_takes_no_more_memory_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("delimited", "json_rows"):
        monkeypatch.setattr(f"pipeline.manifest.{module}.MAX_CHARS", 1_000)
    assert "never closed" in refusal(write(tmp_path / "a.csv", 'text,speaker_id\n"' + "x\n" * 5_000))
    assert "longer than 1,000" in refusal(write(tmp_path / "b.csv", "text" * 1_000))
    assert "longer than 1,000" in refusal(write(tmp_path / "c.jsonl", "{" * 5_000))


def test_rows_are_read_from_any_store(storage) -> None:
    storage.put("l.csv", b"text,speaker_id\n" + b"Hello.,ada\n" * 5_000)
    info = storage.find("l.csv")
    batches = list(read_table(storage, info))
    assert sum(rows.num_rows for rows in batches) == 5_000
    assert batches[1].place(0) == "line 2,002"
    assert Manifest.open(f"{storage.uri}/l.csv").num_rows == 5_000


def test_what_is_packed_too_well_is_refused(tmp_path: Path) -> None:
    path = write_excel(tmp_path / "l.xlsx", [["text", "speaker_id"], *[["A" * 30_000, "b"]] * 50])
    small = StorageConfig(limits={"max_row_group_mb": 1.0})
    with pytest.raises(ManifestError, match=r"unpacks to .* MB, more than storage.limits.max_row_group_mb"):
        Manifest.open(str(path), small)
    with pytest.raises(ManifestError, match=r"2 MB of memory, more than storage.limits.max_row_group_mb"):
        Manifest.open(str(write(tmp_path / "l.csv", "text,speaker_id\n" + "x" * 1_500_000 + ",b\n")), small)


@pytest.mark.parametrize("form", ["csv", "jsonl", "jsonl, others in each batch", "xlsx"])
def test_too_many_columns_are_refused_by_the_limits_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """A hundred thousand of them took minutes; objects with names of their own would fill the memory with nulls."""
    names = ["text", "speaker_id", *(f"c{number}" for number in range(99))]
    path, suffix = tmp_path / "l", form.split(",")[0]
    monkeypatch.setattr("pipeline.manifest.json_rows.ROWS_AT_ONCE", 2)
    if suffix == "csv":
        write(path.with_suffix(".csv"), ",".join(names) + "\n")
    elif suffix == "xlsx":
        write_excel(path.with_suffix(".xlsx"), [names])
    else:
        per_row = 1 if "batch" in form else 99
        rows = [{"text": "A.", "speaker_id": "b"} | {f"c{n + k}": 1 for k in range(per_row)} for n in range(99)]
        rows = rows if "batch" in form else rows[:1]
        write(path.with_suffix(".jsonl"), "".join(json.dumps(row) + "\n" for row in rows))
    limited = StorageConfig(limits={"max_columns": 100})
    with pytest.raises(ManifestError, match=r"101 columns, more than storage\.limits\.max_columns \(100\)"):
        Manifest.open(str(path.with_suffix(f".{suffix}")), limited)


def test_a_repeated_name_among_many_is_found_at_once(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(200_000)]
    row = "{" + ",".join(f'"{name}":1' for name in [*names, names[-1]]) + "}"
    assert "line 1: 'c199999' is there twice in one object" in refusal(write(tmp_path / "l.jsonl", row))


@pytest.mark.parametrize(
    ("sheet", "said"),
    [
        ('<dimension ref="A1:ZZZZZZ2"/><sheetData/>', "a sheet has 16,384 columns and 1,048,576 rows"),
        ('<sheetData><row r="99999999999999"><c r="A1"/></row></sheetData>', "of row 999,999,999,999; a sheet has"),
        ('<sheetData><row><c r="ZZZZZZZZ1"/></row></sheetData>', "a sheet has 16,384 columns"),
        ('<sheetData><row><c r="XFD1"/><c/></row></sheetData>', "a cell in column 16,385 of row 1"),
        ('<sheetData><row r="2"/><row r="2"/></sheetData>', "row 2 comes after row 2"),
        ("<sheetData>" + '<row><c r="XFD1"/></row>' * 20 + "</sheetData>", "takes more than 1 MB of memory"),
        ("<sheetData>" + "<row><c/></row>" * 6_000 + "</sheetData>", "takes more than 1 MB of memory"),
        ("<cols>" + "<col/>" * 600 + "</cols>", "takes more than 1 MB of memory"),
        ('<sheetData><row><c t="d"><v>9999-99-99</v></c></row></sheetData>', "not an Excel file that can be read"),
        ('<sheetData><row><c t="s"><v>99</v></c></row></sheetData>', "not an Excel file that can be read"),
        ('<sheetData><row><c t="n"><v>x</v></c></row></sheetData>', "not an Excel file that can be read"),
    ],
)
def test_a_sheet_that_lies_is_refused(tmp_path: Path, sheet: str, said: str) -> None:
    """Half a megabyte of a file could name the last of a hundred billion rows, or hold a million cells in one.

    What is wrong with a value shows only when its row is read.
    """
    path = write_excel(tmp_path / "whole.xlsx", [["text", "speaker_id"], ["A.", "b"]])
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "l.xlsx", "w", zipfile.ZIP_DEFLATED) as made:
        for name in whole.namelist():
            space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
            is_sheet = name == "xl/worksheets/sheet1.xml"
            made.writestr(name, f"<worksheet {space}>{sheet}</worksheet>" if is_sheet else whole.read(name))
    with pytest.raises(ManifestError, match=re.escape(said)):
        Manifest.open(str(tmp_path / "l.xlsx"), StorageConfig(limits={"max_row_group_mb": 1.0}))


def test_open_storage_of_a_table_needs_no_folder(tmp_path: Path) -> None:
    write(tmp_path / "l.csv", "text,speaker_id\nA.,x\n")
    storage = open_storage(str(tmp_path))
    assert [rows.columns for rows in read_table(storage, storage.find("l.csv"))] == [
        {"text": ["A."], "speaker_id": ["x"]}
    ]
