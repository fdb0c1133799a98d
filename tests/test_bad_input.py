"""A few hundred of the soak's broken inputs, and the big ones by name."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.run import StorageConfig, load_config
from pipeline.errors import ConfigError, SynthesisError, UtteranceError
from pipeline.manifest.rows import Manifest
from pipeline.synthesis.speaker_definitions import read_definitions
from pipeline.text import normalize_text
from tests.soak.bad_input import BOMBS, FAMILIES, run_family


@pytest.mark.parametrize("family", FAMILIES)
def test_broken_input_ends_as_designed(family, tmp_path):
    outcomes, _ = run_family(family, 30, 0, tmp_path)
    # Odd YAML has one outcome only; of the others some input must pass, or the family shows nothing.
    assert outcomes.total() >= 30 and len(outcomes) > (family != "yaml")


@pytest.mark.parametrize("number", range(len(BOMBS)))
def test_a_yaml_bomb_is_refused(number, tmp_path):
    path = tmp_path / "bomb.yaml"
    path.write_text(BOMBS[number])
    with pytest.raises(ConfigError):
        load_config(path)
    with pytest.raises(SynthesisError) as caught:
        read_definitions(str(path), StorageConfig())
    assert len(str(caught.value)) < 10_000


def test_a_text_of_a_megabyte_is_refused_at_once():
    for text in ("a" * 1_000_000, "😀" * 250_000, "1" * 1_000_000, "\u202e" * 300_000):
        with pytest.raises(UtteranceError):
            normalize_text(text, language="auto", normalize=True, lexicon={}, max_chars=20_000)


def test_a_thousand_columns_and_a_row_group_of_a_million_rows(tmp_path):
    pq.write_table(pa.table({name: pa.nulls(1, pa.string()) for name in ("utterance_id", "text", "speaker_id")} | {
        f"c{number}": [1] for number in range(1_000)
    }), tmp_path / "wide.parquet")  # fmt: skip
    ids = pa.array(range(1_000_000)).cast(pa.string())
    words = pa.DictionaryArray.from_arrays(pa.nulls(1_000_000, pa.int8()).fill_null(0), ["word"])
    long = pa.table({"utterance_id": ids, "text": words, "speaker_id": words})
    pq.write_table(long, tmp_path / "long.parquet", row_group_size=1_000_000)
    manifest = Manifest.open(str(tmp_path))
    units = list(manifest.plan(100_000))
    assert manifest.num_rows == 1_000_001 and len(units) == 11
    assert manifest.read_rows(units[9]).column("utterance_id")[-1].as_py() == "999999"
    assert manifest.read_rows(units[10]).num_columns == 1_003
