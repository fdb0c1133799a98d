"""parquet_limits.py: what takes more memory than it may is refused by name, before it is in memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.run import LimitsConfig, StorageConfig
from pipeline.errors import ManifestError, SpeakerError
from pipeline.manifest.parquet_pages import KeptRanges, Pages
from pipeline.manifest.rows import Manifest, WorkUnit
from pipeline.synthesis.speaker_definitions import read_definitions

SMALL = StorageConfig(limits=LimitsConfig(max_columns=8, max_row_group_mb=1.0))
MB = 1_000_000


def write(path: Path, num_rows: int = 1, **columns: object) -> Path:
    own = {"utterance_id": [f"u{row}" for row in range(num_rows)], "text": ["x"] * num_rows}
    table = pa.table({**own, "speaker_id": ["anna"] * num_rows, **columns})
    pq.write_table(table, path, compression="zstd", row_group_size=max(1, num_rows))
    return path


def repeated(value: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([value]))


BOMBS = {
    "columns": (
        1,
        {f"c{number}": [1] for number in range(6)},
        r"9 columns, more than storage\.limits\.max_columns \(8\)",
    ),
    "a value that packs well": (
        1,
        {"text": ["a" * 2 * MB]},
        r"row group 0 takes 2 MB of memory, more than storage\.lim",
    ),
    "nothing, a million times": (MB, {"extra": pa.nulls(MB, pa.string())}, r"row group 0 takes \d+ MB"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_by_name(tmp_path, name):
    num_rows, columns, said = BOMBS[name]
    path = write(tmp_path / "a.parquet", num_rows, **columns)
    with pytest.raises(ManifestError, match=rf"a\.parquet: {said}"):
        Manifest.open(str(path), SMALL)
    if name != "columns":
        assert path.stat().st_size < MB
    assert Manifest.open(str(path)).num_rows == num_rows


def test_a_repeated_value_is_refused_where_too_much_of_it_is_wanted(tmp_path):
    """100 MB in 1 kB, of which the footer says nothing."""
    text = "a" * 100_000
    path = write(tmp_path / "a.parquet", 1_000, text=repeated(text, 1_000))
    manifest = Manifest.open(str(path), SMALL)
    assert manifest.read_rows(WorkUnit("a", 990, 993)).column("text").to_pylist() == [text] * 4
    with pytest.raises(ManifestError, match=r"a\.parquet: 20 rows takes 2 MB of memory.*give smaller values"):
        manifest.read_rows(WorkUnit("a", 100, 119))


def test_a_repeated_id_is_refused(tmp_path):
    path = write(tmp_path / "a.parquet", 1_000, utterance_id=repeated("a" * 100_000, 1_000))
    with pytest.raises(ManifestError, match=r"a\.parquet: 1,000 rows takes 100 MB of memory"):
        Manifest.open(str(path), SMALL).find_duplicates()


def test_usual_rows_are_read_at_full_speed(tmp_path):
    """As dictionaries they take ten times as long, which planning would feel."""

    def columns_as_dictionaries(path: Path) -> tuple[str, ...]:
        return Pages(KeptRanges(pa.OSFile(str(path))), LimitsConfig()).load(0).from_dictionary

    texts = [f"A line of some length, as they are in books and elsewhere, number {row}." for row in range(2_000)]
    assert columns_as_dictionaries(write(tmp_path / "a.parquet", 2_000, text=texts)) == ()
    path = write(tmp_path / "b.parquet", 2_000, text=repeated("a" * 100_000, 2_000))
    assert columns_as_dictionaries(path) == ("text",)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_columns_read_as_dictionaries_have_their_own_type_again(tmp_path, kind):
    values = pa.array(["a" * 5_000, None, "b"], pa.string()).cast(kind)
    path = write(tmp_path / "a.parquet", 3, extra=values)
    read = Manifest.open(str(path)).read_rows(WorkUnit("a", 0, 2))
    assert read.equals(pq.read_table(path))


def test_speakers_have_the_same_limits(tmp_path):
    def speakers(texts: pa.Array) -> str:
        ids = [f"s{number}" for number in range(len(texts))]
        path = tmp_path / "speakers.parquet"
        pq.write_table(pa.table({"speaker_id": ids, "reference_audio": ids, "reference_text": texts}), path)
        return str(path)

    assert len(read_definitions(speakers(pa.array(["Hello."] * 3)), SMALL)) == 3
    with pytest.raises(SpeakerError, match=r"speakers\.parquet: row group 0 takes 2 MB"):
        read_definitions(speakers(pa.array(["a" * 2 * MB])), SMALL)
    with pytest.raises(SpeakerError, match=r"speakers\.parquet: 100 rows takes 10 MB"):
        read_definitions(speakers(repeated("a" * 100_000, 100)), SMALL)


def test_a_footer_that_is_damaged_in_one_column_does_not_end_the_process(tmp_path):
    """What pyarrow says of a column chunk is not asked for: on some damage it aborts."""
    path = write(tmp_path / "a.parquet", 2)
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    refused = 0
    for place in range(start, len(data) - 8, 3):
        for value in (0x19, data[place] ^ 1):
            path.write_bytes(data[:place] + bytes([value]) + data[place + 1 :])
            try:
                manifest = Manifest.open(str(path))
                manifest.find_duplicates()
                manifest.read_rows(WorkUnit(manifest.shards[0].name, 0, 1))
            except ManifestError:
                refused += 1
    assert refused > 20
