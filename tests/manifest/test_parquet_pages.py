"""parquet_pages.py: what a footer or a page says of its size, rows and place is not believed."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.run import LimitsConfig, StorageConfig
from pipeline.errors import ManifestError
from pipeline.manifest.rows import Manifest
from pipeline.manifest.thrift import read_struct
from tests.manifest import lying_parquet as lying

SMALL = StorageConfig(limits=LimitsConfig(max_row_group_mb=1.0))
MB = 1_000_000
ODD = (0, -1, 1, 7, 999, 1_000_000, 2**31 - 1, 2**31, 2**62, -(2**62))


def table_of(num_rows: int, **columns: object) -> pa.Table:
    own = {"utterance_id": [f"u{row}" for row in range(num_rows)], "text": [f"Line {row}." for row in range(num_rows)]}
    return pa.table({**own, "speaker_id": ["anna"] * num_rows, **columns})


def read_all(path: Path, data: bytes, settings: StorageConfig | None = None) -> pa.Table:
    """Read a manifest as a run does: the ids, then each unit."""
    path.write_bytes(data)
    manifest = Manifest.open(str(path), settings)
    manifest.find_duplicates()
    units = [manifest.read_rows(unit) for unit in manifest.plan(7)]
    return pa.concat_tables(units) if units else None


def repeated(value: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.nulls(count, pa.int32()).fill_null(0), pa.array([value]))


def list_of(values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def deltas(column: str) -> dict[str, object]:
    names = ("utterance_id", "text", "speaker_id")
    encodings = {name: "DELTA_BYTE_ARRAY" if name == column else "PLAIN" for name in names}
    return {"use_dictionary": False, "column_encoding": encodings, "write_statistics": False}


ONE_TEXT = repeated("a" * 10_000, 1_000)
BOMBS: dict[str, tuple[pa.Table, dict[str, object]]] = {
    "a text": (table_of(1, text=["a" * 2 * MB]), {"use_dictionary": False}),
    "an id": (table_of(1, utterance_id=["a" * 2 * MB]), {"use_dictionary": False}),
    "a list in one row": (table_of(1, extra=list_of(pa.nulls(MB, pa.int8()).fill_null(0))), {}),
    "a list of nothing": (table_of(1, extra=list_of(pa.nulls(MB, pa.string()))), {}),
    "a list of one text": (table_of(1, extra=list_of(ONE_TEXT)), {}),
    "a struct of one text": (table_of(1_000, extra=pa.StructArray.from_arrays([ONE_TEXT], ["x"])), {}),
    "a name with a dot": (table_of(1_000, **{"a.b": ONE_TEXT}), {}),
    "texts like the one before": (table_of(100, text=["a" * 100_000] * 100), deltas("text")),
    "ids like the one before": (table_of(100, utterance_id=["a" * 100_000] * 100), deltas("utterance_id")),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_pages_that_do_not_fit_are_refused_whatever_the_footer_says(tmp_path, name):
    table, options = BOMBS[name]
    data = lying.change(lying.make(table, **options), lying.look_small)
    assert len(data) < 50_000
    with pytest.raises(
        ManifestError, match=r"a\.parquet: (row group 0|\d+ rows) takes .* MB of memory, more than stor"
    ):
        read_all(tmp_path / "a.parquet", data, SMALL)


def test_a_fixed_size_is_what_the_schema_says(tmp_path):
    """Ten nulls of a gigabyte each."""

    def widen(footer: lying.Struct) -> None:
        (column,) = [element for element in footer[lying.SCHEMA][1][1] if element[4][1] == b"extra"]
        column[2][1] = 1 << 30
        del footer[5]  # Where Arrow keeps what the column was.

    data = lying.change(lying.make(table_of(10, extra=pa.nulls(10, pa.binary(16)))), widen)
    with pytest.raises(ManifestError, match=r"row group 0 takes up to 10,737 MB"):
        read_all(tmp_path / "a.parquet", data)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_every_encoding_of_honest_files_is_read(tmp_path, version):
    """Others write texts as deltas, which pyarrow reads as no dictionary."""
    table = table_of(300, number=range(300), share=[row / 3 for row in range(300)], tags=[["x", "y"]] * 300)
    encodings = {
        "utterance_id": "DELTA_BYTE_ARRAY", "text": "DELTA_LENGTH_BYTE_ARRAY", "speaker_id": "DELTA_BYTE_ARRAY",
        "number": "DELTA_BINARY_PACKED", "share": "BYTE_STREAM_SPLIT", "tags.list.element": "DELTA_BYTE_ARRAY",
    }  # fmt: skip
    for options in ({}, {"use_dictionary": False, "column_encoding": encodings}):
        for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
            settings = {"compression": codec, "data_page_version": version, "row_group_size": 100, **options}
            found = read_all(tmp_path / "a.parquet", lying.make(table, **settings))
            assert found.equals(table), (codec, options)


def check_lie(path: Path, data: bytes, table: pa.Table) -> bool:
    """A file that is read in spite of a lie holds what it held before."""
    try:
        found = read_all(path, data)
    except ManifestError as error:
        assert "a.parquet: " in str(error)
        return True
    assert found is not None and found.equals(table)
    return False


def set_rows(footer: lying.Struct, value: int, whole: bool) -> None:
    """Say how many rows there are: of the row group, and of the columns."""
    footer[lying.NUM_ROWS][1] = value
    lying.groups_of(footer)[0][lying.GROUP_ROWS][1] = value
    for column in lying.columns_of(footer) if whole else ():
        column[lying.NUM_VALUES][1] = value


@pytest.mark.parametrize("whole", [False, True])
def test_a_wrong_number_of_rows_is_refused(tmp_path, whole):
    """One that was too small left rows out, one that was too large gave units without rows."""
    table = table_of(50)
    for value in (*ODD, 49, 51):
        edit = partial(set_rows, value=value, whole=whole)
        assert check_lie(tmp_path / "a.parquet", lying.change(lying.make(table), edit), table), value


FIELDS = (lying.NUM_VALUES, lying.UNPACKED, lying.PACKED, lying.DATA_PAGE, lying.DICTIONARY_PAGE)


def test_numbers_of_columns_are_not_believed(tmp_path):
    table = table_of(50)
    data = lying.make(table)
    refused = 0
    for column in (0, 1):
        for field in FIELDS:
            for value in ODD:

                def edit(footer: lying.Struct, column: int = column, field: int = field, value: int = value) -> None:
                    lying.columns_of(footer)[column][field] = [6, value]

                refused += check_lie(tmp_path / "a.parquet", lying.change(data, edit), table)
    assert refused > 60


def test_numbers_of_pages_are_not_believed(tmp_path):
    table = table_of(50)
    data = lying.make(table)
    edits: list[Callable[..., object]] = [
        lambda header, value: header[1].__setitem__(1, value),
        lambda header, value: header[2].__setitem__(1, value),
        lambda header, value: header[3].__setitem__(1, value),
        lambda header, value: header[5 if 5 in header else 7][1][1].__setitem__(1, value),
    ]
    refused = 0
    for place in (lying.DATA_PAGE, lying.DICTIONARY_PAGE):
        for edit in edits:
            for value in (0, -1, 49, 51, 2**31 - 1):
                changed = lying.change_page(data, 1, place, partial(edit, value=value))
                refused += check_lie(tmp_path / "a.parquet", changed, table)
    assert refused > 30


def test_row_groups_that_share_their_bytes_are_refused(tmp_path):
    def repeat(footer: lying.Struct) -> None:
        lying.groups_of(footer).extend(lying.groups_of(footer)[:1] * 99)
        footer[lying.NUM_ROWS][1] = 5_000

    with pytest.raises(ManifestError, match="shares its bytes with another"):
        read_all(tmp_path / "a.parquet", lying.change(lying.make(table_of(50)), repeat))


def test_files_that_are_cut_short_or_something_else_are_named(tmp_path):
    data = lying.make(table_of(20))
    for size in range(0, len(data), 13):
        with pytest.raises(ManifestError, match=r"a\.parquet: not a Parquet file \("):
            read_all(tmp_path / "a.parquet", data[:size])
    for other in (b"PARE" + data[4:-4] + b"PARE", data[:-4] + b"XXXX", data[:-8] + b"\xff\xff\xff\x7fPAR1"):
        with pytest.raises(ManifestError, match=r"a\.parquet: not a Parquet file \("):
            read_all(tmp_path / "a.parquet", other)


def test_a_column_that_is_encrypted_or_elsewhere_is_named(tmp_path):
    for field, value, said in ((8, [12, {}], "is encrypted"), (1, [8, b"/etc/passwd"], "is not in this file")):

        def edit(footer: lying.Struct, field: int = field, value: list[object] = value) -> None:
            lying.groups_of(footer)[0][lying.COLUMNS][1][1][1][field] = value

        with pytest.raises(ManifestError, match=rf"column 'text' {said}"):
            read_all(tmp_path / "a.parquet", lying.change(lying.make(table_of(5)), edit))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_struct_or_are_refused(data):
    try:
        _, end = read_struct(data)
    except pa.ArrowInvalid:
        return
    assert end <= len(data)


def test_structs_within_structs_end(tmp_path):
    with pytest.raises(pa.ArrowInvalid, match="more than 16 deep"):
        read_struct(b"\x1c" * 10_000)
    with pytest.raises(pa.ArrowInvalid, match="cut short"):
        read_struct(b"\x19\xfc\xff\xff\xff\xff\x0f" + b"\x00" * 50)


def test_a_flipped_bit_anywhere_never_changes_rows_unseen_in_number(tmp_path):
    """Without checksums a letter may change; rows neither vanish nor come up twice."""
    data = lying.make(table_of(50), row_group_size=25)
    order = random.Random(0)
    for _ in range(40):
        place = order.randrange(len(data))
        changed = data[:place] + bytes([data[place] ^ 1 << order.randrange(8)]) + data[place + 1 :]
        try:
            found = read_all(tmp_path / "a.parquet", changed)
        except ManifestError:
            continue
        assert found.num_rows == 50
